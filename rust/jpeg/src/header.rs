//! Everything of a JPEG but its entropy-coded data (T.81 Annex B): what has to be known before decoding.
//!
//! Whatever is unusual here, damaged or not, is left to libjpeg-turbo, so that this parser need not know how libjpeg-turbo
//! takes it: [`parse`] answers only for files of which libjpeg-turbo's header code says nothing.

use memchr::memchr;

use crate::entropy::NATURAL;
use crate::entropy::huffman::Spec;
use crate::{Color, Header};

/// Scans beyond this many are left to libjpeg-turbo; each needs its own reader and tables of up to 12 KB.
const MAX_SCANS: usize = 128;

/// The largest side that libjpeg-turbo takes (its JPEG_MAX_DIMENSION).
const MAX_SIDE: usize = 65_500;

/// An image that the own decoder takes.
pub(crate) struct Picture {
    pub(crate) header: Header,
    pub(crate) components: Vec<Component>,
    /// Whether the first three components are YCbCr: to RGB, or of four to CMYK.
    pub(crate) is_ycc: bool,
    /// All scans, in the file's order, complete: every coefficient of every component to its last bit.
    pub(crate) scans: Vec<Scan>,
    /// The Huffman tables that the scans name.
    pub(crate) tables: Vec<Spec>,
    /// Where the markers behind the last scan begin, if the file was read that far.
    pub(crate) end: Option<usize>,
}

/// A component as the frame header has it (T.81 B.2.2).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Component {
    id: u8,
    /// Sampling factors, 1 to 4; 1 if it is the only component, whose blocks are never interleaved.
    pub(crate) h: usize,
    pub(crate) v: usize,
    quant_table: usize,
    /// The quantisation table in natural order.
    pub(crate) quant: [u16; 64],
}

/// A scan (T.81 B.2.3).
#[derive(Debug, Clone)]
pub(crate) struct Scan {
    pub(crate) components: Vec<ScanComponent>,
    /// Spectral selection, first and last zigzag index.
    pub(crate) spectral: (u8, u8),
    /// Successive approximation: the bit position before this scan, 0 for none, and behind it.
    pub(crate) approximation: (u8, u8),
    /// MCUs between restart markers; 0: there are none.
    pub(crate) restart_interval: usize,
    /// Where its entropy-coded data begins in the file.
    pub(crate) data: usize,
}

/// A component's part in a scan.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ScanComponent {
    /// Its index in the frame.
    pub(crate) index: usize,
    /// Its tables' indices in [`Picture::tables`]; `None` where none was defined.
    pub(crate) dc: Option<usize>,
    pub(crate) ac: Option<usize>,
}

/// What the markers said so far.
#[derive(Default)]
struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
    is_jfif: bool,
    /// The transform of an Adobe marker.
    adobe: Option<u8>,
    quant: [Option<[u16; 64]>; 4],
    dc: [Option<usize>; 4],
    ac: [Option<usize>; 4],
    tables: Vec<Spec>,
    restart_interval: usize,
    frame: Option<Frame>,
    scans: Vec<Scan>,
}

struct Frame {
    width: usize,
    height: usize,
    is_progressive: bool,
    components: Vec<Component>,
}

/// Reads the headers; `None` for what is left to libjpeg-turbo.
///
/// Of a file whose first scan holds all its components nothing behind that scan's header is read.
pub(crate) fn parse(bytes: &[u8]) -> Option<Picture> {
    let mut parser = Parser { bytes, at: 2, ..Parser::default() };
    if !bytes.starts_with(&[0xFF, 0xD8]) {
        return None;
    }
    loop {
        let code = parser.marker()?;
        // The end of a file that lacks scans is not for us, nor is a frame header behind the first.
        let payload = parser.segment()?;
        match code {
            0xC0..=0xC2 => parser.frame(payload, code == 0xC2)?,
            0xC4 => parser.huffman_tables(payload)?,
            0xDA => {
                let is_whole = parser.scan(payload)?;
                if is_whole {
                    return parser.picture(None);
                }
                parser.skip_entropy_coded_data();
                if parser.peek_end() {
                    let end = parser.at;
                    return parser.picture(Some(end));
                }
            }
            0xDB => parser.quantisation_tables(payload)?,
            0xDD => parser.restart_interval = usize::from(u16::from_be_bytes(payload.try_into().ok()?)),
            // libjpeg has made up its mind about the colours when the first scan begins.
            0xE0 | 0xEE if !parser.scans.is_empty() => return None,
            0xE0 if payload.len() >= 14 && payload.starts_with(b"JFIF\0") => {
                if payload[5] != 1 {
                    return None;
                }
                parser.is_jfif = true;
            }
            0xEE if payload.len() >= 12 && payload.starts_with(b"Adobe") => parser.adobe = Some(payload[11]),
            0xE0..=0xEF | 0xFE => {}
            _ => return None,
        }
    }
}

impl<'a> Parser<'a> {
    /// The code of the marker at the current place; fill bytes before it are passed over (T.81 B.1.1.2).
    fn marker(&mut self) -> Option<u8> {
        if *self.bytes.get(self.at)? != 0xFF {
            return None;
        }
        while *self.bytes.get(self.at)? == 0xFF {
            self.at += 1;
        }
        self.at += 1;
        Some(self.bytes[self.at - 1])
    }

    /// The payload of the segment whose length stands at the current place.
    fn segment(&mut self) -> Option<&'a [u8]> {
        let length = self.bytes.get(self.at..self.at + 2)?;
        let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
        let payload = self.bytes.get(self.at + 2..self.at + length)?;
        self.at += length;
        Some(payload)
    }

    /// Goes on to the next marker that is neither stuffing nor a restart.
    fn skip_entropy_coded_data(&mut self) {
        while let Some(run) = memchr(0xFF, self.bytes.get(self.at..).unwrap_or_default()) {
            self.at += run;
            match self.bytes.get(self.at + 1) {
                Some(0x00 | 0xD0..=0xD7) => self.at += 2,
                Some(0xFF) => self.at += 1,
                _ => return,
            }
        }
        self.at = self.bytes.len();
    }

    /// Whether the file, or the picture in it, ends here.
    fn peek_end(&self) -> bool {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        matches!(rest, [] | [0xFF]) || rest.starts_with(&[0xFF, 0xD9])
    }

    fn frame(&mut self, payload: &[u8], is_progressive: bool) -> Option<()> {
        let [8, y0, y1, x0, x1, count @ (1 | 3 | 4), rest @ ..] = payload else { return None };
        let height = usize::from(u16::from_be_bytes([*y0, *y1]));
        let width = usize::from(u16::from_be_bytes([*x0, *x1]));
        let is_side = |side: usize| (1..=MAX_SIDE).contains(&side);
        if self.frame.is_some() || !is_side(width) || !is_side(height) || rest.len() != usize::from(*count) * 3 {
            return None;
        }
        let mut components: Vec<Component> = Vec::with_capacity(4);
        for part in rest.chunks_exact(3) {
            let (h, v) = (usize::from(part[1] >> 4), usize::from(part[1] & 15));
            let is_known = components.iter().any(|component| component.id == part[0]);
            if is_known || !(1..=4).contains(&h) || !(1..=4).contains(&v) || part[2] > 3 {
                return None;
            }
            let quant_table = usize::from(part[2]);
            components.push(Component { id: part[0], h, v, quant_table, quant: [0; 64] });
        }
        if let [only] = &mut components[..] {
            (only.h, only.v) = (1, 1);
        }
        // libjpeg knows no upsampling by fractions.
        let max = |side: fn(&Component) -> usize| components.iter().map(side).max().unwrap_or(1);
        let (max_h, max_v) = (max(|component| component.h), max(|component| component.v));
        if components.iter().any(|component| max_h % component.h != 0 || max_v % component.v != 0) {
            return None;
        }
        self.frame = Some(Frame { width, height, is_progressive, components });
        Some(())
    }

    fn huffman_tables(&mut self, mut payload: &[u8]) -> Option<()> {
        while let [class_and_slot, rest @ ..] = payload {
            let counts: [u8; 16] = rest.get(..16)?.try_into().ok()?;
            let mut spec = Spec { counts, symbols: [0; 256] };
            let count = spec.len();
            spec.symbols.get_mut(..count)?.copy_from_slice(rest.get(16..16 + count)?);
            payload = &rest[16 + count..];
            let slots = if class_and_slot >> 4 == 0 { &mut self.dc } else { &mut self.ac };
            if class_and_slot >> 4 > 1 || !spec.is_code() || self.tables.len() >= 2 * MAX_SCANS {
                return None;
            }
            *slots.get_mut(usize::from(class_and_slot & 15))? = Some(self.tables.len());
            self.tables.push(spec);
        }
        Some(())
    }

    fn quantisation_tables(&mut self, mut payload: &[u8]) -> Option<()> {
        // A component keeps the table that it had when its first scan began.
        if !self.scans.is_empty() {
            return None;
        }
        while let [precision_and_slot, rest @ ..] = payload {
            let bytes = match precision_and_slot >> 4 {
                0 => 1,
                1 => 2,
                _ => return None,
            };
            let mut table = [0; 64];
            for (value, place) in rest.get(..64 * bytes)?.chunks_exact(bytes).zip(NATURAL) {
                let value = value.iter().fold(0, |value, &byte| value << 8 | u16::from(byte));
                table[usize::from(place)] = value;
            }
            payload = &rest[64 * bytes..];
            *self.quant.get_mut(usize::from(precision_and_slot & 15))? = Some(table);
        }
        Some(())
    }

    /// Reads a scan header; whether the scan holds the whole picture.
    fn scan(&mut self, payload: &[u8]) -> Option<bool> {
        let frame = self.frame.as_ref()?;
        let [count @ 1..=4, rest @ ..] = payload else { return None };
        let count = usize::from(*count);
        let (selectors, &[first, last, approximation]) = rest.split_at_checked(2 * count)? else { return None };
        let mut components: Vec<ScanComponent> = Vec::with_capacity(count);
        let mut blocks = 0;
        for selector in selectors.chunks_exact(2) {
            let index = frame.components.iter().position(|component| component.id == selector[0])?;
            // In the frame's order (T.81 B.2.3); libjpeg refuses most others.
            if components.last().is_some_and(|last| last.index >= index) {
                return None;
            }
            blocks += frame.components[index].h * frame.components[index].v;
            let (dc, ac) = (usize::from(selector[1] >> 4), usize::from(selector[1] & 15));
            components.push(ScanComponent { index, dc: *self.dc.get(dc)?, ac: *self.ac.get(ac)? });
        }
        // T.81 B.2.3: an MCU has at most ten blocks.
        if count > 1 && blocks > 10 || self.scans.len() >= MAX_SCANS {
            return None;
        }
        let approximation = (approximation >> 4, approximation & 15);
        if !frame.is_progressive {
            let has_tables = components.iter().all(|component| component.dc.is_some() && component.ac.is_some());
            if (first, last, approximation) != (0, 63, (0, 0)) || !has_tables {
                return None;
            }
        }
        let is_whole = !frame.is_progressive && count == frame.components.len();
        self.scans.push(Scan {
            components,
            spectral: (first, last),
            approximation,
            restart_interval: self.restart_interval,
            data: self.at,
        });
        Some(is_whole)
    }

    fn picture(self, end: Option<usize>) -> Option<Picture> {
        let Frame { width, height, is_progressive, mut components } = self.frame?;
        for component in &mut components {
            component.quant = self.quant[component.quant_table]?;
        }
        // As libjpeg guesses (default_decompress_parms); what it is unsure of it warns of, and is left to it.
        let ids = |ids: [u8; 3]| components.iter().map(|component| component.id).eq(ids);
        let (color, is_ycc) = match (components.len(), self.is_jfif, self.adobe) {
            (1, ..) => (Color::Grey, false),
            (3, false, Some(0)) => (Color::Rgb, false),
            (3, false, None) => (Color::Rgb, !ids(*b"RGB")),
            (3, ..) => (Color::Rgb, true),
            (4, _, Some(0) | None) => (Color::Cmyk, false),
            // What libjpeg assumes of other transforms; see `turbo::with_known_transform`.
            (4, _, Some(_)) => (Color::Cmyk, true),
            _ => return None,
        };
        let is_complete = if is_progressive {
            has_all_bits(&self.scans, components.len())
        } else {
            let mut seen: Vec<usize> =
                self.scans.iter().flat_map(|scan| &scan.components).map(|part| part.index).collect();
            seen.sort_unstable();
            seen.into_iter().eq(0..components.len())
        };
        if !is_complete {
            return None;
        }
        let several_scans = is_progressive || self.scans.len() > 1;
        let header = Header { width, height, color, progressive: is_progressive, several_scans };
        Some(Picture { header, components, is_ycc, scans: self.scans, tables: self.tables, end })
    }
}

/// Whether progressive scans bring every coefficient from nothing to its last bit, each step as T.81 G.1.1.1 has it.
///
/// libjpeg-turbo warns of other steps, and smooths a picture whose AC coefficients are not all there.
fn has_all_bits(scans: &[Scan], components: usize) -> bool {
    // The bit position reached, by component and coefficient; nothing is known of it before its first scan.
    let mut reached = vec![[None; 64]; components];
    for scan in scans {
        let (first, last) = scan.spectral;
        let (high, low) = scan.approximation;
        let is_dc = first == 0;
        let is_legal = if is_dc { last == 0 } else { first <= last && last <= 63 && scan.components.len() == 1 };
        // libjpeg takes positions up to 13.
        if !is_legal || low > 13 || high != 0 && high != low + 1 {
            return false;
        }
        for part in &scan.components {
            let has_table = if is_dc { high != 0 || part.dc.is_some() } else { part.ac.is_some() };
            let bits = &mut reached[part.index];
            if !has_table || !is_dc && bits[0].is_none() {
                return false;
            }
            for bit in &mut bits[usize::from(first)..=usize::from(last)] {
                let expected = if high == 0 { None } else { Some(high) };
                if *bit != expected {
                    return false;
                }
                *bit = Some(low);
            }
        }
    }
    reached.iter().flatten().all(|&bit| bit == Some(0))
}
