//! The way back of a client's connection whose request has failed.
//!
//! Pingora drops the connection of every request that ends in an error of its own making, which is how it is told that all
//! targets have failed. Where the request was read to its end and the client got a whole answer, another request may
//! follow: then the connection is taken out of Pingora's hands before that, by the same checks as after a success.

use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora_proxy::Session;

/// Where a connection is left for whoever serves it. Clones share the place.
#[derive(Clone, Default)]
pub struct Home(Arc<Mutex<Option<Stream>>>);

impl Home {
    /// Takes the connection, if it was left here.
    pub fn take(&self) -> Option<Stream> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Leaves the connection of `session` here, unless it must close after this answer.
    pub(super) async fn bring(&self, session: &mut Session) {
        // Pingora drops this instead.
        let (nobody, _) = tokio::io::duplex(1);
        let nobody = ServerSession::new_http1(Box::new(nobody));
        let ended = mem::replace(&mut *session.downstream_session, nobody);
        if let Ok(Some(reusable)) = ended.finish().await {
            let (stream, _) = reusable.into_parts();
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(stream);
        }
    }
}
