//! Bits of unstuffed entropy-coded data, most significant first.

/// Reads bits through a 64-bit window. A value, so that it stays in registers: a cold path that took it and gave it back made
/// decoding 15 % slower.
///
/// Behind the end of the data come zeros: whoever decodes checks [`Bits::position`] against the end afterwards.
#[derive(Clone, Copy)]
pub(crate) struct Bits<'a> {
    data: &'a [u8],
    /// The next byte to load.
    next: usize,
    /// The next bits, left-justified; those below the counted ones may be set already.
    window: u64,
    /// Bits counted in the window, modulo 64: the bits above the low six are junk that `consume` leaves there, because
    /// masking it at each symbol costs 8 % of the entropy decoder's time.
    counted: u32,
}

impl<'a> Bits<'a> {
    /// From byte `start` of `data` on.
    pub(crate) fn new(data: &'a [u8], start: usize) -> Self {
        Self { data, next: start, window: 0, counted: 0 }.refill()
    }

    /// Counts at least 56 bits into the window.
    ///
    /// At most 63 bits may have been consumed since the last refill; more would have been junk (see `counted`).
    #[inline(always)]
    #[must_use]
    pub(crate) fn refill(mut self) -> Self {
        let counted = self.counted & 63;
        let eight = match self.data.get(self.next..self.next + 8) {
            Some(eight) => {
                let mut bytes = [0; 8];
                bytes.copy_from_slice(eight);
                u64::from_be_bytes(bytes)
            }
            None => self.tail(),
        };
        self.window |= eight >> counted;
        self.next += (63 - counted as usize) >> 3;
        self.counted = counted | 0b11_1000;
        self
    }

    /// The last bytes with zeros behind them.
    #[cold]
    #[inline(never)]
    fn tail(self) -> u64 {
        let mut bytes = [0; 8];
        let rest = self.data.get(self.next..).unwrap_or_default();
        for (byte, from) in bytes.iter_mut().zip(rest) {
            *byte = *from;
        }
        u64::from_be_bytes(bytes)
    }

    /// The next bits, left-justified.
    #[inline(always)]
    pub(crate) fn window(self) -> u64 {
        self.window
    }

    /// The next `count` bits as a number; `count` is 0 to 32.
    #[inline(always)]
    pub(crate) fn peek(self, count: u32) -> u32 {
        // Two shifts, since a shift by 64 is none.
        ((self.window >> 1) >> (63 - count)) as u32
    }

    /// Passes over the number of bits in the low six bits of `length`; its other bits do no harm.
    #[inline(always)]
    #[must_use]
    pub(crate) fn consume(mut self, length: u32) -> Self {
        self.window = self.window.wrapping_shl(length);
        self.counted = self.counted.wrapping_sub(length);
        self
    }

    /// Bits passed over, from the start of the data on.
    #[inline]
    pub(crate) fn position(self) -> usize {
        self.next * 8 - (self.counted & 63) as usize
    }
}

/// The value of `size` extra bits (T.81 F.2.2.1, EXTEND); `size` is 0 to 16, the bits are the top ones of `window`.
#[inline(always)]
pub(crate) fn extend(window: u64, size: u32) -> i32 {
    let magnitude = ((window >> 1) >> (63 - size)) as i32;
    // A leading zero says that the value is negative, counted from -(2^size - 1).
    let is_negative = !((window as i64) >> 63) as i32;
    magnitude + (is_negative & (1 - (1 << size)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_come_most_significant_first_and_zeros_behind_the_end() {
        let data: Vec<u8> = (1..=20).collect();
        let mut bits = Bits::new(&data, 2);
        for expected in 3..=20_u32 {
            bits = bits.refill();
            assert_eq!(bits.peek(8), expected);
            bits = bits.consume(8);
        }
        assert_eq!(bits.position(), 160);
        for _ in 0..100 {
            bits = bits.refill().consume(56);
        }
        assert_eq!(bits.peek(32), 0);
        assert_eq!(bits.position(), 160 + 5600);
    }

    #[test]
    fn junk_above_the_length_does_no_harm() {
        let data = [0x12, 0x34, 0x56, 0x78, 0x9A, 0xBC, 0xDE, 0xF0, 0x11, 0x22];
        let bits = Bits::new(&data, 0).consume(0xFFFF_FFC0 + 12);
        assert_eq!((bits.peek(12), bits.position()), (0x456, 12));
        let bits = bits.refill();
        assert_eq!((bits.peek(12), bits.position()), (0x456, 12));
    }

    #[test]
    fn extra_bits_extend_as_table_f1_says() {
        let value = |bits: u64, size: u32| extend(if size == 0 { 0 } else { bits << (64 - size) }, size);
        assert_eq!([value(0, 0), value(0, 1), value(1, 1)], [0, -1, 1]);
        assert_eq!([value(0, 3), value(3, 3), value(4, 3), value(7, 3)], [-7, -4, 4, 7]);
        assert_eq!([value(0, 15), value(0x7FFF, 15)], [-32767, 32767]);
    }
}
