//! PNG: 8 bits a channel by Pillow's rules, except 16-bit grey, of which the high byte is taken (Pillow clips it to white).

mod chunks;

use std::io::ErrorKind;

use png::{BitDepth, ColorType, DecodeOptions, DecodingError, Reader, Transformations};

use self::chunks::PictureChunks;
use super::pixels::Palette;
use super::{Color, MOST_OF_DEFLATE, check_pixels, check_yield, room};
use crate::{Code, Error, Limits, Mode, Result, color};

pub(crate) struct Image<'a> {
    reader: Reader<PictureChunks<'a>>,
    exif: Option<&'a [u8]>,
}

/// Bound on what the decoder allocates for itself: a row or two.
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

/// A picture of 16 bits a channel, as it is coded.
pub struct DeepPicture {
    /// Rows from the top, two bytes a channel, the high one first (PNG 7.1).
    pub samples: Vec<u8>,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// 1 (grey), 2 (grey and alpha), 3 (RGB) or 4 (RGBA).
    pub channels: usize,
}

/// Decodes a PNG of 16 bits a channel without loss; it is not turned.
///
/// # Errors
/// What every decoder of this crate refuses; and [`Code::UnsupportedFormat`] of another depth.
pub fn decode_deep(bytes: &[u8], limits: &Limits) -> Result<DeepPicture> {
    let mut image = Image::open_as(bytes, limits, Transformations::IDENTITY)?;
    let (color_type, depth) = image.reader.output_color_type();
    if depth != BitDepth::Sixteen {
        return Err(Error::new(Code::UnsupportedFormat, format!("expected 16 bits a channel, got {}", image.bits())));
    }
    let ((width, height), channels) = (image.size(), color_type.samples());
    let mut samples = Vec::new();
    // Bounded by the limit on pixels.
    image.read(room(&mut samples, width * height * channels * 2)?)?;
    Ok(DeepPicture { samples, height, width, channels })
}

impl<'a> Image<'a> {
    pub(super) fn open(bytes: &'a [u8], limits: &Limits) -> Result<Self> {
        // 16 bits to their high byte; fewer than 8 bits to 8 and tRNS to alpha, but for indexed colours, whose indices are
        // checked against the palette.
        Self::open_as(bytes, limits, Transformations::EXPAND | Transformations::STRIP_16)
    }

    fn open_as(bytes: &'a [u8], limits: &Limits, transformations: Transformations) -> Result<Self> {
        let survey = chunks::survey(bytes, limits)?;
        check_pixels((survey.width as usize, survey.height as usize), limits)?;
        // A filter byte and the packed pixels of each row, be it of one picture or of the passes of an interlaced one.
        let row_bytes = (u64::from(survey.width) * survey.pixel_bits / 8).saturating_add(1);
        check_yield(survey.idat_bytes, MOST_OF_DEFLATE, row_bytes.saturating_mul(survey.height.into()))?;
        let mut options = DecodeOptions::default();
        options.set_ignore_adler32(false);
        let mut decoder = png::Decoder::new_with_options(PictureChunks::new(bytes), options);
        decoder.set_limits(png::Limits { bytes: DECODER_BYTES });
        let indexed = transformations & !Transformations::EXPAND;
        decoder.set_transformations(if survey.is_indexed { indexed } else { transformations });
        let reader = decoder.read_info().map_err(|error| refused(&error))?;
        Ok(Self { reader, exif: survey.exif })
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

    pub(super) fn bits(&self) -> usize {
        self.reader.info().bit_depth as usize
    }

    pub(super) fn exif(&self) -> Option<&[u8]> {
        self.exif
    }

    pub(super) fn working_bytes(&self) -> usize {
        // The picture in its own pixel format, at most 4 bytes a pixel, and the decoder's rows.
        let (width, height) = self.size();
        width * height * 4 + (width * 8 * 5).clamp(256 << 10, DECODER_BYTES)
    }

    pub(super) fn decode_into(mut self, mode: Mode, out: &mut [u8], scratch: &mut Vec<u8>) -> Result<()> {
        let (color_type, depth) = self.reader.output_color_type();
        if color_type == ColorType::Indexed {
            return self.read_indexed(depth as usize, mode, out, scratch);
        }
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
                return Err(Error::new(Code::Internal, "indexed colours"));
            }
        };
        let (width, height) = self.size();
        let expanded = room(scratch, width * height * color_type.samples())?;
        self.read(expanded)?;
        convert(expanded, out);
        Ok(())
    }

    fn read_indexed(&mut self, bits: usize, mode: Mode, out: &mut [u8], scratch: &mut Vec<u8>) -> Result<()> {
        let (width, height) = self.size();
        let stride = (width * bits).div_ceil(8);
        let packed = room(scratch, stride * height)?;
        if bits < 8 {
            // The decoder sets bits of interlaced rows, and clears none.
            packed.fill(0);
        }
        self.read(packed)?;
        let info = self.reader.info();
        let colors = info.palette.as_deref().unwrap_or_default().as_chunks::<3>().0;
        let mut palette = Palette::new(colors.iter().copied());
        palette.set_alpha(info.trns.as_deref().unwrap_or_default().iter().copied());
        let mut highest = 0;
        for (row, out) in packed.chunks_exact(stride).zip(out.chunks_exact_mut(width * mode.channels())) {
            highest = highest.max(palette.paint(row, bits, mode, out));
        }
        if usize::from(highest) >= colors.len() {
            let detail = format!("a pixel of colour {highest}, the palette has {} colours", colors.len());
            return Err(Error::new(Code::CorruptImage, detail));
        }
        Ok(())
    }

    /// Decodes the default image and reads on to the end chunk, so that a file cut after its pixels is found out.
    fn read(&mut self, out: &mut [u8]) -> Result<()> {
        self.reader.next_frame(out).map_err(|error| refused(&error))?;
        self.reader.finish().map_err(|error| refused(&error))
    }
}
