//! The Python extension module `pixcrawler._native`: names and conversions; the work is in `pixcrawler-core`.
#![deny(unsafe_code)]

mod batch;
mod buffers;
mod directory;
mod errors;
mod files;
mod inspect;
mod memory;
mod png16;
mod pool;
mod shards;
mod sockets;

use pixcrawler_core::codec;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

/// How the extension was built.
#[pyfunction]
fn build_info(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let info = PyDict::new(py);
    info.set_item("version", env!("CARGO_PKG_VERSION"))?;
    info.set_item("profile", env!("PIXCRAWLER_PROFILE"))?;
    info.set_item("jpeg_library", format!("libjpeg-turbo {}", pixcrawler_jpeg::LIBRARY_VERSION))?;
    info.set_item("jpeg_simd", pixcrawler_jpeg::library_has_simd())?;
    info.set_item("resize_kernel", pixcrawler_core::resize_kernel())?;
    Ok(info)
}

/// The image format that the first bytes announce, or None.
#[pyfunction]
#[pyo3(signature = (data, /))]
fn detect_format(data: &Bound<'_, PyBytes>) -> Option<&'static str> {
    codec::detect(data.as_bytes()).filter(|kind| kind.is_image()).map(codec::Kind::as_str)
}

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_function(wrap_pyfunction!(build_info, module)?)?;
    module.add_function(wrap_pyfunction!(detect_format, module)?)?;
    module.add_function(wrap_pyfunction!(errors::error_codes, module)?)?;
    module.add_function(wrap_pyfunction!(buffers::empty, module)?)?;
    module.add_function(wrap_pyfunction!(directory::restore_directory, module)?)?;
    module.add_function(wrap_pyfunction!(png16::decode_png16, module)?)?;
    module.add_function(wrap_pyfunction!(shards::crc32c, module)?)?;
    module.add_function(wrap_pyfunction!(shards::read_many, module)?)?;
    module.add_class::<batch::Decoder>()?;
    module.add_class::<batch::Kept>()?;
    module.add_class::<buffers::SegmentBuffer>()?;
    module.add_class::<directory::Directory>()?;
    module.add_class::<directory::Location>()?;
    module.add_class::<files::LocalFile>()?;
    module.add_class::<inspect::ImageInfo>()?;
    module.add_class::<memory::MemoryLease>()?;
    pool::install_fork_handler();
    Ok(())
}
