//! The service manager stands still: nobody waits for it, and when it moves again it hears how things are.

use std::time::Duration;

use super::notify::{Manager, setup};
use crate::support::reload::{UNWATCHED, applied};
use crate::support::*;

#[tokio::test]
async fn a_manager_that_stands_still_holds_up_neither_start_nor_reload_nor_requests() {
    let upstream = Upstream::always(Answer::json(200, completion("well"))).await;
    let manager = Manager::new();
    manager.stand_still();
    let yaml = UNWATCHED.to_owned() + &chain(&[upstream.url()]);
    let gateway = setup(yaml.clone(), &manager).start().await;
    assert_eq!(gateway.post(CHAT, chat("m")).await.status(), 200);
    for n in 1..=3 {
        let more = format!("{yaml}  n{n}: [a]\n");
        assert!(applied(&gateway.reload(&more).await));
    }
    assert_eq!(gateway.post(CHAT, chat("n3")).await.status(), 200);
    // What waits is little, and ends with the state of things.
    manager.hears("RELOADING=1").await;
    assert!(manager.hears("READY=1").await.contains("\nSTATUS=2 routes"));
    let quiet = tokio::time::timeout(Duration::from_millis(1500), manager.hears("READY=1")).await;
    assert!(quiet.is_err(), "{quiet:?}");
}

#[tokio::test]
async fn a_manager_that_stands_still_holds_up_no_stop() {
    for signal in ["TERM", "INT"] {
        let manager = Manager::new();
        let mut gateway = setup(chain(&["http://127.0.0.1:9"]), &manager).start().await;
        manager.hears("READY=1").await;
        manager.stand_still();
        gateway.signal(signal);
        assert_eq!(gateway.end().await.code(), Some(0), "{signal}");
    }
}
