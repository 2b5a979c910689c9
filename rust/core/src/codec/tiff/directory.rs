//! The first directory of a TIFF file (TIFF 6.0, section 2).

use super::corrupt;
use crate::codec::bytes::Bytes;
use crate::{Code, Error, Result};

/// Numbers of the tags that are read.
pub(super) mod tag {
    pub(in super::super) const WIDTH: u16 = 256;
    pub(in super::super) const HEIGHT: u16 = 257;
    pub(in super::super) const BITS: u16 = 258;
    pub(in super::super) const COMPRESSION: u16 = 259;
    pub(in super::super) const PHOTOMETRIC: u16 = 262;
    pub(in super::super) const FILL_ORDER: u16 = 266;
    pub(in super::super) const STRIP_OFFSETS: u16 = 273;
    pub(in super::super) const SAMPLES: u16 = 277;
    pub(in super::super) const ROWS_PER_STRIP: u16 = 278;
    pub(in super::super) const STRIP_BYTES: u16 = 279;
    pub(in super::super) const PLANAR: u16 = 284;
    pub(in super::super) const PREDICTOR: u16 = 317;
    pub(in super::super) const COLORS: u16 = 320;
    pub(in super::super) const TILE_WIDTH: u16 = 322;
    pub(in super::super) const TILE_HEIGHT: u16 = 323;
    pub(in super::super) const TILE_OFFSETS: u16 = 324;
    pub(in super::super) const TILE_BYTES: u16 = 325;
    pub(in super::super) const EXTRA_SAMPLES: u16 = 338;
    pub(in super::super) const SAMPLE_FORMAT: u16 = 339;
    pub(in super::super) const JPEG_TABLES: u16 = 347;
}

/// Bytes of an entry: tag, type, count, and the values or where they stand.
const ENTRY: usize = 12;

/// The entries of the first directory.
pub(super) struct Directory<'a> {
    bytes: &'a [u8],
    entries: &'a [[u8; ENTRY]],
    is_little_endian: bool,
}

/// The values of one entry: whole numbers, read where they stand.
pub(super) struct Values<'a> {
    packed: &'a [u8],
    value_bytes: usize,
    is_little_endian: bool,
}

impl Values<'_> {
    pub(super) fn len(&self) -> usize {
        self.packed.len() / self.value_bytes
    }

    pub(super) fn get(&self, index: usize) -> Option<u32> {
        let value = self.packed.get(index.checked_mul(self.value_bytes)?..)?.get(..self.value_bytes)?;
        Some(number(value, self.is_little_endian))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = u32> {
        self.packed.chunks_exact(self.value_bytes).map(|value| number(value, self.is_little_endian))
    }
}

fn number(bytes: &[u8], is_little_endian: bool) -> u32 {
    let join = |value: u32, &byte: &u8| value << 8 | u32::from(byte);
    if is_little_endian { bytes.iter().rev().fold(0, join) } else { bytes.iter().fold(0, join) }
}

impl<'a> Directory<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self> {
        let mut input = Bytes::at(bytes, 0);
        let [first, _, version @ ..] = input.array::<4>()?;
        let is_little_endian = first == b'I';
        if number(&version, is_little_endian) != 42 {
            return Err(Error::new(Code::UnsupportedFormat, "expected TIFF, got BigTIFF"));
        }
        let start = number(&input.array::<4>()?, is_little_endian) as usize;
        let mut input = Bytes::at(bytes, start);
        let count = number(&input.array::<2>()?, is_little_endian) as usize;
        let entries = input.take(count * ENTRY)?.as_chunks::<ENTRY>().0;
        Ok(Self { bytes, entries, is_little_endian })
    }

    pub(super) fn is_little_endian(&self) -> bool {
        self.is_little_endian
    }

    fn entry(&self, tag: u16) -> Option<&'a [u8; ENTRY]> {
        self.entries.iter().find(|entry| number(&entry[..2], self.is_little_endian) == u32::from(tag))
    }

    /// The bytes of an entry's values, each of `value_bytes`.
    fn bytes_of(&self, entry: &'a [u8; ENTRY], value_bytes: usize) -> Result<&'a [u8]> {
        let count = number(&entry[4..8], self.is_little_endian) as usize;
        let length = count.saturating_mul(value_bytes);
        if length <= 4 {
            return Ok(&entry[8..8 + length]);
        }
        Bytes::at(self.bytes, number(&entry[8..], self.is_little_endian) as usize).take(length)
    }

    /// The values of a tag.
    pub(super) fn values(&self, tag: u16) -> Result<Option<Values<'a>>> {
        let Some(entry) = self.entry(tag) else { return Ok(None) };
        let value_bytes = match number(&entry[2..4], self.is_little_endian) {
            1 => 1,
            3 => 2,
            4 => 4,
            kind => return Err(corrupt(&format!("tag {tag}: expected whole numbers, got type {kind}"))),
        };
        let packed = self.bytes_of(entry, value_bytes)?;
        if packed.is_empty() {
            return Err(corrupt(&format!("tag {tag} has no value")));
        }
        Ok(Some(Values { packed, value_bytes, is_little_endian: self.is_little_endian }))
    }

    /// The bytes of a tag that holds data of another format.
    pub(super) fn data(&self, tag: u16) -> Result<Option<&'a [u8]>> {
        self.entry(tag).map(|entry| self.bytes_of(entry, 1)).transpose()
    }

    /// The first value of a tag.
    pub(super) fn number(&self, tag: u16) -> Result<Option<u32>> {
        Ok(self.values(tag)?.and_then(|values| values.get(0)))
    }

    /// The first value of a tag that must be there.
    pub(super) fn required(&self, tag: u16) -> Result<usize> {
        match self.number(tag)? {
            Some(value) => Ok(value as usize),
            None => Err(corrupt(&format!("tag {tag} is missing"))),
        }
    }
}
