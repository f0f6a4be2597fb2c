//! Run-time dispatch to the microkernel of the processor's instruction set.

use std::sync::OnceLock;

use super::gemm::Gemm;
use super::portable;
use super::tile::TileMut;

/// Name of the microkernel that multiplies eight-bit integers on this processor, such as `avx512-vnni`.
#[must_use]
pub fn kernel_name() -> &'static str {
    Kernel::fastest().name()
}

/// A microkernel for one instruction set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::onnx) enum Kernel {
    /// Autovectorised by the compiler.
    Portable,
    /// x86-64, pairs of products in 16 bits.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// x86-64, pairs of products in 16 bits.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// x86-64, four products in one instruction.
    #[cfg(target_arch = "x86_64")]
    AvxVnni,
    /// x86-64, four products in one instruction.
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
    /// x86-64, products of tiles; few rows as [`Self::Avx512Vnni`].
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    Amx,
    /// `AArch64`, pairs of products in 16 bits.
    #[cfg(target_arch = "aarch64")]
    Neon,
    /// `AArch64`, four products in one instruction.
    #[cfg(target_arch = "aarch64")]
    NeonDot,
}
impl Kernel {
    /// All kernels of the architecture, from the slowest to the fastest.
    pub(in crate::onnx) const ALL: &[Self] = &[
        Self::Portable,
        #[cfg(target_arch = "x86_64")]
        Self::Avx2,
        #[cfg(target_arch = "x86_64")]
        Self::Avx512,
        #[cfg(target_arch = "x86_64")]
        Self::AvxVnni,
        #[cfg(target_arch = "x86_64")]
        Self::Avx512Vnni,
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        Self::Amx,
        #[cfg(target_arch = "aarch64")]
        Self::Neon,
        #[cfg(target_arch = "aarch64")]
        Self::NeonDot,
    ];

    /// Name of the kernel, such as `amx`.
    pub(in crate::onnx) fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni => "avx-vnni",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => "avx512-vnni",
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Self::Amx => "amx",
            #[cfg(target_arch = "aarch64")]
            Self::Neon => "neon",
            #[cfg(target_arch = "aarch64")]
            Self::NeonDot => "neon-dot",
        }
    }

    /// The fastest available kernel, detected once.
    pub(in crate::onnx) fn fastest() -> Self {
        static FASTEST: OnceLock<Kernel> = OnceLock::new();
        *FASTEST.get_or_init(|| {
            let available = Self::ALL.iter().rev().find(|kernel| kernel.is_available());
            *available.unwrap_or(&Self::Portable)
        })
    }

    /// Returns `true` if the processor has the kernel's instructions.
    pub(in crate::onnx) fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            // Miri lacks many of the instructions.
            #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
            _ if cfg!(miri) => false,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                Self::Avx2.is_available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
            }
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni => Self::Avx2.is_available() && is_x86_feature_detected!("avxvnni"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => {
                Self::Avx512.is_available() && is_x86_feature_detected!("avx512vnni")
            }
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Self::Amx => Self::Avx512Vnni.is_available() && super::amx::is_available::<false>(),
            #[cfg(target_arch = "aarch64")]
            Self::Neon => std::arch::is_aarch64_feature_detected!("neon"),
            #[cfg(target_arch = "aarch64")]
            Self::NeonDot => {
                Self::Neon.is_available() && std::arch::is_aarch64_feature_detected!("dotprod")
            }
        }
    }

    /// Computes one tile of the result. Falls back to the portable kernel if this one is not available.
    fn run(self, gemm: &Gemm<'_>, out: &mut TileMut<'_>) {
        if !self.is_available() {
            return portable::compute(gemm, out);
        }
        #[expect(unsafe_code, reason = "functions for processors with certain features")]
        // SAFETY: `is_available` found the features above.
        unsafe {
            match self {
                Self::Portable => portable::compute(gemm, out),
                #[cfg(target_arch = "x86_64")]
                Self::Avx2 => super::x86::avx2::compute(gemm, out),
                #[cfg(target_arch = "x86_64")]
                Self::Avx512 => super::x86::avx512::compute(gemm, out),
                #[cfg(target_arch = "x86_64")]
                Self::AvxVnni => super::x86::avx_vnni::compute(gemm, out),
                #[cfg(target_arch = "x86_64")]
                Self::Avx512Vnni => super::x86::avx512_vnni::compute(gemm, out),
                #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
                Self::Amx => super::amx::compute::<false>(gemm, out),
                #[cfg(target_arch = "aarch64")]
                Self::Neon => super::neon::pairs::compute(gemm, out),
                #[cfg(target_arch = "aarch64")]
                Self::NeonDot => super::neon::dot::compute(gemm, out),
            }
        }
    }
}

impl Gemm<'_> {
    /// Computes one tile of the result of quantised operands with the fastest available microkernel.
    ///
    /// # Panics
    ///
    /// As [`Self::compute_by`].
    pub(crate) fn compute(&self, out: &mut TileMut<'_>) {
        self.compute_with(Kernel::fastest(), out);
    }

    /// [`Self::compute`] with a given microkernel.
    pub(in crate::onnx) fn compute_with(&self, kernel: Kernel, out: &mut TileMut<'_>) {
        self.compute_by(|gemm, out| kernel.run(gemm, out), out);
    }
}
