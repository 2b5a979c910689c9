//! GIF (GIF89a specification): the first picture on its canvas, as Pillow shows it.

use weezl::BitOrder;
use weezl::decode::{Configuration, Decoder};

use super::bytes::Bytes;
use super::pixels::Palette;
use super::{Color, MOST_OF_LZW, check_pixels, check_sides, check_yield, room};
use crate::{Code, Error, Limits, Mode, Result};

pub(crate) struct Image<'a> {
    canvas: (usize, usize),
    frame: Frame,
    /// Red, green and blue of each index; none for greys.
    colors: Option<&'a [[u8; 3]]>,
    transparent: Option<u8>,
    /// The compressed pixels: sub-blocks, and whatever follows them.
    blocks: &'a [u8],
    code_bits: u8,
}

/// The place of the picture on the canvas.
struct Frame {
    left: usize,
    top: usize,
    width: usize,
    height: usize,
    interlaced: bool,
}

impl<'a> Image<'a> {
    pub(super) fn open(bytes: &'a [u8], limits: &Limits) -> Result<Self> {
        // Section 18, the logical screen descriptor, behind 6 bytes of signature.
        let mut input = Bytes::at(bytes, 6);
        let screen = (usize::from(input.u16_le()?), usize::from(input.u16_le()?));
        let [flags, _background, _aspect] = input.array()?;
        let global = read_palette(&mut input, flags)?;
        let mut transparent = None;
        loop {
            match input.u8()? {
                b',' => break,
                b';' => return Err(Error::new(Code::CorruptImage, "no picture before the end mark")),
                b'!' => {
                    let label = input.u8()?;
                    let block = sub_block(&mut input)?;
                    // Section 23, the graphic control extension: the lowest flag says that an index is transparent.
                    if label == 0xF9 && block.first().is_some_and(|flags| flags & 1 != 0) {
                        transparent = block.get(3).copied().or(transparent);
                    }
                    let mut rest = block;
                    while !rest.is_empty() {
                        rest = sub_block(&mut input)?;
                    }
                }
                // Pillow skips what stands between blocks.
                _ => {}
            }
        }
        // Section 20, the image descriptor.
        let [left, top, width, height] =
            [input.u16_le()?, input.u16_le()?, input.u16_le()?, input.u16_le()?].map(usize::from);
        let flags = input.u8()?;
        let local = read_palette(&mut input, flags)?;
        let code_bits = input.u8()?;
        // A frame that overhangs widens the canvas.
        let canvas = (screen.0.max(left + width), screen.1.max(top + height));
        check_sides((width.min(canvas.0), height.min(canvas.1)))?;
        check_pixels(canvas, limits)?;
        if !(1..=11).contains(&code_bits) {
            return Err(Error::new(Code::CorruptImage, format!("expected LZW codes of 1 to 11 bits, got {code_bits}")));
        }
        check_yield(input.rest().len() as u64, MOST_OF_LZW, width as u64 * height as u64)?;
        let colors = local.or(global);
        let frame = Frame { left, top, width, height, interlaced: flags & 0x40 != 0 };
        Ok(Self { canvas, frame, colors, transparent, blocks: input.rest(), code_bits })
    }

    pub(super) fn size(&self) -> (usize, usize) {
        self.canvas
    }

    pub(super) fn color(&self) -> Color {
        if self.colors.is_some() { Color::Palette } else { Color::Grey }
    }

    pub(super) fn working_bytes(&self) -> usize {
        // The frame's indices, and the tables of LZW.
        self.frame.width * self.frame.height + (64 << 10)
    }

    pub(super) fn decode_into(self, mode: Mode, out: &mut [u8], scratch: &mut Vec<u8>) -> Result<()> {
        let Frame { left, top, width, height, interlaced } = self.frame;
        let indices = room(scratch, width * height)?;
        inflate(self.blocks, self.code_bits, indices)?;
        let mut palette = match self.colors {
            Some(colors) => Palette::new(colors.iter().copied()),
            None => Palette::greys(8, false),
        };
        if let Some(index) = self.transparent {
            palette.set_transparent(index);
        }
        let (canvas_width, channels) = (self.canvas.0, mode.channels());
        if (width, height) != self.canvas {
            // Around the frame the canvas is transparent, or else of the first colour.
            let background = [self.transparent.unwrap_or(0)];
            out.chunks_exact_mut(channels).for_each(|pixel| {
                palette.paint(&background, 8, mode, pixel);
            });
        }
        for (row, y) in indices.chunks_exact(width).zip(row_order(height, interlaced)) {
            let start = ((top + y) * canvas_width + left) * channels;
            palette.paint(row, 8, mode, &mut out[start..start + width * channels]);
        }
        Ok(())
    }
}

/// The colour table that a descriptor's flags announce (sections 19 and 21): 2 to 256 colours.
fn read_palette<'a>(input: &mut Bytes<'a>, flags: u8) -> Result<Option<&'a [[u8; 3]]>> {
    if flags & 0x80 == 0 {
        return Ok(None);
    }
    let colors = input.take(3 << ((flags & 7) + 1))?;
    Ok(Some(colors.as_chunks::<3>().0))
}

/// The next sub-block (section 15); an empty one ends a sequence.
fn sub_block<'a>(input: &mut Bytes<'a>) -> Result<&'a [u8]> {
    let length = input.u8()?;
    input.take(usize::from(length))
}

/// The rows of a picture in the order in which they are stored (appendix E).
fn row_order(height: usize, interlaced: bool) -> impl Iterator<Item = usize> {
    let passes: &[(usize, usize)] = if interlaced { &[(0, 8), (4, 8), (2, 4), (1, 2)] } else { &[(0, 1)] };
    passes.iter().flat_map(move |&(first, step)| (first..height).step_by(step))
}

/// Fills `indices` from LZW data in sub-blocks; what is beyond them is not read.
fn inflate(blocks: &[u8], code_bits: u8, indices: &mut [u8]) -> Result<()> {
    let expected = indices.len();
    let mut decoder: Decoder = Configuration::new(BitOrder::Lsb, code_bits).with_yield_on_full_buffer(true).build();
    let mut input = Bytes::at(blocks, 0);
    let mut filled = 0;
    while filled < expected {
        let mut block = sub_block(&mut input)?;
        if block.is_empty() {
            return Err(Error::new(Code::CorruptImage, format!("expected {expected} pixels, got {filled}")));
        }
        // Until there is no progress: the decoder holds codes back when its input ends.
        while filled < expected {
            let step = decoder.decode_bytes(block, &mut indices[filled..]);
            if let Err(error) = step.status {
                return Err(Error::new(Code::CorruptImage, format!("{error} after {filled} of {expected} pixels")));
            }
            filled += step.consumed_out;
            block = &block[step.consumed_in..];
            if decoder.has_ended() || (step.consumed_in, step.consumed_out) == (0, 0) {
                break;
            }
        }
        if decoder.has_ended() && filled < expected {
            return Err(Error::new(Code::CorruptImage, format!("expected {expected} pixels, got {filled}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interlaced_rows_come_in_four_passes() {
        let order: Vec<usize> = row_order(10, true).collect();
        assert_eq!(order, [0, 8, 4, 2, 6, 1, 3, 5, 7, 9]);
        for height in 1..40 {
            let mut rows: Vec<usize> = row_order(height, true).collect();
            rows.sort_unstable();
            assert!(rows.into_iter().eq(0..height));
        }
    }
}
