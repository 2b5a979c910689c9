//! What can be learned of a JPEG from its markers alone, without decoding (T.81 Annex B).

use memchr::memchr;

const SOI: u8 = 0xD8;
const EOI: u8 = 0xD9;
const SOS: u8 = 0xDA;
const APP1: u8 = 0xE1;
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
                0xFF => {}
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

/// Counts the scans up to `limit`, reading no further than needed to know that there are more.
///
/// The time a progressive JPEG takes is scans x pixels, whatever its size in bytes.
#[must_use]
pub fn count_scans(bytes: &[u8], limit: u32) -> u32 {
    let mut scans = 0;
    for (code, _) in (Markers { bytes, position: 0 }).take_while(|&(code, _)| code != EOI) {
        scans += u32::from(code == SOS);
        if scans > limit {
            break;
        }
    }
    scans
}

/// (width, height) of the first frame header, whatever its process (T.81 B.2.2).
#[must_use]
pub fn frame_size(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut markers = Markers { bytes, position: 0 }.take_while(|&(code, _)| code != SOS && code != EOI);
    let (_, frame) = markers.find(|&(code, _)| is_frame_header(code))?;
    let side = |at: usize| Some(usize::from(u16::from_be_bytes(frame.get(at..at + 2)?.try_into().ok()?)));
    Some((side(3)?, side(1)?))
}

/// SOF0 to SOF15 without DHT, JPG and DAC, which stand among them.
fn is_frame_header(code: u8) -> bool {
    matches!(code, 0xC0..=0xCF) && !matches!(code, 0xC4 | 0xC8 | 0xCC)
}

/// Whether a progressive JPEG's scans bring all coefficients of all components to full precision (T.81 G.1.1.1).
///
/// libjpeg-turbo takes a file that lacks its last scans for a sound one: it shows a blurred picture and warns of nothing.
#[must_use]
pub fn scans_are_complete(bytes: &[u8]) -> bool {
    // By component id: the bits that each coefficient still lacks.
    let mut missing: Vec<(u8, [u8; 64])> = Vec::new();
    for (code, payload) in (Markers { bytes, position: 0 }).take_while(|&(code, _)| code != EOI) {
        match (code, payload) {
            (_, [_, _, _, _, _, count, components @ ..]) if is_frame_header(code) => {
                let ids = components.chunks_exact(3).take(usize::from(*count)).map(|component| component[0]);
                missing = ids.map(|id| (id, [u8::MAX; 64])).collect();
            }
            (SOS, [count, rest @ ..]) => {
                let (components, rest) = rest.split_at(rest.len().min(usize::from(*count) * 2));
                let &[first, last, approximation, ..] = rest else { return false };
                let (first, last) = (usize::from(first), usize::from(last).min(63));
                for id in components.chunks_exact(2).map(|component| component[0]) {
                    for (_, bits) in missing.iter_mut().filter(|(known, _)| *known == id) {
                        bits.iter_mut().take(last + 1).skip(first).for_each(|bits| *bits = approximation & 15);
                    }
                }
            }
            _ => {}
        }
    }
    !missing.is_empty() && missing.iter().all(|(_, bits)| bits.iter().all(|&bits| bits == 0))
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
    fn scans_are_counted_up_to_one_past_the_limit() {
        let bytes = jpeg(&[SCAN, SCAN, SCAN]);
        assert_eq!(count_scans(&bytes, 100), 3);
        assert_eq!(count_scans(&bytes, 1), 2);
        assert_eq!(count_scans(&jpeg(&[]), 100), 0);
    }

    #[test]
    fn scans_after_the_end_marker_belong_to_another_image() {
        let mut bytes = jpeg(&[SCAN]);
        bytes.extend(jpeg(&[SCAN]));
        assert_eq!(count_scans(&bytes, 100), 1);
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
