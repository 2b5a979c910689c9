//! Rows of equal stride, in a source or in a ring: what the vertical pass reads.

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
