//! Huffman tables for decoding (T.81 Annex C, F.2.2.3), made for lookups of two symbols at once.

use std::sync::Arc;

/// A table as DHT has it (T.81 B.2.4.2).
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Spec {
    /// Codes of each length, 1 to 16.
    pub(crate) counts: [u8; 16],
    /// The codes' symbols, zeros behind them.
    pub(crate) symbols: [u8; 256],
}

impl Spec {
    /// Whether the lengths are those of a prefix code without a code of ones alone (T.81 C.2), as libjpeg demands.
    pub(crate) fn is_code(&self) -> bool {
        // libjpeg checks from the shortest code to the longest; a table without codes passes.
        let mut code = 0_u32;
        let mut is_first = true;
        for (length, &count) in (1_u32..).zip(&self.counts) {
            if is_first && count == 0 {
                continue;
            }
            is_first = false;
            code += u32::from(count);
            if self.counts[length as usize - 1..].iter().any(|&count| count > 0) && code >= 1 << length {
                return false;
            }
            code <<= 1;
        }
        true
    }

    /// Number of symbols.
    pub(crate) fn len(&self) -> usize {
        self.counts.iter().map(|&count| usize::from(count)).sum()
    }
}

/// Search by length, for codes that are too long for a lookup.
struct Canonical {
    /// For each length 0 to 16: the first left-justified 16-bit pattern that no code of that length or of a shorter one begins.
    limits: [u32; 17],
    /// What to add to the code to have its symbol's index.
    offsets: [i32; 17],
    symbols: [u8; 256],
}

impl Canonical {
    fn new(spec: &Spec) -> Self {
        let (mut limits, mut offsets) = ([0; 17], [0; 17]);
        let (mut code, mut index) = (0_u32, 0_i32);
        for (length, &count) in (1_usize..).zip(&spec.counts) {
            offsets[length] = index - code as i32;
            code += u32::from(count);
            index += i32::from(count);
            limits[length] = (code << (16 - length)).max(limits[length - 1]);
            code <<= 1;
        }
        Self { limits, offsets, symbols: spec.symbols }
    }

    /// Length and symbol of the code at the top of `window`; `None` if there is none.
    fn find(&self, window: u64) -> Option<(u32, u8)> {
        let pattern = (window >> 48) as u32;
        let length = (1..=16).find(|&length| pattern < self.limits[length as usize])?;
        let code = (pattern >> (16 - length)) as i32;
        let index = code + self.offsets[length as usize];
        Some((length, self.symbols[index as usize & 255]))
    }
}

/// Bits of a lookup in [`DcTable`].
const DC_BITS: u32 = 9;

/// For DC differences: code lengths and categories.
pub(crate) struct DcTable {
    /// By the next 9 bits: code length in the low byte, category in the high one; 0 where no code is that short.
    lookup: [u16; 1 << DC_BITS],
    canonical: Canonical,
}

impl DcTable {
    /// `None` if a symbol is no category: libjpeg refuses the table then.
    pub(crate) fn new(spec: &Spec) -> Option<Arc<Self>> {
        if spec.symbols[..spec.len().min(256)].iter().any(|&category| category > 15) {
            return None;
        }
        let mut lookup = [0; 1 << DC_BITS];
        for_each_code(spec, DC_BITS, |start, length, category| {
            lookup[start..start + (1 << (DC_BITS - length))].fill((length as u16) | u16::from(category) << 8);
        });
        Some(Arc::new(Self { lookup, canonical: Canonical::new(spec) }))
    }

    /// Length and category of the code at the top of `window`, categories at most 15; `None` if there is none.
    #[inline(always)]
    pub(crate) fn find(&self, window: u64) -> Option<(u32, u32)> {
        let entry = self.lookup[(window >> (64 - DC_BITS)) as usize];
        if entry == 0 {
            return self.find_long(window);
        }
        Some((u32::from(entry & 0xFF), u32::from(entry >> 8)))
    }

    #[cold]
    #[inline(never)]
    fn find_long(&self, window: u64) -> Option<(u32, u32)> {
        self.canonical.find(window).map(|(length, category)| (length, u32::from(category)))
    }
}

/// Bits of a lookup in [`AcTable`]. With 12 bits fewer pairs are cut, but the tables are twice as large: equal.
pub(crate) const AC_BITS: u32 = 11;

/// One or two AC symbols with their extra bits, or why there are none: an entry of [`AcTable`].
///
/// | bits  | what                                                                                       |
/// | ----- | ------------------------------------------------------------------------------------------ |
/// | 0-5   | bits of all symbols and their extra bits; of the code alone if SLOW (0: longer than a lookup) |
/// | 6     | END: the block ends, behind the first symbol if there is one                                 |
/// | 7     | SLOW: the extra bits do not fit: the symbol is in bits 8-15                                  |
/// | 8-11  | zeros before the first coefficient                                                           |
/// | 12-15 | from the first coefficient's place to the second's; 0: there is no second                    |
/// | 16-23 | the first coefficient, signed                                                                |
/// | 24-31 | the second coefficient, signed; the first once more if there is no second                    |
///
/// A run of sixteen zeros is a symbol with the coefficient 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct AcEntry(pub(crate) u32);

impl AcEntry {
    pub(crate) const END: u32 = 1 << 6;
    pub(crate) const SLOW: u32 = 1 << 7;
    /// Bits that stop the fast loop: those of [`Self::END`] and [`Self::SLOW`].
    pub(crate) const STOP: u32 = Self::END | Self::SLOW;
}

/// For AC coefficients of sequential scans and of first progressive ones.
pub(crate) struct AcTable {
    pub(crate) lookup: [u32; 1 << AC_BITS],
    canonical: Canonical,
    /// Whether entries hold two symbols where they can.
    pub(crate) has_pairs: bool,
}

impl AcTable {
    /// Without pairs a table is made in half the time: better for the few symbols of a tiny picture.
    pub(crate) fn new(spec: &Spec, has_pairs: bool) -> Arc<Self> {
        let mut lookup = single_symbols(spec, false);
        if has_pairs {
            pair(&mut lookup);
        }
        Arc::new(Self { lookup, canonical: Canonical::new(spec), has_pairs })
    }

    /// For the first scan of a progressive band (T.81 G.1.2.2): ends of more than one band and runs of sixteen zeros are SLOW.
    pub(crate) fn for_first_scan(spec: &Spec) -> Arc<Self> {
        let mut lookup = single_symbols(spec, true);
        pair(&mut lookup);
        Arc::new(Self { lookup, canonical: Canonical::new(spec), has_pairs: true })
    }

    /// Length and symbol of the code at the top of `window`; `None` if there is none.
    #[cold]
    #[inline(never)]
    pub(crate) fn find(&self, window: u64) -> Option<(u32, u8)> {
        self.canonical.find(window)
    }
}

/// One or two symbols of a refinement scan with their signs (T.81 G.1.2.3): an entry of [`RefineTable`].
///
/// | bits  | what                                                                                          |
/// | ----- | --------------------------------------------------------------------------------------------- |
/// | 0-5   | bits of all symbols and signs; of the code alone if SLOW (0: longer than a lookup)              |
/// | 6     | END: the band ends, behind the first symbol if there is one                                     |
/// | 7     | SLOW: the symbol is in bits 8-15                                                                |
/// | 8-11  | zeros before the first new coefficient, or 15 of a run of sixteen                               |
/// | 12-15 | zeros from the first coefficient's place to the second's; 0: there is no second                 |
/// | 16-20 | bits of the first symbol and its sign; 0 if there is none, or if SLOW                           |
/// | 24-27 | whether the first is a coefficient, whether it is negative; the same of the second              |
pub(crate) struct RefineEntry;

impl RefineEntry {
    pub(crate) const END: u32 = 1 << 6;
    pub(crate) const SLOW: u32 = 1 << 7;
    pub(crate) const STOP: u32 = Self::END | Self::SLOW;
    /// The bits of [`Self::first_length`].
    pub(crate) const FIRST: u32 = 31 << 16;

    pub(crate) const fn first_length(entry: u32) -> u32 {
        entry >> 16 & 31
    }
}

/// Bits of a lookup in [`RefineTable`].
pub(crate) const REFINE_BITS: u32 = 10;

/// For AC coefficients of refinement scans.
pub(crate) struct RefineTable {
    pub(crate) lookup: [u32; 1 << REFINE_BITS],
    canonical: Canonical,
}

impl RefineTable {
    pub(crate) fn new(spec: &Spec) -> Arc<Self> {
        let mut single = [RefineEntry::SLOW; 1 << REFINE_BITS];
        for_each_code(spec, REFINE_BITS, |start, length, symbol| {
            let (run, size) = (u32::from(symbol >> 4), symbol & 15);
            let patterns = &mut single[start..start + (1 << (REFINE_BITS - length))];
            match (run, size) {
                (0, 0) => patterns.fill(length | RefineEntry::END),
                (15, 0) => patterns.fill(length | run << 8 | length << 16),
                (_, 1) if length < REFINE_BITS => {
                    let length = length + 1;
                    let entry = length | run << 8 | length << 16 | 1 << 24;
                    let (negative, positive) = patterns.split_at_mut(patterns.len() / 2);
                    negative.fill(entry | 1 << 25);
                    positive.fill(entry);
                }
                _ => patterns.fill(length | RefineEntry::SLOW | u32::from(symbol) << 8),
            }
        });
        let mut lookup = single;
        for (pattern, entry) in lookup.iter_mut().enumerate() {
            let taken = RefineEntry::first_length(*entry);
            let second = single[pattern << taken & ((1 << REFINE_BITS) - 1)];
            let (length, run) = (second & 63, second >> 8 & 15);
            if taken == 0 || taken + length > REFINE_BITS || second & RefineEntry::SLOW != 0 {
                continue;
            }
            if second & RefineEntry::END != 0 {
                *entry += length | RefineEntry::END;
            } else if run < 15 {
                *entry += length | (run + 1) << 12 | (second >> 24 & 3) << 26;
            }
        }
        Arc::new(Self { lookup, canonical: Canonical::new(spec) })
    }

    /// Length and symbol of the code at the top of `window`; `None` if there is none.
    pub(crate) fn find(&self, window: u64) -> Option<(u32, u8)> {
        self.canonical.find(window)
    }
}

/// Calls back with (first pattern, length, symbol) of all codes of at most `bits` bits, patterns left-justified in `bits` bits.
fn for_each_code(spec: &Spec, bits: u32, mut each: impl FnMut(usize, u32, u8)) {
    let mut start = 0;
    let mut symbols = spec.symbols.iter();
    for (length, &count) in (1..=bits).zip(&spec.counts) {
        for &symbol in symbols.by_ref().take(usize::from(count)) {
            // More codes of a length than there can be: such a table is refused before it comes here.
            if start >= 1 << bits {
                return;
            }
            each(start, length, symbol);
            start += 1 << (bits - length);
        }
    }
}

/// Entries of one symbol each.
fn single_symbols(spec: &Spec, is_progressive: bool) -> [u32; 1 << AC_BITS] {
    // Where no code begins, and where it is longer than the lookup, the search decides.
    let mut lookup = [AcEntry::SLOW; 1 << AC_BITS];
    for_each_code(spec, AC_BITS, |start, length, symbol| {
        let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
        let patterns = &mut lookup[start..start + (1 << (AC_BITS - length))];
        if size == 0 && run > 0 && is_progressive {
            patterns.fill(length | AcEntry::SLOW | u32::from(symbol) << 8);
        } else if size == 0 {
            // ZRL is sixteen zeros; any other run without a coefficient ends the block, as in libjpeg.
            let entry = if run == 15 { run << 8 } else { AcEntry::END };
            patterns.fill(length | entry);
        } else if length + size > AC_BITS || size > 7 {
            patterns.fill(length | AcEntry::SLOW | u32::from(symbol) << 8);
        } else {
            let same = patterns.len() >> size;
            for (extra, patterns) in (0_i32..).zip(patterns.chunks_exact_mut(same)) {
                let value = if extra >> (size - 1) == 0 { extra + 1 - (1 << size) } else { extra };
                let value = u32::from((value as i8).cast_unsigned());
                patterns.fill((length + size) | run << 8 | value << 16 | value << 24);
            }
        }
    });
    lookup
}

/// Joins each symbol with the one behind it where both fit into the lookup.
fn pair(lookup: &mut [u32; 1 << AC_BITS]) {
    let seconds = lookup.map(as_second);
    let mut at = 0;
    while at < lookup.len() {
        let entry = lookup[at];
        let taken = entry & 63;
        if entry & AcEntry::STOP != 0 {
            at += 1;
            continue;
        }
        // All patterns that begin with the same symbol follow one another; what is behind it are the patterns' other bits.
        let left = AC_BITS - taken;
        let patterns = &mut lookup[at..at + (1 << left)];
        at += patterns.len();
        for (pattern, joined) in patterns.iter_mut().zip(seconds.iter().step_by(1 << taken)) {
            let second = if joined & 63 <= left { *joined } else { 0 };
            // An end of block brings no coefficient: the first one is stored twice then, as where nothing is added.
            let is_coefficient = second & 15 << 12 != 0;
            *pattern = second + if is_coefficient { entry & 0x00FF_FFFF } else { entry };
        }
    }
}

/// What a symbol adds to the entry of one before it; a length that never fits for what cannot be a second symbol.
fn as_second(entry: u32) -> u32 {
    let (length, run, value) = (entry & 63, entry >> 8 & 15, entry >> 16 & 0xFF);
    let is_end = entry & AcEntry::END != 0;
    // Behind a run of fifteen, one place further would not fit into the four bits.
    let is_none = entry & AcEntry::SLOW != 0 || run == 15;
    let coefficient = length | (run + 1) << 12 | value << 24;
    let second = if is_end { length | AcEntry::END } else { coefficient };
    if is_none { 63 } else { second }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of luminance AC coefficients of T.81 Table K.5.
    pub(crate) fn standard_ac() -> Spec {
        let counts = [0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 0x7D];
        let head = [
            0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51, 0x61, 0x07, 0x22, 0x71,
            0x14, 0x32, 0x81, 0x91, 0xA1, 0x08, 0x23, 0x42, 0xB1, 0xC1, 0x15, 0x52, 0xD1, 0xF0, 0x24, 0x33, 0x62, 0x72,
        ];
        let mut symbols = [0; 256];
        symbols[..head.len()].copy_from_slice(&head);
        Spec { counts, symbols }
    }

    /// What the entry says, one symbol at a time, read from the specification alone.
    fn expected(spec: &Spec, pattern: u32) -> Vec<(u32, u8, Option<i32>)> {
        let canonical = Canonical::new(spec);
        let mut window = u64::from(pattern) << (64 - AC_BITS);
        let (mut left, mut found) = (AC_BITS, Vec::new());
        while let Some((length, symbol)) = canonical.find(window).filter(|&(length, _)| length <= left) {
            left -= length;
            window <<= length;
            let size = u32::from(symbol & 15);
            let value = (size <= left).then(|| super::super::bits::extend(window, size));
            found.push((length, symbol, value));
            if size > left || symbol.trailing_zeros() >= 4 && symbol != 0xF0 {
                break;
            }
            left -= size;
            window <<= size;
        }
        found
    }

    #[test]
    fn entries_hold_the_symbols_that_the_pattern_begins_with() {
        let spec = standard_ac();
        assert!(spec.is_code());
        let table = AcTable::new(&spec, true);
        for pattern in 0..1 << AC_BITS {
            let entry = table.lookup[pattern as usize];
            let symbols = expected(&spec, pattern);
            let (length, is_slow, is_end) = (entry & 63, entry & AcEntry::SLOW != 0, entry & AcEntry::END != 0);
            let advances = [entry >> 8 & 15, entry >> 12 & 15];
            let values = [(entry << 8).cast_signed() >> 24, entry.cast_signed() >> 24];
            match symbols[..] {
                [] => assert_eq!(entry, AcEntry::SLOW, "{pattern:011b}"),
                [(code, symbol, None), ..] => {
                    assert!(is_slow && length == code && entry >> 8 & 255 == u32::from(symbol), "{pattern:011b}");
                }
                [(code, symbol, Some(_)), ..] if symbol.trailing_zeros() >= 4 && symbol != 0xF0 => {
                    assert_eq!(entry, code | AcEntry::END, "{pattern:011b}");
                }
                [(code, symbol, Some(value)), ref rest @ ..] => {
                    let taken = code + u32::from(symbol & 15);
                    assert!(!is_slow && advances[0] == u32::from(symbol >> 4) && values[0] == value, "{pattern:011b}");
                    match rest {
                        [(code, symbol, Some(value)), ..] if *symbol >> 4 != 15 => {
                            let size = u32::from(symbol & 15);
                            assert_eq!(length, taken + code + size, "{pattern:011b}");
                            assert_eq!(is_end, size == 0);
                            let second = if size == 0 { (0, values[0]) } else { (u32::from(symbol >> 4) + 1, *value) };
                            assert_eq!((advances[1], values[1]), second, "{pattern:011b}");
                        }
                        _ => assert_eq!((length, is_end, advances[1], values[1]), (taken, false, 0, value)),
                    }
                }
            }
        }
    }

    #[test]
    fn dc_codes_of_all_lengths_are_found() {
        // One code of each length but the last, which has two less one: no code of ones alone.
        let mut symbols = [0; 256];
        for (symbol, at) in symbols.iter_mut().zip(0..16) {
            *symbol = at;
        }
        let spec = Spec { counts: [1; 16], symbols };
        assert!(spec.is_code());
        let Some(table) = DcTable::new(&spec) else { panic!("categories are below 16") };
        for category in 0..16_u32 {
            let ones = u64::MAX.checked_shl(64 - category).unwrap_or(0);
            assert_eq!(table.find(ones), Some((category + 1, category)));
        }
        assert_eq!(table.find(u64::MAX), None);
    }

    #[test]
    fn lengths_that_are_no_code_are_refused() {
        let spec = |counts| Spec { counts, symbols: [0; 256] };
        let with = |length: usize, count| {
            let mut counts = [0; 16];
            counts[length - 1] = count;
            spec(counts)
        };
        assert!(with(1, 1).is_code());
        assert!(!with(1, 2).is_code(), "a code of ones alone");
        assert!(with(8, 255).is_code());
        assert!(!with(7, 255).is_code());
        assert!(with(1, 0).is_code(), "no codes at all");
    }
}
