//! Arbitrary bytes as a compressed stream, against other decoders.

use flate2::{Decompress, FlushDecompress, Status};
use pixcrawler_core::Code;

use crate::archive::{self, Archive, Member};
use crate::inflate64;

/// What both decoders make at most of a stream.
const MOST: usize = 1 << 17;

/// The bytes that zlib makes of a raw deflate stream; an error with what it made before if the stream is damaged, cut,
/// or followed by anything.
fn zlib(stream: &[u8]) -> Result<Vec<u8>, Vec<u8>> {
    let mut decoder = Decompress::new(false);
    let mut out = Vec::with_capacity(MOST + 1);
    let status = decoder.decompress_vec(stream, &mut out, FlushDecompress::Finish);
    let whole = matches!(status, Ok(Status::StreamEnd)) && decoder.total_in() == stream.len() as u64;
    if whole { Ok(out) } else { Err(out) }
}

/// Our reading of a member of this stream, whose directory declares these bytes. None for a stream with records of a zip
/// in it, which make two archives of one.
fn ours(stream: &[u8], method: u16, declared: &[u8]) -> Option<Result<Vec<u8>, Code>> {
    let member =
        Member { name: b"a".to_vec(), data: declared.to_vec(), packed: stream.to_vec(), method, ..Member::default() };
    let bytes = Archive::new(&[member]).bytes;
    let directory = archive::open(&bytes).ok()?;
    Some(archive::read(&directory, 0, &bytes).map_err(|error| error.code()))
}

fn compare(stream: &[u8], method: u16, expected: Result<Vec<u8>, Vec<u8>>) {
    let declared = match &expected {
        Ok(out) | Err(out) => out,
    };
    if declared.len() > MOST {
        return;
    }
    let Some(found) = ours(stream, method, declared) else { return };
    match (found, &expected) {
        (Ok(found), Ok(expected)) => assert!(found == *expected, "other bytes"),
        (Err(code), Ok(_)) => panic!("refused with {}, the other decoder takes it", code.as_str()),
        (Ok(_), Err(_)) => panic!("delivered, the other decoder refuses it"),
        (Err(code), Err(_)) => assert!(
            matches!(code, Code::Inflate | Code::InflateTruncated | Code::SizeMismatch | Code::Crc),
            "refused with {}",
            code.as_str()
        ),
    }
}

/// Our inflate accepts what zlib accepts, with the same bytes.
pub fn check_inflate(stream: &[u8]) {
    compare(stream, 8, zlib(stream));
}

/// The same for deflate64, against a decoder that reads bit by bit.
pub fn check_deflate64(stream: &[u8]) {
    compare(stream, 9, inflate64::inflate(stream, MOST));
}
