//! A PNG's chunks (PNG third edition, clauses 5 and 11): their order and bounds checked before anything is decoded, and only
//! those read that make the picture. Text, profiles and animations are skipped unread, so that nothing in them costs anything.

use std::io::{self, BufRead, Read, Seek, SeekFrom};
use std::ops::Range;

use crate::codec::check_sides;
use crate::{Code, Error, Limits, Result};

/// Bytes of the signature, of a chunk's length and name, and of its CRC.
const SIGNATURE: usize = 8;
const HEAD: usize = 8;
const CRC: usize = 4;

/// What is known of a file before it is decoded.
pub(super) struct Survey<'a> {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) is_indexed: bool,
    /// Bits of a pixel.
    pub(super) pixel_bits: u64,
    /// Of the compressed pixels.
    pub(super) idat_bytes: u64,
    pub(super) exif: Option<&'a [u8]>,
}

/// A chunk and its place in the file.
struct Chunk<'a> {
    name: [u8; 4],
    data: &'a [u8],
    place: Range<usize>,
}

impl Chunk<'_> {
    /// Whether the picture depends on it.
    fn is_wanted(&self) -> bool {
        matches!(&self.name, b"IHDR" | b"PLTE" | b"tRNS" | b"IDAT" | b"IEND")
    }

    fn corrupt(&self, detail: impl Into<Box<str>>) -> Error {
        Error::new(Code::CorruptImage, detail).at(self.place.start as u64)
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// The chunk that starts at a position.
fn chunk_at(bytes: &[u8], at: usize) -> Result<Chunk<'_>> {
    let truncated = |detail: String| Error::new(Code::TruncatedImage, detail).at(at as u64);
    let (Some(length), Some(&name)) = (u32_at(bytes, at), bytes.get(at + 4..).and_then(<[u8]>::first_chunk::<4>))
    else {
        return Err(truncated(format!("expected a chunk or more, got {} bytes", bytes.len().saturating_sub(at))));
    };
    // PNG 5.3: a length is at most 2^31 - 1; a name is four letters.
    if i32::try_from(length).is_err() || !name.iter().all(u8::is_ascii_alphabetic) {
        let detail = format!("expected a chunk, got a length of {length} and the name {}", name.escape_ascii());
        return Err(Error::new(Code::CorruptImage, detail).at(at as u64));
    }
    let data = at + HEAD..at + HEAD + length as usize;
    let place = at..data.end + CRC;
    if place.end > bytes.len() {
        let (name, rest) = (name.escape_ascii(), bytes.len() - at);
        return Err(truncated(format!("expected {} bytes of {name}, got {rest}", place.len())));
    }
    Ok(Chunk { name, data: &bytes[data], place })
}

/// Checks the chunks of a file up to its end chunk; what follows it is no part of the picture.
pub(super) fn survey<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Survey<'a>> {
    let header = chunk_at(bytes, SIGNATURE)?;
    if &header.name == b"CgBI" {
        let detail = "expected PNG, got Apple's CgBI variant of it";
        return Err(Error::new(Code::UnsupportedFormat, detail).at(header.place.start as u64));
    }
    let (b"IHDR", &[w0, w1, w2, w3, h0, h1, h2, h3, depth, color_type, ..], 13) =
        (&header.name, header.data, header.data.len())
    else {
        let (name, length) = (header.name.escape_ascii(), header.data.len());
        return Err(header.corrupt(format!("expected IHDR of 13 bytes first, got {name} of {length}")));
    };
    let (width, height) = (u32::from_be_bytes([w0, w1, w2, w3]), u32::from_be_bytes([h0, h1, h2, h3]));
    check_sides((width as usize, height as usize))?;
    // PNG 11.2.1: colour type 3 is indexed.
    let is_indexed = color_type == 3;
    let samples = match color_type {
        2 => 3,
        4 => 2,
        6 => 4,
        _ => 1,
    };
    let pixel_bits = u64::from(depth) * samples;
    let (mut exif, mut has_palette) = (None, false);
    let (mut pixels_ended, mut has_pixels) = (false, false);
    let (mut at, mut read, mut idat_bytes) = (header.place.end, 1, 0);
    loop {
        let chunk = chunk_at(bytes, at)?;
        at = chunk.place.end;
        read += u64::from(chunk.is_wanted());
        if read > limits.png_chunks {
            let detail = format!("more than {} chunks of the picture", limits.png_chunks);
            return Err(Error::new(Code::LimitPngChunks, detail).at(chunk.place.start as u64));
        }
        match &chunk.name {
            b"IDAT" if pixels_ended => return Err(chunk.corrupt("IDAT chunks with others between them")),
            b"IDAT" if is_indexed && !has_palette => return Err(chunk.corrupt("indexed colours without PLTE")),
            b"IDAT" => {
                has_pixels = true;
                idat_bytes += chunk.data.len() as u64;
            }
            b"PLTE" if has_palette => return Err(chunk.corrupt("two PLTE chunks")),
            // PNG 11.2.2.
            b"PLTE" if chunk.data.len() % 3 != 0 || !(3..=768).contains(&chunk.data.len()) => {
                return Err(chunk.corrupt(format!("expected PLTE of 1 to 256 times 3 bytes, got {}", chunk.data.len())));
            }
            b"PLTE" => has_palette = true,
            b"IEND" if !has_pixels => return Err(chunk.corrupt("no IDAT chunk")),
            b"IEND" => return Ok(Survey { width, height, is_indexed, pixel_bits, idat_bytes, exif }),
            // The first one that is whole counts; what is broken in ancillary chunks costs nothing.
            b"eXIf" if exif.is_none() && has_right_crc(bytes, &chunk) => exif = Some(chunk.data),
            // PNG 5.4: a capital first letter says that the picture cannot be had without the chunk.
            name if name[0].is_ascii_uppercase() => {
                return Err(chunk.corrupt(format!("unexpected critical chunk {}", name.escape_ascii())));
            }
            _ => {}
        }
        pixels_ended = has_pixels && &chunk.name != b"IDAT";
    }
}

fn has_right_crc(bytes: &[u8], chunk: &Chunk<'_>) -> bool {
    let end = chunk.place.end - CRC;
    u32_at(bytes, end) == Some(crc32fast::hash(&bytes[chunk.place.start + 4..end]))
}

/// Reads the signature and the chunks that make the picture, without a copy; the others are passed over.
pub(super) struct PictureChunks<'a> {
    bytes: &'a [u8],
    run: Range<usize>,
}

impl<'a> PictureChunks<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, run: 0..SIGNATURE.min(bytes.len()) }
    }

    /// The next chunks that are wanted and follow one another, as one range.
    fn next_run(&self) -> Range<usize> {
        let mut run = self.run.end..self.run.end;
        while let Ok(chunk) = chunk_at(self.bytes, run.end) {
            if chunk.is_wanted() {
                run.end = chunk.place.end;
            } else if run.is_empty() {
                run = chunk.place.end..chunk.place.end;
            } else {
                break;
            }
            if &chunk.name == b"IEND" {
                break;
            }
        }
        run
    }
}

impl BufRead for PictureChunks<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.run.is_empty() {
            self.run = self.next_run();
        }
        Ok(&self.bytes[self.run.clone()])
    }

    fn consume(&mut self, count: usize) {
        self.run.start = self.run.end.min(self.run.start + count);
    }
}

impl Read for PictureChunks<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(out)?;
        self.consume(count);
        Ok(count)
    }
}

/// The decoder's bounds ask for it; it never seeks.
impl Seek for PictureChunks<'_> {
    fn seek(&mut self, _: SeekFrom) -> io::Result<u64> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
