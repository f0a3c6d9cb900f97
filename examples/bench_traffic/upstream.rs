//! The mock upstream: one port that answers well, one that answers 500 at once, one that refuses connections.

use std::io::{Result, Write, stdout};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::body::Exchange;
use crate::wire::{Connection, broken};

const BROKEN_BODY: &str = r#"{"error":{"message":"The server had an error","type":"server_error","code":null}}"#;

/// Serves until stdin closes: so it never outlives the script that started it, however that ends. For each line on stdin,
/// says on stdout how many requests the broken port has answered: so the script knows that every request did switch.
pub(crate) async fn serve() -> anyhow::Result<()> {
    let good = TcpListener::bind("127.0.0.1:0").await?;
    let broken = TcpListener::bind("127.0.0.1:0").await?;
    // Bound, never listening: connections are refused and nobody else can take the port.
    let refusing = TcpSocket::new_v4()?;
    refusing.bind("127.0.0.1:0".parse()?)?;
    let ports = serde_json::json!({
        "good": good.local_addr()?.port(),
        "broken": broken.local_addr()?.port(),
        "refusing": refusing.local_addr()?.port(),
    });
    let mut out = stdout();
    writeln!(out, "{ports}")?;
    out.flush()?;

    let answers = Rc::new(Answers::new());
    let broken_answers = Arc::new(AtomicU64::new(0));
    let stdin_closed = Arc::new(tokio::sync::Notify::new());
    let (notify, count) = (Arc::clone(&stdin_closed), Arc::clone(&broken_answers));
    std::thread::spawn(move || {
        for _ in std::io::stdin().lines().map_while(Result::ok) {
            let _ = writeln!(stdout(), "{}", count.load(Ordering::Relaxed));
        }
        notify.notify_one();
    });
    let tasks = tokio::task::LocalSet::new();
    tasks.spawn_local(accept(good, Rc::clone(&answers), None));
    tasks.spawn_local(accept(broken, answers, Some(broken_answers)));
    tasks.run_until(stdin_closed.notified()).await;
    Ok(())
}

struct Answer {
    pieces: Vec<Vec<u8>>,
    /// Nothing follows the pieces, and they are not all of it.
    falls_silent: bool,
}

/// Requests and the pieces of their answers, ready to be written.
struct Answers {
    known: Vec<(Vec<u8>, Answer)>,
    broken: Answer,
}

impl Answers {
    fn new() -> Self {
        let broken = whole("500 Internal Server Error", "application/json", BROKEN_BODY.as_bytes());
        Self {
            known: Exchange::ALL.map(|one| (one.request(), answer(one))).into(),
            broken: Answer {
                pieces: vec![broken],
                falls_silent: false,
            },
        }
    }

    /// The answer to `body`, if every byte of it is as it was sent.
    fn to(&self, body: &[u8]) -> Option<&Answer> {
        self.known
            .iter()
            .find(|(request, _)| request == body)
            .map(|(_, answer)| answer)
    }
}

fn whole(status: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn answer(exchange: Exchange) -> Answer {
    let content_type = exchange.content_type();
    let falls_silent = exchange == Exchange::Silent;
    if exchange != Exchange::Sse20 && !falls_silent {
        return Answer {
            pieces: vec![whole("200 OK", content_type, &exchange.response().concat())],
            falls_silent,
        };
    }
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n\r\n");
    let chunk = |event: &Vec<u8>| [format!("{:x}\r\n", event.len()).as_bytes(), event, b"\r\n"].concat();
    let mut pieces = vec![head.into_bytes()];
    pieces.extend(exchange.response().iter().map(chunk));
    if !falls_silent {
        pieces.push(b"0\r\n\r\n".to_vec());
    }
    Answer { pieces, falls_silent }
}

/// With a counter of the answers given, the port is the broken one.
async fn accept(listener: TcpListener, answers: Rc<Answers>, broken: Option<Arc<AtomicU64>>) {
    loop {
        if let Ok((socket, _)) = listener.accept().await {
            let (answers, broken) = (Rc::clone(&answers), broken.clone());
            // A proxy may close whenever it likes; what goes wrong with a request, the client sees.
            tokio::task::spawn_local(async move { drop(converse(socket, &answers, broken.as_deref()).await) });
        }
    }
}

async fn converse(socket: TcpStream, answers: &Answers, broken_answers: Option<&AtomicU64>) -> Result<()> {
    let mut connection = Connection::new(socket)?;
    let mut body = Vec::new();
    while let Some(head) = connection.head().await? {
        connection.body(&head, &mut body).await?;
        let answer = match (answers.to(&body), broken_answers) {
            (Some(answer), None) => answer,
            (Some(_), Some(count)) => {
                count.fetch_add(1, Ordering::Relaxed);
                &answers.broken
            }
            (None, _) => {
                connection
                    .socket
                    .write_all(&whole("400 Bad Request", "text/plain", b"not the body sent"))
                    .await?;
                return Err(broken("a request that no client sent"));
            }
        };
        for piece in &answer.pieces {
            connection.socket.write_all(piece).await?;
        }
        if answer.falls_silent {
            // Until the proxy closes: it has nothing more to send.
            connection.head().await?;
            return Ok(());
        }
    }
    Ok(())
}
