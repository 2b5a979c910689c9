//! WebP bytes to rows of pixels: a safe face over libwebp. Of an animation the first frame is decoded.

use std::mem::MaybeUninit;
use std::{fmt, ptr, slice};

use libwebp_sys as ffi;

/// What the header says of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Width in pixels, 1 to 16,383.
    pub width: usize,
    /// Height in pixels, 1 to 16,383.
    pub height: usize,
    /// Whether there is transparency.
    pub has_alpha: bool,
    /// Whether there is more than one frame.
    pub animated: bool,
}

/// What pixels are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PixelFormat {
    /// Three bytes a pixel; alpha is dropped.
    Rgb,
    /// Four bytes a pixel, alpha not multiplied in.
    Rgba,
}

impl PixelFormat {
    /// Bytes a pixel.
    #[must_use]
    pub const fn channels(self) -> usize {
        match self {
            Self::Rgb => 3,
            Self::Rgba => 4,
        }
    }
}

/// Why a WebP was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// The data is damaged.
    Corrupt,
    /// The data ends too early.
    Truncated,
    /// Memory could not be had.
    OutOfMemory,
    /// A feature that libwebp does not decode.
    Unsupported,
    /// The caller's buffer has not the image's size.
    Size {
        /// Bytes the image needs.
        expected: usize,
        /// Bytes the buffer has.
        actual: usize,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Corrupt => f.write_str("the WebP bitstream is damaged"),
            Self::Truncated => f.write_str("the WebP bitstream ends too early"),
            Self::OutOfMemory => f.write_str("no memory for the WebP decoder"),
            Self::Unsupported => f.write_str("a WebP feature that is not decoded"),
            Self::Size { expected, actual } => write!(f, "expected a buffer of {expected} bytes, got {actual}"),
        }
    }
}

impl std::error::Error for Error {}

fn check(status: ffi::VP8StatusCode) -> Result<(), Error> {
    match status {
        ffi::VP8StatusCode::VP8_STATUS_OK => Ok(()),
        ffi::VP8StatusCode::VP8_STATUS_NOT_ENOUGH_DATA | ffi::VP8StatusCode::VP8_STATUS_SUSPENDED => {
            Err(Error::Truncated)
        }
        ffi::VP8StatusCode::VP8_STATUS_OUT_OF_MEMORY => Err(Error::OutOfMemory),
        ffi::VP8StatusCode::VP8_STATUS_UNSUPPORTED_FEATURE => Err(Error::Unsupported),
        _ => Err(Error::Corrupt),
    }
}

/// Reads the header.
///
/// # Errors
/// The data is not a WebP, or its header is damaged or cut.
pub fn read_header(bytes: &[u8]) -> Result<Header, Error> {
    let mut features = MaybeUninit::<ffi::WebPBitstreamFeatures>::zeroed();
    // SAFETY: pointer and length are those of one slice; the structure is plain data of the ABI version that is passed.
    let features = unsafe {
        let version = ffi::WEBP_DECODER_ABI_VERSION as i32;
        check(ffi::WebPGetFeaturesInternal(bytes.as_ptr(), bytes.len(), features.as_mut_ptr(), version))?;
        features.assume_init()
    };
    match (usize::try_from(features.width), usize::try_from(features.height)) {
        (Ok(width @ 1..), Ok(height @ 1..)) => {
            Ok(Header { width, height, has_alpha: features.has_alpha != 0, animated: features.has_animation != 0 })
        }
        _ => Err(Error::Corrupt),
    }
}

/// Decodes into `out`, rows without gaps: `height * width * format.channels()` bytes.
///
/// # Errors
/// `out` has another length, or the data is damaged; the content of `out` is unspecified then.
pub fn decode_into(bytes: &[u8], format: PixelFormat, out: &mut [u8]) -> Result<(), Error> {
    let header = read_header(bytes)?;
    let expected = header.width * header.height * format.channels();
    if out.len() != expected {
        return Err(Error::Size { expected, actual: out.len() });
    }
    if header.animated {
        decode_first_frame(bytes, header, format, out)
    } else {
        decode_still(bytes, header, format, out)
    }
}

fn decode_still(bytes: &[u8], header: Header, format: PixelFormat, out: &mut [u8]) -> Result<(), Error> {
    let stride = i32::try_from(header.width * format.channels()).map_err(|_| Error::Corrupt)?;
    let mut config = MaybeUninit::<ffi::WebPDecoderConfig>::zeroed();
    // SAFETY: the structure is plain data, initialised by libwebp for the ABI version that is passed. The output is the
    // caller's buffer with its exact length, which libwebp checks against stride and height before it writes.
    unsafe {
        let version = ffi::WEBP_DECODER_ABI_VERSION as i32;
        if ffi::WebPInitDecoderConfigInternal(config.as_mut_ptr(), version) == 0 {
            return Err(Error::Unsupported);
        }
        let mut config = config.assume_init();
        config.output.colorspace = match format {
            PixelFormat::Rgb => ffi::WEBP_CSP_MODE::MODE_RGB,
            PixelFormat::Rgba => ffi::WEBP_CSP_MODE::MODE_RGBA,
        };
        config.output.is_external_memory = 1;
        config.output.u.RGBA = ffi::WebPRGBABuffer { rgba: out.as_mut_ptr(), stride, size: out.len() };
        check(ffi::WebPDecode(bytes.as_ptr(), bytes.len(), &raw mut config))
    }
}

/// An animation decoder, deleted when dropped.
struct Animation(ptr::NonNull<ffi::WebPAnimDecoder>);

impl Drop for Animation {
    fn drop(&mut self) {
        // SAFETY: made by WebPAnimDecoderNew and used by nobody after this.
        unsafe { ffi::WebPAnimDecoderDelete(self.0.as_ptr()) };
    }
}

fn decode_first_frame(bytes: &[u8], header: Header, format: PixelFormat, out: &mut [u8]) -> Result<(), Error> {
    let data = ffi::WebPData { bytes: bytes.as_ptr(), size: bytes.len() };
    // SAFETY: `data` and the bytes that it points to outlive the decoder; null options are libwebp's defaults (RGBA).
    let decoder =
        unsafe { ffi::WebPAnimDecoderNewInternal(&raw const data, ptr::null(), ffi::WEBP_DEMUX_ABI_VERSION as i32) };
    let decoder = Animation(ptr::NonNull::new(decoder).ok_or(Error::Corrupt)?);
    let mut info = MaybeUninit::<ffi::WebPAnimInfo>::zeroed();
    let (mut canvas, mut timestamp) = (ptr::null_mut(), 0);
    // SAFETY: the decoder is live and each pointer is to a value of ours; on success the canvas is the decoder's own
    // buffer of canvas_width * canvas_height RGBA pixels, valid until the decoder's next call.
    let canvas = unsafe {
        if ffi::WebPAnimDecoderGetInfo(decoder.0.as_ptr(), info.as_mut_ptr()) == 0
            || ffi::WebPAnimDecoderGetNext(decoder.0.as_ptr(), &raw mut canvas, &raw mut timestamp) == 0
        {
            return Err(Error::Corrupt);
        }
        let info = info.assume_init();
        if (info.canvas_width as usize, info.canvas_height as usize) != (header.width, header.height) {
            return Err(Error::Corrupt);
        }
        slice::from_raw_parts(canvas, header.width * header.height * 4)
    };
    match format {
        PixelFormat::Rgba => out.copy_from_slice(canvas),
        PixelFormat::Rgb => {
            for (to, from) in out.as_chunks_mut::<3>().0.iter_mut().zip(canvas.as_chunks::<4>().0) {
                to.copy_from_slice(&from[..3]);
            }
        }
    }
    Ok(())
}
