use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use futures_util::poll;
use proptest::prelude::*;
use tokio::time::timeout;

use super::*;

const MIB: usize = 1 << 20;
/// Seven of these eight are for whoever comes.
const BOUND: usize = 8 * MIB;

fn taken(budget: &Budget, bytes: usize) -> Share {
    let mut share = budget.share();
    assert!(share.try_grow_to(bytes), "{bytes} of {budget:?}");
    share
}

#[test]
fn what_is_dropped_comes_back() {
    let budget = Budget::new(BOUND);
    let mut share = taken(&budget, 3 * MIB);
    let other = taken(&budget, 4 * MIB);
    assert_eq!(budget.used_bytes(), 7 * MIB);
    share.shrink_to(MIB);
    assert_eq!((share.bytes(), budget.used_bytes()), (MIB, 5 * MIB));
    assert!(share.try_grow_to(MIB / 2), "it has that");
    assert_eq!(share.bytes(), MIB, "and does not get smaller");
    drop((share, other));
    assert_eq!(budget.used_bytes(), 0);
}

#[test]
fn the_reserve_is_for_what_is_small() {
    let budget = Budget::new(BOUND);
    let _large = taken(&budget, 7 * MIB);
    assert!(!budget.share().try_grow_to(SMALL_BYTES_MAX + 1));
    let small: Vec<Share> = (0..16).map(|_| taken(&budget, SMALL_BYTES_MAX)).collect();
    assert!(!budget.share().try_grow_to(1), "it has an end as well");
    drop(small);
    assert!(budget.share().try_grow_to(1));
}

#[tokio::test(start_paused = true)]
async fn what_could_not_fit_alone_is_told_at_once() {
    let budget = Budget::new(BOUND);
    let most_bytes = 7 * MIB;
    assert_eq!(
        budget.share().grow_to(most_bytes + 1).await,
        Err(NeverFits { most_bytes })
    );
    assert_eq!(budget.share().grow_to(most_bytes).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn who_came_first_is_served_first() {
    let budget = Budget::new(BOUND);
    let held = taken(&budget, 7 * MIB);
    let [mut large, mut little] = [budget.share(), budget.share()];
    {
        let mut first = pin!(large.grow_to(6 * MIB));
        assert!(poll!(&mut first).is_pending());
        let mut second = pin!(little.grow_to(MIB));
        assert!(poll!(&mut second).is_pending());
        let mut held = held;
        held.shrink_to(2 * MIB);
        assert!(poll!(&mut second).is_pending(), "it would fit, but is not the first");
        assert!(!budget.share().try_grow_to(MIB), "nor does anybody else overtake");
        drop(held);
        assert!(poll!(&mut first).is_ready());
        assert!(poll!(&mut second).is_ready());
    }
    assert_eq!(budget.used_bytes(), 7 * MIB);
    drop((large, little));
    assert_eq!((budget.used_bytes(), budget.is_contended()), (0, false));
}

#[tokio::test(start_paused = true)]
async fn small_ones_do_not_wait_behind_large_ones() {
    let budget = Budget::new(BOUND);
    let _held = taken(&budget, 7 * MIB);
    let mut large = budget.share();
    let mut waits = pin!(large.grow_to(MIB));
    assert!(poll!(&mut waits).is_pending());
    assert_eq!(budget.share().grow_to(1000).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn what_has_begun_comes_before_what_begins() {
    let budget = Budget::new(BOUND);
    let mut begun = taken(&budget, 3 * MIB);
    let held = taken(&budget, 4 * MIB);
    let mut new = budget.share();
    let mut later = pin!(new.grow_to(4 * MIB));
    assert!(poll!(&mut later).is_pending());
    {
        let mut more = pin!(begun.grow_to(5 * MIB));
        assert!(poll!(&mut more).is_pending());
        drop(held);
        assert!(poll!(&mut more).is_ready());
    }
    assert!(poll!(&mut later).is_pending());
    drop(begun);
    assert!(poll!(&mut later).is_ready());
}

#[tokio::test(start_paused = true)]
async fn who_stops_waiting_frees_the_place() {
    let budget = Budget::new(BOUND);
    let held = taken(&budget, 4 * MIB);
    let [mut impatient, mut patient] = [budget.share(), budget.share()];
    let mut second = pin!(patient.grow_to(2 * MIB));
    {
        let mut first = pin!(timeout(Duration::from_secs(1), impatient.grow_to(6 * MIB)));
        assert!(poll!(&mut first).is_pending());
        assert!(poll!(&mut second).is_pending());
        assert!(first.await.is_err(), "the second is over");
    }
    assert!(poll!(&mut second).is_ready(), "the one behind fits");
    drop(held);
    assert_eq!(impatient.bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_nobody_takes_comes_back() {
    let budget = Budget::new(BOUND);
    let held = taken(&budget, 7 * MIB);
    let mut share = budget.share();
    {
        let mut waits = pin!(share.grow_to(5 * MIB));
        assert!(poll!(&mut waits).is_pending());
        drop(held);
        assert_eq!(budget.used_bytes(), 5 * MIB, "it was granted");
        // The client leaves before its task runs.
    }
    assert_eq!((share.bytes(), budget.used_bytes()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_raised_bound_is_used_at_once() {
    let budget = Budget::new(BOUND);
    let _held = taken(&budget, 7 * MIB);
    let mut share = budget.share();
    let mut waits = pin!(share.grow_to(7 * MIB));
    assert!(poll!(&mut waits).is_pending());
    budget.set_bound(2 * BOUND);
    assert_eq!(poll!(&mut waits), Poll::Ready(Ok(())));
}

/// What is lost when many ask, wait, give up and give back at once would show here as a wait without end, or as bytes that
/// never come back.
#[test]
fn nothing_is_lost_among_many_threads() {
    const TASKS: usize = 32;
    const ROUNDS: usize = 200;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_time()
        .build()
        .unwrap();
    let budget = Budget::new(BOUND);
    runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..TASKS {
            let budget = budget.clone();
            tasks.spawn(async move {
                for round in 0..ROUNDS {
                    let mut share = budget.share();
                    let bytes = [100, 70_000, MIB, 3 * MIB, 7 * MIB][(task + round) % 5];
                    if (task + round).is_multiple_of(7) {
                        // One that leaves.
                        let _ = timeout(Duration::ZERO, share.grow_to(bytes)).await;
                    } else {
                        share.grow_to(bytes / 2).await.unwrap();
                        share.shrink_to(bytes / 4);
                    }
                    assert!(budget.used_bytes() <= BOUND);
                    tokio::task::yield_now().await;
                }
            });
        }
        timeout(Duration::from_secs(60), async {
            while let Some(done) = tasks.join_next().await {
                done.unwrap();
            }
        })
        .await
        .expect("nobody waits for ever");
    });
    assert_eq!((budget.used_bytes(), budget.is_contended()), (0, false));
}

type Waiting = Pin<Box<dyn Future<Output = Option<Share>>>>;

#[derive(Debug, Clone)]
enum Move {
    Begin(usize),
    Leave(usize),
    Shrink(usize),
    Bound(usize),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        (1..8 * MIB).prop_map(Move::Begin),
        (1..SMALL_BYTES_MAX).prop_map(Move::Begin),
        (0..20_usize).prop_map(Move::Leave),
        (0..20_usize).prop_map(Move::Shrink),
        (4..16_usize).prop_map(|mib| Move::Bound(mib * MIB)),
    ];
    prop::collection::vec(one, 1..60)
}

proptest! {
    /// Whoever waits does so because the first of its kind does not fit; and in the end all is given back.
    #[test]
    fn nobody_waits_without_need(moves in moves()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let budget = Budget::new(BOUND);
            let mut waiting: Vec<(usize, Waiting)> = Vec::new();
            let mut held: Vec<Share> = Vec::new();
            for step in moves {
                match step {
                    Move::Begin(bytes) => {
                        let mut share = budget.share();
                        let waits = async move { share.grow_to(bytes).await.is_ok().then_some(share) };
                        waiting.push((bytes, Box::pin(waits)));
                    }
                    Move::Leave(at) if at < waiting.len() => drop(waiting.remove(at)),
                    Move::Shrink(at) if at < held.len() => drop(held.remove(at)),
                    Move::Bound(bytes) => budget.set_bound(bytes),
                    Move::Leave(_) | Move::Shrink(_) => {}
                }
                let mut left = Vec::new();
                for (bytes, mut future) in waiting {
                    match poll!(&mut future) {
                        Poll::Ready(share) => held.extend(share),
                        Poll::Pending => left.push((bytes, future)),
                    }
                }
                waiting = left;
                let used: usize = held.iter().map(Share::bytes).sum();
                assert_eq!(used, budget.used_bytes());
                let is_small = |bytes: &usize| *bytes <= SMALL_BYTES_MAX;
                let first = waiting.iter().map(|(bytes, _)| bytes).find(|bytes| is_small(bytes));
                let first = first.or_else(|| waiting.first().map(|(bytes, _)| bytes));
                if let Some(first) = first {
                    let limit = if is_small(first) { budget.bound_bytes() } else { budget.most_alone_bytes() };
                    assert!(used + first > limit, "{first} fits beside {used} in {limit}");
                }
            }
            drop((waiting, held));
            assert_eq!((budget.used_bytes(), budget.is_contended()), (0, false));
        });
    }
}
