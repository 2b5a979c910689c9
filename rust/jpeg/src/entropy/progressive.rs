//! Parts of progressive scans (T.81 Annex G).
//!
//! DC coefficients lie apart from the blocks, and so does a bitmap of each block's nonzero AC coefficients: bit 63 - k is that
//! of zigzag index k. Refinement scans read and write bitmaps alone. What they bring lies in bit planes, which
//! [`Coefficients::merge`] adds to what the first scans brought.
//!
//! A sound scan stores nothing outside of its band, and no value beyond 15 bits and a sign. libjpeg-turbo stores such values
//! somehow and says nothing; here they are [`Damage::Unusual`](super::Damage::Unusual). So all coefficients are multiples of
//! the bit position reached, and a refinement never finds its bit set already.

mod dc;
mod first;
mod merge;
mod refine;

pub(crate) use dc::{DcUnit, decode_dc, refine_dc};
pub(crate) use first::{First, MAX_LOW};
pub(crate) use merge::Coefficients;
pub(crate) use refine::{Maps, Refinement};

use super::bits::Bits;

/// Reads how many blocks an EOB run goes on behind the current one (T.81 G.1.2.2), by the category in its code: 0 to 14, as
/// many bits must be in the window.
#[inline(always)]
fn end_of_band_run(bits: Bits<'_>, category: u32) -> (Bits<'_>, u32) {
    (bits.consume(category), (1 << category) - 1 + bits.peek(category))
}
