//! The clock stands still unless a test moves it.

use super::*;
use crate::classify::Basis;

mod account;
mod property;
mod words;

const MS: Duration = Duration::from_millis(1);
const COOLDOWN: Cooldown = Cooldown {
    after: 3,
    base: Duration::from_secs(5),
    max: Duration::from_secs(15),
    out_of_credits: Duration::from_secs(600),
    auth: Duration::from_secs(300),
    model_not_found: Duration::from_secs(600),
};

/// When a test begins.
fn start() -> Instant {
    Instant::now()
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn setback(class: Class, retry_after: Option<Duration>) -> Setback {
    Setback::of(class, Basis::Status, retry_after).expect("somebody is to blame")
}

/// A machine and the time that it is.
struct Bench {
    health: Health,
    cooldown: Cooldown,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        Self {
            health: Health::default(),
            cooldown: COOLDOWN,
            now: start(),
        }
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
    }

    fn pass(&mut self) -> Pass {
        self.health.admit(self.now).expect("it is not skipped")
    }

    fn is_skipped(&mut self) -> bool {
        self.health.admit(self.now).is_none()
    }

    fn fail(&mut self, pass: &Pass, class: Class) -> Option<Change> {
        let setback = setback(class, None);
        self.health.failed(pass, &setback, &self.cooldown, self.now)
    }

    fn fail_with_hint(&mut self, pass: &Pass, class: Class, hint: Duration) -> Option<Change> {
        let setback = setback(class, Some(hint));
        self.health.failed(pass, &setback, &self.cooldown, self.now)
    }

    /// An attempt from begin to failure.
    fn attempt_fails(&mut self, class: Class) -> Option<Change> {
        let pass = self.pass();
        self.fail(&pass, class)
    }

    /// Opened for a minute.
    fn open_for_a_minute(&mut self) {
        let pass = self.pass();
        self.fail_with_hint(&pass, Class::RateLimited, secs(60));
    }

    fn open_until(&self) -> Option<Duration> {
        match self.health.standing(self.now) {
            Standing::Open { until, .. } => Some(until - self.now),
            _ => None,
        }
    }
}

fn opened(class: Class, length: Duration) -> Option<Change> {
    Some(Change::Opened {
        class,
        length,
        again: false,
    })
}

fn opened_again(class: Class, length: Duration) -> Option<Change> {
    Some(Change::Opened {
        class,
        length,
        again: true,
    })
}

#[test]
fn failures_in_a_row_open_it_and_a_trial_closes_it() {
    let mut bench = Bench::new();
    // Closed: two failures are not enough.
    assert_eq!(bench.attempt_fails(Class::ServerError), None);
    assert_eq!(bench.attempt_fails(Class::Timeout), None);
    assert_eq!(bench.health.standing(bench.now), Standing::Closed);
    // Closed → open: the third is, whatever the classes.
    assert_eq!(bench.attempt_fails(Class::Reset), opened(Class::Reset, secs(5)));
    assert!(bench.is_skipped());
    bench.wait(secs(5) - MS);
    assert!(bench.is_skipped(), "not before its time");
    // Open → half-open: one request tries, the others skip it.
    bench.wait(MS);
    assert_eq!(bench.health.standing(bench.now), Standing::Due);
    let trial = bench.pass();
    assert!(bench.is_skipped());
    assert_eq!(
        bench.health.standing(bench.now),
        Standing::OnTrial { class: Class::Reset }
    );
    // Half-open → closed.
    assert_eq!(
        bench.health.answered(&trial),
        Some(Change::Closed { class: Class::Reset })
    );
    assert_eq!(bench.health.standing(bench.now), Standing::Closed);
    // Closed: the count starts anew.
    assert_eq!(bench.attempt_fails(Class::ServerError), None);
    assert_eq!(bench.attempt_fails(Class::ServerError), None);
}

#[test]
fn an_answer_between_failures_starts_the_count_anew() {
    let mut bench = Bench::new();
    for _ in 0..5 {
        bench.attempt_fails(Class::Overloaded);
        bench.attempt_fails(Class::Overloaded);
        let pass = bench.pass();
        bench.health.answered(&pass);
    }
    assert_eq!(bench.health.standing(bench.now), Standing::Closed);
}

#[test]
fn each_failed_trial_doubles_the_time_up_to_the_most() {
    let mut bench = Bench::new();
    for _ in 0..3 {
        bench.attempt_fails(Class::ServerError);
    }
    for seconds in [10, 15, 15] {
        bench.wait(secs(60));
        // Half-open → open, for twice as long, at most `max`.
        assert_eq!(
            bench.attempt_fails(Class::ServerError),
            opened_again(Class::ServerError, secs(seconds))
        );
    }
    // Half-open → closed: the next time it begins at `base` again.
    bench.wait(secs(60));
    let trial = bench.pass();
    bench.health.answered(&trial);
    bench.attempt_fails(Class::ServerError);
    bench.attempt_fails(Class::ServerError);
    assert_eq!(
        bench.attempt_fails(Class::ServerError),
        opened(Class::ServerError, secs(5))
    );
}

#[test]
fn some_classes_open_at_once_for_their_own_time() {
    for (class, length) in [
        (Class::Auth, secs(300)),
        (Class::OutOfCredits, secs(600)),
        (Class::ModelNotFound, secs(600)),
    ] {
        let mut bench = Bench::new();
        // Closed → open.
        assert_eq!(bench.attempt_fails(class), opened(class, length));
        bench.wait(length);
        // Half-open → open: doubling stops at `max`, which is shorter than its own time.
        assert_eq!(bench.attempt_fails(class), opened_again(class, length));
        bench.wait(length);
        // Half-open → open: the account is in order again, but the server is not.
        assert_eq!(
            bench.attempt_fails(Class::ServerError),
            opened_again(Class::ServerError, secs(15))
        );
    }
}

#[test]
fn it_stays_open_at_least_as_long_as_the_upstream_asks() {
    let mut bench = Bench::new();
    let pass = bench.pass();
    // Closed → open: at once, and not for `base`.
    assert_eq!(
        bench.fail_with_hint(&pass, Class::RateLimited, secs(2)),
        opened(Class::RateLimited, secs(2))
    );
    bench.wait(secs(2));
    // Half-open → open: twice as long, if the upstream does not ask for more.
    let trial = bench.pass();
    assert_eq!(
        bench.fail_with_hint(&trial, Class::RateLimited, secs(1)),
        opened_again(Class::RateLimited, secs(4))
    );
    bench.wait(secs(4));
    let trial = bench.pass();
    assert_eq!(
        bench.fail_with_hint(&trial, Class::Overloaded, secs(120)),
        opened_again(Class::Overloaded, secs(120)),
        "`max` is ours, not the upstream's"
    );
}

#[test]
fn a_wish_that_is_short_or_over_does_not_undo_the_count() {
    let mut bench = Bench::new();
    bench.attempt_fails(Class::RateLimited);
    let pass = bench.pass();
    assert_eq!(
        bench.fail_with_hint(&pass, Class::RateLimited, Duration::ZERO),
        None,
        "a time that has passed"
    );
    let pass = bench.pass();
    assert_eq!(
        bench.fail_with_hint(&pass, Class::RateLimited, MS),
        opened(Class::RateLimited, secs(5))
    );
}

#[test]
fn while_it_is_open_its_end_only_moves_away() {
    let mut bench = Bench::new();
    let early = bench.pass();
    let late = bench.pass();
    bench.open_for_a_minute();
    bench.wait(secs(10));
    // Open: those that were under way are told the same, sooner, or later.
    assert_eq!(bench.fail_with_hint(&early, Class::RateLimited, secs(20)), None);
    assert_eq!(bench.open_until(), Some(secs(50)));
    assert_eq!(bench.fail(&early, Class::ServerError), None, "counts nothing");
    assert_eq!(bench.open_until(), Some(secs(50)));
    assert_eq!(bench.fail_with_hint(&late, Class::RateLimited, secs(60)), None);
    assert_eq!(bench.open_until(), Some(secs(60)));
}

#[test]
fn an_answer_to_an_older_attempt_does_not_close_it() {
    let mut bench = Bench::new();
    let before = bench.pass();
    bench.wait(MS);
    bench.open_for_a_minute();
    bench.wait(MS);
    // Open: it says how things were before.
    assert_eq!(bench.health.answered(&before), None);
    assert!(bench.is_skipped());
    // Open → closed: an attempt that was made all the same.
    let asked_anyway = bench.health.admit_anyway(bench.now);
    assert_eq!(
        bench.health.answered(&asked_anyway),
        Some(Change::Closed {
            class: Class::RateLimited
        })
    );
}

#[test]
fn a_trial_that_tells_nothing_is_given_back() {
    let mut bench = Bench::new();
    bench.open_for_a_minute();
    bench.wait(secs(60));
    let gone = bench.pass();
    assert!(bench.is_skipped());
    // Half-open → open, and due at once.
    bench.health.abandoned(&gone);
    assert_eq!(bench.health.standing(bench.now), Standing::Due);
    // Open → half-open. The first one's pass means nothing any more.
    let trial = bench.pass();
    bench.health.abandoned(&gone);
    assert!(bench.is_skipped());
    assert!(bench.health.answered(&trial).is_some());
}

#[test]
fn others_that_fail_meanwhile_do_not_decide_the_trial() {
    let mut bench = Bench::new();
    let other = bench.pass();
    bench.open_for_a_minute();
    bench.wait(secs(60));
    let trial = bench.pass();
    // Half-open: a failure that is only counted.
    assert_eq!(bench.fail(&other, Class::ServerError), None);
    assert!(bench.is_skipped());
    // Half-open → open: one that was told how long to stay away.
    assert_eq!(
        bench.fail_with_hint(&other, Class::RateLimited, secs(30)),
        opened_again(Class::RateLimited, secs(30))
    );
    // Open: the trial is older than that.
    bench.wait(MS);
    assert_eq!(bench.health.answered(&trial), None);
    assert!(bench.is_skipped());
}

#[test]
fn answers_that_break_off_add_up_although_each_has_begun() {
    let mut bench = Bench::new();
    for expected in [None, None, opened(Class::Broken, secs(5))] {
        let pass = bench.pass();
        bench.health.answered(&pass);
        assert_eq!(bench.fail(&pass, Class::Broken), expected);
    }
    let mut bench = Bench::new();
    for _ in 0..5 {
        for _ in 0..2 {
            let pass = bench.pass();
            bench.health.answered(&pass);
            assert_eq!(bench.fail(&pass, Class::Broken), None);
        }
        // Closed: a whole one starts the count anew.
        bench.health.completed();
    }
}

#[test]
fn the_count_may_be_switched_off() {
    let mut bench = Bench::new();
    bench.cooldown.after = 0;
    for _ in 0..100 {
        assert_eq!(bench.attempt_fails(Class::ServerError), None);
    }
    assert_eq!(bench.attempt_fails(Class::Auth), opened(Class::Auth, secs(300)));
}

#[test]
fn base_is_never_longer_than_max() {
    let mut bench = Bench::new();
    bench.cooldown.after = 1;
    bench.cooldown.max = secs(1);
    assert_eq!(
        bench.attempt_fails(Class::ServerError),
        opened(Class::ServerError, secs(1))
    );
}

#[test]
fn what_has_recovered_begins_anew() {
    let mut bench = Bench::new();
    assert!(!bench.health.recover());
    bench.open_for_a_minute();
    let late = bench.health.admit_anyway(bench.now);
    assert!(bench.health.recover());
    assert!(!bench.is_skipped());
    // One that was sent before counts as the first failure.
    assert_eq!(bench.fail(&late, Class::ServerError), None);
    assert!(!bench.is_skipped());
}
