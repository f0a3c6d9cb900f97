use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn succeeded(total_ms: u64) -> Attempt {
    Attempt {
        succeeded: true,
        total: Some(Duration::from_millis(total_ms)),
        ..Attempt::default()
    }
}

fn counts(window: &Window) -> (u64, u64) {
    (window.attempts, window.succeeded)
}

#[test]
fn windows_are_whole_minutes_and_the_one_that_runs() {
    let epoch = Instant::now();
    let history = History::new(epoch);
    for minute in 0..90 {
        history.record(&succeeded(100), epoch + MINUTE * minute);
        history.record(&Attempt::default(), epoch + MINUTE * minute + Duration::from_secs(59));
    }
    let now = epoch + MINUTE * 89 + Duration::from_secs(59);
    for (minutes, expected) in [(1, (4, 2)), (15, (32, 16)), (60, (122, 61)), (1000, (122, 61))] {
        assert_eq!(counts(&history.window(now, minutes)), expected, "{minutes}");
    }
}

#[test]
fn what_is_over_is_forgotten_though_nothing_comes_after() {
    let epoch = Instant::now();
    let history = History::new(epoch);
    history.record(&succeeded(100), epoch);
    assert_eq!(counts(&history.window(epoch + MINUTE, 1)), (1, 1));
    assert_eq!(counts(&history.window(epoch + MINUTE * 2, 1)), (0, 0));
    assert_eq!(counts(&history.window(epoch + MINUTE * 60, 60)), (1, 1));
    assert_eq!(counts(&history.window(epoch + MINUTE * 61, 60)), (0, 0));
    // The slot of a minute that is long over is another's now.
    let later = epoch + MINUTE * u32::try_from(SLOTS).unwrap();
    history.record(&Attempt::default(), later);
    assert_eq!(counts(&history.window(later, 60)), (1, 0));
}

#[test]
fn minutes_come_oldest_first_and_are_always_sixty() {
    let epoch = Instant::now();
    let history = History::new(epoch);
    history.record(&succeeded(100), epoch);
    history.record(&succeeded(200), epoch + MINUTE * 2);
    let minutes = history.minutes(epoch + MINUTE * 2);
    assert_eq!(minutes.len(), MINUTES);
    let attempts: Vec<u64> = minutes.iter().map(|minute| minute.attempts).collect();
    assert_eq!(attempts[57..], [1, 0, 1]);
    assert!(attempts[..57].iter().all(|attempts| *attempts == 0));
    assert_eq!(minutes[59].total.count, 1);
    assert_eq!(minutes[58].total, Quantiles::default());
}

#[test]
fn each_timing_is_its_own() {
    let epoch = Instant::now();
    let history = History::new(epoch);
    let ms = |ms| Some(Duration::from_millis(ms));
    history.record(
        &Attempt {
            succeeded: true,
            connect: ms(3),
            headers: ms(40),
            first_token: ms(80),
            total: ms(4000),
        },
        epoch,
    );
    // From the pool, and failed.
    history.record(&Attempt::default(), epoch);
    let window = history.window(epoch, 1);
    let means = [window.connect, window.headers, window.first_token, window.total].map(|of| (of.count, of.mean_ms));
    assert_eq!(means, [3.0, 40.0, 80.0, 4000.0].map(|ms| (1, Some(ms))));
}

#[test]
fn the_last_failures_are_kept_newest_first() {
    let history = History::new(Instant::now());
    for number in 0..25 {
        history.note(FailureNote {
            unix_ms: number,
            class: "reset",
            status: None,
            message: None,
            request_id: number.to_string(),
            upstream_request_id: None,
        });
    }
    assert!(!history.has_message_since(0), "none of them has one");
    let kept: Vec<u64> = history.last_failures().iter().map(|note| note.unix_ms).collect();
    assert_eq!(kept, (15..25).rev().collect::<Vec<_>>());
    history.note(FailureNote {
        message: Some("why".to_owned()),
        unix_ms: 30,
        ..history.last_failures().remove(0)
    });
    assert!(history.has_message_since(30) && !history.has_message_since(31));
}

#[test]
fn many_threads_lose_nothing() {
    let epoch = Instant::now();
    let history = History::new(epoch);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..1000).for_each(|n| history.record(&succeeded(n), epoch)));
        }
    });
    assert_eq!(counts(&history.window(epoch, 1)), (4000, 4000));
}
