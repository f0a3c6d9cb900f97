//! The two ends of `scripts/bench`: `upstream` is the mock behind the proxies, `load` the clients before them. Raw
//! HTTP/1.1 over keep-alive sockets, one thread, as little work as possible; every byte that arrives is checked.

mod body;
mod hold;
mod load;
mod turns;
mod upstream;
mod wire;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, Subcommand};

use body::Exchange;
use turns::Pace;

#[derive(Parser)]
#[command(about = "Mock upstream and load generator of scripts/bench")]
struct Arguments {
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand)]
enum Role {
    /// Serve on free ports until stdin closes; the ports are the first line on stdout, as JSON.
    Upstream,
    /// Send one kind of request, again and again, and report as JSON on stdout. Fails unless every answer was right.
    Load {
        #[arg(long)]
        to: SocketAddr,
        #[arg(long, value_enum)]
        exchange: Exchange,
        #[arg(long, default_value_t = 1)]
        connections: usize,
        #[arg(long, default_value_t = 1.0)]
        seconds: f64,
        /// An open loop with so many requests a second; latencies count from when each was to be sent.
        #[arg(long, conflicts_with = "requests")]
        rate: Option<f64>,
        /// Exactly so many requests, however long they take.
        #[arg(long, conflicts_with = "seconds")]
        requests: Option<u64>,
    },
    /// Open streams that have begun and then say nothing, tell how many on stdout, and hold them until stdin closes.
    Hold {
        #[arg(long)]
        to: SocketAddr,
        #[arg(long)]
        streams: usize,
    },
}

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match Arguments::parse().role {
        Role::Upstream => runtime.block_on(upstream::serve()),
        Role::Load {
            to,
            exchange,
            connections,
            seconds,
            rate,
            requests,
        } => {
            let time = Duration::from_secs_f64(seconds);
            let pace = match (rate, requests) {
                (Some(per_second), _) => Pace::Rate { per_second, time },
                (None, Some(requests)) => Pace::Requests(requests),
                (None, None) => Pace::For(time),
            };
            runtime.block_on(load::run(to, exchange, connections, pace))
        }
        Role::Hold { to, streams } => runtime.block_on(hold::run(to, streams)),
    }
}
