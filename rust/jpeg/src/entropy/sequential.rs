//! Blocks of sequential scans (T.81 F.2).

use super::bits::{Bits, extend};
use super::huffman::{AC_BITS, AcEntry, AcTable, DcTable};
use super::{Damage, NATURAL};
use crate::back::{Block, Kernel};

/// One of the blocks of an MCU: how it is coded and where it goes.
#[derive(Clone, Copy)]
pub(crate) struct Unit<'t> {
    pub(crate) dc: &'t DcTable,
    pub(crate) ac: &'t AcTable,
    /// Which of the scan's DC predictions it takes.
    pub(crate) component: usize,
    /// Its place among the blocks in the first MCU, and how many places further it is in each next one.
    pub(crate) first: usize,
    pub(crate) step: usize,
}

/// DC coefficients beyond this are refused, so that sums of differences cannot leave 32 bits in a run of MCUs: libjpeg-turbo
/// gives up a little later.
const DC_LIMIT: i32 = 1 << 30;

/// MCUs decoded at once are at most this many: 2^13 of at most ten blocks, each adding less than 2^15 to a DC coefficient.
pub(crate) const MAX_MCUS: usize = 1 << 10;

/// Decodes `mcus` MCUs into `blocks`, which must be zero there, and the upper bounds of their last indices into `lasts`.
///
/// # Errors
/// A code that is none. Data that ends too early is not noticed here: see [`Bits::position`].
pub(crate) fn decode<'a>(
    kernel: Kernel,
    bits: Bits<'a>,
    units: &[Unit<'_>],
    predictions: &mut [i32; 4],
    mcus: usize,
    blocks: &mut [Block],
    lasts: &mut [u8],
) -> Result<Bits<'a>, Damage> {
    debug_assert!(mcus <= MAX_MCUS);
    if predictions.iter().any(|prediction| prediction.abs() > DC_LIMIT) {
        return Err(Damage::DcOverflow);
    }
    match kernel {
        #[cfg(target_arch = "x86_64")]
        Kernel::Avx2 | Kernel::Avx512 => {
            // SAFETY: this kernel is in use only where the processor has BMI1, BMI2 and LZCNT.
            unsafe { decode_bmi2(bits, units, predictions, mcus, blocks, lasts) }
        }
        Kernel::Scalar => decode_units(bits, units, predictions, mcus, blocks, lasts),
    }
}

/// [`decode_units`] compiled for BMI2: shifts by a register in one cycle, worth a quarter of the time.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "bmi1,bmi2,lzcnt,popcnt,avx2")]
fn decode_bmi2<'a>(
    bits: Bits<'a>,
    units: &[Unit<'_>],
    predictions: &mut [i32; 4],
    mcus: usize,
    blocks: &mut [Block],
    lasts: &mut [u8],
) -> Result<Bits<'a>, Damage> {
    decode_units(bits, units, predictions, mcus, blocks, lasts)
}

#[inline(always)]
fn decode_units<'a>(
    bits: Bits<'a>,
    units: &[Unit<'_>],
    predictions: &mut [i32; 4],
    mcus: usize,
    blocks: &mut [Block],
    lasts: &mut [u8],
) -> Result<Bits<'a>, Damage> {
    let mut bits = bits;
    for mcu in 0..mcus {
        for unit in units {
            let at = unit.first + mcu * unit.step;
            let (Some(block), Some(last)) = (blocks.get_mut(at), lasts.get_mut(at)) else { return Ok(bits) };
            let prediction = &mut predictions[unit.component & 3];
            bits = decode_block(bits, unit.dc, unit.ac, prediction, block, last)?;
        }
    }
    Ok(bits)
}

/// Decodes one block.
///
/// Bits consumed between two refills, which leave at least 56 each: the DC code and its extra bits take at most 16 + 15, two
/// lookups 11 each: 53. Four lookups: 44. A symbol by itself: 16 + 15.
#[inline(always)]
fn decode_block<'a>(
    bits: Bits<'a>,
    dc: &DcTable,
    ac: &AcTable,
    prediction: &mut i32,
    block: &mut Block,
    last: &mut u8,
) -> Result<Bits<'a>, Damage> {
    let mut bits = bits.refill();
    let Some((length, category)) = dc.find(bits.window()) else { return Err(Damage::BadCode) };
    bits = bits.consume(length);
    *prediction += extend(bits.window(), category);
    bits = bits.consume(category);
    let block = &mut block.0;
    block[0] = *prediction as i16;

    // The place of the next coefficient, in zigzag order; below 64 whenever a symbol is read.
    let mut next = 1_usize;
    loop {
        let entry = 'stop: {
            // One lookup; leaves the block above with the entry that stops the fast way.
            macro_rules! lookup {
                () => {{
                    let entry = ac.lookup[(bits.window() >> (64 - AC_BITS)) as usize];
                    let first = next + (entry >> 8 & 15) as usize;
                    let second = first + (entry >> 12 & 15) as usize;
                    // At most 63 + 15 + 15 + 1, so that bit 6 says that the block is full or would overflow.
                    if (entry as usize | (second + 1)) & AcEntry::STOP as usize != 0 {
                        break 'stop entry;
                    }
                    store(block, first, (entry << 8).cast_signed() >> 24);
                    store(block, second, entry.cast_signed() >> 24);
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
        let first = next + (entry >> 8 & 15) as usize;
        let second = first + (entry >> 12 & 15) as usize;
        let has_coefficient = entry >> 16 != 0;
        // A block that is full ends by itself: an end of block behind it is the next block's data.
        let is_full = second == 63 && entry & AcEntry::END == 0;
        if entry & AcEntry::SLOW == 0 && (second < 63 || is_full) {
            // Without a coefficient a zero is stored where there is none yet, and the last one is that before `next`: a branch
            // would be one that nobody can predict.
            store(block, first, (entry << 8).cast_signed() >> 24);
            store(block, second, entry.cast_signed() >> 24);
            *last = (second as u8).wrapping_sub(u8::from(!has_coefficient));
            return Ok(bits.consume(entry));
        }
        // One symbol by itself.
        bits = bits.refill();
        let (length, symbol) = if entry & AcEntry::SLOW != 0 && entry & 63 != 0 {
            (entry & 63, (entry >> 8) as u8)
        } else {
            match ac.find(bits.window()) {
                Some(found) => found,
                None => return Err(Damage::BadCode),
            }
        };
        bits = bits.consume(length);
        let (run, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
        if size == 0 && run != 15 {
            *last = (next - 1) as u8;
            return Ok(bits);
        }
        next += run;
        if size != 0 {
            store(block, next, extend(bits.window(), size));
            bits = bits.consume(size);
        }
        next += 1;
        if next > 63 {
            *last = 63;
            return Ok(bits);
        }
    }
}

/// Stores a coefficient at a zigzag index; behind the block's end in its last place, as libjpeg does.
#[inline(always)]
fn store(block: &mut [i16; 64], index: usize, value: i32) {
    block[usize::from(NATURAL[index & 127] & 63)] = value as i16;
}
