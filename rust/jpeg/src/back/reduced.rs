//! Inverse DCTs to fewer samples: 4x4 and 2x2 as libjpeg-turbo's SSE2 code computes them, 1x1 as its C code does.

use super::idct::{CONST_BITS, PASS1_BITS, Quant, saturate, to_sample};
use super::{Block, Kernel};

pub(super) const FIX_0_211164243: i32 = 1730;
pub(super) const FIX_0_509795579: i32 = 4176;
pub(super) const FIX_0_601344887: i32 = 4926;
pub(super) const FIX_0_720959822: i32 = 5906;
pub(super) const FIX_0_765366865: i32 = 6270;
pub(super) const FIX_0_850430095: i32 = 6967;
pub(super) const FIX_0_899976223: i32 = 7373;
pub(super) const FIX_1_061594337: i32 = 8697;
pub(super) const FIX_1_272758580: i32 = 10426;
pub(super) const FIX_1_451774981: i32 = 11893;
pub(super) const FIX_1_847759065: i32 = 15137;
pub(super) const FIX_2_172734803: i32 = 17799;
pub(super) const FIX_2_562915447: i32 = 20995;
pub(super) const FIX_3_624509785: i32 = 29692;

/// Transforms neighbouring blocks to `size` x `size` samples each (1, 2 or 4), as `idct::transform` does to 8x8.
pub(super) fn transform(
    kernel: Kernel,
    size: usize,
    quant: &Quant,
    blocks: &mut [Block],
    last: &[u8],
    out: &mut [u8],
    stride: usize,
) {
    #[cfg(target_arch = "x86_64")]
    if kernel != Kernel::Scalar && size > 1 {
        let (pairs, single) = blocks.as_chunks_mut::<2>();
        for (index, (pair, last)) in pairs.iter_mut().zip(last.as_chunks::<2>().0).enumerate() {
            let out = &mut out[index * 2 * size..];
            // SAFETY: the assembler passes on what `Kernel::or_scalar` answered, which found AVX2.
            unsafe {
                match size {
                    2 => super::reduced_avx2::pair_2x2(quant, pair, out, stride),
                    _ => super::reduced_avx2::pair_4x4(quant, pair, last[0].max(last[1]), out, stride),
                }
            }
        }
        return scalar(size, quant, single, &mut out[pairs.len() * 2 * size..], stride);
    }
    let _ = (kernel, last);
    scalar(size, quant, blocks, out, stride);
}

fn scalar(size: usize, quant: &Quant, blocks: &mut [Block], out: &mut [u8], stride: usize) {
    for (index, block) in blocks.iter_mut().enumerate() {
        let out = &mut out[index * size..];
        match size {
            1 => out[0] = block_1x1(quant, block),
            2 => store(out, stride, block_2x2(quant, block)),
            _ => store(out, stride, block_4x4(quant, block)),
        }
        *block = Block::ZERO;
    }
}

pub(super) fn store<const W: usize, const H: usize>(out: &mut [u8], stride: usize, rows: [[u8; W]; H]) {
    for (out, row) in out.chunks_mut(stride).zip(rows) {
        out[..W].copy_from_slice(&row);
    }
}

/// The average; what does not fit 10 bits wraps.
fn block_1x1(quant: &Quant, block: &Block) -> u8 {
    let level = (i32::from(block.0[0]) * i32::from(quant.0[0]) + 4) >> 3;
    to_sample((level << 22) >> 22)
}

fn dot<const N: usize>(values: [i16; N], factors: [i32; N]) -> i32 {
    values.into_iter().zip(factors).fold(0, |sum: i32, (value, factor)| sum.wrapping_add(i32::from(value) * factor))
}

fn descale(value: i32, shift: i32) -> i32 {
    value.wrapping_add(1 << (shift - 1)) >> shift
}

/// Row and column 4 have no part in the result, nor in whether the shortcut is taken.
pub(super) fn block_4x4(quant: &Quant, block: &Block) -> [[u8; 4]; 4] {
    let value = |y: usize, x: usize| block.0[y * 8 + x].wrapping_mul(quant.0[y * 8 + x]);
    let only_first_row = [1, 2, 3, 5, 6, 7].iter().all(|y| block.0[y * 8..y * 8 + 8].iter().all(|&value| value == 0));
    let columns: [[i16; 4]; 8] = std::array::from_fn(|x| {
        if only_first_row {
            [value(0, x).wrapping_shl(PASS1_BITS as u32); 4]
        } else {
            pass_4(std::array::from_fn(|y| value(y, x)), CONST_BITS - PASS1_BITS + 1).map(saturate)
        }
    });
    std::array::from_fn(|y| pass_4(columns.map(|column| column[y]), CONST_BITS + PASS1_BITS + 3 + 1).map(to_sample))
}

fn pass_4(input: [i16; 8], shift: i32) -> [i32; 4] {
    let [i0, i1, i2, i3, _, i5, i6, i7] = input;
    let wide = i32::from(i0) << (CONST_BITS + 1);
    let t2 = dot([i2, i6], [FIX_1_847759065, -FIX_0_765366865]);
    let (e0, e1) = (wide.wrapping_add(t2), wide.wrapping_sub(t2));
    let odd = [i1, i3, i5, i7];
    let o1 = dot(odd, [FIX_1_061594337, -FIX_2_172734803, FIX_1_451774981, -FIX_0_211164243]);
    let o0 = dot(odd, [FIX_2_562915447, FIX_0_899976223, -FIX_0_601344887, -FIX_0_509795579]);
    [e0.wrapping_add(o0), e1.wrapping_add(o1), e1.wrapping_sub(o1), e0.wrapping_sub(o0)]
        .map(|value| descale(value, shift))
}

/// Of the even rows and columns only the first has a part; there is no shortcut.
fn block_2x2(quant: &Quant, block: &Block) -> [[u8; 2]; 2] {
    let value = |y: usize, x: usize| block.0[y * 8 + x].wrapping_mul(quant.0[y * 8 + x]);
    let column = |x: usize| {
        let odd = [value(1, x), value(3, x), value(5, x), value(7, x)];
        pass_2(i32::from(value(0, x)), odd, CONST_BITS - PASS1_BITS + 2)
    };
    let first = column(0);
    let odd = [column(1), column(3), column(5), column(7)];
    // The first column stays at 32 bits, the others saturate.
    std::array::from_fn(|y| {
        pass_2(first[y], odd.map(|column| saturate(column[y])), CONST_BITS + PASS1_BITS + 3 + 2).map(to_sample)
    })
}

fn pass_2(first: i32, odd: [i16; 4], shift: i32) -> [i32; 2] {
    let wide = first.wrapping_shl(CONST_BITS as u32 + 2);
    let odd = dot(odd, [FIX_3_624509785, -FIX_1_272758580, FIX_0_850430095, -FIX_0_720959822]);
    [wide.wrapping_add(odd), wide.wrapping_sub(odd)].map(|value| descale(value, shift))
}
