//! libjpeg-turbo's compressor.

use std::ptr;

use turbojpeg_sys as ffi;

use super::Random;

/// How to compress.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Compression {
    /// The colours of the file, and of the pixels that it is made of.
    pub(crate) colors: Colors,
    pub(crate) sampling: Sampling,
    pub(crate) quality: i32,
    /// MCUs between restart markers; 0: none.
    pub(crate) restart_interval: i32,
    /// Huffman tables made for this image instead of the standard's.
    pub(crate) optimise: bool,
    pub(crate) progressive: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colors {
    Grey,
    Ycc,
    Rgb,
    Cmyk,
    Ycck,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sampling {
    S444,
    S422,
    S420,
    S440,
    S411,
    S441,
}

impl Sampling {
    pub(crate) const ALL: [Self; 6] = [Self::S444, Self::S422, Self::S420, Self::S440, Self::S411, Self::S441];
}

impl Colors {
    pub(crate) const ALL: [Self; 5] = [Self::Grey, Self::Ycc, Self::Rgb, Self::Cmyk, Self::Ycck];

    pub(crate) const fn channels(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::Ycc | Self::Rgb => 3,
            Self::Cmyk | Self::Ycck => 4,
        }
    }
}

/// Compresses `height` rows of `width` pixels without gaps.
pub(crate) fn compress(pixels: &[u8], (width, height): (usize, usize), how: &Compression) -> Vec<u8> {
    let channels = how.colors.channels();
    assert_eq!(pixels.len(), width * height * channels);
    let (format, colors) = match how.colors {
        Colors::Grey => (ffi::TJPF_TJPF_GRAY, ffi::TJCS_TJCS_GRAY),
        Colors::Ycc => (ffi::TJPF_TJPF_RGB, ffi::TJCS_TJCS_YCbCr),
        Colors::Rgb => (ffi::TJPF_TJPF_RGB, ffi::TJCS_TJCS_RGB),
        Colors::Cmyk => (ffi::TJPF_TJPF_CMYK, ffi::TJCS_TJCS_CMYK),
        Colors::Ycck => (ffi::TJPF_TJPF_CMYK, ffi::TJCS_TJCS_YCCK),
    };
    let sampling = match how.sampling {
        _ if how.colors == Colors::Grey => ffi::TJSAMP_TJSAMP_GRAY,
        // Only differences of colours can have fewer samples.
        _ if matches!(how.colors, Colors::Rgb | Colors::Cmyk) => ffi::TJSAMP_TJSAMP_444,
        Sampling::S444 => ffi::TJSAMP_TJSAMP_444,
        Sampling::S422 => ffi::TJSAMP_TJSAMP_422,
        Sampling::S420 => ffi::TJSAMP_TJSAMP_420,
        Sampling::S440 => ffi::TJSAMP_TJSAMP_440,
        Sampling::S411 => ffi::TJSAMP_TJSAMP_411,
        Sampling::S441 => ffi::TJSAMP_TJSAMP_441,
    };
    let settings = [
        (ffi::TJPARAM_TJPARAM_COLORSPACE, colors as i32),
        (ffi::TJPARAM_TJPARAM_SUBSAMP, sampling),
        (ffi::TJPARAM_TJPARAM_QUALITY, how.quality),
        (ffi::TJPARAM_TJPARAM_RESTARTBLOCKS, how.restart_interval),
        (ffi::TJPARAM_TJPARAM_OPTIMIZE, i32::from(how.optimise)),
        (ffi::TJPARAM_TJPARAM_PROGRESSIVE, i32::from(how.progressive)),
    ];
    // SAFETY: takes no pointers; a failure shows as null.
    let handle = unsafe { ffi::tj3Init(ffi::TJINIT_TJINIT_COMPRESS as i32) };
    assert!(!handle.is_null());
    for (parameter, value) in settings {
        // SAFETY: the handle is live.
        assert_eq!(unsafe { ffi::tj3Set(handle, parameter as i32, value) }, 0, "{how:?}");
    }
    let (mut out, mut size) = (ptr::null_mut(), 0);
    // SAFETY: the handle is live, `pixels` has `height` rows of `width` pixels; `out` is null, so that TurboJPEG allocates.
    let status = unsafe {
        ffi::tj3Compress8(
            handle,
            pixels.as_ptr(),
            width as i32,
            (width * channels) as i32,
            height as i32,
            format,
            &raw mut out,
            &raw mut size,
        )
    };
    assert_eq!(status, 0, "{how:?}");
    // SAFETY: TurboJPEG has put `size` bytes there.
    let bytes = unsafe { std::slice::from_raw_parts(out, size as usize) }.to_vec();
    // SAFETY: both are live, TurboJPEG's own, and used by nobody after this.
    unsafe {
        ffi::tj3Free(out.cast());
        ffi::tj3Destroy(handle);
    }
    bytes
}

/// Pixels that are neither smooth nor noise: waves of random directions, a few hard edges, some noise.
pub(crate) fn pixels(random: &mut Random, (width, height): (usize, usize), channels: usize) -> Vec<u8> {
    let waves: Vec<[f32; 3]> = (0..channels)
        .map(|_| [random.below(100) as f32 / 80.0, random.below(100) as f32 / 80.0, random.below(628) as f32 / 100.0])
        .collect();
    let noise = random.pick(&[1, 8, 60, 200]);
    let edge = 1 + random.below(width);
    let mut pixels = Vec::with_capacity(width * height * channels);
    for y in 0..height {
        for x in 0..width {
            for &[across, down, phase] in &waves {
                let wave = 128.0 + 100.0 * (x as f32 * across + y as f32 * down + phase).sin();
                let value = wave as usize + random.below(noise) + if x % (edge + 7) < edge { 0 } else { 90 };
                pixels.push(value.min(255) as u8);
            }
        }
    }
    pixels
}
