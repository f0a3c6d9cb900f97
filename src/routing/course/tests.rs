use super::*;
use crate::config::{self, KeyPolicy, LoadOptions};
use crate::protocol::Protocol;
use crate::routing::{RouteTable, plan};

const LEFT: Duration = Duration::from_secs(100);

/// A course through a route to upstreams a and b, with this policy.
fn course(policy: &str, client_retries: bool) -> Course {
    course_of("[a, b]", policy, client_retries)
}

fn course_of(targets: &str, policy: &str, client_retries: bool) -> Course {
    let file = tempfile::NamedTempFile::new().unwrap();
    let upstreams = "upstreams: { a: { url: \"http://127.0.0.1:1\" }, b: { url: \"http://127.0.0.1:2\" } }";
    let yaml = format!("{upstreams}\nroutes: {{ m: {targets} }}\npolicy: {{ {policy} }}\n");
    std::fs::write(file.path(), yaml).unwrap();
    let options = LoadOptions {
        env: &|_| None,
        keys: KeyPolicy::Required,
    };
    let loaded = config::load(file.path(), &options);
    let table = RouteTable::compile(&loaded.config.unwrap_or_else(|| panic!("{policy} has errors")), None);
    let route = Arc::clone(table.route("m").unwrap());
    let plan = plan(&route, "m", Protocol::OpenAi, Instant::now(), |_| 0);
    Course::new(route, plan, client_retries)
}

fn failed(class: Class, status: u16, retry_after_s: Option<u64>) -> Outcome {
    Outcome {
        class,
        status: Some(status),
        basis: Basis::Status,
        retry_after: retry_after_s.map(Duration::from_secs),
        cause: Cause::Target,
    }
}

/// Returns what follows when every attempt fails this way, until nothing does.
fn followed(mut course: Course, outcome: &Outcome, left: Duration) -> Vec<Next> {
    let mut seen = Vec::new();
    let mut now = Instant::now();
    while let Turn::Begun(step, admission) = course.begin(now) {
        outcome.report(&step, &admission, now);
        let next = course.next(outcome, now, left, 0.5);
        seen.push(next);
        if matches!(next, Next::Deliver | Next::Exhausted) {
            break;
        }
        if let Next::Retry { wait } = next {
            now += wait;
        }
        course.advance(next, outcome, now);
    }
    seen
}

fn retry(wait_ms: u64) -> Next {
    Next::Retry {
        wait: Duration::from_millis(wait_ms),
    }
}

#[test]
fn failures_are_followed_as_the_policy_says() {
    use Next::{Deliver, Exhausted, Fallback};
    let server_error = failed(Class::ServerError, 500, None);
    for (policy, outcome, expected) in [
        ("", &server_error, vec![retry(125), Fallback, retry(125), Exhausted]),
        // Backoff doubles, up to its bound; the budget is for all targets together.
        (
            "retry: { same_target: 4, max_backoff: 800ms, attempts: 7 }, cooldown: { after: 0 }",
            &server_error,
            vec![
                retry(125),
                retry(250),
                retry(400),
                retry(400),
                Fallback,
                retry(125),
                Exhausted,
            ],
        ),
        // Who cools down is not tried again, but the last one is.
        (
            "retry: { same_target: 4, attempts: 7 }, cooldown: { after: 2 }",
            &server_error,
            vec![
                retry(125),
                Fallback,
                retry(125),
                retry(250),
                retry(500),
                retry(1000),
                Exhausted,
            ],
        ),
        ("retry: { attempts: 1 }", &server_error, vec![Exhausted]),
        ("on: { server_error: deliver }", &server_error, vec![Deliver]),
        // A status goes before its class.
        (
            "on: { server_error: deliver, 500: fallback }",
            &server_error,
            vec![Fallback, Exhausted],
        ),
        ("", &failed(Class::BadRequest, 400, None), vec![Deliver]),
        ("", &failed(Class::RateLimited, 429, None), vec![Fallback, Exhausted]),
        (
            "",
            &failed(Class::RateLimited, 429, Some(3)),
            vec![retry(3000), Fallback, retry(3000), Exhausted],
        ),
        ("", &failed(Class::RateLimited, 429, Some(4)), vec![Fallback, Exhausted]),
    ] {
        assert_eq!(
            followed(course(policy, false), outcome, LEFT),
            expected,
            "{policy} {outcome:?}"
        );
    }
}

#[test]
fn a_client_that_retries_is_not_retried_for() {
    let outcome = failed(Class::ServerError, 500, None);
    assert_eq!(
        followed(course("", true), &outcome, LEFT),
        [Next::Fallback, Next::Exhausted]
    );
}

#[test]
fn the_deadline_ends_it_and_no_wait_outlasts_it() {
    let outcome = failed(Class::RateLimited, 429, Some(2));
    let two = Duration::from_secs(2);
    assert_eq!(
        followed(course("", false), &outcome, two),
        [Next::Fallback, Next::Exhausted]
    );
    assert_eq!(followed(course("", false), &outcome, Duration::ZERO), [Next::Exhausted]);
}

#[test]
fn a_dead_connection_costs_an_attempt_and_no_second_try() {
    let mut course = course("", false);
    let stale = Outcome {
        cause: Cause::StaleConnection,
        status: None,
        ..failed(Class::Reset, 0, None)
    };
    let now = Instant::now();
    assert!(matches!(course.begin(now), Turn::Begun(..)));
    assert_eq!(course.next(&stale, now, LEFT, 0.5), retry(0));
    course.advance(retry(0), &stale, now);
    assert!(course.needs_fresh_connection());
    let rest = followed(course, &failed(Class::ServerError, 500, None), LEFT);
    assert_eq!(rest, [retry(125), Next::Fallback, retry(125), Next::Exhausted]);
}

#[test]
fn without_an_answer_there_is_nothing_to_deliver() {
    let silent = Outcome {
        status: None,
        ..failed(Class::Timeout, 0, None)
    };
    let course = course("on: { timeout: deliver }", false);
    assert_eq!(followed(course, &silent, LEFT), [Next::Fallback, Next::Exhausted]);
}

#[test]
fn who_cools_down_by_then_is_passed_over() {
    let outcome = failed(Class::Auth, 401, None);
    let mut course = course_of("[a/one, a/two, b]", "", false);
    let now = Instant::now();
    let Turn::Begun(step, admission) = course.begin(now) else {
        panic!("nobody is asked")
    };
    assert!(outcome.report(&step, &admission, now).is_some());
    assert_eq!(course.next(&outcome, now, LEFT, 0.5), Next::Fallback);
    course.advance(Next::Fallback, &outcome, now);
    let Turn::Begun(step, _) = course.begin(now) else {
        panic!("b is not asked")
    };
    assert_eq!(&*step.name(Some("m")), "b/m");
    let resting: Vec<_> = course.plan.resting.iter().map(|step| step.name(None)).collect();
    assert_eq!(resting, ["a/two".into()]);
}
