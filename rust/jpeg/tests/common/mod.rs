//! Pictures and comparisons that the tests and the mutation program share.
#![allow(dead_code, reason = "each program uses its part")]

pub(crate) mod compare;
pub(crate) mod data;
#[path = "../../src/lockstep/tests/encoder.rs"]
mod encoder;
pub(crate) mod mutate;
pub(crate) mod samples;
pub(crate) mod turbo;

/// Marsaglia's xorshift, 64 bits.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `end`, which is not 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() >> 20) as usize % end
    }

    /// One of `items`.
    pub(crate) fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }
}
