//! Arbitrary bytes as a zip.

use pixcrawler_core::Limits;
use pixcrawler_core::inflate::read_member;
use pixcrawler_core::zip::Directory;

use crate::archive;

/// Small ones, so that an input is done in microseconds.
fn limits() -> Limits {
    Limits { member_bytes: 1 << 20, inflated_bytes: 1 << 20, ..Limits::default() }
}

/// Reads every member from the whole file and from parts of it.
///
/// The result must not depend on the part, what is delivered must have its size and checksum, and no two delivered
/// members may share bytes.
pub fn check(bytes: &[u8]) {
    let limits = limits();
    let Ok(directory) = archive::open_limited(bytes, &limits) else { return };
    let mut scratch = Vec::new();
    let mut delivered = Vec::new();
    for index in 0..directory.len() {
        let extent = directory.extent(index);
        assert!(extent.start <= extent.end && extent.end <= bytes.len() as u64, "{extent:?}");
        let whole = read(&directory, index, bytes, 0, &mut scratch, &limits);
        for margin in [0, 1, 100] {
            let start = extent.start.saturating_sub(margin);
            let end = (extent.end + margin).min(bytes.len() as u64);
            let part = &bytes[start as usize..end as usize];
            let found = read(&directory, index, part, start, &mut scratch, &limits);
            assert_eq!(found, whole, "entry {index} from {start}..{end}");
        }
        let entry = directory.entry(index);
        if let Ok(data) = whole {
            assert!(entry.fault.is_none());
            assert_eq!((data.len() as u64, crc32fast::hash(&data)), (entry.uncompressed_size, entry.crc32));
            let header = 30 + directory.raw_name(index).len() as u64;
            delivered.push(entry.header_offset..entry.header_offset + header + entry.compressed_size);
            assert_eq!(directory.find(&directory.name(index)), Some(index));
        }
    }
    delivered.sort_by_key(|range| range.start);
    assert!(delivered.is_sorted_by(|one, two| one.end <= two.start), "delivered members share bytes: {delivered:?}");
}

type Outcome = Result<Vec<u8>, (pixcrawler_core::Code, Option<u64>)>;

fn read(
    directory: &Directory,
    index: usize,
    part: &[u8],
    start: u64,
    scratch: &mut Vec<u8>,
    limits: &Limits,
) -> Outcome {
    // What the memory held before must not matter.
    scratch.fill(0xA5);
    read_member(directory, index, part, start, scratch, limits)
        .map(<[u8]>::to_vec)
        .map_err(|error| (error.code(), error.offset()))
}
