//! Colour conversions, each equal to Pillow's `convert` (libImaging/Convert.c).

/// L from RGB, as `convert("L")`: ITU-R 601-2 luma in 16-bit fixed point, rounded.
pub(crate) fn rgb_to_grey(rgb: &[u8], grey: &mut [u8]) {
    for (grey, &[r, g, b]) in grey.iter_mut().zip(rgb.as_chunks::<3>().0) {
        *grey = ((u32::from(r) * 19595 + u32::from(g) * 38470 + u32::from(b) * 7471 + 0x8000) >> 16) as u8;
    }
}

/// RGB from CMYK as JPEG files hold it: inverted, by Adobe's convention, which Pillow assumes of every such file.
///
/// Pillow inverts on reading and converts by `(255 - k) - (255 - k) * c / 255`.
pub(crate) fn inverted_cmyk_to_rgb(cmyk: &[u8], rgb: &mut [u8]) {
    for (rgb, &[c, m, y, k]) in rgb.as_chunks_mut::<3>().0.iter_mut().zip(cmyk.as_chunks::<4>().0) {
        // As stored, 255 is no ink: k is already Pillow's 255 - K, and 255 - c its C.
        *rgb = [c, m, y].map(|ink| k - multiply_divide_255(255 - ink, k));
    }
}

/// `a * b / 255`, rounded (Pillow's `MULDIV255`); never more than `b`.
fn multiply_divide_255(a: u8, b: u8) -> u8 {
    let product = u32::from(a) * u32::from(b) + 128;
    (((product >> 8) + product) >> 8) as u8
}

/// RGB from grey.
pub(crate) fn grey_to_rgb(grey: &[u8], rgb: &mut [u8]) {
    for (rgb, &grey) in rgb.as_chunks_mut::<3>().0.iter_mut().zip(grey) {
        *rgb = [grey; 3];
    }
}

/// RGBA from grey, opaque.
pub(crate) fn grey_to_rgba(grey: &[u8], rgba: &mut [u8]) {
    for (rgba, &grey) in rgba.as_chunks_mut::<4>().0.iter_mut().zip(grey) {
        *rgba = [grey, grey, grey, 255];
    }
}

/// RGB from grey with alpha, which is dropped.
pub(crate) fn grey_alpha_to_rgb(pixels: &[u8], rgb: &mut [u8]) {
    for (rgb, &[grey, _]) in rgb.as_chunks_mut::<3>().0.iter_mut().zip(pixels.as_chunks::<2>().0) {
        *rgb = [grey; 3];
    }
}

/// RGBA from grey with alpha.
pub(crate) fn grey_alpha_to_rgba(pixels: &[u8], rgba: &mut [u8]) {
    for (rgba, &[grey, alpha]) in rgba.as_chunks_mut::<4>().0.iter_mut().zip(pixels.as_chunks::<2>().0) {
        *rgba = [grey, grey, grey, alpha];
    }
}

/// Grey from grey with alpha, which is dropped.
pub(crate) fn grey_alpha_to_grey(pixels: &[u8], grey: &mut [u8]) {
    for (grey, &[value, _]) in grey.iter_mut().zip(pixels.as_chunks::<2>().0) {
        *grey = value;
    }
}

/// RGBA from RGB, opaque.
pub(crate) fn rgb_to_rgba(rgb: &[u8], rgba: &mut [u8]) {
    for (rgba, &[r, g, b]) in rgba.as_chunks_mut::<4>().0.iter_mut().zip(rgb.as_chunks::<3>().0) {
        *rgba = [r, g, b, 255];
    }
}

/// RGB from RGBA, whose alpha is dropped.
pub(crate) fn rgba_to_rgb(rgba: &[u8], rgb: &mut [u8]) {
    for (rgb, &[r, g, b, _]) in rgb.as_chunks_mut::<3>().0.iter_mut().zip(rgba.as_chunks::<4>().0) {
        *rgb = [r, g, b];
    }
}

/// Grey from RGBA, whose alpha is dropped.
pub(crate) fn rgba_to_grey(rgba: &[u8], grey: &mut [u8]) {
    for (grey, &[r, g, b, _]) in grey.iter_mut().zip(rgba.as_chunks::<4>().0) {
        rgb_to_grey(&[r, g, b], std::slice::from_mut(grey));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grey_of_grey_is_the_same() {
        let all: Vec<u8> = (0..=255).collect();
        let (mut rgb, mut back) = (vec![0; 768], vec![0; 256]);
        grey_to_rgb(&all, &mut rgb);
        rgb_to_grey(&rgb, &mut back);
        assert_eq!(back, all);
    }

    #[test]
    fn no_ink_is_white_and_full_black_is_black() {
        let mut rgb = [9; 9];
        inverted_cmyk_to_rgb(&[255, 255, 255, 255, 255, 255, 255, 0, 0, 255, 255, 255], &mut rgb);
        assert_eq!(rgb, [255, 255, 255, 0, 0, 0, 0, 255, 255]);
    }

    #[test]
    fn conversion_never_wraps() {
        for ink in 0..=255 {
            for black in 0..=255 {
                inverted_cmyk_to_rgb(&[ink, ink, ink, black], &mut [0; 3]);
            }
        }
    }
}
