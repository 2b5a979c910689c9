//! Rows of samples to rows of pixels (jdcolor.c).

use super::Kernel;
use super::plan::Conversion;

/// Pixels that are converted at once: rows of samples are readable up to a multiple.
pub(super) const STEP: usize = 32;

/// Converts `width` pixels to the start of `out`.
///
/// Rows of components that are not there are not looked at. Bytes behind the pixels may be overwritten.
pub(super) fn convert(
    kernel: Kernel,
    conversion: Conversion,
    planes: [&[u8]; 4],
    channels: usize,
    width: usize,
    out: &mut [u8],
) {
    if conversion == Conversion::GreyToGrey {
        out[..width].copy_from_slice(&planes[0][..width]);
        return;
    }
    #[cfg(target_arch = "x86_64")]
    if kernel == Kernel::Avx512 && conversion == Conversion::YccToRgb {
        // A step may go beyond the width, but not beyond samples and buffer.
        let pixels = planes[0].len().min(out.len() / channels);
        let done = width.next_multiple_of(super::color_avx512::STEP).min(pixels - pixels % super::color_avx512::STEP);
        let (whole, rest) = out.split_at_mut(done * channels);
        // SAFETY: the assembler passes on what `Kernel::or_scalar` answered, which found AVX-512.
        unsafe { super::color_avx512::ycc_to_rgb(planes, whole) };
        let planes = planes.map(|plane| plane.get(done..).unwrap_or_default());
        return convert(Kernel::Avx2, conversion, planes, channels, width.saturating_sub(done), rest);
    }
    #[cfg(target_arch = "x86_64")]
    if kernel != Kernel::Scalar {
        let bytes = STEP * channels;
        let steps = width.div_ceil(STEP).min(out.len() / bytes);
        let (whole, rest) = out.split_at_mut(steps * bytes);
        // SAFETY: the assembler passes on what `Kernel::or_scalar` answered, which found AVX2.
        unsafe { super::color_avx2::convert(conversion, planes, whole) };
        // The last row of a buffer may have no room for a whole step.
        if steps * STEP < width {
            let mut last = [0; STEP * 4];
            let planes = planes.map(|plane| plane.get(steps * STEP..).unwrap_or_default());
            // SAFETY: as above.
            unsafe { super::color_avx2::convert(conversion, planes, &mut last[..bytes]) };
            let left = (width - steps * STEP) * channels;
            rest[..left].copy_from_slice(&last[..left]);
        }
        return;
    }
    let _ = kernel;
    scalar(conversion, planes, channels, &mut out[..width * channels]);
}

fn scalar(conversion: Conversion, planes: [&[u8]; 4], channels: usize, out: &mut [u8]) {
    let at = |plane: usize, x: usize| planes[plane][x];
    for (x, pixel) in out.chunks_exact_mut(channels).enumerate() {
        match conversion {
            Conversion::GreyToGrey | Conversion::GreyToRgb => pixel.fill(at(0, x)),
            Conversion::GreyToRgba => pixel.copy_from_slice(&[at(0, x), at(0, x), at(0, x), 255]),
            Conversion::RgbToRgb => pixel.copy_from_slice(&[at(0, x), at(1, x), at(2, x)]),
            Conversion::RgbToRgba => pixel.copy_from_slice(&[at(0, x), at(1, x), at(2, x), 255]),
            Conversion::YccToRgb => pixel.copy_from_slice(&rgb(at(0, x), at(1, x), at(2, x))),
            Conversion::YccToRgba => {
                let [r, g, b] = rgb(at(0, x), at(1, x), at(2, x));
                pixel.copy_from_slice(&[r, g, b, 255]);
            }
            Conversion::CmykToCmyk => pixel.copy_from_slice(&[at(0, x), at(1, x), at(2, x), at(3, x)]),
            Conversion::YcckToCmyk => {
                let [r, g, b] = rgb(at(0, x), at(1, x), at(2, x));
                pixel.copy_from_slice(&[255 - r, 255 - g, 255 - b, at(3, x)]);
            }
        }
    }
}

/// YCbCr to RGB with the factors of CCIR 601 as 16-bit fractions: 1.40200, 0.34414, 0.71414, 1.77200.
pub(super) fn rgb(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    const HALF: i32 = 1 << 15;
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    let r = y + ((91881 * cr + HALF) >> 16);
    let g = y + ((-22554 * cb - 46802 * cr + HALF) >> 16);
    let b = y + ((116_130 * cb + HALF) >> 16);
    [r, g, b].map(|value| value.clamp(0, 255) as u8)
}
