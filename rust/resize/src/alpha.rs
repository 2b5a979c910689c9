//! Alpha premultiplied and divided out, as Pillow does around the resize of an RGBA image.
//!
//! Source: Pillow 13, `src/libImaging/Convert.c` (`rgba2rgbA`, `rgbA2rgba`).

/// Converts RGBA pixels to RGBa in place: each colour becomes `round(colour * alpha / 255)`.
///
/// A rest of fewer than four bytes is left alone.
///
/// ```
/// let mut pixels = [255, 100, 0, 128];
/// pixcrawler_resize::premultiply(&mut pixels);
/// assert_eq!(pixels, [128, 50, 0, 128]);
/// ```
pub fn premultiply(rgba: &mut [u8]) {
    for pixel in rgba.chunks_exact_mut(4) {
        let alpha = u32::from(pixel[3]);
        for colour in &mut pixel[..3] {
            // Pillow's MULDIV255: the exact rounded quotient without a division.
            let product = u32::from(*colour) * alpha + 128;
            *colour = (((product >> 8) + product) >> 8) as u8;
        }
    }
}

/// Converts RGBa pixels to RGBA in place: each colour becomes `colour * 255 / alpha`, rounded down and at most 255.
///
/// Pixels of alpha 0 and 255 stay as they are; a rest of fewer than four bytes is left alone.
///
/// ```
/// let mut pixels = [128, 50, 0, 128];
/// pixcrawler_resize::unpremultiply(&mut pixels);
/// assert_eq!(pixels, [255, 99, 0, 128]);
/// ```
pub fn unpremultiply(rgba: &mut [u8]) {
    for pixel in rgba.chunks_exact_mut(4) {
        let alpha = u32::from(pixel[3]);
        if alpha != 0 && alpha != 255 {
            for colour in &mut pixel[..3] {
                *colour = (u32::from(*colour) * 255 / alpha).min(255) as u8;
            }
        }
    }
}
