//! One member to one picture: read, check, decode, turn upright, resize, in one pass on one thread.

use std::borrow::Cow;
use std::time::Instant;

use pixcrawler_resize::Filter;

use crate::codec::{self, Decoder, Image, room};
use crate::context::{Context, Member};
use crate::exif::{self, Orientation};
use crate::inflate::read_member;
use crate::{Code, Error, Limits, Result, resizing};

/// What a pixel of the output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// One byte: luma.
    Grey,
    /// Three bytes.
    Rgb,
    /// Four bytes, alpha not multiplied in.
    Rgba,
}

impl Mode {
    /// Bytes a pixel.
    #[must_use]
    pub const fn channels(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::Rgb => 3,
            Self::Rgba => 4,
        }
    }
}

/// How a picture is brought to another ratio of its sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// Both sides are scaled by themselves: Pillow's `resize`.
    Stretch,
    /// Scaled to cover, the overhanging sides cut: torchvision's `Resize` then `CenterCrop`.
    Crop,
    /// Scaled to fit inside, the rest left black: Pillow's `ImageOps.pad(color=0)`.
    Pad,
}

/// The size that every picture gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resize {
    /// Rows of the output.
    pub height: usize,
    /// Columns of the output.
    pub width: usize,
    /// What happens to pictures of another ratio.
    pub fit: Fit,
    /// How pixels are weighted.
    pub filter: Filter,
}

/// How members become pictures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Pixel format of the output.
    pub mode: Mode,
    /// Size of the output; each picture's own if none.
    pub resize: Option<Resize>,
    /// Turn pictures as their EXIF orientation says.
    pub apply_exif: bool,
    /// Let JPEGs be decoded at a fraction of their size where that still covers the output; changes pixels.
    pub draft: bool,
    /// Deliver JPEGs that end too early.
    pub keep_truncated: bool,
    /// Bounds on untrusted input.
    pub limits: Limits,
}

/// Buffers that a thread keeps from image to image.
#[derive(Default)]
pub(crate) struct Scratch {
    pub(crate) inflated: Vec<u8>,
    buffers: Buffers,
}

#[derive(Default)]
struct Buffers {
    /// The picture as coded.
    coded: Vec<u8>,
    /// The picture upright.
    upright: Vec<u8>,
    codec: codec::Scratch,
    resize: pixcrawler_resize::Scratch,
}

impl Scratch {
    /// Gives back what exceeds `bytes` a buffer, so that one huge picture does not stay paid for.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        let Buffers { coded, upright, codec, .. } = &mut self.buffers;
        for buffer in [&mut self.inflated, coded, upright, &mut codec.converted] {
            if buffer.capacity() > bytes {
                *buffer = Vec::new();
            }
        }
    }
}

/// A member's bytes, checked, and the size that the picture in them will have.
#[derive(Debug)]
pub struct Opened<'a> {
    bytes: Cow<'a, [u8]>,
    /// Rows of the output.
    pub height: usize,
    /// Columns of the output.
    pub width: usize,
}

fn upright_size((width, height): (usize, usize), orientation: Orientation) -> (usize, usize) {
    if orientation.swaps_sides() { (height, width) } else { (width, height) }
}

fn orientation(image: &Image<'_>, options: &Options) -> Orientation {
    if options.apply_exif { image.orientation() } else { Orientation::Upright }
}

/// Reads a member and its picture's header.
pub(crate) fn open<'a>(member: &Member<'a>, context: &Context) -> Result<Opened<'a>> {
    let mut inflated = Vec::new();
    let started = Instant::now();
    let limits = &context.options.limits;
    let bytes = read_member(member.directory, member.index, member.buffer, member.offset, &mut inflated, limits)?;
    context.counters.read(started.elapsed(), bytes.len());
    let image = Image::open(bytes, limits)?;
    let (width, height) = match context.options.resize {
        Some(resize) => (resize.width, resize.height),
        None => upright_size(image.size(), orientation(&image, &context.options)),
    };
    drop(image);
    // A stored member is a part of the segment and stays there; an inflated one moves along.
    let stored = bytes.as_ptr_range();
    let buffer = member.buffer.as_ptr_range();
    let is_borrowed = buffer.start <= stored.start && stored.end <= buffer.end;
    let bytes = if is_borrowed {
        let start = stored.start as usize - buffer.start as usize;
        Cow::Borrowed(&member.buffer[start..start + bytes.len()])
    } else {
        Cow::Owned(inflated)
    };
    Ok(Opened { bytes, height, width })
}

/// Decodes an opened member into `out`, which has its size.
pub(crate) fn decode_opened(
    opened: &Opened<'_>,
    out: &mut [u8],
    scratch: &mut Scratch,
    context: &Context,
) -> Result<()> {
    decode(&opened.bytes, opened.height, opened.width, out, &mut scratch.buffers, context)
}

/// Reads and decodes a member into `out`: `height` rows of `width` pixels.
pub(crate) fn decode_member(
    member: &Member<'_>,
    height: usize,
    width: usize,
    out: &mut [u8],
    scratch: &mut Scratch,
    context: &Context,
) -> Result<()> {
    let started = Instant::now();
    let Scratch { inflated, buffers } = scratch;
    let limits = &context.options.limits;
    let bytes = read_member(member.directory, member.index, member.buffer, member.offset, inflated, limits)?;
    context.counters.read(started.elapsed(), bytes.len());
    decode(bytes, height, width, out, buffers, context)
}

fn decode(
    bytes: &[u8],
    height: usize,
    width: usize,
    out: &mut [u8],
    buffers: &mut Buffers,
    context: &Context,
) -> Result<()> {
    let options = &context.options;
    let channels = options.mode.channels();
    let started = Instant::now();
    let mut image = Image::open(bytes, &options.limits)?;
    let orientation = orientation(&image, options);
    if options.draft && options.resize.is_some() {
        image.draft(|coded_width, coded_height| {
            let (upright_width, upright_height) = upright_size((coded_width, coded_height), orientation);
            upright_width >= width && upright_height >= height
        });
    }
    let coded = image.size();
    let upright = upright_size(coded, orientation);
    if options.resize.is_none() && upright != (width, height) {
        let detail = format!("expected {height} x {width} (height x width), got {} x {}", upright.1, upright.0);
        return Err(Error::new(Code::ImageSize, detail));
    }
    let picture_bytes = coded.0 * coded.1 * channels;
    let is_upright = orientation == Orientation::Upright;
    let Buffers { coded: coded_buffer, upright: upright_buffer, codec, resize: resize_buffers } = buffers;
    let (mode, keep) = (options.mode, options.keep_truncated);
    if is_upright && (options.resize.is_none() || coded == (width, height)) {
        let _share = context.working_set.take(image.working_bytes(mode));
        let decoder = image.decode_into(mode, keep, out, codec)?;
        context.counters.decoded(decoder, started.elapsed());
        return Ok(());
    }
    if let Some(resize) = options.resize
        && is_upright
        && image.has_bands(mode)
    {
        let _share = context.working_set.take(image.working_bytes(mode));
        if let Some(resizing) = resizing::in_bands(&mut image, mode, keep, resize, out, codec, resize_buffers)? {
            context.counters.decoded(Decoder::NativeJpeg, started.elapsed().saturating_sub(resizing));
            context.counters.resized(resizing);
            return Ok(());
        }
    }
    let own_bytes = picture_bytes * if is_upright { 1 } else { 2 };
    let _share = context.working_set.take(own_bytes + image.working_bytes(mode));
    let picture = room(coded_buffer, picture_bytes)?;
    let decoder = image.decode_into(mode, keep, picture, codec)?;
    let Some(resize) = options.resize else {
        exif::apply(picture, coded.0, coded.1, channels, orientation, out);
        context.counters.decoded(decoder, started.elapsed());
        return Ok(());
    };
    let picture = if is_upright {
        picture
    } else {
        let turned = room(upright_buffer, picture_bytes)?;
        exif::apply(picture, coded.0, coded.1, channels, orientation, turned);
        turned
    };
    context.counters.decoded(decoder, started.elapsed());
    let decoded = Instant::now();
    resizing::whole(picture, upright, mode, resize, out, resize_buffers)?;
    context.counters.resized(decoded.elapsed());
    Ok(())
}
