//! CRC-32C (Castagnoli, RFC 3720 B.4): the checksum of archives.

use crc_fast::{CrcAlgorithm, Digest};

use crate::{Code, Error, Result};

/// The checksum of `data`, going on from `initial`, that of what stands before it (0 of nothing).
#[must_use]
pub fn crc32c(data: &[u8], initial: u32) -> u32 {
    if initial == 0 {
        return crc_fast::crc32_iscsi(data);
    }
    let mut digest = Digest::new_with_init_state(CrcAlgorithm::Crc32Iscsi, u64::from(!initial));
    digest.update(data);
    digest.finalize() as u32
}

/// Compares a stored file's bytes with the checksum of its row, if that is known.
///
/// # Errors
/// [`Code::Crc32c`] with both sums.
pub fn check(data: &[u8], expected: Option<u32>) -> Result<()> {
    let Some(expected) = expected else { return Ok(()) };
    let found = crc32c(data, 0);
    if found != expected {
        return Err(Error::new(Code::Crc32c, format!("expected CRC32C {expected:08x}, got {found:08x}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_sums() {
        assert_eq!(crc32c(b"", 0), 0);
        assert_eq!(crc32c(b"123456789", 0), 0xE306_9283);
        assert_eq!(crc32c(&[0; 32], 0), 0x8A91_36AA);
        assert_eq!(crc32c(&[0xFF; 32], 0), 0x62A8_AB43);
    }

    #[test]
    fn parts_make_the_whole() {
        let data: Vec<u8> = (0..5000_u32).map(|i| (i * 7 + i / 256) as u8).collect();
        let whole = crc32c(&data, 0);
        for cut in [0, 1, 7, 64, 4095, 4999, 5000] {
            assert_eq!(crc32c(&data[cut..], crc32c(&data[..cut], 0)), whole, "{cut}");
        }
    }

    #[test]
    fn a_wrong_sum_is_told() {
        assert!(check(b"123456789", None).is_ok());
        assert!(check(b"123456789", Some(0xE306_9283)).is_ok());
        assert_eq!(check(b"123456780", Some(0xE306_9283)).map_err(|error| error.code()), Err(Code::Crc32c));
    }
}
