//! What several formats share: palettes, and rows of pixels in the wanted mode.

use crate::{Mode, color};

/// Colours by index, each with its alpha and its luma; indices without a colour are opaque black.
pub(super) struct Palette {
    colors: [[u8; 4]; 256],
    lumas: [u8; 256],
}

impl Palette {
    /// A palette of up to 256 colours (red, green, blue), opaque.
    pub(super) fn new(colors: impl IntoIterator<Item = [u8; 3]>) -> Self {
        let mut palette = Self { colors: [[0, 0, 0, 255]; 256], lumas: [0; 256] };
        for ((own, luma), rgb) in palette.colors.iter_mut().zip(&mut palette.lumas).zip(colors) {
            own[..3].copy_from_slice(&rgb);
            color::rgb_to_grey(&rgb, std::slice::from_mut(luma));
        }
        palette
    }

    /// Greys of 1, 2, 4 or 8 bits, from black to white or the other way round.
    pub(super) fn greys(bits: usize, is_white_zero: bool) -> Self {
        let top = (1 << bits) - 1;
        Self::new((0..=top).map(|level| {
            let grey = (level * 255 / top) as u8;
            [if is_white_zero { 255 - grey } else { grey }; 3]
        }))
    }

    /// The alpha of the first colours.
    pub(super) fn set_alpha(&mut self, alpha: impl IntoIterator<Item = u8>) {
        self.colors.iter_mut().zip(alpha).for_each(|(color, alpha)| color[3] = alpha);
    }

    /// Makes one colour fully transparent.
    pub(super) fn set_transparent(&mut self, index: u8) {
        self.colors[usize::from(index)][3] = 0;
    }

    /// Writes a row of pixels from indices of 1, 2, 4 or 8 bits, the first in a byte's high bits; returns the highest index.
    ///
    /// `out` holds whole pixels of `mode`; `packed` at least as many indices.
    pub(super) fn paint(&self, packed: &[u8], bits: usize, mode: Mode, out: &mut [u8]) -> u8 {
        match mode {
            Mode::Grey => paint(packed, bits, out.as_chunks_mut().0, |index| [self.lumas[index]]),
            Mode::Rgb => paint(packed, bits, out.as_chunks_mut().0, |index| {
                let [red, green, blue, _] = self.colors[index];
                [red, green, blue]
            }),
            Mode::Rgba => paint(packed, bits, out.as_chunks_mut().0, |index| self.colors[index]),
        }
    }
}

fn paint<const CHANNELS: usize>(
    packed: &[u8],
    bits: usize,
    out: &mut [[u8; CHANNELS]],
    color: impl Fn(usize) -> [u8; CHANNELS],
) -> u8 {
    let mut highest = 0;
    if bits == 8 {
        for (pixel, &index) in out.iter_mut().zip(packed) {
            highest = highest.max(index);
            *pixel = color(usize::from(index));
        }
        return highest;
    }
    for (pixels, &byte) in out.chunks_mut(8 / bits).zip(packed) {
        let mut rest = byte;
        for pixel in pixels {
            let index = rest >> (8 - bits);
            rest <<= bits;
            highest = highest.max(index);
            *pixel = color(usize::from(index));
        }
    }
    highest
}

/// Writes a row of pixels of red, green, blue and alpha.
pub(super) fn write(pixels: impl Iterator<Item = [u8; 4]>, mode: Mode, out: &mut [u8]) {
    for (out, [red, green, blue, alpha]) in out.chunks_exact_mut(mode.channels()).zip(pixels) {
        match mode {
            Mode::Grey => color::rgb_to_grey(&[red, green, blue], out),
            Mode::Rgb => out.copy_from_slice(&[red, green, blue]),
            Mode::Rgba => out.copy_from_slice(&[red, green, blue, alpha]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_are_unpacked_from_the_high_bits_on() {
        for (bits, packed, expected) in [
            (1, &[0b1010_0000, 0b1000_0000][..], [1, 0, 1, 0, 0, 0, 0, 0, 1]),
            (2, &[0b0001_1011, 0b1110_0100, 0b0100_0000][..], [0, 1, 2, 3, 3, 2, 1, 0, 1]),
            (4, &[0x01, 0x23, 0x45, 0x67, 0x8F][..], [0, 1, 2, 3, 4, 5, 6, 7, 8]),
            (8, &[9, 8, 7, 6, 5, 4, 3, 2, 1][..], [9, 8, 7, 6, 5, 4, 3, 2, 1]),
        ] {
            let palette = Palette::new((0..16).map(|value| [value; 3]));
            let mut out = [0; 9];
            let highest = palette.paint(packed, bits, Mode::Grey, &mut out);
            assert_eq!((out, Some(&highest)), (expected, expected.iter().max()), "{bits} bits");
        }
    }
}
