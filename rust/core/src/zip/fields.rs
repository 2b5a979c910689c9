//! Little-endian fields read one after another, never past the end.

/// Signatures of the records (APPNOTE 4.3.7, 4.3.9, 4.3.12, 4.3.14, 4.3.15, 4.3.16).
pub(super) const LOCAL: [u8; 4] = *b"PK\x03\x04";
pub(super) const DESCRIPTOR: [u8; 4] = *b"PK\x07\x08";
pub(super) const CENTRAL: [u8; 4] = *b"PK\x01\x02";
pub(super) const END: [u8; 4] = *b"PK\x05\x06";
pub(super) const END64: [u8; 4] = *b"PK\x06\x06";
pub(super) const LOCATOR64: [u8; 4] = *b"PK\x06\x07";

/// Bytes of each record without its variable part.
pub(super) const LOCAL_BYTES: usize = 30;
pub(super) const CENTRAL_BYTES: usize = 46;
pub(super) const END_BYTES: usize = 22;
pub(super) const END64_BYTES: usize = 56;
pub(super) const LOCATOR64_BYTES: usize = 20;

/// The value of a 16-bit or 32-bit field whose real value is in a zip64 record (APPNOTE 4.4.1.4).
pub(super) const IN_ZIP64_16: u16 = u16::MAX;
pub(super) const IN_ZIP64_32: u32 = u32::MAX;

/// The extra field that holds sizes and offsets of 64 bits (APPNOTE 4.5.3).
pub(super) const ZIP64_EXTRA: u16 = 0x0001;

/// A position in a slice; each read takes bytes from its front, or gives `None` where too few are left.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(super) fn signature(&mut self) -> Option<[u8; 4]> {
        self.array()
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

/// An extra field that claims more bytes than are left: its id and the number.
pub(super) struct Overrun {
    pub(super) id: u16,
    pub(super) claimed: u16,
}

/// Walks the fields of an extra block: id, length, data (APPNOTE 4.5.1).
///
/// Fewer than four bytes at the end are padding, which alignment tools write.
pub(super) fn extra_fields(extra: &[u8]) -> impl Iterator<Item = Result<(u16, &[u8]), Overrun>> {
    let mut fields = Fields(extra);
    std::iter::from_fn(move || {
        let (id, claimed) = (fields.u16()?, fields.u16()?);
        let data = fields.bytes(usize::from(claimed));
        if data.is_none() {
            fields = Fields(&[]);
        }
        Some(data.map(|data| (id, data)).ok_or(Overrun { id, claimed }))
    })
}
