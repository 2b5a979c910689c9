//! JPEG: the pixels that Pillow shows.

use std::ops::Range;

use pixcrawler_jpeg::{self as jpeg, Color, ErrorKind, Head, Jpeg, PixelFormat, Precision, Region, Scale, Wanted};

use super::{Decoded, Decoder, Scratch, check_pixels, room};
use crate::context::Share;
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
    let refusal = Error::new(code, error.message());
    match error.offset() {
        Some(offset) => refusal.at(offset as u64),
        None => refusal,
    }
}

/// Refuses what takes more than the limits allow, and sides that libjpeg-turbo has no word for.
fn check_head(head: &Head, bytes: &[u8], limits: &Limits) -> Result<()> {
    let mut pixels = 0;
    if let Some((width, height)) = head.size {
        if height == 0 && width > 0 && jpeg::has_line_count(bytes) {
            let detail = "the number of lines stands behind the first scan (DNL)";
            return Err(Error::new(Code::UnsupportedJpeg, detail));
        }
        if width == 0 || height == 0 {
            return Err(Error::new(Code::InvalidSize, format!("{width} x {height}")));
        }
        check_pixels((width, height), limits)?;
        pixels = width as u64 * height as u64;
    }
    let max_scans = u64::from(limits.scans).min(limits.scan_pixels / pixels.max(1));
    let (markers, scans) = if head.has_more_scans {
        jpeg::count_markers_and_scans(bytes, limits.markers, max_scans)
    } else {
        (head.markers, 0)
    };
    if scans > max_scans {
        let detail = format!("more than {max_scans} scans over {pixels} pixels");
        return Err(Error::new(Code::LimitScans, detail));
    }
    if markers > limits.markers {
        return Err(Error::new(Code::LimitMarkers, format!("more than {} markers", limits.markers)));
    }
    Ok(())
}

impl<'a> Image<'a> {
    pub(super) fn open(bytes: &'a [u8], limits: &Limits) -> Result<Self> {
        let head = Head::read(bytes, limits.markers);
        check_head(&head, bytes, limits)?;
        let jpeg = Jpeg::open(bytes).map_err(|error| match (error.kind(), head.process()) {
            (ErrorKind::Unsupported, Some(process)) => {
                Error::new(Code::UnsupportedJpeg, format!("{process}: {}", error.message()))
            }
            _ => refused(&error),
        })?;
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

    /// Components of a pixel.
    pub(super) fn components(&self) -> usize {
        match self.jpeg.header().color {
            Color::Grey => 1,
            Color::Rgb => 3,
            Color::Cmyk => 4,
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
        share: &mut Share<'_>,
    ) -> Result<Decoded> {
        let (width, height) = self.size();
        let pixels = width * height;
        let Scratch { jpeg: own, converted } = scratch;
        let color = self.jpeg.header().color;
        if let Some(format) = direct_format(color, mode) {
            return self.decode(format, keep_truncated, out, own, share);
        }
        if color == Color::Rgb {
            let rgb = room(converted, pixels * 3)?;
            let decoder = self.decode(PixelFormat::Rgb, keep_truncated, rgb, own, share)?;
            color::rgb_to_grey(rgb, out);
            return Ok(decoder);
        }
        if mode == Mode::Rgb {
            let cmyk = room(converted, pixels * 4)?;
            let decoder = self.decode(PixelFormat::Cmyk, keep_truncated, cmyk, own, share)?;
            color::inverted_cmyk_to_rgb(cmyk, out);
            return Ok(decoder);
        }
        let (cmyk, rgb) = room(converted, pixels * 7)?.split_at_mut(pixels * 4);
        let decoder = self.decode(PixelFormat::Cmyk, keep_truncated, cmyk, own, share)?;
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
        share: &mut Share<'_>,
    ) -> Result<Decoded> {
        let wanted = Wanted { scale: self.scale, ..Wanted::whole(format) };
        let error = match self.decode_sound(&wanted, out, scratch, share) {
            Ok(jpeg::Decoder::Native) => return Ok(Decoder::NativeJpeg.into()),
            Ok(jpeg::Decoder::Turbo) => return Ok(Decoder::TurboJpeg.into()),
            Err(error) if self.jpeg.decoder() == jpeg::Decoder::Turbo => {
                if error.kind() == ErrorKind::Truncated && self.lacks_its_end_marker_alone(&wanted, out, scratch) {
                    return Ok(Decoder::TurboJpeg.into());
                }
                self.in_own_words(error, &wanted, out, scratch)
            }
            Err(error) => error,
        };
        if error.kind() != ErrorKind::Truncated {
            return Err(refused(&error));
        }
        let flaw = self.ends_early(&error);
        if !keep_truncated {
            return Err(flaw);
        }
        // The first complaint was the early end: all before it was sound, so this is all that is passed over.
        let wanted = Wanted { keep_damaged: true, ..wanted };
        Jpeg::open_with(self.bytes, jpeg::Decoder::Turbo)
            .and_then(|mut again| {
                share.grow(again.working_bytes());
                again.decode_into(&wanted, out, scratch)
            })
            .map_err(|error| refused(&error))?;
        Ok(Decoded { by: Decoder::TurboJpeg, flaw: Some(flaw) })
    }

    /// The refusal of a file that ends too early, with what there is of its picture. libjpeg-turbo does not say how far it came.
    fn ends_early(&self, error: &jpeg::Error) -> Error {
        if error.offset().is_some() {
            return refused(error);
        }
        let bytes = self.bytes.len();
        if !self.jpeg.header().several_scans {
            let detail = format!("ends at byte {bytes}, before the scan's last MCU");
            return Error::new(Code::TruncatedImage, detail);
        }
        let Precision { scans, coefficients, complete } = Precision::read(self.bytes, true);
        let percent = complete * 100 / coefficients.max(1);
        let detail = format!(
            "ends in scan {scans}, at byte {bytes}, with {complete} of {coefficients} coefficients complete ({percent} %)"
        );
        Error::new(Code::TruncatedImage, detail)
    }

    /// Decodes what is not damaged, with libjpeg-turbo where the own decoder gives up.
    fn decode_sound(
        &mut self,
        wanted: &Wanted,
        out: &mut [u8],
        scratch: &mut jpeg::Scratch,
        share: &mut Share<'_>,
    ) -> std::result::Result<jpeg::Decoder, jpeg::Error> {
        if self.jpeg.decoder() == jpeg::Decoder::Native {
            if self.jpeg.decode_own_into(wanted, out, scratch)? {
                return Ok(jpeg::Decoder::Native);
            }
            share.grow(self.jpeg.working_bytes());
        }
        self.jpeg.decode_into(wanted, out, scratch)
    }

    /// What the own decoder says of a file that libjpeg-turbo refused: how much of it there is, and where the damage is.
    ///
    /// Where the own decoder comes first it has found the file too unusual already.
    fn in_own_words(
        &self,
        error: jpeg::Error,
        wanted: &Wanted,
        out: &mut [u8],
        scratch: &mut jpeg::Scratch,
    ) -> jpeg::Error {
        if jpeg::Decoder::preferred() == jpeg::Decoder::Turbo
            && let Ok(mut own) = Jpeg::open_with(self.bytes, jpeg::Decoder::Native)
            && own.decoder() == jpeg::Decoder::Native
            && let Err(own_error) = own.decode_own_into(wanted, out, scratch)
            && matches!(own_error.kind(), ErrorKind::Corrupt | ErrorKind::Truncated)
        {
            return own_error;
        }
        error
    }

    /// Decodes a file that ended too early with an end marker put behind it, into `out`.
    ///
    /// If libjpeg-turbo is silent now, all MCUs were there: had the entropy-coded data been short, it would warn that the
    /// marker comes too soon. Only of scans that are missing altogether it would not, so these are counted; and not of
    /// arithmetic codes, which may end early (T.81 D.1.8), so a file of these needs its end marker. The own decoder tells the
    /// two apart by itself.
    fn lacks_its_end_marker_alone(&self, wanted: &Wanted, out: &mut [u8], scratch: &mut jpeg::Scratch) -> bool {
        let is_arithmetic = Head::read(self.bytes, u64::MAX).frame.is_some_and(|code| code & 8 != 0);
        if self.jpeg.decoder() == jpeg::Decoder::Native || is_arithmetic {
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
        decoded.is_ok() && (!self.jpeg.header().several_scans || Precision::read(self.bytes, false).is_complete())
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
