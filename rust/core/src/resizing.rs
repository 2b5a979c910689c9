//! The resize of one picture as the options say: of all of it, or row by row as the decoder makes them.

use std::time::{Duration, Instant};

use pixcrawler_resize::{Channels, Plan, Size, Stream, pad_geometry};

use crate::codec::Image;
use crate::sample::{Fit, Mode, Resize};
use crate::{Code, Error, Result, codec};

/// A resize and where its result goes.
struct Fitted {
    plan: Plan,
    /// Bytes of the output before the first row of the result.
    start: usize,
    /// Bytes from one row of the output to the next.
    stride: usize,
}

/// Plans the resize of a picture (width, height); `None` if it is so narrow that nothing of it is left.
fn fit((width, height): (usize, usize), mode: Mode, resize: Resize) -> Result<Option<Fitted>> {
    let source = Size { w: width as u32, h: height as u32 };
    let wanted = Size { w: resize.width as u32, h: resize.height as u32 };
    let channels = match mode {
        Mode::Grey => Channels::One,
        Mode::Rgb => Channels::Three,
        Mode::Rgba => Channels::Four,
    };
    let too_large = || {
        let detail = format!("a picture of {width} x {height} cannot be cropped to {} x {}", wanted.w, wanted.h);
        Error::new(Code::LimitPixels, detail)
    };
    let stride = resize.width * mode.channels();
    let (plan, start) = match resize.fit {
        Fit::Stretch => (Plan::stretch(source, wanted, channels, resize.filter), 0),
        Fit::Crop => (Plan::crop(source, wanted, channels, resize.filter).ok_or_else(too_large)?, 0),
        Fit::Pad => {
            let pad = pad_geometry(source, wanted).ok_or_else(too_large)?;
            if pad.full.is_empty() {
                return Ok(None);
            }
            let start = pad.y as usize * stride + pad.x as usize * mode.channels();
            (Plan::stretch(source, pad.full, channels, resize.filter), start)
        }
    };
    Ok(Some(Fitted { plan, start, stride }))
}

/// What the result does not cover of a padded picture is black.
fn blacken(resize: Resize, out: &mut [u8]) {
    if resize.fit == Fit::Pad {
        out.fill(0);
    }
}

/// Resizes a decoded picture (width, height) into `out`.
pub(crate) fn whole(
    picture: &[u8],
    (width, height): (usize, usize),
    mode: Mode,
    resize: Resize,
    out: &mut [u8],
    scratch: &mut pixcrawler_resize::Scratch,
) -> Result<()> {
    let fitted = fit((width, height), mode, resize)?;
    blacken(resize, out);
    let Some(Fitted { plan, start, stride }) = fitted else { return Ok(()) };
    let resize = if mode == Mode::Rgba { pixcrawler_resize::resize_rgba } else { pixcrawler_resize::resize };
    resize(&plan, picture, width * mode.channels(), &mut out[start..], stride, scratch).map_err(internal)
}

fn internal(error: pixcrawler_resize::ResizeError) -> Error {
    Error::new(Code::Internal, error.to_string())
}

/// Decodes an upright image and resizes its rows while they are in the processor's cache; only rows that the result needs
/// are transformed.
///
/// Gives the time that the resize took, or `None` if the image must be decoded as a whole.
pub(crate) fn in_bands(
    image: &mut Image<'_>,
    mode: Mode,
    keep_truncated: bool,
    resize: Resize,
    out: &mut [u8],
    scratch: &mut codec::Scratch,
    resize_scratch: &mut pixcrawler_resize::Scratch,
) -> Result<Option<Duration>> {
    let fitted = fit(image.size(), mode, resize)?;
    blacken(resize, out);
    let Some(Fitted { plan, start, stride }) = fitted else { return Ok(None) };
    let mut stream = Stream::new(&plan, &mut out[start..], stride, resize_scratch).map_err(internal)?;
    let needed = stream.needed_rows();
    stream.skip(needed.start).map_err(internal)?;
    let mut resizing = Duration::ZERO;
    let mut pushed = Ok(());
    let is_done = image.decode_bands(mode, keep_truncated, needed, scratch, &mut |rows| {
        if pushed.is_ok() {
            let started = Instant::now();
            pushed = stream.push(rows);
            resizing += started.elapsed();
        }
    })?;
    if !is_done {
        return Ok(None);
    }
    pushed.and_then(|()| stream.finish()).map_err(internal)?;
    Ok(Some(resizing))
}
