//! Failures that rest on words alone: two different requests, told the same with no answer between them.

use http::HeaderMap;

use super::*;
use crate::classify::{Request, Signals, classify};

const EMPTY: &str = r#"{"error":{"message":"Your credit balance is too low to access the API"}}"#;
const CLOSED_ACCOUNT: &str = r#"{"error":{"message":"This account has been suspended"}}"#;

/// What a request with this body is told.
fn told(answer: &str, request: &str) -> Setback {
    let verdict = classify(&Signals {
        status: 400,
        headers: &HeaderMap::new(),
        body: answer.as_bytes(),
        provider: None,
        request: Some(&Request {
            body: request.as_bytes(),
            texts: &[],
        }),
    });
    Setback::of(verdict.class, verdict.basis, None).expect("somebody is to blame")
}

impl Bench {
    fn is_told(&mut self, answer: &str, request: &str) -> Option<Change> {
        let pass = self.pass();
        self.health
            .failed(&pass, &told(answer, request), &self.cooldown, self.now)
    }
}

fn again(class: Class, length: Duration) -> Option<Change> {
    Some(Change::Opened {
        class,
        length,
        again: true,
    })
}

#[test]
fn one_witness_opens_nothing_and_a_second_one_does() {
    let mut bench = Bench::new();
    assert_eq!(bench.is_told(EMPTY, "one"), None);
    assert_eq!(
        bench.is_told(EMPTY, "one"),
        None,
        "the same request is the same witness"
    );
    assert_eq!(bench.is_told(CLOSED_ACCOUNT, "two"), None, "another sentence");
    assert_eq!(bench.is_told(CLOSED_ACCOUNT, "three"), opened(Class::Auth, secs(60)));
    // None of it counts towards `after`.
    let mut bench = Bench::new();
    for _ in 0..10 {
        assert_eq!(bench.is_told(EMPTY, "one"), None);
    }
    assert_eq!(bench.attempt_fails(Class::ServerError), None);
}

#[test]
fn an_answer_between_them_proves_them_wrong() {
    let mut bench = Bench::new();
    bench.is_told(EMPTY, "one");
    let pass = bench.pass();
    bench.health.answered(&pass);
    assert_eq!(bench.is_told(EMPTY, "two"), None);
    assert_eq!(bench.is_told(EMPTY, "three"), opened(Class::OutOfCredits, secs(60)));
}

#[test]
fn it_doubles_while_it_is_repeated_up_to_the_class_s_own_duration() {
    let mut bench = Bench::new();
    bench.is_told(EMPTY, "one");
    bench.is_told(EMPTY, "two");
    for length in [120, 240, 480, 600, 600] {
        bench.wait(bench.open_until().unwrap());
        assert_eq!(bench.is_told(EMPTY, "one"), again(Class::OutOfCredits, secs(length)));
    }
    // What proves it has its own duration at once.
    bench.wait(secs(600));
    assert_eq!(
        bench.attempt_fails(Class::OutOfCredits),
        again(Class::OutOfCredits, secs(600))
    );
    // Never longer than that.
    let mut bench = Bench::new();
    bench.cooldown.out_of_credits = secs(10);
    bench.is_told(EMPTY, "one");
    assert_eq!(bench.is_told(EMPTY, "two"), opened(Class::OutOfCredits, secs(10)));
}

#[test]
fn a_trial_that_is_told_so_leaves_it_out_for_a_minute_at_most() {
    let mut bench = Bench::new();
    bench.attempt_fails(Class::Auth);
    bench.wait(secs(300));
    assert_eq!(bench.is_told(EMPTY, "one"), again(Class::OutOfCredits, secs(60)));
}

#[test]
fn what_else_proves_it_makes_a_witness_unnecessary() {
    let mut bench = Bench::new();
    let pass = bench.pass();
    let setback = told(EMPTY, "one").borne_out();
    let change = bench.health.failed(&pass, &setback, &bench.cooldown, bench.now);
    assert_eq!(change, opened(Class::OutOfCredits, secs(600)));
}
