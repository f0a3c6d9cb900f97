//! Small pieces of a body that are there already go on as one: what an upstream writes event by event, and what was held while
//! it was judged, then costs everything downstream one turn instead of many.

use bytes::{Bytes, BytesMut};

/// Beyond this, copying costs more than a turn.
const GATHERED_BYTES_MAX: usize = 16 * 1024;

/// Pieces that follow each other. A single one is not copied.
#[derive(Default)]
pub(super) struct Gathered {
    first: Bytes,
    joined: BytesMut,
}

impl Gathered {
    pub(super) fn len(&self) -> usize {
        self.first.len().max(self.joined.len())
    }

    /// Whether a piece of `bytes` more may be added.
    pub(super) fn has_room_for(&self, bytes: usize) -> bool {
        self.len() == 0 || self.len() + bytes <= GATHERED_BYTES_MAX
    }

    pub(super) fn push(&mut self, piece: Bytes) {
        if self.len() == 0 {
            self.first = piece;
            return;
        }
        if piece.is_empty() {
            return;
        }
        if self.joined.is_empty() {
            self.joined.reserve(2 * (self.first.len() + piece.len()));
            self.joined.extend_from_slice(&self.first);
        }
        self.joined.extend_from_slice(&piece);
    }

    pub(super) fn finish(self) -> Bytes {
        if self.joined.is_empty() {
            self.first
        } else {
            self.joined.freeze()
        }
    }
}

impl FromIterator<Bytes> for Gathered {
    fn from_iter<I: IntoIterator<Item = Bytes>>(pieces: I) -> Self {
        let mut gathered = Self::default();
        pieces.into_iter().for_each(|piece| gathered.push(piece));
        gathered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_piece_is_not_copied_and_several_are_one() {
        let piece = Bytes::from(vec![1; 10]);
        let alone: Gathered = [piece.clone(), Bytes::new()].into_iter().collect();
        assert_eq!(alone.finish().as_ptr(), piece.as_ptr());
        let several: Gathered = ["a", "", "b", "c"].into_iter().map(Bytes::from).collect();
        assert_eq!(several.finish(), "abc");
    }

    #[test]
    fn a_large_piece_goes_alone_and_small_ones_go_up_to_the_bound() {
        let mut gathered = Gathered::default();
        assert!(gathered.has_room_for(10 * GATHERED_BYTES_MAX));
        gathered.push(Bytes::from(vec![0; GATHERED_BYTES_MAX - 1]));
        assert!(gathered.has_room_for(1));
        assert!(!gathered.has_room_for(2));
    }
}
