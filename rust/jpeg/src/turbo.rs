//! The binding to libjpeg-turbo through its TurboJPEG 3 interface.

use std::borrow::Cow;
use std::ffi::{CStr, c_void};
use std::marker::PhantomData;
use std::ptr::NonNull;

use turbojpeg_sys as ffi;

use crate::{Color, Error, ErrorKind, Head, Header, PixelFormat, Scale, markers};

/// A JPEG whose header was read and found decodable.
///
/// Each image gets a handle of its own: after a header error a reused handle refuses later good images, and Huffman tables
/// would leak into files that lack them. A fresh handle costs 0-3 % of a photograph's decode time.
#[derive(Debug)]
pub(crate) struct Jpeg<'a> {
    handle: Handle,
    bytes: Cow<'a, [u8]>,
    header: Header,
}

impl<'a> Jpeg<'a> {
    /// Reads the header.
    ///
    /// # Errors
    /// The header is damaged, or announces a process that is not decoded (lossless, other than 8 bits a sample, other than
    /// 1, 3 or 4 components).
    pub(crate) fn open(bytes: &'a [u8]) -> Result<Self, Error> {
        let bytes = with_known_transform(bytes)?;
        let handle = Handle::new()?;
        handle.set(ffi::TJPARAM_TJPARAM_STOPONWARNING, 1);
        // Neither ICC profiles nor other markers are wanted: without this each header read copies them.
        handle.set(ffi::TJPARAM_TJPARAM_SAVEMARKERS, 0);
        // SAFETY: the handle is live and initialised for decompression; pointer and length are those of one slice.
        let status = unsafe { ffi::tj3DecompressHeader(handle.as_ptr(), bytes.as_ptr(), bytes.len() as ffi::size_t) };
        if status != 0 {
            return Err(handle.error());
        }
        let get = |parameter| handle.get(parameter);
        // A file of tables alone answers 0 without dimensions.
        let (Ok(width @ 1..), Ok(height @ 1..)) = (
            usize::try_from(get(ffi::TJPARAM_TJPARAM_JPEGWIDTH)),
            usize::try_from(get(ffi::TJPARAM_TJPARAM_JPEGHEIGHT)),
        ) else {
            return Err(Error::new(ErrorKind::Corrupt, "the file holds no image"));
        };
        // libjpeg-turbo 3.1.0 ignores scaling for lossless files and would write past the buffer: refused here, first.
        if get(ffi::TJPARAM_TJPARAM_LOSSLESS) != 0 {
            return Err(Error::new(ErrorKind::Unsupported, "lossless process"));
        }
        let precision = get(ffi::TJPARAM_TJPARAM_PRECISION);
        if precision != 8 {
            return Err(Error::new(ErrorKind::Unsupported, format!("{precision} bits a sample")));
        }
        let color = match ffi::TJCS::try_from(get(ffi::TJPARAM_TJPARAM_COLORSPACE)) {
            Ok(ffi::TJCS_TJCS_GRAY) => Color::Grey,
            Ok(ffi::TJCS_TJCS_RGB | ffi::TJCS_TJCS_YCbCr) => Color::Rgb,
            Ok(ffi::TJCS_TJCS_CMYK | ffi::TJCS_TJCS_YCCK) => Color::Cmyk,
            _ => return Err(Error::new(ErrorKind::Unsupported, "unknown colour space")),
        };
        let progressive = get(ffi::TJPARAM_TJPARAM_PROGRESSIVE) != 0;
        let several_scans = progressive || Head::read(&bytes, u64::MAX).has_more_scans;
        Ok(Self { handle, bytes, header: Header { width, height, color, progressive, several_scans } })
    }

    /// What the header says.
    pub(crate) const fn header(&self) -> Header {
        self.header
    }

    /// Decodes into `out`, rows without gaps: `scale.apply(height) * scale.apply(width) * format.channels()` bytes.
    ///
    /// With `keep_damaged` libjpeg-turbo's warnings are passed over and what it makes of the damage is delivered.
    ///
    /// # Errors
    /// `out` has another length, `format` does not fit the image's colours, or the data is damaged; the content of `out` is
    /// unspecified then.
    pub(crate) fn decode_into(
        &mut self,
        format: PixelFormat,
        scale: Scale,
        keep_damaged: bool,
        out: &mut [u8],
    ) -> Result<(), Error> {
        let fits = match self.header.color {
            Color::Grey => format != PixelFormat::Cmyk,
            Color::Rgb => matches!(format, PixelFormat::Rgb | PixelFormat::Rgba),
            Color::Cmyk => format == PixelFormat::Cmyk,
        };
        if !fits {
            return Err(Error::new(
                ErrorKind::Parameter,
                format!("{:?} cannot be had as {format:?}", self.header.color),
            ));
        }
        let (width, height) = (scale.apply(self.header.width), scale.apply(self.header.height));
        // Sides are at most 65,535 (T.81 B.2.2): the products fit 64 bits.
        let (pitch, expected) = (width * format.channels(), width * height * format.channels());
        if out.len() != expected {
            let message = format!("expected a buffer of {expected} bytes, got {}", out.len());
            return Err(Error::new(ErrorKind::Parameter, message));
        }
        let (Ok(pitch), Ok(denominator)) = (i32::try_from(pitch), i32::try_from(scale.denominator())) else {
            return Err(Error::new(ErrorKind::Parameter, "the image is too wide"));
        };
        let pixel_format = match format {
            PixelFormat::Grey => ffi::TJPF_TJPF_GRAY,
            PixelFormat::Rgb => ffi::TJPF_TJPF_RGB,
            PixelFormat::Rgba => ffi::TJPF_TJPF_RGBA,
            PixelFormat::Cmyk => ffi::TJPF_TJPF_CMYK,
        };
        self.handle.set(ffi::TJPARAM_TJPARAM_STOPONWARNING, i32::from(!keep_damaged));
        let factor = ffi::tjscalingfactor { num: 1, denom: denominator };
        // SAFETY: the handle is live; the factor is one of those that libjpeg-turbo lists.
        if unsafe { ffi::tj3SetScalingFactor(self.handle.as_ptr(), factor) } != 0 {
            return Err(self.handle.error());
        }
        // SAFETY: the handle is live and holds no other image; `bytes` are those of the header read before, which decide
        // alone what size libjpeg-turbo writes: `height` rows of `pitch` bytes, and `out` has exactly as many. Lossless
        // files, for which 3.1.0 ignores the scale, were refused in `open`.
        let status = unsafe {
            ffi::tj3Decompress8(
                self.handle.as_ptr(),
                self.bytes.as_ptr(),
                self.bytes.len() as ffi::size_t,
                out.as_mut_ptr(),
                pitch,
                pixel_format,
            )
        };
        if status != 0 && !(keep_damaged && self.handle.stopped_at_warning()) {
            return Err(self.handle.error());
        }
        Ok(())
    }
}

/// The file, a copy if an Adobe marker names a colour transform that there is not: it says then what libjpeg assumes.
///
/// libjpeg warns of such a marker, and its warnings end the decoding; but the picture is as sound as any.
fn with_known_transform(bytes: &[u8]) -> Result<Cow<'_, [u8]>, Error> {
    let (places, components) = markers::adobe_transforms(bytes);
    let (known, assumed) = match components {
        Some(3) => ([0, 1], 1),
        Some(4) => ([0, 2], 2),
        _ => return Ok(Cow::Borrowed(bytes)),
    };
    if places.iter().all(|&at| known.contains(&bytes[at])) {
        return Ok(Cow::Borrowed(bytes));
    }
    let mut copy = Vec::new();
    copy.try_reserve_exact(bytes.len())
        .map_err(|_| Error::new(ErrorKind::OutOfMemory, format!("no memory for a copy of {} bytes", bytes.len())))?;
    copy.extend_from_slice(bytes);
    for at in places.into_iter().filter(|&at| !known.contains(&bytes[at])) {
        copy[at] = assumed;
    }
    Ok(Cow::Owned(copy))
}

/// An owned TurboJPEG handle.
#[derive(Debug)]
struct Handle {
    pointer: NonNull<c_void>,
    _not_sync: PhantomData<*mut ()>,
}

// SAFETY: a handle holds no thread's state: its error text is in the handle, and one thread uses it at a time (`!Sync`).
unsafe impl Send for Handle {}

impl Handle {
    fn new() -> Result<Self, Error> {
        // SAFETY: takes no pointers; returns null on failure.
        let pointer = unsafe { ffi::tj3Init(ffi::TJINIT_TJINIT_DECOMPRESS.cast_signed()) };
        match NonNull::new(pointer.cast()) {
            Some(pointer) => Ok(Self { pointer, _not_sync: PhantomData }),
            None => Err(Error::new(ErrorKind::OutOfMemory, "no memory for a JPEG decoder")),
        }
    }

    fn as_ptr(&self) -> ffi::tjhandle {
        self.pointer.as_ptr().cast()
    }

    fn set(&self, parameter: ffi::TJPARAM, value: i32) {
        // SAFETY: the handle is live; an unknown parameter or value is refused without effect.
        unsafe { ffi::tj3Set(self.as_ptr(), parameter.cast_signed(), value) };
    }

    fn get(&self, parameter: ffi::TJPARAM) -> i32 {
        // SAFETY: the handle is live; an unknown parameter answers -1.
        unsafe { ffi::tj3Get(self.as_ptr(), parameter.cast_signed()) }
    }

    /// Whether the last call did its work and only warned.
    fn stopped_at_warning(&self) -> bool {
        // SAFETY: the handle is live.
        unsafe { ffi::tj3GetErrorCode(self.as_ptr()) == ffi::TJERR_TJERR_WARNING.cast_signed() }
    }

    fn error(&self) -> Error {
        // SAFETY: the handle is live; the text is a NUL-terminated string inside it, copied before the next call.
        let text = unsafe { CStr::from_ptr(ffi::tj3GetErrorStr(self.as_ptr())) }.to_string_lossy().into_owned();
        // libjpeg tells its errors apart by text alone once TurboJPEG has passed them on (jerror.h).
        // A data segment that ends too early, at a marker, is damage somewhere: the file may go on behind it.
        let kind = if text.contains("Premature end of JPEG file") {
            ErrorKind::Truncated
        } else if text.contains("nsupported")
            || text.contains("Maximum supported")
            || text.contains("olorspace")
            || text.contains("not implemented")
            || text.contains("not compiled")
        {
            ErrorKind::Unsupported
        } else if text.contains("Insufficient memory") || text.contains("allocation failure") {
            ErrorKind::OutOfMemory
        } else {
            ErrorKind::Corrupt
        };
        Error::new(kind, text)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the handle is live and used by nobody after this.
        unsafe { ffi::tj3Destroy(self.as_ptr()) };
    }
}
