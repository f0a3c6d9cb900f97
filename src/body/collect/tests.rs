use proptest::prelude::*;

use super::*;

#[test]
fn one_chunk_is_not_copied() {
    let chunk = Bytes::from(vec![7; 100]);
    let mut collector = Collector::new(100, Some(100)).unwrap();
    collector.push(Bytes::new()).unwrap();
    collector.push(chunk.clone()).unwrap();
    collector.push(Bytes::new()).unwrap();
    assert_eq!(collector.finish().as_ptr(), chunk.as_ptr());
}

#[test]
fn nothing_is_an_empty_body() {
    let collector = Collector::new(0, None).unwrap();
    assert!(collector.is_empty());
    assert_eq!(collector.finish(), Bytes::new());
}

#[test]
fn the_limit_is_the_last_byte_taken() {
    let mut collector = Collector::new(10, None).unwrap();
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
    assert_eq!(Collector::new(10, Some(11)).unwrap_err(), TooLarge { max_bytes: 10 });
    assert_eq!(
        Collector::new(10, Some(u64::MAX)).unwrap_err(),
        TooLarge { max_bytes: 10 }
    );
    assert!(Collector::new(10, Some(10)).is_ok());
}

#[test]
fn a_lying_length_reserves_little() {
    const GIB: usize = 1 << 30;
    let mut collector = Collector::new(GIB, Some(GIB as u64)).unwrap();
    collector.push(Bytes::from_static(b"a")).unwrap();
    collector.push(Bytes::from_static(b"b")).unwrap();
    let Held::Many(bytes) = &collector.held else {
        panic!("two chunks are gathered")
    };
    assert_eq!(bytes.capacity(), TRUSTED_BYTES_MAX);
}

#[test]
fn a_true_length_wastes_nothing() {
    const LENGTH: usize = 5 << 20;
    let mut collector = Collector::new(LENGTH * 2, Some(LENGTH as u64)).unwrap();
    for _ in 0..LENGTH / 4096 {
        collector.push(Bytes::from(vec![1; 4096])).unwrap();
    }
    let Held::Many(bytes) = &collector.held else {
        panic!("many chunks are gathered")
    };
    assert_eq!((bytes.len(), bytes.capacity()), (LENGTH, LENGTH));
}

proptest! {
    #[test]
    fn chunks_come_out_in_order_or_too_large(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20),
        declared in prop::option::of(0_u64..1000),
        max_bytes in 0_usize..500,
    ) {
        let Ok(mut collector) = Collector::new(max_bytes, declared) else {
            prop_assert!(declared.unwrap() > max_bytes as u64);
            return Ok(());
        };
        let mut expected = Vec::new();
        for chunk in chunks {
            let fits = expected.len() + chunk.len() <= max_bytes;
            prop_assert_eq!(collector.push(Bytes::from(chunk.clone())).is_ok(), fits);
            if fits {
                expected.extend(chunk);
            }
            prop_assert_eq!(collector.len(), expected.len());
        }
        prop_assert_eq!(collector.finish(), expected);
    }
}
