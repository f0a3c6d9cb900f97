//! Changing the configuration of a running gateway, and hearing what came of it.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::gateway::Gateway;
use super::soon;

/// Changes are taken on SIGHUP only, so that a test knows what caused what.
pub(crate) const UNWATCHED: &str = "server: { watch: false }\n";

/// The log's message of a reload that was applied begins so.
pub(crate) const APPLIED: &str = "configuration reloaded";
/// And of one that was rejected.
pub(crate) const REJECTED: &str = "reload failed";

impl Gateway {
    /// A whole configuration: the test's own `listen` and `log`, then `yaml`.
    pub(crate) fn whole(&self, yaml: &str) -> String {
        format!("{}{yaml}\n", self.top)
    }

    /// Writes the configuration in place.
    pub(crate) fn write(&self, yaml: &str) {
        std::fs::write(&self.file, self.whole(yaml)).expect("the directory takes a file");
    }

    /// Writes the configuration beside and renames it into place, as most editors do.
    pub(crate) fn replace(&self, yaml: &str) {
        replace(&self.file, &self.whole(yaml));
    }

    pub(crate) fn hang_up(&self) {
        self.signal("HUP");
    }

    /// Writes the configuration and sends SIGHUP; the line of what came of it.
    pub(crate) async fn reload(&self, yaml: &str) -> Value {
        let before = self.attempts().len();
        self.write(yaml);
        self.hang_up();
        self.attempt(before).await
    }

    /// The lines of all attempts to reload so far.
    pub(crate) fn attempts(&self) -> Vec<Value> {
        let lines = self.log.json().into_iter();
        lines.filter(is_attempt).collect()
    }

    /// The line of the attempt after the first `before`, once it is there.
    pub(crate) async fn attempt(&self, before: usize) -> Value {
        soon(&format!("attempt {} to reload", before + 1), async {
            loop {
                if let Some(line) = self.attempts().into_iter().nth(before) {
                    return line;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
    }
}

fn is_attempt(line: &Value) -> bool {
    let message = line["msg"].as_str().unwrap_or_default();
    message.starts_with(APPLIED) || message.starts_with(REJECTED)
}

pub(crate) fn applied(line: &Value) -> bool {
    line["msg"].as_str().is_some_and(|message| message.starts_with(APPLIED))
}

/// Puts a new file in the place of another.
pub(crate) fn replace(file: &Path, text: &str) {
    let beside = file.with_extension("new");
    std::fs::write(&beside, text).expect("the directory takes a file");
    std::fs::rename(&beside, file).expect("a file may be replaced");
}
