//! The question to the admin listener: one GET over TCP or a unix socket.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::config::ListenAddress;
use crate::status::{self, Status};

/// How long connecting may take, and each read and write.
const PATIENCE: Duration = Duration::from_secs(5);
/// Large enough for ten thousand routes.
const ANSWER_BYTES_MAX: u64 = 256 << 20;
const HEADERS_MAX: usize = 32;

/// Where the admin listener is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// `HOST:PORT`.
    Tcp(String),
    Unix(PathBuf),
}

impl Place {
    /// # Errors
    /// Says what is wrong with it, for people.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match path.starts_with('/') {
                true => Ok(Self::Unix(path.into())),
                false => Err("write `unix:/path`, the path absolute".to_owned()),
            };
        }
        let address = text.strip_prefix("http://").unwrap_or(text);
        let address = address.strip_suffix('/').unwrap_or(address);
        match address.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok() => {
                Ok(Self::Tcp(address.to_owned()))
            }
            _ => Err("write `ADDRESS:PORT` or `unix:/path`".to_owned()),
        }
    }

    /// Returns where a listener at that address is reached: one on all addresses is also on loopback.
    pub(super) fn of(address: &ListenAddress) -> Self {
        match address {
            ListenAddress::Unix(path) => Self::Unix(path.clone()),
            ListenAddress::Tcp(text) => Self::Tcp(match text.parse::<SocketAddr>() {
                Ok(all) if all.ip().is_unspecified() => {
                    let here = match all.ip() {
                        IpAddr::V4(_) => IpAddr::from(Ipv4Addr::LOCALHOST),
                        IpAddr::V6(_) => IpAddr::from(Ipv6Addr::LOCALHOST),
                    };
                    SocketAddr::new(here, all.port()).to_string()
                }
                _ => text.clone(),
            }),
        }
    }

    /// The host, as the admin listener wants to be called.
    fn host(&self) -> &str {
        match self {
            Self::Tcp(address) => address,
            Self::Unix(_) => "localhost",
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => f.write_str(address),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// What the gateway told.
pub(super) struct Document {
    /// The document as it came, with fields that this program may not know.
    pub(super) text: String,
    pub(super) status: Status,
}

/// # Errors
/// Nobody answers at `place`, or the answer is not a status document.
pub(super) fn document(place: &Place) -> anyhow::Result<Document> {
    let answer = exchange(place).with_context(|| {
        format!(
            "can't ask the admin listener at {place}: does the gateway run (`systemctl status switchback`), and has it been restarted since \
             `admin` was set?"
        )
    })?;
    let (code, body) = read(&answer).with_context(|| format!("{place} does not answer as an admin listener does"))?;
    if code != 200 {
        bail!("{place} refuses: {code} {}", refusal(body));
    }
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let strange = || format!("{place} answers with something else than a status document");
    let Version { version } = serde_json::from_slice(body).with_context(strange)?;
    if version != status::VERSION {
        bail!(
            "the gateway at {place} tells its status in version {version}, this program knows version {}: use the `switchback` that belongs to it",
            status::VERSION
        );
    }
    Ok(Document {
        status: serde_json::from_slice(body).with_context(strange)?,
        text: String::from_utf8(body.to_vec()).with_context(strange)?,
    })
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

fn exchange(place: &Place) -> io::Result<Vec<u8>> {
    let mut stream = connect(place)?;
    let request = format!(
        "GET /status HTTP/1.1\r\nhost: {}\r\naccept: application/json\r\nconnection: close\r\n\r\n",
        place.host()
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    Ok(answer)
}

fn connect(place: &Place) -> io::Result<Box<dyn Stream>> {
    match place {
        Place::Unix(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            Ok(Box::new(stream))
        }
        Place::Tcp(address) => {
            let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
            for address in address.to_socket_addrs()? {
                match TcpStream::connect_timeout(&address, PATIENCE) {
                    Ok(stream) => {
                        stream.set_read_timeout(Some(PATIENCE))?;
                        stream.set_write_timeout(Some(PATIENCE))?;
                        return Ok(Box::new(stream));
                    }
                    Err(error) => last = error,
                }
            }
            Err(last)
        }
    }
}

/// The status code and the body of a whole answer.
fn read(answer: &[u8]) -> anyhow::Result<(u16, &[u8])> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = response.parse(answer)? else {
        bail!("it closed the connection before its answer was complete");
    };
    let length = response
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length: usize = length
        .and_then(|header| std::str::from_utf8(header.value).ok()?.parse().ok())
        .context("its answer has no content-length")?;
    let body = answer[head..].get(..length).context("its answer is cut short")?;
    Ok((response.code.unwrap_or(0), body))
}

/// Returns the message of an error of ours, or nothing if it is somebody else's.
fn refusal(body: &[u8]) -> String {
    let error: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let message = error.as_ref().and_then(|error| error["error"]["message"].as_str());
    message.unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        for (text, place) in [
            ("127.0.0.1:9091", Place::Tcp("127.0.0.1:9091".to_owned())),
            ("http://[::1]:9091/", Place::Tcp("[::1]:9091".to_owned())),
            ("status.example:80", Place::Tcp("status.example:80".to_owned())),
            ("unix:/run/a.sock", Place::Unix("/run/a.sock".into())),
        ] {
            assert_eq!(Place::parse(text), Ok(place));
        }
        for text in [
            "",
            "9091",
            ":9091",
            "127.0.0.1",
            "https://a:1",
            "http://a:1/status",
            "unix:a",
            "a:x",
        ] {
            assert!(Place::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_listener_for_every_address_is_asked_on_loopback() {
        let place = |text: &str| Place::of(&ListenAddress::Tcp(text.to_owned())).to_string();
        assert_eq!(place("0.0.0.0:9091"), "127.0.0.1:9091");
        assert_eq!(place("[::]:9091"), "[::1]:9091");
        assert_eq!(place("10.0.0.1:9091"), "10.0.0.1:9091");
        assert_eq!(place("localhost:9091"), "localhost:9091");
    }

    #[test]
    fn an_answer_is_whole_or_none() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(read(whole).unwrap(), (200, b"{}".as_slice()));
        for cut in [
            &whole[..whole.len() - 1],
            &whole[..20],
            b"",
            b"SSH-2.0-x\r\n",
            b"HTTP/1.1 200 OK\r\n\r\n{}",
        ] {
            assert!(read(cut).is_err());
        }
    }
}
