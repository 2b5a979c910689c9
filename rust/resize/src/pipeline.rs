//! The two passes in Pillow's order, on source rows as they come.
//!
//! Whoever has the whole source hands it over as one run of rows; a decoder hands over a few rows at a time, while they
//! are in the processor's cache. The horizontal pass takes four rows at a time.

use std::ops::Range;
use std::sync::Arc;

use crate::coefficients::AxisSpec;
use crate::nearest::Nearest;
use crate::rows::{Rows, Run};
use crate::tables::{Pass, Table, padded_row_len};
use crate::{Filter, Plan, ResizeError, Scratch};

/// Source rows beyond the longest window that the ring holds: a block of four, and one still in use.
const RING_SLACK: usize = 8;

/// A buffer beyond this many bytes is freed after use instead of kept for the next image.
const KEPT_BYTES: usize = 4 << 20;

/// Buffers of the passes, reused from image to image.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    /// The latest rows that the vertical pass reads.
    ring: Vec<u8>,
    /// Four rows on their way to the horizontal pass: source rows that must be kept or end too close to the end of
    /// their run for a vector load, or rows that the vertical pass has made.
    four: Vec<u8>,
    /// Four rows after the horizontal pass, on their way to the output.
    block: Vec<u8>,
    /// The premultiplied source.
    pub(crate) source: Vec<u8>,
}

impl Buffers {
    pub(crate) fn release_large(&mut self) {
        for buffer in [&mut self.ring, &mut self.four, &mut self.block, &mut self.source] {
            if buffer.capacity() > KEPT_BYTES {
                *buffer = Vec::new();
            }
        }
    }
}

/// `rows` rows of `row_len` bytes in `buffer`, whatever they hold.
fn grown(buffer: &mut Vec<u8>, rows: usize, row_len: usize) -> Result<&mut [u8], ResizeError> {
    let len = rows.checked_mul(row_len).ok_or(ResizeError::OutOfMemory)?;
    if buffer.len() < len {
        buffer.try_reserve_exact(len - buffer.len()).map_err(|_| ResizeError::OutOfMemory)?;
        buffer.resize(len, 0);
    }
    Ok(&mut buffer[..len])
}

/// The caller's destination, written row by row from the top.
#[derive(Debug)]
pub(crate) struct Destination<'a> {
    bytes: &'a mut [u8],
    stride: usize,
    row_len: usize,
    rows: usize,
    written: usize,
}

impl Destination<'_> {
    /// The number of the next row, unless all are written.
    pub(crate) fn next(&self) -> Option<usize> {
        (self.written < self.rows).then_some(self.written)
    }

    /// Counts the next row as written, and gives it to be written.
    pub(crate) fn take(&mut self) -> &mut [u8] {
        let row = &mut self.bytes[self.written * self.stride..][..self.row_len];
        self.written += 1;
        row
    }

    /// Writes the first rows of a block, as many as `count`.
    fn copy(&mut self, block: &[u8], stride: usize, count: usize) {
        for row in block.chunks_exact(stride).take(count) {
            let out = self.take();
            out.copy_from_slice(&row[..out.len()]);
        }
    }
}

/// Whether Pillow 13 resizes the height first: it does where that leaves the horizontal pass less to do.
fn is_vertical_first(plan: &Plan) -> bool {
    let [w, h, full_w, full_h] = [plan.source.w, plan.source.h, plan.full.w, plan.full.h].map(i64::from);
    full_h < h && h - full_h > 2 * (w - full_w)
}

/// What is done with the rows.
#[derive(Debug)]
enum Order {
    /// Neither side changes: the window's columns of a row, in bytes.
    Copy(Range<usize>),
    Nearest(Nearest),
    Across(Across),
    Down(Down),
    AcrossThenDown(Across, Arc<Table>),
    DownThenAcross(Down, Across),
}

/// A resize under way.
#[derive(Debug)]
pub(crate) struct Passes<'a> {
    order: Order,
    needed: Range<usize>,
    out: Destination<'a>,
    buffers: &'a mut Buffers,
}

impl<'a> Passes<'a> {
    /// The passes that write the plan's window to `dst`; the caller has checked sizes and lengths.
    pub(crate) fn new(plan: &Plan, dst: &'a mut [u8], dst_stride: usize, scratch: &'a mut Scratch) -> Self {
        let Scratch { kernel, tables, buffers } = scratch;
        let Plan { source, full, window, filter, .. } = *plan;
        let channels = plan.channels.count();
        let row_len = window.w as usize * channels;
        let out = Destination { bytes: dst, stride: dst_stride, row_len, rows: window.h as usize, written: 0 };
        if filter == Filter::Nearest && source != full {
            let nearest = Nearest::new(plan);
            return Self { needed: nearest.needed_rows(), order: Order::Nearest(nearest), out, buffers };
        }
        let horizontal = AxisSpec { input: source.w, full: full.w, first: window.x, len: window.w, filter };
        let vertical = AxisSpec { input: source.h, full: full.h, first: window.y, len: window.h, filter };
        // Pillow skips the pass over a side that does not change.
        let across = (source.w != full.w).then(|| tables.get(horizontal, Pass::Across(channels), *kernel));
        let down = (source.h != full.h).then(|| tables.get(vertical, Pass::Down, *kernel));
        let needed = down.as_ref().map_or(window.y as usize..(window.y + window.h) as usize, |down| down.span());
        let columns = window.x as usize * channels..(window.x as usize + window.w as usize) * channels;
        let order = match (across, down) {
            (None, None) => Order::Copy(columns),
            (None, Some(down)) => Order::Down(Down::new(down, columns)),
            (Some(across), None) => Order::Across(Across::new(across, channels, &out, needed.clone())),
            (Some(across), Some(down)) => {
                let across = Across::new(across, channels, &out, needed.clone());
                if is_vertical_first(plan) {
                    Order::DownThenAcross(Down::new(down, across.columns.clone()), across)
                } else {
                    Order::AcrossThenDown(across, down)
                }
            }
        };
        Self { order, needed, out, buffers }
    }

    /// The source rows that the result depends on.
    pub(crate) fn needed_rows(&self) -> Range<usize> {
        self.needed.clone()
    }

    /// Whether every row of the result is written.
    pub(crate) fn are_complete(&self) -> bool {
        self.out.next().is_none()
    }

    /// Takes the rows that follow those of the run before, or of which none in between is needed, and writes what they
    /// complete.
    pub(crate) fn push(&mut self, run: Run<'_>) -> Result<(), ResizeError> {
        let Self { order, needed, out, buffers } = self;
        match order {
            Order::Copy(columns) => {
                for row in run.part_of(needed.clone()).filter_map(|i| run.row(i)) {
                    out.take().copy_from_slice(&row[columns.clone()]);
                }
                Ok(())
            }
            Order::Nearest(nearest) => {
                nearest.push(run, out);
                Ok(())
            }
            Order::Across(across) => across_only(across, run, out, buffers),
            Order::Down(down) => down.push(run, &mut buffers.ring, |table, i, rows| table.down(i, rows, out.take())),
            Order::AcrossThenDown(across, down) => across_then_down(across, down, run, out, buffers),
            Order::DownThenAcross(down, across) => down_then_across(down, across, run, out, buffers),
        }
    }
}

impl Drop for Passes<'_> {
    fn drop(&mut self) {
        self.buffers.release_large();
    }
}

/// The horizontal pass over source rows, in blocks of four.
#[derive(Debug)]
struct Across {
    table: Arc<Table>,
    /// The columns that it reads, in bytes of a source row.
    columns: Range<usize>,
    /// Bytes of a row from the first of those columns that a vector load may touch.
    read_len: usize,
    /// Bytes from one row of a finished block to the next.
    stride: usize,
    /// The source rows that are needed.
    needed: Range<usize>,
    /// First row of the next block. Blocks begin at multiples of four, so that they fall into place in a ring.
    next: usize,
}

impl Across {
    fn new(table: Arc<Table>, channels: usize, out: &Destination<'_>, needed: Range<usize>) -> Self {
        let span = table.span();
        let columns = span.start * channels..span.end * channels;
        let read_len = table.read_len().max(columns.len());
        let stride = padded_row_len(out.row_len / channels, channels);
        let next = needed.start / 4 * 4;
        Self { table, columns, read_len, stride, needed, next }
    }

    /// The pass on the next block, which holds a needed row, into the four rows of `out`, if `run` has the rest of its
    /// rows; else `kept` keeps what it has of them.
    fn block(&mut self, run: Run<'_>, kept: &mut [u8], out: &mut [u8]) -> bool {
        let four = run.four(self.next, self.columns.start, self.read_len).or_else(|| self.gathered(run, kept));
        if let Some(four) = four {
            self.table.across(four, out, self.stride);
            self.next += 4;
        }
        four.is_some()
    }

    /// The next block's rows, from `run` and from `kept`, where each row has its place; `None` while some are missing.
    ///
    /// A row of the block that is not needed is one that is, once more. A load may run past its row's end into the next
    /// row: the weights there are zero. Only what would run past the end of the run is copied.
    fn gathered<'b>(&self, run: Run<'b>, kept: &'b mut [u8]) -> Option<[&'b [u8]; 4]> {
        let len = self.read_len;
        let rows = self.next.max(self.needed.start)..(self.next + 4).min(self.needed.end);
        let is_complete = rows.end <= run.end;
        let in_place = |i: usize| run.row(i).and_then(|row| row[self.columns.start..].get(..len));
        for i in run.part_of(rows.clone()) {
            if let Some(row) = run.row(i).filter(|_| !is_complete || in_place(i).is_none()) {
                let row = &row[self.columns.start..];
                let have = row.len().min(len);
                kept[i % 4 * len..][..have].copy_from_slice(&row[..have]);
            }
        }
        let kept: &'b [u8] = kept;
        is_complete.then(|| {
            [0, 1, 2, 3].map(|at| {
                let i = (self.next + at).max(rows.start).min(rows.end - 1);
                in_place(i).unwrap_or(&kept[i % 4 * len..][..len])
            })
        })
    }
}

/// The vertical pass over source rows.
#[derive(Debug)]
struct Down {
    table: Arc<Table>,
    /// The columns that it reads, in bytes of a source row.
    columns: Range<usize>,
    /// The next row of the result.
    next: usize,
}

impl Down {
    fn new(table: Arc<Table>, columns: Range<usize>) -> Self {
        Self { table, columns, next: 0 }
    }

    /// Calls `write` for each row of the result that `run` completes, in order, with the rows to compute it from: the
    /// run itself where it holds them all, else a ring of copies.
    fn push(
        &mut self,
        run: Run<'_>,
        ring: &mut Vec<u8>,
        mut write: impl FnMut(&Table, usize, Rows<'_>),
    ) -> Result<(), ResizeError> {
        let Self { table, columns, next } = self;
        let needed = table.span();
        if run.first == 0 && run.end >= needed.end {
            let rows = Rows { data: &run.data[columns.start..], stride: run.stride, mask: usize::MAX };
            for i in std::mem::replace(next, table.len())..table.len() {
                write(table, i, rows);
            }
            return Ok(());
        }
        let stride = columns.len();
        let ring_rows = table.taps().next_power_of_two();
        let mask = ring_rows - 1;
        let ring = grown(ring, ring_rows, stride)?;
        for i in run.part_of(needed) {
            if let Some(row) = run.row(i) {
                ring[(i & mask) * stride..][..stride].copy_from_slice(&row[columns.clone()]);
            }
            while *next < table.len() && table.end(*next) <= i + 1 {
                write(table, *next, Rows { data: ring, stride, mask });
                *next += 1;
            }
        }
        Ok(())
    }
}

/// The horizontal pass alone.
fn across_only(
    across: &mut Across,
    run: Run<'_>,
    out: &mut Destination<'_>,
    buffers: &mut Buffers,
) -> Result<(), ResizeError> {
    let kept = grown(&mut buffers.four, 4, across.read_len)?;
    let block = grown(&mut buffers.block, 4, across.stride)?;
    while out.next().is_some() {
        let first = across.next.max(across.needed.start);
        if !across.block(run, kept, block) {
            break;
        }
        let count = across.next.min(across.needed.end) - first;
        out.copy(&block[first % 4 * across.stride..], across.stride, count);
    }
    Ok(())
}

/// Horizontal pass into the ring, each output row as soon as its window is complete.
fn across_then_down(
    across: &mut Across,
    down: &Table,
    run: Run<'_>,
    out: &mut Destination<'_>,
    buffers: &mut Buffers,
) -> Result<(), ResizeError> {
    let stride = across.stride;
    // A power of two, so that a row's place is a mask; a block of four never straddles the ring's end.
    let ring_rows = (down.taps() + RING_SLACK).next_power_of_two();
    let mask = ring_rows - 1;
    let ring = grown(&mut buffers.ring, ring_rows, stride)?;
    let kept = grown(&mut buffers.four, 4, across.read_len)?;
    while let Some(i) = out.next() {
        while across.next < down.end(i) {
            let block = &mut ring[(across.next & mask) * stride..][..4 * stride];
            if !across.block(run, kept, block) {
                return Ok(());
            }
        }
        debug_assert!(down.start(i) + ring_rows >= across.next);
        down.down(i, Rows { data: ring, stride, mask }, out.take());
    }
    Ok(())
}

/// Vertical pass, four output rows at a time, then the horizontal pass on those.
fn down_then_across(
    down: &mut Down,
    across: &Across,
    run: Run<'_>,
    out: &mut Destination<'_>,
    buffers: &mut Buffers,
) -> Result<(), ResizeError> {
    let (row_len, read_len) = (across.columns.len(), across.read_len);
    let tall = grown(&mut buffers.four, 4, read_len)?;
    let block = grown(&mut buffers.block, 4, across.stride)?;
    down.push(run, &mut buffers.ring, |table, i, rows| {
        table.down(i, rows, &mut tall[i % 4 * read_len..][..row_len]);
        if i % 4 == 3 || i + 1 == table.len() {
            across.table.across([0, 1, 2, 3].map(|at| &tall[at * read_len..][..read_len]), block, across.stride);
            out.copy(block, across.stride, i % 4 + 1);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_without_bound_are_an_error() {
        let mut buffer = Vec::new();
        assert_eq!(grown(&mut buffer, usize::MAX, 2).err(), Some(ResizeError::OutOfMemory));
        assert_eq!(grown(&mut buffer, usize::MAX / 4, 1).err(), Some(ResizeError::OutOfMemory));
        assert_eq!(grown(&mut buffer, 3, 5).map(|bytes| bytes.len()), Ok(15));
    }
}
