//! The process itself, under the names that Prometheus' own client libraries use.

use std::fs;

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use crate::telemetry::metrics::{Exposition, names};

/// Adds the metrics of the process. Those that this system does not provide are left out.
pub(super) fn show(exposition: &Exposition) {
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    exposition.set_counter(&names::CPU_SECONDS, &[], cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9);
    if let Some(most) = getrlimit(Resource::Nofile).current {
        exposition.set(&names::MAX_FDS, &[], most as f64);
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // One of them is this directory.
        exposition.set(&names::OPEN_FDS, &[], open.count().saturating_sub(1) as f64);
    }
    if let Ok(status) = fs::read_to_string("/proc/self/status") {
        let set = |metric, value: Option<f64>| {
            if let Some(value) = value {
                exposition.set(metric, &[], value);
            }
        };
        set(&names::RESIDENT_BYTES, field(&status, "VmRSS:").map(|kib| kib * 1024.0));
        set(&names::VIRTUAL_BYTES, field(&status, "VmSize:").map(|kib| kib * 1024.0));
        set(&names::THREADS, field(&status, "Threads:"));
    }
}

/// The number behind `name` (proc_pid_status(5)).
fn field(status: &str, name: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_all_of_them() {
        let exposition = Exposition::default();
        show(&exposition);
        let text = exposition.render();
        for metric in names::ALL.iter().filter(|metric| metric.name.starts_with("process_")) {
            if metric.name == names::START_TIME.name {
                continue;
            }
            let value = text
                .lines()
                .find_map(|line| line.strip_prefix(metric.name)?.strip_prefix(' '));
            let value: f64 = value
                .unwrap_or_else(|| panic!("no {}:\n{text}", metric.name))
                .parse()
                .unwrap();
            assert!(value > 0.0, "{}: {value}", metric.name);
        }
    }
}
