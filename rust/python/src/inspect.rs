//! `ImageInfo`: what an inspected picture is, as Python sees it.

use pixcrawler_core::inspect::Inspected;
use pyo3::prelude::*;

/// What a picture is that was decoded to its end.
#[pyclass(frozen, get_all, module = "pixcrawler._native")]
pub(crate) struct ImageInfo {
    height: usize,
    width: usize,
    format: &'static str,
    orientation: u8,
    color: &'static str,
    bits: usize,
    decoder: &'static str,
}

impl From<Inspected> for ImageInfo {
    fn from(found: Inspected) -> Self {
        let Inspected { height, width, kind, orientation, color, bits, decoder } = found;
        let (format, color, decoder) = (kind.as_str(), color.as_str(), decoder.as_str());
        Self { height, width, format, orientation, color, bits, decoder }
    }
}
