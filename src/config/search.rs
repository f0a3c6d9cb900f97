//! Which file is the configuration.

use std::fmt;
use std::path::{Path, PathBuf};

const IN_WORKING_DIRECTORY: &str = "./conf/switchback.yaml";
const IN_SYSTEM: &str = "/etc/switchback/switchback.yaml";

/// Why a file was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    OnCommandLine,
    InEnvironment,
    InWorkingDirectory,
    /// The last resort: it may not be there.
    InSystem,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OnCommandLine => "named on the command line",
            Self::InEnvironment => "named by $SWITCHBACK_CONFIG",
            Self::InWorkingDirectory => "found in the working directory",
            Self::InSystem => "the system's default",
        })
    }
}

/// Finds the file: named on the command line, else by `$SWITCHBACK_CONFIG`, else `./conf/switchback.yaml` if it exists,
/// else `/etc/switchback/switchback.yaml`.
pub fn find(named: Option<&Path>, env: &dyn Fn(&str) -> Option<String>) -> (PathBuf, Found) {
    if let Some(named) = named {
        return (named.to_path_buf(), Found::OnCommandLine);
    }
    match env("SWITCHBACK_CONFIG").filter(|named| !named.is_empty()) {
        Some(named) => (named.into(), Found::InEnvironment),
        None if Path::new(IN_WORKING_DIRECTORY).exists() => (IN_WORKING_DIRECTORY.into(), Found::InWorkingDirectory),
        None => (IN_SYSTEM.into(), Found::InSystem),
    }
}
