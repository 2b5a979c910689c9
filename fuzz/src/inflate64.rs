//! A deflate64 decoder for comparison: bit by bit, as the format is defined (APPNOTE 5.5, RFC 1951).

const LENGTH_BASE: [u16; 29] =
    [3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 3];
const LENGTH_EXTRA: [u8; 29] = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 16];
const CODE_LENGTH_ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

struct Bits<'a> {
    data: &'a [u8],
    position: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: u8) -> Option<usize> {
        let mut value = 0;
        for bit in 0..count {
            let byte = *self.data.get(self.position / 8)?;
            value |= usize::from(byte >> (self.position % 8) & 1) << bit;
            self.position += 1;
        }
        Some(value)
    }

    fn symbol(&mut self, code: &Code) -> Option<usize> {
        let (mut value, mut first, mut index) = (0, 0, 0);
        for count in &code.counts[1..] {
            value |= self.take(1)?;
            if value < first + count {
                return Some(code.symbols[index + value - first]);
            }
            index += count;
            first = (first + count) << 1;
            value <<= 1;
        }
        None
    }
}

/// A canonical Huffman code: symbols in its order, and how many there are of each length.
struct Code {
    counts: [usize; 16],
    symbols: Vec<usize>,
}

impl Code {
    /// `None` for lengths that no code has, and for an incomplete code of more than one symbol.
    fn new(lengths: &[u8]) -> Option<Self> {
        let mut counts = [0; 16];
        lengths.iter().for_each(|&length| counts[usize::from(length)] += 1);
        counts[0] = 0;
        let mut symbols: Vec<usize> = (0..lengths.len()).filter(|&symbol| lengths[symbol] > 0).collect();
        symbols.sort_by_key(|&symbol| lengths[symbol]);
        let mut left = 1_usize;
        for count in &counts[1..] {
            left = (left << 1).checked_sub(*count)?;
        }
        let single = symbols.len() == 1 && counts[1] == 1;
        (left == 0 || single || symbols.is_empty()).then_some(Self { counts, symbols })
    }
}

/// The bytes of a whole stream, or those before what is wrong with it.
pub(crate) fn inflate(data: &[u8], most: usize) -> Result<Vec<u8>, Vec<u8>> {
    let mut bits = Bits { data, position: 0 };
    let mut out = Vec::new();
    match blocks(&mut bits, &mut out, most) {
        Some(()) if bits.position.div_ceil(8) == data.len() => Ok(out),
        _ => Err(out),
    }
}

fn blocks(bits: &mut Bits<'_>, out: &mut Vec<u8>, most: usize) -> Option<()> {
    loop {
        let last = bits.take(1)? == 1;
        match bits.take(2)? {
            0 => stored(bits, out)?,
            1 => {
                let lengths: Vec<u8> = (0..288)
                    .map(|symbol| match symbol {
                        144..256 => 9,
                        256..280 => 7,
                        _ => 8,
                    })
                    .collect();
                coded(bits, out, &Code::new(&lengths)?, &Code::new(&[5; 32])?, most)?;
            }
            2 => {
                let (literals, distances) = codes(bits)?;
                coded(bits, out, &literals, &distances, most)?;
            }
            _ => return None,
        }
        if last {
            return Some(());
        }
    }
}

fn stored(bits: &mut Bits<'_>, out: &mut Vec<u8>) -> Option<()> {
    bits.position = bits.position.next_multiple_of(8);
    let (length, check) = (bits.take(16)?, bits.take(16)?);
    if length != !check & 0xFFFF {
        return None;
    }
    for _ in 0..length {
        out.push(bits.take(8)? as u8);
    }
    Some(())
}

fn codes(bits: &mut Bits<'_>) -> Option<(Code, Code)> {
    let literals = bits.take(5)? + 257;
    let distances = bits.take(5)? + 1;
    let code_lengths = bits.take(4)? + 4;
    let mut lengths = [0; 19];
    for &symbol in &CODE_LENGTH_ORDER[..code_lengths] {
        lengths[symbol] = bits.take(3)? as u8;
    }
    let code = Code::new(&lengths)?;
    let mut lengths: Vec<u8> = Vec::new();
    while lengths.len() < literals + distances {
        let (repeated, count) = match bits.symbol(&code)? {
            16 => (*lengths.last()?, bits.take(2)? + 3),
            17 => (0, bits.take(3)? + 3),
            18 => (0, bits.take(7)? + 11),
            length => (length as u8, 1),
        };
        lengths.extend(std::iter::repeat_n(repeated, count));
    }
    if lengths.len() > literals + distances || lengths[256] == 0 {
        return None;
    }
    Some((Code::new(&lengths[..literals])?, Code::new(&lengths[literals..])?))
}

fn coded(bits: &mut Bits<'_>, out: &mut Vec<u8>, literals: &Code, distances: &Code, most: usize) -> Option<()> {
    loop {
        match bits.symbol(literals)? {
            256 => return Some(()),
            symbol @ 0..256 => out.push(symbol as u8),
            symbol => {
                let at = symbol - 257;
                let length = usize::from(*LENGTH_BASE.get(at)?) + bits.take(LENGTH_EXTRA[at])?;
                let symbol = bits.symbol(distances)?;
                let extra = (symbol / 2).saturating_sub(1);
                let base = if symbol < 4 { symbol } else { (2 + symbol % 2) << extra };
                let distance = base + 1 + bits.take(extra as u8)?;
                for _ in 0..length {
                    out.push(*out.get(out.len().checked_sub(distance)?)?);
                }
            }
        }
        if out.len() > most {
            return None;
        }
    }
}
