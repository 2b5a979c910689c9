//! The inverse DCT of two blocks at a time: block A in the lower, block B in the upper half of each vector.

use std::arch::x86_64::{
    __m128i, __m256i, _mm_loadu_si128, _mm_set_epi64x, _mm_storeu_si128, _mm256_add_epi8, _mm256_add_epi16,
    _mm256_add_epi32, _mm256_blend_epi16, _mm256_broadcastsi128_si256, _mm256_castps_si256, _mm256_castsi256_ps,
    _mm256_castsi256_si128, _mm256_cmpeq_epi16, _mm256_extracti128_si256, _mm256_madd_epi16, _mm256_movemask_epi8,
    _mm256_mullo_epi16, _mm256_packs_epi16, _mm256_packs_epi32, _mm256_permute4x64_epi64, _mm256_set_m128i,
    _mm256_set1_epi8, _mm256_set1_epi16, _mm256_set1_epi32, _mm256_shuffle_epi32, _mm256_shuffle_ps, _mm256_slli_epi16,
    _mm256_srai_epi16, _mm256_srai_epi32, _mm256_srli_epi32, _mm256_sub_epi16, _mm256_sub_epi32, _mm256_unpackhi_epi8,
    _mm256_unpackhi_epi16, _mm256_unpackhi_epi32, _mm256_unpackhi_epi64, _mm256_unpacklo_epi8, _mm256_unpacklo_epi16,
    _mm256_unpacklo_epi32, _mm256_unpacklo_epi64,
};

use super::Block;
use super::idct::{
    CONST_BITS, FIX_0_298631336, FIX_0_390180644, FIX_0_541196100, FIX_0_765366865, FIX_0_899976223, FIX_1_175875602,
    FIX_1_501321110, FIX_1_847759065, FIX_1_961570560, FIX_2_053119869, FIX_2_562915447, FIX_3_072711026, PASS1_BITS,
    Quant, SHIFT_1, SHIFT_2, block_scalar, dc_level,
};

/// Bytes of samples: rows 0 and 4, 1 and 5, 2 and 6, 3 and 7, of block A in the lower and B in the upper half.
type Rows = [__m256i; 4];

/// Eight vectors of 32-bit values: the lower four of eight lanes of each half, and the upper four.
type Wide = ([__m256i; 8], [__m256i; 8]);

/// See `idct::transform`.
#[target_feature(enable = "avx2")]
pub(super) fn transform(quant: &Quant, blocks: &mut [Block], last: &[u8], out: &mut [u8], stride: usize) {
    let (pairs, single) = blocks.as_chunks_mut::<2>();
    let (last_pairs, last_single) = last.as_chunks::<2>();
    for (index, ([a, b], last)) in pairs.iter_mut().zip(last_pairs).enumerate() {
        pair(quant, a, b, last[0].max(last[1]), &mut out[index * 16..], stride);
    }
    if let ([a], [last, ..]) = (single, last_single) {
        let mut tile = [0; 16 * 8];
        pair(quant, a, &mut Block::ZERO.clone(), *last, &mut tile, 16);
        for (row, out) in tile.as_chunks::<16>().0.iter().zip(out[pairs.len() * 16..].chunks_mut(stride)) {
            out[..8].copy_from_slice(&row[..8]);
        }
    }
}

/// Transforms and clears two blocks, side by side in `out`.
#[target_feature(enable = "avx2")]
fn pair(quant: &Quant, a: &mut Block, b: &mut Block, last: u8, out: &mut [u8], stride: usize) {
    if last == 0 {
        let level = |block: &Block| i64::from_ne_bytes([dc_level(block.0[0], quant.0[0]); 8]);
        store_rows(out, stride, [_mm_set_epi64x(level(b), level(a)); 8]);
        (a.0[0], b.0[0]) = (0, 0);
        return;
    }
    let first = row::<0>(quant, a, b);
    // Blocks with nothing below their first row take a shortcut, which gives something else for values of more than 14 bits.
    if !fits_shortcut(first) {
        block_scalar(quant, a, out, stride);
        block_scalar(quant, b, &mut out[8..], stride);
        (*a, *b) = (Block::ZERO, Block::ZERO);
    } else if last < 10 {
        store_pair(out, stride, pair_4x4(quant, first, a, b));
    } else {
        store_pair(out, stride, pair_8x8(quant, first, a, b));
    }
}

/// Row `Y` of two blocks, dequantised.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn row<const Y: usize>(quant: &Quant, a: &Block, b: &Block) -> __m256i {
    let quant = _mm256_broadcastsi128_si256(load_row::<Y>(&quant.0));
    _mm256_mullo_epi16(_mm256_set_m128i(load_row::<Y>(&b.0), load_row::<Y>(&a.0)), quant)
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_row<const Y: usize>(rows: &[i16; 64]) -> __m128i {
    const { assert!(Y < 8) };
    // SAFETY: 8 of 64 values from 8 * Y on, with Y < 8.
    unsafe { _mm_loadu_si128(rows.as_ptr().add(8 * Y).cast()) }
}

/// Whether a shift by `PASS1_BITS` keeps every value.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn fits_shortcut(row: __m256i) -> bool {
    let back = _mm256_srai_epi16::<PASS1_BITS>(_mm256_slli_epi16::<PASS1_BITS>(row));
    _mm256_movemask_epi8(_mm256_cmpeq_epi16(back, row)) == -1
}

/// `a` and `b` as neighbouring factors for `_mm256_madd_epi16`.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn factors(a: i32, b: i32) -> __m256i {
    _mm256_set1_epi32((b << 16) | (a & 0xFFFF))
}

/// Blocks of any coefficients.
#[inline]
#[target_feature(enable = "avx2")]
fn pair_8x8(quant: &Quant, first: __m256i, a: &mut Block, b: &mut Block) -> Rows {
    let input = [
        first,
        row::<1>(quant, a, b),
        row::<2>(quant, a, b),
        row::<3>(quant, a, b),
        row::<4>(quant, a, b),
        row::<5>(quant, a, b),
        row::<6>(quant, a, b),
        row::<7>(quant, a, b),
    ];
    (*a, *b) = (Block::ZERO, Block::ZERO);
    let rows = descale_1(pass_8::<SHIFT_1>(input));
    to_rows(descale_2(pass_8::<SHIFT_2>(transpose(rows))))
}

/// The one-dimensional transform of eight vectors, with the rounding of a shift by `SHIFT`.
#[inline]
#[target_feature(enable = "avx2")]
fn pass_8<const SHIFT: i32>(input: [__m256i; 8]) -> Wide {
    let [i0, i1, i2, i3, i4, i5, i6, i7] = input;
    let (sum, difference) = (_mm256_add_epi16(i0, i4), _mm256_sub_epi16(i0, i4));
    let (z3, z4) = (_mm256_add_epi16(i7, i3), _mm256_add_epi16(i5, i1));
    // 64 is a value beside each sum, multiplied by the rounding's 64th part.
    let sixty_four = _mm256_set1_epi16(64);
    let low = half_8::<SHIFT>(
        _mm256_unpacklo_epi16(sum, sixty_four),
        _mm256_unpacklo_epi16(difference, sixty_four),
        _mm256_unpacklo_epi16(i2, i6),
        _mm256_unpacklo_epi16(z3, z4),
        _mm256_unpacklo_epi16(i7, i1),
        _mm256_unpacklo_epi16(i5, i3),
    );
    let high = half_8::<SHIFT>(
        _mm256_unpackhi_epi16(sum, sixty_four),
        _mm256_unpackhi_epi16(difference, sixty_four),
        _mm256_unpackhi_epi16(i2, i6),
        _mm256_unpackhi_epi16(z3, z4),
        _mm256_unpackhi_epi16(i7, i1),
        _mm256_unpackhi_epi16(i5, i3),
    );
    (low, high)
}

/// Half of the vectors' lanes, interleaved as the products need them, to 32 bits.
#[inline]
#[target_feature(enable = "avx2")]
fn half_8<const SHIFT: i32>(
    sum: __m256i,
    difference: __m256i,
    i26: __m256i,
    z34: __m256i,
    i71: __m256i,
    i53: __m256i,
) -> [__m256i; 8] {
    let wide = factors(1 << CONST_BITS, 1 << (SHIFT - 1 - 6));
    let (t0, t1) = (_mm256_madd_epi16(sum, wide), _mm256_madd_epi16(difference, wide));
    let t3 = _mm256_madd_epi16(i26, factors(FIX_0_541196100 + FIX_0_765366865, FIX_0_541196100));
    let t2 = _mm256_madd_epi16(i26, factors(FIX_0_541196100, FIX_0_541196100 - FIX_1_847759065));
    let even = [_mm256_add_epi32(t0, t3), _mm256_add_epi32(t1, t2), _mm256_sub_epi32(t1, t2), _mm256_sub_epi32(t0, t3)];

    let w3 = _mm256_madd_epi16(z34, factors(FIX_1_175875602 - FIX_1_961570560, FIX_1_175875602));
    let w4 = _mm256_madd_epi16(z34, factors(FIX_1_175875602, FIX_1_175875602 - FIX_0_390180644));
    let u0 = _mm256_madd_epi16(i71, factors(FIX_0_298631336 - FIX_0_899976223, -FIX_0_899976223));
    let u3 = _mm256_madd_epi16(i71, factors(-FIX_0_899976223, FIX_1_501321110 - FIX_0_899976223));
    let u1 = _mm256_madd_epi16(i53, factors(FIX_2_053119869 - FIX_2_562915447, -FIX_2_562915447));
    let u2 = _mm256_madd_epi16(i53, factors(-FIX_2_562915447, FIX_3_072711026 - FIX_2_562915447));
    let odd = [_mm256_add_epi32(u3, w4), _mm256_add_epi32(u2, w3), _mm256_add_epi32(u1, w4), _mm256_add_epi32(u0, w3)];
    butterfly(even, odd)
}

/// Sums and differences of the even part, which carries the rounding, and the odd part.
#[inline]
#[target_feature(enable = "avx2")]
fn butterfly(even: [__m256i; 4], odd: [__m256i; 4]) -> [__m256i; 8] {
    let [e0, e1, e2, e3] = even;
    let [o0, o1, o2, o3] = odd;
    [
        _mm256_add_epi32(e0, o0),
        _mm256_add_epi32(e1, o1),
        _mm256_add_epi32(e2, o2),
        _mm256_add_epi32(e3, o3),
        _mm256_sub_epi32(e3, o3),
        _mm256_sub_epi32(e2, o2),
        _mm256_sub_epi32(e1, o1),
        _mm256_sub_epi32(e0, o0),
    ]
}

/// Shifts and saturates what the first pass leaves.
#[inline]
#[target_feature(enable = "avx2")]
fn descale_1((low, high): Wide) -> [__m256i; 8] {
    let shift = |value| _mm256_srai_epi32::<SHIFT_1>(value);
    let pack = |i: usize| _mm256_packs_epi32(shift(low[i]), shift(high[i]));
    [pack(0), pack(1), pack(2), pack(3), pack(4), pack(5), pack(6), pack(7)]
}

/// Shifts what the second pass leaves, which fits 16 bits then; the lanes' order becomes 0, 4, 1, 5, 2, 6, 3, 7.
///
/// The upper halves of the values need no shuffling to get there, which is what the kernel has most of.
#[inline]
#[target_feature(enable = "avx2")]
fn descale_2((low, high): Wide) -> [__m256i; 8] {
    let upper = |i: usize| _mm256_blend_epi16::<0b1010_1010>(_mm256_srli_epi32::<16>(low[i]), high[i]);
    let shift = |i: usize| _mm256_srai_epi16::<{ SHIFT_2 - 16 }>(upper(i));
    [shift(0), shift(1), shift(2), shift(3), shift(4), shift(5), shift(6), shift(7)]
}

/// Rows to columns, in each half.
#[inline]
#[target_feature(enable = "avx2")]
fn transpose(rows: [__m256i; 8]) -> [__m256i; 8] {
    let [r0, r1, r2, r3, r4, r5, r6, r7] = rows;
    let (a0, a1) = (_mm256_unpacklo_epi16(r0, r1), _mm256_unpackhi_epi16(r0, r1));
    let (a2, a3) = (_mm256_unpacklo_epi16(r2, r3), _mm256_unpackhi_epi16(r2, r3));
    let (a4, a5) = (_mm256_unpacklo_epi16(r4, r5), _mm256_unpackhi_epi16(r4, r5));
    let (a6, a7) = (_mm256_unpacklo_epi16(r6, r7), _mm256_unpackhi_epi16(r6, r7));
    let (b0, b1) = (_mm256_unpacklo_epi32(a0, a2), _mm256_unpackhi_epi32(a0, a2));
    let (b2, b3) = (_mm256_unpacklo_epi32(a1, a3), _mm256_unpackhi_epi32(a1, a3));
    let (b4, b5) = (_mm256_unpacklo_epi32(a4, a6), _mm256_unpackhi_epi32(a4, a6));
    let (b6, b7) = (_mm256_unpacklo_epi32(a5, a7), _mm256_unpackhi_epi32(a5, a7));
    [
        _mm256_unpacklo_epi64(b0, b4),
        _mm256_unpackhi_epi64(b0, b4),
        _mm256_unpacklo_epi64(b1, b5),
        _mm256_unpackhi_epi64(b1, b5),
        _mm256_unpacklo_epi64(b2, b6),
        _mm256_unpackhi_epi64(b2, b6),
        _mm256_unpacklo_epi64(b3, b7),
        _mm256_unpackhi_epi64(b3, b7),
    ]
}

/// Columns of 16-bit values, in the order of `descale_2`, to rows of samples.
#[inline]
#[target_feature(enable = "avx2")]
fn to_rows(columns: [__m256i; 8]) -> Rows {
    let [c0, c1, c2, c3, c4, c5, c6, c7] = columns;
    let (p04, p15) = (_mm256_packs_epi16(c0, c4), _mm256_packs_epi16(c1, c5));
    let (p26, p37) = (_mm256_packs_epi16(c2, c6), _mm256_packs_epi16(c3, c7));
    let (p01, p45) = (_mm256_unpacklo_epi8(p04, p15), _mm256_unpackhi_epi8(p04, p15));
    let (p23, p67) = (_mm256_unpacklo_epi8(p26, p37), _mm256_unpackhi_epi8(p26, p37));
    let (low03, low47) = (_mm256_unpacklo_epi16(p01, p23), _mm256_unpackhi_epi16(p01, p23));
    let (high03, high47) = (_mm256_unpacklo_epi16(p45, p67), _mm256_unpackhi_epi16(p45, p67));
    let centre = _mm256_set1_epi8(-128);
    [
        _mm256_add_epi8(_mm256_unpacklo_epi32(low03, high03), centre),
        _mm256_add_epi8(_mm256_unpackhi_epi32(low03, high03), centre),
        _mm256_add_epi8(_mm256_unpacklo_epi32(low47, high47), centre),
        _mm256_add_epi8(_mm256_unpackhi_epi32(low47, high47), centre),
    ]
}

/// Blocks with nothing outside of their first four rows and columns.
#[inline]
#[target_feature(enable = "avx2")]
fn pair_4x4(quant: &Quant, first: __m256i, a: &mut Block, b: &mut Block) -> Rows {
    let (second, third, fourth) = (row::<1>(quant, a, b), row::<2>(quant, a, b), row::<3>(quant, a, b));
    a.0[..32].fill(0);
    b.0[..32].fill(0);
    // Columns 0, 2, 1, 3: those that the second pass multiplies together become neighbours.
    let even = _mm256_shuffle_epi32::<0b11_01_10_00>(_mm256_unpacklo_epi16(first, third));
    let odd = _mm256_shuffle_epi32::<0b11_01_10_00>(_mm256_unpacklo_epi16(second, fourth));
    let rows = half_4::<SHIFT_1>(even, odd);
    let shift = |y: usize| _mm256_srai_epi32::<SHIFT_1>(rows[y]);
    let (r01, r23) = (_mm256_packs_epi32(shift(0), shift(1)), _mm256_packs_epi32(shift(2), shift(3)));
    let (r45, r67) = (_mm256_packs_epi32(shift(4), shift(5)), _mm256_packs_epi32(shift(6), shift(7)));
    let low = half_4::<SHIFT_2>(even_pairs(r01, r23), odd_pairs(r01, r23));
    let high = half_4::<SHIFT_2>(even_pairs(r45, r67), odd_pairs(r45, r67));
    to_rows(descale_2((low, high)))
}

/// Pairs 0 and 2 of both vectors' halves.
#[inline]
#[target_feature(enable = "avx2")]
fn even_pairs(a: __m256i, b: __m256i) -> __m256i {
    _mm256_castps_si256(_mm256_shuffle_ps::<0b10_00_10_00>(_mm256_castsi256_ps(a), _mm256_castsi256_ps(b)))
}

/// Pairs 1 and 3 of both vectors' halves.
#[inline]
#[target_feature(enable = "avx2")]
fn odd_pairs(a: __m256i, b: __m256i) -> __m256i {
    _mm256_castps_si256(_mm256_shuffle_ps::<0b11_01_11_01>(_mm256_castsi256_ps(a), _mm256_castsi256_ps(b)))
}

/// The one-dimensional transform of inputs 0 and 2 (`even`) and 1 and 3 (`odd`), the others zero, to 32 bits.
///
/// Where only one of two summands is there, no sum of inputs wraps: the factors of an input can be added up beforehand.
#[inline]
#[target_feature(enable = "avx2")]
fn half_4<const SHIFT: i32>(even: __m256i, odd: __m256i) -> [__m256i; 8] {
    const ONE: i32 = 1 << CONST_BITS;
    const W3: i32 = FIX_1_175875602 - FIX_1_961570560;
    const W4: i32 = FIX_1_175875602 - FIX_0_390180644;
    let rounding = _mm256_set1_epi32(1 << (SHIFT - 1));
    let add = |a: i32| _mm256_add_epi32(_mm256_madd_epi16(even, factors(ONE, a)), rounding);
    let even = [
        add(FIX_0_541196100 + FIX_0_765366865),
        add(FIX_0_541196100),
        add(-FIX_0_541196100),
        add(-FIX_0_541196100 - FIX_0_765366865),
    ];
    let odd = [
        _mm256_madd_epi16(odd, factors(FIX_1_501321110 - FIX_0_899976223 + W4, FIX_1_175875602)),
        _mm256_madd_epi16(odd, factors(FIX_1_175875602, FIX_3_072711026 - FIX_2_562915447 + W3)),
        _mm256_madd_epi16(odd, factors(W4, FIX_1_175875602 - FIX_2_562915447)),
        _mm256_madd_epi16(odd, factors(FIX_1_175875602 - FIX_0_899976223, W3)),
    ];
    butterfly(even, odd)
}

/// Stores two neighbouring blocks.
#[inline]
#[target_feature(enable = "avx2")]
fn store_pair(out: &mut [u8], stride: usize, rows: Rows) {
    let side_by_side = |i: usize| _mm256_permute4x64_epi64::<0b11_01_10_00>(rows[i]);
    let upper = |i: usize| _mm256_castsi256_si128(side_by_side(i));
    let lower = |i: usize| _mm256_extracti128_si256::<1>(side_by_side(i));
    store_rows(out, stride, [upper(0), upper(1), upper(2), upper(3), lower(0), lower(1), lower(2), lower(3)]);
}

/// Stores eight rows of 16 samples.
#[inline]
#[target_feature(enable = "avx2")]
fn store_rows(out: &mut [u8], stride: usize, rows: [__m128i; 8]) {
    assert!(out.len() >= stride.saturating_mul(7).saturating_add(16));
    for (y, row) in rows.into_iter().enumerate() {
        // SAFETY: y <= 7, and 16 bytes from 7 * stride on are inside, as asserted.
        unsafe { _mm_storeu_si128(out.as_mut_ptr().add(y * stride).cast(), row) };
    }
}
