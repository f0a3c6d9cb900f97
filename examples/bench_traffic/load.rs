//! The load generator: connections that send requests when it is their [turn](crate::turns), and check every answer.

use std::cell::RefCell;
use std::io::{Result, Write, stdout};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::body::Exchange;
use crate::turns::{Pace, Turns};
use crate::wire::{Connection, broken};

/// Grace for the answers that are outstanding when the time is over.
const LAST_ANSWERS: Duration = Duration::from_secs(30);

#[derive(Default)]
struct Tally {
    latencies_ns: Vec<u64>,
    /// How long after its turn a request was sent: the generator's own delay.
    late_ns: Vec<u64>,
    non_200: u64,
    wrong_body: u64,
}

/// Runs at the pace, prints the report, and fails if any answer was not a 200 with the body expected.
pub(crate) async fn run(to: SocketAddr, exchange: Exchange, connections: usize, pace: Pace) -> anyhow::Result<()> {
    let tally = Rc::new(RefCell::new(Tally::default()));
    let request: Rc<[u8]> = request(to, exchange).into();
    let answer: Rc<[u8]> = exchange.response().concat().into();
    let mut open = Vec::new();
    for _ in 0..connections {
        open.push(Connection::new(TcpStream::connect(to).await?)?);
    }
    let tasks = tokio::task::LocalSet::new();
    let start = Instant::now();
    let turns = Rc::new(Turns::new(pace));
    let clients: Vec<_> = open
        .into_iter()
        .map(|connection| {
            let (tally, request, answer) = (Rc::clone(&tally), Rc::clone(&request), Rc::clone(&answer));
            let turns = Rc::clone(&turns);
            tasks.spawn_local(async move { client(connection, &request, &answer, &turns, &tally).await })
        })
        .collect();
    let clock = turns.start(connections)?;
    match pace {
        Pace::For(time) | Pace::Rate { time, .. } => tokio::time::timeout(time + LAST_ANSWERS, tasks)
            .await
            .context("some answers never came")?,
        Pace::Requests(_) => tasks.await,
    }
    if let Some(clock) = clock {
        clock.join().map_err(|_| anyhow!("the clock's thread panicked"))??;
    }
    let seconds = start.elapsed().as_secs_f64();
    let mut failed_connections = Vec::new();
    for client in clients {
        if let Err(error) = client.await? {
            failed_connections.push(error.to_string());
        }
    }
    report(&mut tally.borrow_mut(), seconds, &failed_connections)
}

pub(crate) fn request(to: SocketAddr, exchange: Exchange) -> Vec<u8> {
    let body = exchange.request();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {to}\r\nauthorization: Bearer bench\r\n\
         content-type: application/json\r\naccept: */*\r\nuser-agent: bench\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), &body].concat()
}

async fn client(
    mut connection: Connection,
    request: &[u8],
    answer: &[u8],
    turns: &Turns,
    tally: &RefCell<Tally>,
) -> Result<()> {
    let mut body = Vec::new();
    while let Some(turn) = turns.next().await {
        let late = turn.elapsed();
        connection.socket.write_all(request).await?;
        let head = connection
            .head()
            .await?
            .ok_or_else(|| broken("closed instead of an answer"))?;
        connection.body(&head, &mut body).await?;
        let latency = turn.elapsed();
        let mut tally = tally.borrow_mut();
        tally.latencies_ns.push(nanoseconds(latency));
        tally.late_ns.push(nanoseconds(late));
        tally.non_200 += u64::from(head.status != 200);
        tally.wrong_body += u64::from(body != answer);
    }
    Ok(())
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// By the nearest rank.
fn percentile_us(sorted_ns: &[u64], hundredths: usize) -> Option<f64> {
    let rank = (sorted_ns.len() * hundredths).div_ceil(100).max(1);
    sorted_ns.get(rank - 1).map(|ns| *ns as f64 / 1e3)
}

fn report(tally: &mut Tally, seconds: f64, failed_connections: &[String]) -> anyhow::Result<()> {
    tally.latencies_ns.sort_unstable();
    tally.late_ns.sort_unstable();
    let requests = tally.latencies_ns.len();
    let report = serde_json::json!({
        "requests": requests,
        "requests_per_second": requests as f64 / seconds,
        "p50_us": percentile_us(&tally.latencies_ns, 50),
        "p99_us": percentile_us(&tally.latencies_ns, 99),
        "late_p99_us": percentile_us(&tally.late_ns, 99),
        "non_200": tally.non_200,
        "wrong_body": tally.wrong_body,
        "failed_connections": failed_connections.len(),
    });
    writeln!(stdout(), "{report}")?;
    if let Some(first) = failed_connections.first() {
        bail!("{} connections failed, the first: {first}", failed_connections.len());
    }
    if requests == 0 || tally.non_200 > 0 || tally.wrong_body > 0 {
        bail!(
            "{requests} answers, {} not a 200, {} with a wrong body",
            tally.non_200,
            tally.wrong_body
        );
    }
    Ok(())
}
