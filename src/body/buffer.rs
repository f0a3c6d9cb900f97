//! One body in one piece, as it grows.

use bytes::Bytes;
use memmap2::{MmapMut, MmapOptions};

use crate::memory::Share;

/// Given on the word of a `content-length` alone. What lies beyond is given as bytes really come.
const TRUSTED_BYTES_MAX: usize = 128 * 1024;
/// A larger body has memory of its own.
const HEAP_BYTES_MAX: usize = 1024 * 1024;

/// Bytes that are added to at their end. What comes in one chunk is not copied.
#[derive(Debug)]
pub(super) struct Buffer(Kept);

#[derive(Debug)]
enum Kept {
    One(Bytes),
    Heap(Vec<u8>),
    /// Memory of its own. It is there as far as it was written to, so it can be as long as the whole body from the first,
    /// and the system has it back as soon as the body is dropped.
    Mapped {
        map: MmapMut,
        filled: usize,
    },
}

impl Default for Buffer {
    fn default() -> Self {
        Self(Kept::One(Bytes::new()))
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        match &self.0 {
            Kept::One(only) => only,
            Kept::Heap(bytes) => bytes,
            Kept::Mapped { map, filled } => &map[..*filled],
        }
    }
}

impl Buffer {
    pub(super) fn len(&self) -> usize {
        self.as_ref().len()
    }

    /// Takes the next chunk of a body that will be `expected` bytes long in the end, or at most.
    pub(super) fn push(&mut self, chunk: Bytes, expected: usize) {
        match &mut self.0 {
            Kept::One(first) if first.is_empty() => *first = chunk,
            Kept::One(_) if chunk.is_empty() => {}
            _ => self.extend(&chunk, expected),
        }
    }

    /// The same with bytes that are copied in any case.
    pub(super) fn extend(&mut self, more: &[u8], expected: usize) {
        let needed = self.len() + more.len();
        self.make_space(needed, expected.max(needed));
        match &mut self.0 {
            // There is none of it any more.
            Kept::One(_) => {}
            Kept::Heap(bytes) => bytes.extend_from_slice(more),
            Kept::Mapped { map, filled } => {
                map[*filled..needed].copy_from_slice(more);
                *filled = needed;
            }
        }
    }

    fn make_space(&mut self, needed: usize, expected: usize) {
        if needed > HEAP_BYTES_MAX && self.map(needed, expected) {
            return;
        }
        match &mut self.0 {
            Kept::One(first) => {
                let mut bytes = Vec::with_capacity(expected.min(TRUSTED_BYTES_MAX).max(needed));
                bytes.extend_from_slice(first);
                self.0 = Kept::Heap(bytes);
            }
            // All that the heap is for as soon as its word has proved good so far, but not beyond the whole: growing copies.
            Kept::Heap(bytes) if needed > bytes.capacity() => {
                let capacity = HEAP_BYTES_MAX.min(expected).max(needed);
                bytes.reserve_exact(capacity - bytes.len());
            }
            Kept::Heap(_) | Kept::Mapped { .. } => {}
        }
    }

    /// Moves to memory of its own with space for `expected`. `false` where the system gives none.
    fn map(&mut self, needed: usize, expected: usize) -> bool {
        if matches!(&self.0, Kept::Mapped { map, .. } if map.len() >= needed) {
            return true;
        }
        let Ok(mut map) = MmapOptions::new().len(expected).no_reserve_swap().map_anon() else {
            return false;
        };
        let filled = self.len();
        map[..filled].copy_from_slice(self.as_ref());
        self.0 = Kept::Mapped { map, filled };
        true
    }

    /// All of it. The share is given back with the last reference to the bytes, whoever has that.
    pub(super) fn into_bytes(self, share: Share) -> Bytes {
        share.carry(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Budget;

    const MIB: usize = 1 << 20;

    fn counted(buffer: Buffer) -> Bytes {
        buffer.into_bytes(Budget::new(MIB).share())
    }

    #[test]
    fn one_chunk_is_not_copied() {
        let chunk = Bytes::from(vec![7; 100]);
        let mut buffer = Buffer::default();
        buffer.push(Bytes::new(), 100);
        buffer.push(chunk.clone(), 100);
        buffer.push(Bytes::new(), 100);
        assert_eq!(counted(buffer).as_ptr(), chunk.as_ptr());
    }

    #[test]
    fn a_lying_length_gets_little() {
        let mut buffer = Buffer::default();
        buffer.push(Bytes::from_static(b"a"), 1 << 30);
        buffer.push(Bytes::from_static(b"b"), 1 << 30);
        let Kept::Heap(bytes) = &buffer.0 else {
            panic!("two chunks are gathered")
        };
        assert_eq!(bytes.capacity(), TRUSTED_BYTES_MAX);
    }

    #[test]
    fn a_large_body_is_copied_once_and_stays_where_it_is() {
        let mut buffer = Buffer::default();
        let mut place = None;
        for _ in 0..5 * 16 {
            buffer.push(Bytes::from(vec![1; MIB / 16]), 5 * MIB);
            if buffer.len() > MIB {
                let begin = buffer.as_ref().as_ptr();
                assert_eq!(*place.get_or_insert(begin), begin);
            }
        }
        let Kept::Mapped { map, filled } = &buffer.0 else {
            panic!("it has memory of its own")
        };
        assert_eq!((map.len(), *filled), (5 * MIB, 5 * MIB));
        assert!(counted(buffer) == vec![1; 5 * MIB]);
    }

    #[test]
    fn what_grows_beyond_all_expectation_is_whole() {
        let mut buffer = Buffer::default();
        for n in 0..40_u8 {
            buffer.extend(&vec![n; MIB / 8], 2 * MIB);
        }
        let expected: Vec<u8> = (0..40).flat_map(|n| vec![n; MIB / 8]).collect();
        assert!(counted(buffer) == expected);
    }

    #[test]
    fn the_share_goes_with_the_last_reference() {
        let budget = Budget::new(MIB);
        let mut share = budget.share();
        assert!(share.try_grow_to(6));
        let mut buffer = Buffer::default();
        buffer.push(Bytes::from_static(b"abcdef"), 6);
        let bytes = buffer.into_bytes(share);
        let piece = bytes.slice(2..3);
        drop(bytes);
        assert_eq!(budget.used_bytes(), 6);
        drop(piece);
        assert_eq!(budget.used_bytes(), 0);
    }
}
