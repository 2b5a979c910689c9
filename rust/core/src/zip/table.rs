//! A directory as bytes for another process, and back: what was read and checked once is not asked for again.
//!
//! ```text
//! version, flags, six counts of what was tolerated, number of entries, entries, names
//! entry: flags, then as varints what the directory says, differences where neighbours are alike; then its fault
//! ```
//!
//! About 16 bytes an entry, and its name. Numbers are varints (seven bits a byte, the lowest first). The bytes come
//! from this process's own kind, but are read like any others: nothing is taken on trust that a later index or sum
//! relies on, and no memory by a declared number.

use std::ops::Range;

use super::directory::{Directory, Entry, Method};
use super::fields::Fields;
use super::tolerated::Tolerated;
use crate::error::{Code, Error};

const VERSION: u8 = 1;

const BARE: u8 = 1;
const SHOWS_GAPS: u8 = 1 << 1;

const FOLDER: u8 = 1;
const HAS_FAULT: u8 = 1 << 1;
/// The name as text is another than the name as stored.
const HAS_TEXT: u8 = 1 << 2;
const IS_CHECKED: u8 = 1 << 3;

/// No entry takes fewer: flags, a CRC, and seven varints.
const LEAST_ENTRY_BYTES: usize = 1 + 4 + 7;

impl Directory {
    /// The directory as bytes, for [`Self::from_bytes`].
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(32 + 24 * self.len() + self.names.len());
        out.push(VERSION);
        out.push(if self.bare { BARE } else { 0 } | if self.shows_gaps { SHOWS_GAPS } else { 0 });
        for count in self.tolerated.counts() {
            put(&mut out, count);
        }
        put(&mut out, self.len() as u64);
        let mut follows = 0;
        for entry in self.entries() {
            put_entry(&mut out, entry, follows);
            follows = entry.stop;
        }
        out.extend_from_slice(&self.names);
        out
    }

    /// The directory that [`Self::to_bytes`] wrote; `None` if these bytes are of no directory.
    #[must_use]
    pub fn from_bytes(data: &[u8]) -> Option<Self> {
        let mut rest = Fields(data);
        if rest.u8()? != VERSION {
            return None;
        }
        let flags = rest.u8()?;
        let mut counts = [0; Tolerated::COUNTS];
        for count in &mut counts {
            *count = varint(&mut rest)?;
        }
        let count = usize::try_from(varint(&mut rest)?).ok()?;
        if count > rest.0.len() / LEAST_ENTRY_BYTES || u32::try_from(count).is_err() {
            return None;
        }
        let bare = flags & BARE != 0;
        let mut entries: Vec<Entry> = Vec::new();
        entries.try_reserve_exact(count).ok()?;
        let (mut follows, mut named) = (0, 0);
        for _ in 0..count {
            let entry = read_entry(&mut rest, follows, &mut named)?;
            follows = entry.stop;
            entries.push(entry);
        }
        if rest.0.len() != named || !entries.iter().all(|entry| is_sound(entry, rest.0, bare)) {
            return None;
        }
        let shows_gaps = flags & SHOWS_GAPS != 0;
        let mut directory = Self {
            entries,
            names: rest.0.to_vec(),
            by_name: (0..count as u32).collect(),
            bare,
            shows_gaps,
            tolerated: Tolerated::of(counts),
        };
        directory.sort_names();
        Some(directory)
    }
}

fn put_entry(out: &mut Vec<u8>, entry: &Entry, follows: u64) {
    let has_text = entry.text != entry.stored_name;
    let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
    out.push(
        flag(entry.folder, FOLDER)
            | flag(entry.fault.is_some(), HAS_FAULT)
            | flag(has_text, HAS_TEXT)
            | flag(entry.is_checked, IS_CHECKED),
    );
    out.extend_from_slice(&entry.crc32.to_le_bytes());
    put(out, entry.flags.into());
    put(out, entry.method.into());
    put(out, entry.compressed_size);
    put_difference(out, entry.compressed_size, entry.uncompressed_size);
    put_difference(out, follows, entry.header_offset);
    put_difference(out, entry.header_offset, entry.stop);
    put(out, entry.stored_name.len() as u64);
    if has_text {
        put(out, entry.text.len() as u64);
    }
    if let Some(fault) = &entry.fault {
        put_text(out, fault.code().as_str());
        put_text(out, fault.detail());
        out.push(fault.offset().is_some().into());
        put(out, fault.offset().unwrap_or(0));
    }
}

fn read_entry(rest: &mut Fields<'_>, follows: u64, named: &mut usize) -> Option<Entry> {
    let flag = rest.u8()?;
    let crc32 = rest.u32()?;
    let flags = varint(rest)?.try_into().ok()?;
    let method = varint(rest)?.try_into().ok()?;
    let compressed_size = varint(rest)?;
    let uncompressed_size = difference(rest, compressed_size)?;
    let header_offset = difference(rest, follows)?;
    let stop = difference(rest, header_offset)?;
    let stored_name = name(rest, named)?;
    let text = if flag & HAS_TEXT == 0 { stored_name.clone() } else { name(rest, named)? };
    let fault = if flag & HAS_FAULT == 0 { None } else { Some(Box::new(read_fault(rest)?)) };
    let folder = flag & FOLDER != 0;
    let is_checked = flag & IS_CHECKED != 0;
    Some(Entry {
        flags,
        method,
        crc32,
        compressed_size,
        uncompressed_size,
        header_offset,
        fault,
        folder,
        is_checked,
        stored_name,
        text,
        stop,
    })
}

fn read_fault(rest: &mut Fields<'_>) -> Option<Error> {
    let code = text(rest)?;
    let code = *Code::ALL.iter().find(|known| known.as_str() == code)?;
    let error = Error::new(code, text(rest)?);
    let has_offset = rest.u8()? != 0;
    let offset = varint(rest)?;
    Some(if has_offset { error.at(offset) } else { error })
}

/// Whether what reading a member relies on holds; `names` is long enough for all of them.
fn is_sound(entry: &Entry, names: &[u8], bare: bool) -> bool {
    let has_text = names.get(entry.text.clone()).is_some_and(|text| str::from_utf8(text).is_ok());
    let has_place = if bare {
        entry.header_offset.checked_add(entry.compressed_size) == Some(entry.stop)
            && entry.uncompressed_size == entry.compressed_size
    } else {
        entry.least_end().is_some_and(|end| end <= entry.stop) && Method::from_number(entry.method).is_some()
    };
    // A folder is not delivered, so that it must have nothing to deliver.
    has_text && (has_place || entry.fault.is_some()) && (entry.uncompressed_size == 0 || !entry.folder)
}

/// Where the next name stands: behind those before it.
fn name(rest: &mut Fields<'_>, named: &mut usize) -> Option<Range<usize>> {
    let start = *named;
    *named = start.checked_add(usize::try_from(varint(rest)?).ok()?)?;
    Some(start..*named)
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

fn text<'a>(rest: &mut Fields<'a>) -> Option<&'a str> {
    let length = usize::try_from(varint(rest)?).ok()?;
    str::from_utf8(rest.bytes(length)?).ok()
}

fn put(out: &mut Vec<u8>, mut number: u64) {
    while number > 0x7F {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn varint(rest: &mut Fields<'_>) -> Option<u64> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let byte = rest.u8()?;
        let part = u64::from(byte & 0x7F);
        if part << shift >> shift != part {
            return None;
        }
        number |= part << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// A number by how far it is from another, in either direction.
fn put_difference(out: &mut Vec<u8>, from: u64, to: u64) {
    let signed = to.wrapping_sub(from).cast_signed();
    put(out, (signed << 1 ^ signed >> 63).cast_unsigned());
}

fn difference(rest: &mut Fields<'_>, from: u64) -> Option<u64> {
    let folded = varint(rest)?;
    Some(from.wrapping_add(folded >> 1 ^ (folded & 1).wrapping_neg()))
}
