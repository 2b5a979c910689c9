//! What the fuzz targets check: each function takes one input, and panics where a promise is broken.

#[path = "../../rust/core/tests/archive/mod.rs"]
#[allow(unreachable_pub, reason = "the tests of the core use it as well")]
pub mod archive;

pub mod archives;
mod inflate64;
pub mod mutate;
pub mod pictures;
pub mod resizing;
pub mod streams;

/// Numbers taken from the front of an input, as long as there are any; then zeros.
pub struct Numbers<'a>(pub &'a [u8]);

impl<'a> Numbers<'a> {
    /// One byte.
    pub fn u8(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    /// Two bytes.
    pub fn u16(&mut self) -> u16 {
        u16::from_le_bytes([self.u8(), self.u8()])
    }

    /// So many bytes, or what is left.
    pub fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// One of `from..=to`.
    pub fn range(&mut self, from: u32, to: u32) -> u32 {
        from + u32::from(self.u16()) % (to - from + 1)
    }
}
