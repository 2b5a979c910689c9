//! The local header and the data descriptor: what stands around a member's data must say what the directory says.

use std::ops::Range;

use memchr::memmem;

use super::directory::{Directory, Entry, FLAG_DESCRIPTOR};
use super::fields::{DESCRIPTOR, Fields, IN_ZIP64_32, LOCAL, LOCAL_BYTES, ZIP64_EXTRA, extra_fields};
use crate::error::{Code, Error, Result};

/// The longest data descriptor: signature, checksum, two sizes of 64 bits (APPNOTE 4.3.9.2).
const DESCRIPTOR_BYTES: usize = 24;

/// The range of a member's data in `buffer`, whose first byte is the chunk's byte `buffer_offset`.
///
/// # Errors
///
/// `local_header`, `name_mismatch`, `header_mismatch`, `descriptor`, `hidden_entry`, and `data_bounds` for what lies outside the
/// member's place or outside the buffer.
pub(crate) fn member_data(
    directory: &Directory,
    index: usize,
    buffer: &[u8],
    buffer_offset: u64,
) -> Result<Range<usize>> {
    let entry = directory.entry(index);
    let start = entry.header_offset;
    // What belongs to something else is not looked at, even where it is at hand: the result is the same from any buffer.
    let own = directory.stop(index).saturating_sub(buffer_offset);
    let buffer = &buffer[..buffer.len().min(usize::try_from(own).unwrap_or(usize::MAX))];
    let window = Window { buffer, offset: buffer_offset };
    if directory.is_bare() {
        return window.range(start, entry.compressed_size);
    }

    // APPNOTE 4.3.7
    let header = window.range(start, LOCAL_BYTES as u64)?;
    let local = Local::read(&buffer[header])
        .ok_or_else(|| Error::new(Code::LocalHeader, "no local header has this position").at(start))?;
    let raw_name = directory.raw_name(index);
    let variable = start + LOCAL_BYTES as u64;
    if usize::from(local.name_bytes) != raw_name.len() {
        let detail = format!("{} bytes of name, {} in the directory", local.name_bytes, raw_name.len());
        return Err(Error::new(Code::NameMismatch, detail).at(start));
    }
    if &buffer[window.range(variable, local.name_bytes.into())?] != raw_name {
        return Err(Error::new(Code::NameMismatch, "the local header has another name").at(start));
    }
    let extra_start = variable + u64::from(local.name_bytes);
    let extra = &buffer[window.range(extra_start, local.extra_bytes.into())?];
    local.agrees_with(entry, extra).map_err(|error| error.at(start))?;

    let data_start = extra_start + u64::from(local.extra_bytes);
    let stop = directory.stop(index);
    let data_end = data_start.checked_add(entry.compressed_size).filter(|&end| end <= stop).ok_or_else(|| {
        let detail = format!("{} bytes from {data_start}, and something else begins at {stop}", entry.compressed_size);
        Error::new(Code::DataBounds, detail).at(data_start)
    })?;
    let data = window.range(data_start, entry.compressed_size)?;
    let mut end = data_end;
    if entry.flags & FLAG_DESCRIPTOR != 0 {
        let most = (stop - data_end).min(DESCRIPTOR_BYTES as u64) as usize;
        let follows = &buffer[data.end..];
        let follows = &follows[..follows.len().min(most)];
        let Some(length) = descriptor_length(entry, follows) else {
            if follows.len() < most {
                return Err(window.outside(data_end, most as u64));
            }
            let detail = "no data descriptor with the directory's checksum and sizes follows the data";
            return Err(Error::new(Code::Descriptor, detail).at(data_end));
        };
        end += length as u64;
    }
    if directory.shows_gaps() {
        window.refuse_hidden(end, directory.extent(index).end)?;
    }
    Ok(data)
}

/// Part of a chunk, addressed by position in the chunk.
struct Window<'a> {
    buffer: &'a [u8],
    offset: u64,
}

impl Window<'_> {
    /// The place in the buffer of `size` bytes at a position of the chunk.
    fn range(&self, start: u64, size: u64) -> Result<Range<usize>> {
        let place = || {
            let first = usize::try_from(start.checked_sub(self.offset)?).ok()?;
            let last = first.checked_add(usize::try_from(size).ok()?)?;
            (last <= self.buffer.len()).then_some(first..last)
        };
        place().ok_or_else(|| self.outside(start, size))
    }

    /// Refuses a local header between a member and whatever the directory knows next: readers of the stream see it.
    ///
    /// A gap is tolerated, and a member's extent holds the first 64 KiB of the one behind it: as much is looked at, in
    /// bytes that are at hand anyway. A directory does not tell a gap from a local extra field, so that nothing can be
    /// said before the member is read.
    fn refuse_hidden(&self, end: u64, stop: u64) -> Result<()> {
        let (first, last) = (end.saturating_sub(self.offset), stop.saturating_sub(self.offset));
        let last = last.min(self.buffer.len() as u64);
        if last.saturating_sub(first) < LOCAL_BYTES as u64 {
            return Ok(());
        }
        let gap = &self.buffer[first as usize..last as usize];
        match memmem::find(gap, &LOCAL).filter(|&at| gap.len() - at >= LOCAL_BYTES) {
            None => Ok(()),
            Some(at) => {
                let at = end + at as u64;
                let detail = format!("a local header at {at}, where the directory has none from {end} to {stop}");
                Err(Error::new(Code::HiddenEntry, detail).at(at))
            }
        }
    }

    fn outside(&self, start: u64, size: u64) -> Error {
        let (at_hand, offset) = (self.buffer.len(), self.offset);
        Error::new(Code::DataBounds, format!("{size} bytes from {start}, and {at_hand} from {offset} are at hand"))
            .at(start)
    }
}

/// The fixed part of a local header (APPNOTE 4.3.7).
struct Local {
    flags: u16,
    method: u16,
    crc32: u32,
    compressed_size: u32,
    uncompressed_size: u32,
    name_bytes: u16,
    extra_bytes: u16,
}

impl Local {
    /// `None` if the bytes are no local header.
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        if fields.signature()? != LOCAL {
            return None;
        }
        let _needed = fields.u16()?;
        let (flags, method) = (fields.u16()?, fields.u16()?);
        let (_time, _date) = (fields.u16()?, fields.u16()?);
        let (crc32, compressed_size, uncompressed_size) = (fields.u32()?, fields.u32()?, fields.u32()?);
        let (name_bytes, extra_bytes) = (fields.u16()?, fields.u16()?);
        Some(Self { flags, method, crc32, compressed_size, uncompressed_size, name_bytes, extra_bytes })
    }

    /// Compares all that both headers hold, the times and versions aside.
    fn agrees_with(&self, entry: &Entry, extra: &[u8]) -> Result<()> {
        let differs = |field: &str, local: u64, central: u64| {
            let detail = format!("{field}: {local} in the local header, {central} in the directory");
            Err(Error::new(Code::HeaderMismatch, detail))
        };
        if self.flags != entry.flags {
            return differs("flags", self.flags.into(), entry.flags.into());
        }
        if self.method != entry.method {
            return differs("method", self.method.into(), entry.method.into());
        }
        let (mut size, mut packed) = (u64::from(self.uncompressed_size), u64::from(self.compressed_size));
        if self.uncompressed_size == IN_ZIP64_32 || self.compressed_size == IN_ZIP64_32 {
            // Without the field the sizes stand for themselves, and then they must be the directory's.
            if let Some(field) = zip64_field(extra)? {
                let mut fields = Fields(field);
                // APPNOTE 4.5.3 demands both here; some writers put only the one that is referred to.
                let mut next = |small: u32, large: &mut u64| {
                    if small == IN_ZIP64_32 || field.len() >= 16 {
                        *large = fields.u64()?;
                    }
                    Some(())
                };
                next(self.uncompressed_size, &mut size)
                    .and_then(|()| next(self.compressed_size, &mut packed))
                    .ok_or_else(|| Error::new(Code::Zip64Extra, "it is too short in the local header"))?;
            }
        }
        // APPNOTE 4.4.4, bit 3: zero here, the truth in the descriptor. Some writers know the truth already.
        let deferred = entry.flags & FLAG_DESCRIPTOR != 0;
        if self.crc32 != entry.crc32 && !(deferred && self.crc32 == 0) {
            return differs("CRC-32", self.crc32.into(), entry.crc32.into());
        }
        if packed != entry.compressed_size && !(deferred && packed == 0) {
            return differs("compressed size", packed, entry.compressed_size);
        }
        if size != entry.uncompressed_size && !(deferred && size == 0) {
            return differs("size", size, entry.uncompressed_size);
        }
        Ok(())
    }
}

fn zip64_field(extra: &[u8]) -> Result<Option<&[u8]>> {
    let mut found = None;
    for (id, data) in extra_fields(extra).flatten() {
        if id == ZIP64_EXTRA && found.replace(data).is_some() {
            return Err(Error::new(Code::Zip64Extra, "there are two of them in the local header"));
        }
    }
    Ok(found)
}

/// The length of the data descriptor of this member that the bytes begin with, in any of the four forms in use: with the
/// signature or without, sizes of 32 or of 64 bits (APPNOTE 4.3.9).
fn descriptor_length(entry: &Entry, follows: &[u8]) -> Option<usize> {
    let matches = |mut fields: Fields<'_>, wide: bool| {
        let mut size = || if wide { fields.u64() } else { fields.u32().map(u64::from) };
        size() == Some(entry.compressed_size) && size() == Some(entry.uncompressed_size)
    };
    let unsigned = |bytes: &[u8]| {
        let mut fields = Fields(bytes);
        match fields.u32() == Some(entry.crc32) {
            true if matches(fields, false) => Some(12),
            true if matches(fields, true) => Some(20),
            _ => None,
        }
    };
    let signed = follows.strip_prefix(&DESCRIPTOR).and_then(unsigned).map(|length| length + DESCRIPTOR.len());
    signed.or_else(|| unsigned(follows))
}
