//! Why a JPEG was refused.

use std::fmt;

/// Whose fault a refusal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The data is damaged.
    Corrupt,
    /// The data ends too early.
    Truncated,
    /// A JPEG process that is not decoded.
    Unsupported,
    /// Memory could not be had.
    OutOfMemory,
    /// The caller's buffer or pixel format does not fit the image.
    Parameter,
}

/// A refusal, with libjpeg-turbo's own words where it spoke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    pub(crate) kind: ErrorKind,
    pub(crate) message: String,
    pub(crate) offset: Option<usize>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), offset: None }
    }

    pub(crate) fn at(self, offset: usize) -> Self {
        Self { offset: Some(offset), ..self }
    }

    /// Whose fault it is.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Where in the file it is, in bytes; libjpeg-turbo does not say.
    #[must_use]
    pub const fn offset(&self) -> Option<usize> {
        self.offset
    }

    /// What is wrong.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
