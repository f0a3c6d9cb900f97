//! A byte stream, whatever it runs over.

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// TCP, TLS over TCP, or a unix socket.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {
    /// Makes the coming close a reset (`SO_LINGER` 0) where the transport has resets.
    fn reset_on_close(&self);
}

impl Wire for TcpStream {
    fn reset_on_close(&self) {
        self.set_zero_linger().expect("a live socket takes SO_LINGER");
    }
}

impl Wire for UnixStream {
    fn reset_on_close(&self) {}
}

impl Wire for tokio_rustls::server::TlsStream<TcpStream> {
    fn reset_on_close(&self) {
        self.get_ref().0.reset_on_close();
    }
}

impl Wire for tokio_rustls::client::TlsStream<TcpStream> {
    fn reset_on_close(&self) {
        self.get_ref().0.reset_on_close();
    }
}
