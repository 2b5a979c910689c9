//! The inverse DCT of four blocks at a time: each has one of the four 128-bit lanes of every vector.

use std::arch::x86_64::{
    __m256i, __m512i, _mm256_set_epi64x, _mm256_storeu_si256, _mm512_add_epi8, _mm512_add_epi16, _mm512_add_epi32,
    _mm512_castps_si512, _mm512_castsi512_ps, _mm512_castsi512_si256, _mm512_dpwssd_epi32, _mm512_extracti64x4_epi64,
    _mm512_loadu_si512, _mm512_madd_epi16, _mm512_mask_blend_epi16, _mm512_mask_cmpneq_epi16_mask, _mm512_mullo_epi16,
    _mm512_packs_epi16, _mm512_packs_epi32, _mm512_permutex2var_epi16, _mm512_permutex2var_epi32, _mm512_rol_epi32,
    _mm512_set1_epi8, _mm512_set1_epi32, _mm512_setr_epi32, _mm512_shuffle_i64x2, _mm512_shuffle_ps, _mm512_slli_epi16,
    _mm512_srai_epi16, _mm512_srai_epi32, _mm512_srli_epi32, _mm512_sub_epi16, _mm512_sub_epi32, _mm512_unpackhi_epi8,
    _mm512_unpackhi_epi16, _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi8, _mm512_unpacklo_epi16,
    _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
};

use super::Block;
use super::idct::{
    CONST_BITS, FIX_0_298631336, FIX_0_390180644, FIX_0_541196100, FIX_0_765366865, FIX_0_899976223, FIX_1_175875602,
    FIX_1_501321110, FIX_1_847759065, FIX_1_961570560, FIX_2_053119869, FIX_2_562915447, FIX_3_072711026, PASS1_BITS,
    Quant, SHIFT_1, SHIFT_2, dc_level,
};

/// Bytes of samples: rows 0 and 4, 1 and 5, 2 and 6, 3 and 7, each of the four blocks side by side.
type Rows = [__m512i; 4];

/// The inputs of a one-dimensional transform for four of eight lines, as neighbours: 0 and 4, 2 and 6, 7 and 1, 3 and 5.
type Pairs = [__m512i; 4];

/// The columns in the order in which the second pass has its inputs, and in two halves.
const LOW: [i16; 4] = [0, 4, 2, 6];
const HIGH: [i16; 4] = [7, 1, 3, 5];

/// From the rows of a block: rows 0 and 4, 2 and 6, each in two halves.
const EVEN_8: [i16; 32] = interleaved([([0, 4], LOW), ([0, 4], HIGH), ([2, 6], LOW), ([2, 6], HIGH)]);
/// From the rows of a block: rows 7 and 1, 3 and 5, each in two halves.
const ODD_8: [i16; 32] = interleaved([([7, 1], LOW), ([7, 1], HIGH), ([3, 5], LOW), ([3, 5], HIGH)]);

/// From the upper rows of two blocks: rows 0 and 2 of both, rows 1 and 3 of both.
///
/// The columns that the second pass multiplies together become neighbours.
const PAIRS_4: [i16; 32] = {
    const ORDER: [i16; 4] = [0, 2, 1, 3];
    interleaved([([0, 2], ORDER), ([4, 6], ORDER), ([1, 3], ORDER), ([5, 7], ORDER)])
};

/// See `idct::transform`.
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512vnni")]
pub(super) fn transform(quant: &Quant, blocks: &mut [Block], last: &[u8], out: &mut [u8], stride: usize) {
    let (fours, rest) = blocks.as_chunks_mut::<4>();
    let (last_fours, last_rest) = last.as_chunks::<4>();
    for (index, (blocks, last)) in fours.iter_mut().zip(last_fours).enumerate() {
        four(quant, blocks, *last, &mut out[index * 32..], stride);
    }
    if !rest.is_empty() {
        super::idct_avx2::transform(quant, rest, last_rest, &mut out[fours.len() * 32..], stride);
    }
}

/// Transforms and clears four blocks, side by side in `out`.
#[inline]
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512vnni")]
fn four(quant: &Quant, blocks: &mut [Block; 4], last: [u8; 4], out: &mut [u8], stride: usize) {
    let end = last[0].max(last[1]).max(last[2]).max(last[3]);
    let rows = if end == 0 {
        let level = |block: &Block| i64::from_ne_bytes([dc_level(block.0[0], quant.0[0]); 8]);
        let [a, b, c, d] = &*blocks;
        let row = _mm256_set_epi64x(level(d), level(c), level(b), level(a));
        for block in blocks {
            block.0[0] = 0;
        }
        return store_rows(out, stride, [row; 8]);
    } else if end < 10 {
        four_4x4(quant, blocks)
    } else {
        four_8x8(quant, blocks)
    };
    match rows {
        Some(rows) => {
            let upper = |i: usize| _mm512_castsi512_si256(rows[i]);
            let lower = |i: usize| _mm512_extracti64x4_epi64::<1>(rows[i]);
            store_rows(out, stride, [upper(0), upper(1), upper(2), upper(3), lower(0), lower(1), lower(2), lower(3)]);
        }
        None => super::idct_avx2::transform(quant, blocks, &last, out, stride),
    }
}

/// Rows 0 to 3 (`HALF` 0) or 4 to 7 (`HALF` 1) of a block, dequantised.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn half<const HALF: usize>(quant: &Quant, block: &Block) -> __m512i {
    _mm512_mullo_epi16(load_half::<HALF>(&block.0), load_half::<HALF>(&quant.0))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_half<const HALF: usize>(values: &[i16; 64]) -> __m512i {
    const { assert!(HALF < 2) };
    // SAFETY: 32 of 64 values from 32 * HALF on, with HALF < 2.
    unsafe { _mm512_loadu_si512(values.as_ptr().add(32 * HALF).cast()) }
}

/// Whether a shift by `PASS1_BITS` keeps each 16-bit value at an even place.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn fits_shortcut(values: __m512i) -> bool {
    let back = _mm512_srai_epi16::<{ PASS1_BITS as u32 }>(_mm512_slli_epi16::<{ PASS1_BITS as u32 }>(values));
    _mm512_mask_cmpneq_epi16_mask(0x5555_5555, back, values) == 0
}

/// `a` and `b` as neighbouring factors for `_mm512_madd_epi16`.
#[inline]
#[target_feature(enable = "avx512f")]
fn factors(a: i32, b: i32) -> __m512i {
    _mm512_set1_epi32((b << 16) | (a & 0xFFFF))
}

/// Indices of 16-bit values as a vector.
#[inline]
#[target_feature(enable = "avx512f")]
fn indices(of: &[i16; 32]) -> __m512i {
    // SAFETY: 32 values are 64 bytes.
    unsafe { _mm512_loadu_si512(of.as_ptr().cast()) }
}

/// For each lane, indices of four columns of two rows, the two values of a column as neighbours.
const fn interleaved(lanes: [([i16; 2], [i16; 4]); 4]) -> [i16; 32] {
    let mut indices = [0; 32];
    let mut i = 0;
    while i < 16 {
        let (rows, columns) = lanes[i / 4];
        indices[2 * i] = rows[0] * 8 + columns[i % 4];
        indices[2 * i + 1] = rows[1] * 8 + columns[i % 4];
        i += 1;
    }
    indices
}

/// Blocks of any coefficients; `None`, and the blocks as they were, if the shortcut would give something else.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn four_8x8(quant: &Quant, blocks: &mut [Block; 4]) -> Option<Rows> {
    let (even, odd) = (indices(&EVEN_8), indices(&ODD_8));
    let halves = |i: usize| (half::<0>(quant, &blocks[i]), half::<1>(quant, &blocks[i]));
    let [a, b, c, d] = [halves(0), halves(1), halves(2), halves(3)];
    let pick = |from: (__m512i, __m512i), which| _mm512_permutex2var_epi16(from.0, which, from.1);
    let [low_04, high_04, low_26, high_26] =
        transpose_lanes([pick(a, even), pick(b, even), pick(c, even), pick(d, even)]);
    if !fits_shortcut(low_04) || !fits_shortcut(high_04) {
        return None;
    }
    let [low_71, high_71, low_35, high_35] = transpose_lanes([pick(a, odd), pick(b, odd), pick(c, odd), pick(d, odd)]);
    *blocks = [Block::ZERO; 4];
    let low = pass_8::<SHIFT_1>([low_04, low_26, low_71, low_35]);
    let high = pass_8::<SHIFT_1>([high_04, high_26, high_71, high_35]);
    let shift = |value| _mm512_srai_epi32::<{ SHIFT_1 as u32 }>(value);
    let pack = |i: usize| _mm512_packs_epi32(shift(low[i]), shift(high[i]));
    let low = pass_8::<SHIFT_2>(transpose([pack(0), pack(1), pack(2), pack(3)]));
    let high = pass_8::<SHIFT_2>(transpose([pack(4), pack(5), pack(6), pack(7)]));
    Some(to_rows(&descale_2(&low, &high)))
}

/// Lane i of vector j to lane j of vector i.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose_lanes(vectors: [__m512i; 4]) -> [__m512i; 4] {
    let [a, b, c, d] = vectors;
    let (ab01, ab23) = (lower_lanes(a, b), upper_lanes(a, b));
    let (cd01, cd23) = (lower_lanes(c, d), upper_lanes(c, d));
    let even = |ab, cd| _mm512_shuffle_i64x2::<0b10_00_10_00>(ab, cd);
    let odd = |ab, cd| _mm512_shuffle_i64x2::<0b11_01_11_01>(ab, cd);
    [even(ab01, cd01), odd(ab01, cd01), even(ab23, cd23), odd(ab23, cd23)]
}

#[inline]
#[target_feature(enable = "avx512f")]
fn lower_lanes(a: __m512i, b: __m512i) -> __m512i {
    _mm512_shuffle_i64x2::<0b01_00_01_00>(a, b)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn upper_lanes(a: __m512i, b: __m512i) -> __m512i {
    _mm512_shuffle_i64x2::<0b11_10_11_10>(a, b)
}

/// In each lane, four rows of four pairs to one vector for each pair.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose(rows: [__m512i; 4]) -> Pairs {
    let [r0, r1, r2, r3] = rows;
    let (a0, a1) = (_mm512_unpacklo_epi32(r0, r1), _mm512_unpackhi_epi32(r0, r1));
    let (a2, a3) = (_mm512_unpacklo_epi32(r2, r3), _mm512_unpackhi_epi32(r2, r3));
    [
        _mm512_unpacklo_epi64(a0, a2),
        _mm512_unpackhi_epi64(a0, a2),
        _mm512_unpacklo_epi64(a1, a3),
        _mm512_unpackhi_epi64(a1, a3),
    ]
}

/// The one-dimensional transform, to 32 bits, with the rounding of a shift by `SHIFT`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn pass_8<const SHIFT: i32>(input: Pairs) -> [__m512i; 8] {
    let [i04, i26, i71, i35] = input;
    let rounding = _mm512_set1_epi32(1 << (SHIFT - 1));
    let i40 = _mm512_rol_epi32::<16>(i04);
    // Of the sums and differences of 16 bits, the lower one of each two.
    let wide = |value| _mm512_dpwssd_epi32(rounding, value, factors(1 << CONST_BITS, 0));
    let (t0, t1) = (wide(_mm512_add_epi16(i04, i40)), wide(_mm512_sub_epi16(i04, i40)));
    let t3 = _mm512_madd_epi16(i26, factors(FIX_0_541196100 + FIX_0_765366865, FIX_0_541196100));
    let t2 = _mm512_madd_epi16(i26, factors(FIX_0_541196100, FIX_0_541196100 - FIX_1_847759065));
    let even = [_mm512_add_epi32(t0, t3), _mm512_add_epi32(t1, t2), _mm512_sub_epi32(t1, t2), _mm512_sub_epi32(t0, t3)];

    let z34 = _mm512_add_epi16(i71, i35);
    let w3 = _mm512_madd_epi16(z34, factors(FIX_1_175875602 - FIX_1_961570560, FIX_1_175875602));
    let w4 = _mm512_madd_epi16(z34, factors(FIX_1_175875602, FIX_1_175875602 - FIX_0_390180644));
    let odd = [
        _mm512_dpwssd_epi32(w4, i71, factors(-FIX_0_899976223, FIX_1_501321110 - FIX_0_899976223)),
        _mm512_dpwssd_epi32(w3, i35, factors(FIX_3_072711026 - FIX_2_562915447, -FIX_2_562915447)),
        _mm512_dpwssd_epi32(w4, i35, factors(-FIX_2_562915447, FIX_2_053119869 - FIX_2_562915447)),
        _mm512_dpwssd_epi32(w3, i71, factors(FIX_0_298631336 - FIX_0_899976223, -FIX_0_899976223)),
    ];
    butterfly(even, odd)
}

/// Sums and differences of the even part, which carries the rounding, and the odd part.
#[inline]
#[target_feature(enable = "avx512f")]
fn butterfly(even: [__m512i; 4], odd: [__m512i; 4]) -> [__m512i; 8] {
    let [e0, e1, e2, e3] = even;
    let [o0, o1, o2, o3] = odd;
    [
        _mm512_add_epi32(e0, o0),
        _mm512_add_epi32(e1, o1),
        _mm512_add_epi32(e2, o2),
        _mm512_add_epi32(e3, o3),
        _mm512_sub_epi32(e3, o3),
        _mm512_sub_epi32(e2, o2),
        _mm512_sub_epi32(e1, o1),
        _mm512_sub_epi32(e0, o0),
    ]
}

/// Shifts what the second pass leaves, which fits 16 bits then; the order in a lane becomes 0, 4, 1, 5, 2, 6, 3, 7.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn descale_2(low: &[__m512i; 8], high: &[__m512i; 8]) -> [__m512i; 8] {
    let upper = |i: usize| _mm512_mask_blend_epi16(0xAAAA_AAAA, _mm512_srli_epi32::<16>(low[i]), high[i]);
    let shift = |i: usize| _mm512_srai_epi16::<{ SHIFT_2 as u32 - 16 }>(upper(i));
    [shift(0), shift(1), shift(2), shift(3), shift(4), shift(5), shift(6), shift(7)]
}

/// Columns of 16-bit values, in the order of `descale_2`, to rows of samples.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn to_rows(columns: &[__m512i; 8]) -> Rows {
    let [c0, c1, c2, c3, c4, c5, c6, c7] = *columns;
    let (p04, p15) = (_mm512_packs_epi16(c0, c4), _mm512_packs_epi16(c1, c5));
    let (p26, p37) = (_mm512_packs_epi16(c2, c6), _mm512_packs_epi16(c3, c7));
    let (p01, p45) = (_mm512_unpacklo_epi8(p04, p15), _mm512_unpackhi_epi8(p04, p15));
    let (p23, p67) = (_mm512_unpacklo_epi8(p26, p37), _mm512_unpackhi_epi8(p26, p37));
    let (low03, low47) = (_mm512_unpacklo_epi16(p01, p23), _mm512_unpackhi_epi16(p01, p23));
    let (high03, high47) = (_mm512_unpacklo_epi16(p45, p67), _mm512_unpackhi_epi16(p45, p67));
    // Four columns of rows 0, 4, 1, 5 (2, 6, 3, 7) are in a lane of each.
    let first = _mm512_setr_epi32(0, 16, 4, 20, 8, 24, 12, 28, 1, 17, 5, 21, 9, 25, 13, 29);
    let second = _mm512_setr_epi32(2, 18, 6, 22, 10, 26, 14, 30, 3, 19, 7, 23, 11, 27, 15, 31);
    let centre = _mm512_set1_epi8(-128);
    let rows = |low, which, high| _mm512_add_epi8(_mm512_permutex2var_epi32(low, which, high), centre);
    [rows(low03, first, high03), rows(low03, second, high03), rows(low47, first, high47), rows(low47, second, high47)]
}

/// Blocks with nothing outside of their first four rows and columns; `None` as of `four_8x8`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn four_4x4(quant: &Quant, blocks: &mut [Block; 4]) -> Option<Rows> {
    let half = |i: usize| half::<0>(quant, &blocks[i]);
    let ab = _mm512_permutex2var_epi16(half(0), indices(&PAIRS_4), half(1));
    let cd = _mm512_permutex2var_epi16(half(2), indices(&PAIRS_4), half(3));
    let (even, odd) = (lower_lanes(ab, cd), upper_lanes(ab, cd));
    if !fits_shortcut(even) {
        return None;
    }
    for block in blocks {
        block.0[..32].fill(0);
    }
    let rows = half_4::<SHIFT_1>(even, odd);
    let shift = |y: usize| _mm512_srai_epi32::<{ SHIFT_1 as u32 }>(rows[y]);
    let (r01, r23) = (_mm512_packs_epi32(shift(0), shift(1)), _mm512_packs_epi32(shift(2), shift(3)));
    let (r45, r67) = (_mm512_packs_epi32(shift(4), shift(5)), _mm512_packs_epi32(shift(6), shift(7)));
    let low = half_4::<SHIFT_2>(even_pairs(r01, r23), odd_pairs(r01, r23));
    let high = half_4::<SHIFT_2>(even_pairs(r45, r67), odd_pairs(r45, r67));
    Some(to_rows(&descale_2(&low, &high)))
}

/// Pairs 0 and 2 of both vectors' lanes.
#[inline]
#[target_feature(enable = "avx512f")]
fn even_pairs(a: __m512i, b: __m512i) -> __m512i {
    _mm512_castps_si512(_mm512_shuffle_ps::<0b10_00_10_00>(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b)))
}

/// Pairs 1 and 3 of both vectors' lanes.
#[inline]
#[target_feature(enable = "avx512f")]
fn odd_pairs(a: __m512i, b: __m512i) -> __m512i {
    _mm512_castps_si512(_mm512_shuffle_ps::<0b11_01_11_01>(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b)))
}

/// The one-dimensional transform of inputs 0 and 2 (`even`) and 1 and 3 (`odd`), the others zero; see `idct_avx2`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn half_4<const SHIFT: i32>(even: __m512i, odd: __m512i) -> [__m512i; 8] {
    const ONE: i32 = 1 << CONST_BITS;
    const W3: i32 = FIX_1_175875602 - FIX_1_961570560;
    const W4: i32 = FIX_1_175875602 - FIX_0_390180644;
    let rounding = _mm512_set1_epi32(1 << (SHIFT - 1));
    let add = |a: i32| _mm512_dpwssd_epi32(rounding, even, factors(ONE, a));
    let even = [
        add(FIX_0_541196100 + FIX_0_765366865),
        add(FIX_0_541196100),
        add(-FIX_0_541196100),
        add(-FIX_0_541196100 - FIX_0_765366865),
    ];
    let odd = [
        _mm512_madd_epi16(odd, factors(FIX_1_501321110 - FIX_0_899976223 + W4, FIX_1_175875602)),
        _mm512_madd_epi16(odd, factors(FIX_1_175875602, FIX_3_072711026 - FIX_2_562915447 + W3)),
        _mm512_madd_epi16(odd, factors(W4, FIX_1_175875602 - FIX_2_562915447)),
        _mm512_madd_epi16(odd, factors(FIX_1_175875602 - FIX_0_899976223, W3)),
    ];
    butterfly(even, odd)
}

/// Stores eight rows of 32 samples.
#[inline]
#[target_feature(enable = "avx2")]
fn store_rows(out: &mut [u8], stride: usize, rows: [__m256i; 8]) {
    assert!(out.len() >= stride.saturating_mul(7).saturating_add(32));
    for (y, row) in rows.into_iter().enumerate() {
        // SAFETY: y <= 7, and 32 bytes from 7 * stride on are inside, as asserted.
        unsafe { _mm256_storeu_si256(out.as_mut_ptr().add(y * stride).cast(), row) };
    }
}
