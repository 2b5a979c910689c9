//! The two passes in plain Rust: Pillow's sums as they stand.
//!
//! Source: Pillow 13, `src/libImaging/Resample.c` (`ImagingResampleHorizontal_8bpc`, `ImagingResampleVertical_8bpc`).
//! The loops are written so that the compiler turns them into vectors; `inline(always)` lets the AVX2 module compile
//! them a second time for its instruction set, which the filters with negative weights use.

use crate::coefficients::{PRECISION_BITS, Weights};
use crate::rows::Rows;

/// Half a unit of the result, so that the shift rounds.
const HALF: i32 = 1 << (PRECISION_BITS - 1);

/// Columns that the vertical pass sums at a time: the sums of a block stay in registers or the nearest cache.
const BLOCK: usize = 64;

fn clip(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}

/// The horizontal pass on one row. `row` begins at the first sample of the first window (`weights.starts[0]`).
#[expect(clippy::inline_always, reason = "compiled again for AVX2 only if inlined into its caller there")]
#[inline(always)]
pub(crate) fn across<const C: usize>(weights: &Weights, row: &[u8], out: &mut [u8]) {
    let (pixels, _) = row.as_chunks::<C>();
    let (out, _) = out.as_chunks_mut::<C>();
    let Some(&origin) = weights.starts.first() else { return };
    for (i, out) in out.iter_mut().enumerate().take(weights.starts.len()) {
        let window = weights.row(i);
        let pixels = &pixels[(weights.starts[i] - origin) as usize..][..window.len()];
        let mut sums = [HALF; C];
        for (pixel, &k) in pixels.iter().zip(window) {
            for c in 0..C {
                // The sums fit 32 bits by the choice of PRECISION_BITS; wrapping spares the overflow check.
                sums[c] = sums[c].wrapping_add(i32::from(pixel[c]).wrapping_mul(k));
            }
        }
        *out = sums.map(clip);
    }
}

/// The vertical pass for output row `i`, one sum a byte of `out`.
#[expect(clippy::inline_always, reason = "compiled again for AVX2 only if inlined into its caller there")]
#[inline(always)]
pub(crate) fn down(weights: &Weights, i: usize, rows: Rows<'_>, out: &mut [u8]) {
    let start = weights.starts[i] as usize;
    for (block, out) in out.chunks_mut(BLOCK).enumerate() {
        let mut sums = [HALF; BLOCK];
        for (tap, &k) in weights.row(i).iter().enumerate() {
            let row = &rows.row(start + tap)[block * BLOCK..][..out.len()];
            for (sum, &sample) in sums.iter_mut().zip(row) {
                *sum = sum.wrapping_add(i32::from(sample).wrapping_mul(k));
            }
        }
        for (out, &sum) in out.iter_mut().zip(&sums) {
            *out = clip(sum);
        }
    }
}
