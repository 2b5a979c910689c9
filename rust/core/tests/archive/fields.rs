//! Every field of every zip record, and the numbers to put there.

/// A field: its name, where in its record it stands, and its length in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) offset: usize,
    pub(crate) bytes: usize,
}

impl Field {
    /// Its value in the record at a position, if it lies in the file.
    pub(crate) fn get(&self, file: &[u8], record: usize) -> Option<u64> {
        let mut value = [0; 8];
        value[..self.bytes].copy_from_slice(file.get(record + self.offset..)?.get(..self.bytes)?);
        Some(u64::from_le_bytes(value))
    }

    /// Sets it in the record at a position, if it lies in the file.
    pub(crate) fn set(&self, file: &mut [u8], record: usize, value: u64) {
        if let Some(place) = file.get_mut(record + self.offset..).and_then(|rest| rest.get_mut(..self.bytes)) {
            place.copy_from_slice(&value.to_le_bytes()[..self.bytes]);
        }
    }
}

/// A record's signature and its fields after that.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) name: &'static str,
    pub(crate) signature: [u8; 4],
    pub(crate) fields: &'static [Field],
}

macro_rules! fields {
    ($($offset:literal $bytes:literal $name:literal),* $(,)?) => {
        &[$(Field { name: $name, offset: $offset, bytes: $bytes }),*]
    };
}

/// APPNOTE 4.3.7, 4.3.9, 4.3.12, 4.3.14, 4.3.15, 4.3.16.
pub(crate) const RECORDS: &[Record] = &[
    Record {
        name: "local",
        signature: *b"PK\x03\x04",
        fields: fields![
            0 4 "signature", 4 2 "needed", 6 2 "flags", 8 2 "method", 10 2 "time", 12 2 "date", 14 4 "crc", 18 4 "packed",
            22 4 "size", 26 2 "name length", 28 2 "extra length",
        ],
    },
    Record {
        name: "descriptor",
        signature: *b"PK\x07\x08",
        fields: fields![0 4 "signature", 4 4 "crc", 8 4 "packed", 12 4 "size"],
    },
    Record {
        name: "central",
        signature: *b"PK\x01\x02",
        fields: fields![
            0 4 "signature", 4 2 "made by", 6 2 "needed", 8 2 "flags", 10 2 "method", 12 2 "time", 14 2 "date", 16 4 "crc",
            20 4 "packed", 24 4 "size", 28 2 "name length", 30 2 "extra length", 32 2 "comment length", 34 2 "disk",
            36 2 "internal", 38 4 "external", 42 4 "offset",
        ],
    },
    Record {
        name: "end64",
        signature: *b"PK\x06\x06",
        fields: fields![
            0 4 "signature", 4 8 "length", 12 2 "made by", 14 2 "needed", 16 4 "disk", 20 4 "directory disk",
            24 8 "entries here", 32 8 "entries", 40 8 "size", 48 8 "offset",
        ],
    },
    Record {
        name: "locator64",
        signature: *b"PK\x06\x07",
        fields: fields![0 4 "signature", 4 4 "disk", 8 8 "offset", 16 4 "disks"],
    },
    Record {
        name: "end",
        signature: *b"PK\x05\x06",
        fields: fields![
            0 4 "signature", 4 2 "disk", 6 2 "directory disk", 8 2 "entries here", 10 2 "entries", 12 4 "size",
            16 4 "offset", 20 2 "comment length",
        ],
    },
];

/// What readers stumble over in a field of so many bytes: the ends of its range, the file's size and its neighbours, and
/// what stands in other fields.
pub(crate) fn interesting(bytes: usize, file_size: u64, others: &[u64]) -> Vec<u64> {
    let most = u64::MAX >> (64 - 8 * bytes);
    let mut values = vec![0, 1, most, most - 1, file_size - 1, file_size, file_size + 1];
    values.extend(others);
    values.retain(|&value| value <= most);
    values.sort_unstable();
    values.dedup();
    values
}
