//! A scan's reader and its restart intervals (T.81 F.2.2.4).

use super::Damage;
use super::bits::Bits;
use super::unstuff::Unstuffed;

/// Damage, and where: the scan, its restart interval and the bit of its unstuffed data at which the reader stood.
pub(crate) struct Damaged {
    pub(crate) damage: Damage,
    pub(crate) scan: usize,
    pub(crate) interval: usize,
    pub(crate) position: usize,
}

/// Where a scan's reader stands.
pub(crate) struct Cursor<'a> {
    scan: usize,
    interval: usize,
    pub(crate) bits: Bits<'a>,
    /// The bit behind the current restart interval.
    end: usize,
    /// MCUs until the next restart.
    left: usize,
}

impl<'a> Cursor<'a> {
    /// At the start of a scan's data.
    pub(crate) fn new(unstuffed: &'a Unstuffed, scan: usize, restart_interval: usize) -> Self {
        let range = unstuffed.interval(scan, 0).unwrap_or(0..0);
        let left = if restart_interval == 0 { usize::MAX } else { restart_interval };
        Self { scan, interval: 0, bits: Bits::new(&unstuffed.data, range.start), end: range.end * 8, left }
    }

    /// MCUs until the next restart, at least 1. At a restart the reader goes on to the next interval; `restarted` is called.
    pub(crate) fn until_restart(
        &mut self,
        unstuffed: &'a Unstuffed,
        restart_interval: usize,
        restarted: impl FnOnce(),
    ) -> Result<usize, Damage> {
        if self.left == 0 {
            self.check_end()?;
            self.interval += 1;
            // Without the marker that is due here libjpeg looks for one further on, and warns.
            let range = unstuffed.interval(self.scan, self.interval).ok_or(Damage::Premature)?;
            self.bits = Bits::new(&unstuffed.data, range.start);
            (self.end, self.left) = (range.end * 8, restart_interval);
            restarted();
        }
        Ok(self.left)
    }

    /// Counts decoded MCUs; they must have come from the interval's own data.
    pub(crate) fn decoded(&mut self, mcus: usize) -> Result<(), Damage> {
        self.left -= mcus;
        if self.bits.position() > self.end { Err(Damage::Premature) } else { Ok(()) }
    }

    fn check_end(&self) -> Result<(), Damage> {
        match self.end.checked_sub(self.bits.position()) {
            None => Err(Damage::Premature),
            // The last byte is filled up with ones, which nobody checks (T.81 F.1.2.3).
            Some(0..8) => Ok(()),
            Some(_) => Err(Damage::Extraneous),
        }
    }

    /// Behind the scan's last MCU: nothing of it may be left.
    pub(crate) fn finish(&self, unstuffed: &Unstuffed) -> Result<(), Damage> {
        self.check_end()?;
        if self.interval + 1 < unstuffed.intervals(self.scan) { Err(Damage::Extraneous) } else { Ok(()) }
    }

    /// Says where `damage` was found. What looks like a wrong code behind the interval's end is the end.
    pub(crate) fn damaged(&self, damage: Damage) -> Damaged {
        let position = self.bits.position();
        let damage = if damage == Damage::BadCode && position > self.end { Damage::Premature } else { damage };
        Damaged { damage, scan: self.scan, interval: self.interval, position: position.min(self.end) }
    }
}
