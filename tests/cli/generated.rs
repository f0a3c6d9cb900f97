//! What the program prints of itself for packagers and shells: the manual's pages and the completions.

use std::collections::BTreeSet;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::program::{Outcome, directory, switchback};

fn run(arguments: &[&str]) -> Outcome {
    switchback(&directory(), arguments, "")
}

/// Every subcommand that the help shows.
fn subcommands() -> BTreeSet<String> {
    let help = run(&["--help"]).stdout;
    let (_, list) = help.split_once("Commands:\n").unwrap();
    let lines = list.lines().take_while(|line| !line.is_empty());
    let names = lines.filter_map(|line| line.split_whitespace().next().map(str::to_owned));
    names.filter(|name| name != "help").collect()
}

/// Runs a program of the system. `None` where it is not installed and need not be.
#[allow(clippy::explicit_write, reason = "eprintln! is swallowed by the test harness")]
fn system(program: &str, arguments: &[&str], input: &str, package: &str) -> Option<Output> {
    let spawned = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C.UTF-8")
        .env("MANROFFSEQ", "")
        .env("MANWIDTH", "80")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    match spawned {
        Ok(mut child) => {
            child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
            Some(child.wait_with_output().unwrap())
        }
        Err(error) if error.kind() == ErrorKind::NotFound && std::env::var_os("CI").is_none() => {
            // Past the harness, which would swallow it: a test that did not look must say so.
            writeln!(
                std::io::stderr(),
                "not checked: {program} is not installed (apt-get install {package})"
            )
            .unwrap();
            None
        }
        Err(error) => panic!("{program}: {error} (Debian: apt-get install {package})"),
    }
}

#[test]
fn the_manual_has_a_page_for_each_subcommand() {
    let directory = tempfile::tempdir().unwrap();
    let written = run(&["man-pages", directory.path().to_str().unwrap()]);
    assert_eq!((written.status, written.stderr.as_str()), (0, ""));
    let pages: BTreeSet<String> = fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let subcommands = subcommands();
    assert!(subcommands.len() > 5, "{subcommands:?}");
    let mut expected: BTreeSet<String> = subcommands.iter().map(|name| format!("switchback-{name}.1")).collect();
    expected.insert("switchback.1".to_owned());
    assert_eq!(pages, expected);

    let first = fs::read_to_string(directory.path().join("switchback.1")).unwrap();
    for name in &subcommands {
        let reference = format!("switchback\\-{}(1)", name.replace('-', "\\-"));
        assert!(first.contains(&reference), "{reference} in\n{first}");
    }
    assert!(first.contains("/etc/switchback/switchback.yaml"));
    for page in pages {
        a_silent_page(&directory.path().join(page));
    }
}

fn a_silent_page(page: &Path) {
    let Some(output) = system("man", &["--warnings", "-l", page.to_str().unwrap()], "", "man-db") else {
        return;
    };
    let warnings = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && warnings.is_empty(),
        "{}: {warnings}",
        page.display()
    );
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.contains("SYNOPSIS"), "{}: {shown}", page.display());
}

#[test]
fn a_page_that_cannot_be_written_is_told() {
    let outcome = run(&["man-pages", "/nonexistent/directory"]);
    assert_eq!(outcome.status, 1);
    assert!(
        outcome
            .stderr
            .starts_with("error: can't write /nonexistent/directory/switchback.1"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn completions_name_every_subcommand() {
    for shell in ["bash", "zsh", "fish"] {
        let printed = run(&["completions", shell]);
        assert_eq!((printed.status, printed.stderr.as_str()), (0, ""));
        for name in subcommands() {
            assert!(printed.stdout.contains(&name), "{name} for {shell}");
        }
        assert!(printed.stdout.contains("schema"), "an option of `check` for {shell}");
    }
    assert_eq!(run(&["completions", "cmd.exe"]).status, 2);
}

#[test]
fn the_documentation_introduces_every_subcommand() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = fs::read_dir(root.join("docs"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let pages = pages.filter(|page| page.extension().is_some_and(|extension| extension == "md"));
    let pages = pages.chain([root.join("README.md")]);
    let pages: String = pages.map(|page| fs::read_to_string(page).unwrap()).collect();
    for name in subcommands() {
        let called = [format!("switchback {name}"), format!("cargo run --release -- {name}")];
        assert!(
            called.iter().any(|called| pages.contains(called)),
            "say in docs/ what `switchback {name}` is for"
        );
    }
}

/// In bash itself: the script parses, and what it offers for `switchback ch` is `check`.
#[test]
fn bash_completes_a_subcommand() {
    let script = run(&["completions", "bash"]).stdout;
    let typed =
        "\nCOMP_WORDS=(switchback ch) COMP_CWORD=1\n_switchback switchback ch switchback\necho \"${COMPREPLY[@]}\"\n";
    let Some(output) = system("bash", &["--norc"], &(script + typed), "bash") else {
        return;
    };
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.is_empty(), "{told}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "check\n");
}
