//! Reductions of lanes, in one order on every processor.

/// Partial results that a reduction keeps side by side.
pub(super) const LANES: usize = 16;

/// Combines lanes: halves, then halves of those.
#[inline(always)]
pub(super) fn reduce(mut lanes: [f32; LANES], combine: impl Fn(f32, f32) -> f32) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] = combine(lanes[lane], lanes[lane + half]);
        }
        half /= 2;
    }
    lanes[0]
}
