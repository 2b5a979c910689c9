//! The choice of kernel: once a process, from what the processor offers and what the environment asks for.

use std::sync::OnceLock;

/// A way to compute the two passes. Every kernel writes the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// Plain Rust, for any processor.
    Scalar,
    /// 256-bit vectors, for x86-64 processors with AVX2.
    Avx2,
    /// The byte dot products of AVX-512 VNNI, for x86-64 processors with F, BW and VL too.
    Avx512,
}

impl Kernel {
    /// The name that [`kernel`] reports and `PIXCRAWLER_RESIZE` takes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }

    /// Whether this processor can run the kernel.
    #[must_use]
    pub fn is_available(self) -> bool {
        match self {
            Self::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => Avx2::detect().is_some(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => Avx512::detect().is_some(),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 | Self::Avx512 => false,
        }
    }

    /// The kernel in use: the best one available, unless the environment variable `PIXCRAWLER_RESIZE` (`scalar`,
    /// `avx2` or `avx512`, read at the first call) names another that is available. Anything else in the variable is
    /// ignored.
    #[must_use]
    pub fn in_use() -> Self {
        static IN_USE: OnceLock<Kernel> = OnceLock::new();
        *IN_USE.get_or_init(|| {
            let asked = std::env::var("PIXCRAWLER_RESIZE").unwrap_or_default();
            let by_preference =
                [Self::Avx512, Self::Avx2, Self::Scalar].into_iter().filter(|kernel| kernel.is_available());
            let named = by_preference.clone().find(|kernel| kernel.name() == asked);
            named.or_else(|| by_preference.into_iter().next()).unwrap_or(Self::Scalar)
        })
    }
}

/// The name of the kernel in use: `"avx512"`, `"avx2"` or `"scalar"`; see [`Kernel::in_use`].
#[must_use]
pub fn kernel() -> &'static str {
    Kernel::in_use().name()
}

/// Proof that the processor has AVX2: the only value comes from [`Avx2::detect`].
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2(());

#[cfg(target_arch = "x86_64")]
impl Avx2 {
    /// The proof, if the processor has AVX2.
    pub(crate) fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx2").then_some(Self(()))
    }
}

/// Proof that the processor has AVX-512 F, BW, VL and VNNI: the only value comes from [`Avx512::detect`].
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx512(());

#[cfg(target_arch = "x86_64")]
impl Avx512 {
    /// The proof, if the processor has them, and AVX2, which the kernel uses for what it has no form of.
    pub(crate) fn detect() -> Option<Self> {
        let has = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vnni")
            && is_x86_feature_detected!("avx2");
        has.then_some(Self(()))
    }
}
