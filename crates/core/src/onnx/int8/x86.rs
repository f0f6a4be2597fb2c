//! Microkernels for x86-64: 32-byte or 64-byte vectors, with and without VNNI.

use std::arch::x86_64::{
    __m128, __m256, __m256i, __m512, __m512i, _mm_loadu_ps, _mm256_add_epi32, _mm256_add_ps,
    _mm256_and_si256, _mm256_castpd_ps, _mm256_castps_pd, _mm256_castps_si256, _mm256_castsi256_ps,
    _mm256_cvtepi32_ps, _mm256_dpbusd_avx_epi32, _mm256_fmadd_ps, _mm256_loadu_ps,
    _mm256_loadu_si256, _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_max_ps, _mm256_min_ps,
    _mm256_mul_ps, _mm256_mullo_epi32, _mm256_set_m128, _mm256_set1_epi16, _mm256_set1_epi32,
    _mm256_set1_ps, _mm256_setzero_si256, _mm256_slli_epi32, _mm256_storeu_ps, _mm256_sub_epi32,
    _mm256_unpackhi_pd, _mm256_unpackhi_ps, _mm256_unpacklo_pd, _mm256_unpacklo_ps,
    _mm512_add_epi32, _mm512_add_ps, _mm512_and_si512, _mm512_castpd_ps, _mm512_castps_pd,
    _mm512_castps_si512, _mm512_castps128_ps512, _mm512_castsi512_ps, _mm512_cvtepi32_ps,
    _mm512_dpbusd_epi32, _mm512_fmadd_ps, _mm512_insertf32x4, _mm512_loadu_ps, _mm512_loadu_si512,
    _mm512_madd_epi16, _mm512_maddubs_epi16, _mm512_max_ps, _mm512_min_ps, _mm512_mul_ps,
    _mm512_mullo_epi32, _mm512_set1_epi16, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_si512,
    _mm512_slli_epi32, _mm512_storeu_ps, _mm512_sub_epi32, _mm512_unpackhi_pd, _mm512_unpackhi_ps,
    _mm512_unpacklo_pd, _mm512_unpacklo_ps,
};

use super::exp::{EXPONENT_BIAS, FRACTION_BITS};
use super::gelu::SHORT as GELU;
use super::gemm::{COLUMNS, DEPTH, Gemm, STEP};
use super::microkernel::{BLOCK, load_panel, microkernel};
use super::tile::TileMut;

/// Defines the operations that [`microkernel`] needs, for one vector width.
macro_rules! vectors {
    (
        $feature:literal, $lanes:literal, $ints:ty, $floats:ty,
        $zeros:ident, $load_ints:ident, $broadcast:ident, $mul_ints:ident, $sub_ints:ident, $convert:ident,
        $load:ident, $store:ident, $splat:ident,
        $add:ident, $mul:ident, $min:ident, $max:ident, $mul_add:ident,
        $bits:ident, $and:ident, $add_ints:ident, $shift:ident, $floats_of:ident,
        $low:ident, $high:ident, $low_pairs:ident, $high_pairs:ident, $doubles:ident, $floats_of_doubles:ident
    ) => {
        use super::*;

        pub(in crate::onnx) const LANES: usize = $lanes;
        pub(in crate::onnx) const VECTORS: usize = COLUMNS / LANES;
        pub(in crate::onnx) type Accumulator = $ints;
        pub(in crate::onnx) type Ints = $ints;
        pub(in crate::onnx) type Floats = $floats;

        #[inline]
        #[target_feature(enable = $feature)]
        pub(in crate::onnx) fn zeros() -> Accumulator {
            $zeros()
        }

        #[inline]
        #[target_feature(enable = $feature)]
        pub(in crate::onnx) fn load_weights(bytes: &[i8; STEP / VECTORS]) -> $ints {
            #[expect(unsafe_code, reason = "loads are from pointers")]
            // SAFETY: the array is as long as the vector, and the instruction takes any alignment.
            unsafe {
                $load_ints(bytes.as_ptr().cast())
            }
        }

        #[inline]
        #[target_feature(enable = $feature)]
        pub(in crate::onnx) fn broadcast(activations: [u8; DEPTH]) -> $ints {
            $broadcast(i32::from_le_bytes(activations))
        }

        #[inline]
        #[target_feature(enable = $feature)]
        pub(in crate::onnx) fn zero_point_term(zero_point: u8, column_sums: &[i32; LANES]) -> Ints {
            #[expect(unsafe_code, reason = "loads are from pointers")]
            // SAFETY: the array is as long as the vector, and the instruction takes any alignment.
            let column_sums = unsafe { $load_ints(column_sums.as_ptr().cast()) };
            $mul_ints($broadcast(i32::from(zero_point)), column_sums)
        }

        #[inline]
        #[target_feature(enable = $feature)]
        pub(in crate::onnx) fn sub(acc: Accumulator, term: Ints) -> Floats {
            $convert($sub_ints(acc, term))
        }

        #[inline]
        #[target_feature(enable = $feature)]
        pub(in crate::onnx) fn load(floats: &[f32; LANES]) -> Floats {
            #[expect(unsafe_code, reason = "loads are from pointers")]
            // SAFETY: the array is as long as the vector, and the instruction takes any alignment.
            unsafe {
                $load(floats.as_ptr())
            }
        }

        #[inline]
        #[target_feature(enable = $feature)]
        pub(in crate::onnx) fn store(floats: Floats, out: &mut [f32; LANES]) {
            #[expect(unsafe_code, reason = "stores are to pointers")]
            // SAFETY: the array is as long as the vector, and the instruction takes any alignment.
            unsafe {
                $store(out.as_mut_ptr(), floats);
            }
        }

        #[inline]
        #[target_feature(enable = $feature)]
        pub(in crate::onnx) fn splat(float: f32) -> Floats {
            $splat(float)
        }

        vectors!(@pair $feature, add, $add);
        vectors!(@pair $feature, mul, $mul);
        vectors!(@pair $feature, min, $min);
        vectors!(@pair $feature, max, $max);

        #[inline]
        #[target_feature(enable = $feature)]
        pub(in crate::onnx) fn abs(a: Floats) -> Floats {
            $floats_of($and($bits(a), $broadcast(i32::MAX)))
        }

        #[inline]
        #[target_feature(enable = $feature)]
        pub(in crate::onnx) fn mul_add(a: Floats, b: Floats, c: Floats) -> Floats {
            $mul_add(a, b, c)
        }

        #[inline]
        #[target_feature(enable = $feature)]
        pub(in crate::onnx) fn power_of_two(rounded: Floats) -> Floats {
            let exponents = $add_ints($bits(rounded), $broadcast(EXPONENT_BIAS));
            $floats_of($shift::<{ FRACTION_BITS as _ }>(exponents))
        }

        #[inline]
        #[target_feature(enable = $feature)]
        pub(in crate::onnx) fn transpose(rows: &[&[f32; 4]; LANES]) -> [Floats; 4] {
            // Each part of 16 bytes has four rows below each other, of which the first is in `a`.
            let [a, b, c, d] = [side_by_side(rows, 0), side_by_side(rows, 1), side_by_side(rows, 2), side_by_side(rows, 3)];
            let [low_ab, low_cd] = [$doubles($low(a, b)), $doubles($low(c, d))];
            let [high_ab, high_cd] = [$doubles($high(a, b)), $doubles($high(c, d))];
            [
                $floats_of_doubles($low_pairs(low_ab, low_cd)),
                $floats_of_doubles($high_pairs(low_ab, low_cd)),
                $floats_of_doubles($low_pairs(high_ab, high_cd)),
                $floats_of_doubles($high_pairs(high_ab, high_cd)),
            ]
        }
    };
    (@pair $feature:literal, $name:ident, $instruction:ident) => {
        #[inline]
        #[target_feature(enable = $feature)]
        pub(in crate::onnx) fn $name(a: Floats, b: Floats) -> Floats {
            $instruction(a, b)
        }
    };
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn load_four(floats: &[f32; 4]) -> __m128 {
    #[expect(unsafe_code, reason = "loads are from pointers")]
    // SAFETY: the array is as long as the vector, and the instruction takes any alignment.
    unsafe {
        _mm_loadu_ps(floats.as_ptr())
    }
}

pub(in crate::onnx) mod bytes32 {
    //! Operations on 32-byte vectors.
    vectors!(
        "avx2,fma",
        8,
        __m256i,
        __m256,
        _mm256_setzero_si256,
        _mm256_loadu_si256,
        _mm256_set1_epi32,
        _mm256_mullo_epi32,
        _mm256_sub_epi32,
        _mm256_cvtepi32_ps,
        _mm256_loadu_ps,
        _mm256_storeu_ps,
        _mm256_set1_ps,
        _mm256_add_ps,
        _mm256_mul_ps,
        _mm256_min_ps,
        _mm256_max_ps,
        _mm256_fmadd_ps,
        _mm256_castps_si256,
        _mm256_and_si256,
        _mm256_add_epi32,
        _mm256_slli_epi32,
        _mm256_castsi256_ps,
        _mm256_unpacklo_ps,
        _mm256_unpackhi_ps,
        _mm256_unpacklo_pd,
        _mm256_unpackhi_pd,
        _mm256_castps_pd,
        _mm256_castpd_ps
    );

    /// Every fourth row from `first` on.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn side_by_side(rows: &[&[f32; 4]; LANES], first: usize) -> Floats {
        _mm256_set_m128(load_four(rows[first + 4]), load_four(rows[first]))
    }
}

pub(in crate::onnx) mod bytes64 {
    //! Operations on 64-byte vectors.
    vectors!(
        "avx2,fma,avx512f",
        16,
        __m512i,
        __m512,
        _mm512_setzero_si512,
        _mm512_loadu_si512,
        _mm512_set1_epi32,
        _mm512_mullo_epi32,
        _mm512_sub_epi32,
        _mm512_cvtepi32_ps,
        _mm512_loadu_ps,
        _mm512_storeu_ps,
        _mm512_set1_ps,
        _mm512_add_ps,
        _mm512_mul_ps,
        _mm512_min_ps,
        _mm512_max_ps,
        _mm512_fmadd_ps,
        _mm512_castps_si512,
        _mm512_and_si512,
        _mm512_add_epi32,
        _mm512_slli_epi32,
        _mm512_castsi512_ps,
        _mm512_unpacklo_ps,
        _mm512_unpackhi_ps,
        _mm512_unpacklo_pd,
        _mm512_unpackhi_pd,
        _mm512_castps_pd,
        _mm512_castpd_ps
    );

    /// Every fourth row from `first` on.
    #[inline]
    #[target_feature(enable = "avx2,fma,avx512f")]
    fn side_by_side(rows: &[&[f32; 4]; LANES], first: usize) -> Floats {
        let two = _mm512_insertf32x4::<1>(
            _mm512_castps128_ps512(load_four(rows[first])),
            load_four(rows[first + 4]),
        );
        let three = _mm512_insertf32x4::<2>(two, load_four(rows[first + 8]));
        _mm512_insertf32x4::<3>(three, load_four(rows[first + 12]))
    }
}

pub(super) mod avx2 {
    //! 32-byte vectors, pairs of products added in 16 bits.
    use super::bytes32::*;
    use super::*;

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn dot(acc: __m256i, activations: __m256i, weights: __m256i) -> __m256i {
        let pairs = _mm256_maddubs_epi16(activations, weights);
        _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
    }

    microkernel!(#[target_feature(enable = "avx2,fma")] rows: 5, panels: 4, 2, 1);
}

pub(super) mod avx_vnni {
    //! 32-byte vectors, four products added by one instruction.
    use super::bytes32::*;
    use super::*;

    #[inline]
    #[target_feature(enable = "avx2,fma,avxvnni")]
    fn dot(acc: __m256i, activations: __m256i, weights: __m256i) -> __m256i {
        _mm256_dpbusd_avx_epi32(acc, activations, weights)
    }

    microkernel!(#[target_feature(enable = "avx2,fma,avxvnni")] rows: 6, panels: 4, 2, 1);
}

pub(super) mod avx512 {
    //! 64-byte vectors, pairs of products added in 16 bits.
    use super::bytes64::*;
    use super::*;

    #[inline]
    #[target_feature(enable = "avx2,fma,avx512f,avx512bw")]
    fn dot(acc: __m512i, activations: __m512i, weights: __m512i) -> __m512i {
        let pairs = _mm512_maddubs_epi16(activations, weights);
        _mm512_add_epi32(acc, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)))
    }

    microkernel!(#[target_feature(enable = "avx2,fma,avx512f,avx512bw")] rows: 6, panels: 4, 4, 4);
}

pub(super) mod avx512_vnni {
    //! 64-byte vectors, four products added by one instruction.
    use super::bytes64::*;
    use super::*;

    #[inline]
    #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vnni")]
    fn dot(acc: __m512i, activations: __m512i, weights: __m512i) -> __m512i {
        _mm512_dpbusd_epi32(acc, activations, weights)
    }

    microkernel!(#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vnni")] rows: 6, panels: 4, 4, 4);
}
