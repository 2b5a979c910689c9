//! An encoder of given coefficients by any scan script: Huffman tables of random shapes, EOB runs, restart intervals.

use super::Random;

/// A component and its blocks for all padded MCUs, row by row, each in zigzag order.
pub(super) struct Coded {
    pub(super) h: usize,
    pub(super) v: usize,
    pub(super) columns: usize,
    pub(super) blocks: Vec<[i32; 64]>,
}

/// A picture as coefficients.
pub(super) struct Picture {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) components: Vec<Coded>,
    pub(super) is_progressive: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Scan {
    pub(super) components: Vec<usize>,
    pub(super) spectral: (usize, usize),
    /// Bit positions before the scan, 0 for none, and behind it.
    pub(super) approximation: (u32, u32),
    pub(super) restart_interval: usize,
}

/// What entropy-coded data is made of.
enum Item {
    /// A symbol of a table: 0 to 3 for DC, 4 to 7 for AC.
    Symbol(usize, u8),
    /// The low bits of a number.
    Bits(u32, u32),
    Restart,
}

impl Picture {
    fn max(&self) -> (usize, usize) {
        let side = |side: fn(&Coded) -> usize| self.components.iter().map(side).max().unwrap();
        (side(|component| component.h), side(|component| component.v))
    }

    /// The file; the quantisation table is one of `quant` alone.
    pub(super) fn encode(&self, random: &mut Random, quant: u8, scans: &[Scan]) -> Vec<u8> {
        let mut file = vec![0xFF, 0xD8];
        segment(&mut file, 0xDB, &[[0].as_slice(), &[quant; 64]].concat());
        let (height, width) = ((self.height as u16).to_be_bytes(), (self.width as u16).to_be_bytes());
        let mut frame = [&[8], height.as_slice(), &width, &[self.components.len() as u8]].concat();
        for (index, component) in self.components.iter().enumerate() {
            frame.extend([index as u8 + 1, (component.h << 4 | component.v) as u8, 0]);
        }
        segment(&mut file, if self.is_progressive { 0xC2 } else { 0xC1 }, &frame);
        let mut interval = 0;
        for scan in scans {
            if scan.restart_interval != interval {
                interval = scan.restart_interval;
                segment(&mut file, 0xDD, &(interval as u16).to_be_bytes());
            }
            self.scan(random, scan, &mut file);
        }
        file.extend([0xFF, 0xD9]);
        file
    }

    fn scan(&self, random: &mut Random, scan: &Scan, file: &mut Vec<u8>) {
        let mut coder = Coder::new(random, scan, self.is_progressive);
        for (count, mcu) in self.mcus(scan).iter().enumerate() {
            if scan.restart_interval > 0 && count > 0 && count % scan.restart_interval == 0 {
                coder.restart();
            }
            for &(at, block) in mcu {
                coder.block(at, block);
            }
        }
        coder.end_run();
        let items = coder.items;
        let mut codes = Vec::new();
        for table in 0..8 {
            let of_table =
                |item: &Item| if let Item::Symbol(t, symbol) = item { (*t == table).then_some(*symbol) } else { None };
            let used: Vec<u8> = items.iter().filter_map(of_table).collect();
            let (definition, code) = huffman(random, &used);
            codes.push(code);
            // Sequential scans need both tables of a component, whether they use them or not.
            if !used.is_empty() || !self.is_progressive && table % 4 < scan.components.len() {
                let slot = if table < 4 { table } else { 0x10 | (table - 4) };
                segment(file, 0xC4, &[[slot as u8].as_slice(), &definition].concat());
            }
        }
        let mut header = vec![scan.components.len() as u8];
        for (at, &component) in scan.components.iter().enumerate() {
            header.extend([component as u8 + 1, (at << 4 | at) as u8]);
        }
        let (high, low) = scan.approximation;
        header.extend([scan.spectral.0 as u8, scan.spectral.1 as u8, (high << 4 | low) as u8]);
        segment(file, 0xDA, &header);
        let mut writer = Writer::default();
        let mut restarts = 0;
        for item in items {
            match item {
                Item::Symbol(table, symbol) => {
                    let (code, length) = codes[table][usize::from(symbol)];
                    writer.put(code, length);
                }
                Item::Bits(value, count) => writer.put(value, count),
                Item::Restart => {
                    writer.fill();
                    writer.bytes.extend([0xFF, 0xD0 + restarts]);
                    restarts = (restarts + 1) % 8;
                }
            }
        }
        writer.fill();
        file.extend(writer.bytes);
    }

    /// The blocks of each MCU of a scan, with the index of their component in the scan (T.81 A.2).
    fn mcus(&self, scan: &Scan) -> Vec<Vec<(usize, &[i32; 64])>> {
        let (max_h, max_v) = self.max();
        let mut mcus = Vec::new();
        if let [only] = scan.components[..] {
            let component = &self.components[only];
            let columns = (self.width * component.h).div_ceil(max_h).div_ceil(8);
            let rows = (self.height * component.v).div_ceil(max_v).div_ceil(8);
            for y in 0..rows {
                mcus.extend((0..columns).map(|x| vec![(0, &component.blocks[y * component.columns + x])]));
            }
            return mcus;
        }
        for row in 0..self.height.div_ceil(8 * max_v) {
            for column in 0..self.width.div_ceil(8 * max_h) {
                let mut mcu = Vec::new();
                for (at, &component) in scan.components.iter().enumerate() {
                    let Coded { h, v, columns, ref blocks } = self.components[component];
                    let places = (0..v).flat_map(|y| (0..h).map(move |x| (row * v + y) * columns + column * h + x));
                    mcu.extend(places.map(|place| (at, &blocks[place])));
                }
                mcus.push(mcu);
            }
        }
        mcus
    }
}

/// Codes the blocks of a scan.
struct Coder<'r> {
    random: &'r mut Random,
    is_progressive: bool,
    spectral: (usize, usize),
    high: u32,
    low: u32,
    items: Vec<Item>,
    predictions: [i32; 4],
    eob_run: u32,
    /// Correction bits that follow the EOB run.
    corrections: Vec<u32>,
}

impl<'r> Coder<'r> {
    fn new(random: &'r mut Random, scan: &Scan, is_progressive: bool) -> Self {
        Self {
            random,
            is_progressive,
            spectral: scan.spectral,
            high: scan.approximation.0,
            low: scan.approximation.1,
            items: Vec::new(),
            predictions: [0; 4],
            eob_run: 0,
            corrections: Vec::new(),
        }
    }

    fn restart(&mut self) {
        self.end_run();
        self.items.push(Item::Restart);
        self.predictions = [0; 4];
    }

    fn symbol(&mut self, table: usize, symbol: usize) {
        self.items.push(Item::Symbol(table, symbol as u8));
    }

    fn bits(&mut self, bits: &[u32]) {
        self.items.extend(bits.iter().map(|&bit| Item::Bits(bit & 1, 1)));
    }

    fn value(&mut self, value: i32, size: u32) {
        let bits = if value < 0 { value + (1 << size) - 1 } else { value };
        self.items.push(Item::Bits(bits as u32, size));
    }

    fn block(&mut self, at: usize, block: &[i32; 64]) {
        match (self.is_progressive, self.spectral.0, self.high) {
            (false, ..) => {
                self.dc(at, block[0]);
                self.ac_first(at, &block[..], 1);
            }
            (true, 0, 0) => self.dc(at, block[0] >> self.low),
            (true, 0, _) => self.bits(&[(block[0] >> self.low) as u32]),
            (true, first, 0) => self.ac_first(at, &block[..=self.spectral.1], first),
            (true, first, _) => self.ac_refine(&block[..=self.spectral.1], first),
        }
    }

    fn dc(&mut self, at: usize, dc: i32) {
        let difference = dc - self.predictions[at];
        self.predictions[at] = dc;
        self.symbol(at, size(difference) as usize);
        self.value(difference, size(difference));
    }

    fn ac_first(&mut self, at: usize, band: &[i32], first: usize) {
        let mut run = 0;
        for &value in &band[first..] {
            let value = value.signum() * (value.abs() >> self.low);
            if value == 0 {
                run += 1;
                continue;
            }
            self.end_run();
            while run > 15 {
                self.symbol(4 + at, 0xF0);
                run -= 16;
            }
            self.symbol(4 + at, run << 4 | size(value) as usize);
            self.value(value, size(value));
            run = 0;
        }
        if run > 0 && self.is_progressive {
            self.end_band(Vec::new());
        } else if run > 0 {
            self.symbol(4 + at, 0);
        }
    }

    fn ac_refine(&mut self, band: &[i32], first: usize) {
        let magnitude = |value: i32| value.unsigned_abs() >> self.low;
        let magnitudes: Vec<u32> = band.iter().map(|&value| magnitude(value)).collect();
        let last_new = (first..band.len()).rev().find(|&index| magnitudes[index] == 1).unwrap_or(0);
        let mut run = 0;
        let mut corrections = Vec::new();
        for index in first..band.len() {
            if magnitudes[index] == 0 {
                run += 1;
                continue;
            }
            while run > 15 && index <= last_new {
                self.end_run();
                self.symbol(4, 0xF0);
                run -= 16;
                self.bits(&std::mem::take(&mut corrections));
            }
            if magnitudes[index] > 1 {
                corrections.push(magnitudes[index]);
                continue;
            }
            self.end_run();
            self.symbol(4, run << 4 | 1);
            self.bits(&[u32::from(band[index] > 0)]);
            self.bits(&std::mem::take(&mut corrections));
            run = 0;
        }
        if run > 0 || !corrections.is_empty() {
            self.end_band(corrections);
        }
    }

    fn end_band(&mut self, corrections: Vec<u32>) {
        self.eob_run += 1;
        self.corrections.extend(corrections);
        if self.eob_run == 0x7FFF || self.random.below(30) == 0 {
            self.end_run();
        }
    }

    fn end_run(&mut self) {
        if self.eob_run > 0 {
            let category = self.eob_run.ilog2();
            self.symbol(4, (category as usize) << 4);
            self.items.push(Item::Bits(self.eob_run - (1 << category), category));
            self.eob_run = 0;
            let corrections = std::mem::take(&mut self.corrections);
            self.bits(&corrections);
        }
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

/// The definition of a table with codes for all symbols used, and code and length by symbol.
fn huffman(random: &mut Random, used: &[u8]) -> (Vec<u8>, Vec<(u32, u32)>) {
    let mut counts = [(0, 0); 256];
    for (symbol, count) in counts.iter_mut().enumerate() {
        *count = (0, symbol as u8);
    }
    for &symbol in used {
        counts[usize::from(symbol)].0 += 1;
    }
    let mut symbols: Vec<(usize, u8)> = counts.into_iter().filter(|&(count, _)| count > 0).collect();
    if symbols.is_empty() {
        symbols.push((1, 0));
    }
    // By frequency, or the other way round: long codes for frequent symbols.
    symbols.sort_unstable_by(|a, b| b.cmp(a));
    if random.below(4) == 0 {
        symbols.reverse();
    }
    // Room for codes of 16 bits, without that of ones alone, of which each symbol still to come needs one.
    let mut room = 65_535;
    let mut lengths = Vec::new();
    let ample = random.below(2) == 0;
    for behind in (0..symbols.len()).rev() {
        let shortest = (1..=16).find(|&length| room >= (1 << (16 - length)) + behind).unwrap();
        // Short codes for the most frequent symbols leave the others long ones; or all are about equal.
        let even = (usize::BITS - (behind + 1).leading_zeros()).clamp(shortest, 16);
        let length = (if ample { even } else { shortest } + random.below(3) as u32 / 2).min(16);
        room -= 1 << (16 - length);
        lengths.push(length);
    }
    let mut order: Vec<usize> = (0..symbols.len()).collect();
    order.sort_by_key(|&at| lengths[at]);
    let mut definition = vec![0; 16];
    let mut codes = vec![(0, 0); 256];
    let (mut code, mut length) = (0, 0);
    for at in order {
        code <<= lengths[at] - length;
        length = lengths[at];
        definition[length as usize - 1] += 1;
        definition.push(symbols[at].1);
        codes[usize::from(symbols[at].1)] = (code, length);
        code += 1;
    }
    (definition, codes)
}

#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
    pending: u64,
    count: u32,
}

impl Writer {
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

    fn fill(&mut self) {
        self.put(0x7F, 7);
        self.count = 0;
    }
}
