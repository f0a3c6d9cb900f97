use pingora::protocols::l4::stream::Stream as TcpConnection;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// Both ends of a connection; bytes that `early` has are there before the gateway's end is used.
async fn connection(early: &[u8]) -> (SendingStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (ours, theirs) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    let (ours, mut theirs) = (ours.unwrap(), theirs.unwrap().0);
    if !early.is_empty() {
        theirs.write_all(early).await.unwrap();
        ours.readable().await.unwrap();
    }
    (SendingStream::new(Box::new(TcpConnection::from(ours))), theirs)
}

/// Larger than what loopback's buffers hold.
fn large() -> Segments {
    Segments::from(Bytes::from(vec![b'x'; 24 << 20]))
}

fn small() -> Segments {
    Segments::from(Bytes::from_static(b"body"))
}

fn header() -> BytesMut {
    BytesMut::from("POST / HTTP/1.1\r\n\r\n")
}

#[tokio::test]
async fn what_was_written_whole_may_be_followed() {
    let (mut stream, mut upstream) = connection(b"").await;
    for body in [small(), large(), small()] {
        stream.queue(header(), &body);
        assert!(!stream.has_sent_all());
        let length = header().len() + body.len();
        let answering = async {
            let mut request = vec![0; length];
            upstream.read_exact(&mut request).await.unwrap();
            upstream.write_all(ANSWER).await.unwrap();
        };
        let mut answer = vec![0; ANSWER.len()];
        let (read, ()) = tokio::join!(stream.read_exact(&mut answer), answering);
        read.unwrap();
        assert!(stream.has_sent_all());
    }
}

#[tokio::test]
async fn what_is_answered_within_its_body_may_not() {
    let (mut stream, mut upstream) = connection(b"").await;
    stream.queue(header(), &large());
    upstream.write_all(ANSWER).await.unwrap();
    let mut answer = vec![0; ANSWER.len()];
    stream.read_exact(&mut answer).await.unwrap();
    assert!(!stream.has_sent_all(), "most of it is unsent");
}

#[tokio::test]
async fn what_could_not_be_written_may_not() {
    let (mut stream, mut upstream) = connection(b"").await;
    stream.queue(header(), &large());
    upstream.write_all(ANSWER).await.unwrap();
    let mut answer = vec![0; ANSWER.len()];
    stream.read_exact(&mut answer).await.unwrap();
    // Unread bytes make this close a reset.
    drop(upstream);
    let failing = async {
        while stream.progress != Progress::Failed {
            // A read may be told of the reset before a write is.
            let _ = stream.read(&mut answer).await;
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), failing).await.unwrap();
    assert!(!stream.has_sent_all() && stream.queue.is_empty());
}

#[tokio::test]
async fn an_answer_before_the_request_is_heard_and_nothing_follows_it() {
    let (mut stream, mut upstream) = connection(ANSWER).await;
    stream.queue(header(), &small());
    let mut answer = vec![0; ANSWER.len()];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, ANSWER);
    upstream.write_all(ANSWER).await.unwrap();
    stream.read_exact(&mut answer).await.unwrap();
    assert!(stream.progress == Progress::Sent && !stream.has_sent_all());
}

#[tokio::test]
async fn bytes_of_another_answer_are_not_this_requests() {
    let (mut stream, mut upstream) = connection(b"").await;
    stream.queue(header(), &small());
    let mut answer = vec![0; ANSWER.len()];
    let (read, written) = tokio::join!(stream.read_exact(&mut answer), upstream.write_all(ANSWER));
    read.unwrap();
    written.unwrap();
    assert!(stream.has_sent_all());
    upstream.write_all(ANSWER).await.unwrap();
    assert!(stream.try_peek(&mut [0]).await.unwrap(), "it has arrived");
    stream.queue(header(), &small());
    let refused = stream.read(&mut answer).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionAborted);
    assert!(!stream.has_sent_all());
}
