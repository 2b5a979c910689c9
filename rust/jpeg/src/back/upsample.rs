//! Upsampling of rows of samples (jdsample.c): triangle filters that round up and down in turn, and repetition.
//!
//! The triangle filters take rows that start one sample before the first and go on for at least 17 behind the last, of which
//! one is looked at: at the picture's edges it is the edge's own sample again.

use super::Kernel;

/// Samples that are upsampled at once: output rows hold twice as many rounded up to a multiple.
#[cfg(target_arch = "x86_64")]
pub(super) const STEP: usize = 16;

/// 1:2 along the row, `count` samples of `row`.
pub(super) fn fancy_h2v1(kernel: Kernel, row: &[u8], count: usize, out: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    if kernel != Kernel::Scalar {
        // SAFETY: the assembler passes on what `Kernel::or_scalar` answered, which found AVX2.
        unsafe { super::upsample_avx2::fancy_h2v1(row, &mut out[..2 * count.next_multiple_of(STEP)]) };
        return;
    }
    let _ = kernel;
    for (window, out) in row.windows(3).zip(out.chunks_exact_mut(2)).take(count) {
        let [left, this, right] = [window[0], window[1], window[2]].map(u16::from);
        out[0] = ((this * 3 + left + 1) >> 2) as u8;
        out[1] = ((this * 3 + right + 2) >> 2) as u8;
    }
}

/// 1:2 along the columns: the output row that is nearer to `near` than to `far`, above it or below.
pub(super) fn fancy_h1v2(near: &[u8], far: &[u8], below: bool, out: &mut [u8]) {
    let bias = 1 + u16::from(below);
    for (out, (&near, &far)) in out.iter_mut().zip(near.iter().zip(far)) {
        *out = ((u16::from(near) * 3 + u16::from(far) + bias) >> 2) as u8;
    }
}

/// 1:2 along both, `count` samples of `rows` (above, this, below) to two rows.
pub(super) fn fancy_h2v2(kernel: Kernel, rows: [&[u8]; 3], count: usize, out: [&mut [u8]; 2]) {
    #[cfg(target_arch = "x86_64")]
    if kernel != Kernel::Scalar {
        let out = out.map(|out| &mut out[..2 * count.next_multiple_of(STEP)]);
        // SAFETY: the assembler passes on what `Kernel::or_scalar` answered, which found AVX2.
        unsafe { super::upsample_avx2::fancy_h2v2(rows, out) };
        return;
    }
    let _ = kernel;
    let [above, this, below] = rows;
    for (far, out) in [above, below].into_iter().zip(out) {
        for ((near, far), out) in this.windows(3).zip(far.windows(3)).zip(out.chunks_exact_mut(2)).take(count) {
            let [left, this, right] = [0, 1, 2].map(|i| u16::from(near[i]) * 3 + u16::from(far[i]));
            out[0] = ((this * 3 + left + 8) >> 4) as u8;
            out[1] = ((this * 3 + right + 7) >> 4) as u8;
        }
    }
}

/// Each sample of `row` `times` times.
pub(super) fn repeat(row: &[u8], times: usize, out: &mut [u8]) {
    match times {
        1 => out.copy_from_slice(&row[..out.len()]),
        2 => repeat_exactly::<2>(row, out),
        3 => repeat_exactly::<3>(row, out),
        _ => repeat_exactly::<4>(row, out),
    }
}

fn repeat_exactly<const TIMES: usize>(row: &[u8], out: &mut [u8]) {
    for (out, &sample) in out.as_chunks_mut::<TIMES>().0.iter_mut().zip(row) {
        *out = [sample; TIMES];
    }
}
