//! Any text gets a configuration or its faults, within bounds, and the faults can be shown.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use switchback::config::{KeyPolicy, LoadOptions, load};

const VALUE: &str = "sk-fuzz-8f3b1c9d7e5a4b2c6d0e";

/// In memory where the system has such a place: a disk would be the slowest part.
static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let directory = if memory.is_dir() { memory } else { std::env::temp_dir() };
    directory.join(format!("switchback-fuzz-{}.yaml", std::process::id()))
});

fuzz_target!(|text: &[u8]| {
    fs::write(&*FILE, text).expect("the file can be written");
    for keys in [KeyPolicy::Required, KeyPolicy::Optional] {
        let env = |name: &str| (name != "UNSET").then(|| VALUE.to_owned());
        let loaded = load(&FILE, &LoadOptions { env: &env, keys });
        assert!(
            loaded.config.is_some() || !loaded.diagnostics.is_empty(),
            "refused without a word"
        );
        let _ = loaded.render(false);
    }
});
