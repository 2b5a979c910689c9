//! Colour conversion and interleaving of the commonest kind, 64 pixels at a time.

use std::arch::x86_64::{
    __m512i, _mm512_add_epi16, _mm512_dpwssd_epi32, _mm512_loadu_si512, _mm512_mask_permutexvar_epi8,
    _mm512_mulhrs_epi16, _mm512_packs_epi32, _mm512_packus_epi16, _mm512_permutex2var_epi8, _mm512_set1_epi16,
    _mm512_set1_epi32, _mm512_setzero_si512, _mm512_srai_epi32, _mm512_storeu_si512, _mm512_sub_epi16,
    _mm512_unpackhi_epi8, _mm512_unpackhi_epi16, _mm512_unpacklo_epi8, _mm512_unpacklo_epi16,
};

/// Pixels that are converted at once.
pub(super) const STEP: usize = 64;

/// Where the bytes of output vector i of three come from: pixel n of red at n, of green at 64 + n.
const RED_GREEN: [[u8; 64]; 3] = [sources(0), sources(1), sources(2)];

/// For each output byte the pixel, and 64 if it is not red.
const fn sources(vector: usize) -> [u8; 64] {
    let mut sources = [0; 64];
    let mut i = 0;
    while i < 64 {
        let byte = vector * 64 + i;
        sources[i] = (byte / 3) as u8 + [0, 64, 64][byte % 3];
        i += 1;
    }
    sources
}

/// The output bytes that are blue.
const fn blue(vector: usize) -> u64 {
    0x9249_2492_4924_9249 << ((5 - vector) % 3)
}

/// YCbCr to RGB; fills `out`, a multiple of `STEP` pixels, as far as there are samples.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx512vbmi")]
pub(super) fn ycc_to_rgb([y, cb, cr, _]: [&[u8]; 4], out: &mut [u8]) {
    let samples = steps(y).iter().zip(steps(cb)).zip(steps(cr));
    for (((y, cb), cr), out) in samples.zip(out.as_chunks_mut::<{ STEP * 3 }>().0) {
        let [r, g, b] = rgb(load(y), load(cb), load(cr));
        for (vector, out) in out.as_chunks_mut().0.iter_mut().enumerate() {
            let which = load(&RED_GREEN[vector]);
            let red_green = _mm512_permutex2var_epi8(r, which, g);
            store(out, _mm512_mask_permutexvar_epi8(red_green, blue(vector), which, b));
        }
    }
}

fn steps(plane: &[u8]) -> &[[u8; STEP]] {
    plane.as_chunks().0
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(bytes: &[u8; 64]) -> __m512i {
    // SAFETY: 64 bytes of 64.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store(out: &mut [u8; 64], bytes: __m512i) {
    // SAFETY: 64 bytes of 64.
    unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), bytes) }
}

/// `color::rgb` of 64 pixels.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn rgb(y: __m512i, cb: __m512i, cr: __m512i) -> [__m512i; 3] {
    let zero = _mm512_setzero_si512();
    let low = words(_mm512_unpacklo_epi8(y, zero), _mm512_unpacklo_epi8(cb, zero), _mm512_unpacklo_epi8(cr, zero));
    let high = words(_mm512_unpackhi_epi8(y, zero), _mm512_unpackhi_epi8(cb, zero), _mm512_unpackhi_epi8(cr, zero));
    [_mm512_packus_epi16(low[0], high[0]), _mm512_packus_epi16(low[1], high[1]), _mm512_packus_epi16(low[2], high[2])]
}

/// RGB of 32 pixels, before saturation; see `color_avx2`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn words(y: __m512i, cb: __m512i, cr: __m512i) -> [__m512i; 3] {
    let centre = _mm512_set1_epi16(128);
    let (cb, cr) = (_mm512_sub_epi16(cb, centre), _mm512_sub_epi16(cr, centre));
    let r = _mm512_add_epi16(cr, _mm512_mulhrs_epi16(cr, _mm512_set1_epi16(13173)));
    let b = _mm512_add_epi16(_mm512_add_epi16(cb, cb), _mm512_mulhrs_epi16(cb, _mm512_set1_epi16(-7471)));
    let factors = _mm512_set1_epi32((18734 << 16) + (1 << 16) - 22554);
    let half = _mm512_set1_epi32(1 << 15);
    let low = _mm512_dpwssd_epi32(half, _mm512_unpacklo_epi16(cb, cr), factors);
    let high = _mm512_dpwssd_epi32(half, _mm512_unpackhi_epi16(cb, cr), factors);
    let g = _mm512_packs_epi32(_mm512_srai_epi32::<16>(low), _mm512_srai_epi32::<16>(high));
    let g = _mm512_sub_epi16(g, cr);
    [_mm512_add_epi16(y, r), _mm512_add_epi16(y, g), _mm512_add_epi16(y, b)]
}
