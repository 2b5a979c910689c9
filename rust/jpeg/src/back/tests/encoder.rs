//! An encoder of given coefficients: what any block, table and sampling would look like as a file.

use crate::back::{Block, Transform};

/// Zigzag order: the natural index of each (T.81 figure A.6).
pub(crate) const ZIGZAG: [usize; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];

/// A component with its blocks for all padded MCUs, row by row.
pub(crate) struct Coded {
    pub(crate) h: usize,
    pub(crate) v: usize,
    pub(crate) quant: [u16; 64],
    pub(crate) columns: usize,
    pub(crate) blocks: Vec<Block>,
}

/// A picture as coefficients.
pub(crate) struct Picture {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) components: Vec<Coded>,
    pub(crate) transform: Transform,
}

impl Picture {
    pub(crate) fn max_h(&self) -> usize {
        self.components.iter().map(|c| c.h).max().unwrap()
    }

    pub(crate) fn max_v(&self) -> usize {
        self.components.iter().map(|c| c.v).max().unwrap()
    }

    /// The file: one scan a component, each block with Huffman codes of one length for all symbols.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut file = vec![0xFF, 0xD8];
        // An Adobe segment says how the colours are coded (0: as they are, 1: YCbCr, 2: YCCK).
        let adobe = match (self.transform, self.components.len()) {
            (Transform::None, _) => 0,
            (Transform::YccToRgb, 3) => 1,
            (Transform::YccToRgb, _) => 2,
        };
        segment(&mut file, 0xEE, &[b"Adobe".as_slice(), &[0, 100, 0, 0, 0, 0, adobe]].concat());
        for (index, component) in self.components.iter().enumerate() {
            let mut table = vec![0x10 | index as u8];
            table.extend(ZIGZAG.iter().flat_map(|&i| component.quant[i].to_be_bytes()));
            segment(&mut file, 0xDB, &table);
        }
        let (height, width) = ((self.height as u16).to_be_bytes(), (self.width as u16).to_be_bytes());
        let mut frame = [&[8], height.as_slice(), &width, &[self.components.len() as u8]].concat();
        for (index, component) in self.components.iter().enumerate() {
            frame.extend([index as u8 + 1, (component.h << 4 | component.v) as u8, index as u8]);
        }
        segment(&mut file, 0xC1, &frame);
        // 16 codes of 5 bits for the sizes of DC differences, 256 of 9 bits for runs and sizes.
        let codes = |length: usize, count: u8| (1..=16).map(move |l| if l == length { count } else { 0 });
        segment(&mut file, 0xC4, &[0].into_iter().chain(codes(5, 16)).chain(0..16).collect::<Vec<_>>());
        // 255 is as many as the count of a length can say: the symbol 0xFF gets the next longer code.
        let lengths =
            (1..=16).map(|length| [(9, 255), (10, 1)].iter().find(|(l, _)| *l == length).map_or(0, |(_, n)| *n));
        segment(&mut file, 0xC4, &[0x10].into_iter().chain(lengths).chain(0..=255).collect::<Vec<_>>());
        for index in 0..self.components.len() {
            segment(&mut file, 0xDA, &[1, index as u8 + 1, 0, 0, 63, 0]);
            file.extend(self.scan(index));
        }
        file.extend([0xFF, 0xD9]);
        file
    }

    /// The entropy-coded data of a component: its blocks without those beyond the picture's edges.
    fn scan(&self, index: usize) -> Vec<u8> {
        let component = &self.components[index];
        let blocks = |side: usize, factor: usize, max: usize| (side * factor).div_ceil(max).div_ceil(8);
        let (columns, rows) =
            (blocks(self.width, component.h, self.max_h()), blocks(self.height, component.v, self.max_v()));
        let mut bits = Bits::default();
        let mut previous = 0;
        for block in (0..rows).flat_map(|y| (0..columns).map(move |x| &component.blocks[y * component.columns + x])) {
            let dc = i32::from(block.0[0]);
            let size = size(dc - previous);
            bits.put(size, 5);
            bits.put_value(dc - previous, size);
            previous = dc;
            let mut run = 0;
            for &natural in &ZIGZAG[1..] {
                let value = i32::from(block.0[natural]);
                if value == 0 {
                    run += 1;
                    continue;
                }
                while run > 15 {
                    bits.put(0xF0, 9);
                    run -= 16;
                }
                bits.put_symbol(run << 4 | self::size(value));
                bits.put_value(value, self::size(value));
                run = 0;
            }
            if run > 0 {
                bits.put(0, 9);
            }
        }
        bits.finish()
    }
}

fn size(value: i32) -> u32 {
    32 - value.unsigned_abs().leading_zeros()
}

fn segment(file: &mut Vec<u8>, code: u8, payload: &[u8]) {
    file.extend([0xFF, code]);
    file.extend((payload.len() as u16 + 2).to_be_bytes());
    file.extend(payload);
}

#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    pending: u64,
    count: u32,
}

impl Bits {
    fn put(&mut self, value: u32, length: u32) {
        self.pending = self.pending << length | u64::from(value);
        self.count += length;
        while self.count >= 8 {
            self.count -= 8;
            let byte = (self.pending >> self.count) as u8;
            self.bytes.push(byte);
            if byte == 0xFF {
                self.bytes.push(0);
            }
        }
    }

    fn put_symbol(&mut self, symbol: u32) {
        if symbol == 0xFF { self.put(0xFF << 1, 10) } else { self.put(symbol, 9) }
    }

    fn put_value(&mut self, value: i32, size: u32) {
        let bits = if value < 0 { value + (1 << size) - 1 } else { value };
        self.put(bits as u32, size);
    }

    fn finish(mut self) -> Vec<u8> {
        self.put(0x7F, 7);
        self.bytes
    }
}
