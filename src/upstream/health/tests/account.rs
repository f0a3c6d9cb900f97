//! What the provider's own word about the account does to the machine.

use super::*;

fn empty(bench: &mut Bench, seconds: u64) -> Option<Change> {
    bench.health.emptied(secs(seconds), bench.now)
}

/// Asks now, so that everything that began before is known there.
fn refill(bench: &mut Bench) -> Option<Change> {
    bench.wait(MS);
    bench.health.refilled(bench.now)
}

const CLOSED: Option<Change> = Some(Change::Closed {
    class: Class::OutOfCredits,
});

#[test]
fn an_empty_account_opens_it_and_credit_closes_it() {
    let mut bench = Bench::new();
    // Closed → open, before any request has failed.
    assert_eq!(empty(&mut bench, 600), opened(Class::OutOfCredits, secs(600)));
    assert!(bench.is_skipped());
    // Open → open, for longer; an earlier end moves nothing.
    bench.wait(secs(60));
    assert_eq!(empty(&mut bench, 600), None);
    assert_eq!(bench.open_until(), Some(secs(600)));
    assert_eq!(empty(&mut bench, 1), None);
    assert_eq!(bench.open_until(), Some(secs(600)));
    // Open → closed.
    assert_eq!(refill(&mut bench), CLOSED);
    assert_eq!(bench.health.standing(bench.now), Standing::Closed);
    assert_eq!(refill(&mut bench), None);
}

#[test]
fn credit_ends_what_a_request_began() {
    let mut bench = Bench::new();
    bench.attempt_fails(Class::OutOfCredits);
    assert_eq!(refill(&mut bench), CLOSED);
}

#[test]
fn credit_ends_nothing_that_began_otherwise() {
    let mut bench = Bench::new();
    bench.attempt_fails(Class::Auth);
    assert_eq!(refill(&mut bench), None);
    assert!(bench.is_skipped());
}

#[test]
fn what_was_known_before_it_began_ends_nothing() {
    let mut bench = Bench::new();
    let asked = bench.now;
    bench.wait(secs(1));
    bench.attempt_fails(Class::OutOfCredits);
    assert_eq!(bench.health.refilled(asked), None);
    assert!(bench.is_skipped());
}

#[test]
fn an_empty_account_takes_over_from_another_reason_and_ends_no_sooner() {
    let mut bench = Bench::new();
    bench.attempt_fails(Class::Auth);
    assert_eq!(empty(&mut bench, 60), opened(Class::OutOfCredits, secs(300)));
    assert_eq!(bench.open_until(), Some(secs(300)));
}

#[test]
fn a_trial_meanwhile_does_not_stand_against_an_empty_account() {
    let mut bench = Bench::new();
    bench.attempt_fails(Class::OutOfCredits);
    bench.wait(secs(600));
    // Half-open → open: the trial that is out has no say any more.
    let trial = bench.pass();
    assert_eq!(empty(&mut bench, 60), opened_again(Class::OutOfCredits, secs(60)));
    assert_eq!(bench.health.answered(&trial), None);
    bench.health.abandoned(&trial);
    assert!(bench.is_skipped());
    // Half-open → closed: nor does it fail what is well again.
    bench.wait(secs(60));
    let trial = bench.pass();
    assert_eq!(refill(&mut bench), CLOSED);
    bench.health.abandoned(&trial);
    assert_eq!(bench.health.standing(bench.now), Standing::Closed);
}
