//! What can be wrong with the bytes of a chunk or an image: one table of codes, one error type.
//!
//! The codes the network and the API raise are in `python/pixcrawler/codes.py`; together they are the project's table,
//! and each code is spelled in one of the two places.

use std::fmt;

/// Whose fault an error is, and so which Python exception it becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The zip structure is broken or unsafe, or a member's bytes do not inflate to what the directory says.
    Archive,
    /// The image's own bytes are broken.
    Image,
    /// Well-formed, but of a kind that is not decoded.
    Unsupported,
    /// A configured limit would be exceeded.
    Limit,
    /// The image is sound but of another size than the caller's array.
    ImageSize,
    /// A file of an archive is not as its row says.
    Shard,
    /// The call was interrupted.
    Interrupted,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident $text:literal $kind:ident $cause:literal => $remedy:literal;)*) => {
        /// A stable, documented name for each way in which bytes can be refused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Code { $(#[doc = $cause] $variant,)* }

        impl Code {
            /// Every code, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The code as it is written in errors, logs and documents.
            #[must_use]
            pub const fn as_str(self) -> &'static str { match self { $(Self::$variant => $text,)* } }

            /// Whose fault it is.
            #[must_use]
            pub const fn kind(self) -> ErrorKind { match self { $(Self::$variant => ErrorKind::$kind,)* } }

            /// What it means, one sentence.
            #[must_use]
            pub const fn cause(self) -> &'static str { match self { $(Self::$variant => $cause,)* } }

            /// What to do about it, one sentence.
            #[must_use]
            pub const fn remedy(self) -> &'static str { match self { $(Self::$variant => $remedy,)* } }
        }
    };
}

codes! {
    // The archive as a whole: the chunk is refused.
    NotAZip "not_a_zip" Archive "The file is not a zip archive." => "Check what the server or the path really holds; pack the images again.";
    TruncatedZip "truncated" Archive "The zip archive ends too early." => "Fetch or copy the chunk again.";
    EntryCount "entry_count" Archive "The number of directory entries differs from the number the end record declares." => "Pack the chunk again.";
    DirectoryBounds "directory_bounds" Archive "The central directory is not where, or not as large as, the end record says." => "Fetch or pack the chunk again.";
    DirectoryTrailing "directory_trailing" Archive "Unclaimed bytes stand between the central directory and the end record." => "Pack the chunk again.";
    Ambiguous "ambiguous" Archive "The file can be read as more than one archive." => "Pack the chunk again with one archive to a file.";
    CommentLength "comment_length" Archive "The archive comment has another length than declared." => "Pack the chunk again.";
    Prefix "prefix" Archive "Bytes stand before the archive's first member." => "Remove them or pack the chunk again; for self-extracting archives raise Limits.prefix_bytes.";
    Trailing "trailing" Archive "Bytes stand after the end of the archive." => "Remove them, or pack the chunk again.";
    Zip64Inconsistent "zip64_inconsistent" Archive "The zip64 records contradict the others." => "Pack the chunk again.";
    MultiDisk "multi_disk" Archive "The archive is one part of several." => "Join the parts into one archive.";
    // One member: it is refused, the others are delivered.
    LocalHeader "local_header" Archive "No local header stands where the directory says." => "Pack the chunk again.";
    NameMismatch "name_mismatch" Archive "The member is named differently in its local header." => "Pack the chunk again.";
    HeaderMismatch "header_mismatch" Archive "The local header contradicts the directory." => "Pack the chunk again.";
    DataBounds "data_bounds" Archive "The member's data runs outside its place." => "Pack the chunk again.";
    Descriptor "descriptor" Archive "The data descriptor contradicts the directory." => "Pack the chunk again.";
    Zip64Extra "zip64_extra" Archive "The member's extra fields are malformed." => "Pack the chunk again.";
    Overlap "overlap" Archive "The member shares bytes with another or with the directory." => "Distrust the archive; pack it again from the images.";
    HiddenEntry "hidden_entry" Archive "Another member, which is not in the directory, stands behind this one." => "Distrust the archive; pack it again from the images.";
    Duplicate "duplicate" Archive "Two members have one name." => "Pack the chunk again with distinct names.";
    Name "name" Archive "The member's name is empty or unreadable." => "Pack the chunk again with a plain name.";
    UnsafeName "unsafe_name" Archive "The member's name points outside the archive." => "Distrust the archive; pack it again from the images.";
    NotRegular "not_regular" Archive "The member is a link or a device, not a file." => "Pack the chunk again with the file itself.";
    Encrypted "encrypted" Archive "The member is encrypted." => "Pack the chunk again without a password.";
    UnsupportedMethod "unsupported_method" Archive "The member's compression method is not supported." => "Pack the chunk again, stored or deflated.";
    UnsupportedFlag "unsupported_flag" Archive "The member uses a zip feature that is not supported." => "Pack the chunk again, stored or deflated.";
    SizeMismatch "size_mismatch" Archive "The member's data has another size than the directory says." => "Fetch or pack the chunk again.";
    Crc "crc" Archive "The member's bytes do not have the checksum that the directory holds." => "Fetch the chunk again; if it stays, pack it again.";
    Inflate "inflate" Archive "The compressed data is corrupt." => "Fetch the chunk again; if it stays, pack it again.";
    InflateTruncated "inflate_truncated" Archive "The compressed data ends too early." => "Fetch the chunk again; if it stays, pack it again.";
    // The image inside.
    NotAnImage "not_an_image" Unsupported "The member is not an image." => "Remove it from the chunk, or use on_error=\"skip\".";
    UnsupportedFormat "unsupported_format" Unsupported "The image's format is not decoded." => "Convert it to JPEG, PNG, WebP, GIF, BMP or TIFF of a common kind, or use on_error=\"skip\".";
    UnsupportedJpeg "unsupported_jpeg" Unsupported "The JPEG uses a process that is not decoded." => "Convert it to baseline or progressive 8-bit, or use on_error=\"skip\".";
    CorruptImage "corrupt" Image "The image's data is corrupt." => "Replace the file, or use on_error=\"skip\".";
    TruncatedImage "truncated_image" Image "The image's data ends too early." => "Replace the file, use on_error=\"skip\", or keep such images with on_truncated=\"keep\".";
    InvalidSize "invalid_size" Image "The image has a width or height of zero." => "Replace the file, or use on_error=\"skip\".";
    ImageSize "image_size" ImageSize "The image has another size than the rest of the batch." => "Pass image_size=... so that all images are resized to one size.";
    // A file of an archive.
    ArchiveRow "archive_row" Shard "A row of the archive's index cannot be true." => "Distrust the archive; restore the index from a copy. `verify` names every such row.";
    ShardMissing "shard_missing" Shard "A shard of the archive is missing." => "Put it beside the index, under its own name.";
    Crc32c "crc32c" Shard "The file's bytes do not have the checksum that the archive's index holds." => "Restore the shard from a copy, or remove the file from the archive and add it again.";
    ShardShort "shard_short" Shard "The shard ends before the file does." => "Restore the shard from a copy; `verify` names every file concerned.";
    // Limits.
    LimitEntries "limit_entries" Limit "The archive has more entries than the limit allows." => "Raise Limits.entries if the source is trusted.";
    LimitDirectory "limit_directory" Limit "The central directory is larger than the limit allows." => "Raise Limits.directory_bytes if the source is trusted.";
    LimitMember "limit_member" Limit "The member is larger in the archive than the limit allows." => "Raise Limits.member_bytes if the source is trusted.";
    LimitInflated "limit_inflated" Limit "The member inflates to more than the limit allows." => "Raise Limits.inflated_bytes if the source is trusted.";
    LimitRatio "limit_ratio" Limit "The member inflates more than an image plausibly does." => "Raise Limits.inflate_ratio if the source is trusted.";
    LimitChunkInflated "limit_chunk_inflated" Limit "The chunk's members, up to this one, inflate to more than the limit allows." => "Raise Limits.chunk_inflated_bytes if the source is trusted.";
    LimitPixels "limit_pixels" Limit "The image has more pixels than the limit allows." => "Raise Limits.pixels if the source is trusted.";
    LimitSide "limit_side" Limit "The image is wider or higher than the limit allows." => "Raise Limits.side if the source is trusted.";
    LimitScans "limit_scans" Limit "The JPEG has more scans than the limit allows." => "Raise Limits.scans or Limits.scan_pixels if the source is trusted.";
    LimitMarkers "limit_markers" Limit "The JPEG has more markers than the limit allows." => "Raise Limits.markers if the source is trusted.";
    LimitPngChunks "limit_png_chunks" Limit "The PNG's picture is in more chunks than the limit allows." => "Raise Limits.png_chunks if the source is trusted.";
    LimitMemory "limit_memory" Limit "Memory for the image could not be had." => "Raise memory_limit or the process's memory, or lower Limits.pixels.";
    // The decoder itself.
    Interrupted "interrupted" Interrupted "The call was interrupted." => "Call again.";
    Internal "internal" Image "The decoder failed in a way it should not." => "Report it with the file; use on_error=\"skip\" meanwhile.";
}

/// One refusal: the code, where in the input, and what was expected and found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    code: Code,
    offset: Option<u64>,
    detail: Box<str>,
}

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error with what was expected and what was found, in words and numbers (never raw input text).
    pub fn new(code: Code, detail: impl Into<Box<str>>) -> Self {
        Self { code, offset: None, detail: detail.into() }
    }

    /// The same, placed at a byte offset of the input (the chunk for archive codes, the member's data for image codes).
    #[must_use]
    pub fn at(mut self, offset: u64) -> Self {
        self.offset = Some(offset);
        self
    }

    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.code
    }

    /// Byte offset in the input, where known.
    #[must_use]
    pub const fn offset(&self) -> Option<u64> {
        self.offset
    }

    /// What was expected and what was found.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.detail)?;
        if let Some(offset) = self.offset {
            write!(f, " (at byte {offset})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}
