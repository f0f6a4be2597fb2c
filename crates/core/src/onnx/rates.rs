//! Seconds that each kernel takes for a matrix product, for the project's own benchmarks.

use std::ops::{Deref, DerefMut};
use std::time::Instant;

use super::{bf16, int8, sgemm};
use int8::{Gemm, Scales, TileMut};

/// A product of `[rows, k]` activations and a `[k, columns]` matrix, on one thread.
#[derive(Debug, Clone, Copy)]
pub struct Product {
    pub rows: usize,
    pub k: usize,
    pub columns: usize,
    /// Applies a GELU to the result.
    pub gelu: bool,
}

/// Seconds of a kernel.
#[derive(Debug, Clone)]
pub struct Timed {
    /// Elements of the operands, `int8`, `bf16` or `f32`.
    pub elements: &'static str,
    /// Name of the kernel, such as `amx`.
    pub kernel: &'static str,
    /// One number for each run.
    pub seconds: Vec<f64>,
}

impl Product {
    /// Runs the kernels of this processor in turn, from the slowest to the fastest of each kind of elements, each run
    /// after one that fills the caches and does not count.
    #[must_use]
    pub fn time(&self, runs: usize) -> Vec<Timed> {
        let kernels = int8::Kernel::ALL.iter().filter(|kernel| kernel.is_available());
        let of_int8 = kernels.map(|&kernel| Kernel::Int8(kernel));
        let kernels = bf16::Kernel::ALL.iter().filter(|kernel| kernel.is_available());
        let of_bf16 = kernels.map(|&kernel| Kernel::Bf16(kernel));
        let kernels = sgemm::Kernel::ALL.iter().filter(|kernel| kernel.is_available());
        let of_f32 = kernels.map(|&kernel| Kernel::F32(kernel));
        let kernels: Vec<_> = of_int8.chain(of_bf16).chain(of_f32).collect();
        let operands = [1, bf16::SIZE, sgemm::SIZE].map(|size| Operands::new(self, size));
        let mut out = Aligned::new(self.rows * self.columns, |_| 0.0);
        let timed = |kernel: &Kernel| {
            let (elements, kernel) = kernel.names();
            Timed { elements, kernel, seconds: Vec::with_capacity(runs) }
        };
        let mut all: Vec<_> = kernels.iter().map(timed).collect();
        for _ in 0..runs {
            for (kernel, timed) in kernels.iter().zip(&mut all) {
                kernel.compute(self, &operands, &mut out);
                let start = Instant::now();
                kernel.compute(self, &operands, &mut out);
                timed.seconds.push(start.elapsed().as_secs_f64());
            }
        }
        all
    }
}

/// A kernel for one kind of elements.
enum Kernel {
    Int8(int8::Kernel),
    Bf16(bf16::Kernel),
    F32(sgemm::Kernel),
}

impl Kernel {
    fn names(&self) -> (&'static str, &'static str) {
        match self {
            Self::Int8(kernel) => ("int8", kernel.name()),
            Self::Bf16(kernel) => ("bf16", kernel.name()),
            Self::F32(kernel) => ("f32", kernel.name()),
        }
    }

    fn compute(&self, product: &Product, operands: &[Operands; 3], out: &mut [f32]) {
        let [of_int8, of_bf16, of_f32] = operands;
        let mut out = TileMut::new(out, product.columns);
        match self {
            Self::Int8(kernel) => {
                let scales = Scales {
                    rows: &of_int8.row_scales,
                    zero_point: 128,
                    column_sums: &of_int8.column_sums,
                    columns: &of_int8.column_scales,
                };
                of_int8.gemm(product, Some(scales)).compute_with(*kernel, &mut out);
            }
            Self::Bf16(kernel) => kernel.compute(&of_bf16.gemm(product, None), &mut out),
            Self::F32(kernel) => kernel.compute(&of_f32.gemm(product, None), &mut out),
        }
    }
}

/// Operands of a product, of numbers that are neither zeros nor denormal.
struct Operands {
    k: usize,
    activations: Aligned<u8>,
    weights: Aligned<i8>,
    row_scales: Vec<f32>,
    column_sums: Vec<i32>,
    column_scales: Vec<f32>,
}

impl Operands {
    /// Operands whose elements have `size` bytes.
    fn new(product: &Product, size: usize) -> Self {
        let k = product.k * size;
        let len = int8::gemm::packed_len(k, product.columns).unwrap_or(0);
        // Bytes of 63 are 0.74 as bf16, and 0.75 as f32.
        let at = |at: usize| if size == 1 { (at % 61) as u8 } else { 63 };
        Self {
            k,
            activations: Aligned::new(product.rows * k, at),
            weights: Aligned::new(len, |i| at(i).cast_signed()),
            row_scales: vec![0.01; product.rows],
            column_sums: vec![0; product.columns],
            column_scales: vec![0.01; product.columns],
        }
    }

    fn gemm<'a>(&'a self, product: &Product, scales: Option<Scales<'a>>) -> Gemm<'a> {
        Gemm {
            activations: &self.activations,
            m: product.rows,
            k: self.k,
            n: product.columns,
            weights: &self.weights,
            scales,
            bias: None,
            gelu: product.gelu,
        }
    }
}

/// Numbers that begin at a cache line, as tensors of ONNX Runtime do.
struct Aligned<T> {
    numbers: Vec<T>,
    start: usize,
}

impl<T: Copy + Default> Aligned<T> {
    const LINE: usize = 64;

    fn new(len: usize, at: impl Fn(usize) -> T) -> Self {
        let mut numbers = vec![T::default(); len + Self::LINE];
        let start = numbers.as_ptr().align_offset(Self::LINE).min(Self::LINE);
        numbers.truncate(start + len);
        let places = numbers[start..].iter_mut().enumerate();
        places.for_each(|(i, place)| *place = at(i));
        Self { numbers, start }
    }
}

impl<T> Deref for Aligned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.numbers[self.start..]
    }
}

impl<T> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.numbers[self.start..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_kernels_of_the_processor_are_timed() {
        let product = Product { rows: 3, k: 20, columns: 17, gelu: true };
        let all = product.time(2);
        assert!(all.iter().any(|one| (one.elements, one.kernel) == ("int8", "portable")));
        let fastest = all.iter().rfind(|one| one.elements == "int8").unwrap();
        assert_eq!(fastest.kernel, int8::kernel_name());
        let bf16 = all.iter().rfind(|one| one.elements == "bf16").map(|one| one.kernel);
        assert_eq!(bf16, bf16::kernel_name());
        let of_f32 = all.iter().rfind(|one| one.elements == "f32").map(|one| one.kernel);
        assert_eq!(of_f32, sgemm::Kernel::fastest().map(sgemm::Kernel::name));
        assert!(all.iter().all(|one| one.seconds.len() == 2));
    }
}
