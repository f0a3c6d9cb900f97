//! Files made to exhaust the machine are refused within a second and 100 MiB.

use std::time::{Duration, Instant};

use crate::builder::{Check, Outcome};

const ADDRESS_SPACE_KIB: u32 = 100 << 10;
/// Of the unoptimised binary, beside other tests on a busy machine; the release binary takes a tenth.
const TIME_MAX: Duration = Duration::from_secs(if cfg!(debug_assertions) { 5 } else { 1 });

fn refused(yaml: &str) -> Outcome {
    let check = Check::of(yaml);
    let begin = Instant::now();
    let outcome = check.run_within(ADDRESS_SPACE_KIB);
    assert!(begin.elapsed() < TIME_MAX, "{:?}", begin.elapsed());
    let head: String = outcome.stderr.chars().take(500).collect();
    assert_eq!(outcome.status, Some(1), "{head}");
    outcome
}

fn too_large(yaml: &str) {
    let outcome = refused(yaml);
    let head: String = outcome.stderr.chars().take(500).collect();
    assert!(head.starts_with("error[too-large]: the file "), "{head}");
}

#[test]
fn deep_nesting() {
    too_large(&format!("upstreams: {}", "[".repeat(100_000)));
    too_large(&"- ".repeat(100_000));
    too_large(&"? ".repeat(100_000));
    too_large(&"{a: ".repeat(100_000));
    too_large(
        &(0..1_000)
            .map(|depth| format!("{}a:\n", " ".repeat(depth)))
            .collect::<String>(),
    );
}

#[test]
fn aliases_that_multiply() {
    let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    let mut merges = String::from("a0: &a0 {k0: 1}\n");
    for level in 1..30 {
        let below = level - 1;
        laughs += &format!("a{level}: &a{level} [{}]\n", format!("*a{below}, ").repeat(10));
        merges += &format!("a{level}: &a{level}\n  <<: [*a{below}, *a{below}]\n  k{level}: 1\n");
    }
    too_large(&laughs);
    too_large(&merges);
    too_large(&format!(
        "a: &a {}\nb: [{}]\n",
        "x".repeat(500_000),
        "*a, ".repeat(20_000)
    ));
}

#[test]
fn an_alias_within_itself() {
    let outcome = refused("a: &a [*a]\n");
    assert!(
        outcome.stderr.starts_with("error[syntax]: this alias stands within"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn a_file_larger_than_any_configuration() {
    let outcome = refused(&format!("#{}", "x".repeat(2 << 20)));
    assert!(outcome.stderr.contains("it is larger than"), "{}", outcome.stderr);
}

#[test]
fn twenty_thousand_faults_in_one_line() {
    let keys: String = (0..20_000).map(|index| format!("key{index}: x, ")).collect();
    let outcome = refused(&format!("{{{keys}}}"));
    assert!(outcome.stderr.ends_with("c.yaml: 20002 errors\n"));
}

/// Each route goes on with the next one twice: 2^4000 targets, if anyone counted them out.
#[test]
fn a_chain_that_doubles() {
    let routes: String = (0..4_000)
        .map(|at| format!("  r{at}: [{{route: r{0}}}, {{route: r{0}}}]\n", at + 1))
        .collect();
    let outcome = refused(&format!(
        "upstreams: {{u: {{url: http://localhost}}}}\nroutes:\n{routes}  r4000: [u]\n"
    ));
    assert!(outcome.stderr.starts_with("error[long-chain]"));
    assert!(outcome.stderr.ends_with("c.yaml: 1 error\n"));
}
