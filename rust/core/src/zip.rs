//! The directory of a chunk: find it, read it, and say which members can be trusted. Never inflates.
//!
//! Everything here is read from untrusted bytes by APPNOTE 6.3.10, strictly: what two readers could understand in two
//! ways is refused. A fault of the archive is an error of [`locate`] or [`Directory::parse`]; a fault of one member is
//! kept in its [`Entry::fault`], and the others stay readable.
//!
//! Tolerated: folders, unknown extra fields, gaps between members that hold no further member, an archive comment, up to
//! 64 NULs after the end, and as many bytes in front as a limit allows (none). [`Directory::tolerated`] tells of it.
//!
//! Plain files are read like members: those of a folder laid end to end ([`Directory::bare`]), and those of an archive's
//! shard ([`Directory::in_shard`]).

mod directory;
mod fields;
mod local;
mod locate;
mod name;
mod shard;
mod table;
mod tolerated;

pub use directory::{Directory, Entry, Method};
pub(crate) use local::member_data;
pub use locate::{Location, TAIL_BYTES, identify, locate};
pub use shard::{Place, Surroundings};
