//! One run of `switchback check` in a directory of its own, with an environment of its own.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

/// What a run printed, and how it ended.
pub(crate) struct Outcome {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

pub(crate) struct Check {
    directory: tempfile::TempDir,
    variables: Vec<(String, String)>,
}

impl Check {
    pub(crate) fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            variables: Vec::new(),
        }
    }

    /// A configuration named `c.yaml`.
    pub(crate) fn of(yaml: &str) -> Self {
        Self::new().file("c.yaml", yaml)
    }

    /// A file that nobody else can read, whatever the umask.
    pub(crate) fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        self.file_with_mode(name, content, 0o600)
    }

    pub(crate) fn file_with_mode(self, name: &str, content: impl AsRef<[u8]>, mode: u32) -> Self {
        let path = self.directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Runs `switchback` with these arguments.
    pub(crate) fn run(&self, arguments: &[&str]) -> Outcome {
        let mut command = Command::new(env!("CARGO_BIN_EXE_switchback"));
        outcome(&self.prepare(&mut command).args(arguments).output().unwrap())
    }

    /// Runs `switchback check c.yaml` with this much address space.
    pub(crate) fn run_within(&self, kib: u32) -> Outcome {
        let mut command = Command::new("sh");
        let script = format!("ulimit -v {kib} && exec \"$0\" check c.yaml");
        outcome(
            &self
                .prepare(&mut command)
                .args(["-c", &script, env!("CARGO_BIN_EXE_switchback")])
                .output()
                .unwrap(),
        )
    }

    fn prepare<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        let path = std::env::var_os("PATH").unwrap_or_default();
        command.current_dir(self.path()).env_clear().env("PATH", path);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)))
    }
}

fn outcome(output: &Output) -> Outcome {
    Outcome {
        status: output.status.code(),
        stdout: String::from_utf8(output.stdout.clone()).unwrap(),
        stderr: String::from_utf8(output.stderr.clone()).unwrap(),
    }
}

/// A PEM block as a file holds it. Switchback checks the form; what is inside is for the TLS library.
pub(crate) fn pem(label: &str) -> String {
    format!("-----BEGIN {label}-----\nTUlJQg==\n-----END {label}-----\n")
}
