//! The slow-integer inverse DCT of 8x8 blocks as libjpeg-turbo's SIMD code computes it.
//!
//! Dequantised values wrap to 16 bits, sums of inputs too; products and their sums wrap to 32 bits; the first pass saturates
//! to 16 bits, the second to 8. Blocks without a coefficient below their first row take a shortcut in the first pass that
//! wraps instead of saturating, so that the result depends on it.

use super::{Block, Kernel};

pub(super) const FIX_0_298631336: i32 = 2446;
pub(super) const FIX_0_390180644: i32 = 3196;
pub(super) const FIX_0_541196100: i32 = 4433;
pub(super) const FIX_0_765366865: i32 = 6270;
pub(super) const FIX_0_899976223: i32 = 7373;
pub(super) const FIX_1_175875602: i32 = 9633;
pub(super) const FIX_1_501321110: i32 = 12299;
pub(super) const FIX_1_847759065: i32 = 15137;
pub(super) const FIX_1_961570560: i32 = 16069;
pub(super) const FIX_2_053119869: i32 = 16819;
pub(super) const FIX_2_562915447: i32 = 20995;
pub(super) const FIX_3_072711026: i32 = 25172;

/// Fractional bits of the constants.
pub(super) const CONST_BITS: i32 = 13;
/// Fractional bits that the first pass leaves.
pub(super) const PASS1_BITS: i32 = 2;
/// What the first pass shifts out.
pub(super) const SHIFT_1: i32 = CONST_BITS - PASS1_BITS;
/// What the second pass shifts out: 3 bits are the transform's factor of 8.
pub(super) const SHIFT_2: i32 = CONST_BITS + PASS1_BITS + 3;

/// A quantisation table in natural order, with 16-bit entries read as libjpeg-turbo reads them.
#[repr(C, align(32))]
#[derive(Clone)]
pub(super) struct Quant(pub(super) [i16; 64]);

impl Quant {
    pub(super) fn new(table: &[u16; 64]) -> Self {
        Self(table.map(u16::cast_signed))
    }
}

/// Transforms neighbouring blocks into rows of `stride` samples, the first sample of the first block at the start of `out`,
/// and clears the blocks.
///
/// Coefficient i of a block's zigzag order is zero for i > `last`.
pub(super) fn transform(
    kernel: Kernel,
    quant: &Quant,
    blocks: &mut [Block],
    last: &[u8],
    out: &mut [u8],
    stride: usize,
) {
    #[cfg(target_arch = "x86_64")]
    match kernel {
        // SAFETY: the assembler passes on what `Kernel::or_scalar` answered, which found AVX2 and AVX-512.
        Kernel::Avx512 => return unsafe { super::idct_avx512::transform(quant, blocks, last, out, stride) },
        // SAFETY: as above.
        Kernel::Avx2 => return unsafe { super::idct_avx2::transform(quant, blocks, last, out, stride) },
        Kernel::Scalar => {}
    }
    let _ = kernel;
    for (index, (block, &last)) in blocks.iter_mut().zip(last).enumerate() {
        let out = &mut out[index * 8..];
        if last == 0 {
            let level = dc_level(block.0[0], quant.0[0]);
            block.0[0] = 0;
            out.chunks_mut(stride).take(8).for_each(|row| row[..8].fill(level));
        } else {
            block_scalar(quant, block, out, stride);
            *block = Block::ZERO;
        }
    }
}

/// The sample that a block of nothing but DC is filled with.
#[inline]
pub(super) fn dc_level(dc: i16, quant: i16) -> u8 {
    let pass1 = i32::from(dc.wrapping_mul(quant).wrapping_shl(PASS1_BITS as u32));
    to_sample((pass1 + 16) >> 5)
}

/// To 8 bits with saturation, then centred.
#[inline]
pub(super) fn to_sample(value: i32) -> u8 {
    (value.clamp(-128, 127) + 128) as u8
}

/// To 16 bits with saturation.
#[inline]
pub(super) fn saturate(value: i32) -> i16 {
    value.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
}

/// One block of any coefficients.
pub(super) fn block_scalar(quant: &Quant, block: &Block, out: &mut [u8], stride: usize) {
    let mut values = [0; 64];
    for (value, (coefficient, quant)) in values.iter_mut().zip(block.0.iter().zip(&quant.0)) {
        *value = coefficient.wrapping_mul(*quant);
    }
    let mut columns = [[0; 8]; 8];
    if block.0[8..].iter().all(|&coefficient| coefficient == 0) {
        for (column, value) in columns.iter_mut().zip(values) {
            *column = [value.wrapping_shl(PASS1_BITS as u32); 8];
        }
    } else {
        for (x, column) in columns.iter_mut().enumerate() {
            *column = pass(std::array::from_fn(|y| values[y * 8 + x]), SHIFT_1).map(saturate);
        }
    }
    for (y, row) in out.chunks_mut(stride).take(8).enumerate() {
        row[..8].copy_from_slice(&pass(columns.map(|column| column[y]), SHIFT_2).map(to_sample));
    }
}

/// The one-dimensional transform, descaled by `shift` bits.
#[inline]
fn pass(input: [i16; 8], shift: i32) -> [i32; 8] {
    let [i0, i1, i2, i3, i4, i5, i6, i7] = input;
    let wide = |a: i16, b: i16| i32::from(a.wrapping_add(b)) << CONST_BITS;
    // Each product fits 32 bits, their sums wrap.
    let dot = |a: i16, fa: i32, b: i16, fb: i32| (i32::from(a) * fa).wrapping_add(i32::from(b) * fb);

    let (t0, t1) = (wide(i0, i4), i32::from(i0.wrapping_sub(i4)) << CONST_BITS);
    let t3 = dot(i2, FIX_0_541196100 + FIX_0_765366865, i6, FIX_0_541196100);
    let t2 = dot(i2, FIX_0_541196100, i6, FIX_0_541196100 - FIX_1_847759065);
    let even = [t0.wrapping_add(t3), t1.wrapping_add(t2), t1.wrapping_sub(t2), t0.wrapping_sub(t3)];

    let (z3, z4) = (i7.wrapping_add(i3), i5.wrapping_add(i1));
    let w3 = dot(z3, FIX_1_175875602 - FIX_1_961570560, z4, FIX_1_175875602);
    let w4 = dot(z3, FIX_1_175875602, z4, FIX_1_175875602 - FIX_0_390180644);
    let odd = [
        dot(i7, -FIX_0_899976223, i1, FIX_1_501321110 - FIX_0_899976223).wrapping_add(w4),
        dot(i5, -FIX_2_562915447, i3, FIX_3_072711026 - FIX_2_562915447).wrapping_add(w3),
        dot(i5, FIX_2_053119869 - FIX_2_562915447, i3, -FIX_2_562915447).wrapping_add(w4),
        dot(i7, FIX_0_298631336 - FIX_0_899976223, i1, -FIX_0_899976223).wrapping_add(w3),
    ];

    let descale = |value: i32| value.wrapping_add(1 << (shift - 1)) >> shift;
    std::array::from_fn(|i| {
        descale(if i < 4 { even[i].wrapping_add(odd[i]) } else { even[7 - i].wrapping_sub(odd[7 - i]) })
    })
}
