//! Archives made by hand: sound ones, whose fields a test then changes where they stand.
#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses a part of it, and fails by panicking")]

pub(crate) mod fields;

use pixcrawler_core::inflate::read_member;
use pixcrawler_core::zip::{Directory, Location, TAIL_BYTES, locate};
use pixcrawler_core::{Code, Limits, Result};

/// One member to write.
#[derive(Clone, Default)]
pub(crate) struct Member {
    pub(crate) name: Vec<u8>,
    pub(crate) data: Vec<u8>,
    /// The data as it stands in the archive; for a stored member the same.
    pub(crate) packed: Vec<u8>,
    pub(crate) method: u16,
    pub(crate) flags: u16,
    pub(crate) local_extra: Vec<u8>,
    pub(crate) central_extra: Vec<u8>,
    /// What follows the data; with it, flag bit 3 and zeros in the local header.
    pub(crate) descriptor: Vec<u8>,
    pub(crate) external_attributes: u32,
}

impl Member {
    pub(crate) fn stored(name: impl AsRef<[u8]>, data: &[u8]) -> Self {
        Self { name: name.as_ref().to_vec(), data: data.to_vec(), packed: data.to_vec(), ..Self::default() }
    }

    pub(crate) fn deflated(name: impl AsRef<[u8]>, data: &[u8]) -> Self {
        Self { method: 8, packed: deflate(data), ..Self::stored(name, data) }
    }

    /// With a data descriptor in one of its four forms.
    pub(crate) fn described(mut self, signature: bool, wide: bool) -> Self {
        self.flags |= 8;
        self.descriptor = if signature { b"PK\x07\x08".to_vec() } else { Vec::new() };
        self.descriptor.extend(crc32fast::hash(&self.data).to_le_bytes());
        for size in [self.packed.len(), self.data.len()] {
            let bytes = (size as u64).to_le_bytes();
            self.descriptor.extend(&bytes[..if wide { 8 } else { 4 }]);
        }
        self
    }
}

/// An archive and where its records stand.
#[derive(Clone, Default)]
pub(crate) struct Archive {
    pub(crate) bytes: Vec<u8>,
    pub(crate) locals: Vec<usize>,
    pub(crate) centrals: Vec<usize>,
    pub(crate) directory: usize,
    /// Position of the zip64 end record, if there is one.
    pub(crate) end64: Option<usize>,
    pub(crate) end: usize,
}

impl Archive {
    pub(crate) fn new(members: &[Member]) -> Self {
        Self::with(members, false, b"")
    }

    pub(crate) fn with(members: &[Member], zip64: bool, comment: &[u8]) -> Self {
        let mut archive = Self::default();
        for member in members {
            archive.local(member);
        }
        archive.directory = archive.bytes.len();
        for (index, member) in members.iter().enumerate() {
            archive.central(member, archive.locals[index]);
        }
        archive.finish(members.len() as u64, zip64, comment);
        archive
    }

    fn local(&mut self, member: &Member) {
        self.locals.push(self.bytes.len());
        let deferred = !member.descriptor.is_empty();
        let crc = if deferred { 0 } else { crc32fast::hash(&member.data) };
        let (packed, size) = if deferred { (0, 0) } else { (member.packed.len() as u32, member.data.len() as u32) };
        self.put(b"PK\x03\x04");
        self.put16s(&[20, member.flags, member.method, 0, 33]);
        self.put32s(&[crc, packed, size]);
        self.put16s(&[member.name.len() as u16, member.local_extra.len() as u16]);
        for part in [&member.name, &member.local_extra, &member.packed, &member.descriptor] {
            self.put(part);
        }
    }

    fn central(&mut self, member: &Member, local: usize) {
        self.centrals.push(self.bytes.len());
        self.put(b"PK\x01\x02");
        self.put16s(&[0x0314, 20, member.flags, member.method, 0, 33]);
        self.put32s(&[crc32fast::hash(&member.data), member.packed.len() as u32, member.data.len() as u32]);
        self.put16s(&[member.name.len() as u16, member.central_extra.len() as u16, 0, 0, 0]);
        self.put32s(&[member.external_attributes, local as u32]);
        self.put(&member.name);
        self.put(&member.central_extra);
    }

    fn finish(&mut self, entries: u64, zip64: bool, comment: &[u8]) {
        let (offset, size) = (self.directory as u64, (self.bytes.len() - self.directory) as u64);
        if zip64 {
            let at = self.bytes.len();
            self.end64 = Some(at);
            self.put(b"PK\x06\x06");
            self.put(&44_u64.to_le_bytes());
            self.put16s(&[45, 45]);
            self.put32s(&[0, 0]);
            for number in [entries, entries, size, offset] {
                self.put(&number.to_le_bytes());
            }
            self.put(b"PK\x06\x07");
            self.put32s(&[0]);
            self.put(&(at as u64).to_le_bytes());
            self.put32s(&[1]);
        }
        self.end = self.bytes.len();
        self.put(b"PK\x05\x06");
        let count = if zip64 { u16::MAX } else { entries as u16 };
        self.put16s(&[0, 0, count, count]);
        self.put32s(&if zip64 { [u32::MAX; 2] } else { [size as u32, offset as u32] });
        self.put16s(&[comment.len() as u16]);
        self.put(comment);
    }

    fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn put16s(&mut self, values: &[u16]) {
        for value in values {
            self.put(&value.to_le_bytes());
        }
    }

    fn put32s(&mut self, values: &[u32]) {
        for value in values {
            self.put(&value.to_le_bytes());
        }
    }

    /// The same archive with other bytes at a position.
    pub(crate) fn patched(&self, at: usize, bytes: &[u8]) -> Self {
        let mut archive = self.clone();
        archive.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        archive
    }

    pub(crate) fn patched16(&self, at: usize, value: u16) -> Self {
        self.patched(at, &value.to_le_bytes())
    }

    pub(crate) fn patched32(&self, at: usize, value: u32) -> Self {
        self.patched(at, &value.to_le_bytes())
    }

    pub(crate) fn patched64(&self, at: usize, value: u64) -> Self {
        self.patched(at, &value.to_le_bytes())
    }

    /// A member's CRC-32 and sizes in both headers.
    pub(crate) fn declared(&self, index: usize, packed: u32, size: u32) -> Self {
        let (local, central) = (self.locals[index], self.centrals[index]);
        self.patched32(local + 18, packed)
            .patched32(local + 22, size)
            .patched32(central + 20, packed)
            .patched32(central + 24, size)
    }
}

/// Deflate at level 6, raw.
pub(crate) fn deflate(data: &[u8]) -> Vec<u8> {
    let mut packed = vec![0; data.len() + data.len() / 8 + 1024];
    let mut stream = zlib_rs::Deflate::new(6, false, 15);
    let status = stream.compress(data, &mut packed, zlib_rs::DeflateFlush::Finish);
    assert_eq!(status, Ok(zlib_rs::Status::StreamEnd));
    packed.truncate(stream.total_out() as usize);
    packed
}

/// Bytes that do not compress, the same for a seed.
pub(crate) fn noise(seed: u64, count: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..count).map(|_| next()).collect()
}

/// The directory of a whole file, found by its tail alone.
pub(crate) fn open(bytes: &[u8]) -> Result<Directory> {
    open_limited(bytes, &Limits::default())
}

pub(crate) fn open_limited(bytes: &[u8], limits: &Limits) -> Result<Directory> {
    let size = bytes.len() as u64;
    let location = locate(&bytes[bytes.len().saturating_sub(TAIL_BYTES)..], size, limits)?;
    let Location { offset, size: length, .. } = location;
    Directory::parse(&bytes[offset as usize..(offset + length) as usize], &location, size, limits)
}

/// A member's bytes, read from its own extent and nothing else.
pub(crate) fn read(directory: &Directory, index: usize, bytes: &[u8]) -> Result<Vec<u8>> {
    let extent = directory.extent(index);
    let part = &bytes[extent.start as usize..extent.end as usize];
    let mut scratch = Vec::new();
    read_member(directory, index, part, extent.start, &mut scratch, &Limits::default()).map(<[u8]>::to_vec)
}

/// The code with which a file is refused as a whole.
pub(crate) fn refusal(bytes: &[u8]) -> Option<Code> {
    open(bytes).err().map(|error| error.code())
}

/// Each member's refusal, or `None` where it is delivered; the bytes delivered must have their checksum.
pub(crate) fn outcomes(bytes: &[u8]) -> Vec<Option<Code>> {
    let directory = open(bytes).unwrap();
    (0..directory.len())
        .map(|index| match read(&directory, index, bytes) {
            Ok(data) => {
                assert_eq!(crc32fast::hash(&data), directory.entry(index).crc32);
                None
            }
            Err(error) => Some(error.code()),
        })
        .collect()
}
