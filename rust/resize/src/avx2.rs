//! The two passes of the bilinear filter in 256-bit vectors.
//!
//! A weight `k` of 22 fractional bits is split as `kh * 65536 + kl`, with `kl` signed 16 bits. Then
//! `(sum(k * p) + 2^21) >> 22` is exactly `(sum(kh * p) + 32 + (sum(kl * p) >> 16)) >> 6`. The high sums come from
//! `pmaddubsw` (bytes by signed bytes into 16 bits), the low ones from `pmaddwd` (16 bits into 32).
//!
//! Why nothing overflows: bilinear weights are not negative and add up to 2^22, and rounding at most doubles what it
//! does not make zero. So the rounded weights of a window add up to 2^23 at most and its `kh` to 128, and
//! [`is_packable`] makes sure of it: `sum(kh * p) + 32 <= 32,672` fits 16 bits, and because `|kl| <= k` the low sums
//! stay within `255 * 2^23`, which fits 32 bits. The whole, less its low 16 bits, fits 16 bits again.

use std::arch::x86_64::{
    __m256i, _mm_add_epi16, _mm_add_epi32, _mm_and_si128, _mm_loadu_si128, _mm_madd_epi16, _mm_maddubs_epi16,
    _mm_packs_epi32, _mm_packus_epi16, _mm_set1_epi16, _mm_set1_epi32, _mm_setr_epi8, _mm_setr_epi32,
    _mm_setzero_si128, _mm_shuffle_epi8, _mm_srai_epi16, _mm_srai_epi32, _mm_srli_epi16, _mm_storeu_si128,
    _mm256_add_epi16, _mm256_add_epi32, _mm256_and_si256, _mm256_broadcastsi128_si256, _mm256_castps_si256,
    _mm256_castsi128_si256, _mm256_castsi256_ps, _mm256_castsi256_si128, _mm256_extracti128_si256,
    _mm256_inserti128_si256, _mm256_loadu_si256, _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_packs_epi32,
    _mm256_packus_epi16, _mm256_set1_epi16, _mm256_set1_epi32, _mm256_setzero_si256, _mm256_shuffle_epi8,
    _mm256_shuffle_ps, _mm256_srai_epi16, _mm256_srai_epi32, _mm256_srli_epi16, _mm256_storeu_si256,
    _mm256_unpackhi_epi8, _mm256_unpacklo_epi8,
};
use std::ops::Range;

use crate::coefficients::Weights;
use crate::kernel::Avx2;
use crate::rows::Rows;
use crate::scalar;
use crate::tables::padded_row_len;

/// A vector's worth of bytes in the vertical pass.
const COLUMNS: usize = 32;

/// High and low part of a weight.
fn split(k: i32) -> (u32, u32) {
    let low = k as i16;
    let high = (k - i32::from(low)) >> 16;
    (high as u32 & 0xff, u32::from(low as u16))
}

/// Whether no sum of any window can overflow; see the module's comment.
fn is_packable(weights: &Weights) -> bool {
    (0..weights.starts.len()).all(|i| {
        let row = weights.row(i);
        row.iter().all(|&k| k >= 0)
            && row.iter().map(|&k| i64::from(k)).sum::<i64>() <= 1 << 23
            && row.iter().map(|&k| split(k).0).sum::<u32>() <= 128
    })
}

/// How the taps of every output are laid out: a group is four taps, half a group is two.
///
/// The specialised shapes spare the loop over the groups, and the half groups the work on absent taps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// At most 2 taps.
    Half,
    /// 3 or 4 taps.
    One,
    /// 5 taps of 3 channels: the fifth pixel is in the same 16 bytes as the first four.
    OneAndFifth,
    /// 5 or 6 taps.
    OneAndHalf,
    /// 7 or 8 taps.
    Two,
    /// Any number, in whole groups.
    Many,
}

/// Groups of [`pixel_pair`] that are counted at run time.
const MANY: usize = usize::MAX;
/// No half group.
const NONE: u8 = 0;
/// The half group is the fifth pixel of the last load.
const FIFTH: u8 = 1;
/// The half group has its own load.
const NEXT: u8 = 2;

/// Weights of the horizontal pass.
///
/// A group is three double words: `kh` of its four taps as bytes, `kl` of taps 0 and 2, `kl` of taps 1 and 3. Half a
/// group is two: `kh` of its two taps as bytes 0 and 2, `kl` of both.
#[derive(Debug)]
pub(crate) struct Across {
    proof: Avx2,
    channels: usize,
    shape: Shape,
    /// Whole groups of an output.
    groups: usize,
    /// Wanted outputs; the vectors below are padded to a multiple of four by repeating the last one.
    outputs: usize,
    /// Byte offset of each output's window from the first one's.
    offsets: Vec<u32>,
    /// `stride` double words an output.
    packed: Vec<u32>,
    stride: usize,
    /// Invariant: no load for any of `offsets` ends beyond this many bytes.
    read_len: usize,
}

impl Across {
    /// Packs `weights` for pixels of 1, 3 or 4 channels; `None` where the sums might overflow.
    pub(crate) fn new(proof: Avx2, weights: &Weights, channels: usize) -> Option<Self> {
        let (&origin, &last) = (weights.starts.first()?, weights.starts.last()?);
        let furthest = u32::try_from(u64::from(last - origin) * channels as u64).ok()?;
        if !is_packable(weights) {
            return None;
        }
        let shape = match (weights.taps, channels) {
            (_, 1) | (9.., _) => Shape::Many,
            (0..=2, _) => Shape::Half,
            (3..=4, _) => Shape::One,
            (5, 3) => Shape::OneAndFifth,
            (5..=6, _) => Shape::OneAndHalf,
            (7..=8, _) => Shape::Two,
        };
        let (groups, half, load_end) = match shape {
            Shape::Half => (0, true, 16),
            Shape::One => (1, false, 16),
            Shape::OneAndFifth => (1, true, 16),
            Shape::OneAndHalf => (1, true, 4 * channels + 16),
            Shape::Two => (2, false, 4 * channels + 16),
            Shape::Many => {
                let groups = weights.taps.div_ceil(4);
                // One channel is read four bytes at a time.
                (groups, false, if channels == 1 { 4 * groups } else { 4 * channels * (groups - 1) + 16 })
            }
        };
        let outputs = weights.starts.len();
        let stride = 3 * groups + 2 * usize::from(half);
        let mut offsets = Vec::with_capacity(outputs.next_multiple_of(4));
        let mut packed = Vec::with_capacity(outputs.next_multiple_of(4) * stride);
        for i in 0..outputs.next_multiple_of(4) {
            let i = i.min(outputs - 1);
            offsets.push((weights.starts[i] - origin) * channels as u32);
            let row = weights.row(i);
            let tap = |at: usize| split(row.get(at).copied().unwrap_or(0));
            for group in 0..groups {
                let [(h0, l0), (h1, l1), (h2, l2), (h3, l3)] = [0, 1, 2, 3].map(|at| tap(4 * group + at));
                packed.extend([h0 | h1 << 8 | h2 << 16 | h3 << 24, l0 | l2 << 16, l1 | l3 << 16]);
            }
            if half {
                let [(h0, l0), (h1, l1)] = [0, 1].map(|at| tap(4 * groups + at));
                packed.extend([h0 | h1 << 16, l0 | l1 << 16]);
            }
        }
        let read_len = furthest as usize + load_end;
        Some(Self { proof, channels, shape, groups, outputs, offsets, packed, stride, read_len })
    }

    pub(crate) fn size_bytes(&self) -> usize {
        4 * (self.offsets.len() + self.packed.len())
    }

    /// Bytes that each row must hold from the first window's start.
    pub(crate) fn read_len(&self) -> usize {
        self.read_len
    }

    /// The horizontal pass on four rows; see `Table::across`.
    pub(crate) fn run(&self, rows: [&[u8]; 4], out: &mut [u8], out_stride: usize) {
        let row_len = padded_row_len(self.outputs, self.channels);
        assert!(rows.iter().all(|row| row.len() >= self.read_len) && out_stride >= row_len);
        assert!(out.len() / 4 >= out_stride);
        let _: Avx2 = self.proof;
        let rows = rows.map(<[u8]>::as_ptr);
        let out = out.as_mut_ptr();
        // SAFETY: `proof` says that the processor has AVX2. Every row holds `read_len` bytes, beyond which no load of
        // this table ends, and `out` four rows of `out_stride >= padded_row_len` bytes, both asserted above.
        unsafe {
            match (self.channels, self.shape) {
                (1, _) => self.rows_of_grey(rows, out, out_stride),
                (3, Shape::Half) => self.rows_of::<3, 0, NEXT>(rows, out, out_stride),
                (3, Shape::One) => self.rows_of::<3, 1, NONE>(rows, out, out_stride),
                (3, Shape::OneAndFifth) => self.rows_of::<3, 1, FIFTH>(rows, out, out_stride),
                (3, Shape::OneAndHalf) => self.rows_of::<3, 1, NEXT>(rows, out, out_stride),
                (3, Shape::Two) => self.rows_of::<3, 2, NONE>(rows, out, out_stride),
                (3, Shape::Many) => self.rows_of::<3, MANY, NONE>(rows, out, out_stride),
                (_, Shape::Half) => self.rows_of::<4, 0, NEXT>(rows, out, out_stride),
                (_, Shape::One) => self.rows_of::<4, 1, NONE>(rows, out, out_stride),
                (_, Shape::OneAndHalf) => self.rows_of::<4, 1, NEXT>(rows, out, out_stride),
                (_, Shape::Two) => self.rows_of::<4, 2, NONE>(rows, out, out_stride),
                (_, Shape::OneAndFifth | Shape::Many) => self.rows_of::<4, MANY, NONE>(rows, out, out_stride),
            }
        }
    }

    /// Four outputs at a time for pixels of `C` (3 or 4) channels: a vector holds one output of two rows, a row a lane,
    /// so that a broadcast weight serves both, and the other two rows use it again.
    ///
    /// # Safety
    ///
    /// AVX2; each row holds `read_len` bytes; `out` holds four rows of `out_stride >= padded_row_len(outputs, C)`.
    #[target_feature(enable = "avx2")]
    unsafe fn rows_of<const C: usize, const FULL: usize, const HALF: u8>(
        &self,
        [a, b, c, d]: [*const u8; 4],
        out: *mut u8,
        out_stride: usize,
    ) {
        let masks = Masks::new::<C, HALF>();
        // Four pixels of 4 bytes become 12 bytes (or stay 16).
        let compact = _mm256_broadcastsi128_si256(if C == 3 {
            _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1)
        } else {
            _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
        });
        let (quads, _) = self.offsets.as_chunks::<4>();
        for (quad, (offsets, weights)) in quads.iter().zip(self.packed.chunks_exact(4 * self.stride)).enumerate() {
            let mut outputs = [_mm256_setzero_si256(); 4];
            for (at, output) in outputs.iter_mut().enumerate() {
                let offset = offsets[at] as usize;
                let weights = &weights[at * self.stride..][..self.stride];
                // SAFETY: `offset` is one of the table's, so every load ends within `read_len` bytes of its row.
                let (ab, cd) = unsafe {
                    (
                        self.pixel_pair::<C, FULL, HALF>(a.add(offset), b.add(offset), weights, &masks),
                        self.pixel_pair::<C, FULL, HALF>(c.add(offset), d.add(offset), weights, &masks),
                    )
                };
                // Lane 0: rows a and c; lane 1: rows b and d.
                *output = _mm256_srai_epi16::<6>(_mm256_packs_epi32(ab, cd));
            }
            let first = _mm256_castsi256_ps(_mm256_packus_epi16(outputs[0], outputs[1]));
            let second = _mm256_castsi256_ps(_mm256_packus_epi16(outputs[2], outputs[3]));
            let ab =
                _mm256_shuffle_epi8(_mm256_castps_si256(_mm256_shuffle_ps::<0b10_00_10_00>(first, second)), compact);
            let cd =
                _mm256_shuffle_epi8(_mm256_castps_si256(_mm256_shuffle_ps::<0b11_01_11_01>(first, second)), compact);
            // SAFETY: 16 bytes from pixel `4 * quad` of a row end within 16 bytes of the outputs rounded up to four,
            // which `padded_row_len` counts; the four rows lie in `out`.
            unsafe {
                let at = out.add(4 * C * quad);
                _mm_storeu_si128(at.cast(), _mm256_castsi256_si128(ab));
                _mm_storeu_si128(at.add(out_stride).cast(), _mm256_extracti128_si256::<1>(ab));
                _mm_storeu_si128(at.add(2 * out_stride).cast(), _mm256_castsi256_si128(cd));
                _mm_storeu_si128(at.add(3 * out_stride).cast(), _mm256_extracti128_si256::<1>(cd));
            }
        }
    }

    /// One output of two rows, before the shift by 6: 32-bit sums of up to four channels, a row a lane.
    ///
    /// # Safety
    ///
    /// AVX2; `a` and `b` point at the output's window, with the bytes that the table's loads need.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn pixel_pair<const C: usize, const FULL: usize, const HALF: u8>(
        &self,
        a: *const u8,
        b: *const u8,
        weights: &[u32],
        masks: &Masks,
    ) -> __m256i {
        let groups = if FULL == MANY { self.groups } else { FULL };
        // 32 in one of the two 16-bit halves of each 32 bits: the rounding.
        let mut high = _mm256_set1_epi32(32);
        let mut low = _mm256_setzero_si256();
        let mut loaded = _mm256_setzero_si256();
        for group in 0..groups {
            // SAFETY: the caller's promise: this is a load of the table.
            loaded = unsafe { load_two(a.add(4 * C * group), b.add(4 * C * group)) };
            let taps = _mm256_shuffle_epi8(loaded, masks.full);
            let [kh, kl_even, kl_odd] = [0, 1, 2].map(|at| weights[3 * group + at] as i32);
            high = _mm256_add_epi16(high, _mm256_maddubs_epi16(taps, _mm256_set1_epi32(kh)));
            let even = _mm256_madd_epi16(_mm256_and_si256(taps, masks.low_bytes), _mm256_set1_epi32(kl_even));
            let odd = _mm256_madd_epi16(_mm256_srli_epi16::<8>(taps), _mm256_set1_epi32(kl_odd));
            low = _mm256_add_epi32(low, _mm256_add_epi32(even, odd));
        }
        if HALF != NONE {
            if HALF == NEXT {
                // SAFETY: the caller's promise: this is a load of the table.
                loaded = unsafe { load_two(a.add(4 * C * groups), b.add(4 * C * groups)) };
            }
            let taps = _mm256_shuffle_epi8(loaded, masks.half);
            let [kh, kl] = [0, 1].map(|at| weights[3 * groups + at] as i32);
            high = _mm256_add_epi16(high, _mm256_maddubs_epi16(taps, _mm256_set1_epi32(kh)));
            low = _mm256_add_epi32(low, _mm256_madd_epi16(taps, _mm256_set1_epi32(kl)));
        }
        _mm256_add_epi32(_mm256_madd_epi16(high, _mm256_set1_epi16(1)), _mm256_srai_epi32::<16>(low))
    }

    /// Four outputs at a time for one channel: a 128-bit vector holds one output of the four rows.
    ///
    /// # Safety
    ///
    /// As [`Across::rows_of`], with one channel.
    #[target_feature(enable = "avx2")]
    unsafe fn rows_of_grey(&self, rows: [*const u8; 4], out: *mut u8, out_stride: usize) {
        let low_bytes = _mm_set1_epi16(0xff);
        let transpose = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
        let (quads, _) = self.offsets.as_chunks::<4>();
        for (quad, (offsets, weights)) in quads.iter().zip(self.packed.chunks_exact(4 * self.stride)).enumerate() {
            let mut outputs = [_mm_setzero_si128(); 4];
            for (at, output) in outputs.iter_mut().enumerate() {
                let mut high = _mm_set1_epi32(32);
                let mut low = _mm_setzero_si128();
                let (groups, _) = weights[at * self.stride..][..self.stride].as_chunks::<3>();
                for (group, &[kh, kl_even, kl_odd]) in groups.iter().enumerate() {
                    let offset = offsets[at] as usize + 4 * group;
                    // SAFETY: a group of the table: its four bytes end within `read_len` bytes of the row.
                    let [a, b, c, d] = rows.map(|row| unsafe { row.add(offset).cast::<i32>().read_unaligned() });
                    let taps = _mm_setr_epi32(a, b, c, d);
                    high = _mm_add_epi16(high, _mm_maddubs_epi16(taps, _mm_set1_epi32(kh as i32)));
                    let even = _mm_madd_epi16(_mm_and_si128(taps, low_bytes), _mm_set1_epi32(kl_even as i32));
                    let odd = _mm_madd_epi16(_mm_srli_epi16::<8>(taps), _mm_set1_epi32(kl_odd as i32));
                    low = _mm_add_epi32(low, _mm_add_epi32(even, odd));
                }
                *output = _mm_add_epi32(_mm_madd_epi16(high, _mm_set1_epi16(1)), _mm_srai_epi32::<16>(low));
            }
            let first = _mm_srai_epi16::<6>(_mm_packs_epi32(outputs[0], outputs[1]));
            let second = _mm_srai_epi16::<6>(_mm_packs_epi32(outputs[2], outputs[3]));
            let pixels = _mm_shuffle_epi8(_mm_packus_epi16(first, second), transpose);
            let mut bytes = [[0_u8; 4]; 4];
            // SAFETY: `bytes` is 16 bytes; `padded_row_len` counts the outputs rounded up to four in each of the rows.
            unsafe {
                _mm_storeu_si128(bytes.as_mut_ptr().cast(), pixels);
                for (row, bytes) in bytes.into_iter().enumerate() {
                    out.add(row * out_stride + 4 * quad).cast::<[u8; 4]>().write(bytes);
                }
            }
        }
    }
}

/// Constants of the horizontal pass.
struct Masks {
    /// Four pixels to the four taps of each channel: a channel in each 32 bits.
    full: __m256i,
    /// The half group to bytes 0 and 2 of each channel's 32 bits.
    half: __m256i,
    /// The even bytes.
    low_bytes: __m256i,
}

impl Masks {
    #[inline]
    #[target_feature(enable = "avx2")]
    fn new<const C: usize, const HALF: u8>() -> Self {
        let full = if C == 3 {
            _mm_setr_epi8(0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11, -1, -1, -1, -1)
        } else {
            _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15)
        };
        let half = if HALF == FIFTH {
            _mm_setr_epi8(12, -1, -1, -1, 13, -1, -1, -1, 14, -1, -1, -1, -1, -1, -1, -1)
        } else if C == 3 {
            _mm_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1)
        } else {
            _mm_setr_epi8(0, -1, 4, -1, 1, -1, 5, -1, 2, -1, 6, -1, 3, -1, 7, -1)
        };
        Self {
            full: _mm256_broadcastsi128_si256(full),
            half: _mm256_broadcastsi128_si256(half),
            low_bytes: _mm256_set1_epi16(0xff),
        }
    }
}

/// 16 bytes at `a` and 16 at `b`, a lane each.
///
/// # Safety
///
/// AVX2; 16 bytes can be read at both.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load_two(a: *const u8, b: *const u8) -> __m256i {
    // SAFETY: the caller's promise.
    let (a, b) = unsafe { (_mm_loadu_si128(a.cast()), _mm_loadu_si128(b.cast())) };
    _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(a), b)
}

/// Two taps of the vertical pass.
#[derive(Clone, Copy, Debug)]
struct TapPair {
    /// `kh` of both, as bytes, twice.
    high: u32,
    /// `kl` of both.
    low: u32,
}

/// Weights of the vertical pass, rows in pairs; the second of an odd window's last pair is zero.
#[derive(Debug)]
pub(crate) struct Down {
    proof: Avx2,
    pairs: Vec<TapPair>,
    /// Pairs an output.
    stride: usize,
}

impl Down {
    /// Packs `weights`; `None` where the sums might overflow.
    pub(crate) fn new(proof: Avx2, weights: &Weights) -> Option<Self> {
        if !is_packable(weights) {
            return None;
        }
        let stride = weights.taps.div_ceil(2);
        let mut pairs = Vec::with_capacity(stride * weights.starts.len());
        for i in 0..weights.starts.len() {
            let row = weights.row(i);
            pairs.extend((0..stride).map(|pair| {
                let [(h0, l0), (h1, l1)] = [0, 1].map(|at| split(row.get(2 * pair + at).copied().unwrap_or(0)));
                TapPair { high: (h0 | h1 << 8) * 0x1_0001, low: l0 | l1 << 16 }
            }));
        }
        Some(Self { proof, pairs, stride })
    }

    pub(crate) fn size_bytes(&self) -> usize {
        size_of_val(self.pairs.as_slice())
    }

    /// The vertical pass for output row `i`: `out.len()` bytes of every row.
    pub(crate) fn run(&self, weights: &Weights, i: usize, rows: Rows<'_>, out: &mut [u8]) {
        let window = weights.starts[i] as usize..weights.ends[i] as usize;
        let pairs = &self.pairs[i * self.stride..][..window.len().div_ceil(2)];
        assert!(rows.hold(window.end - 1, out.len()));
        if out.len() < COLUMNS {
            return narrow_down(pairs, window, rows, out);
        }
        let _: Avx2 = self.proof;
        // SAFETY: `proof` says that the processor has AVX2; each row of the window holds `out.len()` bytes (asserted
        // above), and that is at least COLUMNS.
        unsafe { wide_down(pairs, window, rows, out) };
    }
}

/// The vertical pass for rows of a vector or more.
///
/// # Safety
///
/// AVX2; each row of the window, which is not empty and has `pairs.len()` pairs, holds `out.len() >= COLUMNS` bytes.
#[target_feature(enable = "avx2")]
unsafe fn wide_down(pairs: &[TapPair], window: Range<usize>, rows: Rows<'_>, out: &mut [u8]) {
    let last = out.len() - COLUMNS;
    // The last step overlaps the one before instead of ending early.
    for column in (0..last).step_by(COLUMNS).chain([last]) {
        // SAFETY: the caller's promise; `column + COLUMNS` is at most `out.len()`.
        unsafe {
            let pixels = columns(pairs, window.clone(), rows, column);
            _mm256_storeu_si256(out.as_mut_ptr().add(column).cast(), pixels);
        }
    }
}

/// 32 bytes of an output row.
///
/// # Safety
///
/// AVX2; each row of the window, which is not empty and has `pairs.len()` pairs, holds `column + COLUMNS` bytes.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn columns(pairs: &[TapPair], window: Range<usize>, rows: Rows<'_>, column: usize) -> __m256i {
    let zero = _mm256_setzero_si256();
    let mut high = [_mm256_set1_epi16(32); 2];
    let mut low = [zero; 4];
    let base = rows.data.as_ptr();
    for (pair, &taps) in pairs.iter().enumerate() {
        let first = window.start + 2 * pair;
        let second = (first + 1).min(window.end - 1);
        // SAFETY: the caller's promise for both rows, which lie in the window.
        let (first, second) = unsafe {
            let row = |i: usize| base.add((i & rows.mask) * rows.stride + column);
            (_mm256_loadu_si256(row(first).cast()), _mm256_loadu_si256(row(second).cast()))
        };
        let kh = _mm256_set1_epi32(taps.high as i32);
        let kl = _mm256_set1_epi32(taps.low as i32);
        let halves = [_mm256_unpacklo_epi8(first, second), _mm256_unpackhi_epi8(first, second)];
        for (half, samples) in halves.into_iter().enumerate() {
            high[half] = _mm256_add_epi16(high[half], _mm256_maddubs_epi16(samples, kh));
            let words = [_mm256_unpacklo_epi8(samples, zero), _mm256_unpackhi_epi8(samples, zero)];
            for (quarter, words) in words.into_iter().enumerate() {
                let sum = &mut low[2 * half + quarter];
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(words, kl));
            }
        }
    }
    let [a, b, c, d] = low.map(|sum| _mm256_srai_epi32::<16>(sum));
    let first = _mm256_srai_epi16::<6>(_mm256_add_epi16(high[0], _mm256_packs_epi32(a, b)));
    let second = _mm256_srai_epi16::<6>(_mm256_add_epi16(high[1], _mm256_packs_epi32(c, d)));
    _mm256_packus_epi16(first, second)
}

/// The vertical pass for rows shorter than a vector.
fn narrow_down(pairs: &[TapPair], window: Range<usize>, rows: Rows<'_>, out: &mut [u8]) {
    let mut sums = [1 << 21; COLUMNS];
    for (pair, taps) in pairs.iter().enumerate() {
        let first = window.start + 2 * pair;
        for (row, high, low) in [(first, taps.high, taps.low), (first + 1, taps.high >> 8, taps.low >> 16)] {
            let k = (i32::from(high as u8) << 16) + i32::from(low as i16);
            let row = rows.row(row.min(window.end - 1));
            for (sum, &sample) in sums.iter_mut().zip(&row[..out.len()]) {
                *sum += i32::from(sample) * k;
            }
        }
    }
    for (out, sum) in out.iter_mut().zip(sums) {
        *out = (sum >> 22).clamp(0, 255) as u8;
    }
}

/// [`scalar::across`], compiled for AVX2: for the filters with negative weights, whose sums do not fit 16 bits.
pub(crate) fn scalar_across(_: Avx2, weights: &Weights, channels: usize, row: &[u8], out: &mut [u8]) {
    #[target_feature(enable = "avx2")]
    fn compiled<const C: usize>(weights: &Weights, row: &[u8], out: &mut [u8]) {
        scalar::across::<C>(weights, row, out);
    }
    // SAFETY: the first argument says that the processor has AVX2.
    unsafe {
        match channels {
            1 => compiled::<1>(weights, row, out),
            3 => compiled::<3>(weights, row, out),
            _ => compiled::<4>(weights, row, out),
        }
    }
}

/// [`scalar::down`], compiled for AVX2.
pub(crate) fn scalar_down(_: Avx2, weights: &Weights, i: usize, rows: Rows<'_>, out: &mut [u8]) {
    #[target_feature(enable = "avx2")]
    fn compiled(weights: &Weights, i: usize, rows: Rows<'_>, out: &mut [u8]) {
        scalar::down(weights, i, rows, out);
    }
    // SAFETY: the first argument says that the processor has AVX2.
    unsafe { compiled(weights, i, rows, out) }
}
