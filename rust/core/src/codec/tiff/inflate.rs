//! The compressions of TIFF that are decoded (TIFF 6.0, sections 9 and 13; Deflate as Adobe added it).

use weezl::BitOrder;
use weezl::decode::{Configuration, Decoder};
use zlib_rs::{Inflate, InflateFlush};

use super::{corrupt, unsupported};
use crate::codec::{MOST_OF_DEFLATE, MOST_OF_LZW};
use crate::{Code, Error, Result};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    Raw,
    Lzw,
    Deflate,
    PackBits,
    Jpeg,
}

impl Compression {
    pub(super) fn of(number: u32) -> Result<Self> {
        Ok(match number {
            1 => Self::Raw,
            5 => Self::Lzw,
            7 => Self::Jpeg,
            8 | 32946 => Self::Deflate,
            32773 => Self::PackBits,
            2..=4 => return Err(unsupported(&format!("fax compression {number}"))),
            6 => return Err(unsupported("old JPEG compression")),
            _ => return Err(unsupported(&format!("compression {number}"))),
        })
    }
}

impl Compression {
    /// Bytes that one byte can become.
    pub(super) const fn most_yield(self) -> u64 {
        match self {
            Self::Raw => 1,
            Self::Lzw => MOST_OF_LZW,
            Self::Deflate => MOST_OF_DEFLATE,
            Self::PackBits => 64,
            // One code may stand for thousands of empty blocks.
            Self::Jpeg => u64::MAX,
        }
    }
}

/// Decompresses pieces one after the other, with what the first one made.
pub(super) enum Inflater {
    Lzw(Decoder),
    Deflate(Inflate),
    PackBits,
}

impl Inflater {
    /// None for what is not compressed, or by another decoder.
    pub(super) fn new(compression: Compression) -> Option<Self> {
        match compression {
            Compression::Raw | Compression::Jpeg => None,
            Compression::Lzw => {
                let lzw = Configuration::with_tiff_size_switch(BitOrder::Msb, 8).with_yield_on_full_buffer(true);
                Some(Self::Lzw(lzw.build()))
            }
            Compression::Deflate => Some(Self::Deflate(Inflate::new(true, 15))),
            Compression::PackBits => Some(Self::PackBits),
        }
    }

    /// Fills `out` from a piece; what is beyond it is not decompressed.
    pub(super) fn fill(&mut self, piece: &[u8], out: &mut [u8]) -> Result<()> {
        let filled = match self {
            Self::Lzw(decoder) => lzw(decoder, piece, out)?,
            Self::Deflate(inflate) => {
                inflate.reset(true);
                // A wrong end shows by what is missing, as with libtiff.
                inflate.decompress(piece, out, InflateFlush::SyncFlush).map_err(|error| corrupt(error.as_str()))?;
                inflate.total_out() as usize
            }
            Self::PackBits => pack_bits(piece, out),
        };
        if filled < out.len() {
            return Err(Error::new(
                Code::TruncatedImage,
                format!("expected {} bytes of pixels, got {filled}", out.len()),
            ));
        }
        Ok(())
    }
}

fn lzw(decoder: &mut Decoder, mut piece: &[u8], out: &mut [u8]) -> Result<usize> {
    if let [0, second, ..] = piece
        && second & 1 != 0
    {
        return Err(unsupported("LZW of before TIFF 6.0"));
    }
    decoder.reset();
    let mut filled = 0;
    while filled < out.len() && !decoder.has_ended() {
        let step = decoder.decode_bytes(piece, &mut out[filled..]);
        filled += step.consumed_out;
        piece = &piece[step.consumed_in..];
        if let Err(error) = step.status {
            return Err(corrupt(&format!("{error} after {filled} of {} bytes", out.len())));
        }
        if (step.consumed_in, step.consumed_out) == (0, 0) {
            break;
        }
    }
    Ok(filled)
}

/// Section 9: a count below 128 announces bytes, one above it a byte to repeat.
fn pack_bits(mut piece: &[u8], out: &mut [u8]) -> usize {
    let mut filled = 0;
    while let [count, rest @ ..] = piece {
        let left = out.len() - filled;
        if left == 0 {
            break;
        }
        match *count {
            0..128 => {
                let taken = (usize::from(*count) + 1).min(rest.len());
                let kept = taken.min(left);
                out[filled..filled + kept].copy_from_slice(&rest[..kept]);
                filled += kept;
                piece = &rest[taken..];
            }
            128 => piece = rest,
            129.. => {
                let [value, rest @ ..] = rest else { break };
                let kept = (257 - usize::from(*count)).min(left);
                out[filled..filled + kept].fill(*value);
                filled += kept;
                piece = rest;
            }
        }
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pack_bits_as_in_the_specification() {
        let packed = [0xFE, 0xAA, 0x02, 0x80, 0x00, 0x2A, 0xFD, 0xAA, 0x03, 0x80, 0x00, 0x2A, 0x22, 0xF7, 0xAA];
        let expected = [
            0xAA, 0xAA, 0xAA, 0x80, 0x00, 0x2A, 0xAA, 0xAA, 0xAA, 0xAA, 0x80, 0x00, 0x2A, 0x22, 0xAA, 0xAA, 0xAA, 0xAA,
            0xAA, 0xAA, 0xAA, 0xAA, 0xAA, 0xAA,
        ];
        for length in 0..=expected.len() {
            let mut out = vec![0; length];
            assert_eq!(pack_bits(&packed, &mut out), length);
            assert_eq!(out, expected[..length]);
        }
        assert_eq!(pack_bits(&packed, &mut [0; 25]), 24);
        assert_eq!(pack_bits(&[128, 128, 5, 1], &mut [0; 25]), 1);
        assert_eq!(pack_bits(&[200], &mut [0; 25]), 0);
    }
}
