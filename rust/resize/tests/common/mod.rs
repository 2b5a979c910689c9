//! Deterministic sizes and pixels for the tests.
#![allow(dead_code, reason = "each test program uses its part")]

#[cfg(unix)]
pub(crate) mod guarded;

use pixcrawler_resize::{Channels, Filter, Plan, Size, Window};

/// Every filter, in the order of the golden table's names.
pub(crate) const FILTERS: [Filter; 4] = [Filter::Nearest, Filter::Bilinear, Filter::Bicubic, Filter::Lanczos];

/// Every pixel format.
pub(crate) const CHANNELS: [Channels; 3] = [Channels::One, Channels::Three, Channels::Four];

/// Marsaglia's xorshift, 64 bits.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number of `from..=to`.
    pub(crate) fn range(&mut self, from: u32, to: u32) -> u32 {
        from + (self.next() >> 16) as u32 % (to - from + 1)
    }

    /// One of `items`.
    pub(crate) fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.range(0, items.len() as u32 - 1) as usize]
    }

    /// A side up to `longest`: 1 to 3 pixels, few, a common number, or any.
    pub(crate) fn side(&mut self, longest: u32) -> u32 {
        match self.range(0, 5) {
            0 => self.range(1, 3),
            1 => self.range(1, 40.min(longest)),
            2 => self.pick(&[112, 224, 336, 448]).min(longest),
            _ => self.range(1, longest),
        }
    }

    /// A plan of random sizes, format and filter; every other one wants a part of the result only.
    pub(crate) fn plan(&mut self, longest: u32, filters: &[Filter]) -> Plan {
        let [w, h, mut full_w, mut full_h] = [0; 4].map(|_| self.side(longest));
        if self.range(0, 9) == 0 {
            full_w = w;
        }
        if self.range(0, 9) == 0 {
            full_h = h;
        }
        let full = Size { w: full_w, h: full_h };
        let mut plan = Plan::stretch(Size { w, h }, full, self.pick(&CHANNELS), self.pick(filters));
        if self.range(0, 1) == 0 {
            let (x, y) = (self.range(0, full_w - 1), self.range(0, full_h - 1));
            plan.window = Window { x, y, w: self.range(1, full_w - x), h: self.range(1, full_h - y) };
        }
        plan
    }

    /// Noise, or only black and white, whose sums are the largest.
    pub(crate) fn pixels(&mut self, len: usize) -> Vec<u8> {
        let extremes = self.range(0, 1) == 0;
        (0..len)
            .map(|_| {
                let sample = (self.next() >> 24) as u8;
                if extremes { if sample < 128 { 0 } else { 255 } } else { sample }
            })
            .collect()
    }
}

/// Bytes of a row of the plan's source and of its window.
pub(crate) fn row_lens(plan: &Plan) -> (usize, usize) {
    (plan.source.w as usize * plan.channels.count(), plan.window.w as usize * plan.channels.count())
}
