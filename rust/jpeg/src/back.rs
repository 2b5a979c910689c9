//! From coefficients to pixels: inverse DCT, upsampling, colour conversion; bit for bit what libjpeg-turbo's SIMD code makes.

mod assemble;
mod color;
#[cfg(target_arch = "x86_64")]
mod color_avx2;
#[cfg(target_arch = "x86_64")]
mod color_avx512;
mod idct;
#[cfg(target_arch = "x86_64")]
mod idct_avx2;
#[cfg(target_arch = "x86_64")]
mod idct_avx512;
mod kernel;
mod plan;
mod reduced;
#[cfg(target_arch = "x86_64")]
mod reduced_avx2;
#[cfg(test)]
mod tests;
mod upsample;
#[cfg(target_arch = "x86_64")]
mod upsample_avx2;

use crate::{PixelFormat, Scale};

pub(crate) use assemble::{Assembler, Scratch, Target};
pub(crate) use kernel::Kernel;
#[cfg(target_arch = "x86_64")]
pub(crate) use kernel::has_fast_pdep;

/// 64 coefficients of one block in natural (row-major) order, not dequantised.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
pub(crate) struct Block(pub(crate) [i16; 64]);

impl Block {
    pub(crate) const ZERO: Self = Self([0; 64]);
}

/// One component as the frame header has it.
#[derive(Clone)]
pub(crate) struct Component {
    /// Horizontal sampling factor, 1 to 4.
    pub(crate) h: usize,
    /// Vertical sampling factor, 1 to 4.
    pub(crate) v: usize,
    /// Quantisation table in natural order.
    pub(crate) quant: [u16; 64],
}

/// What becomes of the components' colours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Transform {
    /// Delivered as coded.
    None,
    /// The first three components are YCbCr; of four, their RGB is inverted (YCCK to CMYK).
    YccToRgb,
}

/// A rectangle of pixels of the full-size picture.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Region {
    /// The first column.
    pub x: usize,
    /// The first row.
    pub y: usize,
    /// Columns, at least 1.
    pub width: usize,
    /// Rows, at least 1.
    pub height: usize,
}

/// What is decoded, and as what.
pub(crate) struct Layout {
    /// Width of the coded picture in pixels.
    pub(crate) width: usize,
    /// Height of the coded picture in pixels.
    pub(crate) height: usize,
    /// One, three or four; a single one has the sampling factors 1x1, whatever its header says.
    pub(crate) components: Vec<Component>,
    pub(crate) transform: Transform,
    pub(crate) format: PixelFormat,
    pub(crate) scale: Scale,
    /// The part that is wanted; only with `Scale::Full`.
    pub(crate) region: Option<Region>,
}
