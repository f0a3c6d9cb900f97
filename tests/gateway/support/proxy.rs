//! A proxy that leads everybody to one place, whatever they ask for, and remembers what they asked.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// What a proxy speaks, and what it answers.
#[derive(Clone)]
pub(crate) enum Speaks {
    /// The answer to CONNECT; one that begins with a 2xx is followed by the tunnel.
    Http(String),
    /// SOCKS5: the login that it wants, and the reply.
    Socks(Option<(&'static str, &'static str)>, u8),
}

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// One that leads to `place`.
    pub(crate) async fn to(place: SocketAddr, speaks: Speaks, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has ports");
        let address = listener.local_addr().expect("it is bound");
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let notes = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (notes, speaks, tls) = (Arc::clone(&notes), speaks.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => serve(stream, place, &speaks, &notes).await,
                            Err(_) => None,
                        },
                        None => serve(stream, place, &speaks, &notes).await,
                    }
                });
            }
        });
        Self { address, seen }
    }

    /// One that speaks HTTP and lets everybody through.
    pub(crate) async fn http(place: SocketAddr) -> Self {
        Self::to(
            place,
            Speaks::Http("HTTP/1.1 200 Connection established\r\n\r\n".to_owned()),
            None,
        )
        .await
    }

    /// What was asked on each connection: the head of a CONNECT, or `LOGIN kind:host:port` of SOCKS.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    place: SocketAddr,
    speaks: &Speaks,
    notes: &Mutex<Vec<String>>,
) -> Option<()> {
    let is_open = match speaks {
        Speaks::Http(answer) => {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.ok()?);
            }
            notes.lock().unwrap().push(String::from_utf8_lossy(&head).into_owned());
            stream.write_all(answer.as_bytes()).await.ok()?;
            stream.flush().await.ok()?;
            answer.get(9..10) == Some("2")
        }
        Speaks::Socks(login, reply) => {
            let who = greet(&mut stream, *login).await?;
            let asked = asked(&mut stream).await?;
            notes.lock().unwrap().push(format!("{who} {asked}"));
            // As some do: the address is a name.
            stream.write_all(&[5, *reply, 0, 3, 1, b'x', 0, 0]).await.ok()?;
            *reply == 0
        }
    };
    if is_open {
        let mut outside = TcpStream::connect(place).await.ok()?;
        copy_bidirectional(&mut stream, &mut outside).await.ok()?;
    }
    Some(())
}

async fn text(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut text = vec![0; usize::from(stream.read_u8().await.ok()?)];
    stream.read_exact(&mut text).await.ok()?;
    String::from_utf8(text).ok()
}

async fn greet(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), login: Option<(&str, &str)>) -> Option<String> {
    assert_eq!(stream.read_u8().await.ok()?, 5, "SOCKS5");
    let mut methods = vec![0; usize::from(stream.read_u8().await.ok()?)];
    stream.read_exact(&mut methods).await.ok()?;
    let Some((user, password)) = login else {
        stream.write_all(&[5, 0]).await.ok()?;
        return Some("-".to_owned());
    };
    if !methods.contains(&2) {
        stream.write_all(&[5, 255]).await.ok()?;
        return None;
    }
    stream.write_all(&[5, 2]).await.ok()?;
    assert_eq!(stream.read_u8().await.ok()?, 1, "RFC 1929");
    let given = (text(stream).await?, text(stream).await?);
    let is_right = (given.0.as_str(), given.1.as_str()) == (user, password);
    stream.write_all(&[1, u8::from(!is_right)]).await.ok()?;
    is_right.then_some(given.0)
}

async fn asked(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut head = [0; 4];
    stream.read_exact(&mut head).await.ok()?;
    assert_eq!(head[..3], [5, 1, 0], "CONNECT");
    let host = match head[3] {
        1 => {
            let mut address = [0; 4];
            stream.read_exact(&mut address).await.ok()?;
            format!("ipv4:{}", std::net::Ipv4Addr::from(address))
        }
        3 => format!("name:{}", text(stream).await?),
        other => panic!("an address of kind {other}"),
    };
    Some(format!("{host}:{}", stream.read_u16().await.ok()?))
}
