//! JPEG through libjpeg-turbo: the pixels that Pillow shows.

use pixcrawler_jpeg::{self as jpeg, Color, ErrorKind, Jpeg, PixelFormat, Scale};

use super::{check_pixels, room};
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
        let header = self.jpeg.header();
        let coded = header.width * header.height;
        let (width, height) = self.size();
        let components = match header.color {
            Color::Grey => 1,
            Color::Rgb => 3,
            Color::Cmyk => 4,
        };
        // libjpeg-turbo keeps a progressive picture's coefficients, two bytes each; a baseline one's MCU row alone.
        let coefficients = if header.progressive { coded * components * 2 } else { 0 };
        let converted = match (header.color, mode) {
            (Color::Cmyk, Mode::Rgb) => width * height * 4,
            (Color::Cmyk, _) => width * height * 7,
            (Color::Rgb, Mode::Grey) => width * height * 3,
            _ => 0,
        };
        coefficients + converted
    }

    pub(super) fn decode_into(
        mut self,
        mode: Mode,
        keep_truncated: bool,
        out: &mut [u8],
        scratch: &mut Vec<u8>,
    ) -> Result<()> {
        let (width, height) = self.size();
        let pixels = width * height;
        match (self.jpeg.header().color, mode) {
            (Color::Grey, Mode::Grey) => self.decode(PixelFormat::Grey, keep_truncated, out),
            (Color::Grey | Color::Rgb, Mode::Rgb) => self.decode(PixelFormat::Rgb, keep_truncated, out),
            (Color::Grey | Color::Rgb, Mode::Rgba) => self.decode(PixelFormat::Rgba, keep_truncated, out),
            (Color::Rgb, Mode::Grey) => {
                let rgb = room(scratch, pixels * 3)?;
                self.decode(PixelFormat::Rgb, keep_truncated, rgb)?;
                color::rgb_to_grey(rgb, out);
                Ok(())
            }
            (Color::Cmyk, Mode::Rgb) => {
                let cmyk = room(scratch, pixels * 4)?;
                self.decode(PixelFormat::Cmyk, keep_truncated, cmyk)?;
                color::inverted_cmyk_to_rgb(cmyk, out);
                Ok(())
            }
            (Color::Cmyk, Mode::Grey | Mode::Rgba) => {
                let (cmyk, rgb) = room(scratch, pixels * 7)?.split_at_mut(pixels * 4);
                self.decode(PixelFormat::Cmyk, keep_truncated, cmyk)?;
                color::inverted_cmyk_to_rgb(cmyk, rgb);
                if mode == Mode::Grey {
                    color::rgb_to_grey(rgb, out);
                } else {
                    color::rgb_to_rgba(rgb, out);
                }
                Ok(())
            }
        }
    }

    fn decode(&mut self, format: PixelFormat, keep_truncated: bool, out: &mut [u8]) -> Result<()> {
        let decoded = match self.jpeg.decode_into(format, self.scale, false, out) {
            Err(error) if error.kind() == ErrorKind::Truncated => {
                if self.lacks_its_end_marker_alone(format, out) {
                    return Ok(());
                }
                if !keep_truncated {
                    return Err(refused(&error));
                }
                // The first complaint was the early end: all before it was sound, so this is all that is passed over.
                Jpeg::open(self.bytes).and_then(|mut again| again.decode_into(format, self.scale, true, out))
            }
            decoded => decoded,
        };
        decoded.map_err(|error| refused(&error))
    }

    /// Decodes a file that ended too early with an end marker put behind it, into `out`.
    ///
    /// If libjpeg-turbo is silent now, all MCUs were there: had the entropy-coded data been short, it would warn that the
    /// marker comes too soon. Only of scans that are missing altogether it would not, so these are counted.
    fn lacks_its_end_marker_alone(&self, format: PixelFormat, out: &mut [u8]) -> bool {
        let mut ended = Vec::new();
        if ended.try_reserve_exact(self.bytes.len() + 2).is_err() {
            return false;
        }
        ended.extend_from_slice(self.bytes);
        ended.extend_from_slice(&[0xFF, 0xD9]);
        let decoded = Jpeg::open(&ended).and_then(|mut jpeg| jpeg.decode_into(format, self.scale, false, out));
        decoded.is_ok() && (!self.jpeg.header().progressive || jpeg::scans_are_complete(self.bytes))
    }
}
