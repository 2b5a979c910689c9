//! No kernel reads or writes beyond its slices: they lie against pages that may not be touched.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use common::{FILTERS, Random, row_lens};
use pixcrawler_resize::{Kernel, Plan, Scratch, resize};

/// Pages that may be used, between two that may not.
struct Guarded {
    base: *mut libc::c_void,
    page: usize,
    len: usize,
}

impl Guarded {
    fn new(min_len: usize) -> Self {
        // SAFETY: sysconf has no preconditions.
        let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap();
        let len = min_len.next_multiple_of(page);
        // SAFETY: a new anonymous mapping, of pages that may not be touched; the middle ones are then opened.
        let base = unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANON;
            let base = libc::mmap(std::ptr::null_mut(), len + 2 * page, libc::PROT_NONE, flags, -1, 0);
            assert_ne!(base, libc::MAP_FAILED);
            assert_eq!(libc::mprotect(base.byte_add(page), len, libc::PROT_READ | libc::PROT_WRITE), 0);
            base
        };
        Self { base, page, len }
    }

    /// `len` bytes that end, or begin, at an untouchable page.
    fn slice(&mut self, len: usize, at_end: bool) -> &mut [u8] {
        assert!(len <= self.len);
        let start = self.page + if at_end { self.len - len } else { 0 };
        // SAFETY: the bytes lie in the open pages of the mapping, which live as long as `self`, borrowed for as long.
        unsafe { std::slice::from_raw_parts_mut(self.base.byte_add(start).cast(), len) }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: the mapping that `new` made, and no slice of it is left.
        unsafe { libc::munmap(self.base, self.len + 2 * self.page) };
    }
}

fn check(plan: &Plan, random: &mut Random, src: &mut Guarded, dst: &mut Guarded, scratch: &mut Scratch) {
    let (src_len, dst_len) = row_lens(plan);
    let pixels = random.pixels(plan.source.h as usize * src_len);
    for at_end in [true, false] {
        let src = src.slice(pixels.len(), at_end);
        src.copy_from_slice(&pixels);
        let dst = dst.slice(plan.window.h as usize * dst_len, at_end);
        resize(plan, src, src_len, dst, dst_len, scratch).unwrap();
    }
}

#[test]
fn nothing_beyond_the_slices_is_touched() {
    let (mut src, mut dst) = (Guarded::new(4 * 150 * 150), Guarded::new(4 * 150 * 150));
    let mut random = Random::new(6);
    for kernel in [Kernel::Scalar, Kernel::Avx2, Kernel::Avx512] {
        let Some(mut scratch) = Scratch::with_kernel(kernel) else { continue };
        for _ in 0..1500 {
            let plan = random.plan(150, &FILTERS);
            check(&plan, &mut random, &mut src, &mut dst, &mut scratch);
        }
        // Few pixels: every load of 16 or 32 bytes is longer than a row.
        for _ in 0..1500 {
            let plan = random.plan(9, &FILTERS);
            check(&plan, &mut random, &mut src, &mut dst, &mut scratch);
        }
    }
}
