//! Nearest neighbour, with the coordinates that Pillow accumulates.
//!
//! Source: Pillow 13, `src/libImaging/Geometry.c` (`ImagingScaleAffine`). The source coordinate starts at half a step
//! and grows by repeated addition; computing it as a product would differ where rounding errors cross an integer.

use crate::Plan;

/// Marks an output without a source sample; Pillow leaves it black.
const OUTSIDE: u32 = u32::MAX;

/// Source indices of the outputs `first..first + len` of an axis.
fn indices(input: u32, full: u32, first: u32, len: u32, out: &mut Vec<u32>) {
    // A C float holds the box, as in the other filters.
    let step = f64::from(input as f32) / f64::from(full);
    let mut position = step * 0.5;
    for _ in 0..first {
        position += step;
    }
    out.clear();
    out.extend((0..len).map(|_| {
        let index = position as u32;
        position += step;
        if index < input { index } else { OUTSIDE }
    }));
}

/// Writes the plan's window to `dst`; the caller has checked every length.
pub(crate) fn resize(plan: &Plan, src: &[u8], src_stride: usize, dst: &mut [u8], dst_stride: usize) {
    match plan.channels.count() {
        1 => resize_pixels::<1>(plan, src, src_stride, dst, dst_stride),
        3 => resize_pixels::<3>(plan, src, src_stride, dst, dst_stride),
        _ => resize_pixels::<4>(plan, src, src_stride, dst, dst_stride),
    }
}

fn resize_pixels<const C: usize>(plan: &Plan, src: &[u8], src_stride: usize, dst: &mut [u8], dst_stride: usize) {
    let window = plan.window;
    let (mut columns, mut rows) = (Vec::new(), Vec::new());
    indices(plan.source.w, plan.full.w, window.x, window.w, &mut columns);
    indices(plan.source.h, plan.full.h, window.y, window.h, &mut rows);
    let src_row_len = plan.source.w as usize * C;
    let dst_row_len = window.w as usize * C;
    for (&row, out) in rows.iter().zip(dst.chunks_mut(dst_stride)) {
        let out = &mut out[..dst_row_len];
        if row == OUTSIDE {
            out.fill(0);
            continue;
        }
        let (pixels, _) = src[row as usize * src_stride..][..src_row_len].as_chunks::<C>();
        for (&column, out) in columns.iter().zip(out.as_chunks_mut::<C>().0) {
            *out = pixels.get(column as usize).copied().unwrap_or([0; C]);
        }
    }
}
