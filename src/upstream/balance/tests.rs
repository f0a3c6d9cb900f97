//! An account over time. The clock stands still unless a test moves it.

use std::io::Write;

use super::*;
use crate::classify::{Class, Request, Signals, classify};
use crate::config::{Config, KeyPolicy, LoadOptions, load};
use crate::upstream::setback::Setback;
use crate::upstream::{Standing, Upstream};

const YAML: &str = "upstreams: { u: { url: http://u.test/v1, key: k, balance: { from: deepseek, every: 60s, low: 5 } } }\n\
                    routes: { m: [u] }\n";

fn config(yaml: &str) -> Config {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(yaml.as_bytes()).unwrap();
    let options = LoadOptions {
        env: &|_| None,
        keys: KeyPolicy::Required,
    };
    let loaded = load(file.path(), &options);
    let rendered = loaded.render(false);
    loaded.config.unwrap_or_else(|| panic!("{rendered}"))
}

fn compiled(yaml: &str, previous: Option<&Upstream>) -> Upstream {
    let config = config(yaml);
    Upstream::compile(0, &config.upstreams[0], &config.policy, previous)
}

/// An upstream and the time that it is.
struct Bench {
    upstream: Upstream,
    now: Moment,
}

impl Bench {
    fn new() -> Self {
        Self {
            upstream: compiled(YAML, None),
            now: Moment {
                instant: Instant::now(),
                unix_ms: 1_000_000,
            },
        }
    }

    fn wait(&mut self, time: Duration) {
        self.now = later(self.now, time);
    }

    /// In the middle of what the jitter allows.
    fn begin(&self) -> Option<Turn> {
        self.upstream.balance.as_ref().unwrap().begin(self.now, 0.5)
    }

    /// Waits for the next poll to be due, and begins it.
    fn next(&mut self) -> (Duration, Turn) {
        let begin = self.now.instant;
        loop {
            if let Some(turn) = self.begin() {
                return (self.now.instant - begin, turn);
            }
            self.wait(Duration::from_millis(500));
        }
    }

    fn hear(&mut self, told: Result<Remaining, Failed>) -> News {
        let (_, turn) = self.next();
        self.upstream.learn_balance(turn, told, self.now, 0.5)
    }

    fn read(&mut self, amount: f64) -> News {
        self.hear(Ok(remaining(amount)))
    }

    fn fail(&mut self) -> News {
        self.hear(Err(failed(None)))
    }

    fn standing(&self) -> Standing {
        self.upstream.registry.own().standing(self.now.instant)
    }
}

fn remaining(amount: f64) -> Remaining {
    Remaining {
        amount: Some(amount),
        currency: Some("USD"),
        is_spent: amount <= 0.0,
    }
}

fn failed(retry_after: Option<Duration>) -> Failed {
    Failed {
        reason: "it is late".into(),
        retry_after,
    }
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn the_first_poll_comes_at_once_and_the_others_every_so_often() {
    let mut bench = Bench::new();
    let (wait, turn) = bench.next();
    assert!(wait <= FIRST_WITHIN, "{wait:?}");
    // One at a time, however long it takes.
    bench.wait(secs(600));
    assert!(bench.begin().is_none());
    bench.upstream.learn_balance(turn, Ok(remaining(9.0)), bench.now, 0.5);
    let (wait, turn) = bench.next();
    assert_eq!(wait, secs(60));
    // One that is given up does not stand in the way of the next.
    drop(turn);
    assert_eq!(bench.next().0, secs(60));
}

#[test]
fn the_jitter_is_a_tenth_either_way() {
    let upstream = compiled(YAML, None);
    let balance = upstream.balance.as_ref().unwrap();
    assert_eq!(balance.wait(0, 0.0), secs(54));
    assert_eq!(balance.wait(0, 1.0), secs(66));
}

#[test]
fn an_empty_account_keeps_the_upstream_out_and_a_filled_one_lets_it_in() {
    let mut bench = Bench::new();
    let opened = bench.read(0.0);
    let length = secs(600);
    assert_eq!(
        opened.cooldown,
        Some(Change::Opened {
            class: Class::OutOfCredits,
            length,
            again: false
        })
    );
    // As long as there is nothing, it stays out, and nothing more is said.
    for _ in 0..30 {
        assert_eq!(bench.read(-0.5), News::default());
        assert!(bench.standing().is_skipped());
    }
    let closed = bench.read(20.0);
    assert_eq!(
        closed.cooldown,
        Some(Change::Closed {
            class: Class::OutOfCredits
        })
    );
    assert_eq!(bench.standing(), Standing::Closed);
}

#[test]
fn an_empty_account_stays_out_from_one_reading_to_the_next_however_far_apart() {
    let mut bench = Bench::new();
    bench.upstream = compiled(&YAML.replace("60s", "1h"), None);
    bench.read(0.0);
    bench.wait(secs(3600));
    assert!(bench.standing().is_skipped(), "the next answer may be on its way");
}

#[test]
fn a_failing_poll_changes_nothing_and_is_told_once() {
    let mut bench = Bench::new();
    bench.read(0.0);
    let failing = Some(true);
    assert_eq!(
        bench.fail(),
        News {
            failing,
            ..News::default()
        }
    );
    assert_eq!(bench.fail(), News::default());
    assert!(bench.standing().is_skipped());
    let status = bench.upstream.balance().unwrap();
    assert_eq!(status.failing.as_deref(), Some("it is late"));
    assert_eq!(
        status.reading.unwrap().remaining,
        remaining(0.0),
        "what was known stands"
    );
    let failing = Some(false);
    assert_eq!(
        bench.read(0.0),
        News {
            failing,
            ..News::default()
        }
    );
    assert_eq!(bench.upstream.balance().unwrap().failing, None);
    // After a success it is told again.
    assert_eq!(bench.fail().failing, Some(true));
}

#[test]
fn failing_polls_come_further_and_further_apart() {
    let mut bench = Bench::new();
    let mut waits = Vec::new();
    for _ in 0..7 {
        let (wait, turn) = bench.next();
        waits.push(wait.as_secs());
        bench.upstream.learn_balance(turn, Err(failed(None)), bench.now, 0.5);
    }
    assert_eq!(waits[1..], [120, 240, 480, 600, 600, 600]);
    // A success: as before.
    bench.read(1.0);
    assert_eq!(bench.next().0, secs(60));
}

#[test]
fn a_wish_to_be_left_alone_is_heeded_within_reason() {
    for (wish, wait) in [(10, 120), (900, 900), (86_400, 3600)] {
        let mut bench = Bench::new();
        bench.hear(Err(failed(Some(secs(wish)))));
        assert_eq!(bench.next().0, secs(wait));
    }
}

#[test]
fn low_is_told_once_until_it_was_above_again() {
    let mut bench = Bench::new();
    let told: Vec<_> = [9.0, 4.0, 3.0, 5.0, 4.9, 4.8]
        .into_iter()
        .map(|amount| bench.read(amount).low)
        .collect();
    assert_eq!(told, [None, Some(true), None, Some(false), Some(true), None]);
    assert!(bench.upstream.balance().unwrap().is_low);
}

#[test]
fn no_limit_is_neither_low_nor_a_reason_to_let_it_in() {
    let unlimited = Remaining {
        amount: None,
        ..remaining(0.0)
    };
    let unlimited = Remaining {
        is_spent: false,
        ..unlimited
    };
    let mut bench = Bench::new();
    let now = bench.now.instant;
    // A request found the account empty, of which the key's limit tells nothing.
    bench.upstream.registry.own().lock().emptied(secs(600), now);
    bench.wait(secs(1));
    assert_eq!(bench.hear(Ok(unlimited)), News::default());
    assert!(bench.standing().is_skipped());
    // But where it was the limit that kept it out, it is let in once there is none.
    bench.read(0.0);
    let news = bench.hear(Ok(unlimited));
    assert!(news.cooldown.is_some());
    assert_eq!((news.low, bench.standing()), (Some(false), Standing::Closed));
}

#[test]
fn what_was_asked_before_a_request_found_it_empty_ends_nothing() {
    let mut bench = Bench::new();
    let (_, turn) = bench.next();
    bench.wait(secs(1));
    bench
        .upstream
        .registry
        .own()
        .lock()
        .emptied(secs(600), bench.now.instant);
    bench.wait(secs(1));
    let news = bench.upstream.learn_balance(turn, Ok(remaining(9.0)), bench.now, 0.5);
    assert_eq!(news.cooldown, None);
    assert!(bench.read(9.0).cooldown.is_some());
}

#[test]
fn a_reading_survives_a_reload_that_leaves_it_as_it_is() {
    let mut bench = Bench::new();
    bench.read(3.0);
    let reading = |upstream: &Upstream| upstream.balance().and_then(|status| status.reading);
    let known = reading(&bench.upstream);
    assert!(known.is_some());
    for (from, to, survives) in [
        ("m: [u]", "m: [u], n: [u]", true),
        ("key: k", "key: k, timeouts: { idle: 9s }", true),
        ("every: 60s", "every: 30s", false),
        ("low: 5", "low: 6", false),
        ("deepseek", "moonshot", false),
        ("key: k", "key: another", false),
        ("u.test", "v.test", false),
    ] {
        let after = compiled(&YAML.replace(from, to), Some(&bench.upstream));
        let expected = known.filter(|_| survives);
        assert_eq!(reading(&after), expected, "{from} → {to}");
    }
    let removed = YAML.replace(", balance: { from: deepseek, every: 60s, low: 5 }", "");
    assert!(compiled(&removed, Some(&bench.upstream)).balance().is_none());
}

#[test]
fn a_poll_that_a_reload_overtook_is_heard_where_the_account_is_the_same() {
    let mut bench = Bench::new();
    let (_, turn) = bench.next();
    let after = compiled(&YAML.replace("m: [u]", "n: [u]"), Some(&bench.upstream));
    assert!(after.balance.as_ref().unwrap().begin(bench.now, 0.5).is_none());
    after.learn_balance(turn, Ok(remaining(3.0)), bench.now, 0.5);
    assert!(after.balance().unwrap().reading.is_some());
    // And not where it is read otherwise.
    let (_, turn) = bench.next();
    let other = compiled(&YAML.replace("deepseek", "moonshot"), Some(&bench.upstream));
    assert_eq!(
        other.learn_balance(turn, Ok(remaining(0.0)), bench.now, 0.5),
        News::default()
    );
    assert!(other.balance().unwrap().reading.is_none());
    assert_eq!(bench.standing(), Standing::Closed);
}

#[test]
fn a_status_says_when_it_was_read_and_will_be() {
    let mut bench = Bench::new();
    assert!(bench.upstream.balance().unwrap().reading.is_none());
    bench.read(3.0);
    let status = bench.upstream.balance().unwrap();
    let read_at = status.reading.unwrap().read_at_unix_ms;
    assert_eq!(read_at, bench.now.unix_ms);
    assert_eq!(status.next_poll_unix_ms, Some(read_at + 60_000));
    assert_eq!((status.low, status.is_low), (5.0, true));
}

#[test]
fn an_empty_account_bears_out_what_an_answer_says_in_words() {
    let headers = http::HeaderMap::new();
    let verdict = classify(&Signals {
        status: 400,
        headers: &headers,
        body: br#"{"error":{"message":"Your credit balance is too low"}}"#,
        provider: None,
        request: Some(&Request::default()),
    });
    let told = Setback::of(verdict.class, verdict.basis, None).unwrap();
    let mut bench = Bench::new();
    assert!(
        bench.upstream.weigh(told).testimony.is_some(),
        "nothing is known of the account"
    );
    bench.read(12.5);
    assert!(bench.upstream.weigh(told).testimony.is_some(), "it has credit");
    bench.read(0.0);
    assert!(bench.upstream.weigh(told).testimony.is_none());
    let mut other = told;
    other.class = Class::Auth;
    assert!(
        bench.upstream.weigh(other).testimony.is_some(),
        "it is about something else"
    );
}
