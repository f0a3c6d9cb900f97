//! The refusal of a client for whose connection there is no room, and its record in the log.

use std::sync::Mutex;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use super::stream::ClientStream;

/// How long a refused client may take to read the reason.
const FAREWELL: Duration = Duration::from_secs(1);
const TOLD_EVERY: Duration = Duration::from_secs(10);

const NO_ROOM: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\n\
    connection: close\r\nx-gateway-error-origin: gateway\r\ncontent-length: 186\r\n\r\n\
    {\"error\":{\"message\":\"the gateway has as many client connections as it takes, and none of them is idle; try again soon\",\
    \"type\":\"server_error\",\"param\":null,\"code\":\"too_many_connections\"}}\n";

/// Refuses the client, and closes. What the client has sent is read, or it would see a reset instead of the answer.
pub(super) async fn no_room(mut stream: ClientStream) {
    stream.pass_all();
    let answer = async {
        stream.write_all(NO_ROOM.as_bytes()).await?;
        stream.shutdown().await?;
        let mut unread = [0; 1024];
        while stream.read(&mut unread).await? > 0 {}
        std::io::Result::Ok(())
    };
    // Whether the client has read it or not, the connection closes now.
    let _ = timeout(FAREWELL, answer).await;
}

/// One line in a while, however many are refused.
pub(super) fn tell(most: usize) {
    static TOLD_AT: Mutex<Option<Instant>> = Mutex::new(None);
    let now = Instant::now();
    {
        let Ok(mut told_at) = TOLD_AT.lock() else { return };
        if told_at.is_some_and(|at| now < at + TOLD_EVERY) {
            return;
        }
        *told_at = Some(now);
    }
    log::warn!(
        connections = most;
        "client connections are refused: there are as many as `server.connections` or the limit on open files allow, and none is idle"
    );
}
