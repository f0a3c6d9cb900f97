use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// Both ends of a connection.
async fn connection() -> (Stream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (ours, theirs) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    let ours = pingora::protocols::l4::stream::Stream::from(ours.unwrap());
    (Box::new(ours), theirs.unwrap().0)
}

#[tokio::test]
async fn the_connection_that_served_last_serves_next() {
    let pool = IdlePool::new(8);
    let (first, _keep) = connection().await;
    let (second, mut other_end) = connection().await;
    pool.put(1, first);
    pool.put(1, second);
    assert!(pool.take(2).is_none());
    let mut taken = pool.take(1).unwrap();
    taken.write_all(b"x").await.unwrap();
    let mut byte = [0];
    other_end.read_exact(&mut byte).await.unwrap();
    assert!(pool.take(1).is_some() && pool.take(1).is_none());
    assert_eq!(pool.lock().count, 0);
}

#[tokio::test]
async fn what_is_closed_or_has_spoken_is_passed_over() {
    let pool = IdlePool::new(8);
    let (open, _keep) = connection().await;
    let (closed, end) = connection().await;
    let (spoke, mut speaker) = connection().await;
    for stream in [open, closed, spoke] {
        pool.put(1, stream);
    }
    drop(end);
    speaker.write_all(b"HTTP/1.1 408 \r\n").await.unwrap();
    // Loopback delivers before the next turn of the reactor.
    tokio::task::yield_now().await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(pool.take(1).is_some());
    assert!(pool.take(1).is_none());
}

#[tokio::test]
async fn the_longest_idle_one_makes_room() {
    let pool = IdlePool::new(1);
    let (first, mut end) = connection().await;
    let (second, _keep) = connection().await;
    pool.put(1, first);
    pool.put(2, second);
    assert_eq!(end.read(&mut [0]).await.unwrap(), 0, "it is closed");
    assert!(pool.take(1).is_none() && pool.take(2).is_some());
}

#[tokio::test]
async fn what_an_upstream_has_closed_is_closed_here_before_long() {
    let pool = IdlePool::new(8);
    let (ours, end) = connection().await;
    pool.put(1, ours);
    drop(end);
    let until = Instant::now() + 10 * BETWEEN_SWEEPS;
    while pool.lock().count > 0 {
        assert!(Instant::now() < until);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!pool.lock().is_swept);
}
