//! The central directory as a table of members, each with what is wrong with it.

use std::borrow::Cow;
use std::collections::TryReserveError;
use std::ops::Range;

use super::fields::{
    CENTRAL, CENTRAL_BYTES, Fields, IN_ZIP64_16, IN_ZIP64_32, LOCAL_BYTES, Overrun, ZIP64_EXTRA, extra_fields,
};
use super::locate::Location;
use super::name::{self, Encoding};
use super::tolerated::Tolerated;
use crate::error::{Code, Error, Result};
use crate::limits::Limits;

/// Members below this size are not judged by their ratio: small files of one colour compress a thousandfold.
const RATIO_FROM: u64 = 16 << 20;

/// The most that a local header's extra field and a data descriptor can add to a member (APPNOTE 4.3.7, 4.3.9).
const LOCAL_SLACK: u64 = u16::MAX as u64 + 24;

/// Flags with a meaning that is supported: deflate's effort (bits 1 and 2), data descriptor, UTF-8 (APPNOTE 4.4.4).
const KNOWN_FLAGS: u16 = 0b110 | FLAG_DESCRIPTOR | FLAG_UTF8;
/// Sizes and checksum follow the data.
pub(super) const FLAG_DESCRIPTOR: u16 = 1 << 3;
const FLAG_UTF8: u16 = 1 << 11;
/// Encrypted, strongly encrypted, or behind an encrypted directory.
const FLAGS_ENCRYPTED: u16 = 1 | 1 << 6 | 1 << 13;
/// The method number that stands for AES (APPNOTE 4.4.5).
const METHOD_AES: u16 = 99;

/// The Info-ZIP Unicode path (APPNOTE 4.6.9).
pub(super) const UNICODE_PATH_EXTRA: u16 = 0x7075;

/// A compression method that is supported (APPNOTE 4.4.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// 0: the bytes as they are.
    Stored,
    /// 8: RFC 1951.
    Deflate,
    /// 9: the same with a window of 64 KiB.
    Deflate64,
}

impl Method {
    /// The method of a number, if it is supported.
    #[must_use]
    pub const fn from_number(number: u16) -> Option<Self> {
        match number {
            0 => Some(Self::Stored),
            8 => Some(Self::Deflate),
            9 => Some(Self::Deflate64),
            _ => None,
        }
    }

    /// The most bytes that one compressed byte can become: the longest match in the fewest bits.
    const fn expansion(self) -> u64 {
        match self {
            Self::Stored => 1,
            // 258 bytes from one bit of length and one of distance.
            Self::Deflate => 1032,
            // 65,538 bytes from one bit of length, 16 extra bits and one bit of distance.
            Self::Deflate64 => 29_128,
        }
    }
}

/// One member as the directory describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// General purpose flags (APPNOTE 4.4.4).
    pub flags: u16,
    /// The number of the compression method.
    pub method: u16,
    /// CRC-32 of the member's bytes; CRC-32C of a file in a shard.
    pub crc32: u32,
    /// Bytes of data in the archive.
    pub compressed_size: u64,
    /// Bytes of the member.
    pub uncompressed_size: u64,
    /// Position of the local header in the chunk.
    pub header_offset: u64,
    /// Why the member must not be read, as far as the directory shows.
    pub fault: Option<Box<Error>>,
    pub(super) folder: bool,
    /// Of a plain file: whether its checksum is known.
    pub(super) is_checked: bool,
    /// Where the name stands in the directory's names: as stored, and as UTF-8, which mostly is the same place.
    pub(super) stored_name: Range<usize>,
    pub(super) text: Range<usize>,
    /// The first byte of the chunk that belongs to something else.
    pub(super) stop: u64,
}

impl Entry {
    /// A file as it is, without headers.
    pub(super) fn plain(name: Range<usize>, offset: u64, size: u64, crc32c: u32) -> Self {
        Self {
            flags: FLAG_UTF8,
            method: 0,
            crc32: crc32c,
            compressed_size: size,
            uncompressed_size: size,
            header_offset: offset,
            fault: None,
            folder: false,
            is_checked: false,
            stored_name: name.clone(),
            text: name,
            stop: offset.saturating_add(size),
        }
    }

    /// The checksum of a plain file, if it is known.
    pub(crate) fn crc32c(&self) -> Option<u32> {
        self.is_checked.then_some(self.crc32)
    }

    pub(super) fn is_folder(&self) -> bool {
        self.folder
    }

    /// Position after the local header, the name and the data, without the local extra field and the descriptor.
    pub(super) fn least_end(&self) -> Option<u64> {
        let header = LOCAL_BYTES as u64 + self.stored_name.len() as u64;
        self.header_offset.checked_add(header)?.checked_add(self.compressed_size)
    }

    /// What exceeds a limit, if anything does.
    pub(crate) fn over_limit(&self, limits: &Limits) -> Option<Error> {
        let (packed, size) = (self.compressed_size, self.uncompressed_size);
        if packed > limits.member_bytes {
            let detail = format!("{packed} bytes in the archive, the limit is {}", limits.member_bytes);
            return Some(Error::new(Code::LimitMember, detail));
        }
        if size > limits.inflated_bytes {
            let detail = format!("{size} bytes when inflated, the limit is {}", limits.inflated_bytes);
            return Some(Error::new(Code::LimitInflated, detail));
        }
        if size > RATIO_FROM && size > packed.saturating_mul(limits.inflate_ratio) {
            let detail = format!("{packed} bytes inflate to {size}, the limit is {} times", limits.inflate_ratio);
            return Some(Error::new(Code::LimitRatio, detail));
        }
        None
    }
}

/// The members of one chunk, in the directory's order.
#[derive(Debug, Clone)]
pub struct Directory {
    pub(super) entries: Vec<Entry>,
    pub(super) names: Vec<u8>,
    /// Indices of the entries, sorted by name as text, then by index.
    pub(super) by_name: Vec<u32>,
    pub(super) bare: bool,
    /// Whether the place of every entry is known, so that what lies between them belongs to none.
    pub(super) shows_gaps: bool,
    pub(super) tolerated: Tolerated,
}

impl Directory {
    /// Reads a central directory (APPNOTE 4.3.12).
    ///
    /// `data` is the `location.size` bytes at `location.offset`. Memory is taken by the bytes at hand, never by a
    /// declared number.
    ///
    /// # Errors
    ///
    /// Faults of the archive as a whole: `entry_count`, `directory_bounds`, `directory_trailing`, `multi_disk`,
    /// `prefix`, `limit_entries`, `limit_directory`, `limit_memory`. A member's fault is in [`Entry::fault`]: members are
    /// good in the directory's order until their sizes add up to more than a limit, then `limit_chunk_inflated`.
    pub fn parse(data: &[u8], location: &Location, file_size: u64, limits: &Limits) -> Result<Self> {
        let &Location { offset, size, entries: declared, .. } = location;
        let bounds = |detail: String| Error::new(Code::DirectoryBounds, detail).at(offset);
        if data.len() as u64 != size || offset.checked_add(size).is_none_or(|stop| stop > file_size) {
            let at_hand = data.len();
            return Err(bounds(format!("offset {offset}, size {size}, {at_hand} bytes at hand, {file_size} in all")));
        }
        if declared > size / CENTRAL_BYTES as u64 {
            return Err(Error::new(Code::EntryCount, format!("{declared} entries cannot stand in {size} bytes")));
        }
        if declared > limits.entries {
            let detail = format!("{declared} entries, the limit is {}", limits.entries);
            return Err(Error::new(Code::LimitEntries, detail));
        }
        if size > limits.directory_bytes {
            let detail = format!("{size} bytes of directory, the limit is {}", limits.directory_bytes);
            return Err(Error::new(Code::LimitDirectory, detail));
        }

        let count = declared as usize;
        let mut entries: Vec<Entry> = Vec::new();
        let mut names = Vec::new();
        entries.try_reserve_exact(count).map_err(no_memory)?;
        names.try_reserve_exact(data.len() - count * CENTRAL_BYTES).map_err(no_memory)?;

        let mut tolerated = Tolerated::around(location);
        let mut rest = Fields(data);
        for index in 0..count {
            let at = offset + (data.len() - rest.0.len()) as u64;
            if rest.0.is_empty() {
                let detail = format!("{declared} entries declared, {index} found");
                return Err(Error::new(Code::EntryCount, detail).at(at));
            }
            if !rest.0.starts_with(&CENTRAL) {
                return Err(bounds(format!("no header stands where entry {index} of {declared} should begin")).at(at));
            }
            let header = Header::read(&mut rest)
                .ok_or_else(|| bounds(format!("entry {index} of {declared} reaches over the end")).at(at))?;
            let entry = header.entry(location.moved, &mut names, limits).map_err(|error| error.at(at))?;
            tolerated.count(&entry, header.extra);
            entries.push(entry);
        }
        let at = offset + (data.len() - rest.0.len()) as u64;
        if rest.0.starts_with(&CENTRAL) {
            let detail = format!("more entries follow the {declared} declared");
            return Err(Error::new(Code::EntryCount, detail).at(at));
        }
        if !rest.0.is_empty() {
            let detail = format!("{} bytes after the last of {declared} entries", rest.0.len());
            return Err(Error::new(Code::DirectoryTrailing, detail).at(at));
        }

        let mut directory = Self { entries, names, by_name: Vec::new(), bare: false, shows_gaps: false, tolerated };
        directory.place(offset, file_size, limits)?;
        directory.index_names()?;
        directory.limit_sum(limits);
        Ok(directory)
    }

    /// Plain files laid end to end, read like a chunk: no headers, no checksums. A member is as many bytes as its size,
    /// after those of all members before it.
    #[must_use]
    pub fn bare(names: impl IntoIterator<Item = impl AsRef<str>>, sizes: impl IntoIterator<Item = u64>) -> Self {
        let mut directory = Self {
            entries: Vec::new(),
            names: Vec::new(),
            by_name: Vec::new(),
            bare: true,
            shows_gaps: false,
            tolerated: Tolerated::default(),
        };
        let mut offset = 0_u64;
        for (name, size) in names.into_iter().zip(sizes) {
            let start = directory.names.len();
            directory.names.extend_from_slice(name.as_ref().as_bytes());
            let name = start..directory.names.len();
            let entry = Entry::plain(name, offset, size, 0);
            offset = entry.stop;
            directory.entries.push(entry);
        }
        let count = directory.entries.len() as u32;
        directory.by_name = (0..count).collect();
        directory.sort_names();
        directory
    }

    /// The number of members, faulty ones and folders included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no member.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether this is plain files: laid end to end, or in a shard.
    #[must_use]
    pub fn is_bare(&self) -> bool {
        self.bare
    }

    /// All members.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// One member.
    ///
    /// # Panics
    ///
    /// If `index` is not below [`Self::len`]; so do all methods that take an index.
    #[must_use]
    pub fn entry(&self, index: usize) -> &Entry {
        &self.entries[index]
    }

    /// The name as text: UTF-8 if flagged or valid UTF-8, else code page 437. An Info-ZIP Unicode path takes its place
    /// if its checksum is that of the stored name. May contain control characters: escape it to show it.
    #[must_use]
    pub fn name(&self, index: usize) -> Cow<'_, str> {
        String::from_utf8_lossy(self.text(index))
    }

    fn text(&self, index: usize) -> &[u8] {
        &self.names[self.entries[index].text.clone()]
    }

    /// The name's bytes as they stand in the archive.
    #[must_use]
    pub fn raw_name(&self, index: usize) -> &[u8] {
        &self.names[self.entries[index].stored_name.clone()]
    }

    /// The bytes of the chunk that hold a member: local header, data, descriptor. Ends at the next member's header or
    /// the directory, and where these are far, at the most that the local header can reach. Of a member that has a fault
    /// nothing is needed: one byte, so that no range is empty. Of plain files, which may be empty, the file alone.
    #[must_use]
    pub fn extent(&self, index: usize) -> Range<u64> {
        let entry = &self.entries[index];
        if self.bare && entry.fault.is_some() {
            return entry.header_offset..entry.header_offset;
        }
        if entry.fault.is_some() {
            let start = entry.header_offset.min(entry.stop.saturating_sub(1));
            return start..start + 1;
        }
        let stop = match entry.least_end() {
            _ if self.bare => entry.stop,
            Some(end) => end.saturating_add(LOCAL_SLACK).min(entry.stop),
            None => entry.stop,
        };
        entry.header_offset.min(stop)..stop
    }

    /// The first byte after a member that belongs to something else.
    pub(super) fn stop(&self, index: usize) -> u64 {
        self.entries[index].stop
    }

    /// The member of a name, the first if several have it (all of them are faulty then).
    #[must_use]
    pub fn find(&self, name: &str) -> Option<usize> {
        let first = self.by_name.partition_point(|&index| self.text(index as usize) < name.as_bytes());
        let index = *self.by_name.get(first)? as usize;
        (self.text(index) == name.as_bytes()).then_some(index)
    }

    /// What is not as it should be and was let pass, one sentence each: bytes in front of and behind the archive, its
    /// comment, bytes between members, unknown extra fields, folders.
    #[must_use]
    pub fn tolerated(&self) -> Vec<String> {
        self.tolerated.sentences()
    }

    /// Whether bytes that no entry claims can be told from those of an entry that gives a wrong place.
    pub(super) fn shows_gaps(&self) -> bool {
        self.shows_gaps
    }

    /// Whether a member is a folder: it has no bytes, and its name ends with a slash or its Unix mode says so.
    #[must_use]
    pub fn is_folder(&self, index: usize) -> bool {
        self.entries[index].folder
    }

    /// Gives every member its stop, and a fault to those that share bytes with another or with the directory.
    fn place(&mut self, directory_offset: u64, file_size: u64, limits: &Limits) -> Result<()> {
        let mut order: Vec<u32> = Vec::new();
        order.try_reserve_exact(self.entries.len()).map_err(no_memory)?;
        let mut displaced = false;
        for (index, entry) in (0..).zip(&mut self.entries) {
            entry.stop = directory_offset;
            let end = entry.least_end();
            if end.is_some_and(|end| end <= directory_offset) {
                order.push(index);
                continue;
            }
            // It alone is wrong, so it does not take part in what follows: one lie must not condemn its neighbours.
            displaced = true;
            if entry.fault.is_none() {
                let (start, size) = (entry.header_offset, entry.compressed_size);
                let code = if end.is_some_and(|end| end <= file_size) { Code::Overlap } else { Code::DataBounds };
                let detail = format!("{size} bytes at {start}, and the directory begins at {directory_offset}");
                entry.fault = Some(Box::new(Error::new(code, detail).at(start)));
            }
        }
        order.sort_unstable_by_key(|&index| self.entries[index as usize].header_offset);

        // The member that reaches furthest so far: whoever begins before its end shares bytes with it, and whoever
        // shares bytes with an earlier member was told so when that one was the furthest or was passed by it.
        let mut furthest: Option<(u64, usize)> = None;
        for &index in &order {
            let index = index as usize;
            let start = self.entries[index].header_offset;
            let end = self.entries[index].least_end().unwrap_or(u64::MAX);
            if let Some((reached, other)) = furthest.filter(|&(reached, _)| start < reached) {
                displaced = true;
                for (index, other) in [(index, other), (other, index)] {
                    let detail = format!("shares bytes before {} with entry {other}", reached.min(end));
                    self.entries[index].fault.get_or_insert_with(|| Error::new(Code::Overlap, detail).at(start).into());
                }
            }
            if furthest.is_none_or(|(reached, _)| end > reached) {
                furthest = Some((end, index));
            }
        }
        // Members at one offset share the stop of the last of them.
        let mut next = directory_offset;
        let mut follows = directory_offset;
        for &index in order.iter().rev() {
            let entry = &mut self.entries[index as usize];
            if entry.header_offset < next {
                follows = next;
                next = entry.header_offset;
            }
            entry.stop = follows;
            let unnamed = entry.stop.saturating_sub(entry.least_end().unwrap_or(u64::MAX));
            self.tolerated.between = self.tolerated.between.saturating_add(unnamed);
        }
        // With a member whose true place is unknown, the bytes in front may be its own.
        if next > limits.prefix_bytes && !displaced {
            let detail = format!("{next} bytes, {} are allowed", limits.prefix_bytes);
            return Err(Error::new(Code::Prefix, detail).at(0));
        }
        self.tolerated.in_front = next;
        self.shows_gaps = !displaced;
        Ok(())
    }

    /// Gives a fault to the members after those whose sizes add up to the limit, in the directory's order. Those that
    /// are refused anyway do not count; what is declared too small does not pass, see [`crate::inflate`].
    fn limit_sum(&mut self, limits: &Limits) {
        let mut sum = 0_u64;
        for entry in self.entries.iter_mut().filter(|entry| entry.fault.is_none()) {
            sum = sum.saturating_add(entry.uncompressed_size);
            if sum > limits.chunk_inflated_bytes && !entry.folder {
                let limit = limits.chunk_inflated_bytes;
                let detail = format!("{sum} bytes when inflated, with the members before it, the limit is {limit}");
                entry.fault = Some(Box::new(Error::new(Code::LimitChunkInflated, detail)));
            }
        }
    }

    /// Sorts the names, and gives a fault to all members of one name.
    pub(super) fn index_names(&mut self) -> Result<()> {
        self.by_name.try_reserve_exact(self.len()).map_err(no_memory)?;
        self.by_name.extend(0..self.len() as u32);
        self.sort_names();
        for pair in 1..self.by_name.len() {
            let (one, two) = (self.by_name[pair - 1] as usize, self.by_name[pair] as usize);
            if self.text(one) == self.text(two) {
                for (index, other) in [(one, two), (two, one)] {
                    let error = || Error::new(Code::Duplicate, format!("entry {other} has the same name")).into();
                    self.entries[index].fault.get_or_insert_with(error);
                }
            }
        }
        Ok(())
    }

    pub(super) fn sort_names(&mut self) {
        let mut order = std::mem::take(&mut self.by_name);
        order.sort_unstable_by(|&one, &two| self.text(one as usize).cmp(self.text(two as usize)).then(one.cmp(&two)));
        self.by_name = order;
    }
}

pub(super) fn no_memory(_: TryReserveError) -> Error {
    Error::new(Code::LimitMemory, "no memory for the directory")
}

/// Puts bytes behind the others, and says where.
pub(super) fn append(names: &mut Vec<u8>, bytes: &[u8]) -> Result<Range<usize>> {
    let start = names.len();
    names.try_reserve(bytes.len()).map_err(no_memory)?;
    names.extend_from_slice(bytes);
    Ok(start..names.len())
}

/// One central header, as it is written (APPNOTE 4.3.12).
struct Header<'a> {
    made_by: u16,
    flags: u16,
    method: u16,
    crc32: u32,
    compressed_size: u32,
    uncompressed_size: u32,
    disk: u16,
    external_attributes: u32,
    local_offset: u32,
    name: &'a [u8],
    extra: &'a [u8],
}

impl<'a> Header<'a> {
    fn read(rest: &mut Fields<'a>) -> Option<Self> {
        rest.signature()?;
        let (made_by, _needed) = (rest.u16()?, rest.u16()?);
        let (flags, method) = (rest.u16()?, rest.u16()?);
        let (_time, _date) = (rest.u16()?, rest.u16()?);
        let (crc32, compressed_size, uncompressed_size) = (rest.u32()?, rest.u32()?, rest.u32()?);
        let (name_bytes, extra_bytes, comment_bytes) = (rest.u16()?, rest.u16()?, rest.u16()?);
        let (disk, _internal_attributes) = (rest.u16()?, rest.u16()?);
        let (external_attributes, local_offset) = (rest.u32()?, rest.u32()?);
        let name = rest.bytes(name_bytes.into())?;
        let extra = rest.bytes(extra_bytes.into())?;
        rest.bytes(comment_bytes.into())?;
        Some(Self {
            made_by,
            flags,
            method,
            crc32,
            compressed_size,
            uncompressed_size,
            disk,
            external_attributes,
            local_offset,
            name,
            extra,
        })
    }

    /// The entry, its offset `moved` on, and its name appended to `names`.
    fn entry(&self, moved: u64, names: &mut Vec<u8>, limits: &Limits) -> Result<Entry> {
        let mut entry = Entry {
            flags: self.flags,
            method: self.method,
            crc32: self.crc32,
            compressed_size: self.compressed_size.into(),
            uncompressed_size: self.uncompressed_size.into(),
            header_offset: self.local_offset.into(),
            fault: None,
            folder: false,
            is_checked: false,
            stored_name: 0..0,
            text: 0..0,
            stop: 0,
        };
        let mut disk = u32::from(self.disk);
        let extra = self.read_extra(&mut entry, &mut disk);
        entry.header_offset = entry.header_offset.saturating_add(moved);
        // With bytes of its own it would be neither delivered nor reported.
        let is_called_folder = self.name.ends_with(b"/") || self.file_type() == Some(0o040_000);
        entry.folder = is_called_folder && entry.uncompressed_size == 0;
        if extra.is_ok() && disk != 0 {
            return Err(Error::new(Code::MultiDisk, format!("a member begins on disk {disk}")));
        }

        let flagged = self.flags & FLAG_UTF8 != 0;
        let encoding = Encoding::of(self.name, flagged);
        let text = match extra {
            Ok(Some(path)) if !flagged => Cow::Borrowed(path),
            _ => encoding.decode(self.name),
        };
        entry.stored_name = append(names, self.name)?;
        entry.text = entry.stored_name.clone();
        if text.as_bytes() != self.name {
            entry.text = append(names, text.as_bytes())?;
        }
        entry.fault = match extra {
            Ok(_) => self.fault(&entry, encoding, &text, limits).map(Box::new),
            Err(error) => Some(Box::new(error)),
        };
        Ok(entry)
    }

    /// Takes what stands in the zip64 extra field, and finds the name in the Unicode path field.
    fn read_extra(&self, entry: &mut Entry, disk: &mut u32) -> Result<Option<&'a str>> {
        let fault = |detail: &str| Error::new(Code::Zip64Extra, detail);
        let mut zip64 = None;
        let mut path = None;
        for field in extra_fields(self.extra) {
            match field {
                Ok((ZIP64_EXTRA, data)) => {
                    if zip64.replace(data).is_some() {
                        return Err(fault("there are two of them"));
                    }
                }
                Ok((UNICODE_PATH_EXTRA, data)) => path = path.or_else(|| unicode_path(data, self.name)),
                Ok(_) => {}
                Err(Overrun { id, claimed }) => {
                    return Err(fault(&format!("extra field {id:#06x} claims {claimed} bytes, more than there are")));
                }
            }
        }
        // APPNOTE 4.5.3: in this order, each only where its small field holds the largest value. Some writers put the
        // first three or all four always; what is not referred to must then be what the header says.
        let zip64 = zip64.unwrap_or_default();
        let wide = [&mut entry.uncompressed_size, &mut entry.compressed_size, &mut entry.header_offset];
        let disk_referred = *disk == u32::from(IN_ZIP64_16);
        let referred = 8 * wide.iter().filter(|value| ***value == u64::from(IN_ZIP64_32)).count()
            + if disk_referred { 4 } else { 0 };
        let complete = zip64.len() > referred && (zip64.len() == 28 || zip64.len() == 24 && !disk_referred);
        if zip64.len() < referred {
            return Err(fault("it lacks a field that the header refers to"));
        }
        if zip64.len() > referred && !complete {
            return Err(fault("it holds fields that the header does not refer to"));
        }
        let mut fields = Fields(zip64);
        for value in wide {
            let in_zip64 = *value == u64::from(IN_ZIP64_32);
            if in_zip64 || complete {
                let number = fields.u64().ok_or_else(|| fault("it is too short"))?;
                if !in_zip64 && number != *value {
                    return Err(fault("it contradicts the header"));
                }
                *value = number;
            }
        }
        if let Some(number) = fields.u32() {
            if !disk_referred && number != *disk {
                return Err(fault("it contradicts the header"));
            }
            *disk = number;
        }
        Ok(path)
    }

    /// The file type bits of a Unix mode, where the writer says that it wrote one (APPNOTE 4.4.2: 3 Unix, 19 macOS).
    fn file_type(&self) -> Option<u32> {
        let host = self.made_by >> 8;
        (host == 3 || host == 19).then_some((self.external_attributes >> 16) & 0o170_000)
    }

    /// The first reason not to read the member, apart from where it stands.
    fn fault(&self, entry: &Entry, encoding: Encoding, text: &str, limits: &Limits) -> Option<Error> {
        if self.flags & FLAGS_ENCRYPTED != 0 || self.method == METHOD_AES {
            let detail = format!("flags {:#06x}, method {}", self.flags, self.method);
            return Some(Error::new(Code::Encrypted, detail));
        }
        if self.flags & !KNOWN_FLAGS != 0 {
            return Some(Error::new(Code::UnsupportedFlag, format!("flags {:#06x}", self.flags)));
        }
        let Some(method) = Method::from_number(self.method) else {
            return Some(Error::new(Code::UnsupportedMethod, format!("method {}", self.method)));
        };
        if let Some(error) = name::fault(self.name, encoding).or_else(|| name::fault(text.as_bytes(), encoding)) {
            return Some(error);
        }
        let is_file = |kind: &u32| matches!(kind, 0 | 0o100_000) || *kind == 0o040_000 && entry.folder;
        if let Some(kind) = self.file_type().filter(|kind| !is_file(kind)) {
            return Some(Error::new(Code::NotRegular, format!("file type {kind:#o}")));
        }
        let (packed, size) = (entry.compressed_size, entry.uncompressed_size);
        if self.name.ends_with(b"/") && !entry.folder {
            return Some(Error::new(Code::Name, format!("the name is a folder's, and the member has {size} bytes")));
        }
        if method == Method::Stored && packed != size || size > packed.saturating_mul(method.expansion()) {
            let detail = format!("{packed} bytes in the archive cannot be {size} bytes by method {}", self.method);
            return Some(Error::new(Code::SizeMismatch, detail));
        }
        entry.over_limit(limits)
    }
}

/// The name in a Unicode path field, unless it was made for another name (APPNOTE 4.6.9: then it is to be ignored).
fn unicode_path<'a>(field: &'a [u8], stored_name: &[u8]) -> Option<&'a str> {
    let (&version, mut rest) = field.split_first().map(|(version, rest)| (version, Fields(rest)))?;
    let checksum = rest.u32()?;
    (version == 1 && checksum == crc32fast::hash(stored_name)).then(|| str::from_utf8(rest.0).ok())?
}
