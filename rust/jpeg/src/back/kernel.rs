//! Which code runs on this machine.

use std::sync::OnceLock;

/// A set of functions for one kind of processor; all give the same bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kernel {
    /// Plain code for any processor.
    Scalar,
    /// x86-64 with AVX2, BMI1, BMI2, LZCNT and POPCNT.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// Also AVX-512 F, BW and VNNI; and VBMI, for Intel's processors without it slow down for 512-bit vectors.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Kernel {
    /// All of them, the fastest last.
    #[cfg(target_arch = "x86_64")]
    pub(crate) const ALL: &[Self] = &[Self::Scalar, Self::Avx2, Self::Avx512];
    #[cfg(not(target_arch = "x86_64"))]
    pub(crate) const ALL: &[Self] = &[Self::Scalar];

    /// The fastest one that this machine runs, or what `PIXCRAWLER_JPEG_KERNEL` asks for (`scalar`, `avx2` or `avx512`).
    pub(crate) fn in_use() -> Self {
        static CHOICE: OnceLock<Kernel> = OnceLock::new();
        *CHOICE.get_or_init(|| {
            let forced = std::env::var("PIXCRAWLER_JPEG_KERNEL").ok();
            let there = || Self::ALL.iter().copied().filter(|kernel| kernel.is_there());
            let wanted = there().find(|kernel| forced.as_deref() == Some(kernel.name()));
            wanted.or(there().next_back()).unwrap_or(Self::Scalar)
        })
    }

    /// The name as the environment variable has it.
    const fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => "avx512",
        }
    }

    /// This one if the machine runs it, else the scalar one: whoever enters vector code on its word has asked here.
    pub(crate) fn or_scalar(self) -> Self {
        if self.is_there() { self } else { Self::Scalar }
    }

    /// Whether this machine runs it.
    pub(crate) fn is_there(self) -> bool {
        match self {
            Self::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => {
                is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("bmi1")
                    && is_x86_feature_detected!("bmi2")
                    && is_x86_feature_detected!("lzcnt")
                    && is_x86_feature_detected!("popcnt")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                Self::Avx2.is_there()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vnni")
                    && is_x86_feature_detected!("avx512vbmi")
            }
        }
    }
}

/// Whether PDEP is a fast instruction: on AMD's processors before Zen 3 (family 19h) it takes up to hundreds of cycles.
#[cfg(target_arch = "x86_64")]
pub(crate) fn has_fast_pdep() -> bool {
    use std::arch::x86_64::__cpuid;

    static IS_FAST: OnceLock<bool> = OnceLock::new();
    *IS_FAST.get_or_init(|| {
        // The vendor's name stands in EBX, EDX, ECX of leaf 0, the family in EAX of leaf 1.
        let vendor = __cpuid(0).ebx.to_le_bytes();
        let version = __cpuid(1).eax;
        let family = (version >> 8 & 0xF) + (version >> 20 & 0xFF);
        (vendor != *b"Auth" && vendor != *b"Hygo") || family >= 0x19
    })
}
