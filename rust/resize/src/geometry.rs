//! Sizes and offsets of the crop and pad modes, to the pixel as torchvision and Pillow round them.

use crate::{Size, Window};

/// The largest side that Pillow can make (a C int); larger ones are refused.
pub const MAX_SIDE: u32 = i32::MAX as u32;

/// What a centre crop keeps of a resized image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crop {
    /// The size to resize to.
    pub full: Size,
    /// The part of it that is kept.
    pub window: Window,
}

/// Where a padded image stands in its canvas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pad {
    /// The size to resize to. A side is 0 where a very long image is squeezed to nothing: the canvas then stays empty.
    pub full: Size,
    /// Left edge in the canvas, in pixels.
    pub x: u32,
    /// Top edge in the canvas, in pixels.
    pub y: u32,
}

/// `round(n / 2)` as Python rounds: a half goes to the even neighbour.
fn half_to_even(n: u32) -> u32 {
    let floor = n / 2;
    floor + (n & floor & 1)
}

/// `full` size and window of torchvision's `Resize(size)` followed by `CenterCrop(size)` on a PIL image.
///
/// For a square output the shorter side becomes the output's side and the longer one `int(side * long / short)`.
/// For another output the image is scaled to cover it in the same way: the side that needs the larger scale becomes
/// exactly the output's, the other `int(out * other / side)`. The crop begins at `int(round((full - out) / 2.0))`.
///
/// Returns `None` when a side is zero or the resized image would have a side beyond [`MAX_SIDE`].
///
/// ```
/// use pixcrawler_resize::{Size, Window, crop_geometry};
/// let crop = crop_geometry(Size { w: 500, h: 375 }, Size { w: 224, h: 224 }).unwrap();
/// assert_eq!(crop.full, Size { w: 298, h: 224 });
/// assert_eq!(crop.window, Window { x: 37, y: 0, w: 224, h: 224 });
/// ```
#[must_use]
pub fn crop_geometry(source: Size, out: Size) -> Option<Crop> {
    if source.is_empty() || out.is_empty() {
        return None;
    }
    let [src_w, src_h, out_w, out_h] = [source.w, source.h, out.w, out.h].map(u64::from);
    // Python's int(a * b / c) is the floor while a * b < 2^53: the quotient's distance to the next integer is then
    // more than the rounding of the division.
    let (w, h) =
        if src_w * out_h >= src_h * out_w { (out_h * src_w / src_h, out_h) } else { (out_w, out_w * src_h / src_w) };
    let limit = u64::from(MAX_SIDE);
    if w > limit || h > limit {
        return None;
    }
    let full = Size { w: w as u32, h: h as u32 };
    let window = Window { x: half_to_even(full.w - out.w), y: half_to_even(full.h - out.h), w: out.w, h: out.h };
    Some(Crop { full, window })
}

/// Size and place of the image in Pillow's `ImageOps.pad(image, out, color=0)`, centred.
///
/// Returns `None` when a side of `source` or `out` is zero.
///
/// ```
/// use pixcrawler_resize::{Pad, Size, pad_geometry};
/// let pad = pad_geometry(Size { w: 500, h: 375 }, Size { w: 224, h: 224 }).unwrap();
/// assert_eq!(pad, Pad { full: Size { w: 224, h: 168 }, x: 0, y: 28 });
/// ```
#[must_use]
#[expect(clippy::float_cmp, reason = "ImageOps.contain compares the two ratios exactly")]
pub fn pad_geometry(source: Size, out: Size) -> Option<Pad> {
    if source.is_empty() || out.is_empty() {
        return None;
    }
    let [src_w, src_h, out_w, out_h] = [source.w, source.h, out.w, out.h].map(f64::from);
    // The order of operations is ImageOps.contain's: (h / w) * out, not h * out / w.
    let ratio = src_w / src_h;
    let out_ratio = out_w / out_h;
    let mut full = out;
    if ratio > out_ratio {
        full.h = ((src_h / src_w * out_w).round_ties_even() as u32).min(out.h);
    } else if ratio != out_ratio {
        full.w = ((src_w / src_h * out_h).round_ties_even() as u32).min(out.w);
    }
    Some(Pad { full, x: half_to_even(out.w - full.w), y: half_to_even(out.h - full.h) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_round_to_even() {
        assert_eq!([0, 1, 2, 3, 4, 5, 6, 7].map(half_to_even), [0, 0, 1, 2, 2, 2, 3, 4]);
    }

    #[test]
    fn no_size_overflows() {
        let sides = [0, 1, 2, 3, 223, 224, 225, 65_535, MAX_SIDE, u32::MAX];
        for (w, h) in sides.iter().flat_map(|&w| sides.map(|h| (w, h))) {
            for (out_w, out_h) in sides.iter().flat_map(|&w| sides.map(|h| (w, h))) {
                let (source, out) = (Size { w, h }, Size { w: out_w, h: out_h });
                if let Some(crop) = crop_geometry(source, out) {
                    assert!(crop.window.x + crop.window.w <= crop.full.w);
                    assert!(crop.window.y + crop.window.h <= crop.full.h);
                }
                if let Some(pad) = pad_geometry(source, out) {
                    assert!(u64::from(pad.x) + u64::from(pad.full.w) <= u64::from(out.w));
                    assert!(u64::from(pad.y) + u64::from(pad.full.h) <= u64::from(out.h));
                }
            }
        }
    }
}
