//! One member to one picture: read, check, decode, turn upright, resize, in one pass on one thread.

use std::ops::DerefMut;
use std::time::Instant;

use pixcrawler_resize::Filter;

use crate::codec::{self, Decoded, Decoder, Image, room};
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
    /// Deliver JPEGs that end too early, and say so.
    pub keep_truncated: bool,
    /// Bounds on untrusted input.
    pub limits: Limits,
}

/// Buffers that a thread keeps from image to image.
#[derive(Default)]
pub(crate) struct Scratch {
    pub(crate) inflated: Vec<u8>,
    pub(crate) buffers: Buffers,
}

#[derive(Default)]
pub(crate) struct Buffers {
    /// The picture as coded.
    pub(crate) coded: Vec<u8>,
    /// The picture upright.
    upright: Vec<u8>,
    pub(crate) codec: codec::Scratch,
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

/// A decoded picture in memory of its own.
#[derive(Debug)]
pub struct Picture<B> {
    /// Rows without gaps, and then whatever the memory has left.
    pub pixels: B,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Why it is not whole: with [`Options::keep_truncated`], the error that it would be else.
    pub flaw: Option<Error>,
}

/// A picture whose header was read, and the size that it will have.
struct Opened<'a> {
    image: Image<'a>,
    orientation: Orientation,
    height: usize,
    width: usize,
}

pub(crate) fn upright_size((width, height): (usize, usize), orientation: Orientation) -> (usize, usize) {
    if orientation.swaps_sides() { (height, width) } else { (width, height) }
}

impl<'a> Opened<'a> {
    fn new(bytes: &'a [u8], options: &Options) -> Result<Self> {
        let image = Image::open(bytes, &options.limits)?;
        let orientation = if options.apply_exif { image.orientation() } else { Orientation::Upright };
        let (width, height) = match options.resize {
            Some(resize) => (resize.width, resize.height),
            None => upright_size(image.size(), orientation),
        };
        Ok(Self { image, orientation, height, width })
    }
}

pub(crate) fn read<'a>(member: &Member<'a>, inflated: &'a mut Vec<u8>, context: &Context) -> Result<&'a [u8]> {
    let started = Instant::now();
    let limits = &context.options.limits;
    let bytes = read_member(member.directory, member.index, member.buffer, member.offset, inflated, limits)?;
    context.counters.read(started.elapsed(), bytes.len());
    Ok(bytes)
}

/// Reads a member and its picture's header: (height, width) of the output.
pub(crate) fn probe(member: &Member<'_>, scratch: &mut Scratch, context: &Context) -> Result<(usize, usize)> {
    let opened = Opened::new(read(member, &mut scratch.inflated, context)?, &context.options)?;
    Ok((opened.height, opened.width))
}

/// Reads and decodes a member into memory that is taken when its size is known; none if there is none for it.
pub(crate) fn decode_own<B: DerefMut<Target = [u8]>>(
    member: &Member<'_>,
    take: impl FnOnce(usize) -> Result<Option<B>>,
    scratch: &mut Scratch,
    context: &Context,
) -> Result<Option<Picture<B>>> {
    let Scratch { inflated, buffers } = scratch;
    let bytes = read(member, inflated, context)?;
    let started = Instant::now();
    let opened = Opened::new(bytes, &context.options)?;
    let (height, width) = (opened.height, opened.width);
    let length = height * width * context.options.mode.channels();
    let Some(mut pixels) = take(length)? else { return Ok(None) };
    let flaw = decode(opened, started, &mut pixels[..length], buffers, context)?;
    Ok(Some(Picture { pixels, height, width, flaw }))
}

/// Reads and decodes a member into `out`: `height` rows of `width` pixels. Gives why a picture that is kept is not whole.
pub(crate) fn decode_member(
    member: &Member<'_>,
    height: usize,
    width: usize,
    out: &mut [u8],
    scratch: &mut Scratch,
    context: &Context,
) -> Result<Option<Error>> {
    let Scratch { inflated, buffers } = scratch;
    let bytes = read(member, inflated, context)?;
    let started = Instant::now();
    let opened = Opened::new(bytes, &context.options)?;
    if (opened.height, opened.width) != (height, width) {
        let detail = format!("expected {height} x {width} (height x width), got {} x {}", opened.height, opened.width);
        return Err(Error::new(Code::ImageSize, detail));
    }
    decode(opened, started, out, buffers, context)
}

/// Decodes into `out`, which has the picture's size. Gives why a picture that is kept is not whole.
fn decode(
    opened: Opened<'_>,
    started: Instant,
    out: &mut [u8],
    buffers: &mut Buffers,
    context: &Context,
) -> Result<Option<Error>> {
    let Opened { mut image, orientation, height, width } = opened;
    let options = &context.options;
    let channels = options.mode.channels();
    if options.draft && options.resize.is_some() {
        image.draft(|coded_width, coded_height| {
            let (upright_width, upright_height) = upright_size((coded_width, coded_height), orientation);
            upright_width >= width && upright_height >= height
        });
    }
    let coded = image.size();
    let upright = upright_size(coded, orientation);
    let picture_bytes = coded.0 * coded.1 * channels;
    let is_upright = orientation == Orientation::Upright;
    let Buffers { coded: coded_buffer, upright: upright_buffer, codec, resize: resize_buffers } = buffers;
    let (mode, keep) = (options.mode, options.keep_truncated);
    if is_upright && (options.resize.is_none() || coded == (width, height)) {
        let mut share = context.working_set.take(image.working_bytes(mode));
        let Decoded { by, flaw } = image.decode_into(mode, keep, out, codec, &mut share)?;
        context.counters.decoded(by, started.elapsed());
        return Ok(flaw);
    }
    if let Some(resize) = options.resize
        && is_upright
        && image.has_bands(mode)
    {
        let _share = context.working_set.take(image.working_bytes(mode));
        if let Some(resizing) = resizing::in_bands(&mut image, mode, keep, resize, out, codec, resize_buffers)? {
            context.counters.decoded(Decoder::NativeJpeg, started.elapsed().saturating_sub(resizing));
            context.counters.resized(resizing);
            return Ok(None);
        }
    }
    let own_bytes = picture_bytes * if is_upright { 1 } else { 2 };
    let mut share = context.working_set.take(own_bytes + image.working_bytes(mode));
    let picture = room(coded_buffer, picture_bytes)?;
    let Decoded { by, flaw } = image.decode_into(mode, keep, picture, codec, &mut share)?;
    let Some(resize) = options.resize else {
        exif::apply(picture, coded.0, coded.1, channels, orientation, out);
        context.counters.decoded(by, started.elapsed());
        return Ok(flaw);
    };
    let picture = if is_upright {
        picture
    } else {
        let turned = room(upright_buffer, picture_bytes)?;
        exif::apply(picture, coded.0, coded.1, channels, orientation, turned);
        turned
    };
    context.counters.decoded(by, started.elapsed());
    let decoded = Instant::now();
    resizing::whole(picture, upright, mode, resize, out, resize_buffers)?;
    context.counters.resized(decoded.elapsed());
    Ok(flaw)
}
