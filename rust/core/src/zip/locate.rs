//! Finds the central directory from the last bytes of a file.
//!
//! Exactly one end record may be believable: one whose comment reaches the end of the file and whose directory ends
//! where the record begins. Two such records, or a second archive before the first, are two readings of one file.

use memchr::memmem;

use super::fields::{
    CENTRAL, CENTRAL_BYTES, END, END_BYTES, END64, END64_BYTES, Fields, IN_ZIP64_16, IN_ZIP64_32, LOCAL, LOCATOR64,
    LOCATOR64_BYTES,
};
use crate::error::{Code, Error, Result};
use crate::limits::Limits;

/// NULs tolerated after the archive: block devices and some uploaders pad.
const TRAILING_NULS: usize = 64;

/// Bytes in which the end record begins, whatever its comment (APPNOTE 4.3.16).
const SEARCHED: usize = END_BYTES + u16::MAX as usize + TRAILING_NULS;

/// Bytes of the file's end with which [`locate`] always succeeds on a sound archive. 65,536 fail only where the archive
/// comment is longer than 65,438 bytes.
pub const TAIL_BYTES: usize = SEARCHED + LOCATOR64_BYTES + END64_BYTES;

/// Where the central directory stands, checked against the file's size and the end records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Location {
    /// Position of its first byte in the file.
    pub offset: u64,
    /// Its length in bytes.
    pub size: u64,
    /// The number of entries that the end record declares.
    pub entries: u64,
    /// What the offsets in the directory lack: bytes in front of an archive whose offsets count from its own beginning.
    pub moved: u64,
    /// Bytes of the archive comment.
    pub comment_bytes: u64,
    /// NULs after the end.
    pub trailing_nuls: u64,
}

/// Finds the central directory.
///
/// `tail` is the end of the file: its last [`TAIL_BYTES`], or more, or all of it.
///
/// # Errors
///
/// `not_a_zip` naming what the bytes look like, and `truncated`: [`identify`] knows better where `tail` is not the whole
/// file; `trailing`, `comment_length`, `prefix`, `ambiguous`; `directory_bounds`, `directory_trailing`, `entry_count`,
/// `zip64_inconsistent`, `multi_disk` for numbers that contradict each other; `limit_entries` and `limit_directory`. A
/// cut inside the comment reads as `comment_length`: the bytes are the same.
pub fn locate(tail: &[u8], file_size: u64, limits: &Limits) -> Result<Location> {
    let Some(base) = file_size.checked_sub(tail.len() as u64) else {
        let detail = format!("{} bytes of a file of {file_size} bytes", tail.len());
        return Err(Error::new(Code::TruncatedZip, detail));
    };
    let file = Tail { bytes: tail, base };
    let searched = tail.len().saturating_sub(SEARCHED);

    let mut cut_record = false;
    let mut fitting: Option<Result<Location>> = None;
    let mut other: Option<End> = None;
    let mut moved: Option<End> = None;
    let mut refused: Option<Error> = None;
    for found in memmem::find_iter(&tail[searched..], &END) {
        let Some(end) = End::read(&tail[searched..], found, base + searched as u64) else {
            cut_record = true;
            continue;
        };
        let location = file.resolve(&end, limits);
        if end.fits() {
            fitting = match (fitting, location) {
                (None, location) => Some(location),
                // An archive in the comment of the one before, whose own offsets would fit only if they were moved.
                (Some(Ok(earlier)), Ok(found)) if earlier.moved == 0 && found.moved > 0 => Some(Ok(earlier)),
                (Some(_), Ok(_)) => return Err(ambiguous(end.at)),
                // This one stands in the comment of the one before.
                (Some(earlier), Err(_)) => Some(earlier),
            };
        } else {
            match location {
                Ok(found) if found.moved == 0 => other = Some(end),
                // Mostly an archive that is a member of this one.
                Ok(_) => moved = Some(end),
                Err(error) => refused = Some(error),
            }
        }
    }
    match (fitting, other) {
        (Some(_), Some(other)) => Err(ambiguous(other.at)),
        (Some(location), None) => location,
        (None, Some(end)) => Err(end.misfit()),
        // In a cut archive such a record is that of an archive inside; one that begins otherwise has something in front.
        (None, None) if file.has(LOCAL, 0) == Some(false) => match (moved, refused) {
            (Some(end), _) => Err(end.misfit()),
            (None, Some(error)) if error.code() == Code::Prefix => Err(error),
            _ => Err(file.not_found(cut_record, file_size)),
        },
        (None, None) => Err(file.not_found(cut_record, file_size)),
    }
}

fn ambiguous(at: u64) -> Error {
    Error::new(Code::Ambiguous, "a second end record describes an archive of its own").at(at)
}

/// What a file is in whose last bytes [`locate`] found no end record.
///
/// `head` is the beginning of the file; 512 bytes suffice.
#[must_use]
pub fn identify(head: &[u8], file_size: u64) -> Error {
    Tail { bytes: head, base: 0 }.not_found(false, file_size)
}

fn too_much_in_front(bytes: u64, limits: &Limits) -> Error {
    Error::new(Code::Prefix, format!("{bytes} bytes, {} are allowed", limits.prefix_bytes)).at(0)
}

/// The end of central directory record (APPNOTE 4.3.16) and what follows it.
struct End {
    at: u64,
    disk: u16,
    directory_disk: u16,
    entries_here: u16,
    entries: u16,
    size: u32,
    offset: u32,
    comment: usize,
    /// Bytes from the fixed part to the end of the file, and how many of them after the comment are not NUL padding.
    follows: usize,
    padding_only: bool,
}

impl End {
    fn read(bytes: &[u8], found: usize, base: u64) -> Option<Self> {
        let mut fields = Fields(&bytes[found..]);
        fields.signature()?;
        let (disk, directory_disk) = (fields.u16()?, fields.u16()?);
        let (entries_here, entries) = (fields.u16()?, fields.u16()?);
        let (size, offset) = (fields.u32()?, fields.u32()?);
        let comment = usize::from(fields.u16()?);
        // Only as much is looked at as may be padding: signatures in every fourth byte stay cheap.
        let after = fields.0.get(comment..).unwrap_or_default();
        let padding_only = after.iter().take(TRAILING_NULS + 1).all(|&byte| byte == 0);
        let at = base + found as u64;
        let follows = fields.0.len();
        Some(Self { at, disk, directory_disk, entries_here, entries, size, offset, comment, follows, padding_only })
    }

    /// Whether the record with its comment reaches the end of the file, padding aside.
    fn fits(&self) -> bool {
        self.follows >= self.comment && self.follows - self.comment <= TRAILING_NULS && self.padding_only
    }

    /// Why the record does not reach the end, for one that describes a directory rightly.
    fn misfit(&self) -> Error {
        let (comment, follows) = (self.comment, self.follows);
        if follows < comment {
            let detail = format!("the comment is declared {comment} bytes long and {follows} are there");
            return Error::new(Code::CommentLength, detail).at(self.at);
        }
        if comment > 0 && !self.padding_only {
            let detail = format!("the comment is declared {comment} bytes long and {follows} bytes follow");
            return Error::new(Code::CommentLength, detail).at(self.at);
        }
        let detail = format!("{} bytes after the end, at most {TRAILING_NULS} NULs are tolerated", follows - comment);
        Error::new(Code::Trailing, detail).at(self.at + (END_BYTES + comment) as u64)
    }

    /// Whether the directory, by this record alone, ends where the record begins.
    fn adjoins(&self) -> bool {
        u64::from(self.offset) + u64::from(self.size) == self.at
    }
}

/// What an end record says, in 64 bits.
struct Numbers {
    disk: u32,
    directory_disk: u32,
    entries_here: u64,
    entries: u64,
    size: u64,
    offset: u64,
    /// Where the record begins, which is where the directory must end.
    at: u64,
    /// By how much the zip64 locator is off, if there is one.
    locator_moved: Option<u64>,
}

/// The last bytes of a file, addressed by position in the file.
struct Tail<'a> {
    bytes: &'a [u8],
    base: u64,
}

impl Tail<'_> {
    /// The bytes from a position on, if it is among those at hand.
    fn from(&self, position: u64) -> Option<&[u8]> {
        self.bytes.get(usize::try_from(position.checked_sub(self.base)?).ok()?..)
    }

    /// Whether a record stands at a position; `None` if that byte is not at hand.
    fn has(&self, signature: [u8; 4], position: u64) -> Option<bool> {
        self.from(position).map(|bytes| bytes.starts_with(&signature))
    }

    /// The directory that an end record describes, if all that it says is true.
    fn resolve(&self, end: &End, limits: &Limits) -> Result<Location> {
        let plain = Numbers {
            disk: end.disk.into(),
            directory_disk: end.directory_disk.into(),
            entries_here: end.entries_here.into(),
            entries: end.entries.into(),
            size: end.size.into(),
            offset: end.offset.into(),
            at: end.at,
            locator_moved: None,
        };
        let locator = end.at.checked_sub(LOCATOR64_BYTES as u64);
        let numbers = match locator.filter(|&at| self.has(LOCATOR64, at) == Some(true)) {
            None => plain,
            Some(at) => match self.end64(end, at, limits) {
                Ok(_) if end.adjoins() => return Err(ambiguous(at)),
                Ok(numbers) => numbers,
                // The signature is part of the last entry, a name or a comment.
                Err(_) if end.adjoins() => plain,
                Err(error) => return Err(error),
            },
        };
        let location = self.check(&numbers, limits)?;
        let trailing_nuls = end.follows.saturating_sub(end.comment) as u64;
        Ok(Location { comment_bytes: end.comment as u64, trailing_nuls, ..location })
    }

    /// The zip64 end record that a locator points to (APPNOTE 4.3.14, 4.3.15).
    fn end64(&self, end: &End, locator: u64, limits: &Limits) -> Result<Numbers> {
        let contradiction = |detail: &str| Error::new(Code::Zip64Inconsistent, detail).at(locator);
        let outside = || contradiction("no zip64 end record stands where its locator points");

        let mut fields = Fields(self.from(locator).ok_or_else(outside)?);
        let (Some(_), Some(disk), Some(mut at), Some(disks)) =
            (fields.signature(), fields.u32(), fields.u64(), fields.u32())
        else {
            return Err(outside());
        };
        if disk != 0 || disks > 1 {
            let detail = format!("the zip64 locator names disk {disk} of {disks}");
            return Err(Error::new(Code::MultiDisk, detail).at(locator));
        }
        let expected = locator.checked_sub(END64_BYTES as u64).ok_or_else(outside)?;
        let mut moved = 0;
        if at < expected && self.has(END64, expected) == Some(true) && self.has(END64, at) != Some(true) {
            moved = expected - at;
            if moved > limits.prefix_bytes {
                return Err(too_much_in_front(moved, limits));
            }
            at = expected;
        }
        // A record of any other length would be version 2 (encrypted directories) or reach over the locator.
        if at != expected {
            return Err(contradiction("the zip64 end record does not end where its locator begins"));
        }
        let mut fields = Fields(self.from(at).ok_or_else(outside)?);
        if fields.signature() != Some(END64) {
            return Err(outside());
        }
        let read = |fields: &mut Fields<'_>| {
            let size = fields.u64()?;
            let (_made_by, _needed) = (fields.u16()?, fields.u16()?);
            let (disk, directory_disk) = (fields.u32()?, fields.u32()?);
            let (entries_here, entries) = (fields.u64()?, fields.u64()?);
            let (directory_size, offset) = (fields.u64()?, fields.u64()?);
            let numbers = Numbers {
                disk,
                directory_disk,
                entries_here,
                entries,
                size: directory_size,
                offset,
                at,
                locator_moved: Some(moved),
            };
            Some((size, numbers))
        };
        let (record_size, numbers) = read(&mut fields).ok_or_else(outside)?;
        if record_size != END64_BYTES as u64 - 12 {
            return Err(contradiction("the zip64 end record declares another length than it has"));
        }
        // APPNOTE 4.4.1.4: a field of the small record is either its largest value or the truth.
        let agrees16 = |small: u16, large: u64| small == IN_ZIP64_16 || u64::from(small) == large;
        let agrees32 = |small: u32, large: u64| small == IN_ZIP64_32 || u64::from(small) == large;
        let agrees = agrees16(end.disk, numbers.disk.into())
            && agrees16(end.directory_disk, numbers.directory_disk.into())
            && agrees16(end.entries_here, numbers.entries_here)
            && agrees16(end.entries, numbers.entries)
            && agrees32(end.size, numbers.size)
            && agrees32(end.offset, numbers.offset);
        if agrees { Ok(numbers) } else { Err(contradiction("the end record and the zip64 end record differ")) }
    }

    fn check(&self, numbers: &Numbers, limits: &Limits) -> Result<Location> {
        let &Numbers { disk, directory_disk, entries_here, entries, size, offset, at, locator_moved } = numbers;
        if disk != 0 || directory_disk != 0 {
            let detail = format!("the end record names disk {disk}, the directory disk {directory_disk}");
            return Err(Error::new(Code::MultiDisk, detail).at(at));
        }
        if entries_here != entries {
            let detail = format!("{entries_here} entries on this disk, {entries} in all");
            return Err(Error::new(Code::EntryCount, detail).at(at));
        }
        let moved = match offset.checked_add(size) {
            Some(stop) if stop == at => 0,
            Some(stop) if stop < at => match at - stop {
                shift if !self.is_moved(numbers, shift) => return Err(self.gap(numbers, stop)),
                shift if shift > limits.prefix_bytes => return Err(too_much_in_front(shift, limits)),
                shift => shift,
            },
            _ => {
                let detail = format!("offset {offset}, size {size}, and the end record stands at {at}");
                return Err(Error::new(Code::DirectoryBounds, detail).at(at));
            }
        };
        if locator_moved.is_some_and(|by| by != moved) {
            let detail = "the zip64 locator and the directory's offset do not lack the same number of bytes";
            return Err(Error::new(Code::Zip64Inconsistent, detail).at(at));
        }
        let offset = offset + moved;
        if entries > size / CENTRAL_BYTES as u64 {
            let detail = format!("{entries} entries cannot stand in {size} bytes");
            return Err(Error::new(Code::EntryCount, detail).at(at));
        }
        if entries > limits.entries {
            let detail = format!("{entries} entries, the limit is {}", limits.entries);
            return Err(Error::new(Code::LimitEntries, detail).at(at));
        }
        if size > limits.directory_bytes {
            let detail = format!("{size} bytes of directory, the limit is {}", limits.directory_bytes);
            return Err(Error::new(Code::LimitDirectory, detail).at(at));
        }
        if size > 0 && self.has(CENTRAL, offset) == Some(false) {
            return Err(Error::new(Code::DirectoryBounds, "no directory entry stands at its offset").at(offset));
        }
        Ok(Location { offset, size, entries, moved, ..Location::default() })
    }

    /// Whether offsets count from the archive's own beginning, `shift` bytes into the file: the directory stands that
    /// much further on, and so does the first member.
    fn is_moved(&self, numbers: &Numbers, shift: u64) -> bool {
        let &Numbers { size, offset, entries, at, .. } = numbers;
        let directory_moved = match size {
            0 => offset == 0,
            _ => self.has(CENTRAL, offset) != Some(true) && self.has(CENTRAL, at - size) != Some(false),
        };
        directory_moved && (entries == 0 || self.has(LOCAL, shift) != Some(false))
    }

    /// Why bytes are left between the directory, as declared, and the end record.
    fn gap(&self, numbers: &Numbers, stop: u64) -> Error {
        let &Numbers { size, offset, entries, at, .. } = numbers;
        let shift = at - stop;
        match self.walk(offset, entries) {
            Some(walked) if walked != stop => {
                let detail = format!("size {size} is not the length of its {entries} entries");
                Error::new(Code::DirectoryBounds, detail).at(offset)
            }
            _ if self.has(CENTRAL, offset) == Some(false) => {
                Error::new(Code::DirectoryBounds, "no directory entry stands at its offset").at(offset)
            }
            _ => Error::new(Code::DirectoryTrailing, format!("{shift} bytes before the end record")).at(stop),
        }
    }

    /// Where the entries from a position on end, if they are at hand.
    fn walk(&self, offset: u64, entries: u64) -> Option<u64> {
        let start = self.from(offset)?;
        let mut fields = Fields(start);
        for _ in 0..entries {
            let header = fields.bytes(CENTRAL_BYTES)?;
            if !header.starts_with(&CENTRAL) {
                return None;
            }
            let mut lengths = Fields(&header[28..]);
            let (name, extra, comment) = (lengths.u16()?, lengths.u16()?, lengths.u16()?);
            fields.bytes(usize::from(name) + usize::from(extra) + usize::from(comment))?;
        }
        Some(offset + (start.len() - fields.0.len()) as u64)
    }

    /// What a file without an end record is.
    fn not_found(&self, cut_record: bool, file_size: u64) -> Error {
        let bytes = self.bytes;
        let zip_like = cut_record
            || [LOCAL, CENTRAL, END].iter().any(|signature| memmem::find(bytes, signature).is_some())
            || (self.base == 0 && bytes.len() < LOCAL.len() && bytes.len() > 1 && LOCAL.starts_with(bytes));
        let whole = self.base == 0;
        let kind = if whole { kind_by_start(bytes) } else { kind_by_end(bytes) };
        match kind {
            Some(kind) => Error::new(Code::NotAZip, format!("{file_size} bytes that look like {kind}")),
            None if zip_like => Error::new(Code::TruncatedZip, format!("no end record in {file_size} bytes")),
            None if whole => Error::new(Code::NotAZip, format!("{file_size} bytes of an unknown kind")),
            None => {
                let searched = bytes.len();
                let detail = format!("no end record in the last {searched} of {file_size} bytes, or the file is cut");
                Error::new(Code::NotAZip, detail)
            }
        }
    }
}

/// The kind of a file that is not a zip, by its first bytes.
fn kind_by_start(bytes: &[u8]) -> Option<&'static str> {
    const MAGIC: [(&[u8], &str); 15] = [
        (b"\x1f\x8b", "gzip"),
        (b"BZh", "bzip2"),
        (b"\xfd7zXZ\0", "xz"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"7z\xbc\xaf\x27\x1c", "7z"),
        (b"Rar!\x1a\x07", "rar"),
        (b"%PDF-", "pdf"),
        (b"\xff\xd8\xff", "jpeg"),
        (b"\x89PNG\r\n\x1a\n", "png"),
        (b"GIF8", "gif"),
        (b"RIFF", "riff (webp, wav or avi)"),
        (b"SQLite format 3\0", "sqlite"),
        (b"\x7fELF", "elf"),
        (b"MZ", "exe"),
        (b"version https://git-lfs", "a git-lfs pointer"),
    ];
    // POSIX ustar, 5.1 "magic".
    if bytes.get(257..262) == Some(b"ustar") {
        return Some("tar");
    }
    if let Some((_, kind)) = MAGIC.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return Some(kind);
    }
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    let begins = |word: &[u8]| text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    if begins(b"<!doctype html") || begins(b"<html") || begins(b"<head") || begins(b"<body") {
        Some("html")
    } else if begins(b"<?xml") || begins(b"<error") {
        Some("xml")
    } else if begins(b"{") || begins(b"[") {
        Some("json")
    } else {
        None
    }
}

/// The kind of a file that is not a zip, by its last bytes; only where these are unmistakable.
fn kind_by_end(bytes: &[u8]) -> Option<&'static str> {
    let text = bytes.trim_ascii_end();
    let ends = |word: &[u8]| text.len() >= word.len() && text[text.len() - word.len()..].eq_ignore_ascii_case(word);
    if ends(b"</html>") {
        Some("html")
    } else if ends(b"%%EOF") {
        Some("pdf")
    } else if bytes.ends_with(b"IEND\xae\x42\x60\x82") {
        Some("png")
    } else {
        None
    }
}
