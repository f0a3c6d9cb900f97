//! The program's allocator: mimalloc, asked without a word about alignment wherever it aligns as wanted by itself.
//!
//! Its own Rust interface states the alignment of each allocation, and an allocator that is told one looks twice at each: of a
//! request's instructions that was one in thirty.

use std::alloc::{GlobalAlloc, Layout};

use libmimalloc_sys as mimalloc;

/// What mimalloc aligns each block to that is as large (`MI_MAX_ALIGN_SIZE` in its `types.h`).
const NATURAL_ALIGNMENT: usize = 16;

pub struct Allocator;

/// Whether every block of this size is aligned as wanted.
fn is_natural(layout: Layout, bytes: usize) -> bool {
    layout.align() <= NATURAL_ALIGNMENT && layout.align() <= bytes
}

#[allow(unsafe_code, reason = "the interface of allocators")]
// SAFETY: mimalloc gives blocks that are as large and as aligned as asked for, or null, and never unwinds. `mi_malloc`,
// `mi_zalloc` and `mi_realloc` align blocks of at least 16 bytes to 16, and smaller ones to the largest power of two that is
// not larger than they are. What one of them gave, `mi_free` and both kinds of `mi_realloc` take.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: any size and any power of two will do.
        unsafe {
            if is_natural(layout, layout.size()) {
                mimalloc::mi_malloc(layout.size()).cast()
            } else {
                mimalloc::mi_malloc_aligned(layout.size(), layout.align()).cast()
            }
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe {
            if is_natural(layout, layout.size()) {
                mimalloc::mi_zalloc(layout.size()).cast()
            } else {
                mimalloc::mi_zalloc_aligned(layout.size(), layout.align()).cast()
            }
        }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, _layout: Layout) {
        // SAFETY: the caller has the block from here, and uses it no more.
        unsafe { mimalloc::mi_free(block.cast()) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller has the block from here, and uses it no more unless null is returned.
        unsafe {
            if is_natural(layout, new_size) {
                mimalloc::mi_realloc(block.cast(), new_size).cast()
            } else {
                mimalloc::mi_realloc_aligned(block.cast(), new_size, layout.align()).cast()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(unsafe_code, reason = "what is tested has no other interface")]
    fn every_block_is_as_large_and_as_aligned_as_asked_for() {
        for align in [1, 2, 4, 8, 16, 32, 64, 4096] {
            for size in [1, 2, 3, 7, 8, 9, 15, 16, 17, 24, 40, 100, 1000, 5000, 70_000, 3_000_000] {
                let layout = Layout::from_size_align(size, align).unwrap();
                // SAFETY: each block is written within its size only, and freed once.
                unsafe {
                    let block = Allocator.alloc(layout);
                    let zeroed = Allocator.alloc_zeroed(layout);
                    assert!(
                        block.addr().is_multiple_of(align) && zeroed.addr().is_multiple_of(align),
                        "{layout:?}"
                    );
                    assert!(std::slice::from_raw_parts(zeroed, size).iter().all(|&byte| byte == 0));
                    block.write_bytes(7, size);
                    let moved = Allocator.realloc(block, layout, 3 * size);
                    assert!(moved.addr().is_multiple_of(align), "{layout:?}");
                    assert!(std::slice::from_raw_parts(moved, size).iter().all(|&byte| byte == 7));
                    Allocator.dealloc(moved, Layout::from_size_align(3 * size, align).unwrap());
                    Allocator.dealloc(zeroed, layout);
                }
            }
        }
    }
}
