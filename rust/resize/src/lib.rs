//! Pillow's resize, byte for byte, several times as fast.
//!
//! What [`resize`] writes equals Pillow 13's `Image.resize` in each of four filters, for pixels of 1, 3 and 4
//! interleaved 8-bit channels; what validation numbers were measured on is what training and inference get. A
//! [`Window`] computes only a part of the result, and gives exactly that part: a centre crop costs what it keeps. A
//! [`Stream`] takes the source's rows as a decoder makes them.
//!
//! ```
//! use pixcrawler_resize::{Channels, Filter, Plan, Scratch, Size, resize};
//!
//! let photo = vec![200_u8; 500 * 375 * 3];
//! let plan = Plan::stretch(Size { w: 500, h: 375 }, Size { w: 224, h: 224 }, Channels::Three, Filter::Bilinear);
//! let mut out = vec![0; 224 * 224 * 3];
//! resize(&plan, &photo, 500 * 3, &mut out, 224 * 3, &mut Scratch::new())?;
//! assert!(out.iter().all(|&sample| sample == 200));
//! # Ok::<(), pixcrawler_resize::ResizeError>(())
//! ```
//!
//! The kernel is chosen at run time ([`kernel`]); the environment variable `PIXCRAWLER_RESIZE` forces one. All kernels
//! write the same bytes.

mod alpha;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod coefficients;
mod geometry;
mod kernel;
mod nearest;
mod pipeline;
mod rows;
mod scalar;
mod stream;
mod tables;

use std::fmt;

pub use alpha::{premultiply, unpremultiply};
pub use geometry::{Crop, MAX_SIDE, Pad, crop_geometry, pad_geometry};
pub use kernel::{Kernel, kernel};
pub use stream::Stream;

/// A resampling filter of Pillow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Filter {
    /// The nearest sample.
    Nearest,
    /// A triangle; the fast one.
    Bilinear,
    /// Cubic convolution with a = -0.5.
    Bicubic,
    /// A sinc windowed by its first three lobes.
    Lanczos,
}

/// Interleaved 8-bit channels of a pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channels {
    /// Grey.
    One,
    /// RGB.
    Three,
    /// Four independent channels; see [`resize_rgba`] for colours with alpha.
    Four,
}

impl Channels {
    /// The channels of a pixel of `count` bytes: 1, 3 or 4.
    #[must_use]
    pub fn from_count(count: usize) -> Option<Self> {
        match count {
            1 => Some(Self::One),
            3 => Some(Self::Three),
            4 => Some(Self::Four),
            _ => None,
        }
    }

    /// Bytes of a pixel.
    #[must_use]
    pub fn count(self) -> usize {
        match self {
            Self::One => 1,
            Self::Three => 3,
            Self::Four => 4,
        }
    }
}

/// Width and height in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Size {
    /// Width.
    pub w: u32,
    /// Height.
    pub h: u32,
}

impl Size {
    /// Whether it holds no pixel.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.w == 0 || self.h == 0
    }
}

/// A part of an image, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Left edge.
    pub x: u32,
    /// Top edge.
    pub y: u32,
    /// Width.
    pub w: u32,
    /// Height.
    pub h: u32,
}

impl Window {
    /// All of an image.
    #[must_use]
    pub fn all(size: Size) -> Self {
        Self { x: 0, y: 0, w: size.w, h: size.h }
    }
}

/// What to compute from what: sizes, format and filter, without the pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Plan {
    /// Size of the source.
    pub source: Size,
    /// Size of the whole result; weights and the order of the passes are those of this size.
    pub full: Size,
    /// The part of the result that is wanted.
    pub window: Window,
    /// Format of source and result.
    pub channels: Channels,
    /// The filter.
    pub filter: Filter,
}

impl Plan {
    /// The whole source to the whole of `out`, whatever the shapes.
    #[must_use]
    pub fn stretch(source: Size, out: Size, channels: Channels, filter: Filter) -> Self {
        Self { source, full: out, window: Window::all(out), channels, filter }
    }

    /// Scaled to cover `out` and cut at its centre; `None` as [`crop_geometry`].
    #[must_use]
    pub fn crop(source: Size, out: Size, channels: Channels, filter: Filter) -> Option<Self> {
        let Crop { full, window } = crop_geometry(source, out)?;
        Some(Self { source, full, window, channels, filter })
    }

    /// Bytes of a row of the source and of the result.
    fn row_lens(&self) -> (u64, u64) {
        let channels = self.channels.count() as u64;
        (u64::from(self.source.w) * channels, u64::from(self.window.w) * channels)
    }

    /// Refuses what cannot be computed.
    fn check(&self, src: &[u8], src_stride: usize, dst: &[u8], dst_stride: usize) -> Result<(), ResizeError> {
        self.check_sizes()?;
        check_buffer(src.len(), src_stride, self.row_lens().0, self.source.h)
            .map_err(|expected| ResizeError::SourceTooShort { expected, actual: src.len() as u64 })?;
        self.check_destination(dst, dst_stride)
    }

    fn check_sizes(&self) -> Result<(), ResizeError> {
        let Self { source, full, window, .. } = *self;
        if source.is_empty() || full.is_empty() || window.w == 0 || window.h == 0 {
            return Err(ResizeError::EmptySide);
        }
        if [source.w, source.h, full.w, full.h].into_iter().any(|side| side > MAX_SIDE) {
            return Err(ResizeError::SideTooLong);
        }
        let inside = |start: u32, len: u32, side: u32| u64::from(start) + u64::from(len) <= u64::from(side);
        if !inside(window.x, window.w, full.w) || !inside(window.y, window.h, full.h) {
            return Err(ResizeError::WindowOutside { window, full });
        }
        Ok(())
    }

    fn check_destination(&self, dst: &[u8], dst_stride: usize) -> Result<(), ResizeError> {
        check_buffer(dst.len(), dst_stride, self.row_lens().1, self.window.h)
            .map_err(|expected| ResizeError::DestinationTooShort { expected, actual: dst.len() as u64 })
    }
}

/// Whether `rows` rows of `row_len` bytes fit; the error is the length they need.
fn check_buffer(len: usize, stride: usize, row_len: u64, rows: u32) -> Result<(), u64> {
    let stride = stride as u64;
    let needed = stride.max(row_len).saturating_mul(u64::from(rows) - 1).saturating_add(row_len);
    if stride < row_len || needed > len as u64 { Err(needed) } else { Ok(()) }
}

/// Why a resize was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResizeError {
    /// A side of the source, the result or the window is zero.
    EmptySide,
    /// A side is beyond [`MAX_SIDE`].
    SideTooLong,
    /// The window does not lie in the result.
    WindowOutside {
        /// The window asked for.
        window: Window,
        /// The whole result.
        full: Size,
    },
    /// The source is shorter than its size and stride say, or its stride shorter than a row.
    SourceTooShort {
        /// Bytes needed.
        expected: u64,
        /// Bytes given.
        actual: u64,
    },
    /// The destination is too short for the window, or its stride shorter than a row.
    DestinationTooShort {
        /// Bytes needed.
        expected: u64,
        /// Bytes given.
        actual: u64,
    },
    /// Bytes pushed to a [`Stream`] are not whole rows.
    PartOfRow {
        /// Bytes of a row.
        row_len: u64,
        /// Bytes pushed.
        actual: u64,
    },
    /// A [`Stream`] was given more rows than its source has.
    TooManyRows {
        /// Rows of the source.
        expected: u64,
        /// Rows given.
        actual: u64,
    },
    /// A row that the result depends on was to be skipped.
    RowNeeded {
        /// The first such row.
        row: u64,
    },
    /// A [`Stream`] was finished before it had all rows that the result depends on.
    RowsMissing {
        /// Rows needed, from the top.
        expected: u64,
        /// Rows given.
        actual: u64,
    },
    /// The rows between the two passes do not fit into memory.
    OutOfMemory,
}

impl fmt::Display for ResizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptySide => f.write_str("a side of the image, the result or the window is zero"),
            Self::SideTooLong => write!(f, "a side is longer than {MAX_SIDE} pixels"),
            Self::WindowOutside { window, full } => {
                write!(f, "the window {window:?} does not lie in a result of {} x {} pixels", full.w, full.h)
            }
            Self::SourceTooShort { expected, actual } => {
                write!(f, "the source must hold {expected} bytes in rows of its width, got {actual}")
            }
            Self::DestinationTooShort { expected, actual } => {
                write!(f, "the destination must hold {expected} bytes in rows of its width, got {actual}")
            }
            Self::PartOfRow { row_len, actual } => {
                write!(f, "rows of {row_len} bytes must be pushed whole, got {actual} bytes")
            }
            Self::TooManyRows { expected, actual } => write!(f, "the source has {expected} rows, got {actual}"),
            Self::RowNeeded { row } => write!(f, "row {row} of the source is needed and cannot be skipped"),
            Self::RowsMissing { expected, actual } => {
                write!(f, "the first {expected} rows of the source are needed, got {actual}")
            }
            Self::OutOfMemory => f.write_str("the rows between the two passes do not fit into memory"),
        }
    }
}

impl std::error::Error for ResizeError {}

/// What a thread keeps from image to image: buffers, a bounded cache of weight tables, and the kernel.
///
/// About a megabyte for photographs; buffers beyond 4 MiB are freed after use.
#[derive(Debug)]
pub struct Scratch {
    kernel: Kernel,
    tables: tables::Cache,
    buffers: pipeline::Buffers,
}

impl Scratch {
    /// Empty, for the kernel in use ([`Kernel::in_use`]).
    #[must_use]
    pub fn new() -> Self {
        Self { kernel: Kernel::in_use(), tables: tables::Cache::default(), buffers: pipeline::Buffers::default() }
    }

    /// Empty, for a kernel of the caller's choice; `None` if this processor cannot run it.
    #[must_use]
    pub fn with_kernel(kernel: Kernel) -> Option<Self> {
        kernel.is_available().then(|| Self { kernel, ..Self::new() })
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

/// Resizes `src` by `plan` into `dst`, as Pillow's `Image.resize` does in modes L, RGB and `RGBa`.
///
/// Strides are bytes from one row to the next. Row `i` of the window goes to `i * dst_stride`; bytes between rows are
/// not written.
///
/// # Errors
///
/// Sizes that no image has, and buffers too short for them: nothing was written then. Too little memory.
pub fn resize(
    plan: &Plan,
    src: &[u8],
    src_stride: usize,
    dst: &mut [u8],
    dst_stride: usize,
    scratch: &mut Scratch,
) -> Result<(), ResizeError> {
    plan.check(src, src_stride, dst, dst_stride)?;
    let all = rows::Run { data: src, stride: src_stride, first: 0, end: plan.source.h as usize };
    pipeline::Passes::new(plan, dst, dst_stride, scratch).push(all)
}

/// Resizes RGBA pixels as Pillow's `Image.resize` does in mode RGBA: colours are premultiplied by alpha, resized and
/// divided by the new alpha; nearest and an unchanged size leave them alone.
///
/// Takes a premultiplied copy of the source into `scratch`. A caller that owns its source can spare it with
/// [`premultiply`], [`resize`] and [`unpremultiply`].
///
/// # Errors
///
/// As [`resize`]. The plan counts as one of four channels.
pub fn resize_rgba(
    plan: &Plan,
    src: &[u8],
    src_stride: usize,
    dst: &mut [u8],
    dst_stride: usize,
    scratch: &mut Scratch,
) -> Result<(), ResizeError> {
    let plan = &Plan { channels: Channels::Four, ..*plan };
    if plan.filter == Filter::Nearest || plan.source == plan.full {
        return resize(plan, src, src_stride, dst, dst_stride, scratch);
    }
    plan.check(src, src_stride, dst, dst_stride)?;
    let row_len = plan.source.w as usize * 4;
    let mut premultiplied = std::mem::take(&mut scratch.buffers.source);
    premultiplied.clear();
    for row in src.chunks(src_stride).take(plan.source.h as usize) {
        premultiplied.extend_from_slice(&row[..row_len]);
    }
    premultiply(&mut premultiplied);
    let result = resize(plan, &premultiplied, row_len, dst, dst_stride, scratch);
    scratch.buffers.source = premultiplied;
    scratch.buffers.release_large();
    result?;
    for row in dst.chunks_mut(dst_stride).take(plan.window.h as usize) {
        unpremultiply(&mut row[..plan.window.w as usize * 4]);
    }
    Ok(())
}
