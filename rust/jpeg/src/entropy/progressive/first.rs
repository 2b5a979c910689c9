//! The first scan of a band of AC coefficients (T.81 G.1.2.2).

use super::end_of_band_run;
use crate::back::{Block, Kernel};
use crate::entropy::bits::{Bits, extend};
use crate::entropy::huffman::{AC_BITS, AcEntry, AcTable};
use crate::entropy::{Damage, NATURAL};

/// The highest bit position at which the values of table entries, eight bits, stay within 16 bits.
pub(crate) const MAX_LOW: u8 = 8;

/// A band's first scan.
pub(crate) struct First<'t> {
    table: &'t AcTable,
    /// Where the band begins, and how many places it ends before index 63: places are counted so that the last one is 63.
    start: u32,
    shift: u32,
    /// The bit position down to which coefficients are coded.
    low: u32,
    /// Natural index by place.
    natural: [u8; 128],
}

impl<'t> First<'t> {
    /// Of the coefficients `spectral`, 1 to 63, down to bit position `low`, at most [`MAX_LOW`].
    pub(crate) fn new(table: &'t AcTable, spectral: (u8, u8), low: u8) -> Self {
        let shift = 63 - u32::from(spectral.1);
        let mut natural = [63; 128];
        natural[shift as usize..].copy_from_slice(&NATURAL[..128 - shift as usize]);
        Self { table, start: u32::from(spectral.0) + shift, shift, low: u32::from(low), natural }
    }

    /// Decodes neighbouring blocks. Their coefficients in the band must be zero.
    ///
    /// # Errors
    /// A code that is none, and what is unusual. Data that ends too early is not noticed here.
    pub(crate) fn decode<'a>(
        &self,
        kernel: Kernel,
        bits: Bits<'a>,
        eob_run: &mut u32,
        blocks: &mut [Block],
        nonzero: &mut [u64],
    ) -> Result<Bits<'a>, Damage> {
        match kernel {
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx2 | Kernel::Avx512 => {
                // SAFETY: this kernel is in use only where the processor has BMI1, BMI2 and LZCNT.
                unsafe { self.decode_bmi2(bits, eob_run, blocks, nonzero) }
            }
            Kernel::Scalar => self.decode_blocks(bits, eob_run, blocks, nonzero),
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "bmi1,bmi2,lzcnt")]
    fn decode_bmi2<'a>(
        &self,
        bits: Bits<'a>,
        eob_run: &mut u32,
        blocks: &mut [Block],
        nonzero: &mut [u64],
    ) -> Result<Bits<'a>, Damage> {
        self.decode_blocks(bits, eob_run, blocks, nonzero)
    }

    #[inline(always)]
    fn decode_blocks<'a>(
        &self,
        bits: Bits<'a>,
        eob_run: &mut u32,
        blocks: &mut [Block],
        nonzero: &mut [u64],
    ) -> Result<Bits<'a>, Damage> {
        // A parameter would stay in memory.
        let mut bits = bits;
        let count = blocks.len();
        let mut at = (*eob_run as usize).min(count);
        let mut run = *eob_run - at as u32;
        while let (Some(block), Some(nonzero)) = (blocks.get_mut(at), nonzero.get_mut(at)) {
            let mut found = 0;
            (bits, run) = self.decode_block(bits, &mut block.0, &mut found)?;
            *nonzero |= found << self.shift;
            let skipped = (run as usize).min(count - at - 1);
            run -= skipped as u32;
            at += 1 + skipped;
        }
        *eob_run = run;
        Ok(bits)
    }

    /// Decodes one block; gives the number of blocks behind it that have nothing in the band.
    ///
    /// Four lookups of 11 bits fit into the 56 of a refill, and so does a symbol by itself: 16 + 15.
    #[inline(always)]
    fn decode_block<'a>(
        &self,
        mut bits: Bits<'a>,
        block: &mut [i16; 64],
        found: &mut u64,
    ) -> Result<(Bits<'a>, u32), Damage> {
        // The place of the next coefficient; below 64 whenever a symbol is read.
        let mut next = self.start;
        loop {
            let entry = 'fast: {
                // One lookup; leaves the labelled block with the entry that stops the fast way.
                macro_rules! lookup {
                    () => {{
                        let entry = self.table.lookup[(bits.window() >> (64 - AC_BITS)) as usize];
                        let first = next + (entry >> 8 & 15);
                        let second = first + (entry >> 12 & 15);
                        // At most 63 + 15 + 15 + 1, so that bit 6 says that the band is full or would overflow.
                        if (entry | (second + 1)) & AcEntry::STOP != 0 {
                            break 'fast entry;
                        }
                        self.store(block, found, first, (entry << 8).cast_signed() >> 24);
                        self.store(block, found, second, entry.cast_signed() >> 24);
                        bits = bits.consume(entry);
                        next = second + 1;
                    }};
                }
                loop {
                    bits = bits.refill();
                    lookup!();
                    lookup!();
                    lookup!();
                    lookup!();
                }
            };
            let first = next + (entry >> 8 & 15);
            let second = first + (entry >> 12 & 15);
            let is_end = entry & AcEntry::END != 0;
            // An end of band that the entry has behind a coefficient in the last place belongs to the next block.
            if entry & AcEntry::SLOW == 0 && (second < 63 || second == 63 && !is_end) {
                // An end of band alone has no coefficient.
                if entry >> 16 != 0 {
                    self.store(block, found, first, (entry << 8).cast_signed() >> 24);
                    self.store(block, found, second, entry.cast_signed() >> 24);
                }
                return Ok((bits.consume(entry), 0));
            }
            bits = bits.refill();
            let (length, symbol) = if entry & AcEntry::SLOW != 0 && entry & 63 != 0 {
                (entry & 63, (entry >> 8) as u8)
            } else {
                match self.table.find(bits.window()) {
                    Some(found) => found,
                    None => return Err(Damage::BadCode),
                }
            };
            bits = bits.consume(length);
            let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
            if size == 0 && run < 15 {
                return Ok(end_of_band_run(bits, run));
            }
            next += run;
            if size > 0 {
                let value = extend(bits.window(), size) << self.low;
                bits = bits.consume(size);
                if next > 63 || value.unsigned_abs() > i16::MAX.unsigned_abs().into() {
                    return Err(Damage::Unusual);
                }
                block[usize::from(self.natural[(next & 127) as usize] & 63)] = value as i16;
                *found |= 1 << 63 >> next;
            }
            next += 1;
            if next > 63 {
                return Ok((bits, 0));
            }
        }
    }

    /// Stores a value of a table entry at a place up to 63.
    #[inline(always)]
    fn store(&self, block: &mut [i16; 64], found: &mut u64, place: u32, value: i32) {
        block[usize::from(self.natural[(place & 127) as usize] & 63)] = (value << self.low) as i16;
        *found |= (1 << 63) >> (place & 63);
    }
}
