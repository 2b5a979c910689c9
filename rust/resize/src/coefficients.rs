//! Filter windows and fixed-point weights of one axis, in Pillow's own order of floating-point operations.
//!
//! Source: Pillow 13, `src/libImaging/Resample.c` (`precompute_coeffs`, `normalize_coeffs_8bpc`). Each weight is
//! computed in f64 and rounded to 22 fractional bits; a different order of operations would move a few of them by one
//! unit and, now and then, a pixel.

use crate::Filter;

/// Fractional bits of a weight: 32, less 8 for the sample and 2 for what negative lobes add.
pub(crate) const PRECISION_BITS: u32 = 32 - 8 - 2;

/// What determines the weights of an axis: the key of the cache, less the form they are packed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AxisSpec {
    /// Samples along the source axis.
    pub(crate) input: u32,
    /// Samples along the whole output axis, wanted or not.
    pub(crate) full: u32,
    /// First output wanted.
    pub(crate) first: u32,
    /// Outputs wanted.
    pub(crate) len: u32,
    /// The filter, one with a support (not nearest).
    pub(crate) filter: Filter,
}

/// Windows and weights of the wanted outputs of one axis.
///
/// Invariants: starts and ends never decrease from one output to the next, every window holds at least one sample and
/// lies inside the source, and `taps` is the longest window.
#[derive(Debug)]
pub(crate) struct Weights {
    /// First source sample of each output's window.
    pub(crate) starts: Vec<u32>,
    /// End (exclusive) of each output's window.
    pub(crate) ends: Vec<u32>,
    /// Longest window, and the stride of `values`.
    pub(crate) taps: usize,
    /// `taps` weights an output, zero after its window.
    pub(crate) values: Vec<i32>,
}

impl Weights {
    /// The window's weights of output `i`.
    pub(crate) fn row(&self, i: usize) -> &[i32] {
        let len = (self.ends[i] - self.starts[i]) as usize;
        &self.values[i * self.taps..][..len]
    }
}

fn bilinear(x: f64) -> f64 {
    let x = x.abs();
    if x < 1.0 { 1.0 - x } else { 0.0 }
}

fn bicubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 {
        return 1.0;
    }
    let x = x * std::f64::consts::PI;
    x.sin() / x
}

fn lanczos(x: f64) -> f64 {
    if (-3.0..3.0).contains(&x) { sinc(x) * sinc(x / 3.0) } else { 0.0 }
}

/// Rounds half away from zero to 22 fractional bits, as `normalize_coeffs_8bpc` does.
fn to_fixed(weight: f64) -> i32 {
    let scaled = weight * f64::from(1 << PRECISION_BITS);
    (if weight < 0.0 { -0.5 + scaled } else { 0.5 + scaled }) as i32
}

/// Computes the weights of `spec`.
///
/// Memory is of the order of the source axis plus the wanted outputs: the windows of all outputs together cover the
/// source a fixed number of times.
pub(crate) fn compute(spec: AxisSpec) -> Weights {
    match spec.filter {
        // Nearest has no weights and never comes here.
        Filter::Nearest | Filter::Bilinear => compute_with(spec, 1.0, bilinear),
        Filter::Bicubic => compute_with(spec, 2.0, bicubic),
        Filter::Lanczos => compute_with(spec, 3.0, lanczos),
    }
}

/// [`compute`] with the filter's support at scale one and its function.
fn compute_with(spec: AxisSpec, unit_support: f64, function: impl Fn(f64) -> f64) -> Weights {
    // Pillow holds the box in C floats; sides beyond 2^24 lose bits there, and so here.
    let scale = f64::from(spec.input as f32) / f64::from(spec.full);
    let filter_scale = scale.max(1.0);
    let support = unit_support * filter_scale;
    let inverse = 1.0 / filter_scale;
    let len = spec.len as usize;
    let mut starts = Vec::with_capacity(len);
    let mut ends = Vec::with_capacity(len);
    // All windows in one run, untrimmed: window i at offsets[i].
    let mut fixed: Vec<i32> = Vec::new();
    let mut offsets = Vec::with_capacity(len);
    let mut untrimmed = Vec::with_capacity(len);
    let mut raw: Vec<f64> = Vec::new();
    for i in 0..spec.len {
        let center = (f64::from(spec.first) + f64::from(i) + 0.5) * scale;
        let x_min = ((center - support + 0.5) as i64).clamp(0, i64::from(spec.input) - 1);
        let x_max = ((center + support + 0.5) as i64).clamp(x_min + 1, i64::from(spec.input));
        raw.clear();
        raw.extend((0..x_max - x_min).map(|x| function(((x + x_min) as f64 - center + 0.5) * inverse)));
        let sum = raw.iter().fold(0.0, |sum, w| sum + w);
        offsets.push(fixed.len());
        untrimmed.push(x_min as u32);
        fixed.extend(raw.iter().map(|&w| to_fixed(if sum == 0.0 { w } else { w / sum })));
        let window = &fixed[offsets[i as usize]..];
        // Zero weights at the ends are common (odd integer scales) and cost a tap each.
        let lead = window.iter().take_while(|&&k| k == 0).count().min(window.len() - 1);
        let trail = window[lead..].iter().rev().take_while(|&&k| k == 0).count().min(window.len() - lead - 1);
        starts.push(x_min as u32 + lead as u32);
        ends.push(x_min as u32 + (window.len() - trail) as u32);
    }
    // Untrimmed windows are monotone; trimming may undo it, and taking back a few zeros restores it. What is taken
    // back lies in the untrimmed window, because the neighbour's does not begin earlier or end later.
    for i in (1..len).rev() {
        starts[i - 1] = starts[i - 1].min(starts[i]);
    }
    for i in 1..len {
        ends[i] = ends[i].max(ends[i - 1]);
    }
    let taps = starts.iter().zip(&ends).map(|(s, e)| (e - s) as usize).max().unwrap_or(0);
    let mut values = vec![0; taps * len];
    for i in 0..len {
        let from = offsets[i] + (starts[i] - untrimmed[i]) as usize;
        let count = (ends[i] - starts[i]) as usize;
        values[i * taps..][..count].copy_from_slice(&fixed[from..from + count]);
    }
    Weights { starts, ends, taps, values }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_monotone_inside_and_sum_to_one() {
        for filter in [Filter::Bilinear, Filter::Bicubic, Filter::Lanczos] {
            for (input, full) in [(1, 1), (1, 700), (700, 1), (672, 224), (500, 224), (3, 224), (65_535, 7)] {
                let weights = compute(AxisSpec { input, full, first: 0, len: full, filter });
                for i in 0..full as usize {
                    assert!(weights.starts[i] < weights.ends[i] && weights.ends[i] <= input);
                    assert!(i == 0 || weights.starts[i - 1] <= weights.starts[i]);
                    assert!(i == 0 || weights.ends[i - 1] <= weights.ends[i]);
                    let sum: i64 = weights.row(i).iter().map(|&k| i64::from(k)).sum();
                    let slack = weights.row(i).len() as i64;
                    assert!((sum - (1 << PRECISION_BITS)).abs() <= slack, "{filter:?} {input}->{full} [{i}]: {sum}");
                }
            }
        }
    }

    #[test]
    fn a_part_of_an_axis_has_the_weights_of_the_whole() {
        let spec = AxisSpec { input: 500, full: 224, first: 0, len: 224, filter: Filter::Bilinear };
        let whole = compute(spec);
        let part = compute(AxisSpec { first: 100, len: 20, ..spec });
        for i in 0..20 {
            assert_eq!(part.starts[i], whole.starts[100 + i]);
            assert_eq!(part.row(i), whole.row(100 + i));
        }
    }
}
