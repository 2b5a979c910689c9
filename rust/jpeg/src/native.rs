//! The own decoder: headers, entropy-coded data and pixels, put together.

use std::sync::Arc;

use crate::back::{self, Assembler, Block, Kernel, Layout, Target};
use crate::entropy::Damage;
use crate::entropy::cursor::{Cursor, Damaged};
use crate::entropy::huffman::{AcTable, DcTable, Spec};
use crate::entropy::progressive::Coefficients;
use crate::entropy::sequential::{self, Unit};
use crate::entropy::unstuff::Unstuffed;
use crate::header::{Component, Picture, Scan, ScanComponent};
use crate::lockstep;
use crate::{Error, ErrorKind};

/// MCUs decoded before their blocks are transformed: few enough that the blocks stay in the first-level cache.
const MCUS_AT_ONCE: usize = 8;

/// A scan of fewer bytes is decoded before tables of pairs would be made.
const PAIRS_FROM_BYTES: usize = 600;

/// Tables kept for the next images: files of one encoder share the standard ones.
const KEPT_TABLES: usize = 8;

/// What a thread keeps from image to image: buffers, and the last images' Huffman tables.
#[derive(Default)]
pub struct Scratch {
    unstuffed: Unstuffed,
    tables: Tables,
    blocks: Vec<Block>,
    lasts: Vec<u8>,
    coefficients: Coefficients,
    back: back::Scratch,
}

/// Tables by what they are made of, the last used first.
struct Cache<T>(Vec<(Spec, Arc<T>)>);

impl<T> Default for Cache<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Cache<T> {
    /// The table of a specification, made now if there is none that suits.
    fn get(
        &mut self,
        spec: &Spec,
        suits: impl Fn(&T) -> bool,
        make: impl FnOnce(&Spec) -> Option<Arc<T>>,
    ) -> Option<Arc<T>> {
        if let Some(at) = self.0.iter().position(|(known, table)| known == spec && suits(table)) {
            self.0[..=at].rotate_right(1);
        } else {
            let table = make(spec)?;
            self.0.truncate(KEPT_TABLES - 1);
            self.0.insert(0, (spec.clone(), table));
        }
        self.0.first().map(|(_, table)| Arc::clone(table))
    }
}

/// Huffman tables that were made for this image or the last ones.
#[derive(Default)]
pub(crate) struct Tables {
    dc: Cache<DcTable>,
    ac: Cache<AcTable>,
}

impl Tables {
    /// Those of a component's part in a sequential scan of `bytes` bytes; `None` if libjpeg would refuse them.
    fn sequential(
        &mut self,
        picture: &Picture,
        part: &ScanComponent,
        bytes: usize,
    ) -> Option<(Arc<DcTable>, Arc<AcTable>)> {
        let has_pairs = bytes >= PAIRS_FROM_BYTES;
        let dc = self.dc.get(picture.tables.get(part.dc?)?, |_| true, DcTable::new)?;
        let suits = |table: &AcTable| table.has_pairs || !has_pairs;
        let ac = self.ac.get(picture.tables.get(part.ac?)?, suits, |spec| Some(AcTable::new(spec, has_pairs)))?;
        Some((dc, ac))
    }
}

/// What is decoded: headers, unstuffed scans, and the code to do it with.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) picture: &'a Picture,
    pub(crate) kernel: Kernel,
    pub(crate) layout: &'a Layout,
    pub(crate) unstuffed: &'a Unstuffed,
}

/// Why the own decoder delivers nothing.
pub(crate) enum Refusal {
    /// The data is damaged.
    Damaged(Error),
    /// Something about which libjpeg-turbo sometimes warns and sometimes not: it is asked.
    AskTurbo,
}

/// Decodes a picture whose headers [`crate::header::parse`] has read.
pub(crate) fn decode<'t>(
    picture: &Picture,
    bytes: &[u8],
    kernel: Kernel,
    layout: &Layout,
    target: Target<'t>,
    scratch: &'t mut Scratch,
) -> Result<(), Refusal> {
    let Scratch { unstuffed, tables, blocks, lasts, coefficients, back } = scratch;
    unstuffed.clear();
    let mut end = picture.end;
    for scan in &picture.scans {
        let Some(marker) = unstuffed.push_scan(bytes, scan.data, scan.restart_interval > 0) else {
            return Err(Refusal::Damaged(Error::new(ErrorKind::OutOfMemory, "no memory for a scan's data")));
        };
        if !is_marker(bytes, marker) {
            return Err(Refusal::AskTurbo);
        }
        end.get_or_insert(marker);
    }
    if !is_quiet_end(bytes, end.unwrap_or_default()) {
        return Err(Refusal::AskTurbo);
    }
    let mut assembler = Assembler::new(layout, kernel, target, back).map_err(Refusal::Damaged)?;
    let decoded = if let ([scan], false) = (&picture.scans[..], picture.header.progressive) {
        let source = Source { picture, kernel, layout, unstuffed };
        decode_whole(&source, scan, tables, blocks, lasts, &mut assembler)
    } else {
        lockstep::prepare(picture, coefficients).map_err(Refusal::Damaged)?;
        lockstep::decode(picture, kernel, unstuffed, coefficients, &mut assembler)
    };
    decoded.map_err(|damaged| {
        let offset = unstuffed.offset_in_file(bytes, damaged.scan, damaged.position / 8);
        // The last data of the file: what stands behind it was found quiet, the end marker or nothing.
        let is_last =
            damaged.scan + 1 == picture.scans.len() && damaged.interval + 1 == unstuffed.intervals(damaged.scan);
        refusal(&damaged, offset, is_last, assembler.progress())
    })?;
    assembler.finish();
    Ok(())
}

/// `is_last`: the damage is in the file's last data. `progress`: MCU rows decoded, and those of the picture.
fn refusal(damaged: &Damaged, offset: usize, is_last: bool, progress: (usize, usize)) -> Refusal {
    let scan = damaged.scan + 1;
    let (kind, what) = match damaged.damage {
        Damage::Extraneous | Damage::Unusual => return Refusal::AskTurbo,
        Damage::BadCode => (ErrorKind::Corrupt, "is no Huffman code"),
        Damage::Premature if is_last => {
            let (rows, of) = progress;
            let message = format!("ends after {rows} of {of} MCU rows ({} %)", rows * 100 / of.max(1));
            return Refusal::Damaged(Error::new(ErrorKind::Truncated, message).at(offset));
        }
        Damage::Premature => (ErrorKind::Corrupt, "is where data ends too early, though the file goes on"),
        Damage::DcOverflow => (ErrorKind::Corrupt, "makes a DC coefficient overflow"),
    };
    Refusal::Damaged(Error::new(kind, format!("what stands at byte {offset} {what} (scan {scan})")).at(offset))
}

/// Whether there is a marker, or the end, behind restart markers that were not expected: libjpeg-turbo passes over them alone.
fn is_marker(bytes: &[u8], mut at: usize) -> bool {
    while let [0xFF, 0xD0..=0xD7 | 0xFF, ..] = bytes.get(at..).unwrap_or_default() {
        at += 1 + usize::from(bytes[at + 1] != 0xFF);
    }
    matches!(bytes.get(at..).unwrap_or_default(), [] | [0xFF] | [0xFF, 1..=0xFF, ..])
}

/// Whether libjpeg-turbo finds nothing to say about what stands behind the last scan. That the end marker itself is missing
/// is tolerated: all MCUs are there.
fn is_quiet_end(bytes: &[u8], mut at: usize) -> bool {
    loop {
        match bytes.get(at..).unwrap_or_default() {
            [] | [0xFF] | [0xFF, 0xD9, ..] => return true,
            [0xFF, 0xFF, ..] => at += 1,
            [0xFF, 0x01 | 0xD0..=0xD7, ..] => at += 2,
            // APP0 and APP14 are read by libjpeg, which may not like them.
            [0xFF, 0xE1..=0xED | 0xEF | 0xFE, high, low, ..] => {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                at += 2 + length;
                if length < 2 || at > bytes.len() {
                    return false;
                }
            }
            _ => return false,
        }
    }
}

/// Rows and columns of MCUs.
pub(crate) fn mcus(layout: &Layout) -> (usize, usize) {
    let max = |side: fn(&back::Component) -> usize| layout.components.iter().map(side).max().unwrap_or(1);
    let (h, v) = (max(|component| component.h), max(|component| component.v));
    (layout.height.div_ceil(8 * v), layout.width.div_ceil(8 * h))
}

/// Decodes a picture of one sequential scan.
fn decode_whole(
    source: &Source<'_>,
    scan: &Scan,
    tables: &mut Tables,
    blocks: &mut Vec<Block>,
    lasts: &mut Vec<u8>,
    assembler: &mut Assembler<'_>,
) -> Result<(), Damaged> {
    let Source { picture, kernel, layout, unstuffed } = *source;
    let mut cursor = Cursor::new(unstuffed, 0, scan.restart_interval);
    let mut pairs = Vec::with_capacity(4);
    for part in &scan.components {
        pairs.push(
            tables.sequential(picture, part, unstuffed.data.len()).ok_or_else(|| cursor.damaged(Damage::BadCode))?,
        );
    }
    // The blocks of the MCUs at hand: by component, block row, MCU, block column.
    let mut units = Vec::with_capacity(10);
    let mut rows_of_blocks = Vec::with_capacity(10);
    let mut size = 0;
    for (at, (part, (dc, ac))) in scan.components.iter().zip(&pairs).enumerate() {
        let Component { h, v, .. } = picture.components[part.index];
        for y in 0..v {
            rows_of_blocks.push((part.index, y, h, size));
            units.extend((0..h).map(|x| Unit { dc, ac, component: at, first: size + x, step: h }));
            size += MCUS_AT_ONCE * h;
        }
    }
    blocks.clear();
    blocks.resize(size, Block::ZERO);
    lasts.resize(size, 0);
    let mut predictions = [0; 4];
    let (rows, columns) = mcus(layout);
    for _ in 0..rows {
        let mut column = 0;
        while column < columns {
            let left = cursor.until_restart(unstuffed, scan.restart_interval, || predictions = [0; 4]);
            let left = left.map_err(|damage| cursor.damaged(damage))?;
            let count = MCUS_AT_ONCE.min(columns - column).min(left);
            cursor.bits = sequential::decode(kernel, cursor.bits, &units, &mut predictions, count, blocks, lasts)
                .map_err(|damage| cursor.damaged(damage))?;
            cursor.decoded(count).map_err(|damage| cursor.damaged(damage))?;
            for &(component, y, h, first) in &rows_of_blocks {
                let range = first..first + count * h;
                assembler.blocks(component, y, column * h, &mut blocks[range.clone()], &lasts[range]);
            }
            column += count;
        }
        assembler.end_mcu_row();
    }
    cursor.finish(unstuffed).map_err(|damage| cursor.damaged(damage))
}
