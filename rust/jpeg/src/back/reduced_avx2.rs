//! The reduced inverse DCTs of two blocks at a time: block A in the lower, block B in the upper half of each vector.

use std::arch::x86_64::{
    __m256i, _mm_cvtsi128_si32, _mm_cvtsi128_si64, _mm_extract_epi64, _mm_setr_epi8, _mm_setr_epi16,
    _mm_unpackhi_epi32, _mm_unpacklo_epi32, _mm256_add_epi8, _mm256_add_epi32, _mm256_broadcastsi128_si256,
    _mm256_castsi256_si128, _mm256_extracti128_si256, _mm256_hadd_epi32, _mm256_madd_epi16, _mm256_packs_epi16,
    _mm256_packs_epi32, _mm256_set1_epi8, _mm256_set1_epi16, _mm256_set1_epi32, _mm256_setzero_si256,
    _mm256_shuffle_epi8, _mm256_slli_epi32, _mm256_srai_epi32, _mm256_sub_epi32, _mm256_unpackhi_epi16,
    _mm256_unpackhi_epi32, _mm256_unpackhi_epi64, _mm256_unpacklo_epi16, _mm256_unpacklo_epi32, _mm256_unpacklo_epi64,
};

use super::Block;
use super::idct::{CONST_BITS, PASS1_BITS, Quant, dc_level};
use super::idct_avx2::{factors, fits_shortcut, row};
use super::reduced::{
    FIX_0_211164243, FIX_0_509795579, FIX_0_601344887, FIX_0_720959822, FIX_0_765366865, FIX_0_850430095,
    FIX_0_899976223, FIX_1_061594337, FIX_1_272758580, FIX_1_451774981, FIX_1_847759065, FIX_2_172734803,
    FIX_2_562915447, FIX_3_624509785, block_4x4, store,
};

/// See `reduced::transform`, for two blocks to 4x4 samples each.
#[target_feature(enable = "avx2")]
pub(super) fn pair_4x4(quant: &Quant, blocks: &mut [Block; 2], last: u8, out: &mut [u8], stride: usize) {
    const SHIFT_1: i32 = CONST_BITS - PASS1_BITS + 1;
    const SHIFT_2: i32 = CONST_BITS + PASS1_BITS + 3 + 1;
    let [a, b] = &*blocks;
    if last == 0 {
        let (a, b) = (dc_level(a.0[0], quant.0[0]), dc_level(b.0[0], quant.0[0]));
        store(out, stride, [[a, a, a, a, b, b, b, b]; 4]);
        blocks[0].0[0] = 0;
        blocks[1].0[0] = 0;
        return;
    }
    let (i0, i1, i2, i3) = (row::<0>(quant, a, b), row::<1>(quant, a, b), row::<2>(quant, a, b), row::<3>(quant, a, b));
    let (i5, i6, i7) = (row::<5>(quant, a, b), row::<6>(quant, a, b), row::<7>(quant, a, b));
    // The shortcut gives something else for values of more than 14 bits.
    if !fits_shortcut(i0) {
        store(out, stride, block_4x4(quant, a));
        store(&mut out[4..], stride, block_4x4(quant, b));
        *blocks = [Block::ZERO; 2];
        return;
    }
    *blocks = [Block::ZERO; 2];
    let sixty_four = _mm256_set1_epi16(64);
    let low = half_4::<SHIFT_1>(
        _mm256_madd_epi16(_mm256_unpacklo_epi16(i0, sixty_four), factors(2 << CONST_BITS, 1 << (SHIFT_1 - 1 - 6))),
        _mm256_unpacklo_epi16(i2, i6),
        _mm256_unpacklo_epi16(i1, i3),
        _mm256_unpacklo_epi16(i5, i7),
    );
    let high = half_4::<SHIFT_1>(
        _mm256_madd_epi16(_mm256_unpackhi_epi16(i0, sixty_four), factors(2 << CONST_BITS, 1 << (SHIFT_1 - 1 - 6))),
        _mm256_unpackhi_epi16(i2, i6),
        _mm256_unpackhi_epi16(i1, i3),
        _mm256_unpackhi_epi16(i5, i7),
    );
    let (r0, r1) = (columns_paired(low[0], high[0]), columns_paired(low[1], high[1]));
    let (r2, r3) = (columns_paired(low[2], high[2]), columns_paired(low[3], high[3]));
    let (c04_26_low, c13_57_low) = (_mm256_unpacklo_epi32(r0, r1), _mm256_unpackhi_epi32(r0, r1));
    let (c04_26_high, c13_57_high) = (_mm256_unpacklo_epi32(r2, r3), _mm256_unpackhi_epi32(r2, r3));
    let c04 = _mm256_unpacklo_epi64(c04_26_low, c04_26_high);
    let wide = _mm256_madd_epi16(c04, factors(2 << CONST_BITS, 0));
    let [c0, c1, c2, c3] = half_4::<SHIFT_2>(
        _mm256_add_epi32(wide, _mm256_set1_epi32(1 << (SHIFT_2 - 1))),
        _mm256_unpackhi_epi64(c04_26_low, c04_26_high),
        _mm256_unpacklo_epi64(c13_57_low, c13_57_high),
        _mm256_unpackhi_epi64(c13_57_low, c13_57_high),
    );
    let (c02, c13) = (_mm256_packs_epi32(c0, c2), _mm256_packs_epi32(c1, c3));
    let (c01, c23) = (_mm256_unpacklo_epi16(c02, c13), _mm256_unpackhi_epi16(c02, c13));
    let rows = _mm256_packs_epi16(_mm256_unpacklo_epi32(c01, c23), _mm256_unpackhi_epi32(c01, c23));
    let rows = _mm256_add_epi8(rows, _mm256_set1_epi8(-128));
    let (a, b) = (_mm256_castsi256_si128(rows), _mm256_extracti128_si256::<1>(rows));
    let (r01, r23) = (_mm_unpacklo_epi32(a, b), _mm_unpackhi_epi32(a, b));
    let rows =
        [_mm_cvtsi128_si64(r01), _mm_extract_epi64::<1>(r01), _mm_cvtsi128_si64(r23), _mm_extract_epi64::<1>(r23)];
    store(out, stride, rows.map(i64::to_ne_bytes));
}

/// The one-dimensional transform to four values, of inputs interleaved as the products need them; `wide` carries the rounding.
#[inline]
#[target_feature(enable = "avx2")]
fn half_4<const SHIFT: i32>(wide: __m256i, i26: __m256i, i13: __m256i, i57: __m256i) -> [__m256i; 4] {
    let t2 = _mm256_madd_epi16(i26, factors(FIX_1_847759065, -FIX_0_765366865));
    let (e0, e1) = (_mm256_add_epi32(wide, t2), _mm256_sub_epi32(wide, t2));
    let o0 = _mm256_add_epi32(
        _mm256_madd_epi16(i13, factors(FIX_2_562915447, FIX_0_899976223)),
        _mm256_madd_epi16(i57, factors(-FIX_0_601344887, -FIX_0_509795579)),
    );
    let o1 = _mm256_add_epi32(
        _mm256_madd_epi16(i13, factors(FIX_1_061594337, -FIX_2_172734803)),
        _mm256_madd_epi16(i57, factors(FIX_1_451774981, -FIX_0_211164243)),
    );
    [
        _mm256_srai_epi32::<SHIFT>(_mm256_add_epi32(e0, o0)),
        _mm256_srai_epi32::<SHIFT>(_mm256_add_epi32(e1, o1)),
        _mm256_srai_epi32::<SHIFT>(_mm256_sub_epi32(e1, o1)),
        _mm256_srai_epi32::<SHIFT>(_mm256_sub_epi32(e0, o0)),
    ]
}

/// A row of eight values to 16 bits, in the order 0, 4, 2, 6, 1, 3, 5, 7.
#[inline]
#[target_feature(enable = "avx2")]
fn columns_paired(low: __m256i, high: __m256i) -> __m256i {
    let order = _mm_setr_epi8(0, 1, 8, 9, 4, 5, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
    _mm256_shuffle_epi8(_mm256_packs_epi32(low, high), _mm256_broadcastsi128_si256(order))
}

/// See `reduced::transform`, for two blocks to 2x2 samples each.
#[target_feature(enable = "avx2")]
pub(super) fn pair_2x2(quant: &Quant, blocks: &mut [Block; 2], out: &mut [u8], stride: usize) {
    const SHIFT_1: i32 = CONST_BITS - PASS1_BITS + 2;
    const SHIFT_2: i32 = CONST_BITS + PASS1_BITS + 3 + 2;
    let [a, b] = &*blocks;
    let (i0, i1, i3) = (row::<0>(quant, a, b), row::<1>(quant, a, b), row::<3>(quant, a, b));
    let (i5, i7) = (row::<5>(quant, a, b), row::<7>(quant, a, b));
    *blocks = [Block::ZERO; 2];
    let zero = _mm256_setzero_si256();
    let low = half_2::<SHIFT_1>(
        _mm256_unpacklo_epi16(zero, i0),
        _mm256_unpacklo_epi16(i1, i3),
        _mm256_unpacklo_epi16(i5, i7),
    );
    let high = half_2::<SHIFT_1>(
        _mm256_unpackhi_epi16(zero, i0),
        _mm256_unpackhi_epi16(i1, i3),
        _mm256_unpackhi_epi16(i5, i7),
    );
    let weights = _mm256_broadcastsi128_si256(_mm_setr_epi16(
        0,
        FIX_3_624509785 as i16,
        0,
        -FIX_1_272758580 as i16,
        0,
        FIX_0_850430095 as i16,
        0,
        -FIX_0_720959822 as i16,
    ));
    let upper = _mm256_madd_epi16(_mm256_packs_epi32(low[0], high[0]), weights);
    let lower = _mm256_madd_epi16(_mm256_packs_epi32(low[1], high[1]), weights);
    let odd = _mm256_hadd_epi32(upper, lower);
    let odd = _mm256_hadd_epi32(odd, odd);
    let wide = _mm256_slli_epi32::<{ CONST_BITS + 2 }>(_mm256_unpacklo_epi32(low[0], low[1]));
    let wide = _mm256_add_epi32(wide, _mm256_set1_epi32(1 << (SHIFT_2 - 1)));
    let columns = _mm256_unpacklo_epi32(_mm256_add_epi32(wide, odd), _mm256_sub_epi32(wide, odd));
    let rows = _mm256_packs_epi32(_mm256_srai_epi32::<SHIFT_2>(columns), zero);
    let rows = _mm256_add_epi8(_mm256_packs_epi16(rows, zero), _mm256_set1_epi8(-128));
    let a = _mm_cvtsi128_si32(_mm256_castsi256_si128(rows)).to_ne_bytes();
    let b = _mm_cvtsi128_si32(_mm256_extracti128_si256::<1>(rows)).to_ne_bytes();
    store(out, stride, [[a[0], a[1], b[0], b[1]], [a[2], a[3], b[2], b[3]]]);
}

/// The one-dimensional transform to two values; `first` is the first input in the upper 16 bits.
#[inline]
#[target_feature(enable = "avx2")]
fn half_2<const SHIFT: i32>(first: __m256i, i13: __m256i, i57: __m256i) -> [__m256i; 2] {
    let wide = _mm256_srai_epi32::<{ 16 - CONST_BITS - 2 }>(first);
    let wide = _mm256_add_epi32(wide, _mm256_set1_epi32(1 << (SHIFT - 1)));
    let odd = _mm256_add_epi32(
        _mm256_madd_epi16(i13, factors(FIX_3_624509785, -FIX_1_272758580)),
        _mm256_madd_epi16(i57, factors(FIX_0_850430095, -FIX_0_720959822)),
    );
    [_mm256_srai_epi32::<SHIFT>(_mm256_add_epi32(wide, odd)), _mm256_srai_epi32::<SHIFT>(_mm256_sub_epi32(wide, odd))]
}
