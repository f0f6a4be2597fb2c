//! Kernels by the instructions of the processor.

use std::sync::OnceLock;

use super::super::int8::{Gemm, TileMut};
use super::portable;

/// A kernel for one instruction set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kernel {
    /// For any processor, but slow: the definition for the tests.
    #[cfg_attr(not(test), expect(dead_code, reason = "only tests take it"))]
    Portable,
    /// x86-64, 8 columns in a vector.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// x86-64, 16 columns in a vector.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Kernel {
    /// Kernels that models run with, from the slowest to the fastest. On other processors the runtime's own products
    /// run, since nothing is known to be faster there.
    pub(in crate::onnx) const ALL: &[Self] = &[
        #[cfg(target_arch = "x86_64")]
        Self::Avx2,
        #[cfg(target_arch = "x86_64")]
        Self::Avx512,
    ];

    /// The fastest available kernel, detected once; `None` for a processor without one.
    pub(crate) fn fastest() -> Option<Self> {
        static FASTEST: OnceLock<Option<Kernel>> = OnceLock::new();
        *FASTEST
            .get_or_init(|| Self::ALL.iter().rev().find(|kernel| kernel.is_available()).copied())
    }

    /// Name of the kernel, such as `avx2`.
    pub(in crate::onnx) fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => "avx512",
        }
    }

    /// Returns `true` if the processor has the kernel's instructions.
    pub(in crate::onnx) fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            // Miri lacks the instructions.
            #[cfg(target_arch = "x86_64")]
            _ if cfg!(miri) => false,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => Self::Avx2.is_available() && is_x86_feature_detected!("avx512f"),
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
            target_arch = "x86_64",
            expect(unsafe_code, reason = "functions for processors with certain features")
        )]
        match self {
            Self::Portable => portable::compute(gemm, out),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `is_available` found the features.
            Self::Avx2 => unsafe { super::x86::avx2::compute(gemm, out) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `is_available` found the features.
            Self::Avx512 => unsafe { super::x86::avx512::compute(gemm, out) },
        }
    }
}
