//! Snapshots are replaced while polls continue.

use std::io::Write;

use pingora::connectors::ConnectorOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::*;
use crate::config::{KeyPolicy, LoadOptions, load};

const PATIENCE: Duration = Duration::from_secs(20);

/// One upstream, whose account is asked at `path`.
fn compiled(port: u16, path: &str, previous: Option<&Snapshot>) -> Snapshot {
    let yaml = format!(
        "upstreams: {{ u: {{ url: \"http://127.0.0.1:{port}\", balance: {{ url: {path}, pointer: \"\", every: 1s }} }} }}\n\
         routes: {{ m: [u] }}\n"
    );
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(yaml.as_bytes()).unwrap();
    let options = LoadOptions {
        env: &|_| None,
        keys: KeyPolicy::Required,
    };
    let config = load(file.path(), &options).config.expect("a valid file");
    Snapshot::compile(&config, 0, previous).unwrap()
}

/// Answers every request with `5`, and reports which paths were asked.
async fn answer_all(listener: TcpListener, asked: mpsc::UnboundedSender<String>) {
    while let Ok((socket, _)) = listener.accept().await {
        tokio::spawn(answer(socket, asked.clone()));
    }
}

async fn answer(mut socket: TcpStream, asked: mpsc::UnboundedSender<String>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    asked.send(head.split(' ').nth(1).unwrap().to_owned()).unwrap();
    socket
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n5")
        .await
        .unwrap();
}

#[tokio::test]
async fn each_snapshot_has_its_accounts_asked_and_those_of_no_other() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (send, mut asked) = mpsc::unbounded_channel();
    let answering = tokio::spawn(answer_all(listener, send));
    let mut next = async || timeout(PATIENCE, asked.recv()).await.expect("a poll").unwrap();

    let snapshot = Arc::new(ArcSwap::from_pointee(compiled(port, "/one", None)));
    let balances = Balances {
        snapshot: Arc::clone(&snapshot),
        connector: JudgingConnector::new(&ConnectorOptions::new(4)),
    };
    let (stop, shutdown) = watch::channel(false);
    let polling = tokio::spawn(async move { balances.start(shutdown).await });
    for _ in 0..2 {
        assert_eq!(next().await, "/one");
    }
    // A poll of before may be under way while the snapshots change.
    snapshot.store(Arc::new(compiled(port, "/two", Some(&snapshot.load()))));
    while next().await != "/two" {}
    for _ in 0..2 {
        assert_eq!(next().await, "/two");
    }
    let status = snapshot.load().table.upstreams[0].balance().unwrap();
    assert_eq!(status.reading.unwrap().remaining.amount, Some(5.0));

    stop.send(true).unwrap();
    timeout(PATIENCE, polling).await.expect("it stops").unwrap();
    answering.abort();
}
