//! Inputs, outputs and device of a graph, as its first loading shows them.

use std::{ffi::CString, time::Duration};

use embedkit_types::Device;
use ort::value::{Outlet, TensorElementType};

/// Facts on a loaded graph.
#[derive(Debug)]
pub(super) struct GraphInfo {
    /// Name of the device.
    pub(super) device: String,
    /// Device of each copy of the graph, were there one replica.
    pub(super) devices: Vec<Device>,
    pub(super) inputs: Vec<Port>,
    pub(super) outputs: Vec<Port>,
    pub(super) depends_on_batch: bool,
    /// Time that the first loading took.
    pub(super) load_time: Duration,
}

impl GraphInfo {
    pub(super) fn input(&self, name: &str) -> Option<&Port> {
        self.inputs.iter().find(|port| port.name == name)
    }
}

/// An input or output as the graph declares it.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) name: String,
    pub(super) c_name: CString,
    /// Dimensions, where the graph fixes them. Without any the shape may also be undeclared.
    pub(super) shape: Vec<Option<usize>>,
    /// The type of the elements, of a tensor.
    pub(super) element: Option<TensorElementType>,
}

impl Port {
    pub(super) fn new(outlet: &Outlet) -> Self {
        let name = outlet.name().to_owned();
        // A name comes out of a C string, so it cannot contain a NUL.
        let c_name = CString::new(outlet.name()).unwrap_or_default();
        let fixed = |&dim: &i64| usize::try_from(dim).ok().filter(|&dim| dim > 0);
        let shape = outlet.dtype().tensor_shape();
        let shape = shape.map_or_else(Vec::new, |shape| shape.iter().map(fixed).collect());
        Self { name, c_name, shape, element: outlet.dtype().tensor_type() }
    }

    /// True for a tensor shape that the runtime takes here.
    pub(super) fn takes(&self, shape: &[usize]) -> bool {
        let fits =
            |(declared, given): (&Option<usize>, &usize)| declared.is_none_or(|d| d == *given);
        self.shape.is_empty()
            || self.shape.len() == shape.len() && self.shape.iter().zip(shape).all(fits)
    }
}
