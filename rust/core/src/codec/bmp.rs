//! Windows and OS/2 bitmaps, as Pillow reads them: 1 to 32 bits, run lengths, bit fields, either row first.

use super::bytes::Bytes;
use super::pixels::{self, Palette};
use super::{Color, check_pixels, check_sides, check_yield, room};
use crate::{Code, Error, Limits, Mode, Result};

/// Bytes of the file header, which the bitmap's own header follows.
const FILE_HEADER: usize = 14;
/// Size of BITMAPCOREHEADER, whose fields are shorter, and sizes of all headers that are read: that one, BITMAPINFOHEADER,
/// its versions 2 and 3, OS/2 2.x, versions 4 and 5.
const CORE: u32 = 12;
const HEADERS: [u32; 7] = [CORE, 40, 52, 56, 64, 108, 124];

pub(crate) struct Image<'a> {
    bytes: &'a [u8],
    width: usize,
    height: usize,
    is_top_down: bool,
    layout: Layout,
    /// Where the pixels begin.
    start: usize,
}

/// What the pixels are.
enum Layout {
    /// Indices of 1, 4 or 8 bits.
    Indexed { bits: usize, palette: Box<Palette>, has_runs: bool },
    /// 16 bits: 5 of red, 5 or 6 of green, 5 of blue.
    Packed { green_bits: u32 },
    /// 3 or 4 bytes, and which of them are red, green, blue and alpha.
    Bytes { size: usize, rgb: [usize; 3], alpha: Option<usize> },
}

/// The bitmap's header, of whatever version.
struct Header {
    size: u32,
    width: u32,
    height: u32,
    bits: u16,
    compression: u32,
    colors: u32,
    /// Bits of red, green, blue and alpha.
    masks: [u32; 4],
}

/// Whether a file that begins with "BM" has a known header.
pub(super) fn has_header(bytes: &[u8]) -> bool {
    Bytes::at(bytes, FILE_HEADER).u32_le().is_ok_and(|size| HEADERS.contains(&size))
}

fn unsupported(detail: String) -> Error {
    Error::new(Code::UnsupportedFormat, detail)
}

impl Header {
    /// Reads the header, and the masks behind it.
    fn read(input: &mut Bytes<'_>) -> Result<Self> {
        let size = input.u32_le()?;
        if !HEADERS.contains(&size) {
            return Err(unsupported(format!("expected a known BMP header, got one of {size} bytes")));
        }
        let mut fields = Bytes::at(input.take(size as usize - 4)?, 0);
        if size == CORE {
            let [width, height, _planes, bits] =
                [fields.u16_le()?, fields.u16_le()?, fields.u16_le()?, fields.u16_le()?];
            let (width, height) = (u32::from(width), u32::from(height));
            return Ok(Self { size, width, height, bits, compression: 0, colors: 0, masks: [0; 4] });
        }
        let (width, height, _planes) = (fields.u32_le()?, fields.u32_le()?, fields.u16_le()?);
        let (bits, compression) = (fields.u16_le()?, fields.u32_le()?);
        let _size_and_resolution = fields.take(12)?;
        let (colors, _important) = (fields.u32_le()?, fields.u32_le()?);
        let mut masks = [0; 4];
        if compression == 3 {
            // The first version has three masks behind it, the third one a fourth, for alpha.
            let (source, count) = if size == 40 { (input, 3) } else { (&mut fields, if size < 56 { 3 } else { 4 }) };
            for mask in &mut masks[..count] {
                *mask = source.u32_le()?;
            }
        }
        Ok(Self { size, width, height, bits, compression, colors, masks })
    }

    /// Bytes of a colour in the palette.
    const fn entry_bytes(&self) -> usize {
        if self.size == CORE { 3 } else { 4 }
    }

    /// Colours in the palette.
    fn palette_colors(&self) -> usize {
        if self.colors == 0 { 1 << self.bits.min(8) } else { self.colors as usize }
    }

    fn layout(&self, palette: &[u8]) -> Result<Layout> {
        let rgb_masks = [self.masks[0], self.masks[1], self.masks[2]];
        Ok(match (self.bits, self.compression) {
            (1 | 4 | 8, 0) | (8, 1) | (4, 2) if self.palette_colors() <= 1 << 16 => {
                let colors = palette.chunks_exact(self.entry_bytes()).take(self.palette_colors());
                let palette = Palette::new(colors.map(|color| [color[2], color[1], color[0]]));
                Layout::Indexed {
                    bits: usize::from(self.bits),
                    palette: Box::new(palette),
                    has_runs: self.compression != 0,
                }
            }
            (16, 0) => Layout::Packed { green_bits: 5 },
            (16, 3) if rgb_masks == [0x7C00, 0x3E0, 0x1F] => Layout::Packed { green_bits: 5 },
            (16, 3) if rgb_masks == [0xF800, 0x7E0, 0x1F] => Layout::Packed { green_bits: 6 },
            (24 | 32, 0) => Layout::Bytes { size: usize::from(self.bits / 8), rgb: [2, 1, 0], alpha: None },
            (24, 3) if rgb_masks == [0x00FF_0000, 0xFF00, 0xFF] => {
                Layout::Bytes { size: 3, rgb: [2, 1, 0], alpha: None }
            }
            // Bit fields that say nothing are taken for the usual order.
            (32, 3) if self.masks == [0; 4] => Layout::Bytes { size: 4, rgb: [2, 1, 0], alpha: Some(3) },
            (32, 3) => {
                let [Some(red), Some(green), Some(blue), alpha] = self.masks.map(byte_of) else {
                    return Err(unsupported(format!("BMP bit fields {:08x?}", self.masks)));
                };
                if self.masks[3] != 0 && alpha.is_none() {
                    return Err(unsupported(format!("BMP bit fields {:08x?}", self.masks)));
                }
                Layout::Bytes { size: 4, rgb: [red, green, blue], alpha }
            }
            (bits, compression) => {
                let colors = self.colors;
                let detail = format!("BMP of {bits} bits, compression {compression}, {colors} colours");
                return Err(unsupported(detail));
            }
        })
    }
}

/// Which byte of a little-endian pixel a mask covers.
fn byte_of(mask: u32) -> Option<usize> {
    (0..4).find(|byte| mask == 0xFF << (byte * 8))
}

impl<'a> Image<'a> {
    pub(super) fn open(bytes: &'a [u8], limits: &Limits) -> Result<Self> {
        let declared = Bytes::at(bytes, 10).u32_le()? as usize;
        let mut input = Bytes::at(bytes, FILE_HEADER);
        let header = Header::read(&mut input)?;
        // A negative height says that the topmost row comes first; Pillow tells it by the highest byte.
        let is_top_down = header.size != CORE && header.height >= 0xFF00_0000;
        let height = if is_top_down { header.height.wrapping_neg() } else { header.height };
        let (width, height) = (header.width as usize, height as usize);
        check_sides((width, height))?;
        check_pixels((width, height), limits)?;
        let layout = header.layout(input.rest())?;
        let (pixels, length) = (width as u64 * height as u64, bytes.len() as u64);
        match layout {
            // A step of 4 bytes passes over at most 255 rows and 255 pixels.
            Layout::Indexed { has_runs: true, .. } => check_yield(length, 64 * (width as u64 + 1), pixels)?,
            _ => check_yield(length, 1, pixels * u64::from(header.bits) / 8)?,
        }
        let palette_bytes = match layout {
            Layout::Indexed { .. } => header.palette_colors() * header.entry_bytes(),
            _ => 0,
        };
        let start = match declared {
            0 => input.position() + palette_bytes,
            // Some writers forget the palette.
            _ if declared == FILE_HEADER + header.size as usize => declared + palette_bytes,
            _ => declared,
        };
        Ok(Self { bytes, width, height, is_top_down, layout, start })
    }

    pub(super) fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    pub(super) fn color(&self) -> Color {
        match self.layout {
            Layout::Indexed { .. } => Color::Palette,
            Layout::Bytes { alpha: Some(_), .. } => Color::Rgba,
            Layout::Packed { .. } | Layout::Bytes { .. } => Color::Rgb,
        }
    }

    pub(super) fn bits(&self) -> usize {
        match self.layout {
            Layout::Indexed { bits, .. } => bits,
            Layout::Packed { .. } => 5,
            Layout::Bytes { .. } => 8,
        }
    }

    pub(super) fn working_bytes(&self, mode: Mode) -> usize {
        match self.layout {
            Layout::Indexed { has_runs: true, .. } => self.width * self.height,
            Layout::Indexed { .. } => 0,
            _ if mode == Mode::Grey => self.width * 3,
            _ => 0,
        }
    }

    pub(super) fn decode_into(self, mode: Mode, out: &mut [u8], scratch: &mut Vec<u8>) -> Result<()> {
        let Self { bytes, width, height, .. } = self;
        let bits = match self.layout {
            Layout::Indexed { has_runs: true, .. } => 8,
            Layout::Indexed { bits, .. } => bits,
            Layout::Packed { .. } => 16,
            Layout::Bytes { size, .. } => size * 8,
        };
        let row_bytes = (width * bits).div_ceil(8);
        let (rows, stride) = if let Layout::Indexed { has_runs: true, bits, .. } = self.layout {
            let indices = room(scratch, width * height)?;
            expand_runs(&mut Bytes::at(bytes, self.start), bits == 4, width, indices)?;
            (&*indices, width)
        } else {
            // Rows begin at multiples of 4 bytes; the last one may lack its padding.
            let stride = row_bytes.next_multiple_of(4);
            (Bytes::at(bytes, self.start).take(stride * (height - 1) + row_bytes)?, stride)
        };
        let rows = rows.chunks(stride).map(|row| &row[..row_bytes]);
        let out_rows = out.chunks_exact_mut(width * mode.channels());
        if self.is_top_down {
            rows.zip(out_rows).for_each(|(row, out)| self.layout.write(row, bits, mode, out));
        } else {
            rows.zip(out_rows.rev()).for_each(|(row, out)| self.layout.write(row, bits, mode, out));
        }
        Ok(())
    }
}

impl Layout {
    /// Writes a row of pixels.
    fn write(&self, row: &[u8], bits: usize, mode: Mode, out: &mut [u8]) {
        match self {
            Self::Indexed { palette, .. } => {
                palette.paint(row, bits, mode, out);
            }
            Self::Packed { green_bits } => {
                let green_top = (1 << green_bits) - 1;
                let red_shift = 5 + green_bits;
                let pixels = row.as_chunks::<2>().0.iter().map(|&pixel| {
                    let value = u32::from(u16::from_le_bytes(pixel));
                    let red = (value >> red_shift & 31) * 255 / 31;
                    let green = (value >> 5 & green_top) * 255 / green_top;
                    [red as u8, green as u8, ((value & 31) * 255 / 31) as u8, 255]
                });
                pixels::write(pixels, mode, out);
            }
            Self::Bytes { size, rgb: [red, green, blue], alpha } => {
                let pixels = row
                    .chunks_exact(*size)
                    .map(|pixel| [pixel[*red], pixel[*green], pixel[*blue], alpha.map_or(255, |alpha| pixel[alpha])]);
                pixels::write(pixels, mode, out);
            }
        }
    }
}

/// Expands run lengths to one index a byte, in the order of the file. As Pillow does it: a picture that is not filled is an
/// error, also where the end mark comes first.
fn expand_runs(input: &mut Bytes<'_>, is_4_bits: bool, width: usize, indices: &mut [u8]) -> Result<()> {
    let length = indices.len();
    let (mut filled, mut x) = (0, 0);
    while filled < length {
        let [count, value] = input.array()?;
        let rest = &mut indices[filled..];
        match (usize::from(count), value) {
            // The end of a row.
            (0, 0) => {
                let skipped = (width - filled % width) % width;
                rest[..skipped].fill(0);
                filled += skipped;
                x = 0;
            }
            (0, 1) => {
                let detail = format!("expected {length} pixels, got {filled} before the end mark");
                return Err(Error::new(Code::CorruptImage, detail));
            }
            // A step to the right and to later rows.
            (0, 2) => {
                let [right, rows] = input.array()?.map(usize::from);
                let skipped = rest.len().min(right + rows * width);
                rest[..skipped].fill(0);
                filled += skipped;
                x = filled % width;
            }
            // Indices as they are, to a multiple of 2 bytes.
            (0, count) => {
                let taken = rest.len().min(usize::from(count));
                if is_4_bits {
                    let pairs = input.take(taken.div_ceil(2))?;
                    unpack_pairs(pairs.iter().copied(), &mut rest[..taken]);
                } else {
                    rest[..taken].copy_from_slice(input.take(taken)?);
                }
                filled += taken;
                x += usize::from(count);
                if filled < length && !input.position().is_multiple_of(2) {
                    input.take(1)?;
                }
            }
            // A run, which does not go on in the next row.
            (count, value) => {
                let taken = count.min(width.saturating_sub(x)).min(rest.len());
                if is_4_bits {
                    unpack_pairs(std::iter::repeat(value), &mut rest[..taken]);
                } else {
                    rest[..taken].fill(value);
                }
                filled += taken;
                x += taken;
            }
        }
    }
    Ok(())
}

/// Two indices a byte, the first in the high bits.
fn unpack_pairs(pairs: impl Iterator<Item = u8>, indices: &mut [u8]) {
    for (indices, pair) in indices.chunks_mut(2).zip(pairs) {
        for (index, value) in indices.iter_mut().zip([pair >> 4, pair & 15]) {
            *index = value;
        }
    }
}
