//! What libjpeg-turbo would do with a layout: sizes after the inverse DCT, ways of upsampling, and where samples are kept.

use std::ops::Range;

use super::idct::Quant;
use super::{Component, Layout, Region, Transform};
use crate::{Error, ErrorKind, PixelFormat, Scale};

/// Bytes before the first sample of a row: what fancy upsampling looks at beyond the picture's left edge.
pub(super) const MARGIN: usize = 32;
/// Samples that vector code may touch behind the last one of a row.
pub(super) const SLACK: usize = 64;

/// How a component's samples become as many as there are pixels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Upsampling {
    None,
    /// Triangle filter along the rows, 1:2.
    FancyH2V1,
    /// Triangle filter along the columns, 1:2.
    FancyH1V2,
    /// Triangle filter along both.
    FancyH2V2,
    /// Each sample repeated `h` times along the row, each row `v` times.
    Box {
        h: usize,
        v: usize,
    },
}

impl Upsampling {
    /// Pixels along the row for each sample.
    pub(super) fn h(self) -> usize {
        match self {
            Self::None | Self::FancyH1V2 => 1,
            Self::FancyH2V1 | Self::FancyH2V2 => 2,
            Self::Box { h, .. } => h,
        }
    }

    /// Rows of pixels for each row of samples.
    pub(super) fn v(self) -> usize {
        match self {
            Self::None | Self::FancyH2V1 => 1,
            Self::FancyH1V2 | Self::FancyH2V2 => 2,
            Self::Box { v, .. } => v,
        }
    }

    /// Whether neighbours in the row have a part.
    pub(super) fn looks_sideways(self) -> bool {
        matches!(self, Self::FancyH2V1 | Self::FancyH2V2)
    }

    /// Whether the rows above and below have a part.
    pub(super) fn looks_up_and_down(self) -> bool {
        matches!(self, Self::FancyH1V2 | Self::FancyH2V2)
    }
}

/// How rows of samples become a row of pixels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Conversion {
    GreyToGrey,
    GreyToRgb,
    GreyToRgba,
    YccToRgb,
    YccToRgba,
    RgbToRgb,
    RgbToRgba,
    CmykToCmyk,
    YcckToCmyk,
}

impl Conversion {
    fn new(components: usize, transform: Transform, format: PixelFormat) -> Option<Self> {
        Some(match (components, transform, format) {
            (1, Transform::None, PixelFormat::Grey) => Self::GreyToGrey,
            (1, Transform::None, PixelFormat::Rgb) => Self::GreyToRgb,
            (1, Transform::None, PixelFormat::Rgba) => Self::GreyToRgba,
            (3, Transform::YccToRgb, PixelFormat::Rgb) => Self::YccToRgb,
            (3, Transform::YccToRgb, PixelFormat::Rgba) => Self::YccToRgba,
            (3, Transform::None, PixelFormat::Rgb) => Self::RgbToRgb,
            (3, Transform::None, PixelFormat::Rgba) => Self::RgbToRgba,
            (4, Transform::None, PixelFormat::Cmyk) => Self::CmykToCmyk,
            (4, Transform::YccToRgb, PixelFormat::Cmyk) => Self::YcckToCmyk,
            _ => return None,
        })
    }
}

/// One component: how it is transformed and where its samples are.
pub(super) struct Plane {
    pub(super) quant: Quant,
    /// A block's samples after the inverse DCT: 8x8, 4x4, 2x2 or 1x1.
    pub(super) size: usize,
    /// Block rows of an MCU row.
    pub(super) v: usize,
    /// Samples of a row that belong to the picture.
    pub(super) width: usize,
    /// Rows of samples that belong to the picture.
    pub(super) height: usize,
    pub(super) upsampling: Upsampling,
    /// Rows of samples that make a row group.
    pub(super) group_rows: usize,
    /// Where the ring of rows starts among all samples, bytes from row to row, and rows less one: a power of two less one.
    pub(super) offset: usize,
    pub(super) stride: usize,
    pub(super) ring_mask: usize,
    /// The blocks that have a part in the pixels wanted.
    pub(super) block_columns: Range<usize>,
    pub(super) block_rows: Range<usize>,
    /// The samples of a row that are upsampled.
    pub(super) samples: Range<usize>,
}

impl Plane {
    /// Where row `y` of the picture's samples starts in the ring: its first sample is `MARGIN` behind.
    pub(super) fn row(&self, y: usize) -> usize {
        self.offset + (y & self.ring_mask) * self.stride
    }
}

/// All that follows from a layout.
pub(super) struct Plan {
    pub(super) conversion: Conversion,
    /// Bytes a pixel.
    pub(super) channels: usize,
    pub(super) planes: Vec<Plane>,
    /// The pixels wanted, of the scaled picture.
    pub(super) columns: Range<usize>,
    pub(super) rows: Range<usize>,
    /// Pixel rows of a row group.
    pub(super) group_height: usize,
    /// Row groups of an MCU row.
    pub(super) groups: usize,
    pub(super) mcu_rows: usize,
    /// Whether the last row group of an MCU row waits for the next MCU row.
    pub(super) context: bool,
    /// Bytes of all rings.
    pub(super) samples: usize,
    /// Bytes from row to row of upsampled samples.
    pub(super) upsampled_stride: usize,
}

impl Plan {
    pub(super) fn new(layout: &Layout) -> Result<Self, Error> {
        let unfit = |what: &str| Error::new(ErrorKind::Parameter, format!("the layout does not fit: {what}"));
        let side = 1..=0xFFFF;
        if !side.contains(&layout.width) || !side.contains(&layout.height) {
            return Err(unfit("its sides"));
        }
        let Some(conversion) = Conversion::new(layout.components.len(), layout.transform, layout.format) else {
            return Err(unfit("its colours"));
        };
        if layout.components.iter().any(|c| !(1..=4).contains(&c.h) || !(1..=4).contains(&c.v)) {
            return Err(unfit("its sampling factors"));
        }
        let frame = Frame::new(layout);
        if layout.components.iter().any(|c| !frame.max_h.is_multiple_of(c.h) || !frame.max_v.is_multiple_of(c.v)) {
            return Err(Error::new(ErrorKind::Unsupported, "fractional sampling not implemented"));
        }
        let (columns, rows) = match layout.region {
            None => (0..layout.scale.apply(layout.width), 0..layout.scale.apply(layout.height)),
            Some(region) if layout.scale == Scale::Full && inside(region, layout) => {
                (region.x..region.x + region.width, region.y..region.y + region.height)
            }
            Some(_) => return Err(unfit("its region")),
        };
        let mut plan = Self {
            conversion,
            channels: layout.format.channels(),
            planes: Vec::with_capacity(layout.components.len()),
            upsampled_stride: (columns.len() + 4 * 16 + SLACK).next_multiple_of(64),
            columns,
            rows,
            group_height: frame.max_v,
            groups: frame.unit,
            mcu_rows: layout.height.div_ceil(8 * frame.max_v),
            context: false,
            samples: 0,
        };
        for component in &layout.components {
            let plane = frame.plane(component, &plan);
            plan.context |= plane.upsampling.looks_up_and_down();
            plan.planes.push(plane);
        }
        for plane in &mut plan.planes {
            plane.offset = plan.samples;
            let rows = (plane.v * plane.size * (1 + usize::from(plan.context))).next_power_of_two();
            plane.ring_mask = rows - 1;
            plan.samples += rows * plane.stride;
        }
        Ok(plan)
    }
}

fn inside(region: Region, layout: &Layout) -> bool {
    let fits = |start: usize, length: usize, side: usize| length >= 1 && start < side && length <= side - start;
    fits(region.x, region.width, layout.width) && fits(region.y, region.height, layout.height)
}

/// What the components share.
struct Frame {
    width: usize,
    height: usize,
    max_h: usize,
    max_v: usize,
    /// Samples to which the scale reduces 8.
    unit: usize,
}

impl Frame {
    fn new(layout: &Layout) -> Self {
        Self {
            width: layout.width,
            height: layout.height,
            max_h: layout.components.iter().map(|c| c.h).max().unwrap_or(1),
            max_v: layout.components.iter().map(|c| c.v).max().unwrap_or(1),
            unit: 8 / layout.scale.denominator(),
        }
    }

    /// Samples of a component's block after the inverse DCT: as many more as spare its upsampling (jdmaster.c).
    fn size(&self, component: &Component) -> usize {
        let mut size = self.unit;
        while size < 8
            && (self.max_h * self.unit).is_multiple_of(component.h * size * 2)
            && (self.max_v * self.unit).is_multiple_of(component.v * size * 2)
        {
            size *= 2;
        }
        size
    }

    /// jdsample.c's choice for row groups of `h` x `v` samples.
    fn upsampling(&self, h: usize, v: usize, width: usize) -> Upsampling {
        let fancy = self.unit > 1;
        match (self.max_h / h, self.max_v / v) {
            (1, 1) => Upsampling::None,
            (2, 1) if fancy && width > 2 => Upsampling::FancyH2V1,
            (1, 2) if fancy => Upsampling::FancyH1V2,
            (2, 2) if fancy && width > 2 => Upsampling::FancyH2V2,
            (h, v) => Upsampling::Box { h, v },
        }
    }

    fn plane(&self, component: &Component, plan: &Plan) -> Plane {
        let size = self.size(component);
        let width = (self.width * component.h * size).div_ceil(self.max_h * 8);
        let height = (self.height * component.v * size).div_ceil(self.max_v * 8);
        let group_rows = component.v * size / self.unit;
        let upsampling = self.upsampling(component.h * size / self.unit, group_rows, width);
        let samples = plan.columns.start / upsampling.h()..plan.columns.end.div_ceil(upsampling.h());
        let groups = plan.rows.start / self.max_v..plan.rows.end.div_ceil(self.max_v);
        let blocks = |samples: Range<usize>, neighbours: bool, end: usize| {
            let neighbours = usize::from(neighbours);
            let end = (samples.end + neighbours).min(end);
            samples.start.saturating_sub(neighbours) / size..end.div_ceil(size)
        };
        let columns = self.width.div_ceil(8 * self.max_h) * component.h;
        Plane {
            quant: Quant::new(&component.quant),
            size,
            v: component.v,
            width,
            height,
            upsampling,
            group_rows,
            offset: 0,
            // An odd number of cache lines: the rows of a block fall into different sets of the cache.
            stride: (MARGIN + columns * size + SLACK).next_multiple_of(64) | 64,
            ring_mask: 0,
            block_columns: blocks(samples.clone(), upsampling.looks_sideways(), width),
            block_rows: blocks(
                groups.start * group_rows..groups.end * group_rows,
                upsampling.looks_up_and_down(),
                height,
            ),
            samples,
        }
    }
}
