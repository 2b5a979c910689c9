//! The triangle filters, 16 samples at a time.

use std::arch::x86_64::{
    __m256i, _mm_loadu_si128, _mm256_add_epi16, _mm256_cvtepu8_epi16, _mm256_or_si256, _mm256_set1_epi16,
    _mm256_slli_epi16, _mm256_srli_epi16, _mm256_storeu_si256,
};

/// Samples that a step looks at: 16 with their neighbours.
const WINDOW: usize = 18;

/// The samples of `window` from `AT` on, to 16 bits.
#[inline]
#[target_feature(enable = "avx2")]
fn samples<const AT: usize>(window: &[u8; WINDOW]) -> __m256i {
    const { assert!(AT + 16 <= WINDOW) };
    // SAFETY: 16 bytes from AT on are inside.
    _mm256_cvtepu8_epi16(unsafe { _mm_loadu_si128(window.as_ptr().add(AT).cast()) })
}

#[inline]
#[target_feature(enable = "avx2")]
fn store(out: &mut [u8; 32], bytes: __m256i) {
    // SAFETY: 32 bytes of 32.
    unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), bytes) };
}

#[inline]
#[target_feature(enable = "avx2")]
fn triple(value: __m256i) -> __m256i {
    _mm256_add_epi16(value, _mm256_add_epi16(value, value))
}

/// Every 16th window of a row.
fn windows(row: &[u8]) -> impl Iterator<Item = &[u8; WINDOW]> {
    row.windows(WINDOW).step_by(16).filter_map(|window| window.try_into().ok())
}

/// See `upsample::fancy_h2v1`; fills `out`, a multiple of 32 bytes.
#[target_feature(enable = "avx2")]
pub(super) fn fancy_h2v1(row: &[u8], out: &mut [u8]) {
    for (window, out) in windows(row).zip(out.as_chunks_mut().0) {
        let this = triple(samples::<1>(window));
        let even = _mm256_add_epi16(samples::<0>(window), _mm256_set1_epi16(1));
        let odd = _mm256_add_epi16(samples::<2>(window), _mm256_set1_epi16(2));
        let even = _mm256_srli_epi16::<2>(_mm256_add_epi16(this, even));
        let odd = _mm256_srli_epi16::<2>(_mm256_add_epi16(this, odd));
        store(out, _mm256_or_si256(even, _mm256_slli_epi16::<8>(odd)));
    }
}

/// See `upsample::fancy_h2v2`; fills both rows of `out`, of the same multiple of 32 bytes.
#[target_feature(enable = "avx2")]
pub(super) fn fancy_h2v2(rows: [&[u8]; 3], out: [&mut [u8]; 2]) {
    let [above, this, below] = rows;
    let [upper, lower] = out;
    let inputs = windows(above).zip(windows(this)).zip(windows(below));
    let out = upper.as_chunks_mut().0.iter_mut().zip(lower.as_chunks_mut().0);
    for (((above, this), below), (upper, lower)) in inputs.zip(out) {
        let near = [triple(samples::<0>(this)), triple(samples::<1>(this)), triple(samples::<2>(this))];
        for (far, out) in [(above, upper), (below, lower)] {
            let left = _mm256_add_epi16(near[0], samples::<0>(far));
            let centre = triple(_mm256_add_epi16(near[1], samples::<1>(far)));
            let right = _mm256_add_epi16(near[2], samples::<2>(far));
            let even = _mm256_add_epi16(_mm256_add_epi16(centre, left), _mm256_set1_epi16(8));
            let odd = _mm256_add_epi16(_mm256_add_epi16(centre, right), _mm256_set1_epi16(7));
            let odd = _mm256_slli_epi16::<8>(_mm256_srli_epi16::<4>(odd));
            store(out, _mm256_or_si256(_mm256_srli_epi16::<4>(even), odd));
        }
    }
}
