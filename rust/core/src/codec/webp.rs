//! WebP through libwebp. Of an animation the first frame is delivered, as Pillow shows it.

use pixcrawler_webp::{self as webp, Header, PixelFormat};

use super::{Color, room};
use crate::{Code, Error, Mode, Result, color};

pub(crate) struct Image<'a> {
    header: Header,
    bytes: &'a [u8],
}

fn refused(error: webp::Error) -> Error {
    let code = match error {
        webp::Error::Corrupt => Code::CorruptImage,
        webp::Error::Truncated => Code::TruncatedImage,
        webp::Error::OutOfMemory => Code::LimitMemory,
        webp::Error::Unsupported => Code::UnsupportedFormat,
        webp::Error::Size { .. } => Code::Internal,
    };
    Error::new(code, error.to_string())
}

impl<'a> Image<'a> {
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self> {
        Ok(Self { header: webp::read_header(bytes).map_err(refused)?, bytes })
    }

    pub(super) fn size(&self) -> (usize, usize) {
        (self.header.width, self.header.height)
    }

    pub(super) fn color(&self) -> Color {
        if self.header.has_alpha { Color::Rgba } else { Color::Rgb }
    }

    /// The EXIF chunk's TIFF block (WebP container specification, "Metadata"; some writers keep JPEG's prefix).
    pub(super) fn exif(&self) -> Option<&'a [u8]> {
        // RIFF: a header of 12 bytes, then chunks of a name, a little-endian length and a payload padded to even.
        let mut rest = self.bytes.get(12..)?;
        loop {
            let (name, length) = (rest.get(..4)?, rest.get(4..8)?);
            let length = u32::from_le_bytes(length.try_into().ok()?) as usize;
            let payload = &rest[8..];
            if name == b"EXIF" {
                let tiff = payload.get(..length)?;
                return Some(tiff.strip_prefix(b"Exif\0\0").unwrap_or(tiff));
            }
            rest = payload.get(length.checked_add(length % 2)?..)?;
        }
    }

    pub(super) fn working_bytes(&self, mode: Mode) -> usize {
        // Lossless pictures are held whole as 4-byte pixels, and an animation's canvas twice.
        let pixels = self.header.width * self.header.height;
        let own = if self.header.animated { pixels * 8 } else { pixels * 4 };
        own + if mode == Mode::Grey { pixels * 3 } else { 0 }
    }

    pub(super) fn decode_into(self, mode: Mode, out: &mut [u8], scratch: &mut Vec<u8>) -> Result<()> {
        let decode = |format, out: &mut [u8]| webp::decode_into(self.bytes, format, out).map_err(refused);
        match mode {
            Mode::Rgb => decode(PixelFormat::Rgb, out),
            Mode::Rgba => decode(PixelFormat::Rgba, out),
            Mode::Grey => {
                let rgb = room(scratch, self.header.width * self.header.height * 3)?;
                decode(PixelFormat::Rgb, rgb)?;
                color::rgb_to_grey(rgb, out);
                Ok(())
            }
        }
    }
}
