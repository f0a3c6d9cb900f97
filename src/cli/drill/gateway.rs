//! The gateway on a thread of its own, watched: it may end before it ever listens.

use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::config::Config;

/// How long the gateway may take to open its port.
const OPEN_MAX: Duration = Duration::from_secs(20);

pub(super) struct Gateway {
    end: Receiver<anyhow::Result<()>>,
}

impl Gateway {
    pub(super) fn start(
        config: Config,
        start: impl FnOnce(Config) -> anyhow::Result<()> + Send + 'static,
    ) -> anyhow::Result<Self> {
        let (sender, end) = channel();
        let run = move || {
            // Nobody listens any more if the drill has ended first.
            let _ = sender.send(start(config));
        };
        std::thread::Builder::new()
            .name("gateway".to_owned())
            .spawn(run)
            .context("starting the gateway's thread")?;
        Ok(Self { end })
    }

    /// Returns as soon as something accepts connections at `address`.
    pub(super) fn wait_until_open(&mut self, address: SocketAddr) -> anyhow::Result<()> {
        let begun = Instant::now();
        while TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err() {
            match self.end.recv_timeout(Duration::from_millis(20)) {
                Err(RecvTimeoutError::Timeout) if begun.elapsed() < OPEN_MAX => {}
                Err(RecvTimeoutError::Timeout) => bail!("the gateway did not open {address} within {OPEN_MAX:?}"),
                Ok(Ok(())) => bail!("the gateway ended before it opened {address}"),
                Ok(Err(error)) => return Err(error.context("the gateway did not start")),
                Err(RecvTimeoutError::Disconnected) => bail!("the gateway broke off before it opened {address}"),
            }
        }
        Ok(())
    }

    /// Returns when the gateway has ended.
    pub(super) fn wait(self) -> anyhow::Result<()> {
        self.end.recv().context("the gateway broke off")?
    }
}
