//! One member's bytes: found, inflated, and checked against the size and the checksum in the directory.

use deflate64::InflaterManaged;
use zlib_rs::{Inflate, InflateFlush, Status};

use crate::crc32c;
use crate::error::{Code, Error, Result};
use crate::limits::Limits;
use crate::zip::{Directory, Method, member_data};

/// The output taken at once for a small member.
const LEAST_ROOM: usize = 64 << 10;
/// The last bytes of a deflate64 stream are fed singly: the decoder reads up to four ahead and does not give them back.
const FED_SINGLY: usize = 8;

/// The bytes of one member: borrowed from `buffer` when stored, else inflated into `scratch`.
///
/// `buffer` is any part of the chunk, its first byte the chunk's byte `buffer_offset`; [`Directory::extent`] says which
/// bytes must be in it. Nothing is read outside the member's own bytes. `scratch` is never shrunk, so that its pages
/// serve the next member; it grows as output is really produced, to one byte more than the declared size at most.
///
/// # Errors
///
/// The entry's own fault; a limit of `limits`; `local_header`, `name_mismatch`, `header_mismatch`, `descriptor`,
/// `data_bounds`, `hidden_entry`; `inflate`, `inflate_truncated`, `size_mismatch`, `crc`, `crc32c`; `limit_memory` if `scratch` cannot grow.
///
/// # Panics
///
/// If `index` is not below `directory.len()`.
pub fn read_member<'a>(
    directory: &Directory,
    index: usize,
    buffer: &'a [u8],
    buffer_offset: u64,
    scratch: &'a mut Vec<u8>,
    limits: &Limits,
) -> Result<&'a [u8]> {
    let entry = directory.entry(index);
    if let Some(fault) = &entry.fault {
        return Err(Error::clone(fault));
    }
    if let Some(error) = entry.over_limit(limits) {
        return Err(error);
    }
    let range = member_data(directory, index, buffer, buffer_offset)?;
    let at = buffer_offset + range.start as u64;
    let data = &buffer[range];
    if directory.is_bare() {
        crc32c::check(data, entry.crc32c())?;
        return Ok(data);
    }
    let method = Method::from_number(entry.method)
        .ok_or_else(|| Error::new(Code::UnsupportedMethod, format!("method {}", entry.method)))?;
    let bytes = match method {
        Method::Stored => data,
        Method::Deflate | Method::Deflate64 => {
            let mut output = Output::new(scratch, entry.uncompressed_size, data.len());
            if method == Method::Deflate { inflate(data, &mut output) } else { inflate64(data, &mut output) }
                .map_err(|(error, consumed)| error.at(at + consumed))?;
            let produced = output.produced;
            &scratch[..produced]
        }
    };
    if bytes.len() as u64 != entry.uncompressed_size {
        let detail = format!("{} bytes, {} in the directory", bytes.len(), entry.uncompressed_size);
        return Err(Error::new(Code::SizeMismatch, detail).at(at));
    }
    let crc32 = crc32fast::hash(bytes);
    if crc32 != entry.crc32 {
        let detail = format!("CRC-32 {crc32:08x}, {:08x} in the directory", entry.crc32);
        return Err(Error::new(Code::Crc, detail).at(at));
    }
    Ok(bytes)
}

/// The end of a stream, or an error and the bytes of input before it.
type Inflated = Result<(), (Error, u64)>;

/// Inflated bytes at the front of a scratch vector, which grows towards the declared size and one byte beyond.
struct Output<'a> {
    scratch: &'a mut Vec<u8>,
    produced: usize,
    /// Room to ask for next.
    room: usize,
    /// The declared size and one byte more, which shows that the stream is too long.
    most: usize,
}

impl<'a> Output<'a> {
    fn new(scratch: &'a mut Vec<u8>, declared: u64, packed: usize) -> Self {
        let most = usize::try_from(declared).unwrap_or(usize::MAX).saturating_add(1);
        // Photographs hardly compress, so twice the input holds nearly all of them at the first call.
        let room = scratch.len().max(packed.saturating_mul(2).saturating_add(LEAST_ROOM));
        Self { scratch, produced: 0, room, most }
    }

    /// Room for more bytes; an error if the stream has produced more than declared.
    fn rest(&mut self) -> Result<&mut [u8]> {
        if self.produced >= self.most {
            let detail = format!("the data inflates to more than the {} bytes in the directory", self.most - 1);
            return Err(Error::new(Code::SizeMismatch, detail));
        }
        if self.produced >= self.room.min(self.most) {
            self.room = self.produced.saturating_mul(2);
        }
        let room = self.room.min(self.most);
        if self.scratch.len() < room {
            let more = room - self.scratch.len();
            let no_memory = |_| Error::new(Code::LimitMemory, format!("{room} bytes for an inflated member"));
            self.scratch.try_reserve_exact(more).map_err(no_memory)?;
            self.scratch.resize(room, 0);
        }
        Ok(&mut self.scratch[self.produced..room])
    }
}

fn corrupt(reason: &str) -> Error {
    Error::new(Code::Inflate, reason)
}

fn too_short(produced: usize) -> Error {
    Error::new(Code::InflateTruncated, format!("the data ends after {produced} inflated bytes, before its end mark"))
}

fn left_over(bytes: usize) -> Error {
    Error::new(Code::SizeMismatch, format!("{bytes} bytes of data follow the end of the compressed stream"))
}

/// Inflates a raw deflate stream (RFC 1951).
fn inflate(data: &[u8], output: &mut Output<'_>) -> Inflated {
    let mut stream = Inflate::new(false, 15);
    loop {
        let (read, written) = (stream.total_in(), stream.total_out());
        let rest = output.rest().map_err(|error| (error, read))?;
        let status = stream.decompress(&data[read as usize..], rest, InflateFlush::Finish);
        let consumed = stream.total_in();
        output.produced += (stream.total_out() - written) as usize;
        match status {
            Ok(Status::StreamEnd) => {
                let left = data.len() - consumed as usize;
                return if left == 0 { Ok(()) } else { Err((left_over(left), consumed)) };
            }
            // There is room, so no progress means no input.
            Ok(_) if (consumed, stream.total_out()) == (read, written) => {
                return Err((too_short(output.produced), consumed));
            }
            Ok(_) => {}
            Err(error) => return Err((corrupt(stream.error_message().unwrap_or(error.as_str())), consumed)),
        }
    }
}

/// Inflates a deflate64 stream (APPNOTE 5.5). The decoder takes a distance beyond the start for zeros; the checksum
/// finds that out.
fn inflate64(data: &[u8], output: &mut Output<'_>) -> Inflated {
    let mut stream = Box::new(InflaterManaged::new());
    let mut consumed = 0;
    let single_from = data.len().saturating_sub(FED_SINGLY);
    let mut fed = single_from;
    loop {
        let rest = output.rest().map_err(|error| (error, consumed as u64))?;
        let room = rest.len();
        let result = stream.inflate(&data[consumed..fed], rest);
        consumed += result.bytes_consumed;
        output.produced += result.bytes_written;
        let fail = |error: Error| (error, consumed as u64);
        if result.data_error {
            return Err(fail(corrupt("invalid deflate64 data")));
        }
        if stream.finished() {
            let left = data.len() - consumed;
            return if left == 0 { Ok(()) } else { Err(fail(left_over(left))) };
        }
        if result.bytes_written == room {
            continue;
        }
        if fed == data.len() {
            return Err(fail(too_short(output.produced)));
        }
        fed += 1;
    }
}
