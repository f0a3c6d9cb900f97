//! A tunnel by HTTP: `CONNECT HOST:PORT` (RFC 9110 §9.3.6).

use std::net::Ipv6Addr;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::tunnel_fault::TunnelFault;

/// The most that is read of the answer.
const HEADER_MAX_BYTES: usize = 8 * 1024;
const PIECE_BYTES: usize = 1024;
/// The length of `HTTP/1.1 200`.
const STATUS_LINE_BYTES: usize = 12;

/// Asks for a tunnel to `host` and `port`, and returns what came behind the answer: the upstream's first bytes.
pub(super) async fn open(
    proxy: &mut (impl AsyncRead + AsyncWrite + Unpin),
    host: &str,
    port: u16,
    login: Option<&(String, String)>,
) -> Result<Vec<u8>, TunnelFault> {
    let host = match host.parse::<Ipv6Addr>() {
        Ok(_) => format!("[{host}]"),
        Err(_) => host.to_owned(),
    };
    let authorization = login.map_or_else(String::new, |(user, password)| {
        let login = BASE64_STANDARD.encode(format!("{user}:{password}"));
        format!("proxy-authorization: Basic {login}\r\n")
    });
    let request = format!("CONNECT {host}:{port} HTTP/1.1\r\nhost: {host}:{port}\r\n{authorization}\r\n");
    proxy.write_all(request.as_bytes()).await?;
    proxy.flush().await?;
    let mut answer = Vec::new();
    // Each piece has a byte at least.
    for _ in 0..HEADER_MAX_BYTES {
        let mut piece = [0; PIECE_BYTES];
        let room = piece.len().min(HEADER_MAX_BYTES - answer.len());
        let read = proxy.read(&mut piece[..room]).await?;
        if room == 0 {
            return Err(TunnelFault::Invalid("its header is longer than 8 KiB"));
        }
        if read == 0 {
            return Err(TunnelFault::Invalid("it closed before it had answered"));
        }
        answer.extend_from_slice(&piece[..read]);
        if let Some(end) = header_end(&answer) {
            return match status(&answer) {
                Some(200..=299) => Ok(answer.split_off(end)),
                Some(407) if login.is_none() => Err(TunnelFault::NoLogin),
                Some(407) => Err(TunnelFault::Login),
                Some(status) => Err(TunnelFault::Refused(format!("status {status}"))),
                None => Err(TunnelFault::Invalid("it speaks no HTTP")),
            };
        }
    }
    Err(TunnelFault::Invalid("its header is longer than 8 KiB"))
}

/// Finds where the header ends.
fn header_end(answer: &[u8]) -> Option<usize> {
    memchr::memmem::find(answer, b"\r\n\r\n").map(|at| at + 4)
}

fn status(answer: &[u8]) -> Option<u16> {
    let line = answer.get(..STATUS_LINE_BYTES)?;
    let digits = line.strip_prefix(b"HTTP/1.")?.get(2..)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}
