//! The orientation of an EXIF block (Exif 2.32, 4.6.4 and 4.6.5). What is broken in it never fails an image: it counts as upright.

/// How a picture is to be turned to stand as a person sees it; the discriminants are EXIF's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Orientation {
    #[default]
    Upright = 1,
    FlipHorizontal = 2,
    Rotate180 = 3,
    FlipVertical = 4,
    Transpose = 5,
    Rotate90Clockwise = 6,
    Transverse = 7,
    Rotate270Clockwise = 8,
}

impl Orientation {
    fn from_value(value: u16) -> Self {
        match value {
            2 => Self::FlipHorizontal,
            3 => Self::Rotate180,
            4 => Self::FlipVertical,
            5 => Self::Transpose,
            6 => Self::Rotate90Clockwise,
            7 => Self::Transverse,
            8 => Self::Rotate270Clockwise,
            _ => Self::Upright,
        }
    }

    /// Whether width and height change places.
    pub(crate) const fn swaps_sides(self) -> bool {
        self as u8 >= Self::Transpose as u8
    }

    /// Reads IFD0's orientation tag from a TIFF block; anything but a whole IFD0 with one entry of one SHORT of 1 to 8 is upright.
    pub(crate) fn from_tiff(tiff: &[u8]) -> Self {
        read_orientation(tiff).map_or(Self::Upright, Self::from_value)
    }
}

fn read_orientation(tiff: &[u8]) -> Option<u16> {
    const ORIENTATION: u16 = 0x0112;
    const SHORT: u16 = 3;
    let little_endian = match tiff.get(..2)? {
        b"II" => true,
        b"MM" => false,
        _ => return None,
    };
    let u16_at = |at: usize| {
        let bytes = tiff.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if little_endian { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    };
    let u32_at = |at: usize| {
        let bytes = tiff.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if little_endian { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    };
    if u16_at(2)? != 42 {
        return None;
    }
    // TIFF 6.0, section 2: header of 8 bytes, then IFDs of a count, 12-byte entries (tag, type, count, value) and the place of
    // the next IFD, which is not followed.
    let ifd0 = u32_at(4)? as usize;
    let entries = usize::from(u16_at(ifd0)?);
    let start = ifd0.checked_add(2)?;
    let end = start.checked_add(entries * 12)?;
    u32_at(end)?;
    let is_orientation = |&at: &usize| u16_at(at) == Some(ORIENTATION);
    let mut found = (start..end).step_by(12).filter(is_orientation);
    let at = found.next()?;
    let is_clear = found.next().is_none() && u16_at(at + 2)? == SHORT && u32_at(at + 4)? == 1;
    is_clear.then(|| u16_at(at + 8)).flatten()
}

/// Copies `from` (`height` rows of `width` pixels of `CHANNELS` bytes) into `to`, turned upright.
fn turn<const CHANNELS: usize>(from: &[u8], width: usize, height: usize, orientation: Orientation, to: &mut [u8]) {
    let from = from.as_chunks::<CHANNELS>().0;
    let to = to.as_chunks_mut::<CHANNELS>().0;
    let out_width = if orientation.swaps_sides() { height } else { width };
    // The source index of output pixel (x, y) is start + x * dx + y * dy.
    let (w, h) = (width as isize, height as isize);
    let (start, dx, dy) = match orientation {
        Orientation::Upright => (0, 1, w),
        Orientation::FlipHorizontal => (w - 1, -1, w),
        Orientation::Rotate180 => (w * h - 1, -1, -w),
        Orientation::FlipVertical => (w * (h - 1), 1, -w),
        Orientation::Transpose => (0, w, 1),
        Orientation::Rotate90Clockwise => (w * (h - 1), -w, 1),
        Orientation::Transverse => (w * h - 1, -w, -1),
        Orientation::Rotate270Clockwise => (w - 1, w, -1),
    };
    for (y, row) in to.chunks_exact_mut(out_width).enumerate() {
        let mut index = start + y as isize * dy;
        for pixel in row {
            *pixel = from[index.cast_unsigned()];
            index += dx;
        }
    }
}

/// Copies `from` (`height` rows of `width` pixels) into `to`, turned upright. Both hold `width * height * channels` bytes.
pub(crate) fn apply(
    from: &[u8],
    width: usize,
    height: usize,
    channels: usize,
    orientation: Orientation,
    to: &mut [u8],
) {
    match channels {
        1 => turn::<1>(from, width, height, orientation, to),
        3 => turn::<3>(from, width, height, orientation, to),
        _ => turn::<4>(from, width, height, orientation, to),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiff(order: [u8; 2], kind: u16, count: u32, value: u16) -> Vec<u8> {
        let little = order == *b"II";
        let u16b = |v: u16| if little { v.to_le_bytes() } else { v.to_be_bytes() };
        let u32b = |v: u32| if little { v.to_le_bytes() } else { v.to_be_bytes() };
        let mut bytes = order.to_vec();
        bytes.extend(u16b(42));
        bytes.extend(u32b(8));
        bytes.extend(u16b(1));
        bytes.extend(u16b(0x0112));
        bytes.extend(u16b(kind));
        bytes.extend(u32b(count));
        bytes.extend(u16b(value));
        bytes.extend([0; 6]);
        bytes
    }

    #[test]
    fn both_byte_orders_are_read() {
        for order in [*b"II", *b"MM"] {
            assert_eq!(Orientation::from_tiff(&tiff(order, 3, 1, 6)), Orientation::Rotate90Clockwise);
        }
    }

    #[test]
    fn what_is_broken_counts_as_upright() {
        for bytes in [tiff(*b"II", 4, 1, 6), tiff(*b"II", 3, 2, 6), tiff(*b"II", 3, 1, 9), tiff(*b"XX", 3, 1, 6)] {
            assert_eq!(Orientation::from_tiff(&bytes), Orientation::Upright);
        }
        let good = tiff(*b"MM", 3, 1, 6);
        for length in 0..good.len() {
            assert_eq!(Orientation::from_tiff(&good[..length]), Orientation::Upright, "cut to {length} bytes");
        }
        let mut far = good;
        far[4..8].copy_from_slice(&u32::MAX.to_be_bytes());
        assert_eq!(Orientation::from_tiff(&far), Orientation::Upright);
    }

    #[test]
    fn each_turn_puts_pixels_where_exif_says() {
        // 3 x 2:  1 2 3
        //         4 5 6
        let cases = [
            (Orientation::Upright, [1, 2, 3, 4, 5, 6]),
            (Orientation::FlipHorizontal, [3, 2, 1, 6, 5, 4]),
            (Orientation::Rotate180, [6, 5, 4, 3, 2, 1]),
            (Orientation::FlipVertical, [4, 5, 6, 1, 2, 3]),
            (Orientation::Transpose, [1, 4, 2, 5, 3, 6]),
            (Orientation::Rotate90Clockwise, [4, 1, 5, 2, 6, 3]),
            (Orientation::Transverse, [6, 3, 5, 2, 4, 1]),
            (Orientation::Rotate270Clockwise, [3, 6, 2, 5, 1, 4]),
        ];
        for (orientation, expected) in cases {
            let mut to = [0; 6];
            apply(&[1, 2, 3, 4, 5, 6], 3, 2, 1, orientation, &mut to);
            assert_eq!(to, expected, "{orientation:?}");
        }
    }
}
