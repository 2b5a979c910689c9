//! Pictures of several scans, decoded MCU row by MCU row: every scan has a reader of its own and decodes its part of a row
//! before any goes on to the next, so that one row of coefficients is all that is kept.

use std::ops::Range;
use std::sync::Arc;

use crate::Error;
use crate::back::{Assembler, Kernel};
use crate::entropy::Damage;
use crate::entropy::cursor::{Cursor, Damaged};
use crate::entropy::huffman::{AcTable, DcTable, RefineTable, Spec};
use crate::entropy::progressive::{self, Coefficients, DcUnit, First, MAX_LOW, Maps, Refinement};
use crate::entropy::sequential::{self, Unit};
use crate::entropy::unstuff::Unstuffed;
use crate::header::{Picture, Scan, ScanComponent};

/// Blocks that are completed before they are transformed: few enough that they stay in the first-level cache.
const BLOCKS_AT_ONCE: usize = 32;

/// A component's blocks in a row of MCUs.
struct Part {
    /// Sampling factors.
    h: usize,
    v: usize,
    /// Where they begin among all coefficients, and blocks from block row to block row: those of whole MCUs.
    base: usize,
    stride: usize,
    /// The component's own blocks, without those that fill up MCUs (T.81 A.2.4).
    columns: usize,
    rows: usize,
}

/// Makes room for a row of the picture's coefficients.
///
/// # Errors
/// Memory could not be had.
pub(crate) fn prepare(picture: &Picture, coefficients: &mut Coefficients) -> Result<(), Error> {
    let (parts, _) = parts(picture);
    let blocks = parts.iter().map(|part| part.stride * part.v).sum();
    let mut planes: Vec<u8> = Vec::new();
    for scan in picture.scans.iter().filter(|scan| scan.spectral.0 > 0 && scan.approximation.0 > 0) {
        if !planes.contains(&scan.approximation.1) {
            planes.push(scan.approximation.1);
        }
    }
    coefficients.prepare(blocks, picture.header.progressive, &planes)
}

/// Decodes a picture for whose coefficients room was made.
pub(crate) fn decode(
    picture: &Picture,
    kernel: Kernel,
    unstuffed: &Unstuffed,
    coefficients: &mut Coefficients,
    assembler: &mut Assembler<'_>,
) -> Result<(), Damaged> {
    let (parts, rows) = parts(picture);
    let mut tables = Tables::new();
    for (index, scan) in picture.scans.iter().enumerate() {
        // Tables that are no tables were refused with the headers, but for symbols that are no DC categories.
        tables.make(picture, scan).ok_or(Damaged { damage: Damage::BadCode, scan: index, interval: 0, position: 0 })?;
    }
    let mut scans = Vec::with_capacity(picture.scans.len());
    for index in 0..picture.scans.len() {
        let reader = Reader::new(picture, index, &tables, &parts, coefficients, unstuffed);
        scans.push(reader.map_err(|damage| Damaged { damage, scan: index, interval: 0, position: 0 })?);
    }
    for row in 0..rows {
        for scan in &mut scans {
            scan.decode_row(kernel, unstuffed, coefficients, row).map_err(|damage| scan.cursor.damaged(damage))?;
        }
        for (component, part) in parts.iter().enumerate() {
            for y in 0..part.v {
                let start = part.base + y * part.stride;
                deliver(kernel, coefficients, assembler, (component, y), start..start + part.stride);
            }
        }
        assembler.end_mcu_row();
    }
    for scan in &scans {
        scan.cursor.finish(unstuffed).map_err(|damage| scan.cursor.damaged(damage))?;
    }
    Ok(())
}

/// Completes a row of a component's blocks and passes them on.
fn deliver(
    kernel: Kernel,
    coefficients: &mut Coefficients,
    assembler: &mut Assembler<'_>,
    (component, y): (usize, usize),
    row: Range<usize>,
) {
    let mut at = row.start;
    while at < row.end {
        let range = at..row.end.min(at + BLOCKS_AT_ONCE);
        if !coefficients.nonzero.is_empty() {
            coefficients.merge(kernel, range.clone());
        }
        let (blocks, lasts) = (&mut coefficients.blocks[range.clone()], &mut coefficients.lasts[range.clone()]);
        assembler.blocks(component, y, at - row.start, blocks, lasts);
        at = range.end;
    }
}

/// The components' parts of a row of MCUs, and the rows of MCUs.
fn parts(picture: &Picture) -> (Vec<Part>, usize) {
    let components = &picture.components;
    let max_h = components.iter().map(|component| component.h).max().unwrap_or(1);
    let max_v = components.iter().map(|component| component.v).max().unwrap_or(1);
    let (width, height) = (picture.header.width, picture.header.height);
    let mut base = 0;
    let mut parts = Vec::with_capacity(components.len());
    for component in components {
        let (h, v) = (component.h, component.v);
        let stride = width.div_ceil(8 * max_h) * h;
        // T.81 A.1.1 and A.2.4.
        let columns = (width * h).div_ceil(max_h).div_ceil(8);
        let rows = (height * v).div_ceil(max_v).div_ceil(8);
        parts.push(Part { h, v, base, stride, columns, rows });
        base += stride * v;
    }
    (parts, height.div_ceil(8 * max_v))
}

/// Tables of one kind, by the index of what they are made of.
struct Made<T>(Vec<(usize, Arc<T>)>);

impl<T> Made<T> {
    /// Makes a table, unless there is one of the same content; `None` if it is none.
    fn make(&mut self, specs: &[Spec], index: usize, new: impl FnOnce(&Spec) -> Option<Arc<T>>) -> Option<()> {
        let spec = specs.get(index)?;
        if self.get(index).is_none() {
            let same = self.0.iter().find(|(known, _)| specs.get(*known) == Some(spec));
            let table = if let Some((_, table)) = same { Arc::clone(table) } else { new(spec)? };
            self.0.push((index, table));
        }
        Some(())
    }

    fn get(&self, index: usize) -> Option<&T> {
        self.0.iter().find(|(known, _)| *known == index).map(|(_, table)| &**table)
    }
}

/// The tables of all scans.
struct Tables {
    dc: Made<DcTable>,
    ac: Made<AcTable>,
    first: Made<AcTable>,
    refine: Made<RefineTable>,
}

impl Tables {
    fn new() -> Self {
        Self { dc: Made(Vec::new()), ac: Made(Vec::new()), first: Made(Vec::new()), refine: Made(Vec::new()) }
    }

    /// Makes those of a scan; `None` if libjpeg would refuse them.
    fn make(&mut self, picture: &Picture, scan: &Scan) -> Option<()> {
        let specs = &picture.tables;
        for part in &scan.components {
            match Kind::of(picture, scan) {
                Kind::Sequential => {
                    self.dc.make(specs, part.dc?, DcTable::new)?;
                    self.ac.make(specs, part.ac?, |spec| Some(AcTable::new(spec, true)))?;
                }
                Kind::DcFirst => self.dc.make(specs, part.dc?, DcTable::new)?,
                Kind::DcRefine => {}
                Kind::AcFirst => self.first.make(specs, part.ac?, |spec| Some(AcTable::for_first_scan(spec)))?,
                Kind::AcRefine => self.refine.make(specs, part.ac?, |spec| Some(RefineTable::new(spec)))?,
            }
        }
        Some(())
    }
}

/// What a scan brings.
#[derive(Clone, Copy)]
enum Kind {
    Sequential,
    DcFirst,
    DcRefine,
    AcFirst,
    AcRefine,
}

impl Kind {
    fn of(picture: &Picture, scan: &Scan) -> Self {
        match (picture.header.progressive, scan.spectral.0, scan.approximation.0) {
            (false, ..) => Self::Sequential,
            (true, 0, 0) => Self::DcFirst,
            (true, 0, _) => Self::DcRefine,
            (true, _, 0) => Self::AcFirst,
            (true, ..) => Self::AcRefine,
        }
    }
}

/// How a scan is decoded.
enum Job<'t> {
    Sequential(Vec<Unit<'t>>),
    DcFirst(Vec<DcUnit<'t>>),
    DcRefine(Vec<DcUnit<'t>>),
    AcFirst(First<'t>),
    /// With the index of its bit plane.
    AcRefine(Refinement<'t>, usize),
}

/// A scan on its way through the picture.
struct Reader<'t> {
    cursor: Cursor<'t>,
    restart_interval: usize,
    job: Job<'t>,
    /// The bit position that the scan brings.
    low: u32,
    predictions: [i32; 4],
    eob_run: u32,
    /// Where each block of the first MCU lies.
    origins: Vec<usize>,
    /// MCUs in a row.
    columns: usize,
    /// Of a scan of one component, whose MCUs are its own blocks (T.81 A.2.2): its block rows, those in a row of MCUs, and
    /// the blocks from one to the next.
    lines: Option<Lines>,
}

struct Lines {
    rows: usize,
    v: usize,
    stride: usize,
}

impl<'t> Reader<'t> {
    fn new(
        picture: &Picture,
        index: usize,
        tables: &'t Tables,
        parts: &[Part],
        coefficients: &Coefficients,
        unstuffed: &'t Unstuffed,
    ) -> Result<Self, Damage> {
        let scan = &picture.scans[index];
        let missing = Damage::BadCode;
        // The blocks of an MCU: the scan's component, the place of the first one, and how far it is to the next MCU's.
        let mut blocks = Vec::with_capacity(10);
        let mut lines = None;
        if let [only] = &scan.components[..] {
            let Part { v, base, stride, rows, .. } = parts[only.index];
            blocks.push((only, 0, base, 1));
            lines = Some(Lines { rows, v, stride });
        } else {
            for (at, component) in scan.components.iter().enumerate() {
                let Part { h, v, base, stride, .. } = parts[component.index];
                let places = (0..v).flat_map(|y| (0..h).map(move |x| base + y * stride + x));
                blocks.extend(places.map(|place| (component, at, place, h)));
            }
        }
        let columns = match &scan.components[..] {
            [only] => parts[only.index].columns,
            [first, ..] => parts[first.index].stride / parts[first.index].h,
            [] => 0,
        };
        let low = scan.approximation.1;
        let dc = |part: &ScanComponent| part.dc.and_then(|index| tables.dc.get(index));
        let dc_units = || {
            let unit = |&(part, component, first, step)| DcUnit { table: dc(part), component, first, step };
            blocks.iter().map(unit).collect()
        };
        let ac = scan.components.first().and_then(|part| part.ac).ok_or(missing);
        let job = match Kind::of(picture, scan) {
            Kind::Sequential => {
                let mut units = Vec::with_capacity(blocks.len());
                for &(part, component, first, step) in &blocks {
                    let ac = part.ac.and_then(|index| tables.ac.get(index)).ok_or(missing)?;
                    units.push(Unit { dc: dc(part).ok_or(missing)?, ac, component, first, step });
                }
                Job::Sequential(units)
            }
            Kind::DcFirst => Job::DcFirst(dc_units()),
            Kind::DcRefine => Job::DcRefine(dc_units()),
            // Table entries of eight bits times this could leave 16 bits.
            Kind::AcFirst if low > MAX_LOW => return Err(Damage::Unusual),
            Kind::AcFirst => Job::AcFirst(First::new(tables.first.get(ac?).ok_or(missing)?, scan.spectral, low)),
            Kind::AcRefine => {
                let table = tables.refine.get(ac?).ok_or(missing)?;
                let plane = coefficients.planes.iter().position(|plane| plane.low == low).ok_or(missing)?;
                Job::AcRefine(Refinement::new(table, scan.spectral), plane)
            }
        };
        Ok(Self {
            cursor: Cursor::new(unstuffed, index, scan.restart_interval),
            restart_interval: scan.restart_interval,
            job,
            low: u32::from(low),
            predictions: [0; 4],
            eob_run: 0,
            origins: blocks.iter().map(|&(_, _, place, _)| place).collect(),
            columns,
            lines,
        })
    }

    /// Decodes the scan's part of a row of MCUs.
    fn decode_row(
        &mut self,
        kernel: Kernel,
        unstuffed: &'t Unstuffed,
        coefficients: &mut Coefficients,
        row: usize,
    ) -> Result<(), Damage> {
        let (lines, stride) = match &self.lines {
            Some(lines) => (lines.v.min(lines.rows.saturating_sub(row * lines.v)), lines.stride),
            None => (1, 0),
        };
        for line in 0..lines {
            let mut column = 0;
            while column < self.columns {
                let (predictions, eob_run) = (&mut self.predictions, &mut self.eob_run);
                let left = self.cursor.until_restart(unstuffed, self.restart_interval, || {
                    *predictions = [0; 4];
                    *eob_run = 0;
                })?;
                let count = left.min(self.columns - column).min(sequential::MAX_MCUS);
                self.decode_mcus(kernel, coefficients, (line * stride, column), count)?;
                self.cursor.decoded(count)?;
                column += count;
            }
        }
        Ok(())
    }

    /// Decodes `count` MCUs from a column on; `line` is the distance of their blocks from those of the first line.
    fn decode_mcus(
        &mut self,
        kernel: Kernel,
        coefficients: &mut Coefficients,
        (line, column): (usize, usize),
        count: usize,
    ) -> Result<(), Damage> {
        let Coefficients { blocks, lasts, dc, nonzero, negative, planes } = coefficients;
        let (bits, eob_run, predictions) = (self.cursor.bits, &mut self.eob_run, &mut self.predictions);
        // Of a scan of one component.
        let first = self.origins.first().map_or(0, |origin| origin + line + column);
        let range = first..first + count;
        self.cursor.bits = match &mut self.job {
            Job::Sequential(units) => {
                for (unit, origin) in units.iter_mut().zip(&self.origins) {
                    unit.first = origin + line + column * unit.step;
                }
                sequential::decode(kernel, bits, units, predictions, count, blocks, lasts)?
            }
            Job::DcFirst(units) => {
                for (unit, origin) in units.iter_mut().zip(&self.origins) {
                    unit.first = origin + line + column * unit.step;
                }
                progressive::decode_dc(kernel, bits, units, predictions, self.low, count, dc)?
            }
            Job::DcRefine(units) => {
                for (unit, origin) in units.iter_mut().zip(&self.origins) {
                    unit.first = origin + line + column * unit.step;
                }
                progressive::refine_dc(bits, units, self.low, count, dc)
            }
            Job::AcFirst(first) => {
                first.decode(kernel, bits, eob_run, &mut blocks[range.clone()], &mut nonzero[range])?
            }
            Job::AcRefine(refinement, plane) => {
                let maps = Maps {
                    nonzero: &mut nonzero[range.clone()],
                    negative: &mut negative[range.clone()],
                    plane: &mut planes[*plane].maps[range],
                };
                refinement.decode(kernel, bits, eob_run, maps)?
            }
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests;
