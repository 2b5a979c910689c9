//! TIFF 6.0: the first picture, as Pillow shows it: bilevel, grey, palette, RGB and CMYK in strips or tiles, raw or by LZW,
//! Deflate, PackBits or JPEG. What Pillow shows otherwise than the specification says, or refuses, is refused here.

mod directory;
mod inflate;
mod layout;

use self::directory::{Directory, Values, tag};
use self::inflate::{Compression, Inflater};
use self::layout::Layout;
use super::bytes::Bytes;
use super::{Color, Scratch, check_pixels, check_sides, check_yield, jpeg, room};
use crate::context::Share;
use crate::{Code, Error, Limits, Mode, Result};

pub(crate) struct Image<'a> {
    bytes: &'a [u8],
    directory: Directory<'a>,
    width: usize,
    height: usize,
    layout: Layout,
    pieces: Pieces<'a>,
    limits: Limits,
}

/// How the picture is cut: strips are tiles as wide as it is.
struct Pieces<'a> {
    width: usize,
    height: usize,
    /// Tiles are whole at the edges too, the last strip is not.
    is_tiled: bool,
    compression: Compression,
    has_predictor: bool,
    offsets: Values<'a>,
    lengths: Option<Values<'a>>,
    /// Of all pieces together, if they are compressed.
    packed_bytes: Option<u64>,
}

/// More pieces than any writer makes would cost time beyond what the pixels do.
const MOST_PIECES: usize = 1 << 16;
/// Bytes of tables that pieces share; JPEG has at most 8 of some hundred bytes each.
const MOST_TABLES: usize = 64 << 10;
const START_OF_IMAGE: &[u8] = b"\xFF\xD8";

fn unsupported(detail: &str) -> Error {
    Error::new(Code::UnsupportedFormat, format!("TIFF with {detail}"))
}

fn corrupt(detail: &str) -> Error {
    Error::new(Code::CorruptImage, detail)
}

impl<'a> Pieces<'a> {
    fn read(
        directory: &Directory<'a>,
        (width, height): (usize, usize),
        layout: &Layout,
        limits: &Limits,
        file_bytes: usize,
    ) -> Result<Self> {
        let compression = Compression::of(directory.number(tag::COMPRESSION)?.unwrap_or(1))?;
        let has_predictor = match directory.number(tag::PREDICTOR)?.unwrap_or(1) {
            _ if !matches!(compression, Compression::Lzw | Compression::Deflate) => false,
            1 => false,
            2 if layout.bits >= 8 => true,
            predictor => return Err(unsupported(&format!("predictor {predictor} of {} bits", layout.bits))),
        };
        let is_tiled = directory.number(tag::TILE_WIDTH)?.is_some();
        let (own, offsets, lengths) = if is_tiled {
            let own = (directory.required(tag::TILE_WIDTH)?, directory.required(tag::TILE_HEIGHT)?);
            // Section 15: multiples of 16.
            if own.0 == 0 || own.1 == 0 || own.0 % 16 != 0 || own.1 % 16 != 0 {
                return Err(corrupt(&format!("tiles of {} x {}", own.0, own.1)));
            }
            check_pixels(own, limits)?;
            (own, tag::TILE_OFFSETS, tag::TILE_BYTES)
        } else {
            let rows = directory.number(tag::ROWS_PER_STRIP)?.map_or(height, |rows| (rows as usize).min(height));
            if rows == 0 {
                return Err(corrupt("strips of no row"));
            }
            ((width, rows), tag::STRIP_OFFSETS, tag::STRIP_BYTES)
        };
        let count = width.div_ceil(own.0) * height.div_ceil(own.1) * layout.planes();
        if count > MOST_PIECES {
            return Err(unsupported(&format!("{count} strips or tiles")));
        }
        let Some(offsets) = directory.values(offsets)? else { return Err(corrupt("no strips or tiles")) };
        let lengths = directory.values(lengths)?;
        for found in [Some(offsets.len()), lengths.as_ref().map(Values::len)].into_iter().flatten() {
            if found != count {
                return Err(corrupt(&format!("expected {count} strips or tiles, got {found}")));
            }
        }
        // Pieces that share their bytes would cost time beyond what the file's size allows.
        let total: u64 = lengths.iter().flat_map(Values::iter).map(u64::from).sum();
        if compression != Compression::Raw && total > file_bytes as u64 {
            return Err(corrupt(&format!("{total} bytes of strips or tiles in a file of {file_bytes}")));
        }
        if compression != Compression::Raw && lengths.is_none() && count > 1 {
            return Err(corrupt("no lengths of strips or tiles"));
        }
        let (width, height) = own;
        let packed_bytes = (compression != Compression::Raw && lengths.is_some()).then_some(total);
        Ok(Self { width, height, is_tiled, compression, has_predictor, offsets, lengths, packed_bytes })
    }

    /// The bytes of a piece; `expected` of them if it is not compressed, whose length writers get wrong.
    fn data(&self, bytes: &'a [u8], piece: usize, expected: usize) -> Result<&'a [u8]> {
        let offset = self.offsets.get(piece).unwrap_or(u32::MAX) as usize;
        let mut input = Bytes::at(bytes, offset);
        if self.compression == Compression::Raw {
            return input.take(expected);
        }
        match self.lengths.as_ref().and_then(|lengths| lengths.get(piece)) {
            Some(length) => input.take(length as usize),
            None => Ok(input.rest()),
        }
    }
}

impl<'a> Image<'a> {
    pub(super) fn open(bytes: &'a [u8], limits: &Limits) -> Result<Self> {
        let directory = Directory::read(bytes)?;
        let (width, height) = (directory.required(tag::WIDTH)?, directory.required(tag::HEIGHT)?);
        check_sides((width, height))?;
        check_pixels((width, height), limits)?;
        let layout = Layout::read(&directory)?;
        let pieces = Pieces::read(&directory, (width, height), &layout, limits, bytes.len())?;
        layout.check_jpeg(pieces.compression == Compression::Jpeg)?;
        let image = Self { bytes, directory, width, height, layout, pieces, limits: limits.clone() };
        let packed = image.pieces.packed_bytes.unwrap_or(bytes.len() as u64);
        check_yield(packed, image.pieces.compression.most_yield(), image.stored_bytes())?;
        Ok(image)
    }

    pub(super) fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    pub(super) fn color(&self) -> Color {
        self.layout.color()
    }

    pub(super) fn bits(&self) -> usize {
        self.layout.bits
    }

    /// The file itself is a block of tags like EXIF's.
    pub(super) fn exif(&self) -> &[u8] {
        self.bytes
    }

    /// Bytes of a row of one piece.
    fn row_bytes(&self) -> usize {
        (self.pieces.width * self.layout.samples_of_a_piece() * self.layout.bits).div_ceil(8)
    }

    /// Bytes of all pieces, decompressed; those of tiles beyond the edges count.
    fn stored_bytes(&self) -> u64 {
        let rows = if self.pieces.is_tiled { self.height.next_multiple_of(self.pieces.height) } else { self.height };
        let across = self.width.div_ceil(self.pieces.width) * self.layout.planes();
        (self.row_bytes() as u64).saturating_mul(rows as u64).saturating_mul(across as u64)
    }

    pub(super) fn working_bytes(&self) -> usize {
        let (width, height) = (self.pieces.width, self.pieces.height);
        if self.pieces.compression == Compression::Jpeg {
            // Coefficients, planes and pixels of one piece.
            return width * height * 16 + self.bytes.len();
        }
        self.row_bytes() * height * self.layout.planes() + width * 4 + (128 << 10)
    }

    pub(super) fn decode_into(
        self,
        mode: Mode,
        out: &mut [u8],
        scratch: &mut Scratch,
        share: &mut Share<'_>,
    ) -> Result<()> {
        // JPEG pieces need the scratch themselves.
        let mut buffer = std::mem::take(&mut scratch.converted);
        let decoded = if self.pieces.compression == Compression::Jpeg {
            self.decode_jpegs(mode, out, &mut buffer, scratch, share)
        } else {
            self.decode_pieces(mode, out, &mut buffer)
        };
        scratch.converted = buffer;
        decoded
    }

    /// The places of the pieces of one plane: the first pixel of the output, and the columns and rows that it has of them.
    fn places(&self) -> impl Iterator<Item = (usize, usize, usize)> + use<> {
        let (width, height) = (self.width, self.height);
        let (own_width, own_height) = (self.pieces.width, self.pieces.height);
        (0..height).step_by(own_height).flat_map(move |y| {
            let rows = own_height.min(height - y);
            (0..width).step_by(own_width).map(move |x| (y * width + x, own_width.min(width - x), rows))
        })
    }

    fn decode_pieces(&self, mode: Mode, out: &mut [u8], buffer: &mut Vec<u8>) -> Result<()> {
        let Self { bytes, width, layout, pieces, .. } = self;
        let (row_bytes, channels) = (self.row_bytes(), mode.channels());
        let piece_bytes = row_bytes * pieces.height;
        let buffer = room(buffer, piece_bytes * layout.planes())?;
        let mut inflater = Inflater::new(pieces.compression);
        let mut line = Vec::new();
        let per_plane = pieces.offsets.len() / layout.planes();
        for (piece, (start, columns, rows)) in self.places().enumerate() {
            let stored = row_bytes * if pieces.is_tiled { pieces.height } else { rows };
            for (plane, buffer) in buffer.chunks_exact_mut(piece_bytes).enumerate() {
                let data = pieces.data(bytes, piece + plane * per_plane, stored)?;
                let buffer = &mut buffer[..stored];
                match &mut inflater {
                    Some(inflater) => inflater.fill(data, buffer)?,
                    None => buffer.copy_from_slice(data),
                }
                if pieces.has_predictor {
                    buffer.chunks_exact_mut(row_bytes).for_each(|row| layout.undo_predictor(row));
                }
            }
            for row in 0..rows {
                let planes = buffer.chunks_exact(piece_bytes).map(|plane| &plane[row * row_bytes..][..row_bytes]);
                let samples = layout.samples_of_8_bits(planes, columns, &mut line);
                let first = (start + row * width) * channels;
                layout.write(samples, mode, &mut out[first..first + columns * channels]);
            }
        }
        Ok(())
    }

    /// Each piece is a JPEG file, but that they share their tables (Technical Note 2).
    fn decode_jpegs(
        &self,
        mode: Mode,
        out: &mut [u8],
        buffer: &mut Vec<u8>,
        scratch: &mut Scratch,
        share: &mut Share<'_>,
    ) -> Result<()> {
        let Self { bytes, width, pieces, limits, .. } = self;
        let channels = mode.channels();
        let tables = self.directory.data(tag::JPEG_TABLES)?.unwrap_or_default();
        if tables.len() > MOST_TABLES {
            return Err(corrupt(&format!("{} bytes of JPEG tables", tables.len())));
        }
        let tables = tables.strip_prefix(START_OF_IMAGE).unwrap_or(tables);
        let tables = tables.strip_suffix(b"\xFF\xD9").unwrap_or(tables);
        let mut file = Vec::new();
        for (piece, (start, columns, rows)) in self.places().enumerate() {
            let data = pieces.data(bytes, piece, 0)?;
            let data = data.strip_prefix(START_OF_IMAGE).unwrap_or(data);
            if data.starts_with(b"\xFF\xE0") {
                return Err(unsupported("JPEG compression with a JFIF marker"));
            }
            let parts: [&[u8]; 4] = [START_OF_IMAGE, self.layout.jpeg_color_marker(), tables, data];
            let length = parts.iter().map(|part| part.len()).sum();
            file.clear();
            if file.try_reserve_exact(length).is_err() {
                return Err(Error::new(Code::LimitMemory, format!("{length} bytes of JPEG")));
            }
            for part in parts {
                file.extend_from_slice(part);
            }
            let image = jpeg::Image::open(&file, limits)?;
            let size = image.size();
            if size.0 != pieces.width || (size.1 != pieces.height && (pieces.is_tiled || size.1 != rows)) {
                let detail = format!("expected {} x {}, got {} x {}", pieces.width, pieces.height, size.0, size.1);
                return Err(corrupt(&format!("a strip or tile of another size: {detail}")));
            }
            self.layout.check_jpeg_components(&image)?;
            let pixels = room(buffer, size.0 * size.1 * channels)?;
            image.decode_into(mode, false, pixels, scratch, share)?;
            for (row, pixels) in pixels.chunks_exact(size.0 * channels).take(rows).enumerate() {
                let first = (start + row * width) * channels;
                out[first..first + columns * channels].copy_from_slice(&pixels[..columns * channels]);
            }
        }
        Ok(())
    }
}
