//! Entropy-coded segments without their stuffed zeros (T.81 B.1.1.5), so that the bit reader need not look for markers.

use std::ops::Range;

use memchr::memchr;

/// The data of one or more scans, unstuffed and cut at restart markers. Kept from image to image.
#[derive(Debug, Default)]
pub(crate) struct Unstuffed {
    /// The data of all scans, one behind the other.
    pub(crate) data: Vec<u8>,
    scans: Vec<ScanData>,
    /// Where each restart interval of each scan ends in `data`.
    ends: Vec<u32>,
}

#[derive(Debug)]
struct ScanData {
    /// Where it begins in `data`, and in the file.
    start: usize,
    source: usize,
    /// Its part of `ends`.
    intervals: Range<usize>,
}

impl Unstuffed {
    pub(crate) fn clear(&mut self) {
        self.data.clear();
        self.scans.clear();
        self.ends.clear();
    }

    /// Unstuffs the scan whose data begins at `bytes[source..]`, up to the first marker that is no restart marker in sequence,
    /// and gives the place of that marker or of the file's end; `None` if memory could not be had.
    ///
    /// Of a scan without restart intervals a restart marker is the end.
    pub(crate) fn push_scan(&mut self, bytes: &[u8], source: usize, has_restarts: bool) -> Option<usize> {
        // What is unstuffed is never longer than the file that it is made of.
        self.data.try_reserve(bytes.len().saturating_sub(source)).ok()?;
        let (start, first_interval) = (self.data.len(), self.ends.len());
        let mut at = source;
        let end = loop {
            let rest = bytes.get(at..)?;
            let Some(run) = memchr(0xFF, rest) else {
                self.data.extend_from_slice(rest);
                break bytes.len();
            };
            self.data.extend_from_slice(&rest[..run]);
            // Fill bytes may stand before a marker (T.81 B.1.1.2). Before a stuffed zero, where they may not, libjpeg-turbo
            // makes different things of them, without a word: that ends the scan here.
            let marker = at + run;
            let fill = rest[run..].iter().take_while(|&&byte| byte == 0xFF).count();
            let Some(&code) = bytes.get(marker + fill) else { break bytes.len() };
            at = marker + fill + 1;
            if code == 0 && fill == 1 {
                self.data.push(0xFF);
            } else if has_restarts && code == 0xD0 + ((self.ends.len() - first_interval) % 8) as u8 {
                self.push_end()?;
            } else {
                break marker;
            }
        };
        self.push_end()?;
        self.scans.push(ScanData { start, source, intervals: first_interval..self.ends.len() });
        Some(end)
    }

    /// Ends a restart interval; a file may consist of nothing else. `None` if memory could not be had.
    fn push_end(&mut self) -> Option<()> {
        self.ends.try_reserve(1).ok()?;
        self.ends.push(u32::try_from(self.data.len()).ok()?);
        Some(())
    }

    /// Where the data of a scan's restart interval lies in `data`; `None` if the scan has fewer intervals.
    pub(crate) fn interval(&self, scan: usize, interval: usize) -> Option<Range<usize>> {
        let ScanData { start, intervals, .. } = self.scans.get(scan)?;
        let end = *self.ends.get(intervals.clone())?.get(interval)?;
        let start = if interval == 0 { *start } else { self.ends[intervals.start + interval - 1] as usize };
        Some(start..end as usize)
    }

    /// How many restart intervals a scan has.
    pub(crate) fn intervals(&self, scan: usize) -> usize {
        self.scans.get(scan).map_or(0, |scan| scan.intervals.len())
    }

    /// Where in the file the byte `position` of `data` stands, for error messages.
    pub(crate) fn offset_in_file(&self, bytes: &[u8], scan: usize, position: usize) -> usize {
        let Some(ScanData { start, source, .. }) = self.scans.get(scan) else { return 0 };
        let mut left = position.saturating_sub(*start);
        let mut at = *source;
        while left > 0 && at < bytes.len() {
            // One byte of data each: a stuffed pair; or none: a restart marker. Fill bytes are taken for data.
            let is_marker = bytes[at] == 0xFF && bytes.get(at + 1).is_some_and(|code| (0xD0..=0xD7).contains(code));
            at += 1 + usize::from(bytes[at] == 0xFF);
            left -= usize::from(!is_marker);
        }
        at.min(bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unstuffed(bytes: &[u8], has_restarts: bool) -> (Option<usize>, Vec<u8>, Vec<u32>) {
        let mut scans = Unstuffed::default();
        let end = scans.push_scan(bytes, 0, has_restarts);
        (end, scans.data, scans.ends)
    }

    #[test]
    fn stuffed_zeros_go_and_the_marker_ends_the_scan() {
        let bytes = [1, 0xFF, 0, 2, 0xFF, 0, 0xFF, 0, 3, 0xFF, 0xFF, 0xD9, 4];
        assert_eq!(unstuffed(&bytes, true), (Some(9), vec![1, 0xFF, 2, 0xFF, 0xFF, 3], vec![6]));
        assert_eq!(unstuffed(&[1, 0xFF, 0xFF, 0, 2], true), (Some(1), vec![1], vec![1]), "a fill byte before a zero");
    }

    #[test]
    fn restart_markers_cut_the_data_while_they_are_in_sequence() {
        let bytes = [1, 0xFF, 0xD0, 2, 0xFF, 0xD1, 0xFF, 0xD3, 3];
        assert_eq!(unstuffed(&bytes, true), (Some(6), vec![1, 2], vec![1, 2, 2]));
        assert_eq!(unstuffed(&bytes, false), (Some(1), vec![1], vec![1]));
    }

    #[test]
    fn data_may_end_without_a_marker() {
        assert_eq!(unstuffed(&[1, 2], true), (Some(2), vec![1, 2], vec![2]));
        assert_eq!(unstuffed(&[1, 0xFF], true), (Some(2), vec![1], vec![1]));
        assert_eq!(unstuffed(&[], true), (Some(0), vec![], vec![0]));
    }

    #[test]
    fn places_in_the_data_are_places_in_the_file() {
        let bytes = [9, 9, 1, 0xFF, 0, 2, 0xFF, 0xD0, 3, 4];
        let mut scans = Unstuffed::default();
        scans.push_scan(&[5, 5, 5], 0, false);
        scans.push_scan(&bytes, 2, true);
        assert_eq!(scans.interval(1, 0), Some(3..6));
        assert_eq!(scans.interval(1, 1), Some(6..8));
        assert_eq!(scans.interval(1, 2), None);
        assert_eq!([3, 4, 5, 6, 7].map(|at| scans.offset_in_file(&bytes, 1, at)), [2, 3, 5, 6, 9]);
    }
}
