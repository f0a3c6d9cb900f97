//! Any text gets a configuration or its faults, within bounds; no fault and no note shows what a variable holds.
#![no_main]

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use switchback::config::{KeyPolicy, LoadOptions, load};

/// In memory where the system has such a place: a disk would be the slowest part.
static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let directory = if memory.is_dir() { memory } else { std::env::temp_dir() };
    directory.join(format!("switchback-fuzz-{}.yaml", std::process::id()))
});

fuzz_target!(|text: &[u8]| {
    let held = held(text);
    fs::write(&*FILE, text).expect("the file can be written");
    for keys in [KeyPolicy::Required, KeyPolicy::Optional] {
        let env = |name: &str| (name != "UNSET").then(|| held.clone());
        let loaded = load(&FILE, &LoadOptions { env: &env, keys });
        assert!(
            loaded.config.is_some() || !loaded.diagnostics.is_empty(),
            "refused without a word"
        );
        let shown = loaded.render(false) + &loaded.render_notes(false);
        assert!(!shown.contains(&held), "a fault shows what a variable holds:\n{shown}");
    }
});

/// What every variable holds. Another value for each text, or the fuzzer would learn it and write it there; and none that is
/// masked for its looks.
fn held(text: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    format!("held-{:016x}", hasher.finish())
}
