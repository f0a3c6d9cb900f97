//! A gateway with an admin listener.

use std::time::Duration;

use serde_json::Value;

use super::client::{Client, Response};
use super::gateway::{Address, Gateway, Setup, free_address};
use super::soon;

pub(crate) struct Watched {
    pub(crate) gateway: Gateway,
    pub(crate) admin: Address,
}

impl Watched {
    /// `yaml` without `listen`, `log` and `admin`, which are the test's own.
    pub(crate) async fn start(yaml: impl AsRef<str>) -> Self {
        let admin = free_address();
        let gateway = Setup::new(format!("{}\nadmin: \"{admin}\"\n", yaml.as_ref()))
            .start()
            .await;
        Self::of(gateway, Address::Tcp(admin)).await
    }

    /// `gateway` has its admin listener there. It may not be open yet.
    pub(crate) async fn of(gateway: Gateway, admin: Address) -> Self {
        soon("the admin listener", async {
            while Client::try_connect(&admin).await.is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        let watched = Self { gateway, admin };
        // It listens here first, and is ready a moment later. (Boxed: tests have small stacks.)
        Box::pin(soon("the gateway to be ready", async {
            while watched.ask("/readyz").await.status() != 200 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }))
        .await;
        watched
    }

    /// Sends these bytes to the admin listener on a connection of their own, and reads the response.
    pub(crate) async fn exchange(&self, request: impl AsRef<[u8]>) -> Response {
        let mut client = Client::connect(&self.admin).await;
        client.send(request).await;
        client.response().await
    }

    pub(crate) async fn ask(&self, path: &str) -> Response {
        self.ask_with(path, "host: localhost\r\n").await
    }

    /// The same with these header lines alone, each ended by `\r\n`.
    pub(crate) async fn ask_with(&self, path: &str, lines: &str) -> Response {
        self.exchange(format!("GET {path} HTTP/1.1\r\n{lines}\r\n")).await
    }

    pub(crate) async fn status(&self) -> Value {
        let response = self.ask("/status").await;
        assert_eq!(response.status(), 200, "{}", response.text());
        response.json()
    }

    /// The document, once `of` is true of it.
    pub(crate) async fn status_with(&self, what: &str, of: impl Fn(&Value) -> bool) -> Value {
        soon(what, async {
            loop {
                let status = self.status().await;
                if of(&status) {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
    }

    /// A connection on which the events come, their header read.
    pub(crate) async fn events(&self) -> Client {
        let mut client = Client::connect(&self.admin).await;
        client
            .send("GET /status/events HTTP/1.1\r\nhost: localhost\r\n\r\n")
            .await;
        let head = client.head().await;
        assert_eq!(head.status(), 200);
        assert_eq!(head.header("content-type"), Some("text/event-stream"));
        client
    }
}
