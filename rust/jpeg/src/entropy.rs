//! Entropy-coded data to quantised coefficients (T.81 Annexes F and G).
#![allow(clippy::inline_always, reason = "the bit reader has to be compiled for BMI2 with the functions that use it")]

pub(crate) mod bits;
pub(crate) mod cursor;
pub(crate) mod huffman;
pub(crate) mod progressive;
pub(crate) mod sequential;
pub(crate) mod unstuff;

/// What is wrong with entropy-coded data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Damage {
    /// A bit sequence that is no code of its Huffman table.
    BadCode,
    /// The data of a scan or of a restart interval ends before its last block.
    Premature,
    /// Whole bytes are left over behind the last block of a scan or of a restart interval.
    Extraneous,
    /// The differences of DC coefficients add up to more than libjpeg-turbo takes.
    DcOverflow,
    /// Coefficients outside of the scan's band or out of range, which libjpeg-turbo stores somehow and says nothing of.
    Unusual,
}

/// Natural (row by row) place of each zigzag index (T.81 Figure A.6), and 63 for the places behind: a run of zeros may pass
/// the end of the block, and libjpeg stores the coefficient behind it in the last place.
pub(crate) const NATURAL: [u8; 128] = {
    let mut natural = [63; 128];
    let (mut index, mut row, mut column) = (0, 0_usize, 0_usize);
    while index < 64 {
        natural[index] = (row * 8 + column) as u8;
        // Up and to the right on even diagonals, down and to the left on odd ones.
        if (row + column).is_multiple_of(2) {
            if column == 7 {
                row += 1;
            } else {
                column += 1;
                row = row.saturating_sub(1);
            }
        } else if row == 7 {
            column += 1;
        } else {
            row += 1;
            column = column.saturating_sub(1);
        }
        index += 1;
    }
    natural
};

#[cfg(test)]
mod tests {
    use super::NATURAL;

    #[test]
    fn zigzag_is_that_of_the_standard() {
        let head = [0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5];
        assert_eq!(NATURAL[..16], head);
        assert_eq!(NATURAL[56..66], [53, 60, 61, 54, 47, 55, 62, 63, 63, 63]);
        let mut sorted = NATURAL[..64].to_vec();
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(0..64));
    }
}
