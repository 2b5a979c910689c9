//! PNG: 8 bits a channel by Pillow's rules, except 16-bit grey, of which the high byte is taken (Pillow clips it to white).

use std::borrow::Cow;
use std::io::{Cursor, ErrorKind};

use png::{BitDepth, ColorType, DecodingError, Reader, Transformations};

use super::{Color, check_pixels, room};
use crate::{Code, Error, Limits, Mode, Result, color};

pub(crate) struct Image<'a> {
    reader: Reader<Cursor<Cow<'a, [u8]>>>,
    total_bytes: usize,
}

/// Bound on what the decoder allocates for itself: a row or two and ancillary chunks.
const DECODER_BYTES: usize = 64 << 20;

fn refused(error: &DecodingError) -> Error {
    let code = match error {
        DecodingError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => Code::TruncatedImage,
        DecodingError::IoError(_) | DecodingError::Format(_) => Code::CorruptImage,
        DecodingError::LimitsExceeded => Code::LimitMemory,
        DecodingError::Parameter(_) => Code::Internal,
    };
    Error::new(code, error.to_string())
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// The chunks of a file, whole, and whether each belongs to an animation (PNG 5.2 and 5.3: a signature of 8 bytes, then
/// chunks of a length, a name, data and a CRC).
fn chunks(bytes: &[u8]) -> impl Iterator<Item = (&[u8], bool)> {
    let mut at = 8;
    std::iter::from_fn(move || {
        let (length, name) = (u32_at(bytes, at)?, bytes.get(at + 4..at + 8)?);
        let end = at.saturating_add(12).saturating_add(length as usize).min(bytes.len());
        let chunk = &bytes[at..end];
        at = end;
        Some((chunk, matches!(name, b"acTL" | b"fcTL" | b"fdAT")))
    })
}

/// The file without the chunks of an animation: nonsense in them must not cost the default image.
fn without_animation(bytes: &[u8]) -> Cow<'_, [u8]> {
    let mut still = Vec::new();
    if !chunks(bytes).any(|(_, is_animation)| is_animation) || still.try_reserve_exact(bytes.len()).is_err() {
        return Cow::Borrowed(bytes);
    }
    still.extend_from_slice(&bytes[..8]);
    chunks(bytes).filter(|(_, is_animation)| !is_animation).for_each(|(chunk, _)| still.extend_from_slice(chunk));
    Cow::Owned(still)
}

impl<'a> Image<'a> {
    pub(super) fn open(bytes: &'a [u8], limits: &Limits) -> Result<Self> {
        let still = without_animation(bytes);
        let mut decoder = png::Decoder::new_with_limits(Cursor::new(still), png::Limits { bytes: DECODER_BYTES });
        decoder.set_ignore_text_chunk(true);
        decoder.set_ignore_iccp_chunk(true);
        // Palettes and fewer than 8 bits to 8, tRNS to alpha, 16 bits to their high byte.
        decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
        let reader = decoder.read_info().map_err(|error| match (&error, u32_at(bytes, 16), u32_at(bytes, 20)) {
            // A row alone was too large for the decoder. PNG 11.2.1: IHDR comes first, width and height first in it.
            (DecodingError::LimitsExceeded, Some(width), Some(height)) => {
                check_pixels((width as usize, height as usize), limits).err().unwrap_or_else(|| refused(&error))
            }
            _ => refused(&error),
        })?;
        let (width, height) = reader.info().size();
        if width == 0 || height == 0 {
            return Err(Error::new(Code::InvalidSize, format!("{width} x {height}")));
        }
        Ok(Self { reader, total_bytes: bytes.len() })
    }

    pub(super) fn size(&self) -> (usize, usize) {
        let (width, height) = self.reader.info().size();
        (width as usize, height as usize)
    }

    pub(super) fn color(&self) -> Color {
        match self.reader.info().color_type {
            ColorType::Grayscale => Color::Grey,
            ColorType::GrayscaleAlpha => Color::GreyAlpha,
            ColorType::Rgb => Color::Rgb,
            ColorType::Rgba => Color::Rgba,
            ColorType::Indexed => Color::Palette,
        }
    }

    pub(super) fn bits(&self) -> u8 {
        self.reader.info().bit_depth as u8
    }

    pub(super) fn exif(&self) -> Option<&[u8]> {
        self.reader.info().exif_metadata.as_deref()
    }

    pub(super) fn working_bytes(&self) -> usize {
        let (width, height) = self.size();
        width * height * 4 + self.total_bytes.min(DECODER_BYTES)
    }

    pub(super) fn decode_into(mut self, mode: Mode, out: &mut [u8], scratch: &mut Vec<u8>) -> Result<()> {
        let (color_type, depth) = self.reader.output_color_type();
        if depth != BitDepth::Eight {
            return Err(Error::new(Code::Internal, format!("{depth:?} bits a sample after expansion")));
        }
        let convert: fn(&[u8], &mut [u8]) = match (color_type, mode) {
            (ColorType::Grayscale, Mode::Grey) | (ColorType::Rgb, Mode::Rgb) | (ColorType::Rgba, Mode::Rgba) => {
                return self.read(out);
            }
            (ColorType::Grayscale, Mode::Rgb) => color::grey_to_rgb,
            (ColorType::Grayscale, Mode::Rgba) => color::grey_to_rgba,
            (ColorType::GrayscaleAlpha, Mode::Grey) => color::grey_alpha_to_grey,
            (ColorType::GrayscaleAlpha, Mode::Rgb) => color::grey_alpha_to_rgb,
            (ColorType::GrayscaleAlpha, Mode::Rgba) => color::grey_alpha_to_rgba,
            (ColorType::Rgb, Mode::Grey) => color::rgb_to_grey,
            (ColorType::Rgb, Mode::Rgba) => color::rgb_to_rgba,
            (ColorType::Rgba, Mode::Grey) => color::rgba_to_grey,
            (ColorType::Rgba, Mode::Rgb) => color::rgba_to_rgb,
            (ColorType::Indexed, _) => {
                return Err(Error::new(Code::Internal, "indexed colours after expansion"));
            }
        };
        let (width, height) = self.size();
        let expanded = room(scratch, width * height * color_type.samples())?;
        self.read(expanded)?;
        convert(expanded, out);
        Ok(())
    }

    /// Decodes the default image and reads on to the end chunk, so that a file cut after its pixels is found out.
    fn read(&mut self, out: &mut [u8]) -> Result<()> {
        self.reader.next_frame(out).map_err(|error| refused(&error))?;
        self.reader.finish().map_err(|error| refused(&error))
    }
}
