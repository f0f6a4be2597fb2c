//! Work compiled twice: for every processor of the target, and for those with wider vectors.
//!
//! Loops are written so that the compiler vectorises them. On x86-64 it may use 16-byte vectors
//! only, unless a function says otherwise; [`run`] picks the version with 32-byte vectors and fused
//! multiply-add where the processor has both. Elsewhere there is one version.

/// Something to compute. Everything it calls has to be inlined, or it is compiled for the target's
/// oldest processor.
pub(crate) trait Work {
    type Output;

    /// Does it. `FUSED` says whether multiply-add is one instruction; it is slow where it is not.
    fn run<const FUSED: bool>(self) -> Self::Output;
}

/// Whether multiply-add is one instruction on every processor of the target.
const ALWAYS_FUSED: bool = cfg!(any(target_arch = "aarch64", target_feature = "fma"));

/// Does the work in the best way that the processor knows.
pub(crate) fn run<W: Work>(work: W) -> W::Output {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        #[expect(unsafe_code, reason = "the processor has what the function was compiled for")]
        // SAFETY: both features were found the line before.
        return unsafe { run_avx2(work) };
    }
    work.run::<ALWAYS_FUSED>()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn run_avx2<W: Work>(work: W) -> W::Output {
    work.run::<true>()
}
