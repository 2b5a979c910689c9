//! What fuzzing found, minimised: each was once wrong.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod archive;

use archive::{Archive, Member, open};
use pixcrawler_core::inflate::read_member;
use pixcrawler_core::{Code, Limits};

/// A local extra field that reaches into the directory: the refusal must not depend on whether that is at hand.
#[test]
fn u02_an_extra_field_longer_than_its_place_is_refused_alike_from_any_buffer() {
    let archive = Archive::new(&[Member::stored("a", b"1"), Member::stored("b", b"22")]);
    let bytes = archive.patched16(archive.locals[1] + 28, 101).bytes;
    let directory = open(&bytes).unwrap();
    let extent = directory.extent(1);
    let read = |from: u64, to: u64| {
        let part = &bytes[from as usize..to as usize];
        read_member(&directory, 1, part, from, &mut Vec::new(), &Limits::default())
            .map(<[u8]>::to_vec)
            .map_err(|error| (error.code(), error.offset()))
    };
    let expected = read(extent.start, extent.end);
    assert_eq!(expected.as_ref().unwrap_err().0, Code::DataBounds);
    for (from, to) in [(0, bytes.len() as u64), (extent.start, bytes.len() as u64), (0, extent.end)] {
        assert_eq!(read(from, to), expected, "{from}..{to}");
    }
}
