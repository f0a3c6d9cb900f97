//! The rules of this repository, as tests. ARCHITECTURE.md says why; a failure here says what to do.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

#[path = "house/circles.rs"]
mod circles;
#[path = "house/code.rs"]
mod code;

/// Who may import whom: a module of `src/`, and the modules that it may name. The order is that of a request.
const IMPORTS: &[(&str, &[&str])] = &[
    ("notation", &[]),
    ("telemetry", &["notation"]),
    ("status", &[]),
    ("memory", &[]),
    ("body", &["memory"]),
    ("protocol", &["notation", "body"]),
    ("classify", &["notation", "protocol"]),
    // The vocabulary alone: classes and actions in `policy.on`, protocols of an upstream; and how much memory there is.
    ("config", &["notation", "classify", "memory", "protocol"]),
    ("upstream", &["notation", "config", "classify", "protocol"]),
    ("routing", &["notation", "config", "upstream", "classify", "protocol"]),
    ("transport", &["body", "memory", "protocol"]),
    (
        "proxy",
        &[
            "notation",
            "telemetry",
            "memory",
            "body",
            "protocol",
            "classify",
            "config",
            "upstream",
            "routing",
            "transport",
        ],
    ),
    (
        "server",
        &[
            "notation",
            "telemetry",
            "memory",
            "body",
            "protocol",
            "classify",
            "config",
            "upstream",
            "routing",
            "transport",
            "proxy",
            "status",
        ],
    ),
    ("drill", &["notation", "protocol"]),
    (
        "cli",
        &[
            "notation",
            "telemetry",
            "protocol",
            "classify",
            "config",
            "upstream",
            "routing",
            "server",
            "status",
            "drill",
        ],
    ),
    ("main", &["cli", "memory"]),
];

/// Who may name Pingora's crates.
const PINGORA: &[&str] = &["transport", "proxy", "server"];
/// Who may ask what time it is; everybody else is given `now`. The log's timestamps and the drill's delays are their own.
const CLOCKS: &[&str] = &["transport", "proxy", "server", "telemetry", "drill", "cli"];
const LINES_MAX: usize = 450;
/// Directories that are not the project's own text.
const SKIPPED: &[&str] = &[".git", "target", "node_modules", "__pycache__", ".venv"];
/// Split, so that this file does not contain what it looks for.
const LEFTOVERS: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("dbg", "!("),
    concat!("todo", "!("),
    concat!("#[ign", "ore"),
];
const ESCAPES: &[&str] = &[concat!("/wo", "rk/"), concat!("../sha", "red"), concat!("/tmp/", "wt")];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file of the project below `directory`, relative to the project, sorted. None if it does not exist.
fn files(directory: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root().join(directory)];
    while let Some(directory) = open.pop() {
        let Ok(entries) = fs::read_dir(&directory) else {
            continue;
        };
        for entry in entries.map(Result::unwrap) {
            let kind = entry.file_type().unwrap();
            if SKIPPED.iter().any(|skipped| entry.file_name() == *skipped) {
                continue;
            }
            if kind.is_dir() {
                open.push(entry.path());
            } else if kind.is_file() {
                found.push(entry.path().strip_prefix(root()).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

fn rust_files(directory: &str) -> Vec<PathBuf> {
    files(directory)
        .into_iter()
        .filter(|file| file.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

fn read(file: &Path) -> String {
    String::from_utf8_lossy(&fs::read(root().join(file)).unwrap()).into_owned()
}

/// `src/proxy/intake.rs` and `src/proxy.rs` belong to `proxy`.
fn module_of(file: &Path) -> String {
    let first = file
        .strip_prefix("src")
        .unwrap()
        .iter()
        .next()
        .unwrap()
        .to_string_lossy()
        .into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// What the shipped part of each module says, without comments, strings and tests: `(file, module, code)`.
fn shipped_code() -> Vec<(PathBuf, String, String)> {
    let shipped = rust_files("src")
        .into_iter()
        .filter(|file| file != Path::new("src/lib.rs") && !file.ends_with("tests.rs"));
    shipped
        .map(|file| (module_of(&file), code::shipped(&read(&file)), file))
        .map(|(module, code, file)| (file, module, code))
        .collect()
}

fn expect_none(faults: &[String], what_to_do: &str) {
    assert!(faults.is_empty(), "\n{}\n\n{what_to_do}\n", faults.join("\n"));
}

#[test]
fn modules_import_only_whom_they_may() {
    let mut faults = Vec::new();
    for (file, module, code) in shipped_code() {
        let Some((_, allowed)) = IMPORTS.iter().find(|(name, _)| *name == module) else {
            faults.push(format!("{}: `{module}` is not in the table", file.display()));
            continue;
        };
        for imported in code::imported_modules(&code) {
            let known = IMPORTS.iter().any(|(name, _)| *name == imported);
            if known && imported != module && !allowed.contains(&imported.as_str()) {
                faults.push(format!("{}: `{module}` may not import `{imported}`", file.display()));
            }
        }
    }
    expect_none(
        &faults,
        "Move the type to where both may see it, or pass a value in. Only if the architecture itself changes: IMPORTS in tests/house.rs \
         and \"Who may import whom\" in ARCHITECTURE.md.",
    );
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let module = |file: &Path| {
        let parts = file.with_extension("");
        let parts = parts.iter().skip(1).map(|part| part.to_string_lossy().into_owned());
        parts.collect::<Vec<_>>().join("::")
    };
    let sources: BTreeMap<String, String> = shipped_code()
        .into_iter()
        .map(|(file, _, code)| (module(&file), code))
        .collect();
    let mut faults = Vec::new();
    for circle in circles::circles(&sources) {
        faults.push(format!("{} files name each other in a circle:", circle.len()));
        let others = |named: &BTreeSet<String>| named.iter().cloned().collect::<Vec<_>>().join(", ");
        faults.extend(
            circle
                .iter()
                .map(|(file, named)| format!("    {file} names {}", others(named))),
        );
    }
    expect_none(
        &faults,
        "A reader of one of these files has to know all of them. Move the type or function that two of them need to a file \
         below both, called by what it holds; or pass in what is needed.",
    );
}

#[test]
fn pingora_is_named_only_where_requests_are_moved() {
    let mut faults = Vec::new();
    for (file, module, code) in shipped_code() {
        if code::names_crate(&code, "pingora") && !PINGORA.contains(&module.as_str()) {
            faults.push(file.display().to_string());
        }
    }
    expect_none(
        &faults,
        "Only transport, proxy and server name Pingora: give this module a type of our own or of the `http` crate.",
    );
}

#[test]
fn only_the_request_path_reads_a_clock() {
    let mut faults = Vec::new();
    for (file, module, code) in shipped_code() {
        if (code.contains("Instant::now") || code.contains("SystemTime::now")) && !CLOCKS.contains(&module.as_str()) {
            faults.push(file.display().to_string());
        }
    }
    expect_none(
        &faults,
        "Take `now` as an argument: a pure module can then be tested without waiting.",
    );
}

#[test]
fn no_loop_of_the_transport_turns_uncounted() {
    let mut faults = Vec::new();
    for (file, module, code) in shipped_code() {
        if module != "transport" {
            continue;
        }
        let uncounted = code::endless_loops(&code)
            .into_iter()
            .filter(|body| !body.contains("turns.next()") && !body.contains("turns.count()"));
        faults
            .extend(uncounted.map(|body| format!("{}: {}", file.display(), body.chars().take(80).collect::<String>())));
    }
    expect_none(
        &faults,
        "What such a loop waits for is up to an upstream, which may never let it wait: step through `Turns` \
         (src/transport/turns.rs) in each turn, or let a `for` bound it.",
    );
}

#[test]
fn files_are_short_and_where_their_names_say() {
    let mut faults = Vec::new();
    for file in ["src", "tests", "benches", "examples"].into_iter().flat_map(rust_files) {
        let lines = read(&file).lines().count();
        if lines > LINES_MAX {
            faults.push(format!(
                "{}: {lines} lines, at most {LINES_MAX}: split it by idea",
                file.display()
            ));
        }
        if file.ends_with("mod.rs") {
            faults.push(format!(
                "{}: call it by its module's name, beside the directory",
                file.display()
            ));
        }
    }
    expect_none(&faults, "One idea a file, about 400 lines; `foo.rs` beside `foo/`.");
}

#[test]
fn every_module_says_what_it_is() {
    let mut faults = Vec::new();
    for file in rust_files("src") {
        if !file.ends_with("tests.rs") && !read(&file).starts_with("//!") {
            faults.push(file.display().to_string());
        }
    }
    expect_none(
        &faults,
        "Begin the file with `//!` and one sentence: what it is, in the words of ARCHITECTURE.md.",
    );
}

#[test]
fn nothing_is_left_for_later_or_silenced() {
    let mut faults = Vec::new();
    for file in files("src")
        .into_iter()
        .chain(files("tests"))
        .chain(files("scripts"))
        .chain(files("benches"))
    {
        let text = read(&file);
        let found = LEFTOVERS
            .iter()
            .chain(&[concat!("allow(dead", "_code)")])
            .filter(|word| text.contains(**word));
        faults.extend(found.map(|word| format!("{}: {word}", file.display())));
    }
    expect_none(
        &faults,
        "Finish it, delete it, or open an issue; tests run or do not exist.",
    );
}

#[test]
fn the_project_stands_alone() {
    let mut faults = Vec::new();
    for file in files("") {
        let text = read(&file);
        faults.extend(
            ESCAPES
                .iter()
                .filter(|path| text.contains(**path))
                .map(|path| format!("{}: {path}", file.display())),
        );
    }
    expect_none(
        &faults,
        "Copy into the project what it needs, and name paths from its root.",
    );
}

#[test]
fn every_example_is_introduced() {
    let mut pages = vec![PathBuf::from("README.md"), PathBuf::from("conf/examples/README.md")];
    pages.extend(files("docs"));
    let pages: String = pages
        .iter()
        .filter(|page| root().join(page).is_file())
        .map(|page| read(page))
        .collect();
    let mut faults = Vec::new();
    for file in files("conf/examples")
        .iter()
        .filter(|file| !file.ends_with("README.md"))
    {
        if !pages.contains(&*file.file_name().unwrap().to_string_lossy()) {
            faults.push(file.display().to_string());
        }
    }
    expect_none(
        &faults,
        "Name the file, and the one idea that it shows, in README.md or in docs/.",
    );
}
