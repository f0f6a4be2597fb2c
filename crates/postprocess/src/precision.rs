//! The two kinds of numbers that an encoder computes with.

use std::{
    fmt,
    ops::{Add, Div, Mul, Neg},
};

use crate::{
    product::{self, Panels},
    vectors::{Values, Vectors},
};

/// What an encoder computes with: `f64`, as the original does, or `f32`.
pub trait Precision: Number {}

impl Precision for f32 {}
impl Precision for f64 {}

/// The arithmetic behind [`Precision`]; nobody outside of this crate can name it.
pub trait Number:
    Copy
    + Default
    + PartialEq
    + PartialOrd
    + Add<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + fmt::Debug
    + Send
    + Sync
    + 'static
{
    /// Columns that a product computes at once: two 32-byte vectors.
    const PANEL: usize;
    /// Whether this is the precision of the original, whose decisions need no second look.
    const EXACT: bool;
    /// The largest relative error of one rounding.
    const ROUNDING: f64;
    const INFINITY: Self;

    fn from_f64(value: f64) -> Self;
    fn to_f64(self) -> f64;
    fn is_finite(self) -> bool;
    /// `self * factor + summand`, rounded once.
    fn fused(self, factor: Self, summand: Self) -> Self;

    /// The components of `vectors` in this precision: where they lie, or copied into `buffer`.
    fn components<'a>(vectors: Vectors<'a>, buffer: &'a mut Vec<Self>) -> &'a [Self];

    /// Multiplies rows by a matrix; see [`product::multiply`].
    fn multiply<const FUSED: bool>(
        rows: &[Self],
        matrix: &Panels<Self>,
        store: impl FnMut(usize, usize, &[Self]),
    );
}

macro_rules! number {
    ($type:ident, $rows:literal, $panel:literal, $exact:literal, $same:ident, $other:ident) => {
        impl Number for $type {
            const PANEL: usize = $panel;
            const EXACT: bool = $exact;
            const ROUNDING: f64 = $type::EPSILON as f64 / 2.0;
            const INFINITY: Self = $type::INFINITY;

            #[inline(always)]
            fn from_f64(value: f64) -> Self {
                value as $type
            }

            #[inline(always)]
            fn to_f64(self) -> f64 {
                f64::from(self)
            }

            #[inline(always)]
            fn is_finite(self) -> bool {
                self.is_finite()
            }

            #[inline(always)]
            fn fused(self, factor: Self, summand: Self) -> Self {
                self.mul_add(factor, summand)
            }

            fn components<'a>(vectors: Vectors<'a>, buffer: &'a mut Vec<Self>) -> &'a [Self] {
                match vectors.values() {
                    Values::$same(values) => values,
                    Values::$other(values) => {
                        buffer.clear();
                        buffer.extend(values.iter().map(|&value| value as $type));
                        buffer
                    }
                }
            }

            #[inline(always)]
            fn multiply<const FUSED: bool>(
                rows: &[Self],
                matrix: &Panels<Self>,
                store: impl FnMut(usize, usize, &[Self]),
            ) {
                product::multiply::<Self, FUSED, $rows, $panel>(rows, matrix, store);
            }
        }
    };
}

number!(f64, 6, 8, true, F64, F32);
number!(f32, 6, 16, false, F32, F64);
