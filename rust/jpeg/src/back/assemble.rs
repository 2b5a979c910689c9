//! From MCU rows of coefficients to rows of pixels.

use super::plan::{MARGIN, Plan, Plane, Upsampling};
use super::{Block, Kernel, Layout, color, idct, reduced, upsample};
use crate::{Error, ErrorKind};

/// Working memory that is reused from image to image.
#[derive(Default)]
pub(crate) struct Scratch {
    /// For each component the rows of samples of one MCU row, or of two where upsampling needs context.
    samples: Vec<u8>,
    /// For each component the upsampled rows of one row group.
    upsampled: Vec<u8>,
    /// Rows of pixels on their way to the caller.
    band: Vec<u8>,
}

/// Where the pixels go.
pub(crate) enum Target<'t> {
    /// All rows without gaps.
    Picture(&'t mut [u8]),
    /// Called with the number of the first row and whole rows without gaps, from top to bottom, at most an MCU row at once.
    Bands(&'t mut dyn FnMut(usize, &[u8])),
}

/// Takes the blocks of a picture, MCU row by MCU row, and delivers its pixels.
pub(crate) struct Assembler<'t> {
    plan: Plan,
    kernel: Kernel,
    target: Target<'t>,
    scratch: &'t mut Scratch,
    /// Complete MCU rows.
    mcu_row: usize,
    /// The next row group to deliver.
    group: usize,
    /// Rows of pixels waiting in the band.
    waiting: usize,
    /// The next row to hand to the caller, counted from the first that is wanted.
    next_row: usize,
}

impl<'t> Assembler<'t> {
    /// Prepares for a picture.
    ///
    /// # Errors
    /// The layout is none that libjpeg-turbo would decode, the target has another length, or there is no memory.
    pub(crate) fn new(
        layout: &Layout,
        kernel: Kernel,
        target: Target<'t>,
        scratch: &'t mut Scratch,
    ) -> Result<Self, Error> {
        let plan = Plan::new(layout)?;
        let pitch = plan.columns.len() * plan.channels;
        match &target {
            Target::Picture(picture) if picture.len() != plan.rows.len() * pitch => {
                let message = format!("expected a buffer of {} bytes, got {}", plan.rows.len() * pitch, picture.len());
                return Err(Error::new(ErrorKind::Parameter, message));
            }
            Target::Picture(_) => {}
            Target::Bands(_) => {
                grow(&mut scratch.band, plan.group_height * plan.groups * pitch + color::STEP * plan.channels)?;
            }
        }
        grow(&mut scratch.samples, plan.samples)?;
        if plan.planes.iter().any(|plane| plane.upsampling != Upsampling::None) {
            grow(&mut scratch.upsampled, plan.planes.len() * plan.group_height * plan.upsampled_stride)?;
        }
        let group = plan.rows.start / plan.group_height;
        Ok(Self { plan, kernel: kernel.or_scalar(), target, scratch, mcu_row: 0, group, waiting: 0, next_row: 0 })
    }

    /// Inverse DCT of neighbouring blocks of a component in the current MCU row: block row `y` of it, first block column `x`.
    ///
    /// Coefficient i of block b's zigzag order is zero for i > `last[b]`. The blocks are cleared.
    pub(crate) fn blocks(&mut self, component: usize, y: usize, x: usize, blocks: &mut [Block], last: &[u8]) {
        let Some(plane) = self.plan.planes.get(component) else { return clear(blocks, last) };
        let row = self.mcu_row * plane.v + y.min(plane.v);
        if y >= plane.v || !plane.block_rows.contains(&row) {
            return clear(blocks, last);
        }
        let (first, end) = (plane.block_columns.start, plane.block_columns.end);
        let count = blocks.len().min(last.len());
        let (skipped, behind) = (first.saturating_sub(x).min(count), end.saturating_sub(x).min(count));
        if skipped > 0 {
            clear(&mut blocks[..skipped], last);
        }
        if behind < blocks.len() {
            clear(&mut blocks[behind..], &last[behind..]);
        }
        if skipped >= behind {
            return;
        }
        let (blocks, last) = (&mut blocks[skipped..behind], &last[skipped..behind]);
        let start = plane.row(row * plane.size);
        let out = &mut self.scratch.samples[start..start + plane.size * plane.stride];
        let out = &mut out[MARGIN + (x + skipped) * plane.size..];
        if plane.size == 8 {
            idct::transform(self.kernel, &plane.quant, blocks, last, out, plane.stride);
        } else {
            reduced::transform(self.kernel, plane.size, &plane.quant, blocks, last, out, plane.stride);
        }
    }

    /// All blocks of the MCU row were given: delivers the rows that are complete.
    pub(crate) fn end_mcu_row(&mut self) {
        for plane in self.plan.planes.iter().filter(|plane| plane.upsampling.looks_sideways()) {
            let rows = self.mcu_row * plane.v * plane.size..(self.mcu_row + 1) * plane.v * plane.size;
            for start in rows.map(|y| plane.row(y) + MARGIN) {
                self.scratch.samples[start - 1] = self.scratch.samples[start];
                self.scratch.samples[start + plane.width] = self.scratch.samples[start + plane.width - 1];
            }
        }
        self.mcu_row += 1;
        let mut end = self.plan.rows.end.div_ceil(self.plan.group_height);
        if self.mcu_row < self.plan.mcu_rows {
            end = end.min(self.mcu_row * self.plan.groups - usize::from(self.plan.context));
        }
        while self.group < end {
            self.upsample();
            self.convert();
            self.group += 1;
        }
        self.hand_over();
    }

    /// MCU rows that were given, and those of the picture.
    pub(crate) fn progress(&self) -> (usize, usize) {
        (self.mcu_row, self.plan.mcu_rows)
    }

    /// After the last MCU row: nothing is left to deliver.
    pub(crate) fn finish(self) {
        debug_assert!(self.mcu_row >= self.plan.mcu_rows);
    }

    /// Upsamples the current row group of the components that need it.
    fn upsample(&mut self) {
        let (height, stride) = (self.plan.group_height, self.plan.upsampled_stride);
        let (samples, upsampled) = (&self.scratch.samples[..], &mut self.scratch.upsampled[..]);
        for (index, plane) in self.plan.planes.iter().enumerate() {
            if plane.upsampling == Upsampling::None {
                continue;
            }
            let (first, repeats) = (self.group * plane.group_rows, plane.upsampling.v());
            for i in 0..plane.group_rows {
                let out = &mut upsampled[(index * height + i * repeats) * stride..][..repeats * stride];
                upsample_row(self.kernel, plane, samples, first + i, out, stride);
            }
        }
    }

    /// Converts the rows of the current row group that are wanted.
    fn convert(&mut self) {
        let (plan, kernel) = (&self.plan, self.kernel);
        let (samples, upsampled) = (&self.scratch.samples[..], &self.scratch.upsampled[..]);
        let (width, pitch) = (plan.columns.len(), plan.columns.len() * plan.channels);
        let padded = width.next_multiple_of(color::STEP);
        let first = self.group * plan.group_height;
        for y in first.max(plan.rows.start)..(first + plan.group_height).min(plan.rows.end) {
            let mut planes: [&[u8]; 4] = [&[]; 4];
            for (index, (row, plane)) in planes.iter_mut().zip(&plan.planes).enumerate() {
                *row = if plane.upsampling == Upsampling::None {
                    &samples[plane.row(y) + MARGIN + plan.columns.start..][..padded]
                } else {
                    let row = (index * plan.group_height + y - first) * plan.upsampled_stride;
                    let skipped = plan.columns.start - plane.samples.start * plane.upsampling.h();
                    &upsampled[row + skipped..][..padded]
                };
            }
            let out = match &mut self.target {
                Target::Picture(picture) => &mut picture[(y - plan.rows.start) * pitch..],
                Target::Bands(deliver) => {
                    if self.waiting == plan.group_height * plan.groups {
                        deliver(self.next_row, &self.scratch.band[..self.waiting * pitch]);
                        self.next_row += self.waiting;
                        self.waiting = 0;
                    }
                    self.waiting += 1;
                    &mut self.scratch.band[(self.waiting - 1) * pitch..]
                }
            };
            color::convert(kernel, plan.conversion, planes, plan.channels, width, out);
        }
    }

    /// Hands the rows that wait to the caller.
    fn hand_over(&mut self) {
        if let Target::Bands(deliver) = &mut self.target
            && self.waiting > 0
        {
            deliver(self.next_row, &self.scratch.band[..self.waiting * self.plan.columns.len() * self.plan.channels]);
            self.next_row += self.waiting;
            self.waiting = 0;
        }
    }
}

/// Upsamples row `y` of a component to the rows of `out`.
fn upsample_row(kernel: Kernel, plane: &Plane, samples: &[u8], y: usize, out: &mut [u8], stride: usize) {
    // Beyond the picture's rows its first or last one goes on.
    let row = |y: usize| {
        let start = plane.row(y.min(plane.height - 1));
        // One sample before the first that is wanted.
        &samples[start + MARGIN + plane.samples.start - 1..start + plane.stride]
    };
    let above = || row(y.saturating_sub(1));
    let count = plane.samples.len();
    match plane.upsampling {
        Upsampling::None => {}
        Upsampling::FancyH2V1 => upsample::fancy_h2v1(kernel, row(y), count, out),
        Upsampling::FancyH1V2 => {
            let (upper, lower) = out.split_at_mut(stride);
            upsample::fancy_h1v2(&row(y)[1..], &above()[1..], false, &mut upper[..count]);
            upsample::fancy_h1v2(&row(y)[1..], &row(y + 1)[1..], true, &mut lower[..count]);
        }
        Upsampling::FancyH2V2 => {
            let (upper, lower) = out.split_at_mut(stride);
            upsample::fancy_h2v2(kernel, [above(), row(y), row(y + 1)], count, [upper, lower]);
        }
        Upsampling::Box { h, v } => {
            upsample::repeat(&row(y)[1..], h, &mut out[..count * h]);
            for copy in 1..v {
                out.copy_within(..count * h, copy * stride);
            }
        }
    }
}

/// Clears what can be other than zero.
fn clear(blocks: &mut [Block], last: &[u8]) {
    for (index, block) in blocks.iter_mut().enumerate() {
        match last.get(index) {
            Some(0) => block.0[0] = 0,
            Some(1..10) => block.0[..32].fill(0),
            _ => *block = Block::ZERO,
        }
    }
}

fn grow(buffer: &mut Vec<u8>, length: usize) -> Result<(), Error> {
    if let Some(more @ 1..) = length.checked_sub(buffer.len()) {
        buffer
            .try_reserve_exact(more)
            .map_err(|_| Error::new(ErrorKind::OutOfMemory, format!("no memory for {length} bytes")))?;
        buffer.resize(length, 0);
    }
    Ok(())
}
