//! Colour conversion and interleaving, 32 pixels at a time.

use std::arch::x86_64::{
    __m128i, __m256i, _mm_setr_epi8, _mm256_add_epi16, _mm256_add_epi32, _mm256_blendv_epi8,
    _mm256_broadcastsi128_si256, _mm256_loadu_si256, _mm256_madd_epi16, _mm256_mulhrs_epi16, _mm256_packs_epi32,
    _mm256_packus_epi16, _mm256_permute2x128_si256, _mm256_set1_epi8, _mm256_set1_epi16, _mm256_set1_epi32,
    _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_srai_epi32, _mm256_storeu_si256, _mm256_sub_epi16,
    _mm256_unpackhi_epi8, _mm256_unpackhi_epi16, _mm256_unpacklo_epi8, _mm256_unpacklo_epi16, _mm256_xor_si256,
};

use super::color::STEP;
use super::plan::Conversion;

/// See `color::convert`; fills `out`, a multiple of `STEP` pixels, as far as there are samples.
#[target_feature(enable = "avx2")]
pub(super) fn convert(conversion: Conversion, planes: [&[u8]; 4], out: &mut [u8]) {
    let [p0, p1, p2, p3] = planes;
    let opaque = _mm256_set1_epi8(-1);
    match conversion {
        Conversion::GreyToGrey | Conversion::GreyToRgb => three([p0, p0, p0], out, |grey| grey),
        Conversion::GreyToRgba => four([p0, p0, p0, p0], out, |[grey, ..]| [grey, grey, grey, opaque]),
        Conversion::RgbToRgb => three([p0, p1, p2], out, |rgb| rgb),
        Conversion::RgbToRgba => four([p0, p1, p2, p0], out, |[r, g, b, _]| [r, g, b, opaque]),
        Conversion::YccToRgb => three([p0, p1, p2], out, |[y, cb, cr]| rgb(y, cb, cr)),
        Conversion::YccToRgba => four([p0, p1, p2, p0], out, |[y, cb, cr, _]| {
            let [r, g, b] = rgb(y, cb, cr);
            [r, g, b, opaque]
        }),
        Conversion::CmykToCmyk => four([p0, p1, p2, p3], out, |cmyk| cmyk),
        Conversion::YcckToCmyk => four([p0, p1, p2, p3], out, |[y, cb, cr, k]| {
            let [r, g, b] = rgb(y, cb, cr);
            [_mm256_xor_si256(r, opaque), _mm256_xor_si256(g, opaque), _mm256_xor_si256(b, opaque), k]
        }),
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn three(planes: [&[u8]; 3], out: &mut [u8], pixels: impl Fn([__m256i; 3]) -> [__m256i; 3]) {
    let [p0, p1, p2] = planes;
    let samples = steps(p0).iter().zip(steps(p1)).zip(steps(p2));
    for (((a, b), c), out) in samples.zip(out.as_chunks_mut::<{ STEP * 3 }>().0) {
        store(out, interleave_3(pixels([load(a), load(b), load(c)])));
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn four(planes: [&[u8]; 4], out: &mut [u8], pixels: impl Fn([__m256i; 4]) -> [__m256i; 4]) {
    let [p0, p1, p2, p3] = planes;
    let samples = steps(p0).iter().zip(steps(p1)).zip(steps(p2)).zip(steps(p3));
    for ((((a, b), c), d), out) in samples.zip(out.as_chunks_mut::<{ STEP * 4 }>().0) {
        store(out, interleave_4(pixels([load(a), load(b), load(c), load(d)])));
    }
}

fn steps(plane: &[u8]) -> &[[u8; STEP]] {
    plane.as_chunks().0
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(samples: &[u8; STEP]) -> __m256i {
    // SAFETY: 32 bytes of 32.
    unsafe { _mm256_loadu_si256(samples.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store<const BYTES: usize, const N: usize>(out: &mut [u8; BYTES], vectors: [__m256i; N]) {
    const { assert!(BYTES == 32 * N) };
    for (index, vector) in vectors.into_iter().enumerate() {
        // SAFETY: the index is below N, and there are 32 bytes for each.
        unsafe { _mm256_storeu_si256(out.as_mut_ptr().add(32 * index).cast(), vector) };
    }
}

/// `color::rgb` of 32 pixels.
#[inline]
#[target_feature(enable = "avx2")]
fn rgb(y: __m256i, cb: __m256i, cr: __m256i) -> [__m256i; 3] {
    let zero = _mm256_setzero_si256();
    let low = words(_mm256_unpacklo_epi8(y, zero), _mm256_unpacklo_epi8(cb, zero), _mm256_unpacklo_epi8(cr, zero));
    let high = words(_mm256_unpackhi_epi8(y, zero), _mm256_unpackhi_epi8(cb, zero), _mm256_unpackhi_epi8(cr, zero));
    [_mm256_packus_epi16(low[0], high[0]), _mm256_packus_epi16(low[1], high[1]), _mm256_packus_epi16(low[2], high[2])]
}

/// RGB of 16 pixels, before saturation.
///
/// The factors are taken apart into whole numbers and fractions that fit 15 bits; rounding to 15 bits gives the same as to 16
/// for all 256 values.
#[inline]
#[target_feature(enable = "avx2")]
fn words(y: __m256i, cb: __m256i, cr: __m256i) -> [__m256i; 3] {
    let centre = _mm256_set1_epi16(128);
    let (cb, cr) = (_mm256_sub_epi16(cb, centre), _mm256_sub_epi16(cr, centre));
    // 1.402 = 1 + 13173 / 2^15, 1.772 = 2 - 7471 / 2^15
    let r = _mm256_add_epi16(cr, _mm256_mulhrs_epi16(cr, _mm256_set1_epi16(13173)));
    let b = _mm256_add_epi16(_mm256_add_epi16(cb, cb), _mm256_mulhrs_epi16(cb, _mm256_set1_epi16(-7471)));
    // -46802 = 18734 - 65536
    let factors = _mm256_set1_epi32((18734 << 16) + (1 << 16) - 22554);
    let half = _mm256_set1_epi32(1 << 15);
    let low = _mm256_add_epi32(_mm256_madd_epi16(_mm256_unpacklo_epi16(cb, cr), factors), half);
    let high = _mm256_add_epi32(_mm256_madd_epi16(_mm256_unpackhi_epi16(cb, cr), factors), half);
    let g = _mm256_packs_epi32(_mm256_srai_epi32::<16>(low), _mm256_srai_epi32::<16>(high));
    let g = _mm256_sub_epi16(g, cr);
    [_mm256_add_epi16(y, r), _mm256_add_epi16(y, g), _mm256_add_epi16(y, b)]
}

#[inline]
#[target_feature(enable = "avx2")]
fn interleave_3(planes: [__m256i; 3]) -> [__m256i; 3] {
    let twice = |bytes: __m128i| _mm256_broadcastsi128_si256(bytes);
    // Byte i of 16 goes to 3 * i modulo 16, and one and two places further.
    let [a, b, c] = planes;
    let a = _mm256_shuffle_epi8(a, twice(_mm_setr_epi8(0, 11, 6, 1, 12, 7, 2, 13, 8, 3, 14, 9, 4, 15, 10, 5)));
    let b = _mm256_shuffle_epi8(b, twice(_mm_setr_epi8(5, 0, 11, 6, 1, 12, 7, 2, 13, 8, 3, 14, 9, 4, 15, 10)));
    let c = _mm256_shuffle_epi8(c, twice(_mm_setr_epi8(10, 5, 0, 11, 6, 1, 12, 7, 2, 13, 8, 3, 14, 9, 4, 15)));
    let second = twice(_mm_setr_epi8(0, -1, 0, 0, -1, 0, 0, -1, 0, 0, -1, 0, 0, -1, 0, 0));
    let third = twice(_mm_setr_epi8(0, 0, -1, 0, 0, -1, 0, 0, -1, 0, 0, -1, 0, 0, -1, 0));
    let mix = |a, b, c| _mm256_blendv_epi8(_mm256_blendv_epi8(a, b, second), c, third);
    let (first, middle, last) = (mix(a, b, c), mix(b, c, a), mix(c, a, b));
    [
        _mm256_permute2x128_si256::<0x20>(first, middle),
        _mm256_permute2x128_si256::<0x30>(last, first),
        _mm256_permute2x128_si256::<0x31>(middle, last),
    ]
}

#[inline]
#[target_feature(enable = "avx2")]
fn interleave_4(planes: [__m256i; 4]) -> [__m256i; 4] {
    let [a, b, c, d] = planes;
    let (ab_low, ab_high) = (_mm256_unpacklo_epi8(a, b), _mm256_unpackhi_epi8(a, b));
    let (cd_low, cd_high) = (_mm256_unpacklo_epi8(c, d), _mm256_unpackhi_epi8(c, d));
    let (p0, p1) = (_mm256_unpacklo_epi16(ab_low, cd_low), _mm256_unpackhi_epi16(ab_low, cd_low));
    let (p2, p3) = (_mm256_unpacklo_epi16(ab_high, cd_high), _mm256_unpackhi_epi16(ab_high, cd_high));
    [
        _mm256_permute2x128_si256::<0x20>(p0, p1),
        _mm256_permute2x128_si256::<0x20>(p2, p3),
        _mm256_permute2x128_si256::<0x31>(p0, p1),
        _mm256_permute2x128_si256::<0x31>(p2, p3),
    ]
}
