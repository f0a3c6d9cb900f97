//! Finding and reading the configuration, for the subcommands that need one.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::terminal;
use crate::config::{self, Config, Diagnostic, Found, KeyPolicy, LoadOptions, Read};

/// The process environment, as `config` reads it. A variable that is not UTF-8 counts as unset.
pub(super) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A configuration without errors, and where it came from.
pub(super) struct Loaded {
    pub(super) file: PathBuf,
    pub(super) found: Found,
    pub(super) config: Config,
    /// Warnings, which have been shown already.
    pub(super) diagnostics: Vec<Diagnostic>,
    pub(super) read: Read,
}

/// Finds and reads the configuration and reports its faults on standard error. `None`: it has errors.
pub(super) fn load(named: Option<&Path>, keys: KeyPolicy) -> anyhow::Result<Option<Loaded>> {
    let (faults, loaded) = read(named, keys);
    io::stderr().lock().write_all(faults.as_bytes())?;
    Ok(loaded)
}

/// Finds and reads the configuration: its faults as text, and what it says if none of them is an error.
pub(super) fn read(named: Option<&Path>, keys: KeyPolicy) -> (String, Option<Loaded>) {
    let (file, found) = config::find(named, &environment);
    let options = LoadOptions {
        env: &environment,
        keys,
    };
    let loaded = config::load(&file, &options);
    let faults = loaded.render(terminal::colour_on_stderr());
    let config::Loaded {
        config,
        diagnostics,
        read,
        ..
    } = loaded;
    let loaded = config.map(|config| Loaded {
        file,
        found,
        config,
        diagnostics,
        read,
    });
    (faults, loaded)
}
