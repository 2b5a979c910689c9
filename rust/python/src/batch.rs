//! `Decoder`: convert arguments, check buffers, release the GIL, call the core, map errors.

use std::sync::atomic::Ordering;

use numpy::ndarray::IntoDimension;
use pixcrawler_core::batch::{self, Context, Member, Picture, Share};
use pixcrawler_core::codec::Decoder as Codec;
use pixcrawler_core::{Error, Filter, Fit, Mode, Options, Resize, inspect};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::buffers::{Buffer, Slots, array};
use crate::directory::{Directory, PyLimits};
use crate::inspect::ImageInfo;
use crate::{errors, memory, pool};

type Item = (Buffer, u64, Py<Directory>, usize);

fn member((buffer, offset, directory, index): &Item) -> PyResult<Member<'_>> {
    let directory = &directory.get().inner;
    if *index >= directory.len() {
        return Err(PyValueError::new_err(format!("member {index} of {}", directory.len())));
    }
    Ok(Member { buffer: buffer.bytes()?, offset: *offset, directory, index: *index })
}

fn members(items: &[Item]) -> PyResult<Vec<Member<'_>>> {
    items.iter().map(member).collect()
}

/// An image that was delivered though it is not whole.
#[pyclass(frozen, get_all, module = "pixcrawler._native")]
pub(crate) struct Kept {
    image: Option<Py<PyAny>>,
    error: Py<PyAny>,
}

impl Kept {
    fn new(py: Python<'_>, image: Option<Bound<'_, PyAny>>, flaw: &Error) -> PyResult<Self> {
        Ok(Self { image: image.map(Bound::unbind), error: errors::exception(py, flaw)?.unbind() })
    }
}

/// Inflates, decodes, orients and resizes batches of members, in parallel, with one set of options.
#[pyclass(frozen, module = "pixcrawler._native")]
pub(crate) struct Decoder {
    context: Context,
    threads: usize,
}

impl Decoder {
    /// Has the pool's threads share the work on so many members; what a stop cut short is no result.
    fn run(&self, py: Python<'_>, members: usize, share: Share<'_>) -> PyResult<()> {
        pool::run(py, self.threads, members, share)?;
        if self.context.is_stopped() {
            return Err(PyRuntimeError::new_err("the decoder was stopped"));
        }
        Ok(())
    }
}

#[pymethods]
#[allow(clippy::needless_pass_by_value, reason = "pyo3 hands converted arguments over by value")]
impl Decoder {
    #[new]
    #[pyo3(signature = (*, mode, image_size, resize_mode, interpolation, apply_exif, draft, keep_truncated, limits, threads, working_bytes))]
    #[allow(
        clippy::too_many_arguments,
        clippy::fn_params_excessive_bools,
        reason = "keyword arguments of a Python constructor"
    )]
    fn new(
        mode: &str,
        image_size: Option<(usize, usize)>,
        resize_mode: &str,
        interpolation: &str,
        apply_exif: bool,
        draft: bool,
        keep_truncated: bool,
        limits: PyLimits,
        threads: usize,
        working_bytes: usize,
    ) -> PyResult<Self> {
        let unknown = |name: &str, value: &str, known: &str| {
            PyValueError::new_err(format!("{name} must be one of {known}, not {value:?}"))
        };
        let mode = match mode {
            "L" => Mode::Grey,
            "RGB" => Mode::Rgb,
            "RGBA" => Mode::Rgba,
            _ => return Err(unknown("mode", mode, "'RGB', 'L', 'RGBA'")),
        };
        let fit = match resize_mode {
            "stretch" => Fit::Stretch,
            "crop" => Fit::Crop,
            "pad" => Fit::Pad,
            _ => return Err(unknown("resize_mode", resize_mode, "'stretch', 'crop', 'pad'")),
        };
        let filter = match interpolation {
            "nearest" => Filter::Nearest,
            "bilinear" => Filter::Bilinear,
            "bicubic" => Filter::Bicubic,
            "lanczos" => Filter::Lanczos,
            _ => return Err(unknown("interpolation", interpolation, "'nearest', 'bilinear', 'bicubic', 'lanczos'")),
        };
        if threads == 0 {
            return Err(PyValueError::new_err("threads must be at least 1"));
        }
        if image_size.is_some_and(|(height, width)| height == 0 || width == 0 || height.max(width) > 65_535) {
            return Err(PyValueError::new_err("image_size must be from 1 to 65535 pixels a side"));
        }
        let resize = image_size.map(|(height, width)| Resize { height, width, fit, filter });
        let options = Options { mode, resize, apply_exif, draft, keep_truncated, limits: limits.into() };
        Ok(Self { context: Context::new(options, working_bytes, threads), threads })
    }

    #[pyo3(signature = (items, /))]
    fn probe<'py>(&self, py: Python<'py>, items: Vec<Item>) -> PyResult<Bound<'py, PyList>> {
        let members = members(&items)?;
        let sizes = batch::probe(&members, &self.context, |share| self.run(py, members.len(), share))?;
        let results = PyList::empty(py);
        for size in sizes {
            match size {
                Ok(size) => results.append(size)?,
                Err(error) => results.append(errors::exception(py, &error)?)?,
            }
        }
        Ok(results)
    }

    #[pyo3(signature = (items, out, /))]
    fn decode_into<'py>(
        &self,
        py: Python<'py>,
        items: Vec<Item>,
        out: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyList>> {
        let members = members(&items)?;
        let options = &self.context.options;
        let size = options.resize.map(|resize| (resize.height, resize.width));
        let mut slots = Slots::borrow(out, members.len(), size, options.mode.channels())?;
        let (height, width) = (slots.height, slots.width);
        let pixels = slots.array.as_slice_mut().map_err(|_| PyValueError::new_err("out must be C-contiguous"))?;
        let run = |share: Share<'_>| self.run(py, members.len(), share);
        let decoded = batch::decode_into(&members, height, width, pixels, &self.context, run)?;
        let results = PyList::empty(py);
        for result in decoded {
            match result {
                Ok(None) => results.append(py.None())?,
                Ok(Some(flaw)) => results.append(Kept::new(py, None, &flaw)?)?,
                Err(error) => results.append(errors::exception(py, &error)?)?,
            }
        }
        Ok(results)
    }

    #[pyo3(signature = (items, /, *, max_bytes))]
    fn decode<'py>(&self, py: Python<'py>, items: Vec<Item>, max_bytes: usize) -> PyResult<Bound<'py, PyList>> {
        let members = members(&items)?;
        let channels = self.context.options.mode.channels();
        let run = |share: Share<'_>| self.run(py, members.len(), share);
        let results = PyList::empty(py);
        for picture in batch::decode(&members, max_bytes, memory::take, &self.context, run)? {
            match picture {
                Ok(Picture { pixels, height, width, flaw }) => {
                    let image = array(py, pixels, [height, width, channels].into_dimension())?;
                    match flaw {
                        None => results.append(image)?,
                        Some(flaw) => results.append(Kept::new(py, Some(image.into_any()), &flaw)?)?,
                    }
                }
                Err(error) => results.append(errors::exception(py, &error)?)?,
            }
        }
        Ok(results)
    }

    #[pyo3(signature = (items, /))]
    fn inspect<'py>(&self, py: Python<'py>, items: Vec<Item>) -> PyResult<Bound<'py, PyList>> {
        let members = members(&items)?;
        let run = |share: Share<'_>| self.run(py, members.len(), share);
        let results = PyList::empty(py);
        for found in inspect::inspect(&members, &self.context, run)? {
            match found {
                Ok(found) => results.append(Bound::new(py, ImageInfo::from(found))?)?,
                Err(error) => results.append(errors::exception(py, &error)?)?,
            }
        }
        Ok(results)
    }

    fn stop(&self) {
        self.context.stop();
    }

    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let counters = &self.context.counters;
        let stats = PyDict::new(py);
        for (name, counter) in [
            ("encoded_bytes", &counters.encoded_bytes),
            ("inflate_ns", &counters.inflate_ns),
            ("decode_ns", &counters.decode_ns),
            ("resize_ns", &counters.resize_ns),
        ] {
            stats.set_item(name, counter.load(Ordering::Relaxed))?;
        }
        let images = PyDict::new(py);
        for decoder in Codec::ALL {
            images.set_item(decoder.as_str(), counters.images(decoder))?;
        }
        stats.set_item("images_by_decoder", images)?;
        Ok(stats)
    }
}
