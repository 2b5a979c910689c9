//! What an archive may have beside its members, for the log.

use super::directory::{Entry, UNICODE_PATH_EXTRA};
use super::fields::{ZIP64_EXTRA, extra_fields};
use super::locate::Location;

/// Counts of what was let pass.
#[derive(Debug, Clone, Default)]
pub(super) struct Tolerated {
    pub(super) in_front: u64,
    pub(super) between: u64,
    comment: u64,
    trailing: u64,
    folders: u64,
    with_unknown_extra: u64,
}

impl Tolerated {
    pub(super) const COUNTS: usize = 6;

    /// All counts, for [`Self::of`].
    pub(super) fn counts(&self) -> [u64; Self::COUNTS] {
        [self.in_front, self.between, self.comment, self.trailing, self.folders, self.with_unknown_extra]
    }

    pub(super) fn of([in_front, between, comment, trailing, folders, with_unknown_extra]: [u64; Self::COUNTS]) -> Self {
        Self { in_front, between, comment, trailing, folders, with_unknown_extra }
    }

    /// What the end of the file shows.
    pub(super) fn around(location: &Location) -> Self {
        Self { comment: location.comment_bytes, trailing: location.trailing_nuls, ..Self::default() }
    }

    /// Counts what one entry shows; `extra` is its extra block in the directory.
    pub(super) fn count(&mut self, entry: &Entry, extra: &[u8]) {
        let is_unknown = |id: u16| id != ZIP64_EXTRA && id != UNICODE_PATH_EXTRA;
        self.folders += u64::from(entry.is_folder());
        self.with_unknown_extra += u64::from(extra_fields(extra).flatten().any(|(id, _)| is_unknown(id)));
    }

    pub(super) fn sentences(&self) -> Vec<String> {
        let what = [
            "bytes before the first member",
            "bytes between members (local extra fields, data descriptors, gaps)",
            "bytes of archive comment",
            "NULs after the end",
            "folders",
            "entries with unknown extra fields",
        ];
        let counts = self.counts().into_iter().zip(what).filter(|(count, _)| *count > 0);
        counts.map(|(count, what)| format!("{count} {what}")).collect()
    }
}
