//! The own decoder against libjpeg-turbo over the same bytes.

use pixcrawler_jpeg::{Color, Decoder, Error, Header, Jpeg, PixelFormat, Region, Scale, Scratch, Wanted};

/// What came of a file that is as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// libjpeg-turbo decides alone, from the headers on.
    Left,
    /// The own decoder took it, and then asked libjpeg-turbo.
    Asked,
    /// Both deliver the same pixels.
    Equal,
    /// Both refuse; with the own decoder's reason.
    Refused(Error),
    /// The own decoder refuses what libjpeg-turbo takes without a word.
    Stricter(Error),
    /// The picture is too large to compare; the own decoder alone was run, and came back.
    Large,
}

/// Pictures of more pixels are not compared.
pub(crate) const MAX_PIXELS: usize = 1 << 24;

/// Decodes `wanted` with both and compares.
///
/// # Errors
/// What must not be: a difference, or a picture that libjpeg-turbo warns of and the own decoder calls good. That the end
/// marker is missing is no such damage, since all MCUs are there: libjpeg-turbo sees such a file with the marker.
pub(crate) fn compare(bytes: &[u8], wanted: &Wanted, scratch: &mut Scratch) -> Result<Verdict, String> {
    let (own, theirs) = (Jpeg::open_with(bytes, Decoder::Native), Jpeg::open_with(bytes, Decoder::Turbo));
    let mut own = match (own, theirs) {
        (Ok(own), _) if own.decoder() == Decoder::Turbo => return Ok(Verdict::Left),
        (Ok(own), Ok(theirs)) if own.header() == theirs.header() => own,
        (Ok(own), Ok(theirs)) => return Err(format!("headers: {:?}, expected {:?}", own.header(), theirs.header())),
        (Ok(_), Err(error)) => return Err(format!("the header is called good, libjpeg-turbo says {error}")),
        (Err(_), Err(_)) => return Ok(Verdict::Left),
        (Err(error), Ok(_)) => return Err(format!("the header is refused: {error}, libjpeg-turbo takes it")),
    };
    let (width, height) = output_size(&own.header(), wanted);
    if own.header().width * own.header().height > MAX_PIXELS {
        let _ = own.decode_bands(wanted, &mut |_, _| {}, scratch);
        return Ok(Verdict::Large);
    }
    let mut pixels = vec![0x55; width * height * wanted.format.channels()];
    let decoded = own.decode_into(wanted, &mut pixels, scratch);
    if own.decoder() == Decoder::Turbo {
        return Ok(Verdict::Asked);
    }
    let mut expected = decode_turbo(bytes, wanted, pixels.len());
    if expected.as_ref().is_err_and(|error| error.message() == "Premature end of JPEG file") {
        expected = decode_turbo(&[bytes, &[0xFF, 0xD9]].concat(), wanted, pixels.len());
    }
    match (decoded, expected) {
        (Ok(_), Ok(expected)) => match pixels.iter().zip(&expected).position(|(own, expected)| own != expected) {
            None => Ok(Verdict::Equal),
            Some(at) => {
                let pixel = at / wanted.format.channels();
                Err(format!("another pixel at row {}, column {} of {width} x {height}", pixel / width, pixel % width))
            }
        },
        (Ok(_), Err(error)) => Err(format!("a picture is called good, libjpeg-turbo says {error}")),
        (Err(error), Err(_)) => Ok(Verdict::Refused(error)),
        (Err(error), Ok(_)) => Ok(Verdict::Stricter(error)),
    }
}

/// Decodes `wanted` in bands, whose rows must come in order and be those of the whole.
///
/// # Errors
/// They are not, or the one is refused and the other is not.
pub(crate) fn compare_bands(bytes: &[u8], wanted: &Wanted, scratch: &mut Scratch) -> Result<(), String> {
    let Ok(mut jpeg) = Jpeg::open_with(bytes, Decoder::Native) else { return Ok(()) };
    let (width, height) = output_size(&jpeg.header(), wanted);
    let pitch = width * wanted.format.channels();
    let (mut rows, mut in_order) = (Vec::new(), true);
    let mut take = |first: usize, band: &[u8]| {
        in_order &= first * pitch == rows.len() && !band.is_empty() && band.len().is_multiple_of(pitch);
        rows.extend_from_slice(band);
    };
    let banded = jpeg.decode_bands(wanted, &mut take, scratch);
    let mut whole = vec![0xAA; height * pitch];
    let decoded = match Jpeg::open_with(bytes, Decoder::Native) {
        Ok(mut jpeg) => jpeg.decode_into(wanted, &mut whole, scratch),
        Err(error) => return Err(format!("opened once, then refused: {error}")),
    };
    match (banded, decoded) {
        (Ok(true), Ok(Decoder::Native)) if in_order && rows == whole => Ok(()),
        (Ok(false), Ok(Decoder::Turbo) | Err(_)) => Ok(()),
        (Err(banded), Err(decoded)) if banded == decoded => Ok(()),
        (banded, decoded) => Err(format!("bands: {banded:?}, in order: {in_order}; whole: {decoded:?}, or other rows")),
    }
}

fn decode_turbo(bytes: &[u8], wanted: &Wanted, size: usize) -> Result<Vec<u8>, Error> {
    let mut pixels = vec![0xAA; size];
    Jpeg::open_with(bytes, Decoder::Turbo)?.decode_into(wanted, &mut pixels, &mut Scratch::default())?;
    Ok(pixels)
}

/// Width and height of what is wanted.
pub(crate) fn output_size(header: &Header, wanted: &Wanted) -> (usize, usize) {
    let side = |side| wanted.scale.apply(side);
    wanted.region.map_or((side(header.width), side(header.height)), |region| (region.width, region.height))
}

/// All formats that a picture can be had in.
pub(crate) fn formats(color: Color) -> &'static [PixelFormat] {
    match color {
        Color::Grey => &[PixelFormat::Grey, PixelFormat::Rgb, PixelFormat::Rgba],
        Color::Rgb => &[PixelFormat::Rgb, PixelFormat::Rgba],
        Color::Cmyk => &[PixelFormat::Cmyk],
    }
}

/// One of the many things that can be wanted of a picture: whole in the first format for 0, any other by `choice`.
pub(crate) fn wanted(header: &Header, choice: usize) -> Wanted {
    let formats = formats(header.color);
    let format = formats[choice % formats.len()];
    let scales = [Scale::Full, Scale::Half, Scale::Quarter, Scale::Eighth];
    let (kind, choice) = (choice / formats.len() % 5, choice / formats.len() / 5);
    if let Some(&scale) = scales.get(kind) {
        return Wanted { scale, ..Wanted::whole(format) };
    }
    let part = |side: usize, choice: usize| {
        let start = choice % side;
        (start, 1 + (choice / side) % (side - start))
    };
    let ((x, width), (y, height)) = (part(header.width, choice), part(header.height, choice / 7 + choice));
    Wanted { region: Some(Region { x, y, width, height }), ..Wanted::whole(format) }
}
