//! The sharing of lookups, with a resolver that answers when it is told to.

use std::sync::mpsc;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

type Found = io::Result<Vec<SocketAddr>>;

/// A resolver whose lookups end one by one, as `results` has it, and a count of those that began.
fn scripted() -> (Arc<Resolver>, mpsc::Sender<Found>, Arc<AtomicUsize>) {
    let (results, next) = mpsc::channel();
    let (next, began) = (Mutex::new(next), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&began);
    let resolver = Resolver::new(move |_| {
        counted.fetch_add(1, Ordering::AcqRel);
        next.lock().unwrap().recv().unwrap_or_else(|_| Ok(Vec::new()))
    });
    (resolver, results, began)
}

fn addresses(list: &[&str]) -> Vec<SocketAddr> {
    list.iter().map(|address| address.parse().unwrap()).collect()
}

fn failure() -> Found {
    Err(io::Error::other("the nameserver is silent"))
}

/// Waits, in real time, until the lookup that runs has ended.
async fn ended(name: &Name) {
    let mut lookup = name.lookup.subscribe();
    lookup.wait_for(|lookup| !lookup.running).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn all_who_wait_share_one_lookup_and_its_result_is_kept_though_nobody_waits() {
    let (resolver, results, began) = scripted();
    let name = resolver.name("a.test");
    for _ in 0..3 {
        let waiting = tokio::time::timeout(SECOND, name.addresses());
        assert!(waiting.await.is_err(), "nothing has come");
    }
    results.send(Ok(addresses(&["192.0.2.1:0"]))).unwrap();
    ended(&name).await;
    assert_eq!(*name.addresses().await.unwrap(), addresses(&["192.0.2.1:0"]));
    assert_eq!(began.load(Ordering::Acquire), 1);
}

#[tokio::test(start_paused = true)]
async fn known_addresses_are_used_while_they_are_renewed_and_after_that_failed() {
    let (resolver, results, began) = scripted();
    let name = resolver.name("a.test");
    results.send(Ok(addresses(&["192.0.2.1:0"]))).unwrap();
    let first = name.addresses().await.unwrap();
    tokio::time::advance(RENEWED_AFTER).await;
    for _ in 0..3 {
        assert!(Arc::ptr_eq(&name.known().unwrap(), &first), "nobody waits");
    }
    results.send(failure()).unwrap();
    ended(&name).await;
    assert!(Arc::ptr_eq(&name.addresses().await.unwrap(), &first));
    assert_eq!(began.load(Ordering::Acquire), 2, "a failure is not repeated at once");

    tokio::time::advance(RETRIED_AFTER).await;
    results.send(Ok(Vec::new())).unwrap();
    assert!(name.known().is_some());
    ended(&name).await;
    assert!(
        Arc::ptr_eq(&name.known().unwrap(), &first),
        "a name without addresses changes nothing"
    );

    tokio::time::advance(RETRIED_AFTER).await;
    results.send(Ok(addresses(&["192.0.2.2:0"]))).unwrap();
    assert!(name.known().is_some());
    ended(&name).await;
    assert_eq!(*name.known().unwrap(), addresses(&["192.0.2.2:0"]));
    assert_eq!(began.load(Ordering::Acquire), 4);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_remembered_for_a_second() {
    let (resolver, results, began) = scripted();
    let name = resolver.name("a.test");
    results.send(failure()).unwrap();
    for _ in 0..3 {
        let reason = name.addresses().await.unwrap_err();
        assert_eq!(&*reason, "the nameserver is silent");
    }
    assert_eq!(began.load(Ordering::Acquire), 1);
    tokio::time::advance(RETRIED_AFTER).await;
    results.send(Ok(addresses(&["192.0.2.1:0"]))).unwrap();
    assert!(name.addresses().await.is_ok());
    assert_eq!(began.load(Ordering::Acquire), 2);
}

#[tokio::test(start_paused = true)]
async fn a_lookup_that_hangs_has_one_thread_whoever_asks_and_however_often_names_are_dropped() {
    let (resolver, results, began) = scripted();
    for _ in 0..3 {
        let name = resolver.name("a.test");
        assert!(tokio::time::timeout(SECOND, name.addresses()).await.is_err());
    }
    let name = resolver.name("a.test");
    results.send(Ok(addresses(&["192.0.2.1:0"]))).unwrap();
    ended(&name).await;
    assert_eq!(began.load(Ordering::Acquire), 1);
}

#[tokio::test(start_paused = true)]
async fn lookups_that_hang_are_bounded_over_all_names() {
    let (resolver, results, _) = scripted();
    let names: Vec<_> = (0..=LOOKUPS_MAX).map(|n| resolver.name(&format!("{n}.test"))).collect();
    names.iter().for_each(|name| name.look_up_if_due(Instant::now()));
    assert_eq!(resolver.running.load(Ordering::Acquire), LOOKUPS_MAX);
    let reason = names[LOOKUPS_MAX].addresses().await.unwrap_err();
    assert!(reason.contains("under way"), "{reason}");
    drop(results);
    for name in &names {
        ended(name).await;
    }
    tokio::time::advance(RETRIED_AFTER).await;
    let reason = names[LOOKUPS_MAX].addresses().await.unwrap_err();
    assert_eq!(&*reason, "no address", "there is room again");
}

#[test]
fn families_take_turns_beginning_with_the_first() {
    let ordered = |list: &[&str]| in_trying_order(addresses(list));
    assert_eq!(
        ordered(&["[::1]:0", "[::2]:0", "[::1]:0", "[::3]:0", "127.0.0.1:0", "127.0.0.2:0"]),
        addresses(&["[::1]:0", "127.0.0.1:0", "[::2]:0", "127.0.0.2:0", "[::3]:0"])
    );
    assert_eq!(
        ordered(&["127.0.0.1:0", "[::1]:0", "[::2]:0"]),
        addresses(&["127.0.0.1:0", "[::1]:0", "[::2]:0"])
    );
    let many: Vec<_> = (1..=20).map(|n| format!("192.0.2.{n}:0")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    assert_eq!(ordered(&many).len(), ADDRESSES_MAX);
}
