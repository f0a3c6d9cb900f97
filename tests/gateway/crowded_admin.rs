//! Whoever holds connections of the admin listener keeps no monitoring system from it.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;

use crate::support::gateway::free_address;
use crate::support::*;

/// More than there are places.
const CROWD: usize = 100;
/// A gateway with so many routes that its status is far larger than what a socket holds.
async fn on(admin: Address) -> Watched {
    let routes: String = (0..150).map(|n| format!("  m{n}: [a]\n")).collect();
    let admin_yaml = match &admin {
        Address::Tcp(address) => address.to_string(),
        Address::Unix(path) => format!("unix:{}", path.display()),
    };
    let yaml = format!("{}{routes}admin: \"{admin_yaml}\"\n", chain(&["http://127.0.0.1:9"]));
    Watched::of(Gateway::start(yaml).await, admin).await
}

async fn probes_are_answered(watched: &Watched, meanwhile: &str) {
    for path in ["/healthz", "/readyz", "/healthz"] {
        assert_eq!(watched.ask(path).await.status(), 200, "{path} with {meanwhile}");
    }
}

/// So many connections on which `request` was sent, and nothing is read.
async fn crowd(watched: &Watched, request: &str) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..CROWD {
        let mut client = Client::connect(&watched.admin).await;
        // One that waits for long may be closed by now.
        let _ = client.http.send(request.as_bytes()).await;
        clients.push(client);
    }
    clients
}

async fn stands_a_crowd(watched: &Watched) {
    for (what, request) in [
        ("silent connections", ""),
        ("half a request line", "GET /heal"),
        ("half a header", "GET /healthz HTTP/1.1\r\nhost: localhost\r\n"),
        (
            "answered connections",
            "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n",
        ),
        ("unread answers", "GET /status HTTP/1.1\r\nhost: localhost\r\n\r\n"),
        (
            "bodies that never come",
            "GET /readyz HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n",
        ),
        (
            "streams of events",
            "GET /status/events HTTP/1.1\r\nhost: localhost\r\n\r\n",
        ),
    ] {
        let clients = crowd(watched, request).await;
        probes_are_answered(watched, what).await;
        drop(clients);
    }
}

#[tokio::test]
async fn probes_are_answered_whatever_a_crowd_does() {
    let watched = on(Address::Tcp(free_address())).await;
    stands_a_crowd(&watched).await;
}

#[tokio::test]
async fn probes_are_answered_on_a_unix_socket_too() {
    let directory = tempfile::TempDir::new().unwrap();
    let watched = on(Address::Unix(directory.path().join("admin.sock"))).await;
    stands_a_crowd(&watched).await;
}

#[tokio::test]
async fn clients_that_take_their_answers_slowly_lose_their_places() {
    let address = free_address();
    let watched = on(Address::Tcp(address)).await;
    let mut readers = Vec::new();
    for _ in 0..CROWD {
        let socket = TcpSocket::new_v4().unwrap();
        // The kernel takes no less than it needs, which is little enough.
        socket.set_recv_buffer_size(1024).unwrap();
        let mut reader = socket.connect(address).await.unwrap();
        let request = b"GET /status HTTP/1.1\r\nhost: localhost\r\n\r\n";
        reader.write_all(request).await.unwrap();
        readers.push(reader);
    }
    probes_are_answered(&watched, "slow readers").await;
}

#[tokio::test]
async fn pages_go_on_while_others_crowd() {
    let watched = on(Address::Tcp(free_address())).await;
    let mut page = watched.events().await;
    page.until("event: status").await;
    let clients = crowd(&watched, "").await;
    probes_are_answered(&watched, "silent connections").await;
    // Its heartbeat still comes.
    page.until(": still here").await;
    drop(clients);
}

#[tokio::test]
async fn connections_on_which_nothing_is_asked_are_closed() {
    let watched = on(Address::Tcp(free_address())).await;
    for begun in ["", "GET /healthz HTTP/1.1\r\nhost: loc"] {
        let mut client = Client::connect(&watched.admin).await;
        client.send(begun).await;
        client.closed().await;
    }
    let mut kept = Client::connect(&watched.admin).await;
    kept.send("GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!(kept.response().await.status(), 200);
    kept.closed().await;
}
