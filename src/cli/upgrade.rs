//! `switchback upgrade`: a running process hands over to the program's file as it is now.

use std::fs;
use std::io::{self, Write};
use std::os::unix::net::UnixListener as StdListener;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::net::sockopt::socket_peercred;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::AsyncReadExt;
use tokio::net::UnixListener;
use tokio::time::{Instant, timeout_at};

use crate::server::{upgrade, upgrade_outcome};

const SERVICE: &str = "switchback.service";
/// The process's own limit, and some time to tell.
const OUTCOME_WITHIN: Duration = upgrade::READY_WITHIN.saturating_add(Duration::from_secs(10));
const OUTCOME_BYTES_MAX: u64 = 4096;

/// Replace the running program by the installed one, without losing a request
///
/// Install the new program over the old one first. The running process then starts it on its own listening sockets. Once
/// the new process accepts connections it takes charge (systemd is told), and the old one finishes its running requests,
/// for at most `server.drain`. If the new program rejects the configuration, exits, or is not ready within 30 seconds,
/// the old process carries on, and this command says why. `kill -USR2 PID` does the same without reporting the outcome.
///
/// The unit's settings, environment and credentials stay as they are: changing those needs a restart.
///
/// Exit status: 0 the new program serves, 1 it does not, 2 wrong arguments.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The process to upgrade, if it is not a systemd service
    #[arg(long, value_name = "PID", conflicts_with = "unit")]
    pid: Option<i32>,

    /// The systemd service to upgrade
    #[arg(long, value_name = "UNIT", default_value = SERVICE)]
    unit: String,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let number = match arguments.pid {
        Some(number) => number,
        None => main_process(&arguments.unit)?,
    };
    let pid = Pid::from_raw(number)
        .filter(|_| number > 0)
        .context("--pid: no process has that number")?;
    expect_handler(number)?;
    let address = upgrade_outcome::address(number.unsigned_abs())?;
    let listener = StdListener::bind_addr(&address).context("another `switchback upgrade` waits for this process")?;
    kill_process(pid, Signal::USR2).with_context(|| format!("process {number} can't be sent SIGUSR2"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(outcome(listener, pid))?;
    match outcome.split_once(' ') {
        Some((upgrade_outcome::DONE, text)) => {
            writeln!(io::stdout().lock(), "{text}")?;
            Ok(ExitCode::SUCCESS)
        }
        Some((upgrade_outcome::FAILED, text)) => bail!("not upgraded: {text}"),
        _ => bail!("process {number} said something else than the outcome: is it another program?"),
    }
}

/// # Errors
/// Fails if the service does not run, or systemd can't be asked.
fn main_process(unit: &str) -> anyhow::Result<i32> {
    let shown = Command::new("systemctl")
        .args(["show", "--property=MainPID", "--value", "--", unit])
        .output()
        .context("systemctl can't be run; name the process with --pid")?;
    if !shown.status.success() {
        bail!("systemctl: {}", String::from_utf8_lossy(&shown.stderr).trim());
    }
    match String::from_utf8_lossy(&shown.stdout).trim().parse() {
        Ok(0) => bail!("{unit} does not run; name another with --unit, or a process with --pid"),
        Ok(pid) => Ok(pid),
        Err(_) => bail!("systemctl does not know the main process of {unit}"),
    }
}

/// A process that does not handle the signal would be ended by it.
fn expect_handler(pid: i32) -> anyhow::Result<()> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("there is no process {pid} ({path})"))?;
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0);
    if caught & (1 << (Signal::USR2.as_raw() - 1)) == 0 {
        bail!("process {pid} does not handle upgrades: it is another program, or an older version; restart it");
    }
    Ok(())
}

/// The line that the process `from` writes.
async fn outcome(listener: StdListener, from: Pid) -> anyhow::Result<String> {
    listener.set_nonblocking(true)?;
    let listener = UnixListener::from_std(listener)?;
    let deadline = Instant::now() + OUTCOME_WITHIN;
    loop {
        let late = || {
            format!(
                "process {from} said nothing within {} s; its log tells more",
                OUTCOME_WITHIN.as_secs()
            )
        };
        let (stream, _) = timeout_at(deadline, listener.accept()).await.with_context(late)??;
        // Anybody may write to this socket.
        if socket_peercred(&stream).is_ok_and(|peer| peer.pid == from) {
            let mut text = String::new();
            let mut stream = stream.take(OUTCOME_BYTES_MAX);
            timeout_at(deadline, stream.read_to_string(&mut text))
                .await
                .with_context(late)??;
            return Ok(text.trim().to_owned());
        }
    }
}
