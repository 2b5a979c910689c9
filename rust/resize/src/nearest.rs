//! Nearest neighbour, with the coordinates that Pillow accumulates.
//!
//! Source: Pillow 13, `src/libImaging/Geometry.c` (`ImagingScaleAffine`). The source coordinate starts at half a step
//! and grows by repeated addition; computing it as a product would differ where rounding errors cross an integer.

use std::ops::Range;

use crate::Plan;
use crate::pipeline::Destination;
use crate::rows::Run;

/// Marks an output without a source sample; Pillow leaves it black.
const OUTSIDE: u32 = u32::MAX;

/// Source indices of the outputs `first..first + len` of an axis.
fn indices(input: u32, full: u32, first: u32, len: u32) -> Vec<u32> {
    // A C float holds the box, as in the other filters.
    let step = f64::from(input as f32) / f64::from(full);
    let mut position = step * 0.5;
    for _ in 0..first {
        position += step;
    }
    let next = |_| {
        let index = position as u32;
        position += step;
        if index < input { index } else { OUTSIDE }
    };
    (0..len).map(next).collect()
}

/// Which samples the result takes.
#[derive(Debug)]
pub(crate) struct Nearest {
    channels: usize,
    /// Source column of each column of the window.
    columns: Vec<u32>,
    /// Source row of each row of the window.
    rows: Vec<u32>,
}

impl Nearest {
    pub(crate) fn new(plan: &Plan) -> Self {
        let Plan { source, full, window, channels, .. } = *plan;
        let columns = indices(source.w, full.w, window.x, window.w);
        let rows = indices(source.h, full.h, window.y, window.h);
        Self { channels: channels.count(), columns, rows }
    }

    /// From the first source row that is taken to the last; one row even if none is.
    pub(crate) fn needed_rows(&self) -> Range<usize> {
        let mut inside = self.rows.iter().filter(|&&row| row != OUTSIDE).map(|&row| row as usize);
        let first = inside.next().unwrap_or(0);
        first..inside.next_back().unwrap_or(first) + 1
    }

    /// Writes the rows that `run` has, and the black ones after them.
    pub(crate) fn push(&self, run: Run<'_>, out: &mut Destination<'_>) {
        while let Some(i) = out.next() {
            if self.rows[i] == OUTSIDE {
                out.take().fill(0);
            } else if let Some(row) = run.row(self.rows[i] as usize) {
                match self.channels {
                    1 => pick::<1>(row, &self.columns, out.take()),
                    3 => pick::<3>(row, &self.columns, out.take()),
                    _ => pick::<4>(row, &self.columns, out.take()),
                }
            } else {
                break;
            }
        }
    }
}

fn pick<const C: usize>(row: &[u8], columns: &[u32], out: &mut [u8]) {
    let (pixels, _) = row.as_chunks::<C>();
    for (&column, out) in columns.iter().zip(out.as_chunks_mut::<C>().0) {
        *out = if column == OUTSIDE { [0; C] } else { pixels[column as usize] };
    }
}
