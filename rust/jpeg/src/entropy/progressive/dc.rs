//! DC coefficients of progressive scans (T.81 G.1.2.1).

use crate::back::Kernel;
use crate::entropy::Damage;
use crate::entropy::bits::{Bits, extend};
use crate::entropy::huffman::DcTable;

/// One of the blocks of an MCU: how its DC coefficient is coded and where it goes.
#[derive(Clone, Copy)]
pub(crate) struct DcUnit<'t> {
    /// `None` in refinement scans.
    pub(crate) table: Option<&'t DcTable>,
    /// Which of the scan's predictions it takes.
    pub(crate) component: usize,
    /// Its place in the first MCU, and how many places further it is in each next one.
    pub(crate) first: usize,
    pub(crate) step: usize,
}

/// Decodes the first scan of `mcus` MCUs' DC coefficients into `dc`, up to bit position `low`.
///
/// # Errors
/// A code that is none, or a sum beyond 32 bits, which libjpeg-turbo refuses.
pub(crate) fn decode_dc<'a>(
    kernel: Kernel,
    bits: Bits<'a>,
    units: &[DcUnit<'_>],
    predictions: &mut [i32; 4],
    low: u32,
    mcus: usize,
    dc: &mut [i16],
) -> Result<Bits<'a>, Damage> {
    match kernel {
        #[cfg(target_arch = "x86_64")]
        Kernel::Avx2 | Kernel::Avx512 => {
            // SAFETY: this kernel is in use only where the processor has BMI1, BMI2 and LZCNT.
            unsafe { decode_bmi2(bits, units, predictions, low, mcus, dc) }
        }
        Kernel::Scalar => decode(bits, units, predictions, low, mcus, dc),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "bmi1,bmi2,lzcnt")]
fn decode_bmi2<'a>(
    bits: Bits<'a>,
    units: &[DcUnit<'_>],
    predictions: &mut [i32; 4],
    low: u32,
    mcus: usize,
    dc: &mut [i16],
) -> Result<Bits<'a>, Damage> {
    decode(bits, units, predictions, low, mcus, dc)
}

/// A code and its extra bits take at most 16 + 15 of the 56 bits of a refill.
#[inline(always)]
fn decode<'a>(
    mut bits: Bits<'a>,
    units: &[DcUnit<'_>],
    predictions: &mut [i32; 4],
    low: u32,
    mcus: usize,
    dc: &mut [i16],
) -> Result<Bits<'a>, Damage> {
    for mcu in 0..mcus {
        for unit in units {
            bits = bits.refill();
            let found = unit.table.and_then(|table| table.find(bits.window()));
            let Some((length, category)) = found else { return Err(Damage::BadCode) };
            bits = bits.consume(length);
            let prediction = &mut predictions[unit.component & 3];
            let Some(sum) = prediction.checked_add(extend(bits.window(), category)) else {
                return Err(Damage::DcOverflow);
            };
            *prediction = sum;
            bits = bits.consume(category);
            // libjpeg keeps the low 16 bits.
            let Some(dc) = dc.get_mut(unit.first + mcu * unit.step) else { return Ok(bits) };
            *dc = (sum << low) as i16;
        }
    }
    Ok(bits)
}

/// Adds the bit at position `low` to `mcus` MCUs' DC coefficients.
pub(crate) fn refine_dc<'a>(
    mut bits: Bits<'a>,
    units: &[DcUnit<'_>],
    low: u32,
    mcus: usize,
    dc: &mut [i16],
) -> Bits<'a> {
    for mcu in 0..mcus {
        // An MCU has at most ten blocks: five of them take less bits than a refill gives.
        if mcu % 5 == 0 {
            bits = bits.refill();
        }
        for unit in units {
            if let Some(dc) = dc.get_mut(unit.first + mcu * unit.step) {
                *dc |= (bits.peek(1) << low) as i16;
            }
            bits = bits.consume(1);
        }
    }
    bits
}
