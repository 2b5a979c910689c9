//! What a TIFF's samples are, and how they become pixels.

use super::directory::{Directory, Values, tag};
use super::{corrupt, unsupported};
use crate::codec::pixels::{self, Palette};
use crate::codec::{Color, jpeg};
use crate::{Mode, Result, color};

/// The samples of a picture.
pub(super) struct Layout {
    /// Of one sample.
    pub(super) bits: usize,
    /// Of one pixel, those included that are not shown.
    samples: usize,
    /// Each sample of a pixel is in a piece of its own.
    is_planar: bool,
    is_little_endian: bool,
    photometric: u32,
    pixels: Pixels,
}

enum Pixels {
    /// One sample: an index, or a grey by the palette of greys.
    Indexed(Box<Palette>),
    GreyAlpha,
    Rgb(Alpha),
    Cmyk,
    YCbCr,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Alpha {
    None,
    Straight,
    /// The colours are multiplied by it.
    Associated,
}

impl Layout {
    pub(super) fn read(directory: &Directory<'_>) -> Result<Self> {
        let samples = directory.number(tag::SAMPLES)?.unwrap_or(1) as usize;
        // More than anyone shows; a bound on what follows.
        if !(1..=6).contains(&samples) {
            return Err(unsupported(&format!("{samples} samples a pixel")));
        }
        let bits = match directory.values(tag::BITS)? {
            None => 1,
            Some(values) => {
                let first = values.get(0).unwrap_or_default();
                if values.len() > 1 && (values.len() < samples || values.iter().take(samples).any(|bits| bits != first))
                {
                    return Err(unsupported("samples of different sizes"));
                }
                first as usize
            }
        };
        if let Some(formats) = directory.values(tag::SAMPLE_FORMAT)?
            && formats.iter().any(|format| format != 1)
        {
            return Err(unsupported("samples that are no whole numbers, or signed"));
        }
        if directory.number(tag::FILL_ORDER)?.unwrap_or(1) != 1 {
            return Err(unsupported("the lowest bit first"));
        }
        let photometric = directory.number(tag::PHOTOMETRIC)?.unwrap_or(0);
        let extra: Vec<u32> = directory.values(tag::EXTRA_SAMPLES)?.iter().flat_map(Values::iter).take(6).collect();
        let pixels = match (photometric, bits, samples, extra.as_slice()) {
            (0 | 1, 1 | 2 | 4 | 8, 1, []) => Pixels::Indexed(Box::new(Palette::greys(bits, photometric == 0))),
            // Pillow does not invert these.
            (1, 16, 1, []) => Pixels::Indexed(Box::new(Palette::greys(8, false))),
            (1, 8, 2, [2]) => Pixels::GreyAlpha,
            (2, 8 | 16, 3, []) | (2, 8 | 16, 4, [0]) | (2, 8, 5, [0, 0]) | (2, 8, 6, [0, 0, 0]) => {
                Pixels::Rgb(Alpha::None)
            }
            (2, 8 | 16, 4, [] | [2]) | (2, 8, 4, [999]) | (2, 8, 5, [2, 0]) | (2, 8, 6, [2, 0, 0]) => {
                Pixels::Rgb(Alpha::Straight)
            }
            (2, 8, 4, [1]) | (2, 8, 5, [1, 0]) | (2, 8, 6, [1, 0, 0]) => Pixels::Rgb(Alpha::Associated),
            (3, 1 | 2 | 4 | 8, 1, []) => Pixels::Indexed(Box::new(read_palette(directory, bits)?)),
            (5, 8 | 16, 4, []) | (5, 8, 5, [0]) | (5, 8, 6, [0, 0]) => Pixels::Cmyk,
            (6, 8, 3, []) => Pixels::YCbCr,
            _ => {
                let detail = format!("photometric interpretation {photometric}, {samples} samples of {bits} bits");
                return Err(unsupported(&format!("{detail}, extra samples {extra:?}")));
            }
        };
        let is_planar = samples > 1 && directory.number(tag::PLANAR)?.unwrap_or(1) == 2;
        // Of other samples in planes Pillow shows other pixels, or none.
        let has_planes_of_pillow = matches!((photometric, samples, &extra[..]), (2, 3, []) | (2, 4, [2]) | (5, 4, []));
        if is_planar && !(bits == 8 && has_planes_of_pillow) {
            return Err(unsupported(&format!("{samples} planes of {bits} bits, extra samples {extra:?}")));
        }
        let is_little_endian = directory.is_little_endian();
        Ok(Self { bits, samples, is_planar, is_little_endian, photometric, pixels })
    }

    /// How the colours are coded.
    pub(super) fn color(&self) -> Color {
        match self.pixels {
            // Photometric interpretation 3 is a palette of the file's own.
            Pixels::Indexed(_) if self.photometric == 3 => Color::Palette,
            Pixels::Indexed(_) => Color::Grey,
            Pixels::GreyAlpha => Color::GreyAlpha,
            Pixels::Rgb(Alpha::None) | Pixels::YCbCr => Color::Rgb,
            Pixels::Rgb(Alpha::Straight | Alpha::Associated) => Color::Rgba,
            Pixels::Cmyk => Color::Cmyk,
        }
    }

    /// Refuses what goes together with JPEG alone, or not with it.
    pub(super) fn check_jpeg(&self, is_jpeg: bool) -> Result<()> {
        match (&self.pixels, is_jpeg) {
            (Pixels::YCbCr, false) => Err(unsupported("YCbCr that is not compressed as JPEG")),
            (Pixels::YCbCr | Pixels::Indexed(_) | Pixels::Rgb(Alpha::None), true)
                if self.bits == 8
                    && !self.is_planar
                    && matches!((self.photometric, self.samples), (1, 1) | (2 | 6, 3)) =>
            {
                Ok(())
            }
            (_, true) => Err(unsupported("JPEG compression of other than grey, RGB or YCbCr")),
            (_, false) => Ok(()),
        }
    }

    /// Adobe's marker (T.872, 6.5.3), which tells a JPEG decoder whether its components are RGB or YCbCr: in a TIFF the tags do.
    pub(super) fn jpeg_color_marker(&self) -> &'static [u8] {
        match self.pixels {
            Pixels::Rgb(_) => b"\xFF\xEE\0\x0EAdobe\0\x64\0\0\0\0\0",
            Pixels::YCbCr => b"\xFF\xEE\0\x0EAdobe\0\x64\0\0\0\0\x01",
            _ => b"",
        }
    }

    /// Refuses a JPEG of another number of components than the tags say.
    pub(super) fn check_jpeg_components(&self, image: &jpeg::Image<'_>) -> Result<()> {
        match image.components() {
            found if found == self.samples => Ok(()),
            found => Err(corrupt(&format!("expected a JPEG of {} components, got {found}", self.samples))),
        }
    }

    /// How many pieces hold the samples of one place.
    pub(super) fn planes(&self) -> usize {
        if self.is_planar { self.samples } else { 1 }
    }

    /// Samples of a pixel in one piece.
    pub(super) fn samples_of_a_piece(&self) -> usize {
        if self.is_planar { 1 } else { self.samples }
    }

    /// Undoes horizontal differencing of a row (section 14).
    pub(super) fn undo_predictor(&self, row: &mut [u8]) {
        let samples = self.samples_of_a_piece();
        if self.bits == 8 {
            for at in samples..row.len() {
                row[at] = row[at].wrapping_add(row[at - samples]);
            }
            return;
        }
        let row = row.as_chunks_mut::<2>().0;
        for at in samples..row.len() {
            let (difference, before) = (row[at], row[at - samples]);
            row[at] = if self.is_little_endian {
                u16::from_le_bytes(difference).wrapping_add(u16::from_le_bytes(before)).to_le_bytes()
            } else {
                u16::from_be_bytes(difference).wrapping_add(u16::from_be_bytes(before)).to_be_bytes()
            };
        }
    }

    /// A row as samples of at most 8 bits, those of a pixel side by side: of 16 bits the high byte.
    pub(super) fn samples_of_8_bits<'r>(
        &self,
        planes: impl Iterator<Item = &'r [u8]>,
        columns: usize,
        line: &'r mut Vec<u8>,
    ) -> &'r [u8] {
        let mut planes = planes.peekable();
        if self.bits <= 8 && !self.is_planar {
            return planes.next().unwrap_or_default();
        }
        line.resize(columns * self.samples, 0);
        let size = self.bits / 8;
        let high = if self.is_little_endian { size - 1 } else { 0 };
        for (plane, row) in planes.enumerate() {
            let step = if self.is_planar { self.samples } else { 1 };
            let samples = row.iter().skip(high).step_by(size);
            line.iter_mut().skip(plane).step_by(step).zip(samples).for_each(|(out, &sample)| *out = sample);
        }
        line
    }

    /// Writes a row of pixels.
    pub(super) fn write(&self, samples: &[u8], mode: Mode, out: &mut [u8]) {
        let each = samples.chunks_exact(self.samples);
        match &self.pixels {
            Pixels::Indexed(palette) => {
                palette.paint(samples, self.bits.min(8), mode, out);
            }
            Pixels::GreyAlpha => pixels::write(each.map(|pixel| [pixel[0], pixel[0], pixel[0], pixel[1]]), mode, out),
            Pixels::Rgb(Alpha::None) | Pixels::YCbCr => {
                pixels::write(each.map(|pixel| [pixel[0], pixel[1], pixel[2], 255]), mode, out);
            }
            Pixels::Rgb(Alpha::Straight) => {
                pixels::write(each.map(|pixel| [pixel[0], pixel[1], pixel[2], pixel[3]]), mode, out);
            }
            Pixels::Rgb(Alpha::Associated) => {
                pixels::write(each.map(|pixel| divided([pixel[0], pixel[1], pixel[2], pixel[3]])), mode, out);
            }
            Pixels::Cmyk => {
                let rgb = each.map(|pixel| {
                    let mut rgb = [0; 3];
                    // The other conversion is of inverted ink.
                    color::inverted_cmyk_to_rgb(&[!pixel[0], !pixel[1], !pixel[2], !pixel[3]], &mut rgb);
                    [rgb[0], rgb[1], rgb[2], 255]
                });
                pixels::write(rgb, mode, out);
            }
        }
    }
}

/// Colours divided by the alpha that they were multiplied by, as Pillow does it.
fn divided([red, green, blue, alpha]: [u8; 4]) -> [u8; 4] {
    if alpha == 0 {
        return [0; 4];
    }
    let [red, green, blue] = [red, green, blue].map(|value| (u32::from(value) * 255 / u32::from(alpha)).min(255) as u8);
    [red, green, blue, alpha]
}

/// Section 5, the colour map: all reds, then greens, then blues, of 16 bits.
fn read_palette(directory: &Directory<'_>, bits: usize) -> Result<Palette> {
    let colors = 1 << bits;
    let Some(values) = directory.values(tag::COLORS)?.filter(|values| values.len() == 3 * colors) else {
        return Err(corrupt(&format!("expected a colour map of {colors} colours")));
    };
    let high = |at: usize| (values.get(at).unwrap_or_default() >> 8) as u8;
    Ok(Palette::new((0..colors).map(|color| [high(color), high(color + colors), high(color + 2 * colors)])))
}
