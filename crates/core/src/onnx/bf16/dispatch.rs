//! Kernels by the instructions of the processor.

use std::sync::OnceLock;

use super::super::int8::{Gemm, TileMut};
use super::portable;

/// Name of the kernel that multiplies bf16 on this processor, such as `amx`; `None` for a processor without
/// instructions for it.
#[must_use]
pub fn kernel_name() -> Option<&'static str> {
    Kernel::fastest().map(Kernel::name)
}

/// A kernel for one instruction set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kernel {
    /// For any processor, but slow: the definition for the tests, with the order of sums of `Amx`.
    #[cfg_attr(not(test), expect(dead_code, reason = "only tests take it"))]
    Portable,
    /// x86-64, pairs of products added by one instruction: odd places of a row first, one after another.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// x86-64, products of tiles: of 32 products the even and the odd places have sums of their own.
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    Amx,
    /// `AArch64`, pairs of products added by one instruction, one pair after another. A pair's sum and the sum so far
    /// are rounded to odd: of both neighbours, to the one whose last bit is set.
    #[cfg(target_arch = "aarch64")]
    Neon,
}

impl Kernel {
    /// Kernels that models run with, from the slowest to the fastest.
    pub(in crate::onnx) const ALL: &[Self] = &[
        #[cfg(target_arch = "x86_64")]
        Self::Avx512,
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        Self::Amx,
        #[cfg(target_arch = "aarch64")]
        Self::Neon,
    ];

    /// The fastest available kernel, detected once; `None` for a processor without such instructions.
    pub(crate) fn fastest() -> Option<Self> {
        static FASTEST: OnceLock<Option<Kernel>> = OnceLock::new();
        *FASTEST
            .get_or_init(|| Self::ALL.iter().rev().find(|kernel| kernel.is_available()).copied())
    }

    /// Name of the kernel, such as `amx`.
    pub(in crate::onnx) fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => "avx512-bf16",
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Self::Amx => "amx",
            #[cfg(target_arch = "aarch64")]
            Self::Neon => "neon-bf16",
        }
    }

    /// Returns `true` if the processor has the kernel's instructions.
    pub(in crate::onnx) fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            // Miri lacks the instructions.
            #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
            _ if cfg!(miri) => false,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("fma")
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512bf16")
            }
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Self::Amx => {
                Self::Avx512.is_available()
                    && is_x86_feature_detected!("avx512vnni")
                    && super::super::int8::amx::is_available::<true>()
            }
            // Weights are read as bytes, the low one first.
            #[cfg(target_arch = "aarch64")]
            Self::Neon => {
                cfg!(target_endian = "little") && std::arch::is_aarch64_feature_detected!("bf16")
            }
        }
    }

    /// Computes one tile of the result. Falls back to the portable kernel if this one is not available.
    ///
    /// # Panics
    ///
    /// As [`Gemm::compute_by`].
    pub(crate) fn compute(self, gemm: &Gemm<'_>, out: &mut TileMut<'_>) {
        gemm.compute_by(|gemm, out| self.run(gemm, out), out);
    }

    fn run(self, gemm: &Gemm<'_>, out: &mut TileMut<'_>) {
        if !self.is_available() {
            return portable::compute(gemm, out);
        }
        #[cfg_attr(
            any(target_arch = "x86_64", target_arch = "aarch64"),
            expect(unsafe_code, reason = "functions for processors with certain features")
        )]
        match self {
            Self::Portable => portable::compute(gemm, out),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `is_available` found the features.
            Self::Avx512 => unsafe { super::x86::compute(gemm, out) },
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            // SAFETY: `is_available` found the features.
            Self::Amx => unsafe { super::super::int8::amx::compute::<true>(gemm, out) },
            #[cfg(target_arch = "aarch64")]
            // SAFETY: `is_available` found the feature, and every processor with it has NEON.
            Self::Neon => unsafe { super::neon::compute(gemm, out) },
        }
    }
}
