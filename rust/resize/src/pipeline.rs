//! The two passes in Pillow's order, four rows at a time, through a ring of rows.

use crate::coefficients::AxisSpec;
use crate::rows::Rows;
use crate::tables::{Pass, Table, padded_row_len};
use crate::{Plan, Scratch};

/// Source rows beyond the longest window that the ring holds: a block of four, and one still in use.
const RING_SLACK: usize = 8;

/// A buffer beyond this many bytes is freed after use instead of kept for the next image.
const KEPT_BYTES: usize = 4 << 20;

/// Buffers of the passes, reused from image to image.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    /// The ring of rows between the passes, or the block of rows after the vertical pass.
    ring: Vec<u8>,
    /// Rows after the horizontal pass, on their way to the output.
    block: Vec<u8>,
    /// Copies of source rows that end too close to the end of the source for a vector load.
    edge: Vec<u8>,
    /// The premultiplied source.
    pub(crate) source: Vec<u8>,
}

impl Buffers {
    pub(crate) fn release_large(&mut self) {
        for buffer in [&mut self.ring, &mut self.block, &mut self.edge, &mut self.source] {
            if buffer.capacity() > KEPT_BYTES {
                *buffer = Vec::new();
            }
        }
    }
}

/// At least `len` bytes of `buffer`, whatever they hold.
fn grown(buffer: &mut Vec<u8>, len: usize) -> &mut [u8] {
    if buffer.len() < len {
        buffer.resize(len, 0);
    }
    &mut buffer[..len]
}

/// The caller's destination, row by row.
struct Destination<'a> {
    bytes: &'a mut [u8],
    stride: usize,
    row_len: usize,
}

impl Destination<'_> {
    fn row(&mut self, i: usize) -> &mut [u8] {
        &mut self.bytes[i * self.stride..][..self.row_len]
    }
}

/// Whether Pillow 13 resizes the height first: it does where that leaves the horizontal pass less to do.
pub(crate) fn is_vertical_first(plan: &Plan) -> bool {
    let [w, h, full_w, full_h] = [plan.source.w, plan.source.h, plan.full.w, plan.full.h].map(i64::from);
    full_h < h && h - full_h > 2 * (w - full_w)
}

/// Writes the plan's window to `dst` with a filter that has weights; the caller has checked every length.
pub(crate) fn resize(
    plan: &Plan,
    src: &[u8],
    src_stride: usize,
    dst: &mut [u8],
    dst_stride: usize,
    scratch: &mut Scratch,
) {
    let channels = plan.channels.count();
    let window = plan.window;
    let Scratch { kernel, tables, buffers } = scratch;
    let horizontal =
        AxisSpec { input: plan.source.w, full: plan.full.w, first: window.x, len: window.w, filter: plan.filter };
    let vertical =
        AxisSpec { input: plan.source.h, full: plan.full.h, first: window.y, len: window.h, filter: plan.filter };
    // Pillow skips the pass over a side that does not change.
    let across = (horizontal.input != horizontal.full).then(|| tables.get(horizontal, Pass::Across(channels), *kernel));
    let down = (vertical.input != vertical.full).then(|| tables.get(vertical, Pass::Down, *kernel));
    let source = Rows { data: src, stride: src_stride, mask: usize::MAX };
    let mut out = Destination { bytes: dst, stride: dst_stride, row_len: window.w as usize * channels };
    let (x, y, rows) = (window.x as usize * channels, window.y as usize, window.h as usize);
    match (across.as_deref(), down.as_deref()) {
        (None, None) => {
            for i in 0..rows {
                let out = out.row(i);
                out.copy_from_slice(&source.row(y + i)[x..][..out.len()]);
            }
        }
        (None, Some(down)) => {
            let columns = Rows { data: &src[x..], ..source };
            for i in 0..rows {
                down.down(i, columns, out.row(i));
            }
        }
        (Some(across), None) => across_only(across, channels, source, y..y + rows, &mut out, buffers),
        (Some(across), Some(down)) if is_vertical_first(plan) => {
            down_then_across(across, down, channels, source, rows, &mut out, buffers);
        }
        (Some(across), Some(down)) => across_then_down(across, down, channels, source, rows, &mut out, buffers),
    }
}

/// Four rows of the source from `first` on, from the first sample that the table reads, each with the bytes that its
/// loads need; beyond `end` the last row is repeated.
///
/// A load may run past its row's end into the next row: the weights there are zero. Only what would run past the end
/// of the source is copied.
fn four_rows<'a>(
    across: &Table,
    channels: usize,
    source: Rows<'a>,
    first: usize,
    end: usize,
    edge: &'a mut Vec<u8>,
) -> [&'a [u8]; 4] {
    let len = across.read_len();
    let origin = across.span().start * channels;
    let starts = [0, 1, 2, 3].map(|at| (first + at).min(end - 1) * source.stride + origin);
    let fits = |start: usize| source.data.len() - start >= len;
    if starts.into_iter().all(fits) {
        return starts.map(|start| &source.data[start..][..len]);
    }
    let edge: &'a [u8] = {
        let copies = grown(edge, 4 * len);
        for (copy, start) in copies.chunks_exact_mut(len).zip(starts) {
            let rest = &source.data[start..];
            let have = rest.len().min(len);
            copy[..have].copy_from_slice(&rest[..have]);
        }
        copies
    };
    [0, 1, 2, 3].map(|at| &edge[at * len..][..len])
}

/// The horizontal pass alone, for the source rows `rows`.
fn across_only(
    across: &Table,
    channels: usize,
    source: Rows<'_>,
    rows: std::ops::Range<usize>,
    out: &mut Destination<'_>,
    buffers: &mut Buffers,
) {
    let stride = padded_row_len(out.row_len / channels, channels);
    let block = grown(&mut buffers.block, 4 * stride);
    for first in rows.clone().step_by(4) {
        across.across(four_rows(across, channels, source, first, rows.end, &mut buffers.edge), block, stride);
        for (i, row) in (first..rows.end).zip(block.chunks_exact(stride)) {
            let out = out.row(i - rows.start);
            out.copy_from_slice(&row[..out.len()]);
        }
    }
}

/// Horizontal pass into the ring, each output row as soon as its window is complete.
fn across_then_down(
    across: &Table,
    down: &Table,
    channels: usize,
    source: Rows<'_>,
    rows: usize,
    out: &mut Destination<'_>,
    buffers: &mut Buffers,
) {
    let stride = padded_row_len(out.row_len / channels, channels);
    // A power of two, so that a row's place is a mask; a block of four never straddles the ring's end.
    let ring_rows = (down.taps() + RING_SLACK).next_power_of_two();
    let ring = grown(&mut buffers.ring, ring_rows * stride);
    let needed = down.span();
    // Blocks begin at multiples of four, so that they fall into place in the ring.
    let mut done = needed.start / 4 * 4;
    for i in 0..rows {
        while done < down.end(i) {
            let four = four_rows(across, channels, source, done, needed.end, &mut buffers.edge);
            across.across(four, &mut ring[(done & (ring_rows - 1)) * stride..][..4 * stride], stride);
            done += 4;
        }
        debug_assert!(down.start(i) + ring_rows >= done);
        down.down(i, Rows { data: ring, stride, mask: ring_rows - 1 }, out.row(i));
    }
}

/// Vertical pass straight from the source, four output rows at a time, then the horizontal pass on those.
fn down_then_across(
    across: &Table,
    down: &Table,
    channels: usize,
    source: Rows<'_>,
    rows: usize,
    out: &mut Destination<'_>,
    buffers: &mut Buffers,
) {
    let span = across.span();
    let row_len = span.len() * channels;
    let between = across.read_len().max(row_len);
    let stride = padded_row_len(out.row_len / channels, channels);
    let columns = Rows { data: &source.data[span.start * channels..], ..source };
    let tall = grown(&mut buffers.ring, 4 * between);
    let block = grown(&mut buffers.block, 4 * stride);
    for first in (0..rows).step_by(4) {
        for (i, row) in (first..rows).zip(tall.chunks_exact_mut(between)) {
            down.down(i, columns, &mut row[..row_len]);
        }
        across.across([0, 1, 2, 3].map(|at| &tall[at * between..][..between]), block, stride);
        for (i, row) in (first..rows).zip(block.chunks_exact(stride)) {
            let out = out.row(i);
            out.copy_from_slice(&row[..out.len()]);
        }
    }
}
