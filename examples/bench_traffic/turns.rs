//! When the next request is sent, for as long as there is a next one.

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::io::read;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::sync::Semaphore;

/// How many requests there are, and what they wait for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// A closed loop until the time is over: a connection sends its next request when it has its answer.
    For(Duration),
    /// A closed loop of so many requests, over all connections.
    Requests(u64),
    /// An open loop: so many requests a second, whether or not answers come, until the time is over.
    Rate { per_second: f64, time: Duration },
}

pub(crate) struct Turns {
    pace: Pace,
    start: Instant,
    begun: Cell<u64>,
    /// With a rate: one permit for each request whose time has come.
    due: Arc<Semaphore>,
}

impl Turns {
    pub(crate) fn new(pace: Pace) -> Self {
        Self {
            pace,
            start: Instant::now(),
            begun: Cell::new(0),
            due: Arc::new(Semaphore::new(0)),
        }
    }

    /// Waits for a request's turn. It says from when on its latency counts: with a rate, that is when it was to be sent,
    /// so that an answer that is late makes those late that wait behind it.
    pub(crate) async fn next(&self) -> Option<Instant> {
        match self.pace {
            Pace::For(time) => Some(Instant::now()).filter(|now| *now < self.start + time),
            Pace::Requests(count) => (self.begin() < count).then(Instant::now),
            Pace::Rate { per_second, time } => {
                self.due.acquire().await.ok()?.forget();
                let nth = self.begin();
                (nth < requests(per_second, time)).then(|| self.start + interval(per_second).mul_f64((nth + 1) as f64))
            }
        }
    }

    /// The number of the request that begins now.
    fn begin(&self) -> u64 {
        self.begun.replace(self.begun.get() + 1)
    }

    /// Lets requests begin at the rate, if there is one, from a thread that waits for nothing else; `connections` are told
    /// of the end.
    pub(crate) fn start(&self, connections: usize) -> io::Result<Option<JoinHandle<io::Result<()>>>> {
        let Pace::Rate { per_second, time } = self.pace else {
            return Ok(None);
        };
        // Tokio's own clock counts milliseconds, and the kernel lets a thread oversleep by 50 µs.
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC)?;
        let every = Timespec {
            tv_sec: 0,
            tv_nsec: interval(per_second).as_nanos() as _,
        };
        let every = Itimerspec {
            it_interval: every,
            it_value: every,
        };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &every)?;
        let (due, all) = (Arc::clone(&self.due), requests(per_second, time));
        Ok(Some(thread::spawn(move || {
            let mut come = 0;
            while come < all {
                let mut expirations = [0; 8];
                read(&timer, &mut expirations)?;
                let now_due = u64::from_ne_bytes(expirations).min(all - come);
                come += now_due;
                due.add_permits(usize::try_from(now_due).unwrap_or(0));
            }
            due.add_permits(connections);
            Ok(())
        })))
    }
}

fn interval(per_second: f64) -> Duration {
    Duration::from_secs_f64(1.0 / per_second)
}

fn requests(per_second: f64, time: Duration) -> u64 {
    (per_second * time.as_secs_f64()) as u64
}
