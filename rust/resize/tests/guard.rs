//! No kernel reads or writes beyond its slices: they lie against pages that may not be touched.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use common::guarded::Guarded;
use common::{FILTERS, Random, row_lens};
use pixcrawler_resize::{Kernel, Plan, Scratch, resize};

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
fn u06_nothing_beyond_the_slices_is_touched() {
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
