//! Changes that a random byte hardly makes: a zip's fields, a PNG's checksums.

use crate::archive::fields::{RECORDS, interesting};

/// A PNG chunk with its checksum (PNG 5.3).
pub fn png_chunk(name: [u8; 4], data: &[u8]) -> Vec<u8> {
    let mut chunk = (data.len() as u32).to_be_bytes().to_vec();
    chunk.extend(name);
    chunk.extend(data);
    chunk.extend(crc32fast::hash(&chunk[4..]).to_be_bytes());
    chunk
}

/// Gives every whole chunk of a PNG its right checksum: else nearly every change is refused for that alone.
pub fn repair_png(bytes: &mut [u8]) {
    let mut at = 8;
    while let Some(header) = bytes.get(at..at + 8) {
        let length = u32::from_be_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let Some(end) = at.checked_add(8).and_then(|start| start.checked_add(length)) else { return };
        if bytes.len() < end + 4 {
            return;
        }
        let crc = crc32fast::hash(&bytes[at + 4..end]);
        bytes[end..end + 4].copy_from_slice(&crc.to_be_bytes());
        at = end + 4;
    }
}

/// Sets one field of one record of a zip, chosen by the seed, to a number that readers stumble over.
pub fn set_zip_field(bytes: &mut [u8], seed: u32) {
    let mut state = u64::from(seed).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = |count: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 20) as usize % count.max(1)
    };
    let mut places = Vec::new();
    for record in RECORDS {
        let found = bytes.windows(4).enumerate().filter(|(_, four)| *four == record.signature);
        places.extend(found.map(|(at, _)| (at, record)));
    }
    if places.is_empty() {
        return;
    }
    let (at, record) = places[next(places.len())];
    let field = record.fields[next(record.fields.len())];
    let others: Vec<u64> =
        places.iter().flat_map(|(at, record)| record.fields.iter().filter_map(|field| field.get(bytes, *at))).collect();
    let values = interesting(field.bytes, bytes.len() as u64, &others);
    field.set(bytes, at, values[next(values.len())]);
}
