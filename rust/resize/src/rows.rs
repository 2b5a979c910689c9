//! Rows of equal stride: what the vertical pass reads, and what the caller hands over.

/// Rows of bytes. Row `i` is the row `i & mask` of `data`: all of them in a source, a power of two of them in a ring.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows<'a> {
    /// The bytes, from the first one of row 0.
    pub(crate) data: &'a [u8],
    /// Bytes from one row to the next.
    pub(crate) stride: usize,
    /// `usize::MAX`, or the number of rows in a ring less one.
    pub(crate) mask: usize,
}

impl<'a> Rows<'a> {
    /// Row `i` and what follows it.
    pub(crate) fn row(self, i: usize) -> &'a [u8] {
        &self.data[(i & self.mask) * self.stride..]
    }

    #[cfg(target_arch = "x86_64")]
    /// Whether `len` bytes can be read from each of the rows `0..=last`.
    pub(crate) fn hold(self, last: usize, len: usize) -> bool {
        let furthest = last.min(self.mask);
        furthest
            .checked_mul(self.stride)
            .and_then(|start| start.checked_add(len))
            .is_some_and(|end| end <= self.data.len())
    }
}

/// The source rows `first..end`, handed over together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run<'a> {
    /// The bytes, from the first one of row `first`; they hold every row.
    pub(crate) data: &'a [u8],
    /// Bytes from one row to the next.
    pub(crate) stride: usize,
    pub(crate) first: usize,
    pub(crate) end: usize,
}

impl<'a> Run<'a> {
    /// Source row `i`, if the run has it, and what follows it.
    pub(crate) fn row(self, i: usize) -> Option<&'a [u8]> {
        if (self.first..self.end).contains(&i) { self.data.get((i - self.first) * self.stride..) } else { None }
    }

    /// `len` bytes of each of the rows `i..i + 4`, from byte `from` on, if the run has them all.
    pub(crate) fn four(self, i: usize, from: usize, len: usize) -> Option<[&'a [u8]; 4]> {
        if i < self.first || self.end < i + 4 {
            return None;
        }
        let start = (i - self.first) * self.stride + from;
        let last = self.data.get(start + 3 * self.stride..)?.get(..len)?;
        let [a, b, c] = [0, 1, 2].map(|at| &self.data[start + at * self.stride..][..len]);
        Some([a, b, c, last])
    }

    /// The part of `rows` that the run has.
    pub(crate) fn part_of(self, rows: std::ops::Range<usize>) -> std::ops::Range<usize> {
        rows.start.max(self.first)..rows.end.min(self.end)
    }
}
