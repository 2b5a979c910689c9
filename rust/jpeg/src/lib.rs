//! JPEG bytes to rows of pixels: a decoder of its own, and libjpeg-turbo for what that does not take.
//!
//! The pixels are those of libjpeg-turbo's defaults (slow-integer inverse DCT, fancy upsampling), bit for bit what Pillow,
//! OpenCV and torchvision show. What libjpeg-turbo warns of is an error here: a damaged picture is never called good.
//!
//! ```
//! let bytes = include_bytes!("../tests/data/grey-8x8.jpg");
//! use pixcrawler_jpeg::{Jpeg, PixelFormat, Scratch, Wanted};
//!
//! let mut jpeg = Jpeg::open(bytes)?;
//! let (width, height) = (jpeg.header().width, jpeg.header().height);
//! let mut pixels = vec![0; width * height * 3];
//! jpeg.decode_into(&Wanted::whole(PixelFormat::Rgb), &mut pixels, &mut Scratch::default())?;
//! # Ok::<(), pixcrawler_jpeg::Error>(())
//! ```

mod back;
mod decoder;
mod entropy;
mod error;
mod header;
mod lockstep;
mod markers;
mod native;
mod turbo;

pub use back::Region;
pub use decoder::{Decoder, Jpeg, Wanted};
pub use error::{Error, ErrorKind};
pub use markers::{Head, Precision, count_markers_and_scans, exif, has_line_count};
pub use native::Scratch;

/// Version of the libjpeg-turbo that is linked in.
pub const LIBRARY_VERSION: &str = env!("PIXCRAWLER_JPEG_VERSION");

/// Whether that libjpeg-turbo was built with its SIMD code; without it decoding takes twice as long.
#[must_use]
pub fn library_has_simd() -> bool {
    env!("PIXCRAWLER_JPEG_SIMD") == "1"
}

/// What the header says of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Width in pixels, at least 1.
    pub width: usize,
    /// Height in pixels, at least 1.
    pub height: usize,
    /// How the colours are coded.
    pub color: Color,
    /// Coded in scans that each bring some coefficients, or a bit of them, of the whole picture.
    pub progressive: bool,
    /// Coded in several scans: libjpeg-turbo keeps all coefficients, two bytes each, until it has read them.
    pub several_scans: bool,
}

/// How an image's colours are coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Color {
    /// One component.
    Grey,
    /// Three components: YCbCr or RGB.
    Rgb,
    /// Four components: CMYK or YCCK.
    Cmyk,
}

/// What pixels are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PixelFormat {
    /// One byte a pixel; from grey images alone.
    Grey,
    /// Three bytes a pixel; from grey and RGB images.
    Rgb,
    /// Four bytes a pixel, alpha 255; from grey and RGB images.
    Rgba,
    /// Four bytes a pixel as coded (inverted or not is for the caller to know); from CMYK images alone.
    Cmyk,
}

impl PixelFormat {
    /// Bytes a pixel.
    #[must_use]
    pub const fn channels(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::Rgb => 3,
            Self::Rgba | Self::Cmyk => 4,
        }
    }
}

/// At which size to decode; libjpeg-turbo has SIMD code for these alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scale {
    /// As coded.
    Full,
    /// Half the side, rounded up.
    Half,
    /// A quarter of the side, rounded up.
    Quarter,
    /// An eighth of the side, rounded up.
    Eighth,
}

impl Scale {
    /// The divisor of a side.
    #[must_use]
    pub const fn denominator(self) -> usize {
        match self {
            Self::Full => 1,
            Self::Half => 2,
            Self::Quarter => 4,
            Self::Eighth => 8,
        }
    }

    /// A side of the decoded image, rounded up as libjpeg-turbo does.
    #[must_use]
    pub const fn apply(self, side: usize) -> usize {
        side.div_ceil(self.denominator())
    }
}
