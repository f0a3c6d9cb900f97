//! The files in `conf/` and the package's own check clean, with keys and without.

use std::fs;
use std::path::{Path, PathBuf};

use switchback::config::{self, KeyPolicy, LoadOptions};

use crate::builder::{Check, pem};

pub(crate) fn shipped() -> Vec<PathBuf> {
    let conf = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf");
    let examples = fs::read_dir(conf.join("examples"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let examples = examples.filter(|file| !file.ends_with("README.md"));
    let packaged = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/debian/switchback.yaml");
    let files: Vec<PathBuf> = examples.chain([conf.join("switchback.yaml"), packaged]).collect();
    assert!(files.len() > 10, "{files:?}");
    assert!(
        files
            .iter()
            .all(|file| file.extension().is_some_and(|extension| extension == "yaml")),
        "{files:?}"
    );
    files
}

#[test]
fn every_file_checks_clean() {
    for file in shipped() {
        let text = fs::read_to_string(&file).unwrap();
        let mut check = Check::of(&text)
            .file("credentials/openai", "sk-1\n")
            .file("credentials/openrouter", "sk-2")
            .file("credentials/keys_openai", "sk-1\n")
            .file("credentials/keys_openrouter", "sk-2\n");
        let credentials = check.path().join("credentials");
        check = check.env("CREDENTIALS_DIRECTORY", credentials.to_str().unwrap());
        for (name, label) in [
            ("TLS_CERT", "CERTIFICATE"),
            ("TLS_KEY", "PRIVATE KEY"),
            ("INTERNAL_CA", "CERTIFICATE"),
            ("CLIENT_CERT", "CERTIFICATE"),
            ("CLIENT_KEY", "EC PRIVATE KEY"),
        ] {
            check = check.file(name, pem(label)).env(name, name);
        }
        for after in text.split("${").skip(1) {
            let name = after.split('}').next().unwrap();
            if !name.contains(":-") {
                check = check.env(name, "value");
            }
        }
        let outcome = check.run(&["check", "c.yaml"]);
        assert_eq!(outcome.stderr, "", "{}", file.display());
        assert_eq!(outcome.status, Some(0), "{}", file.display());
        assert!(
            outcome.stdout.ends_with("no faults\n"),
            "{}: {}",
            file.display(),
            outcome.stdout
        );
    }
}

#[test]
fn every_file_can_be_practised_without_keys() {
    for file in shipped() {
        let options = LoadOptions {
            env: &|_| None,
            keys: KeyPolicy::Optional,
        };
        let loaded = config::load(&file, &options);
        assert_eq!(loaded.render(false), "", "{}", file.display());
        let config = loaded.config.unwrap();
        assert!(
            !config.upstreams.is_empty() && !config.routes.is_empty(),
            "{}",
            file.display()
        );
    }
}
