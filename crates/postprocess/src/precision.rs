//! Number types that an encoder computes with.

use crate::product::Number;

/// Floating-point type of an encoder: `f64`, as in the original, or `f32`.
pub trait Precision: Number {}

impl Precision for f32 {}
impl Precision for f64 {}
