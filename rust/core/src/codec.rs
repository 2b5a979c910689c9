//! Image formats: recognised by content, opened, decoded. Dispatch only; each codec is a file of its own.
//!
//! GIF, BMP and TIFF are read here rather than by crates: their containers are small, and Pillow's pixels need control over
//! every corner. LZW comes from `weezl`. AVIF is named and refused: its decoders are C, or Rust that is unsafe throughout
//! (rav1d), and the safe one (zenavif) is under the AGPL.

mod bmp;
mod bytes;
mod gif;
mod jpeg;
mod pixels;
mod png;
mod tiff;
mod webp;

pub use png::{DeepPicture, decode_deep};

use std::ops::Range;

use crate::context::Share;
use crate::exif::Orientation;
use crate::{Code, Error, Limits, Mode, Result};

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident $text:literal $is_image:literal;)*) => {
        /// What a file is by its first bytes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Kind { $($(#[$doc])* $variant,)* }

        impl Kind {
            /// The name as messages have it.
            #[must_use]
            pub const fn as_str(self) -> &'static str { match self { $(Self::$variant => $text,)* } }

            /// Whether it is a format for pictures.
            #[must_use]
            pub const fn is_image(self) -> bool { match self { $(Self::$variant => $is_image,)* } }
        }
    };
}

kinds! {
    /// JPEG (T.81).
    Jpeg "jpeg" true;
    /// PNG.
    Png "png" true;
    /// WebP.
    Webp "webp" true;
    /// GIF.
    Gif "gif" true;
    /// Windows bitmap.
    Bmp "bmp" true;
    /// TIFF.
    Tiff "tiff" true;
    /// AVIF.
    Avif "avif" true;
    /// HEIF with HEVC, as telephones write it.
    Heic "heic" true;
    /// JPEG XL.
    Jxl "jxl" true;
    /// JPEG 2000.
    Jpeg2000 "jpeg2000" true;
    /// Photoshop.
    Psd "psd" true;
    /// Windows icon.
    Ico "ico" true;
    /// Scalable Vector Graphics.
    Svg "svg" true;
    /// A web page.
    Html "html" false;
    /// XML of no known kind.
    Xml "xml" false;
    /// JSON.
    Json "json" false;
    /// A zip archive.
    Zip "zip" false;
    /// gzip data.
    Gzip "gzip" false;
    /// A tape archive.
    Tar "tar" false;
    /// A 7-Zip archive.
    SevenZip "7z" false;
    /// A RAR archive.
    Rar "rar" false;
    /// A PDF document.
    Pdf "pdf" false;
}

/// Recognises a format by its first bytes (32 suffice, but for tar, and for SVG and HTML behind comments).
#[must_use]
pub fn detect(bytes: &[u8]) -> Option<Kind> {
    let at = |offset: usize, magic: &[u8]| bytes.get(offset..).is_some_and(|rest| rest.starts_with(magic));
    let kind = if at(0, b"\xFF\xD8\xFF") {
        Kind::Jpeg
    } else if at(0, b"\x89PNG\r\n\x1A\n") {
        Kind::Png
    } else if at(0, b"RIFF") && at(8, b"WEBP") {
        Kind::Webp
    } else if at(0, b"GIF87a") || at(0, b"GIF89a") {
        Kind::Gif
    } else if at(0, b"BM") && (at(6, &[0; 4]) || bmp::has_header(bytes)) {
        Kind::Bmp
    } else if at(0, b"II*\0") || at(0, b"MM\0*") || at(0, b"II+\0") || at(0, b"MM\0+") {
        Kind::Tiff
    } else if at(4, b"ftypavif") || at(4, b"ftypavis") {
        Kind::Avif
    } else if at(4, b"ftyphei") || at(4, b"ftyphev") || at(4, b"ftypmif1") || at(4, b"ftypmsf1") {
        Kind::Heic
    } else if at(0, b"\xFF\x0A") || at(0, b"\0\0\0\x0CJXL \r\n\x87\n") {
        Kind::Jxl
    } else if at(0, b"\0\0\0\x0CjP  \r\n\x87\n") || at(0, b"\xFF\x4F\xFF\x51") {
        Kind::Jpeg2000
    } else if at(0, b"8BPS") {
        Kind::Psd
    } else if at(0, b"\0\0\x01\0") {
        Kind::Ico
    } else if at(0, b"PK\x03\x04") || at(0, b"PK\x05\x06") {
        Kind::Zip
    } else if at(0, b"\x1F\x8B") {
        Kind::Gzip
    } else if at(257, b"ustar") {
        Kind::Tar
    } else if at(0, b"7z\xBC\xAF\x27\x1C") {
        Kind::SevenZip
    } else if at(0, b"Rar!\x1A\x07") {
        Kind::Rar
    } else if at(0, b"%PDF-") {
        Kind::Pdf
    } else {
        return detect_text(bytes);
    };
    Some(kind)
}

fn detect_text(bytes: &[u8]) -> Option<Kind> {
    let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes).trim_ascii_start();
    let starts = |magic: &[u8]| text.get(..magic.len()).is_some_and(|start| start.eq_ignore_ascii_case(magic));
    if starts(b"<svg") {
        Some(Kind::Svg)
    } else if starts(b"<!doctype html") || starts(b"<html") || starts(b"<head") || starts(b"<body") {
        Some(Kind::Html)
    } else if starts(b"<?xml") {
        let head = &text[..text.len().min(1024)];
        Some(if head.windows(4).any(|four| four == b"<svg") { Kind::Svg } else { Kind::Xml })
    } else if starts(b"{\"") || starts(b"[{") {
        Some(Kind::Json)
    } else {
        None
    }
}

/// Who decoded an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decoder {
    /// The project's own JPEG decoder.
    NativeJpeg,
    /// libjpeg-turbo, for JPEGs that the own decoder does not take.
    TurboJpeg,
    /// The png crate.
    Png,
    /// libwebp.
    Webp,
    /// The project's own GIF decoder.
    Gif,
    /// The project's own BMP decoder.
    Bmp,
    /// The project's own TIFF decoder.
    Tiff,
}

impl Decoder {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::NativeJpeg, Self::TurboJpeg, Self::Png, Self::Webp, Self::Gif, Self::Bmp, Self::Tiff];

    /// The name as statistics have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NativeJpeg => "pixcrawler-jpeg",
            Self::TurboJpeg => "libjpeg-turbo",
            Self::Png => "png",
            Self::Webp => "libwebp",
            Self::Gif => "gif",
            Self::Bmp => "bmp",
            Self::Tiff => "tiff",
        }
    }
}

/// How a picture's colours are coded in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Color {
    /// Luma alone.
    Grey,
    /// Luma and alpha.
    GreyAlpha,
    /// Three colours, as RGB or YCbCr.
    Rgb,
    /// Three colours and alpha.
    Rgba,
    /// Indices into a table of colours.
    Palette,
    /// Four inks, as CMYK or YCCK.
    Cmyk,
}

impl Color {
    /// The name as reports have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Grey => "grey",
            Self::GreyAlpha => "grey+alpha",
            Self::Rgb => "RGB",
            Self::Rgba => "RGBA",
            Self::Palette => "palette",
            Self::Cmyk => "CMYK",
        }
    }
}

/// What became of an image that was decoded.
pub(crate) struct Decoded {
    pub(crate) by: Decoder,
    /// Why it is not whole, of one that was kept all the same.
    pub(crate) flaw: Option<Error>,
}

impl From<Decoder> for Decoded {
    fn from(by: Decoder) -> Self {
        Self { by, flaw: None }
    }
}

/// What the codecs keep from image to image.
#[derive(Default)]
pub(crate) struct Scratch {
    pub(crate) jpeg: pixcrawler_jpeg::Scratch,
    /// A picture in another pixel format than the wanted one.
    pub(crate) converted: Vec<u8>,
}

/// An image whose header was read and found within the limits.
pub(crate) enum Image<'a> {
    Jpeg(jpeg::Image<'a>),
    Png(Box<png::Image<'a>>),
    Webp(webp::Image<'a>),
    Gif(gif::Image<'a>),
    Bmp(bmp::Image<'a>),
    Tiff(Box<tiff::Image<'a>>),
}

impl<'a> Image<'a> {
    /// Recognises the format and reads the header.
    pub(crate) fn open(bytes: &'a [u8], limits: &Limits) -> Result<Self> {
        let image = match detect(bytes) {
            Some(Kind::Jpeg) => Self::Jpeg(jpeg::Image::open(bytes, limits)?),
            Some(Kind::Png) => Self::Png(Box::new(png::Image::open(bytes, limits)?)),
            Some(Kind::Webp) => Self::Webp(webp::Image::open(bytes)?),
            Some(Kind::Gif) => Self::Gif(gif::Image::open(bytes, limits)?),
            Some(Kind::Bmp) => Self::Bmp(bmp::Image::open(bytes, limits)?),
            Some(Kind::Tiff) => Self::Tiff(Box::new(tiff::Image::open(bytes, limits)?)),
            Some(kind) if kind.is_image() => {
                let detail = format!("expected JPEG, PNG, WebP, GIF, BMP or TIFF, got {}", kind.as_str());
                return Err(Error::new(Code::UnsupportedFormat, detail));
            }
            kind => {
                let found = kind.map_or_else(
                    || format!("{} bytes of no known format", bytes.len()),
                    |kind| kind.as_str().to_owned(),
                );
                return Err(Error::new(Code::NotAnImage, format!("expected an image, got {found}")));
            }
        };
        check_pixels(image.size(), limits)?;
        Ok(image)
    }

    /// (width, height) as coded.
    pub(crate) fn size(&self) -> (usize, usize) {
        match self {
            Self::Jpeg(image) => image.size(),
            Self::Png(image) => image.size(),
            Self::Webp(image) => image.size(),
            Self::Gif(image) => image.size(),
            Self::Bmp(image) => image.size(),
            Self::Tiff(image) => image.size(),
        }
    }

    /// The format.
    pub(crate) const fn kind(&self) -> Kind {
        match self {
            Self::Jpeg(_) => Kind::Jpeg,
            Self::Png(_) => Kind::Png,
            Self::Webp(_) => Kind::Webp,
            Self::Gif(_) => Kind::Gif,
            Self::Bmp(_) => Kind::Bmp,
            Self::Tiff(_) => Kind::Tiff,
        }
    }

    /// How the colours are coded.
    pub(crate) fn color(&self) -> Color {
        match self {
            Self::Jpeg(image) => image.color(),
            Self::Png(image) => image.color(),
            Self::Webp(image) => image.color(),
            Self::Gif(image) => image.color(),
            Self::Bmp(image) => image.color(),
            Self::Tiff(image) => image.color(),
        }
    }

    /// Bits a channel, or an index into a palette, as coded.
    pub(crate) fn bits(&self) -> usize {
        match self {
            Self::Jpeg(_) | Self::Webp(_) | Self::Gif(_) => 8,
            Self::Png(image) => image.bits(),
            Self::Bmp(image) => image.bits(),
            Self::Tiff(image) => image.bits(),
        }
    }

    /// How the picture is to be turned, from its EXIF block.
    pub(crate) fn orientation(&self) -> Orientation {
        let block = match self {
            Self::Jpeg(image) => image.exif(),
            Self::Png(image) => image.exif(),
            Self::Webp(image) => image.exif(),
            Self::Gif(_) | Self::Bmp(_) => None,
            Self::Tiff(image) => Some(image.exif()),
        };
        block.map_or(Orientation::Upright, Orientation::from_tiff)
    }

    /// Bytes that decoding needs beside the caller's buffers, an upper bound for the whole picture.
    pub(crate) fn working_bytes(&self, mode: Mode) -> usize {
        match self {
            Self::Jpeg(image) => image.working_bytes(mode),
            Self::Png(image) => image.working_bytes(),
            Self::Webp(image) => image.working_bytes(mode),
            Self::Gif(image) => image.working_bytes(),
            Self::Bmp(image) => image.working_bytes(mode),
            Self::Tiff(image) => image.working_bytes(),
        }
    }

    /// Chooses a smaller size to decode at, such that `covers` holds of it; returns (width, height). JPEG alone has any.
    pub(crate) fn draft(&mut self, covers: impl Fn(usize, usize) -> bool) -> (usize, usize) {
        match self {
            Self::Jpeg(image) => image.draft(covers),
            _ => self.size(),
        }
    }

    /// Whether [`Self::decode_bands`] may succeed.
    pub(crate) fn has_bands(&self, mode: Mode) -> bool {
        matches!(self, Self::Jpeg(image) if image.has_bands(mode))
    }

    /// Decodes the `rows` of the picture, handing them over as they come, top to bottom, several at a time without gaps.
    ///
    /// Gives false if the image must be decoded as a whole; what was handed over is void then.
    pub(crate) fn decode_bands(
        &mut self,
        mode: Mode,
        keep_truncated: bool,
        rows: Range<usize>,
        scratch: &mut Scratch,
        each: &mut dyn FnMut(&[u8]),
    ) -> Result<bool> {
        match self {
            Self::Jpeg(image) => image.decode_bands(mode, keep_truncated, rows, scratch, each),
            _ => Ok(false),
        }
    }

    /// Decodes into `out`: rows without gaps, `mode.channels()` bytes a pixel. `share` holds [`Self::working_bytes`], and grows
    /// where these turn out to be too few.
    pub(crate) fn decode_into(
        self,
        mode: Mode,
        keep_truncated: bool,
        out: &mut [u8],
        scratch: &mut Scratch,
        share: &mut Share<'_>,
    ) -> Result<Decoded> {
        let decoder = match self {
            Self::Jpeg(image) => return image.decode_into(mode, keep_truncated, out, scratch, share),
            Self::Png(image) => image.decode_into(mode, out, &mut scratch.converted).map(|()| Decoder::Png),
            Self::Webp(image) => image.decode_into(mode, out, &mut scratch.converted).map(|()| Decoder::Webp),
            Self::Gif(image) => image.decode_into(mode, out, &mut scratch.converted).map(|()| Decoder::Gif),
            Self::Bmp(image) => image.decode_into(mode, out, &mut scratch.converted).map(|()| Decoder::Bmp),
            Self::Tiff(image) => image.decode_into(mode, out, scratch, share).map(|()| Decoder::Tiff),
        };
        decoder.map(Decoded::from)
    }
}

/// No limit allows more: numbers of bytes are products of this, and must not overflow.
const MOST_PIXELS: u64 = 1 << 48;

/// Refuses a size (width, height) of more pixels, or of longer sides, than the limits allow.
fn check_pixels((width, height): (usize, usize), limits: &Limits) -> Result<()> {
    let pixels = (width as u64).saturating_mul(height as u64);
    let limit = limits.pixels.min(MOST_PIXELS);
    if pixels > limit {
        let detail = format!("{width} x {height} is {pixels} pixels, the limit is {limit}");
        return Err(Error::new(Code::LimitPixels, detail));
    }
    if width.max(height) as u64 > limits.side {
        let detail = format!("a side of {width} x {height} pixels is longer than {}", limits.side);
        return Err(Error::new(Code::LimitSide, detail));
    }
    Ok(())
}

/// Bytes that a byte of deflate can become: 258 for two codes of one bit (RFC 1951, 3.2.5).
const MOST_OF_DEFLATE: u64 = 1032;
/// Bytes that a byte of LZW with codes of 12 bits can become: a string is no longer than the table.
const MOST_OF_LZW: u64 = 4096 * 8 / 12 + 1;

/// Refuses a picture of more bytes than its compressed ones can become, before there is memory for it.
fn check_yield(packed: u64, most: u64, expected: u64) -> Result<()> {
    if packed.saturating_mul(most) >= expected {
        return Ok(());
    }
    let detail = format!("{packed} bytes cannot hold a picture of {expected}");
    Err(Error::new(Code::TruncatedImage, detail))
}

/// Refuses a size (width, height) without pixels.
fn check_sides((width, height): (usize, usize)) -> Result<()> {
    if width == 0 || height == 0 {
        return Err(Error::new(Code::InvalidSize, format!("{width} x {height}")));
    }
    Ok(())
}

/// The first `length` bytes of a buffer that is made to hold them; what they contain is left from before.
pub(crate) fn room(buffer: &mut Vec<u8>, length: usize) -> Result<&mut [u8]> {
    if buffer.len() < length {
        let more = length - buffer.len();
        if buffer.try_reserve_exact(more).is_err() {
            return Err(Error::new(Code::LimitMemory, format!("{length} bytes could not be allocated")));
        }
        buffer.resize(length, 0);
    }
    Ok(&mut buffer[..length])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_by_content() {
        let cases: [(&[u8], Option<Kind>); 10] = [
            (b"\xFF\xD8\xFF\xE0", Some(Kind::Jpeg)),
            (b"\x89PNG\r\n\x1A\n....", Some(Kind::Png)),
            (b"RIFF\x10\0\0\0WEBPVP8 ", Some(Kind::Webp)),
            (b"RIFF\x10\0\0\0WAVEfmt ", None),
            (b"GIF89a", Some(Kind::Gif)),
            (b" \n<!DOCTYPE HTML>", Some(Kind::Html)),
            (b"<?xml version='1.0'?><svg>", Some(Kind::Svg)),
            (b"<?xml version='1.0'?><Error>", Some(Kind::Xml)),
            (b"", None),
            (b"\0\0\0\0", None),
        ];
        for (bytes, expected) in cases {
            assert_eq!(detect(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn what_is_not_decoded_says_what_it_is() {
        let error = |bytes| Image::open(bytes, &Limits::default()).err();
        let psd = error(b"8BPS\0\x01......").map(|error| (error.code(), error.detail().to_owned()));
        assert_eq!(
            psd,
            Some((Code::UnsupportedFormat, "expected JPEG, PNG, WebP, GIF, BMP or TIFF, got psd".to_owned()))
        );
        assert_eq!(error(b"<html>").map(|error| error.code()), Some(Code::NotAnImage));
        assert_eq!(error(b"").map(|error| error.code()), Some(Code::NotAnImage));
    }
}
