//! Damage to JPEG files: of bits and bytes anywhere, and of what a decoder reads its sizes and tables from.
#![allow(clippy::ptr_arg, reason = "all kinds of damage are functions of one type")]

use super::Random;

/// Damages a file; the other one is where spliced parts come from.
type Damage = fn(&mut Random, &mut Vec<u8>, &[u8]);

/// The kinds of damage, for the counts.
pub(crate) const KINDS: [(&str, Damage); 17] = [
    ("bits flipped", flip_bits),
    ("bytes changed", change_bytes),
    ("bytes removed", remove_bytes),
    ("bytes inserted", insert_bytes),
    ("bytes copied", copy_bytes),
    ("cut short", truncate),
    ("segment of another file", splice),
    ("segment removed or doubled", move_segment),
    ("Huffman table", huffman),
    ("quantisation table", quantisation),
    ("marker", change_marker),
    ("segment's length", change_length),
    ("restart markers", restarts),
    ("fill bytes", fill),
    ("dimensions", dimensions),
    ("frame or scan header", headers),
    ("entropy-coded data of another file", splice_data),
];

/// A damaged copy of `file`, and the index in [`KINDS`] of what was done first; `other` is where spliced parts come from.
pub(crate) fn mutate(random: &mut Random, file: &[u8], other: &[u8]) -> (usize, Vec<u8>) {
    let mut bytes = file.to_vec();
    let kind = random.below(KINDS.len());
    KINDS[kind].1(random, &mut bytes, other);
    // Once in a while damage upon damage.
    while random.below(6) == 0 && bytes.len() > 4 {
        KINDS[random.below(KINDS.len())].1(random, &mut bytes, other);
    }
    (kind, bytes)
}

/// A marker: its code, where it stands, and where its segment ends.
#[derive(Clone, Copy)]
struct Marker {
    code: u8,
    start: usize,
    end: usize,
}

/// All markers, those in the data of scans as well.
fn markers(bytes: &[u8]) -> Vec<Marker> {
    let (mut markers, mut at) = (Vec::new(), 0);
    while let Some(run) = bytes.get(at..).and_then(|rest| memchr::memchr(0xFF, rest)) {
        let start = at + run;
        let Some(&code) = bytes.get(start + 1) else { break };
        at = start + 1 + usize::from(code != 0xFF);
        if code == 0 || code == 0xFF {
            continue;
        }
        if !matches!(code, 0x01 | 0xD0..=0xD9) {
            let length = bytes.get(at..at + 2).map_or(0, |b| usize::from(b[0]) << 8 | usize::from(b[1]));
            at = (at + length.max(2)).min(bytes.len());
        }
        markers.push(Marker { code, start, end: at });
    }
    markers
}

/// One of the markers of the given codes.
fn marker(random: &mut Random, bytes: &[u8], is_wanted: impl Fn(u8) -> bool) -> Option<Marker> {
    let found: Vec<Marker> = markers(bytes).into_iter().filter(|marker| is_wanted(marker.code)).collect();
    (!found.is_empty()).then(|| random.pick(&found))
}

/// Where the first scan's data begins.
fn data_start(bytes: &[u8]) -> usize {
    markers(bytes).iter().find(|marker| marker.code == 0xDA).map_or(0, |marker| marker.end)
}

/// Anywhere; as often in the headers as in the data behind them.
fn place(random: &mut Random, bytes: &[u8]) -> usize {
    let start = data_start(bytes).min(bytes.len());
    if start > 0 && random.below(3) == 0 {
        return random.below(start);
    }
    if start < bytes.len() { start + random.below(bytes.len() - start) } else { random.below(bytes.len().max(1)) }
}

/// Bytes that mean something, or any.
fn byte(random: &mut Random) -> u8 {
    match random.below(4) {
        0 => random.pick(&[0, 1, 0x7F, 0x80, 0xFE, 0xFF]),
        1 => 0xC0 + random.below(64) as u8,
        _ => random.next() as u8,
    }
}

fn flip_bits(random: &mut Random, bytes: &mut Vec<u8>, _: &[u8]) {
    for _ in 0..=random.pick(&[0, 0, 0, 1, 7]) {
        let at = place(random, bytes);
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= 1 << random.below(8);
        }
    }
}

fn change_bytes(random: &mut Random, bytes: &mut Vec<u8>, _: &[u8]) {
    for _ in 0..=random.pick(&[0, 0, 0, 1, 9]) {
        let at = place(random, bytes);
        if let Some(to) = bytes.get_mut(at) {
            *to = byte(random);
        }
    }
}

fn remove_bytes(random: &mut Random, bytes: &mut Vec<u8>, _: &[u8]) {
    let at = place(random, bytes);
    let most = random.pick(&[1, 2, 8, 300]);
    let count = 1 + random.below(most);
    bytes.drain(at.min(bytes.len())..(at + count).min(bytes.len()));
}

fn insert_bytes(random: &mut Random, bytes: &mut Vec<u8>, _: &[u8]) {
    let at = place(random, bytes);
    let most = random.pick(&[1, 2, 8, 300]);
    let count = 1 + random.below(most);
    let fill = byte(random);
    let same = random.below(2) == 0;
    let inserted: Vec<u8> = (0..count).map(|_| if same { fill } else { byte(random) }).collect();
    bytes.splice(at..at, inserted);
}

fn copy_bytes(random: &mut Random, bytes: &mut Vec<u8>, _: &[u8]) {
    let (from, to) = (place(random, bytes), place(random, bytes));
    let count = random.below(64).min(bytes.len() - from.max(to));
    bytes.copy_within(from..from + count, to);
}

fn truncate(random: &mut Random, bytes: &mut Vec<u8>, _: &[u8]) {
    let back = if random.below(2) == 0 { random.below(12) } else { bytes.len() - place(random, bytes) };
    bytes.truncate(bytes.len().saturating_sub(back));
}

/// Puts a segment of the other file in the place of one of the same kind, or before any other.
fn splice(random: &mut Random, bytes: &mut Vec<u8>, other: &[u8]) {
    let Some(from) = marker(random, other, |code| !matches!(code, 0xD0..=0xD9)) else { return };
    let segment = other[from.start..from.end].to_vec();
    let same = marker(random, bytes, |code| code == from.code);
    let any = marker(random, bytes, |code| code != 0xD8);
    match (same, any) {
        (Some(to), _) if random.below(4) > 0 => drop(bytes.splice(to.start..to.end, segment)),
        (_, Some(to)) => drop(bytes.splice(to.start..to.start, segment)),
        _ => {}
    }
}

fn move_segment(random: &mut Random, bytes: &mut Vec<u8>, _: &[u8]) {
    let Some(from) = marker(random, bytes, |code| code != 0xD8) else { return };
    let Some(to) = marker(random, bytes, |code| code != 0xD8) else { return };
    let segment = bytes[from.start..from.end].to_vec();
    if random.below(2) == 0 {
        bytes.splice(to.start..to.start, segment);
    } else {
        bytes.drain(from.start..from.end);
    }
}

/// Other code lengths, other symbols, or a table that fills all the room there is for codes of a length.
fn huffman(random: &mut Random, bytes: &mut Vec<u8>, _: &[u8]) {
    let Some(Marker { start, end, .. }) = marker(random, bytes, |code| code == 0xC4) else { return };
    let payload = &mut bytes[(start + 4).min(end)..end];
    if payload.len() < 18 {
        return;
    }
    let symbols = payload.len() - 17;
    match random.below(6) {
        0 => payload[0] = byte(random),
        // One code more of a length, one less of another.
        1 | 2 => {
            let (from, to) = (1 + random.below(16), 1 + random.below(16));
            payload[from] = payload[from].wrapping_sub(1);
            payload[to] = payload[to].wrapping_add(1);
        }
        3 => payload[1 + random.below(16)] = byte(random),
        4 => payload[17 + random.below(symbols)] = byte(random),
        _ => {
            // Symbols exchanged: other runs and sizes under the same codes.
            let (from, to) = (17 + random.below(symbols), 17 + random.below(symbols));
            payload.swap(from, to);
        }
    }
}

fn quantisation(random: &mut Random, bytes: &mut Vec<u8>, _: &[u8]) {
    let Some(Marker { start, end, .. }) = marker(random, bytes, |code| code == 0xDB) else { return };
    let payload = &mut bytes[(start + 4).min(end)..end];
    if payload.is_empty() {
        return;
    }
    match random.below(4) {
        0 => payload[0] = byte(random),
        1 => payload[1..].fill(random.pick(&[0, 1, 255])),
        _ => {
            let at = random.below(payload.len());
            payload[at] = byte(random);
        }
    }
}

fn change_marker(random: &mut Random, bytes: &mut Vec<u8>, _: &[u8]) {
    let Some(Marker { start, .. }) = marker(random, bytes, |_| true) else { return };
    bytes[start + 1] = match random.below(3) {
        0 => 0xC0 + random.below(4) as u8,
        1 => 0xC0 + random.below(64) as u8,
        _ => byte(random),
    };
}

fn change_length(random: &mut Random, bytes: &mut Vec<u8>, _: &[u8]) {
    let Some(Marker { start, .. }) = marker(random, bytes, |code| !matches!(code, 0xD0..=0xD9)) else { return };
    if let Some(length) = bytes.get_mut(start + 2..start + 4) {
        match random.below(3) {
            0 => length[0] = byte(random),
            1 => length[1] = byte(random),
            _ => length[1] = length[1].wrapping_add(random.below(7) as u8).wrapping_sub(3),
        }
    }
}

/// Exchanged, removed, inserted, renumbered; or another interval.
fn restarts(random: &mut Random, bytes: &mut Vec<u8>, _: &[u8]) {
    let is_restart = |code| matches!(code, 0xD0..=0xD7);
    let (one, other) = (marker(random, bytes, is_restart), marker(random, bytes, is_restart));
    match (random.below(6), one, other) {
        (0, Some(one), Some(other)) => bytes.swap(one.start + 1, other.start + 1),
        (1, Some(one), _) => drop(bytes.drain(one.start..one.end)),
        (2, Some(one), _) => bytes[one.start + 1] = 0xD0 + random.below(8) as u8,
        (3, Some(one), _) => drop(bytes.splice(one.start..one.start, [0xFF, 0xD0 + random.below(8) as u8])),
        (4, ..) => {
            let at = place(random, bytes);
            bytes.splice(at..at, [0xFF, 0xD0 + random.below(8) as u8]);
        }
        _ => {
            let interval = random.pick(&[0, 1, 2, 3, 7, 8, 255]);
            if let Some(known) = marker(random, bytes, |code| code == 0xDD) {
                bytes[known.end - 1] = interval;
            } else if let Some(scan) = marker(random, bytes, |code| code == 0xDA) {
                bytes.splice(scan.start..scan.start, [0xFF, 0xDD, 0, 4, 0, interval]);
            }
        }
    }
}

/// Bytes of 0xFF before others, which mean the same before a marker and nothing good elsewhere.
fn fill(random: &mut Random, bytes: &mut Vec<u8>, _: &[u8]) {
    let places: Vec<usize> = memchr::memchr_iter(0xFF, bytes).collect();
    if !places.is_empty() {
        let at = random.pick(&places);
        let count = 1 + random.below(3);
        bytes.splice(at..at, vec![0xFF; count]);
    }
}

fn dimensions(random: &mut Random, bytes: &mut Vec<u8>, _: &[u8]) {
    let is_frame = |code| matches!(code, 0xC0..=0xC2);
    let Some(Marker { start, .. }) = marker(random, bytes, is_frame) else { return };
    let Some(sides) = bytes.get_mut(start + 5..start + 9) else { return };
    let at = random.below(2) * 2;
    let side = u16::from_be_bytes([sides[at], sides[at + 1]]);
    let changed = match random.below(8) {
        0 => 0,
        1 => 65_500,
        2 => random.next() as u16,
        3 => side.wrapping_mul(2),
        _ => side.wrapping_add(random.below(33) as u16).wrapping_sub(16),
    };
    sides[at..at + 2].copy_from_slice(&changed.to_be_bytes());
}

/// A byte of a frame or scan header: component ids, sampling factors, tables, bands, bit positions.
fn headers(random: &mut Random, bytes: &mut Vec<u8>, _: &[u8]) {
    let is_header = |code| matches!(code, 0xC0..=0xC2 | 0xDA);
    let Some(Marker { code, start, end }) = marker(random, bytes, is_header) else { return };
    let first = start + if code == 0xDA { 4 } else { 9 };
    if first >= end {
        return;
    }
    let at = first + random.below(end - first);
    bytes[at] = match random.below(4) {
        0 => byte(random),
        1 => bytes[at] ^ 1 << random.below(8),
        2 => random.pick(&[0x11, 0x12, 0x21, 0x22, 0x41, 0x14, 0x44, 0x31, 0x13]),
        _ => random.pick(&[0, 1, 2, 3, 0x10, 0x20, 0x21, 0x32, 5, 63, 64]),
    };
}

/// Some of a scan's data of the other file, over this one's.
fn splice_data(random: &mut Random, bytes: &mut Vec<u8>, other: &[u8]) {
    let from = place(random, other);
    let count = (1 + random.below(200)).min(other.len() - from);
    let data = &other[from..from + count];
    let at = place(random, bytes);
    let end = if random.below(2) == 0 { (at + count).min(bytes.len()) } else { at };
    bytes.splice(at..end, data.iter().copied());
}
