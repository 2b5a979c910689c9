//! What first scans and refinements bring, put together.

use std::ops::Range;

use crate::back::{Block, Kernel};
use crate::entropy::NATURAL;
use crate::{Error, ErrorKind};

/// The coefficients of an MCU row: all components' blocks, one behind the other. Kept from image to image.
#[derive(Default)]
pub(crate) struct Coefficients {
    /// AC coefficients of first scans; of sequential scans all coefficients.
    pub(crate) blocks: Vec<Block>,
    /// An upper bound of each block's last index that is not zero.
    pub(crate) lasts: Vec<u8>,
    /// DC coefficients of progressive scans.
    pub(crate) dc: Vec<i16>,
    /// By block the AC coefficients that are not zero, and those among them that a refinement brought and that are negative.
    pub(crate) nonzero: Vec<u64>,
    pub(crate) negative: Vec<u64>,
    /// What refinements brought.
    pub(crate) planes: Vec<Plane>,
}

/// A bit of all magnitudes.
pub(crate) struct Plane {
    /// Its position.
    pub(crate) low: u8,
    /// By block the coefficients that have it, of those whose refinement it is.
    pub(crate) maps: Vec<u64>,
}

impl Coefficients {
    /// Makes room for `count` blocks, all zero, and for the bit planes at `positions`, none of them for sequential scans.
    ///
    /// # Errors
    /// Memory could not be had.
    pub(crate) fn prepare(&mut self, count: usize, is_progressive: bool, positions: &[u8]) -> Result<(), Error> {
        let maps = if is_progressive { count } else { 0 };
        reset(&mut self.blocks, count, Block::ZERO)?;
        reset(&mut self.lasts, count, 0)?;
        reset(&mut self.dc, maps, 0)?;
        reset(&mut self.nonzero, maps, 0)?;
        reset(&mut self.negative, maps, 0)?;
        self.planes.resize_with(positions.len(), || Plane { low: 0, maps: Vec::new() });
        for (plane, &low) in self.planes.iter_mut().zip(positions) {
            plane.low = low;
            reset(&mut plane.maps, maps, 0)?;
        }
        Ok(())
    }

    /// Completes a run of blocks of progressive scans, and clears all that is known of them apart from blocks and `lasts`.
    pub(crate) fn merge(&mut self, kernel: Kernel, range: Range<usize>) {
        for at in range.clone() {
            let mut all = 0;
            for plane in &self.planes {
                all |= plane.maps[at];
            }
            if all != 0 {
                match kernel {
                    #[cfg(target_arch = "x86_64")]
                    Kernel::Avx2 | Kernel::Avx512 => {
                        // SAFETY: this kernel is in use only where the processor has AVX2.
                        unsafe { add_avx2(&mut self.blocks[at].0, self.negative[at], &self.planes, at) }
                    }
                    Kernel::Scalar => add(&mut self.blocks[at].0, self.negative[at], &self.planes, at),
                }
            }
            let nonzero = self.nonzero[at];
            self.lasts[at] = if nonzero == 0 { 0 } else { 63 - nonzero.trailing_zeros() as u8 };
            self.blocks[at].0[0] = self.dc[at];
        }
        for plane in &mut self.planes {
            plane.maps[range.clone()].fill(0);
        }
        self.nonzero[range.clone()].fill(0);
        self.negative[range].fill(0);
    }
}

fn reset<T: Clone>(values: &mut Vec<T>, count: usize, value: T) -> Result<(), Error> {
    values.clear();
    let no_memory = |_| Error::new(ErrorKind::OutOfMemory, format!("no memory for {count} blocks"));
    values.try_reserve_exact(count).map_err(no_memory)?;
    values.resize(count, value);
    Ok(())
}

/// Adds the bits of the planes at `at` to the magnitudes of a block's coefficients; those that are zero take their sign from
/// `negative`.
fn add(block: &mut [i16; 64], negative: u64, planes: &[Plane], at: usize) {
    for (index, &natural) in NATURAL[..64].iter().enumerate() {
        let bit = 1 << 63 >> index;
        let has_bit = |plane: &&Plane| plane.maps[at] & bit != 0;
        let magnitude: i16 = planes.iter().filter(has_bit).map(|plane| 1 << plane.low).sum();
        let value = &mut block[usize::from(natural)];
        let is_negative = *value < 0 || *value == 0 && negative & bit != 0;
        *value = if is_negative { value.wrapping_sub(magnitude) } else { value.wrapping_add(magnitude) };
    }
}

#[cfg(target_arch = "x86_64")]
use avx2::add_avx2;

#[cfg(target_arch = "x86_64")]
mod avx2 {
    #![allow(clippy::wildcard_imports, reason = "vector intrinsics")]

    use std::arch::x86_64::*;

    use super::Plane;
    use crate::entropy::NATURAL;

    /// For each coefficient in natural order the byte of a map in which its bit is, in both bytes of the lane, and the bit.
    #[repr(align(32))]
    struct Lanes {
        bytes: [[u8; 2]; 64],
        bits: [u16; 64],
    }

    static LANES: Lanes = {
        let mut lanes = Lanes { bytes: [[0; 2]; 64], bits: [0; 64] };
        let mut index = 0;
        while index < 64 {
            let natural = NATURAL[index] as usize;
            let bit = 63 - index;
            lanes.bytes[natural] = [bit as u8 / 8; 2];
            lanes.bits[natural] = 1 << (bit % 8);
            index += 1;
        }
        lanes
    };

    /// See [`super::add`].
    #[target_feature(enable = "avx2")]
    pub(super) fn add_avx2(block: &mut [i16; 64], negative: u64, planes: &[Plane], at: usize) {
        let mut magnitudes = [_mm256_setzero_si256(); 4];
        for plane in planes {
            let bit = _mm256_set1_epi16(1 << plane.low);
            let map = _mm256_set1_epi64x(plane.maps[at].cast_signed());
            for (quarter, magnitude) in magnitudes.iter_mut().enumerate() {
                *magnitude = _mm256_or_si256(*magnitude, _mm256_and_si256(expand(map, quarter), bit));
            }
        }
        let negative = _mm256_set1_epi64x(negative.cast_signed());
        for (quarter, (values, magnitude)) in block.as_chunks_mut::<16>().0.iter_mut().zip(magnitudes).enumerate() {
            let old = load(values);
            // Neither zero nor of another sign than the coefficient.
            let sign = _mm256_or_si256(_mm256_or_si256(old, expand(negative, quarter)), _mm256_set1_epi16(1));
            store(values, _mm256_add_epi16(old, _mm256_sign_epi16(magnitude, sign)));
        }
    }

    /// All bits set in the lanes of a quarter of the block whose bits in the map are set.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn expand(map: __m256i, quarter: usize) -> __m256i {
        let bytes = load(&LANES.bytes.as_chunks::<16>().0[quarter]);
        let bits = load(&LANES.bits.as_chunks::<16>().0[quarter]);
        _mm256_cmpeq_epi16(_mm256_and_si256(_mm256_shuffle_epi8(map, bytes), bits), bits)
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn load<T>(values: &[T; 16]) -> __m256i {
        const { assert!(size_of::<T>() == 2) };
        // SAFETY: 16 values of two bytes.
        unsafe { _mm256_loadu_si256(values.as_ptr().cast()) }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn store(values: &mut [i16; 16], vector: __m256i) {
        // SAFETY: 16 values of two bytes.
        unsafe { _mm256_storeu_si256(values.as_mut_ptr().cast(), vector) };
    }
}
