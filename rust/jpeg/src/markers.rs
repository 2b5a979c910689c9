//! What can be learned of a JPEG from its markers alone, without decoding (T.81 Annex B).

use memchr::memchr;

const SOI: u8 = 0xD8;
const EOI: u8 = 0xD9;
const SOS: u8 = 0xDA;
const DNL: u8 = 0xDC;
const APP1: u8 = 0xE1;
const APP14: u8 = 0xEE;
const TEM: u8 = 0x01;

/// Walks the markers: fill bytes, stuffed zeros and entropy-coded data are passed over (T.81 B.1.1.2, B.1.1.5).
struct Markers<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Iterator for Markers<'a> {
    /// The marker's code and its segment's payload (empty for markers that stand alone).
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            self.position += memchr(0xFF, self.bytes.get(self.position..)?)? + 1;
            let code = *self.bytes.get(self.position)?;
            match code {
                // A run of fill bytes, of which the last one belongs to the marker.
                0xFF => {
                    let rest = &self.bytes[self.position..];
                    self.position += rest.iter().position(|&byte| byte != 0xFF)? - 1;
                }
                0x00 => self.position += 1,
                TEM | 0xD0..=SOI | EOI => {
                    self.position += 1;
                    return Some((code, &[]));
                }
                _ => {
                    let length = self.bytes.get(self.position + 1..self.position + 3)?;
                    let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
                    let start = self.position + 3;
                    let end = (self.position + 1 + length).clamp(start, self.bytes.len());
                    self.position = end;
                    return Some((code, &self.bytes[start..end]));
                }
            }
        }
    }
}

/// What the markers before the first scan's data say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Head {
    /// (width, height) of the first frame header, whatever its process (T.81 B.2.2).
    pub size: Option<(usize, usize)>,
    /// The code of that frame header, 0xC0 to 0xCF.
    pub frame: Option<u8>,
    /// Whether a decoder reads more scans than the first: each costs time, all together memory for all coefficients.
    pub has_more_scans: bool,
    /// Markers up to the first scan header, itself included.
    pub markers: u64,
}

impl Head {
    /// Reads up to the first scan header, or to one marker more than `max_markers`.
    #[must_use]
    pub fn read(bytes: &[u8], max_markers: u64) -> Self {
        let mut head = Self::default();
        let mut components = 0;
        for (code, payload) in (Markers { bytes, position: 0 }).take_while(|&(code, _)| code != EOI) {
            head.markers += 1;
            if head.frame.is_none() && is_frame_header(code) {
                let side = |at: usize| {
                    let side = payload.get(at..at + 2)?.try_into().ok()?;
                    Some(usize::from(u16::from_be_bytes(side)))
                };
                head.frame = Some(code);
                head.size = side(3).zip(side(1));
                components = payload.get(5).copied().unwrap_or(0);
            }
            if code == SOS {
                let is_progressive = head.frame.is_some_and(|code| matches!(code & 3, 2));
                head.has_more_scans = is_progressive || payload.first().is_some_and(|&count| count < components);
                break;
            }
            if head.markers > max_markers {
                break;
            }
        }
        head
    }

    /// What T.81 table B.1 calls the process.
    #[must_use]
    pub fn process(&self) -> Option<String> {
        let code = self.frame?;
        let order = if code & 4 == 0 { "" } else { "differential " };
        let kind = match code & 3 {
            0 if code == 0xC0 => "baseline",
            0 | 1 => "sequential",
            2 => "progressive",
            _ => "lossless",
        };
        let coding = if code & 8 == 0 { "" } else { ", arithmetic coding" };
        Some(format!("SOF{} ({order}{kind}{coding})", code & 15))
    }
}

/// Counts the markers up to the end marker, and the scan headers among them; restart markers are data.
///
/// Reads no further than needed to know that there are more than `max_markers` or `max_scans`. The time that a file of several
/// scans takes is scans x pixels, whatever its size in bytes.
#[must_use]
pub fn count_markers_and_scans(bytes: &[u8], max_markers: u64, max_scans: u64) -> (u64, u64) {
    let (mut markers, mut scans) = (0, 0);
    for (code, _) in (Markers { bytes, position: 0 }).take_while(|&(code, _)| code != EOI) {
        markers += u64::from(!is_restart(code));
        scans += u64::from(code == SOS);
        if markers > max_markers || scans > max_scans {
            break;
        }
    }
    (markers, scans)
}

/// Whether a DNL marker gives the number of lines (T.81 B.2.5), which libjpeg-turbo does not read.
#[must_use]
pub fn has_line_count(bytes: &[u8]) -> bool {
    (Markers { bytes, position: 0 }).take_while(|&(code, _)| code != EOI).any(|(code, _)| code == DNL)
}

const fn is_restart(code: u8) -> bool {
    matches!(code, 0xD0..=0xD7)
}

/// SOF0 to SOF15 without DHT, JPG and DAC, which stand among them.
fn is_frame_header(code: u8) -> bool {
    matches!(code, 0xC0..=0xCF) && !matches!(code, 0xC4 | 0xC8 | 0xCC)
}

/// What the scans of a file bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Precision {
    /// Scan headers.
    pub scans: usize,
    /// Coefficients of a block of each component.
    pub coefficients: usize,
    /// Those of them that come to full precision (T.81 G.1.1.1).
    pub complete: usize,
}

impl Precision {
    /// Reads the scan headers. The last scan counts for nothing if it `is_cut`.
    #[must_use]
    pub fn read(bytes: &[u8], is_cut: bool) -> Self {
        // By component id: the bits that each coefficient still lacks.
        let mut missing: Vec<(u8, [u8; 64])> = Vec::new();
        let mut last: &[u8] = &[];
        let mut scans = 0;
        for (code, payload) in (Markers { bytes, position: 0 }).take_while(|&(code, _)| code != EOI) {
            if is_frame_header(code) {
                let components = payload.get(6..).unwrap_or_default().chunks_exact(3);
                missing = components.take(4).map(|component| (component[0], [u8::MAX; 64])).collect();
            } else if code == SOS {
                apply_scan(last, &mut missing);
                last = payload;
                scans += 1;
            }
        }
        if !is_cut {
            apply_scan(last, &mut missing);
        }
        let complete = missing.iter().flat_map(|(_, bits)| bits).filter(|&&bits| bits == 0).count();
        Self { scans, coefficients: missing.len() * 64, complete }
    }

    /// Whether every coefficient is there. libjpeg-turbo takes a file that lacks its last scans for a sound one: it shows a
    /// blurred picture and warns of nothing.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.coefficients > 0 && self.complete == self.coefficients
    }
}

fn apply_scan(header: &[u8], missing: &mut [(u8, [u8; 64])]) {
    let [count, rest @ ..] = header else { return };
    let Some((components, &[first, last, approximation, ..])) = rest.split_at_checked(usize::from(*count) * 2) else {
        return;
    };
    for id in components.chunks_exact(2).map(|component| component[0]) {
        for (_, bits) in missing.iter_mut().filter(|(known, _)| *known == id) {
            bits.iter_mut()
                .take(usize::from(last) + 1)
                .skip(usize::from(first))
                .for_each(|bits| *bits = approximation & 15);
        }
    }
}

/// Where Adobe markers before the first scan have their transform (T.872 6.5.3), and how many components the frame has.
pub(crate) fn adobe_transforms(bytes: &[u8]) -> (Vec<usize>, Option<u8>) {
    let mut markers = Markers { bytes, position: 0 };
    let (mut places, mut components) = (Vec::new(), None);
    while let Some((code, payload)) = markers.next() {
        match code {
            SOS | EOI => break,
            APP14 if payload.len() >= 12 && payload.starts_with(b"Adobe") => {
                places.push(markers.position - payload.len() + 11);
            }
            _ if is_frame_header(code) => components = payload.get(5).copied(),
            _ => {}
        }
    }
    (places, components)
}

/// The payload of the first EXIF segment before the image data: a TIFF file in itself (Exif 2.32, 4.7.2).
#[must_use]
pub fn exif(bytes: &[u8]) -> Option<&[u8]> {
    (Markers { bytes, position: 0 })
        .take_while(|&(code, _)| code != SOS && code != EOI)
        .filter(|&(code, _)| code == APP1)
        .find_map(|(_, payload)| payload.strip_prefix(b"Exif\0\0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCAN: &[u8] = &[0xFF, SOS, 0, 3, 1, 0x12, 0xFF, 0x00, 0x34, 0xFF, 0xD0, 0x56];

    fn jpeg(parts: &[&[u8]]) -> Vec<u8> {
        let mut bytes = vec![0xFF, SOI];
        bytes.extend(parts.concat());
        bytes.extend([0xFF, EOI]);
        bytes
    }

    #[test]
    fn markers_and_scans_are_counted_up_to_one_past_the_limit() {
        let bytes = jpeg(&[SCAN, SCAN, SCAN]);
        assert_eq!(count_markers_and_scans(&bytes, 100, 100), (4, 3), "a restart marker is data");
        assert_eq!(count_markers_and_scans(&bytes, 100, 1), (3, 2));
        assert_eq!(count_markers_and_scans(&bytes, 2, 100), (3, 2));
        assert_eq!(count_markers_and_scans(&jpeg(&[]), 100, 100), (1, 0));
    }

    #[test]
    fn scans_after_the_end_marker_belong_to_another_image() {
        let mut bytes = jpeg(&[SCAN]);
        bytes.extend(jpeg(&[SCAN]));
        assert_eq!(count_markers_and_scans(&bytes, 100, 100), (2, 1));
    }

    fn frame(code: u8, components: u8) -> Vec<u8> {
        let mut payload = vec![8, 1, 2, 3, 4, components];
        payload.extend((0..components).flat_map(|id| [id, 0x11, 0]));
        [&[0xFF, code, 0, payload.len() as u8 + 2], &payload[..]].concat()
    }

    fn scan(components: &[u8], spectral: [u8; 2], approximation: u8) -> Vec<u8> {
        let selectors: Vec<u8> = components.iter().flat_map(|&id| [id, 0]).collect();
        let payload = [&[components.len() as u8], &selectors[..], &spectral, &[approximation]].concat();
        [&[0xFF, SOS, 0, payload.len() as u8 + 2], &payload[..]].concat()
    }

    #[test]
    fn the_head_ends_with_the_first_scan_header() {
        let head = Head::read(&jpeg(&[&frame(0xC0, 1), &scan(&[0], [0, 63], 0), SCAN]), 100);
        let expected = Head { size: Some((0x304, 0x102)), frame: Some(0xC0), has_more_scans: false, markers: 3 };
        assert_eq!(head, expected);
        assert_eq!(head.process().as_deref(), Some("SOF0 (baseline)"));
        for (code, components, has_more_scans, process) in [
            (0xC1, 3, true, "SOF1 (sequential)"),
            (0xC2, 1, true, "SOF2 (progressive)"),
            (0xCF, 1, false, "SOF15 (differential lossless, arithmetic coding)"),
        ] {
            let head = Head::read(&jpeg(&[&frame(code, components), &scan(&[0], [0, 63], 0)]), 100);
            assert_eq!((head.has_more_scans, head.process().as_deref()), (has_more_scans, Some(process)));
        }
        assert_eq!(Head::read(&jpeg(&[&frame(0xC0, 1), SCAN]), 1).markers, 2, "one past the limit");
    }

    #[test]
    fn precision_is_what_the_scans_bring() {
        let of = |parts: &[&[u8]], is_cut| Precision::read(&jpeg(parts), is_cut);
        let frame = frame(0xC2, 2);
        let (dc, rough, fine) = (scan(&[0, 1], [0, 0], 0), scan(&[0], [1, 63], 1), scan(&[0], [1, 63], 0x10));
        let parts = [&frame[..], &dc, &rough, &fine];
        assert_eq!(of(&parts, false), Precision { scans: 3, coefficients: 128, complete: 65 });
        assert_eq!(of(&parts, true), Precision { scans: 3, coefficients: 128, complete: 2 });
        assert!(of(&[&frame, &dc, &scan(&[0], [1, 63], 0), &scan(&[1], [1, 63], 0)], false).is_complete());
        assert!(!of(&[], false).is_complete());
    }

    #[test]
    fn fill_bytes_are_one_run() {
        let mut bytes = vec![0xFF, SOI];
        bytes.resize(100_002, 0xFF);
        bytes.extend([SOS, 0, 2]);
        assert_eq!(count_markers_and_scans(&bytes, 100, 100), (2, 1));
        assert_eq!(count_markers_and_scans(&bytes[..50_000], 100, 100), (1, 0));
    }

    #[test]
    fn exif_is_found_behind_other_segments_and_fill_bytes() {
        let app0 = [0xFF, 0xE0, 0, 4, b'J', b'F'];
        let app1 = [0xFF, 0xFF, APP1, 0, 10, b'E', b'x', b'i', b'f', 0, 0, b'M', b'M'];
        assert_eq!(exif(&jpeg(&[&app0, &app1, SCAN])), Some(b"MM".as_slice()));
        assert_eq!(exif(&jpeg(&[&app0, SCAN, &app1])), None);
    }

    #[test]
    fn lengths_past_the_end_are_cut() {
        assert_eq!(exif(&[0xFF, SOI, 0xFF, APP1, 0xFF, 0xFF, b'E', b'x']), None);
        assert_eq!(exif(&[0xFF, SOI, 0xFF, APP1, 0, 0]), None);
    }
}
