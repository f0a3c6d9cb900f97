//! The part of `libz-ng-sys` that `flate2` calls, over `libz-rs-sys` (zlib in Rust). See README.md for why.
//!
//! # Safety
//! Every function has the contract of the zlib function of that name: `strm` points to an initialised stream.
#![allow(non_camel_case_types, non_snake_case, clippy::missing_safety_doc)]

use std::ffi::{c_char, c_int, c_uint, c_ulong, c_void};
use std::mem::{align_of, offset_of, size_of};

pub use libz_rs_sys::{
    Z_BLOCK, Z_BUF_ERROR, Z_DATA_ERROR, Z_DEFAULT_STRATEGY, Z_DEFLATED, Z_FINISH, Z_FULL_FLUSH,
    Z_MEM_ERROR, Z_NEED_DICT, Z_NO_FLUSH, Z_OK, Z_PARTIAL_FLUSH, Z_STREAM_END, Z_STREAM_ERROR,
    Z_SYNC_FLUSH,
};

pub type uInt = c_uint;
pub type uLong = c_ulong;
pub type voidpf = *mut c_void;
pub type alloc_func = unsafe extern "C" fn(voidpf, uInt, uInt) -> voidpf;
pub type free_func = unsafe extern "C" fn(voidpf, voidpf);
pub enum internal_state {}

/// As in `libz-ng-sys`: the allocator is not optional, and the input is `*mut`.
#[repr(C)]
#[derive(Copy, Clone)]
pub struct z_stream {
    pub next_in: *mut u8,
    pub avail_in: uInt,
    pub total_in: c_ulong,
    pub next_out: *mut u8,
    pub avail_out: uInt,
    pub total_out: c_ulong,
    pub msg: *mut c_char,
    pub state: *mut internal_state,
    pub zalloc: alloc_func,
    pub zfree: free_func,
    pub opaque: voidpf,
    pub data_type: c_int,
    pub adler: c_ulong,
    pub reserved: uLong,
}
pub type z_streamp = *mut z_stream;

macro_rules! assert_same_layout {
    ($($field:ident),+) => {
        const _: () = {
            assert!(size_of::<z_stream>() == size_of::<libz_rs_sys::z_stream>());
            assert!(align_of::<z_stream>() == align_of::<libz_rs_sys::z_stream>());
            $(assert!(offset_of!(z_stream, $field) == offset_of!(libz_rs_sys::z_stream, $field));)+
        };
    };
}
assert_same_layout!(
    next_in, avail_in, total_in, next_out, avail_out, total_out, msg, state, zalloc, zfree, opaque,
    data_type, adler, reserved
);

macro_rules! forward {
    ($($name:ident($($arg:ident: $ty:ty),*);)+) => {$(
        pub unsafe fn $name(strm: z_streamp, $($arg: $ty),*) -> c_int {
            // SAFETY: the caller keeps zlib's contract, and the layouts are the same (asserted above).
            unsafe { libz_rs_sys::$name(strm.cast(), $($arg),*) }
        }
    )+};
}
forward! {
    deflate(flush: c_int);
    deflateEnd();
    deflateReset();
    deflateParams(level: c_int, strategy: c_int);
    deflateSetDictionary(dictionary: *const u8, length: uInt);
    deflateInit2_(level: c_int, method: c_int, bits: c_int, mem: c_int, strategy: c_int, version: *const c_char, size: c_int);
    inflate(flush: c_int);
    inflateEnd();
    inflateReset();
    inflateReset2(bits: c_int);
    inflateSetDictionary(dictionary: *const u8, length: uInt);
    inflateInit2_(bits: c_int, version: *const c_char, size: c_int);
}

pub fn zlibVersion() -> *const c_char {
    libz_rs_sys::zlibVersion()
}
