//! Refinement scans of a band of AC coefficients (T.81 G.1.2.3).

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::_pdep_u64;

use super::end_of_band_run;
use crate::back::Kernel;
#[cfg(target_arch = "x86_64")]
use crate::back::has_fast_pdep;
use crate::entropy::Damage;
use crate::entropy::bits::Bits;
use crate::entropy::huffman::{REFINE_BITS, RefineEntry, RefineTable};

/// A band's refinement scan.
pub(crate) struct Refinement<'t> {
    table: &'t RefineTable,
    /// The band's bits, and its last index.
    band: u64,
    end: u32,
}

/// What refinement scans read and write of neighbouring blocks.
pub(crate) struct Maps<'m> {
    /// The coefficients that are not zero.
    pub(crate) nonzero: &'m mut [u64],
    /// Those among them that a refinement scan brought and that are negative.
    pub(crate) negative: &'m mut [u64],
    /// The bits at the scan's bit position.
    pub(crate) plane: &'m mut [u64],
}

/// A run of zeros and the coefficient behind it.
#[derive(Clone, Copy)]
struct Symbol {
    run: u32,
    /// 0 of a run of sixteen zeros.
    is_new: u32,
    is_negative: u32,
}

/// What a code says.
enum Read {
    Symbol(Symbol),
    /// With the number of blocks that follow without new coefficients.
    EndOfBand(u32),
}

/// What a block's symbols bring.
struct Band<'a> {
    bits: Bits<'a>,
    /// Coefficients that were zero before.
    zeros: u64,
    /// How many of them are not passed yet, and how many of those that were not zero before.
    zeros_left: u32,
    olds_left: u32,
    /// A bit for each coefficient passed that was not zero before, the last one's lowest.
    corrections: u64,
    new: u64,
    negative: u64,
}

impl<'t> Refinement<'t> {
    /// Of the coefficients `spectral`, 1 to 63.
    pub(crate) fn new(table: &'t RefineTable, spectral: (u8, u8)) -> Self {
        let end = u32::from(spectral.1);
        Self { table, band: u64::MAX >> spectral.0 & u64::MAX << (63 - end), end }
    }

    /// Decodes neighbouring blocks.
    ///
    /// # Errors
    /// A code that is none or that has no place here, and what is unusual. Data that ends too early is not noticed here.
    pub(crate) fn decode<'a>(
        &self,
        kernel: Kernel,
        bits: Bits<'a>,
        eob_run: &mut u32,
        maps: Maps<'_>,
    ) -> Result<Bits<'a>, Damage> {
        match kernel {
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx2 | Kernel::Avx512 if has_fast_pdep() => {
                // SAFETY: this kernel is in use only where the processor has BMI1, BMI2, LZCNT and POPCNT.
                unsafe { self.decode_bmi2(bits, eob_run, maps) }
            }
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx2 | Kernel::Avx512 => {
                // SAFETY: as above.
                unsafe { self.decode_slow_pdep(bits, eob_run, maps) }
            }
            Kernel::Scalar => self.decode_blocks(bits, eob_run, maps, deposit),
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "bmi1,bmi2,lzcnt,popcnt")]
    fn decode_bmi2<'a>(&self, bits: Bits<'a>, eob_run: &mut u32, maps: Maps<'_>) -> Result<Bits<'a>, Damage> {
        self.decode_blocks(bits, eob_run, maps, |value, mask| _pdep_u64(value, mask))
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "bmi1,bmi2,lzcnt,popcnt")]
    fn decode_slow_pdep<'a>(&self, bits: Bits<'a>, eob_run: &mut u32, maps: Maps<'_>) -> Result<Bits<'a>, Damage> {
        self.decode_blocks(bits, eob_run, maps, deposit)
    }

    #[inline(always)]
    fn decode_blocks<'a>(
        &self,
        bits: Bits<'a>,
        eob_run: &mut u32,
        maps: Maps<'_>,
        deposit: impl Fn(u64, u64) -> u64 + Copy,
    ) -> Result<Bits<'a>, Damage> {
        // A parameter would stay in memory.
        let mut bits = bits;
        let mut run = *eob_run;
        for ((nonzero, negative), plane) in maps.nonzero.iter_mut().zip(maps.negative).zip(maps.plane) {
            let olds = *nonzero & self.band;
            let mut corrections = 0;
            let mut olds_left = olds.count_ones();
            if run > 0 {
                run -= 1;
            } else {
                let zeros = !*nonzero & self.band;
                let zeros_left = zeros.count_ones();
                let mut band = Band { bits, zeros, zeros_left, olds_left, corrections, new: 0, negative: 0 };
                run = self.decode_symbols(&mut band, deposit)?;
                *nonzero |= band.new;
                *negative |= band.negative;
                *plane |= band.new;
                Band { bits, olds_left, corrections, .. } = band;
            }
            if olds_left > 0 {
                (bits, corrections) = take(bits, corrections, olds_left);
            }
            *plane |= deposit(corrections, olds);
        }
        *eob_run = run;
        Ok(bits)
    }

    /// Decodes a block's symbols; gives the number of blocks behind it that have no new coefficients in the band.
    #[inline(always)]
    fn decode_symbols(&self, band: &mut Band<'_>, deposit: impl Fn(u64, u64) -> u64 + Copy) -> Result<u32, Damage> {
        loop {
            if band.olds_left == 0 && (band.zeros_left == 0 || self.behind_olds(band)) {
                return Ok(0);
            }
            band.bits = band.bits.refill();
            let entry = self.table.lookup[(band.bits.window() >> (64 - REFINE_BITS)) as usize];
            let mut symbol = Symbol { run: entry >> 8 & 15, is_new: entry >> 24 & 1, is_negative: entry >> 25 & 1 };
            if entry & RefineEntry::FIRST != 0 {
                band.bits = band.bits.consume(RefineEntry::first_length(entry));
            } else if entry & RefineEntry::SLOW == 0 {
                band.bits = band.bits.consume(entry);
                return Ok(0);
            } else {
                let read;
                (band.bits, read) = self.read(band.bits, entry)?;
                match read {
                    Read::Symbol(read) => symbol = read,
                    Read::EndOfBand(behind) => return Ok(behind),
                }
            }
            if symbol.run >= band.zeros_left {
                // A run of sixteen zeros that are not there ends the band.
                return if symbol.is_new == 0 { Ok(0) } else { Err(Damage::Unusual) };
            }
            self.pass(band, symbol, deposit);
        }
    }

    /// Reads a symbol that a lookup does not hold. It takes at most 16 bits, with its sign 17, and the length of an EOB run 14
    /// more.
    #[inline(always)]
    fn read<'a>(&self, bits: Bits<'a>, entry: u32) -> Result<(Bits<'a>, Read), Damage> {
        let (length, symbol) = match entry & 63 {
            0 => self.table.find(bits.window()).ok_or(Damage::BadCode)?,
            length => (length, (entry >> 8) as u8),
        };
        let bits = bits.consume(length);
        let run = u32::from(symbol >> 4);
        match symbol & 15 {
            0 if run < 15 => {
                let (bits, behind) = end_of_band_run(bits, run);
                Ok((bits, Read::EndOfBand(behind)))
            }
            0 => Ok((bits, Read::Symbol(Symbol { run, is_new: 0, is_negative: 0 }))),
            1 => Ok((bits.consume(1), Read::Symbol(Symbol { run, is_new: 1, is_negative: 1 - bits.peek(1) }))),
            _ => Err(Damage::BadCode),
        }
    }

    /// Goes to the zero behind `run` others, of which there are enough, taking a bit for each old coefficient on the way; of a
    /// symbol that brings a coefficient it becomes nonzero.
    ///
    /// At most 17 bits were consumed since the last refill: 39 are left.
    #[inline(always)]
    fn pass(&self, band: &mut Band<'_>, symbol: Symbol, deposit: impl Fn(u64, u64) -> u64 + Copy) {
        band.zeros_left -= symbol.run + 1;
        let target = deposit(1 << band.zeros_left, band.zeros);
        // Of the places behind the target as many are old as are not zeros.
        let passed = target.leading_zeros() + band.zeros_left + band.olds_left - self.end;
        band.olds_left -= passed;
        if passed > 32 {
            (band.bits, band.corrections) = take_many(band.bits, band.corrections, passed);
        } else {
            band.corrections = band.corrections << passed | u64::from(band.bits.peek(passed));
            band.bits = band.bits.consume(passed);
        }
        band.new |= target & u64::from(symbol.is_new).wrapping_neg();
        band.negative |= target & u64::from(symbol.is_negative).wrapping_neg();
    }

    /// Decodes symbols where no old coefficient is left, two at a time, as far as lookups hold them; whether the block is done.
    #[inline(always)]
    fn behind_olds(&self, band: &mut Band<'_>) -> bool {
        let (mut new, mut negative) = (0, 0);
        let mut left = band.zeros_left;
        let entry = 'fast: {
            // One lookup; leaves the labelled block with the entry that stops the fast way.
            macro_rules! lookup {
                () => {{
                    let entry = self.table.lookup[(band.bits.window() >> (64 - REFINE_BITS)) as usize];
                    // What is left behind the first coefficient and behind the second.
                    let first = left.wrapping_sub(1 + (entry >> 8 & 15));
                    let second = first.wrapping_sub(entry >> 12 & 15);
                    if entry & RefineEntry::STOP != 0 || second.wrapping_sub(1) > 63 {
                        break 'fast entry;
                    }
                    new |= bit(entry >> 24, first) | bit(entry >> 26, second);
                    negative |= bit(entry >> 25, first) | bit(entry >> 27, second);
                    band.bits = band.bits.consume(entry);
                    left = second;
                }};
            }
            loop {
                // Four lookups take at most 40 bits of the 56.
                band.bits = band.bits.refill();
                lookup!();
                lookup!();
                lookup!();
                lookup!();
            }
        };
        let first = left.wrapping_sub(1 + (entry >> 8 & 15));
        let second = first.wrapping_sub(entry >> 12 & 15);
        let is_end = entry & RefineEntry::END != 0;
        // An end of band that the entry has behind a coefficient in the last place belongs to the next block.
        let is_done = entry & RefineEntry::SLOW == 0
            && (entry & RefineEntry::FIRST == 0 || second == 0 && !is_end || second.wrapping_sub(1) < 63 && is_end);
        if is_done {
            new |= bit(entry >> 24, first) | bit(entry >> 26, second);
            negative |= bit(entry >> 25, first) | bit(entry >> 27, second);
            band.bits = band.bits.consume(entry);
        }
        band.zeros_left = left;
        band.new |= new << (63 - self.end);
        band.negative |= negative << (63 - self.end);
        is_done
    }
}

/// The lowest bit of `flag` at place `at`.
#[inline(always)]
fn bit(flag: u32, at: u32) -> u64 {
    u64::from(flag & 1).wrapping_shl(at)
}

/// Appends the next `count` bits, at most 63, to `corrections`.
#[inline(always)]
fn take(bits: Bits<'_>, corrections: u64, count: u32) -> (Bits<'_>, u64) {
    if count > 32 {
        return take_many(bits, corrections, count);
    }
    let bits = bits.refill();
    (bits.consume(count), corrections << count | u64::from(bits.peek(count)))
}

/// [`take`] for more than 32 bits.
#[cold]
#[inline(never)]
fn take_many(bits: Bits<'_>, corrections: u64, count: u32) -> (Bits<'_>, u64) {
    let bits = bits.refill();
    let corrections = corrections << 32 | u64::from(bits.peek(32));
    let (bits, count) = (bits.consume(32).refill(), count - 32);
    (bits.consume(count), corrections << count | u64::from(bits.peek(count)))
}

/// The low bits of `value` at the places of the bits of `mask`, as PDEP has it.
fn deposit(mut value: u64, mut mask: u64) -> u64 {
    let mut deposited = 0;
    while mask != 0 && value != 0 {
        let lowest = mask & mask.wrapping_neg();
        if value & 1 != 0 {
            deposited |= lowest;
        }
        mask ^= lowest;
        value >>= 1;
    }
    deposited
}
