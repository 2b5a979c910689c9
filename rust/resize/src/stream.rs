//! A resize that takes its source rows as they come.

use std::ops::Range;

use crate::pipeline::Passes;
use crate::rows::Run;
use crate::{Plan, ResizeError, Scratch};

/// [`resize`](crate::resize) for a source that comes row by row, from a decoder: the same bytes, and no buffer for the
/// whole source.
///
/// It holds rows that windows still need, not more: about twice as many as the longest window has. Runs of a multiple
/// of four rows, from the top, spare copies; any number of rows is right.
///
/// ```
/// use pixcrawler_resize::{Channels, Filter, Plan, Scratch, Size, Stream};
///
/// let plan = Plan::stretch(Size { w: 500, h: 375 }, Size { w: 224, h: 224 }, Channels::Three, Filter::Bilinear);
/// let (mut out, mut scratch) = (vec![0; 224 * 224 * 3], Scratch::new());
/// let mut stream = Stream::new(&plan, &mut out, 224 * 3, &mut scratch)?;
/// let block_of_rows = vec![200; 16 * 500 * 3];
/// for _ in 0..375 / 16 {
///     stream.push(&block_of_rows)?;
/// }
/// stream.push(&block_of_rows[..375 % 16 * 500 * 3])?;
/// stream.finish()?;
/// assert!(out.iter().all(|&sample| sample == 200));
/// # Ok::<(), pixcrawler_resize::ResizeError>(())
/// ```
#[derive(Debug)]
pub struct Stream<'a> {
    passes: Passes<'a>,
    row_len: usize,
    rows: usize,
    /// Source rows so far.
    taken: usize,
}

impl<'a> Stream<'a> {
    /// Prepares to resize by `plan` into `dst`, in rows `dst_stride` bytes apart; bytes between them are not written.
    ///
    /// Weights take some 16 bytes for each pixel of the source's sides: a caller that trusts no declared size bounds it
    /// before.
    ///
    /// # Errors
    ///
    /// Sizes that no image has, and a destination too short for the window.
    pub fn new(
        plan: &Plan,
        dst: &'a mut [u8],
        dst_stride: usize,
        scratch: &'a mut Scratch,
    ) -> Result<Self, ResizeError> {
        plan.check_sizes()?;
        plan.check_destination(dst, dst_stride)?;
        let row_len = usize::try_from(plan.row_lens().0).map_err(|_| ResizeError::OutOfMemory)?;
        Ok(Self {
            passes: Passes::new(plan, dst, dst_stride, scratch),
            row_len,
            rows: plan.source.h as usize,
            taken: 0,
        })
    }

    /// The source rows that the result depends on. What is pushed for others is not looked at.
    #[must_use]
    pub fn needed_rows(&self) -> Range<usize> {
        self.passes.needed_rows()
    }

    /// Takes the next source rows, one after the other without gaps, and writes the rows of the result that they
    /// complete.
    ///
    /// # Errors
    ///
    /// Bytes that are not whole rows, more rows than the source has, and too little memory for a window of rows. The
    /// rows are not taken then.
    pub fn push(&mut self, rows: &[u8]) -> Result<(), ResizeError> {
        if !rows.len().is_multiple_of(self.row_len) {
            return Err(ResizeError::PartOfRow { row_len: self.row_len as u64, actual: rows.len() as u64 });
        }
        let first = self.taken;
        let end = self.end_after(rows.len() / self.row_len)?;
        self.passes.push(Run { data: rows, stride: self.row_len, first, end })?;
        self.taken = end;
        Ok(())
    }

    /// Passes over the next `rows` source rows, none of which is needed.
    ///
    /// # Errors
    ///
    /// One of them is needed, or they are more than the source has. They are not passed over then.
    pub fn skip(&mut self, rows: usize) -> Result<(), ResizeError> {
        let end = self.end_after(rows)?;
        let needed = self.needed_rows();
        let row = self.taken.max(needed.start);
        if row < end.min(needed.end) {
            return Err(ResizeError::RowNeeded { row: row as u64 });
        }
        self.taken = end;
        Ok(())
    }

    /// Ends the resize.
    ///
    /// # Errors
    ///
    /// A needed row was not pushed: the result is incomplete.
    pub fn finish(self) -> Result<(), ResizeError> {
        if self.passes.are_complete() {
            return Ok(());
        }
        Err(ResizeError::RowsMissing { expected: self.needed_rows().end as u64, actual: self.taken as u64 })
    }

    fn end_after(&self, rows: usize) -> Result<usize, ResizeError> {
        let end = self.taken.saturating_add(rows);
        if end > self.rows {
            return Err(ResizeError::TooManyRows { expected: self.rows as u64, actual: end as u64 });
        }
        Ok(end)
    }
}
