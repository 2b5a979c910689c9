//! What an input may cost at most; every limit is checked before the memory or time it bounds is spent.

/// Bounds on untrusted input. The defaults suit chunks of some hundred photographs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Entries of one central directory.
    pub entries: u64,
    /// Bytes of one central directory.
    pub directory_bytes: u64,
    /// Bytes in front of a chunk's first member, such as a self-extractor's program.
    pub prefix_bytes: u64,
    /// Bytes of one member as it stands in the archive.
    pub member_bytes: u64,
    /// Bytes of one member when inflated.
    pub inflated_bytes: u64,
    /// Inflated to compressed size, for members that inflate to more than 16 MiB.
    pub inflate_ratio: u64,
    /// Bytes of all members of one chunk when inflated.
    pub chunk_inflated_bytes: u64,
    /// Pixels (height x width) of one image.
    pub pixels: u64,
    /// Width and height of one image: bounds rows and the tables of a resize.
    pub side: u64,
    /// Scans of one JPEG.
    pub scans: u32,
    /// Scans x pixels of one JPEG of several scans: a pixel limit alone does not bound the time.
    pub scan_pixels: u64,
    /// Markers of one JPEG; those behind its only scan do not count.
    pub markers: u64,
    /// Chunks that make the picture of one PNG; others are skipped unread and do not count.
    pub png_chunks: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 100_000,
            directory_bytes: 64 << 20,
            prefix_bytes: 0,
            member_bytes: 64 << 20,
            inflated_bytes: 256 << 20,
            inflate_ratio: 100,
            chunk_inflated_bytes: 16 << 30,
            pixels: 100_000_000,
            side: 100_000,
            scans: 100,
            scan_pixels: 10_000_000_000,
            markers: 10_000,
            png_chunks: 10_000,
        }
    }
}
