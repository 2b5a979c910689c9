//! Tables of an axis in the form a kernel reads, and a small cache of them.

use std::sync::Arc;

use crate::coefficients::{self, AxisSpec, Weights};
use crate::rows::Rows;
use crate::{Filter, Kernel, scalar};

#[cfg(target_arch = "x86_64")]
use crate::{
    avx2, avx512,
    kernel::{Avx2, Avx512},
};

/// Tables kept. Photographs come in few sizes (most have one side of 500 pixels), and a table is 5 to 16 KiB.
const CACHED_TABLES: usize = 64;

/// Tables larger than this are not kept, which bounds the cache to 4 MiB.
const CACHED_TABLE_BYTES: usize = 64 << 10;

/// Which pass a table serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    /// Horizontal, on pixels of so many channels.
    Across(usize),
    /// Vertical: channels do not matter.
    Down,
}

/// Weights in the form of the kernel that will read them.
#[derive(Debug)]
enum Form {
    Scalar,
    #[cfg(target_arch = "x86_64")]
    ScalarOnAvx2(Avx2),
    #[cfg(target_arch = "x86_64")]
    AcrossAvx2(avx2::Across),
    #[cfg(target_arch = "x86_64")]
    DownAvx2(avx2::Down),
    #[cfg(target_arch = "x86_64")]
    AcrossAvx512(avx512::Across),
    #[cfg(target_arch = "x86_64")]
    DownAvx512(avx512::Down),
}

/// The table of one pass over one axis.
#[derive(Debug)]
pub(crate) struct Table {
    weights: Weights,
    pass: Pass,
    form: Form,
}

impl Table {
    fn new(spec: AxisSpec, pass: Pass, kernel: Kernel) -> Self {
        let mut weights = coefficients::compute(spec);
        let form = Self::form(spec.filter, &mut weights, pass, kernel);
        Self { weights, pass, form }
    }

    /// The form for `kernel`. A packed one holds the weights, and `weights` gives up its own.
    #[cfg(target_arch = "x86_64")]
    fn form(filter: Filter, weights: &mut Weights, pass: Pass, kernel: Kernel) -> Form {
        let best = Avx512::detect().filter(|_| kernel == Kernel::Avx512);
        let Some(proof) = Avx2::detect().filter(|_| kernel != Kernel::Scalar) else { return Form::Scalar };
        let packed = match (filter, pass, best) {
            // One channel is rare and stays with AVX2.
            (Filter::Bilinear, Pass::Across(channels @ 3..), Some(best)) => {
                avx512::Across::new(best, weights, channels).map(Form::AcrossAvx512)
            }
            (Filter::Bilinear, Pass::Across(channels), _) => {
                avx2::Across::new(proof, weights, channels).map(Form::AcrossAvx2)
            }
            (Filter::Bilinear, Pass::Down, Some(best)) => avx512::Down::new(best, weights).map(Form::DownAvx512),
            (Filter::Bilinear, Pass::Down, None) => avx2::Down::new(proof, weights).map(Form::DownAvx2),
            _ => None,
        };
        let Some(packed) = packed else { return Form::ScalarOnAvx2(proof) };
        weights.values = Vec::new();
        packed
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn form(_: Filter, _: &mut Weights, _: Pass, _: Kernel) -> Form {
        Form::Scalar
    }

    fn size_bytes(&self) -> usize {
        let packed = match &self.form {
            Form::Scalar => 0,
            #[cfg(target_arch = "x86_64")]
            Form::ScalarOnAvx2(_) => 0,
            #[cfg(target_arch = "x86_64")]
            Form::AcrossAvx2(table) => table.size_bytes(),
            #[cfg(target_arch = "x86_64")]
            Form::DownAvx2(table) => table.size_bytes(),
            #[cfg(target_arch = "x86_64")]
            Form::AcrossAvx512(table) => table.size_bytes(),
            #[cfg(target_arch = "x86_64")]
            Form::DownAvx512(table) => table.size_bytes(),
        };
        packed + 4 * (self.weights.starts.len() + self.weights.ends.len() + self.weights.values.len())
    }

    /// Outputs.
    pub(crate) fn len(&self) -> usize {
        self.weights.starts.len()
    }

    /// First sample of output `i`'s window.
    pub(crate) fn start(&self, i: usize) -> usize {
        self.weights.starts[i] as usize
    }

    /// End of output `i`'s window.
    pub(crate) fn end(&self, i: usize) -> usize {
        self.weights.ends[i] as usize
    }

    /// The samples that any output reads: from the first one's start to the last one's end.
    pub(crate) fn span(&self) -> std::ops::Range<usize> {
        let last = self.weights.ends.last().map_or(0, |&end| end as usize);
        self.weights.starts.first().map_or(0, |&start| start as usize)..last
    }

    /// Longest window.
    pub(crate) fn taps(&self) -> usize {
        self.weights.taps
    }

    /// Bytes of a row, from the span's start, that the horizontal pass may touch: the span, and what a vector load
    /// reads beyond it.
    pub(crate) fn read_len(&self) -> usize {
        let Pass::Across(channels) = self.pass else { return 0 };
        let span_len = self.span().len() * channels;
        #[cfg(target_arch = "x86_64")]
        match &self.form {
            Form::AcrossAvx2(table) => return table.read_len().max(span_len),
            Form::AcrossAvx512(table) => return table.read_len().max(span_len),
            _ => {}
        }
        span_len
    }

    /// The horizontal pass on four rows. Each begins at the span's start and holds [`Table::read_len`] bytes; row `i`
    /// of the result lies at `i * out_stride`, and `out` holds four strides of [`padded_row_len`] bytes or more.
    pub(crate) fn across(&self, rows: [&[u8]; 4], out: &mut [u8], out_stride: usize) {
        let Pass::Across(channels) = self.pass else { return };
        #[cfg(target_arch = "x86_64")]
        match &self.form {
            Form::AcrossAvx2(table) => return table.run(rows, out, out_stride),
            Form::AcrossAvx512(table) => return table.run(rows, out, out_stride),
            &Form::ScalarOnAvx2(proof) => {
                let row_len = self.weights.starts.len() * channels;
                for (row, out) in rows.into_iter().zip(out.chunks_mut(out_stride)) {
                    avx2::scalar_across(proof, &self.weights, channels, row, &mut out[..row_len]);
                }
                return;
            }
            Form::Scalar | Form::DownAvx2(_) | Form::DownAvx512(_) => {}
        }
        let row_len = self.weights.starts.len() * channels;
        for (row, out) in rows.into_iter().zip(out.chunks_mut(out_stride)) {
            let out = &mut out[..row_len];
            match channels {
                1 => scalar::across::<1>(&self.weights, row, out),
                3 => scalar::across::<3>(&self.weights, row, out),
                _ => scalar::across::<4>(&self.weights, row, out),
            }
        }
    }

    /// The vertical pass for output row `i`: `out.len()` bytes of every row.
    pub(crate) fn down(&self, i: usize, rows: Rows<'_>, out: &mut [u8]) {
        match &self.form {
            #[cfg(target_arch = "x86_64")]
            Form::DownAvx2(table) => table.run(&self.weights, i, rows, out),
            #[cfg(target_arch = "x86_64")]
            Form::DownAvx512(table) => table.run(&self.weights, i, rows, out),
            #[cfg(target_arch = "x86_64")]
            &Form::ScalarOnAvx2(proof) => avx2::scalar_down(proof, &self.weights, i, rows, out),
            _ => scalar::down(&self.weights, i, rows, out),
        }
    }
}

/// Stride of a row of `len` pixels that the horizontal pass writes: it stores four pixels at a time, in 16 bytes.
pub(crate) fn padded_row_len(len: usize, channels: usize) -> usize {
    (len.next_multiple_of(4) * channels + 16).next_multiple_of(32)
}

#[derive(Debug)]
struct Entry {
    spec: AxisSpec,
    pass: Pass,
    table: Arc<Table>,
}

/// The tables used last, the latest at the end.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    entries: Vec<Entry>,
}

impl Cache {
    /// The table of `spec`, from the cache or new. One cache serves one kernel.
    pub(crate) fn get(&mut self, spec: AxisSpec, pass: Pass, kernel: Kernel) -> Arc<Table> {
        if let Some(at) = self.entries.iter().rposition(|entry| entry.spec == spec && entry.pass == pass) {
            let entry = self.entries.remove(at);
            let table = entry.table.clone();
            self.entries.push(entry);
            return table;
        }
        let table = Arc::new(Table::new(spec, pass, kernel));
        if table.size_bytes() <= CACHED_TABLE_BYTES {
            if self.entries.len() >= CACHED_TABLES {
                self.entries.remove(0);
            }
            self.entries.push(Entry { spec, pass, table: table.clone() });
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_bounded_and_keeps_the_latest() {
        let mut cache = Cache::default();
        let spec = |input| AxisSpec { input, full: 16, first: 0, len: 16, filter: Filter::Bilinear };
        let first = cache.get(spec(100), Pass::Down, Kernel::Scalar);
        for input in 101..100 + 2 * CACHED_TABLES as u32 {
            cache.get(spec(input), Pass::Down, Kernel::Scalar);
            // Used again and again, the first one stays.
            assert!(Arc::ptr_eq(&first, &cache.get(spec(100), Pass::Down, Kernel::Scalar)));
            assert!(cache.entries.len() <= CACHED_TABLES);
        }
        let huge = AxisSpec { input: 1 << 20, full: 1, first: 0, len: 1, filter: Filter::Bilinear };
        let before = cache.entries.len();
        assert_eq!(cache.get(huge, Pass::Down, Kernel::Scalar).taps(), 1 << 20);
        assert_eq!(cache.entries.len(), before);
    }
}
