//! The two passes of the bilinear filter with the byte dot products of AVX-512 VNNI.
//!
//! A weight `k` of 22 fractional bits is split as `high * 65536 + middle * 256 + low`, three signed bytes. `vpdpbusd`
//! adds the products of four samples (unsigned bytes) and four such bytes to 32 bits without saturating: a group of
//! four taps takes one shuffle and three dot products. The parts may wrap on the way; the result is exact because the
//! whole sum fits: weights are not negative and add up to 2^23 at most ([`is_packable`]), and
//! `255 * 2^23 + 2^21 < 2^31`. `high` fits a byte because no weight is larger than 2^22.
//!
//! The fifth tap of three channels, common in photographs, takes one dot product of words instead: the weight is split
//! as `upper * 128 + lower`, and the words are the sample times 128 and the sample. That is 8 % of the pass.
//!
//! Measured on Zen 4, which runs the halves of a 512-bit vector in turn: 512 bits, four rows in a register, are 7 %
//! faster for windows of three groups and more and 15 % slower for one group, where gathering the rows dominates. The
//! loop over the groups is not unrolled, which gained nothing at best.

use std::arch::x86_64::{
    __m256i, _mm_loadu_si128, _mm_setr_epi8, _mm_storeu_si128, _mm256_add_epi32, _mm256_broadcastsi128_si256,
    _mm256_castsi128_si256, _mm256_castsi256_si128, _mm256_dpbusd_epi32, _mm256_dpwssd_epi32, _mm256_extracti128_si256,
    _mm256_inserti128_si256, _mm256_loadu_si256, _mm256_packs_epi32, _mm256_packus_epi16, _mm256_set1_epi32,
    _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_slli_epi32, _mm256_srli_epi32, _mm256_srlv_epi16,
    _mm256_storeu_si256, _mm256_ternarylogic_epi32, _mm256_unpackhi_epi8, _mm256_unpackhi_epi16, _mm256_unpacklo_epi8,
    _mm256_unpacklo_epi16, _mm512_add_epi32, _mm512_broadcast_i64x4, _mm512_castsi128_si512, _mm512_castsi512_si256,
    _mm512_dpbusd_epi32, _mm512_extracti64x4_epi64, _mm512_inserti32x4, _mm512_set1_epi32, _mm512_setzero_si512,
    _mm512_shuffle_epi8, _mm512_slli_epi32,
};
use std::ops::Range;

use crate::coefficients::Weights;
use crate::kernel::Avx512;
use crate::rows::Rows;
use crate::tables::padded_row_len;

/// A vector's worth of bytes in the vertical pass.
const COLUMNS: usize = 32;

/// Groups of [`Across::rows_of`] that are counted at run time.
const MANY: usize = usize::MAX;

/// Weights of four taps: the `high` bytes of the four, the `middle` ones, the `low` ones.
type Group = [u32; 3];

/// The first `groups` groups of the window with weights `row`; taps after it have weight zero.
fn groups_of(row: &[i32], groups: usize) -> impl Iterator<Item = Group> {
    (0..groups).map(move |group| {
        let mut packed = [0; 3];
        for (at, &k) in row.iter().skip(4 * group).take(4).enumerate() {
            let low = k as i8;
            let rest = (k - i32::from(low)) >> 8;
            let middle = rest as i8;
            let high = ((rest - i32::from(middle)) >> 8) as i8;
            for (bytes, part) in packed.iter_mut().zip([high, middle, low]) {
                *bytes |= u32::from(part as u8) << (8 * at);
            }
        }
        packed
    })
}

/// Whether no sum of any window can overflow; see the module's comment.
fn is_packable(weights: &Weights) -> bool {
    (0..weights.starts.len()).all(|i| {
        let row = weights.row(i);
        row.iter().all(|k| (0..=1 << 22).contains(k)) && row.iter().map(|&k| i64::from(k)).sum::<i64>() <= 1 << 23
    })
}

/// Weights of the horizontal pass.
#[derive(Debug)]
pub(crate) struct Across {
    proof: Avx512,
    channels: usize,
    /// Groups of an output.
    groups: usize,
    /// Windows of 5 taps of 3 channels: the fifth pixel is in the same 16 bytes as the first four.
    is_fifth_near: bool,
    /// Wanted outputs; the vectors below are padded to a multiple of four by repeating the last one.
    outputs: usize,
    /// Byte offset of each output's window from the first one's.
    offsets: Vec<u32>,
    /// `groups` groups an output. Of a near fifth tap the group holds one number: the weight less its low 7 bits,
    /// shifted by 7, as the upper word, and those bits as the lower one.
    packed: Vec<Group>,
    /// Invariant: no load for any of `offsets` ends beyond this many bytes.
    read_len: usize,
}

impl Across {
    /// Packs `weights` for pixels of 3 or 4 channels; `None` where the sums might overflow.
    pub(crate) fn new(proof: Avx512, weights: &Weights, channels: usize) -> Option<Self> {
        let (&origin, &last) = (weights.starts.first()?, weights.starts.last()?);
        let furthest = u32::try_from(u64::from(last - origin) * channels as u64).ok()?;
        if !is_packable(weights) {
            return None;
        }
        let groups = weights.taps.div_ceil(4);
        // The split of the fifth weight holds those below one.
        let is_fifth_near = (weights.taps, channels) == (5, 3) && weights.values.iter().all(|&k| k < 1 << 22);
        let outputs = weights.starts.len();
        let padded = outputs.next_multiple_of(4);
        let mut offsets = Vec::with_capacity(padded);
        let mut packed = Vec::with_capacity(padded * groups);
        for i in (0..padded).map(|i| i.min(outputs - 1)) {
            offsets.push((weights.starts[i] - origin) * channels as u32);
            packed.extend(groups_of(weights.row(i), groups));
            if let (true, Some(group)) = (is_fifth_near, packed.last_mut()) {
                let fifth = weights.row(i).get(4).map_or(0, |&k| k as u32);
                *group = [fifth >> 7 << 16 | fifth & 0x7f, 0, 0];
            }
        }
        let last_load = if is_fifth_near { 0 } else { 4 * channels * (groups - 1) };
        let read_len = furthest as usize + last_load + 16;
        Some(Self { proof, channels, groups, is_fifth_near, outputs, offsets, packed, read_len })
    }

    pub(crate) fn size_bytes(&self) -> usize {
        size_of_val(self.offsets.as_slice()) + size_of_val(self.packed.as_slice())
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
        let _: Avx512 = self.proof;
        let rows = rows.map(<[u8]>::as_ptr);
        let out = out.as_mut_ptr();
        // SAFETY: `proof` says that the processor has the instructions. Every row holds `read_len` bytes, beyond which
        // no load of this table ends, and `out` four rows of `out_stride >= padded_row_len` bytes, both asserted above.
        unsafe {
            match (self.channels, self.groups) {
                (3, 1) => self.rows_of::<3, 1, false>(rows, out, out_stride),
                (3, 2) if self.is_fifth_near => self.rows_of::<3, 2, true>(rows, out, out_stride),
                (3, 2) => self.rows_of::<3, 2, false>(rows, out, out_stride),
                (3, _) => self.rows_of::<3, MANY, false>(rows, out, out_stride),
                (_, 1) => self.rows_of::<4, 1, false>(rows, out, out_stride),
                (_, 2) => self.rows_of::<4, 2, false>(rows, out, out_stride),
                (_, _) => self.rows_of::<4, MANY, false>(rows, out, out_stride),
            }
        }
    }

    /// Four outputs at a time for pixels of `C` (3 or 4) channels.
    ///
    /// # Safety
    ///
    /// The instructions of [`Avx512`]; each row holds `read_len` bytes; `out` holds four rows of
    /// `out_stride >= padded_row_len(outputs, C)` bytes.
    #[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn rows_of<const C: usize, const GROUPS: usize, const FIFTH: bool>(
        &self,
        rows: [*const u8; 4],
        out: *mut u8,
        out_stride: usize,
    ) {
        // Byte `i` of each 32 bits (a channel) is the output's sample `i`: to four pixels in 12 bytes (or 16).
        let pixels = _mm256_broadcastsi128_si256(if C == 3 {
            _mm_setr_epi8(0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11, -1, -1, -1, -1)
        } else {
            _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15)
        });
        let masks = Masks::new::<C>();
        let groups = if GROUPS == MANY { self.groups } else { GROUPS };
        let (quads, _) = self.offsets.as_chunks::<4>();
        for (quad, (offsets, weights)) in quads.iter().zip(self.packed.chunks_exact(4 * groups)).enumerate() {
            let mut sums = [[_mm256_setzero_si256(); 4]; 2];
            for at in 0..4 {
                let weights = &weights[at * groups..][..groups];
                // SAFETY: the offset is one of the table's, so every load ends within `read_len` bytes of its row.
                [sums[0][at], sums[1][at]] = unsafe {
                    let rows = rows.map(|row| row.add(offsets[at] as usize));
                    if GROUPS == MANY {
                        many_groups::<C>(rows, weights, &masks)
                    } else {
                        few_groups::<C, GROUPS, FIFTH>(rows, weights, &masks)
                    }
                };
            }
            let [ab, cd] = sums.map(|sums| _mm256_shuffle_epi8(bytes_of(sums), pixels));
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
}

/// Shuffles of the horizontal pass: pixels to the taps of each channel, a channel in each 32 bits.
struct Masks {
    /// Four pixels.
    four: __m256i,
    /// The fifth pixel of three channels: the sample, and the sample times 256, as words.
    fifth: __m256i,
    /// Shifts that make of these the sample, and the sample times 128.
    halves: __m256i,
}

impl Masks {
    #[inline]
    #[target_feature(enable = "avx2")]
    fn new<const C: usize>() -> Self {
        let four = if C == 3 {
            _mm_setr_epi8(0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11, -1, -1, -1, -1)
        } else {
            _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15)
        };
        let fifth = _mm_setr_epi8(12, -1, -1, 12, 13, -1, -1, 13, 14, -1, -1, 14, -1, -1, -1, -1);
        Self {
            four: _mm256_broadcastsi128_si256(four),
            fifth: _mm256_broadcastsi128_si256(fifth),
            halves: _mm256_set1_epi32(1 << 16),
        }
    }
}

/// One output of four rows from one or two groups: 32-bit sums of up to four channels, a row a lane, rows 0 and 1 in
/// the first vector.
///
/// # Safety
///
/// The instructions of [`Avx512`]; `rows` point at the output's window, with the bytes that the table's loads need.
#[inline]
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn few_groups<const C: usize, const GROUPS: usize, const FIFTH: bool>(
    [a, b, c, d]: [*const u8; 4],
    weights: &[Group],
    masks: &Masks,
) -> [__m256i; 2] {
    // SAFETY: the caller's promise: these are loads of the table.
    let load = |at: usize| unsafe { [load_two(a.add(at), b.add(at)), load_two(c.add(at), d.add(at))] };
    let first = load(0);
    let second = if GROUPS == 2 && !FIFTH { load(4 * C) } else { first };
    let samples = [first, second].map(|pixels| pixels.map(|pixels| _mm256_shuffle_epi8(pixels, masks.four)));
    // The high parts first and shifted: then one register holds the sum. 32 becomes the rounding, 2^21.
    let mut sums = [_mm256_set1_epi32(32); 2];
    for part in 0..3 {
        for (pair, sum) in sums.iter_mut().enumerate() {
            if part != 0 {
                *sum = _mm256_slli_epi32::<8>(*sum);
            }
            for (samples, weights) in samples.iter().zip(weights).take(if FIFTH { 1 } else { GROUPS }) {
                *sum = _mm256_dpbusd_epi32(*sum, samples[pair], _mm256_set1_epi32(weights[part] as i32));
            }
        }
    }
    if FIFTH {
        let weight = _mm256_set1_epi32(weights[1][0] as i32);
        for (sum, pixels) in sums.iter_mut().zip(first) {
            let samples = _mm256_srlv_epi16(_mm256_shuffle_epi8(pixels, masks.fifth), masks.halves);
            *sum = _mm256_dpwssd_epi32(*sum, samples, weight);
        }
    }
    sums
}

/// As [`few_groups`], from any number of groups.
///
/// # Safety
///
/// As [`few_groups`].
#[inline]
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn many_groups<const C: usize>(rows: [*const u8; 4], weights: &[Group], masks: &Masks) -> [__m256i; 2] {
    let four = _mm512_broadcast_i64x4(masks.four);
    // A sum for each part: one register for all of them would make a single chain of the dot products.
    let mut sums = [_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_set1_epi32(1 << 21)];
    for (group, weights) in weights.iter().enumerate() {
        // SAFETY: the caller's promise: these are loads of the table.
        let [a, b, c, d] = rows.map(|row| unsafe { _mm_loadu_si128(row.add(4 * C * group).cast()) });
        let pixels = _mm512_inserti32x4::<1>(_mm512_castsi128_si512(a), b);
        let pixels = _mm512_inserti32x4::<3>(_mm512_inserti32x4::<2>(pixels, c), d);
        let samples = _mm512_shuffle_epi8(pixels, four);
        for (sum, &part) in sums.iter_mut().zip(weights) {
            *sum = _mm512_dpbusd_epi32(*sum, samples, _mm512_set1_epi32(part as i32));
        }
    }
    let [high, middle, low] = sums;
    let sum = _mm512_add_epi32(low, _mm512_slli_epi32::<8>(middle));
    let sum = _mm512_add_epi32(sum, _mm512_slli_epi32::<16>(high));
    [_mm512_castsi512_si256(sum), _mm512_extracti64x4_epi64::<1>(sum)]
}

/// Bits 22 to 29 of each sum, the output: byte `i` of each 32 bits is that of `sums[i]`. The bits above must be zero.
#[inline]
#[target_feature(enable = "avx2,avx512f,avx512vl")]
fn bytes_of([a, b, c, d]: [__m256i; 4]) -> __m256i {
    /// The second operand where the first one's bit is set, else the third.
    const SELECT: i32 = 0b1100_1010;
    let ab = _mm256_ternarylogic_epi32::<SELECT>(
        _mm256_set1_epi32(0xff00),
        _mm256_srli_epi32::<14>(b),
        _mm256_srli_epi32::<22>(a),
    );
    let cd = _mm256_ternarylogic_epi32::<SELECT>(
        _mm256_set1_epi32(0x00ff_0000),
        _mm256_srli_epi32::<6>(c),
        _mm256_slli_epi32::<2>(d),
    );
    _mm256_ternarylogic_epi32::<SELECT>(_mm256_set1_epi32(0xffff), ab, cd)
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

/// Weights of the vertical pass.
#[derive(Debug)]
pub(crate) struct Down {
    proof: Avx512,
    packed: Vec<Group>,
    /// Groups an output.
    stride: usize,
}

impl Down {
    /// Packs `weights`; `None` where the sums might overflow.
    pub(crate) fn new(proof: Avx512, weights: &Weights) -> Option<Self> {
        if !is_packable(weights) {
            return None;
        }
        let stride = weights.taps.div_ceil(4);
        let packed = (0..weights.starts.len()).flat_map(|i| groups_of(weights.row(i), stride)).collect();
        Some(Self { proof, packed, stride })
    }

    pub(crate) fn size_bytes(&self) -> usize {
        size_of_val(self.packed.as_slice())
    }

    /// The vertical pass for output row `i`: `out.len()` bytes of every row.
    pub(crate) fn run(&self, weights: &Weights, i: usize, rows: Rows<'_>, out: &mut [u8]) {
        let window = weights.starts[i] as usize..weights.ends[i] as usize;
        let groups = &self.packed[i * self.stride..][..window.len().div_ceil(4)];
        assert!(rows.hold(window.end - 1, out.len()));
        if out.len() < COLUMNS {
            return narrow_down(groups, window, rows, out);
        }
        let _: Avx512 = self.proof;
        // SAFETY: `proof` says that the processor has the instructions; each row of the window holds `out.len()` bytes
        // (asserted above), and that is at least COLUMNS.
        unsafe {
            if groups.len() == 1 {
                wide_down::<true>(groups, window, rows, out);
            } else {
                wide_down::<false>(groups, window, rows, out);
            }
        }
    }
}

/// The vertical pass for rows of a vector or more; `ONE` says that there is one group.
///
/// # Safety
///
/// The instructions of [`Avx512`]; each row of the window, which is not empty and has `groups.len()` groups, holds
/// `out.len() >= COLUMNS` bytes.
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn wide_down<const ONE: bool>(groups: &[Group], window: Range<usize>, rows: Rows<'_>, out: &mut [u8]) {
    let last = out.len() - COLUMNS;
    // The last step overlaps the one before instead of ending early.
    for column in (0..last).step_by(COLUMNS).chain([last]) {
        // SAFETY: the caller's promise; `column + COLUMNS` is at most `out.len()`.
        unsafe {
            let pixels = columns::<ONE>(groups, window.clone(), rows, column);
            _mm256_storeu_si256(out.as_mut_ptr().add(column).cast(), pixels);
        }
    }
}

/// 32 bytes of an output row.
///
/// # Safety
///
/// As [`wide_down`], and each row of the window holds `column + COLUMNS` bytes.
#[inline]
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn columns<const ONE: bool>(groups: &[Group], window: Range<usize>, rows: Rows<'_>, column: usize) -> __m256i {
    let sums = if ONE {
        let [high, middle, low] = groups[0].map(|part| _mm256_set1_epi32(part as i32));
        // SAFETY: the caller's promise.
        unsafe { samples_of(window, 0, rows, column) }.map(|samples| {
            // As in `few_groups`.
            let sum = _mm256_dpbusd_epi32(_mm256_set1_epi32(32), samples, high);
            let sum = _mm256_dpbusd_epi32(_mm256_slli_epi32::<8>(sum), samples, middle);
            _mm256_dpbusd_epi32(_mm256_slli_epi32::<8>(sum), samples, low)
        })
    } else {
        let mut parts = [[_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_set1_epi32(1 << 21)]; 4];
        for (group, weights) in groups.iter().enumerate() {
            let weights = weights.map(|part| _mm256_set1_epi32(part as i32));
            // SAFETY: the caller's promise.
            let samples = unsafe { samples_of(window.clone(), group, rows, column) };
            for (sums, samples) in parts.iter_mut().zip(samples) {
                for (sum, weight) in sums.iter_mut().zip(weights) {
                    *sum = _mm256_dpbusd_epi32(*sum, samples, weight);
                }
            }
        }
        parts.map(|[high, middle, low]| {
            let sum = _mm256_add_epi32(low, _mm256_slli_epi32::<8>(middle));
            _mm256_add_epi32(sum, _mm256_slli_epi32::<16>(high))
        })
    };
    let [a, b, c, d] = sums.map(|sum| _mm256_srli_epi32::<22>(sum));
    _mm256_packus_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d))
}

/// 32 columns of the four rows of a group, in the order that two packs undo: each 32 bits hold a column. Beyond the
/// window its last row is repeated: the weights there are zero.
///
/// # Safety
///
/// AVX2; each row of the window, which is not empty, holds `column + COLUMNS` bytes.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn samples_of(window: Range<usize>, group: usize, rows: Rows<'_>, column: usize) -> [__m256i; 4] {
    let base = rows.data.as_ptr();
    let [a, b, c, d] = [0, 1, 2, 3].map(|at| {
        let i = (window.start + 4 * group + at).min(window.end - 1);
        // SAFETY: the caller's promise for row `i`, which lies in the window.
        unsafe { _mm256_loadu_si256(base.add((i & rows.mask) * rows.stride + column).cast()) }
    });
    let [first, second] = [_mm256_unpacklo_epi8(a, b), _mm256_unpackhi_epi8(a, b)];
    let [third, fourth] = [_mm256_unpacklo_epi8(c, d), _mm256_unpackhi_epi8(c, d)];
    [
        _mm256_unpacklo_epi16(first, third),
        _mm256_unpackhi_epi16(first, third),
        _mm256_unpacklo_epi16(second, fourth),
        _mm256_unpackhi_epi16(second, fourth),
    ]
}

/// The vertical pass for rows shorter than a vector.
fn narrow_down(groups: &[Group], window: Range<usize>, rows: Rows<'_>, out: &mut [u8]) {
    let mut sums = [1 << 21; COLUMNS];
    for (tap, i) in window.enumerate() {
        let [high, middle, low] = groups[tap / 4].map(|bytes| i32::from((bytes >> (8 * (tap % 4))) as i8));
        let k = (high << 16) + (middle << 8) + low;
        for (sum, &sample) in sums.iter_mut().zip(&rows.row(i)[..out.len()]) {
            *sum += i32::from(sample) * k;
        }
    }
    for (out, sum) in out.iter_mut().zip(sums) {
        *out = (sum >> 22) as u8;
    }
}
