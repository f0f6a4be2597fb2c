//! Tensors into a graph and out of it.

use std::borrow::Cow;

use ort::{
    AsPointer,
    value::{DynValue, Tensor, TensorElementType, TensorRef},
};

/// One tensor that goes into a graph.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// Name of the graph's input.
    pub name: &'a str,
    /// Shape; empty for a scalar. A dimension of 0 makes a tensor without elements.
    pub shape: &'a [usize],
    /// Elements in row-major order.
    pub values: Values<'a>,
}

/// The elements of an input.
#[derive(Debug, Clone, Copy)]
pub enum Values<'a> {
    /// Integers: token ids, masks. They become the type that the graph declares: integers of 32 bits,
    /// floats, or booleans (everything but 0 is true).
    I64(&'a [i64]),
    /// 32-bit floats: pixels.
    F32(&'a [f32]),
}

/// One output of a run, read in place.
#[derive(Debug)]
pub struct View<'a> {
    /// Shape of the output.
    pub shape: &'a [usize],
    /// Elements in row-major order, widened to f32 where the graph has another type.
    pub values: &'a [f32],
    /// True for a graph that computes in half precision.
    pub half: bool,
}

/// An input as the runtime takes it.
pub(super) enum InputTensor<'a> {
    I64(TensorRef<'a, i64>),
    F32(TensorRef<'a, f32>),
    /// Elements that were converted.
    Owned(DynValue),
}

impl<'a> InputTensor<'a> {
    /// The tensor for an input that the graph declares with elements of this type.
    #[expect(clippy::cast_precision_loss, reason = "masks and flags")]
    pub(super) fn new(input: &Input<'a>, declared: Option<TensorElementType>) -> ort::Result<Self> {
        let shape = input.shape.to_vec();
        macro_rules! converted {
            ($values:expr, $convert:expr) => {{
                let values: Vec<_> = $values.iter().map($convert).collect();
                Self::Owned(Tensor::from_array((shape, values))?.into_dyn())
            }};
        }
        Ok(match (input.values, declared) {
            (Values::I64(values), Some(TensorElementType::Int32)) => {
                let narrow = |&value: &i64| {
                    i32::try_from(value).map_err(|_| {
                        let name = input.name;
                        ort::Error::new(format!("`{name}` takes 32 bits, {value} has more"))
                    })
                };
                let values = values.iter().map(narrow).collect::<ort::Result<Vec<i32>>>()?;
                Self::Owned(Tensor::from_array((shape, values))?.into_dyn())
            }
            (Values::I64(values), Some(TensorElementType::Bool)) => converted!(values, |&x| x != 0),
            (Values::I64(values), Some(TensorElementType::Float32)) => {
                converted!(values, |&x| x as f32)
            }
            (Values::I64(values), Some(TensorElementType::Float16)) => {
                converted!(values, |&x| half::f16::from_f32(x as f32))
            }
            // Nothing is nothing in either precision. Pixels in half are no input of FastEmbed's.
            (Values::F32([]), Some(TensorElementType::Float16)) => {
                Self::Owned(Tensor::from_array((shape, Vec::<half::f16>::new()))?.into_dyn())
            }
            (Values::I64(values), _) => Self::I64(TensorRef::from_array_view((shape, values))?),
            (Values::F32(values), _) => Self::F32(TensorRef::from_array_view((shape, values))?),
        })
    }

    pub(super) fn ptr(&self) -> *const ort::sys::OrtValue {
        match self {
            Self::I64(tensor) => tensor.ptr(),
            Self::F32(tensor) => tensor.ptr(),
            Self::Owned(tensor) => tensor.ptr(),
        }
    }
}

/// An output in the memory of the host, as f32.
pub(super) struct HostOutput<'a> {
    shape: Vec<usize>,
    values: Cow<'a, [f32]>,
    half: bool,
}

impl<'a> HostOutput<'a> {
    /// The elements as f32; `None` for a type that is no number.
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "f32 results")]
    pub(super) fn new(value: &'a DynValue) -> ort::Result<Option<Self>> {
        macro_rules! converted {
            ($type:ty, $convert:expr) => {{
                let (shape, values) = value.try_extract_tensor::<$type>()?;
                (shape, Cow::Owned(values.iter().map($convert).collect()))
            }};
        }
        let element = value.dtype().tensor_type();
        let (shape, values) = match element {
            Some(TensorElementType::Float32) => {
                let (shape, values) = value.try_extract_tensor::<f32>()?;
                (shape, Cow::Borrowed(values))
            }
            Some(TensorElementType::Float16) => converted!(half::f16, |x| x.to_f32()),
            Some(TensorElementType::Bfloat16) => converted!(half::bf16, |x| x.to_f32()),
            Some(TensorElementType::Float64) => converted!(f64, |&x| x as f32),
            Some(TensorElementType::Int64) => converted!(i64, |&x| x as f32),
            Some(TensorElementType::Int32) => converted!(i32, |&x| x as f32),
            Some(TensorElementType::Int8) => converted!(i8, |&x| f32::from(x)),
            Some(TensorElementType::Uint8) => converted!(u8, |&x| f32::from(x)),
            _ => return Ok(None),
        };
        // Output shapes are never negative: the runtime has resolved them.
        let shape = shape.iter().map(|&dim| usize::try_from(dim).unwrap_or(0)).collect();
        Ok(Some(Self { shape, values, half: element == Some(TensorElementType::Float16) }))
    }

    pub(super) fn view(&self) -> View<'_> {
        View { shape: &self.shape, values: &self.values, half: self.half }
    }
}
