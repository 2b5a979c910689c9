//! One face for both decoders: the own one for what it takes, libjpeg-turbo for the rest. Their pixels are equal.

use std::sync::OnceLock;

use crate::back::{self, Kernel, Layout, Target, Transform};
use crate::header::{self, Picture};
use crate::native::{self, Refusal, Scratch};
use crate::{Color, Error, ErrorKind, Header, PixelFormat, Region, Scale, turbo};

/// Who decodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decoder {
    /// The decoder of this crate.
    Native,
    /// libjpeg-turbo.
    Turbo,
}

impl Decoder {
    /// What [`Jpeg::open`] prefers: what `PIXCRAWLER_JPEG` says (`native` or `turbo`), else the own decoder where it has
    /// vector code. Without that libjpeg-turbo, which has it for more processors, is faster.
    #[must_use]
    pub fn preferred() -> Self {
        static CHOICE: OnceLock<Decoder> = OnceLock::new();
        *CHOICE.get_or_init(|| match std::env::var("PIXCRAWLER_JPEG").as_deref() {
            Ok("native") => Self::Native,
            Ok("turbo") => Self::Turbo,
            _ if Kernel::in_use() == Kernel::Scalar => Self::Turbo,
            _ => Self::Native,
        })
    }
}

/// What to make of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// The pixels.
    pub format: PixelFormat,
    /// The size.
    pub scale: Scale,
    /// The part that is wanted, in pixels of the full size; all if none. Not together with a scale.
    pub region: Option<Region>,
    /// Deliver what libjpeg-turbo makes of damage instead of refusing it.
    pub keep_damaged: bool,
}

impl Wanted {
    /// The whole picture at its size, damage refused.
    #[must_use]
    pub const fn whole(format: PixelFormat) -> Self {
        Self { format, scale: Scale::Full, region: None, keep_damaged: false }
    }
}

/// A JPEG whose header was read and found decodable.
pub struct Jpeg<'a> {
    bytes: &'a [u8],
    header: Header,
    source: Source<'a>,
}

enum Source<'a> {
    Native(Box<Picture>),
    Turbo(turbo::Jpeg<'a>),
}

impl<'a> Jpeg<'a> {
    /// Reads the header, for the preferred decoder if it takes the image.
    ///
    /// # Errors
    /// The header is damaged, or announces a process that is not decoded (lossless, other than 8 bits a sample, other than
    /// 1, 3 or 4 components).
    pub fn open(bytes: &'a [u8]) -> Result<Self, Error> {
        Self::open_with(bytes, Decoder::preferred())
    }

    /// Reads the header for a decoder of the caller's choice; what the own one does not take goes to libjpeg-turbo.
    ///
    /// # Errors
    /// As [`Jpeg::open`].
    pub fn open_with(bytes: &'a [u8], decoder: Decoder) -> Result<Self, Error> {
        if decoder == Decoder::Native
            && let Some(picture) = header::parse(bytes)
        {
            return Ok(Self { bytes, header: picture.header, source: Source::Native(Box::new(picture)) });
        }
        let jpeg = turbo::Jpeg::open(bytes)?;
        Ok(Self { bytes, header: jpeg.header(), source: Source::Turbo(jpeg) })
    }

    /// What the header says.
    #[must_use]
    pub const fn header(&self) -> Header {
        self.header
    }

    /// Who is going to decode.
    #[must_use]
    pub const fn decoder(&self) -> Decoder {
        match self.source {
            Source::Native(_) => Decoder::Native,
            Source::Turbo(_) => Decoder::Turbo,
        }
    }

    /// Bytes that decoding needs beside its output, about.
    #[must_use]
    pub fn working_bytes(&self) -> usize {
        let Header { width, height, color, several_scans, .. } = self.header;
        let components = match color {
            Color::Grey => 1,
            Color::Rgb => 3,
            Color::Cmyk => 4,
        };
        match &self.source {
            // The scans without stuffing, and the places of their restart markers, of which a file may consist; rings of two
            // MCU rows of samples and the upsampled ones; of several scans a row of coefficients with their bit planes, four
            // bytes each, and each scan's tables.
            Source::Native(picture) => {
                let has_restarts = picture.scans.iter().any(|scan| scan.restart_interval > 0);
                let scans = self.bytes.len() * if has_restarts { 5 } else { 1 };
                let max_v = picture.components.iter().map(|component| component.v).max().unwrap_or(1);
                let row = (width.next_multiple_of(32) + 128) * components * 8 * max_v.next_power_of_two();
                let tables = if several_scans { picture.scans.len() << 14 } else { 0 };
                scans + row * if several_scans { 7 } else { 3 } + tables
            }
            // All coefficients of several scans, two bytes each, and an MCU row of samples; sides are filled up to whole MCUs.
            // Copies of the file, where markers are mended for it.
            Source::Turbo(_) => {
                let (width, height) = (width.next_multiple_of(32), height.next_multiple_of(32));
                let coefficients = if several_scans { width * height * components * 2 } else { 0 };
                2 * self.bytes.len() + coefficients + width * components * 3 * 32
            }
        }
    }

    /// Sides of the output (width, height).
    fn output_size(&self, wanted: &Wanted) -> Result<(usize, usize), Error> {
        let Header { width, height, color, .. } = self.header;
        let fits = match color {
            Color::Grey => wanted.format != PixelFormat::Cmyk,
            Color::Rgb => matches!(wanted.format, PixelFormat::Rgb | PixelFormat::Rgba),
            Color::Cmyk => wanted.format == PixelFormat::Cmyk,
        };
        let refused = |message: String| Err(Error::new(ErrorKind::Parameter, message));
        if !fits {
            return refused(format!("{color:?} cannot be had as {:?}", wanted.format));
        }
        let Some(region) = wanted.region else { return Ok((wanted.scale.apply(width), wanted.scale.apply(height))) };
        let is_inside = |start: usize, length: usize, side| length > 0 && start < side && length <= side - start;
        let is_part = is_inside(region.x, region.width, width) && is_inside(region.y, region.height, height);
        if wanted.scale != Scale::Full || !is_part {
            return refused(format!("{region:?} is no part of {width} x {height} pixels at full size"));
        }
        Ok((region.width, region.height))
    }

    fn check_length(&self, wanted: &Wanted, out: &[u8]) -> Result<(), Error> {
        let (width, height) = self.output_size(wanted)?;
        // Sides are at most 65,535 (T.81 B.2.2): the products fit 64 bits.
        let expected = width * height * wanted.format.channels();
        if out.len() != expected {
            let message = format!("expected a buffer of {expected} bytes, got {}", out.len());
            return Err(Error::new(ErrorKind::Parameter, message));
        }
        Ok(())
    }

    /// Decodes into `out`, rows without gaps: height x width x `format.channels()` bytes of the scaled size or of the region.
    ///
    /// Says who decoded: what the own decoder cannot judge libjpeg-turbo decodes once more.
    ///
    /// # Errors
    /// `out` has another length, `format` does not fit the image's colours, the region is outside, or the data is damaged; the
    /// content of `out` is unspecified then.
    pub fn decode_into(&mut self, wanted: &Wanted, out: &mut [u8], scratch: &mut Scratch) -> Result<Decoder, Error> {
        self.check_length(wanted, out)?;
        if self.decode_native(wanted, Target::Picture(out), scratch)? {
            return Ok(Decoder::Native);
        }
        self.decode_turbo(wanted, out)?;
        Ok(Decoder::Turbo)
    }

    /// Decodes as [`Jpeg::decode_into`] does, with the own decoder alone.
    ///
    /// Gives false if libjpeg-turbo has to decode this image: [`Jpeg::decode_into`] does it, and [`Jpeg::working_bytes`] are
    /// what that needs.
    ///
    /// # Errors
    /// As [`Jpeg::decode_into`].
    pub fn decode_own_into(&mut self, wanted: &Wanted, out: &mut [u8], scratch: &mut Scratch) -> Result<bool, Error> {
        self.check_length(wanted, out)?;
        self.decode_native(wanted, Target::Picture(out), scratch)
    }

    /// Decodes with the own decoder, handing over whole rows of pixels as they come: the number of the first and the rows
    /// without gaps, top to bottom, a few at a time.
    ///
    /// Gives false if libjpeg-turbo has to decode this image: what was handed over is void then, and
    /// [`Jpeg::decode_into`] does it.
    ///
    /// # Errors
    /// As [`Jpeg::decode_into`]; what was handed over is void then.
    pub fn decode_bands(
        &mut self,
        wanted: &Wanted,
        each: &mut dyn FnMut(usize, &[u8]),
        scratch: &mut Scratch,
    ) -> Result<bool, Error> {
        self.output_size(wanted)?;
        self.decode_native(wanted, Target::Bands(each), scratch)
    }

    /// Whether the own decoder did it. If it cannot, libjpeg-turbo takes the image over.
    fn decode_native<'t>(
        &mut self,
        wanted: &Wanted,
        target: Target<'t>,
        scratch: &'t mut Scratch,
    ) -> Result<bool, Error> {
        let Source::Native(picture) = &self.source else { return Ok(false) };
        if !wanted.keep_damaged {
            let layout = layout(picture, wanted);
            match native::decode(picture, self.bytes, Kernel::in_use(), &layout, target, scratch) {
                Ok(()) => return Ok(true),
                Err(Refusal::Damaged(error)) => return Err(error),
                Err(Refusal::AskTurbo) => {}
            }
        }
        self.source = Source::Turbo(turbo::Jpeg::open(self.bytes)?);
        Ok(false)
    }

    fn decode_turbo(&mut self, wanted: &Wanted, out: &mut [u8]) -> Result<(), Error> {
        let Source::Turbo(jpeg) = &mut self.source else { return Ok(()) };
        let Some(region) = wanted.region else {
            return jpeg.decode_into(wanted.format, wanted.scale, wanted.keep_damaged, out);
        };
        let channels = wanted.format.channels();
        let Header { width, height, .. } = self.header;
        let bytes = width * height * channels;
        let mut whole = Vec::new();
        if whole.try_reserve_exact(bytes).is_err() {
            return Err(Error::new(ErrorKind::OutOfMemory, format!("no {bytes} bytes for the whole picture")));
        }
        whole.resize(bytes, 0);
        jpeg.decode_into(wanted.format, Scale::Full, wanted.keep_damaged, &mut whole)?;
        let rows = whole.chunks_exact(width * channels).skip(region.y);
        for (to, from) in out.chunks_exact_mut(region.width * channels).zip(rows) {
            to.copy_from_slice(&from[region.x * channels..][..to.len()]);
        }
        Ok(())
    }
}

fn layout(picture: &Picture, wanted: &Wanted) -> Layout {
    let Header { width, height, .. } = picture.header;
    let component = |part: &header::Component| back::Component { h: part.h, v: part.v, quant: part.quant };
    Layout {
        width,
        height,
        components: picture.components.iter().map(component).collect(),
        transform: if picture.is_ycc { Transform::YccToRgb } else { Transform::None },
        format: wanted.format,
        scale: wanted.scale,
        region: wanted.region,
    }
}
