//! Every fault, exactly as it is printed: `cases/NAME.yaml` → `cases/NAME.txt`.
//!
//! `UPDATE_EXPECTED=1 cargo test --test check` writes the outputs anew; read the difference before committing it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::builder::{Check, pem};

fn cases() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/check/cases");
    let mut cases: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    cases.sort();
    cases
}

fn run(case: &Path) -> String {
    let name = case.file_name().unwrap().to_str().unwrap();
    let check = Check::new()
        .file(name, fs::read(case).unwrap())
        .file("cert.pem", pem("CERTIFICATE"))
        .file("key.pem", pem("PRIVATE KEY"))
        .file("text.pem", "no PEM at all\n")
        .file("binary", b"\xff\xfe")
        .file("newlines", "one\ntwo\n")
        .file_with_mode("group-key", "sk-1\n", 0o640)
        .file_with_mode("open-key", "sk-1\n", 0o644)
        .file_with_mode("open-key.pem", pem("PRIVATE KEY"), 0o644)
        .file_with_mode("group-key.pem", pem("PRIVATE KEY"), 0o640)
        .file("credentials/blank", "\n")
        .env("SET", "value-of-set")
        .env("EMPTY", "")
        .env("QUOTED", "\"sk-1\"")
        .env("TWO_LINES", "one\ntwo")
        .env("HOST", "api.example.com");
    let credentials = check.path().join("credentials");
    let check = check.env("CREDENTIALS_DIRECTORY", credentials.to_str().unwrap());
    let outcome = check.run(&["check", name]);
    format!(
        "{}{}exit status {}\n",
        outcome.stderr,
        outcome.stdout,
        outcome.status.unwrap()
    )
}

#[test]
fn every_case_prints_what_is_expected() {
    let cases = cases();
    assert!(cases.len() > 20, "the cases are missing");
    let update = std::env::var_os("UPDATE_EXPECTED").is_some();
    let mut wrong = Vec::new();
    for case in cases {
        let printed = run(&case);
        let expected_file = case.with_extension("txt");
        if update {
            fs::write(&expected_file, &printed).unwrap();
        }
        let expected = fs::read_to_string(&expected_file).unwrap_or_default();
        if printed != expected {
            wrong.push(format!(
                "=== {}: expected\n{expected}--- printed\n{printed}",
                case.display()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every code that the sources report appears in some case, or where it is tested otherwise.
#[test]
fn every_code_has_a_case() {
    // In `bombs`.
    const NOT_IN_CASES: [&str; 1] = ["too-large"];
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config");
    let mut reported = BTreeSet::new();
    for source in fs::read_dir(sources).unwrap() {
        let text = fs::read_to_string(source.unwrap().path()).unwrap();
        let text = text.split("#[cfg(test)]").next().unwrap();
        // After the name of a function that takes a code, or `CODE: &str =`, comes the code.
        let openings = [
            "error(\"",
            "warning(\"",
            "of_file(\"",
            "Complaint::new(\"",
            "unknown(\"",
            "code: \"",
            "CODE: &str = \"",
        ];
        let squeezed: String = text
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .replace("( \"", "(\"");
        for opening in openings {
            for after in squeezed.split(opening).skip(1) {
                reported.insert(after.split('"').next().unwrap().to_owned());
            }
        }
    }
    assert!(
        reported.len() > 25,
        "the sources are written otherwise now: {reported:?}"
    );
    let printed: String = cases()
        .iter()
        .map(|case| fs::read_to_string(case.with_extension("txt")).unwrap())
        .collect();
    let missing: Vec<_> = reported
        .iter()
        .filter(|code| !printed.contains(&format!("[{code}]")) && !NOT_IN_CASES.contains(&code.as_str()))
        .collect();
    assert!(missing.is_empty(), "no case for {missing:?}");
}
