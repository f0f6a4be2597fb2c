//! Work compiled twice: for the target's baseline and for wider vectors.
//!
//! Loops are written for autovectorisation. On x86-64 the baseline has only 16-byte vectors; [`run`]
//! picks the version with 32-byte vectors and fused multiply-add if the processor has both. Other
//! targets have one version.

/// A computation. All functions that it calls have to be inlined; otherwise they are compiled for the
/// baseline.
pub(crate) trait Work {
    type Output;

    /// Runs the computation. `FUSED` says that multiply-add is one instruction; it is slow otherwise.
    fn run<const FUSED: bool>(self) -> Self::Output;
}

/// `true` if multiply-add is one instruction on every processor of the target.
const ALWAYS_FUSED: bool = cfg!(any(target_arch = "aarch64", target_feature = "fma"));

/// Runs the work with the best version for this processor.
pub(crate) fn run<W: Work>(work: W) -> W::Output {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        #[expect(unsafe_code, reason = "the processor has what the function was compiled for")]
        // SAFETY: the condition above found both features.
        return unsafe { run_avx2(work) };
    }
    work.run::<ALWAYS_FUSED>()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn run_avx2<W: Work>(work: W) -> W::Output {
    work.run::<true>()
}
