//! Without a signal: every way in which a file changes is noticed, once it is whole.

use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::support::reload::{UNWATCHED, applied, replace};
use crate::support::*;

fn well() -> Answer {
    Answer::json(200, completion("well"))
}

/// The chain of `m`, and a route of its own for every generation.
fn with_route(upstream: &Upstream, name: &str) -> String {
    chain(&[upstream.url()]) + &format!("  {name}: [a]\n")
}

async fn serves(gateway: &Gateway, model: &str) -> bool {
    gateway.post(CHAT, chat(model)).await.status() == 200
}

#[tokio::test]
async fn a_file_that_is_replaced_as_editors_do() {
    let a = Upstream::always(well()).await;
    let gateway = Gateway::start(with_route(&a, "one")).await;
    gateway.replace(&with_route(&a, "two"));
    let line = gateway.attempt(0).await;
    assert_eq!(
        (&line["trigger"], &line["routes_added"], &line["routes_removed"]),
        (&"change".into(), &"two".into(), &"one".into())
    );
    assert!(serves(&gateway, "two").await && !serves(&gateway, "one").await);
    // Others keep the old one aside, and some remove it first.
    std::fs::rename(&gateway.file, gateway.file.with_extension("yaml~")).unwrap();
    gateway.write(&with_route(&a, "three"));
    let added = gateway.log.line("the third", |line| line["routes_added"] == "three");
    assert_eq!(added.await["routes_removed"], "two");
}

#[tokio::test]
async fn a_link_that_is_turned_elsewhere_as_kubernetes_does() {
    let a = Upstream::always(well()).await;
    let directory = tempfile::tempdir().unwrap();
    let volume = directory.path();
    let version = |name: &str| {
        std::fs::create_dir(volume.join(name)).unwrap();
        volume.join(name).join("switchback.yaml")
    };
    let first = version("..2026_1");
    std::fs::write(&first, "").unwrap();
    symlink("..2026_1", volume.join("..data")).unwrap();
    symlink("..data/switchback.yaml", volume.join("switchback.yaml")).unwrap();
    let gateway = Setup::new(with_route(&a, "one"))
        .file(volume.join("switchback.yaml"))
        .start()
        .await;
    for (nth, route) in ["two", "three"].into_iter().enumerate() {
        let name = format!("..2026_{}", nth + 2);
        std::fs::write(version(&name), gateway.whole(&with_route(&a, route))).unwrap();
        symlink(&name, volume.join("..data_tmp")).unwrap();
        std::fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
        let line = gateway.attempt(nth).await;
        assert_eq!(line["routes_added"], route, "{line}");
        assert!(serves(&gateway, route).await);
    }
    std::fs::remove_dir_all(volume.join("..2026_1")).unwrap();
}

#[tokio::test]
async fn a_file_that_is_written_in_place_and_in_a_burst() {
    let a = Upstream::always(well()).await;
    let gateway = Gateway::start(with_route(&a, "one")).await;
    for n in 0..200 {
        gateway.write(&with_route(&a, &format!("burst-{n}")));
    }
    let last = gateway.log.line("the last", |line| line["routes_added"] == "burst-199");
    assert_eq!(last.await["trigger"], "change");
    // One, unless the machine made this test wait in the middle of it.
    assert!(gateway.attempts().len() <= 3, "{:?}", gateway.attempts());
}

#[tokio::test]
async fn half_a_file_never_serves() {
    let a = Upstream::always(well()).await;
    let gateway = Gateway::start(with_route(&a, "one")).await;
    let whole = gateway.whole(&with_route(&a, "two"));
    let (begin, end) = whole.split_at(whole.find("routes:").unwrap() + 9);
    replace(&gateway.file, begin);
    let line = gateway.attempt(0).await;
    assert!(!applied(&line), "{line}");
    assert!(serves(&gateway, "one").await);
    let mut file = std::fs::File::options().append(true).open(&gateway.file).unwrap();
    file.write_all(end.as_bytes()).unwrap();
    let line = gateway.attempt(1).await;
    assert!(applied(&line), "{line}");
    assert!(serves(&gateway, "two").await);
}

#[tokio::test]
async fn a_file_that_only_looks_new_is_no_change() {
    let a = Upstream::always(well()).await;
    let gateway = Gateway::start(with_route(&a, "one")).await;
    gateway.replace(&with_route(&a, "one"));
    gateway.replace(&with_route(&a, "two"));
    gateway.attempt(0).await;
    // Another process with the same file tells when it would have been noticed.
    let clock = Gateway::start(with_route(&a, "one")).await;
    gateway.replace(&with_route(&a, "two"));
    clock.replace(&with_route(&a, "two"));
    clock.attempt(0).await;
    gateway.replace(&with_route(&a, "three"));
    assert_eq!(gateway.attempt(1).await["routes_added"], "three");
}

#[tokio::test]
async fn without_watch_only_a_signal_counts() {
    let a = Upstream::always(well()).await;
    let gateway = Gateway::start(with_route(&a, "one") + UNWATCHED).await;
    let clock = Gateway::start(with_route(&a, "one")).await;
    for nth in 0..2 {
        gateway.replace(&(with_route(&a, &format!("quiet-{nth}")) + UNWATCHED));
        clock.replace(&with_route(&a, &format!("noticed-{nth}")));
        clock.attempt(nth).await;
    }
    assert_eq!(gateway.attempts().len(), 0);
    // From here on it watches, and then no more.
    let line = gateway.reload(&with_route(&a, "two")).await;
    assert_eq!(
        (&line["trigger"], &line["routes_added"]),
        (&"signal".into(), &"two".into())
    );
    gateway.replace(&(with_route(&a, "three") + UNWATCHED));
    assert_eq!(gateway.attempt(1).await["trigger"], "change");
    gateway.replace(&with_route(&a, "four"));
    clock.replace(&with_route(&a, "noticed-2"));
    clock.attempt(2).await;
    assert_eq!(gateway.attempts().len(), 2);
}

#[tokio::test]
async fn a_file_that_it_names_is_watched_too() {
    let a = Upstream::always(well()).await;
    let directory = tempfile::tempdir().unwrap();
    let key = directory.path().join("key");
    let yaml = |key: &Path| {
        format!(
            "upstreams: {{ a: {{ url: \"{}/v1\", key: {{ file: \"{}\" }} }} }}\nroutes: {{ m: [a] }}",
            a.url(),
            key.display()
        )
    };
    std::fs::write(&key, "sk-old\n").unwrap();
    let gateway = Gateway::start(yaml(&key)).await;
    replace(&key, "sk-new\n");
    let line = gateway.attempt(0).await;
    assert_eq!(
        (&line["trigger"], &line["upstreams_changed"]),
        (&"change".into(), &"a".into())
    );
    assert!(serves(&gateway, "m").await);
    assert_eq!(a.requests()[0].header("authorization"), Some("Bearer sk-new"));
    // One that is not there yet is waited for.
    let late = directory.path().join("late");
    gateway.replace(&yaml(&late));
    assert!(!applied(&gateway.attempt(1).await));
    replace(&late, "sk-late");
    assert!(applied(&gateway.attempt(2).await));
    assert!(serves(&gateway, "m").await);
    assert_eq!(a.requests()[1].header("authorization"), Some("Bearer sk-late"));
    assert!(!gateway.log.text().contains("sk-"), "{}", gateway.log.text());
}
