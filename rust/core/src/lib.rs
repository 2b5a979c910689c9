//! Zip bytes to pixels: directory, inflate, decode, orient, resize, many images at once.
//!
//! Bytes from the outside are untrusted throughout: nothing here allocates from a declared number before it is bounded,
//! and every refusal is an [`Error`] with a [`Code`] of the project's table.
#![forbid(unsafe_code)]

pub mod batch;
pub mod codec;
mod color;
mod context;
pub mod crc32c;
mod error;
mod exif;
pub mod inflate;
pub mod inspect;
mod limits;
mod resizing;
mod sample;
pub mod zip;

pub use error::{Code, Error, ErrorKind, Result};
pub use limits::Limits;
pub use pixcrawler_resize::Filter;
pub use sample::{Fit, Mode, Options, Resize};

/// The name of the resize kernel in use on this processor.
#[must_use]
pub fn resize_kernel() -> &'static str {
    pixcrawler_resize::kernel()
}
