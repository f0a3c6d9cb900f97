use proptest::prelude::*;

use super::*;
use crate::memory::Budget;

const MIB: usize = 1 << 20;

fn collector(max_bytes: usize, declared: Option<u64>) -> Result<Collector, TooLarge> {
    Collector::new(max_bytes, declared, Budget::new(8 * MIB).share())
}

/// Takes `bytes` more, room included.
fn take(collector: &mut Collector, bytes: usize) -> bool {
    let has_room = collector.try_make_room(bytes);
    if has_room {
        collector.push(Bytes::from(vec![b'x'; bytes])).unwrap();
    }
    has_room
}

#[test]
fn nothing_is_an_empty_body() {
    let collector = collector(0, None).unwrap();
    assert!(collector.is_empty());
    assert_eq!(collector.finish(), Bytes::new());
}

#[test]
fn the_limit_is_the_last_byte_taken() {
    let mut collector = collector(10, None).unwrap();
    collector.push(Bytes::from_static(b"01234")).unwrap();
    collector.push(Bytes::from_static(b"56789")).unwrap();
    assert_eq!(
        collector.push(Bytes::from_static(b"!")),
        Err(TooLarge { max_bytes: 10 })
    );
    assert_eq!(collector.finish(), "0123456789");
}

#[test]
fn a_declared_length_beyond_the_limit_is_refused_unread() {
    for declared in [11, u64::MAX] {
        assert_eq!(collector(10, Some(declared)).unwrap_err(), TooLarge { max_bytes: 10 });
    }
    let most_bytes = 7 * MIB;
    let check = |declared: usize| collector(32 * MIB, Some(declared as u64)).unwrap().check_length();
    assert_eq!(check(most_bytes), Ok(()));
    assert_eq!(check(most_bytes + 1), Err(NeverFits { most_bytes }));
}

#[test]
fn a_word_alone_takes_no_room() {
    let budget = Budget::new(8 * MIB);
    let mut collector = Collector::new(8 * MIB, Some(7 << 20), budget.share()).unwrap();
    assert_eq!(budget.used_bytes(), 0);
    assert!(take(&mut collector, SMALL_BYTES_MAX));
    assert_eq!(budget.used_bytes(), SMALL_BYTES_MAX);
    assert!(take(&mut collector, 1));
    assert_eq!(budget.used_bytes(), 7 * MIB, "now it is taken at its word");
    collector.go_by_steps();
    assert_eq!(budget.used_bytes(), SMALL_BYTES_MAX + 1);
    assert!(take(&mut collector, 1));
    assert!(
        budget.used_bytes() < 3 * SMALL_BYTES_MAX,
        "a step is about what has come"
    );
    drop(collector.finish());
    assert_eq!(budget.used_bytes(), 0);
}

#[test]
fn what_does_not_say_its_length_goes_by_steps() {
    let budget = Budget::new(8 * MIB);
    let mut collector = Collector::new(32 * MIB, None, budget.share()).unwrap();
    let mut taken = 0;
    while take(&mut collector, MIB / 16) {
        taken += MIB / 16;
        assert!(budget.used_bytes() <= taken + STEP_BYTES_MAX);
    }
    assert_eq!(taken, 7 * MIB, "all that one can have");
    let body = collector.finish();
    assert_eq!((body.len(), budget.used_bytes()), (7 * MIB, 7 * MIB));
}

proptest! {
    #[test]
    fn chunks_come_out_in_order_or_too_large(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20),
        declared in prop::option::of(0_u64..1000),
        max_bytes in 0_usize..500,
    ) {
        let Ok(mut collector) = collector(max_bytes, declared) else {
            prop_assert!(declared.unwrap() > max_bytes as u64);
            return Ok(());
        };
        let mut expected = Vec::new();
        for chunk in chunks {
            let fits = expected.len() + chunk.len() <= max_bytes;
            prop_assert!(collector.try_make_room(chunk.len()));
            prop_assert_eq!(collector.push(Bytes::from(chunk.clone())).is_ok(), fits);
            if fits {
                expected.extend(chunk);
            }
            prop_assert_eq!(collector.len(), expected.len());
        }
        prop_assert_eq!(collector.finish(), expected);
    }
}
