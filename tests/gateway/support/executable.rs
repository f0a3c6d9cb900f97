//! Programs that a test makes and starts.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Writes an executable file.
///
/// Another process writes it: a descriptor that this one has open for writing is inherited by whatever another test starts
/// at the same moment, and a file that is open for writing can't be executed (`ETXTBSY`).
pub(crate) fn write_executable(path: &Path, content: &[u8]) {
    let mut writer = Command::new("sh")
        .args(["-c", "cat > \"$0\" && chmod 755 \"$0\""])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()
        .expect("a shell");
    let mut input = writer.stdin.take().expect("stdin is a pipe");
    input.write_all(content).expect("the shell reads");
    drop(input);
    assert!(writer.wait().expect("it ends").success());
}
