//! The files of an archive's shard as a directory: at any places, without headers, with a CRC-32C where it is known.

use std::ops::Range;

use super::directory::{Directory, Entry, append, no_memory};
use super::name::{self, Encoding};
use crate::error::{Code, Error, Result};
use crate::limits::Limits;

/// Where a file stands in its shard, as a row of the index says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The first byte.
    pub offset: u64,
    /// How many.
    pub size: u64,
    /// Their checksum, if it is known.
    pub crc32c: Option<u32>,
}

/// What surrounds the files of one directory: a shard may hold those of several.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// Bytes of the shard; none if there is no shard.
    pub shard_bytes: Option<u64>,
    /// Where the files that come before these end.
    pub before: u64,
    /// Where the first of those that come after these begins.
    pub after: Option<u64>,
}

impl Surroundings {
    /// The same place, if the shard holds it.
    ///
    /// # Errors
    /// [`Code::ShardMissing`], [`Code::ShardShort`].
    pub fn hold(&self, place: Place) -> Result<Place> {
        let Some(bytes) = self.shard_bytes else {
            return Err(Error::new(Code::ShardMissing, "there is none of that number"));
        };
        if place.offset.checked_add(place.size).is_none_or(|end| end > bytes) {
            let detail = format!("expected {} bytes at {}, the shard ends at {bytes}", place.size, place.offset);
            return Err(Error::new(Code::ShardShort, detail));
        }
        Ok(place)
    }
}

impl Directory {
    /// Files of a shard, each with its name and its place, or why it has none; and the range of the shard that holds
    /// them. The directory counts from that range's start.
    ///
    /// Rows are not trusted: what the shard does not hold, what shares bytes with another file, and names that a zip's
    /// member may not have, are faults of the files concerned. Memory is taken by the rows at hand.
    ///
    /// # Errors
    /// `limit_memory`.
    pub fn in_shard<N: AsRef<str>>(
        files: impl IntoIterator<Item = (N, Result<Place>)>,
        around: &Surroundings,
        limits: &Limits,
    ) -> Result<(Self, Range<u64>)> {
        let mut directory = Self::bare([""; 0], []);
        let mut follows = 0;
        for (name, place) in files {
            let (place, fault) = match place.and_then(|place| around.hold(place)) {
                Ok(place) => (place, None),
                // Nothing of it is read: it stands beside its neighbour.
                Err(error) => (Place { offset: follows, size: 0, crc32c: None }, Some(Box::new(error))),
            };
            follows = place.offset;
            let name = append(&mut directory.names, name.as_ref().as_bytes())?;
            let mut entry = Entry {
                fault,
                is_checked: place.crc32c.is_some(),
                ..Entry::plain(name, place.offset, place.size, place.crc32c.unwrap_or(0))
            };
            let named = &directory.names[entry.text.clone()];
            if entry.fault.is_none() {
                let fault = name::fault(named, Encoding::Utf8).or_else(|| entry.over_limit(limits));
                entry.fault = fault.map(Box::new);
            }
            directory.entries.try_reserve(1).map_err(no_memory)?;
            directory.entries.push(entry);
        }
        directory.refuse_shared(around)?;
        directory.index_names()?;
        let held = directory.count_from_start();
        Ok((directory, held))
    }

    /// Gives a fault to the files that share bytes with another. Empty ones may stand anywhere.
    fn refuse_shared(&mut self, around: &Surroundings) -> Result<()> {
        let mut order: Vec<u32> = Vec::new();
        order.try_reserve_exact(self.entries.len()).map_err(no_memory)?;
        order.extend((0..).zip(&self.entries).filter(|(_, entry)| entry.compressed_size > 0).map(|(index, _)| index));
        order.sort_by_key(|&index| self.entries[index as usize].header_offset);
        let after = around.after.unwrap_or(u64::MAX);
        let mut furthest: (u64, Option<usize>) = (around.before, None);
        for &index in &order {
            let index = index as usize;
            let (start, end) = (self.entries[index].header_offset, self.entries[index].stop);
            let (reached, other) = furthest;
            let shared = if start < reached { Some(reached.min(end)) } else { (end > after).then_some(end) };
            if let Some(shared) = shared {
                let other = if start < reached { other } else { None };
                for index in [Some(index), other].into_iter().flatten() {
                    let detail = format!("shares bytes before {shared} of the shard with another file");
                    self.entries[index].fault.get_or_insert_with(|| Error::new(Code::Overlap, detail).into());
                }
            }
            if end > reached {
                furthest = (end, Some(index));
            }
        }
        Ok(())
    }

    /// Moves all places to where the first file begins. Gives the range that they take.
    fn count_from_start(&mut self) -> Range<u64> {
        let filled = self.entries.iter().filter(|entry| entry.compressed_size > 0);
        let (start, stop) =
            filled.fold((u64::MAX, 0), |(start, stop), entry| (start.min(entry.header_offset), stop.max(entry.stop)));
        let held = start.min(stop)..stop;
        for entry in &mut self.entries {
            // An empty file's place does not matter.
            entry.header_offset = entry.header_offset.clamp(held.start, held.end) - held.start;
            entry.stop = entry.header_offset + entry.compressed_size;
        }
        held
    }
}
