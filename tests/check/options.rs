//! Arguments, the search for the file, exit status, where output goes.

use crate::builder::Check;

const GOOD: &str = "upstreams: { u: { url: http://127.0.0.1:1/v1 } }\nroutes: { m: [u] }\n";
const BAD: &str = "upstreams: { u: { url: nowhere } }\nroutes: { m: [u] }\n";
const CLOCKS: &str =
    "clocks: connect 3s; a stream's headers 1m, first_token 2m; else answer 10m; idle 5m; deadline 15m\n";
const SUMMARY: &str = "1 upstream, 1 route, no faults\n";

#[test]
fn no_faults_is_status_0() {
    let outcome = Check::of(GOOD).run(&["check", "c.yaml"]);
    assert_eq!(outcome.status, Some(0));
    assert_eq!(outcome.stdout, format!("{CLOCKS}c.yaml: {SUMMARY}"));
    assert_eq!(outcome.stderr, "");
}

#[test]
fn an_error_is_status_1_and_nothing_on_stdout() {
    let outcome = Check::of(BAD).run(&["check", "c.yaml"]);
    assert_eq!(outcome.status, Some(1));
    assert_eq!(outcome.stdout, "");
    assert!(outcome.stderr.starts_with("error[invalid-url]"), "{}", outcome.stderr);
    assert!(outcome.stderr.ends_with("c.yaml: 1 error\n"), "{}", outcome.stderr);
}

#[test]
fn warnings_alone_are_status_0() {
    let outcome = Check::of(&GOOD.replace("[u]", "[u, u]")).run(&["check", "c.yaml"]);
    assert_eq!(outcome.status, Some(0));
    assert_eq!(
        outcome.stdout,
        format!("{CLOCKS}c.yaml: 1 upstream, 1 route, 1 warning\n")
    );
    assert!(
        outcome.stderr.starts_with("warning[same-target-twice]"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn bad_usage_is_status_2() {
    let check = Check::of(GOOD);
    for arguments in [
        &[][..],
        &["chekc"],
        &["check", "--nope"],
        &["check", "-c"],
        &["check", "c.yaml", "-c", "c.yaml"],
    ] {
        let outcome = check.run(arguments);
        assert_eq!(outcome.status, Some(2), "{arguments:?}");
        assert_eq!(outcome.stdout, "", "{arguments:?}");
        assert!(outcome.stderr.contains("--help"), "{arguments:?}: {}", outcome.stderr);
    }
}

#[test]
fn help_and_version_are_status_0() {
    let help = Check::new().run(&["check", "--help"]);
    assert_eq!(help.status, Some(0));
    assert!(help.stdout.contains("Exit status: 0 no errors"), "{}", help.stdout);
    let version = Check::new().run(&["--version"]);
    assert_eq!(version.status, Some(0));
    assert_eq!(version.stdout, format!("switchback {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_file_is_searched_in_order() {
    let check = Check::of(GOOD)
        .file("conf/switchback.yaml", GOOD)
        .file("other.yaml", GOOD);
    assert_eq!(
        check.run(&["check"]).stdout,
        format!("{CLOCKS}./conf/switchback.yaml: {SUMMARY}")
    );
    let check = check.env("SWITCHBACK_CONFIG", "other.yaml");
    assert_eq!(check.run(&["check"]).stdout, format!("{CLOCKS}other.yaml: {SUMMARY}"));
    for arguments in [
        &["check", "c.yaml"][..],
        &["check", "-c", "c.yaml"],
        &["check", "--config", "c.yaml"],
    ] {
        assert_eq!(check.run(arguments).stdout, format!("{CLOCKS}c.yaml: {SUMMARY}"));
    }
}

#[test]
fn a_file_that_cannot_be_read_is_an_error() {
    let check = Check::new().file("latin1.yaml", b"a: \xe9\n").file("directory/x", "");
    for (name, reason) in [
        ("missing.yaml", "there is no such file"),
        ("directory", "it is not a regular file"),
        ("/dev/zero", "it is not a regular file"),
        ("latin1.yaml", "it is not UTF-8 text"),
    ] {
        let outcome = check.run(&["check", name]);
        assert_eq!(outcome.status, Some(1), "{name}");
        let expected = format!("error[unreadable-file]: can't read the configuration: {reason}\n --> {name}\n");
        assert!(outcome.stderr.starts_with(&expected), "{}", outcome.stderr);
    }
}

#[test]
fn a_pipe_gets_no_colour() {
    let outcome = Check::of(BAD).env("TERM", "xterm-256color").run(&["check", "c.yaml"]);
    assert!(!outcome.stderr.contains('\x1b'), "{:?}", outcome.stderr);
}

#[test]
fn a_byte_order_mark_and_dos_lines_move_nothing() {
    let dos = format!("\u{feff}{}", BAD.replace('\n', "\r\n"));
    let outcome = Check::of(&dos).run(&["check", "c.yaml"]);
    assert_eq!(outcome.stderr, Check::of(BAD).run(&["check", "c.yaml"]).stderr);
}

#[test]
fn keyless_needs_neither_keys_nor_files() {
    let yaml = "upstreams:\n  a: { url: https://a.example, key: ${NOT_SET} }\n  b: { url: https://b.example, key: { file: missing } }\n  \
                c: { url: https://c.example, key: { credential: missing }, tls: { ca: missing.pem } }\nroutes: { m: [a, b, c] }\n";
    let check = Check::of(yaml);
    assert_eq!(check.run(&["check", "c.yaml"]).status, Some(1));
    let outcome = check.run(&["check", "--keyless", "c.yaml"]);
    assert_eq!((outcome.status, outcome.stderr.as_str()), (Some(0), ""));
    assert!(
        outcome
            .stdout
            .ends_with("c.yaml: 3 upstreams, 1 route, no faults (keys not checked)\n"),
        "{}",
        outcome.stdout
    );
}

#[test]
fn keyless_finds_every_other_fault() {
    let yaml = "upstreams: { a: { url: https://api.openai.com, key: $NOT_SET } }\nroutes: { m: [b] }\n";
    let outcome = Check::of(yaml).run(&["check", "--keyless", "c.yaml"]);
    assert_eq!(outcome.status, Some(1));
    for code in ["no-path", "not-a-key", "unknown-upstream"] {
        assert!(outcome.stderr.contains(&format!("error[{code}]")), "{}", outcome.stderr);
    }
}
