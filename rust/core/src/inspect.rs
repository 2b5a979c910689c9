//! What pictures are, found by decoding all of each: for checking, where nobody wants the pixels.

use std::time::Instant;

use crate::batch::{Context, Member, Share, Shared, guarded};
use crate::codec::{Color, Decoder, Image, Kind, room};
use crate::sample::{self, Buffers, Scratch};
use crate::{Options, Result};

/// A picture that decodes to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inspected {
    /// Rows of the picture as it is delivered at its own size.
    pub height: usize,
    /// Columns of the same.
    pub width: usize,
    /// The file format.
    pub kind: Kind,
    /// EXIF's value, 1 to 8; 1 where there is none that can be read.
    pub orientation: u8,
    /// How the colours are coded.
    pub color: Color,
    /// Bits a channel, or an index into a palette, as coded.
    pub bits: usize,
    /// Who decoded it.
    pub decoder: Decoder,
}

/// Reads members, checks their CRC, and decodes each whole at its own size, keeping no pixels.
///
/// # Errors
/// What `run` returns.
pub fn inspect<E>(
    members: &[Member<'_>],
    context: &Context,
    run: impl FnOnce(Share<'_>) -> Result<(), E>,
) -> Result<Vec<Result<Inspected>>, E> {
    let shared = Shared::new(members.iter());
    run(&|stop| {
        shared.work(|_, member| Some(guarded(context, stop, |scratch| inspect_member(member, scratch, context))));
    })?;
    Ok(shared.finish())
}

fn inspect_member(member: &Member<'_>, scratch: &mut Scratch, context: &Context) -> Result<Inspected> {
    let Scratch { inflated, buffers } = scratch;
    let bytes = sample::read(member, inflated, context)?;
    let started = Instant::now();
    let options = &context.options;
    let image = Image::open(bytes, &options.limits)?;
    let (kind, color, bits, orientation) = (image.kind(), image.color(), image.bits(), image.orientation());
    let (width, height) =
        if options.apply_exif { sample::upright_size(image.size(), orientation) } else { image.size() };
    let decoder = decode(image, options, buffers, context)?;
    context.counters.decoded(decoder, started.elapsed());
    Ok(Inspected { height, width, kind, orientation: orientation as u8, color, bits, decoder })
}

fn decode(mut image: Image<'_>, options: &Options, buffers: &mut Buffers, context: &Context) -> Result<Decoder> {
    let Buffers { coded, codec, .. } = buffers;
    let (mode, keep) = (options.mode, options.keep_truncated);
    let (width, height) = image.size();
    if image.has_bands(mode) {
        // Rows are let go of as they are made: no memory for the picture, and none to write through.
        let _share = context.working_set.take(image.working_bytes(mode));
        if image.decode_bands(mode, keep, 0..height, codec, &mut |_| {})? {
            return Ok(Decoder::NativeJpeg);
        }
    }
    let picture_bytes = width * height * mode.channels();
    let mut share = context.working_set.take(picture_bytes + image.working_bytes(mode));
    Ok(image.decode_into(mode, keep, room(coded, picture_bytes)?, codec, &mut share)?.by)
}
