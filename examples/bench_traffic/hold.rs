//! Clients of streams that say nothing: what a proxy needs to keep one open is seen from outside.

use std::io::{Write, stdout};
use std::net::SocketAddr;

use anyhow::bail;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::body::Exchange;
use crate::load::request;
use crate::wire::Connection;

/// How many streams are begun at once.
const OPENING: usize = 32;

/// Opens `streams`, each with its first event read, and holds them until stdin closes.
pub(crate) async fn run(to: SocketAddr, streams: usize) -> anyhow::Result<()> {
    let request = request(to, Exchange::Silent);
    let event = Exchange::Silent.response().concat();
    let mut open = Vec::with_capacity(streams);
    while open.len() < streams {
        let more = OPENING.min(streams - open.len());
        let mut begun = Vec::with_capacity(more);
        for _ in 0..more {
            let mut connection = Connection::new(TcpStream::connect(to).await?)?;
            connection.socket.write_all(&request).await?;
            begun.push(connection);
        }
        for mut connection in begun {
            match connection.head().await? {
                Some(head) if head.status == 200 => connection.begin(&head, &event).await?,
                Some(head) => bail!("stream {} was answered {}", open.len(), head.status),
                None => bail!("stream {} was closed instead of answered", open.len()),
            }
            open.push(connection);
        }
    }
    let mut out = stdout();
    writeln!(out, "{}", serde_json::json!({ "open": open.len() }))?;
    out.flush()?;
    tokio::task::spawn_blocking(|| std::io::stdin().lines().count()).await?;
    Ok(())
}
