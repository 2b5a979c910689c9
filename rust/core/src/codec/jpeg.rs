//! JPEG: the pixels that Pillow shows.

use std::ops::Range;

use pixcrawler_jpeg::{self as jpeg, Color, ErrorKind, Jpeg, PixelFormat, Region, Scale, Wanted};

use super::{Decoded, Decoder, Scratch, check_pixels, room};
use crate::{Code, Error, Limits, Mode, Result, color};

pub(crate) struct Image<'a> {
    jpeg: Jpeg<'a>,
    bytes: &'a [u8],
    scale: Scale,
}

fn refused(error: &jpeg::Error) -> Error {
    let code = match error.kind() {
        ErrorKind::Corrupt => Code::CorruptImage,
        ErrorKind::Truncated => Code::TruncatedImage,
        ErrorKind::Unsupported => Code::UnsupportedJpeg,
        ErrorKind::OutOfMemory => Code::LimitMemory,
        ErrorKind::Parameter => Code::Internal,
    };
    Error::new(code, error.message())
}

impl<'a> Image<'a> {
    pub(super) fn open(bytes: &'a [u8], limits: &Limits) -> Result<Self> {
        // Before libjpeg-turbo, which calls a side of more than 65,500 corrupt.
        if let Some(size) = jpeg::frame_size(bytes) {
            check_pixels(size, limits)?;
        }
        let jpeg = Jpeg::open(bytes).map_err(|error| refused(&error))?;
        let header = jpeg.header();
        if header.progressive {
            let pixels = header.width as u64 * header.height as u64;
            let limit = u64::from(limits.scans).min(limits.scan_pixels / pixels.max(1));
            let scans = jpeg::count_scans(bytes, u32::try_from(limit).unwrap_or(u32::MAX));
            if u64::from(scans) > limit {
                let detail = format!("more than {limit} scans over {pixels} pixels");
                return Err(Error::new(Code::LimitScans, detail));
            }
        }
        Ok(Self { jpeg, bytes, scale: Scale::Full })
    }

    pub(super) fn size(&self) -> (usize, usize) {
        let header = self.jpeg.header();
        (self.scale.apply(header.width), self.scale.apply(header.height))
    }

    pub(super) fn color(&self) -> super::Color {
        match self.jpeg.header().color {
            Color::Grey => super::Color::Grey,
            Color::Rgb => super::Color::Rgb,
            Color::Cmyk => super::Color::Cmyk,
        }
    }

    pub(super) fn exif(&self) -> Option<&'a [u8]> {
        jpeg::exif(self.bytes)
    }

    pub(super) fn draft(&mut self, covers: impl Fn(usize, usize) -> bool) -> (usize, usize) {
        for scale in [Scale::Full, Scale::Half, Scale::Quarter, Scale::Eighth] {
            let header = self.jpeg.header();
            if covers(scale.apply(header.width), scale.apply(header.height)) {
                self.scale = scale;
            }
        }
        self.size()
    }

    pub(super) fn working_bytes(&self, mode: Mode) -> usize {
        let (width, height) = self.size();
        let converted = match (self.jpeg.header().color, mode) {
            (Color::Cmyk, Mode::Rgb) => width * height * 4,
            (Color::Cmyk, _) => width * height * 7,
            (Color::Rgb, Mode::Grey) => width * height * 3,
            _ => 0,
        };
        self.jpeg.working_bytes() + converted
    }

    /// Whether the decoder hands over rows of this mode as it makes them: the own one does where nothing is converted.
    pub(super) fn has_bands(&self, mode: Mode) -> bool {
        // Colours with alpha are multiplied by it before a resize.
        let is_direct = mode != Mode::Rgba && direct_format(self.jpeg.header().color, mode).is_some();
        self.jpeg.decoder() == jpeg::Decoder::Native && is_direct
    }

    pub(super) fn decode_bands(
        &mut self,
        mode: Mode,
        keep_truncated: bool,
        rows: Range<usize>,
        scratch: &mut Scratch,
        each: &mut dyn FnMut(&[u8]),
    ) -> Result<bool> {
        let Some(format) = direct_format(self.jpeg.header().color, mode) else { return Ok(false) };
        let (width, height) = self.size();
        let is_part = rows.len() < height && self.scale == Scale::Full;
        let region = is_part.then(|| Region { x: 0, y: rows.start, width, height: rows.len() });
        let wanted = Wanted { format, scale: self.scale, region, keep_damaged: false };
        let mut within = |first: usize, band: &[u8]| {
            if region.is_some() {
                return each(band);
            }
            // Of a scaled picture all rows come.
            let pitch = width * format.channels();
            let count = band.len() / pitch;
            let (from, to) = (rows.start.clamp(first, first + count), rows.end.clamp(first, first + count));
            each(&band[(from - first) * pitch..(to - first) * pitch]);
        };
        match self.jpeg.decode_bands(&wanted, &mut within, &mut scratch.jpeg) {
            // Kept damage is for libjpeg-turbo, which is asked for the whole picture.
            Err(error) if error.kind() == ErrorKind::Truncated && keep_truncated => Ok(false),
            decoded => decoded.map_err(|error| refused(&error)),
        }
    }

    pub(super) fn decode_into(
        mut self,
        mode: Mode,
        keep_truncated: bool,
        out: &mut [u8],
        scratch: &mut Scratch,
    ) -> Result<Decoded> {
        let (width, height) = self.size();
        let pixels = width * height;
        let Scratch { jpeg: own, converted } = scratch;
        let color = self.jpeg.header().color;
        if let Some(format) = direct_format(color, mode) {
            return self.decode(format, keep_truncated, out, own);
        }
        if color == Color::Rgb {
            let rgb = room(converted, pixels * 3)?;
            let decoder = self.decode(PixelFormat::Rgb, keep_truncated, rgb, own)?;
            color::rgb_to_grey(rgb, out);
            return Ok(decoder);
        }
        if mode == Mode::Rgb {
            let cmyk = room(converted, pixels * 4)?;
            let decoder = self.decode(PixelFormat::Cmyk, keep_truncated, cmyk, own)?;
            color::inverted_cmyk_to_rgb(cmyk, out);
            return Ok(decoder);
        }
        let (cmyk, rgb) = room(converted, pixels * 7)?.split_at_mut(pixels * 4);
        let decoder = self.decode(PixelFormat::Cmyk, keep_truncated, cmyk, own)?;
        color::inverted_cmyk_to_rgb(cmyk, rgb);
        if mode == Mode::Grey {
            color::rgb_to_grey(rgb, out);
        } else {
            color::rgb_to_rgba(rgb, out);
        }
        Ok(decoder)
    }

    fn decode(
        &mut self,
        format: PixelFormat,
        keep_truncated: bool,
        out: &mut [u8],
        scratch: &mut jpeg::Scratch,
    ) -> Result<Decoded> {
        let wanted = Wanted { scale: self.scale, ..Wanted::whole(format) };
        let mut flaw = None;
        let decoded = match self.jpeg.decode_into(&wanted, out, scratch) {
            Err(error) if error.kind() == ErrorKind::Truncated => {
                if self.lacks_its_end_marker_alone(&wanted, out, scratch) {
                    return Ok(Decoder::TurboJpeg.into());
                }
                if !keep_truncated {
                    return Err(refused(&error));
                }
                // The first complaint was the early end: all before it was sound, so this is all that is passed over.
                let wanted = Wanted { keep_damaged: true, ..wanted };
                flaw = Some(refused(&error));
                Jpeg::open_with(self.bytes, jpeg::Decoder::Turbo)
                    .and_then(|mut again| again.decode_into(&wanted, out, scratch))
            }
            decoded => decoded,
        };
        let by = match decoded.map_err(|error| refused(&error))? {
            jpeg::Decoder::Native => Decoder::NativeJpeg,
            jpeg::Decoder::Turbo => Decoder::TurboJpeg,
        };
        Ok(Decoded { by, flaw })
    }

    /// Decodes a file that ended too early with an end marker put behind it, into `out`.
    ///
    /// If libjpeg-turbo is silent now, all MCUs were there: had the entropy-coded data been short, it would warn that the
    /// marker comes too soon. Only of scans that are missing altogether it would not, so these are counted. The own decoder
    /// tells the two apart by itself.
    fn lacks_its_end_marker_alone(&self, wanted: &Wanted, out: &mut [u8], scratch: &mut jpeg::Scratch) -> bool {
        if self.jpeg.decoder() == jpeg::Decoder::Native {
            return false;
        }
        let mut ended = Vec::new();
        if ended.try_reserve_exact(self.bytes.len() + 2).is_err() {
            return false;
        }
        ended.extend_from_slice(self.bytes);
        ended.extend_from_slice(&[0xFF, 0xD9]);
        let decoded =
            Jpeg::open_with(&ended, jpeg::Decoder::Turbo).and_then(|mut jpeg| jpeg.decode_into(wanted, out, scratch));
        decoded.is_ok() && (!self.jpeg.header().progressive || jpeg::scans_are_complete(self.bytes))
    }
}

/// The pixel format that needs no conversion to the mode.
fn direct_format(color: Color, mode: Mode) -> Option<PixelFormat> {
    match (color, mode) {
        (Color::Grey, Mode::Grey) => Some(PixelFormat::Grey),
        (Color::Grey | Color::Rgb, Mode::Rgb) => Some(PixelFormat::Rgb),
        (Color::Grey | Color::Rgb, Mode::Rgba) => Some(PixelFormat::Rgba),
        _ => None,
    }
}
