//! What the gateway's process writes, line by line, as it comes.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::sync::Notify;

use super::soon;

#[derive(Clone, Default)]
pub(crate) struct Log {
    lines: Arc<Mutex<Vec<String>>>,
    changed: Arc<Notify>,
}

impl Log {
    /// Follows `pipe` to its end, on a thread of its own.
    pub(crate) fn follow(&self, pipe: impl Read + Send + 'static) {
        let log = self.clone();
        std::thread::spawn(move || {
            let mut reader = BufReader::new(pipe);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                log.lines.lock().expect("no test panics with the log locked").push(text);
                log.changed.notify_waiters();
                line.clear();
            }
        });
    }

    /// Forgets what was written so far.
    pub(crate) fn clear(&self) {
        self.lines.lock().expect("no test panics with the log locked").clear();
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().expect("no test panics with the log locked").clone()
    }

    pub(crate) fn text(&self) -> String {
        self.lines().join("\n")
    }

    /// The first line that is JSON and passes `wanted`, once it is there.
    pub(crate) async fn line(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let found = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if let Some(line) = self.json().into_iter().find(&wanted) {
                    return line;
                }
                changed.await;
            }
        };
        match tokio::time::timeout(super::PATIENCE, found).await {
            Ok(line) => line,
            Err(_) => panic!("no log line with {what} in:\n{}", self.text()),
        }
    }

    /// Prints it among a failed test's output.
    #[expect(clippy::print_stderr, reason = "the test harness shows what a failed test prints")]
    pub(crate) fn show(&self) {
        eprintln!("--- the gateway's log\n{}", self.text());
    }

    /// Every line that is a JSON object.
    pub(crate) fn json(&self) -> Vec<Value> {
        let lines = self.lines();
        lines
            .iter()
            .filter_map(|line| serde_json::from_str(line).ok())
            .filter(Value::is_object)
            .collect()
    }

    /// Waits for a line that contains `text`.
    pub(crate) async fn says(&self, text: &str) {
        soon(&format!("a log line with {text:?}"), async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if self.lines().iter().any(|line| line.contains(text)) {
                    return;
                }
                changed.await;
            }
        })
        .await;
    }
}
