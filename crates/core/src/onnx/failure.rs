//! From what ONNX Runtime says of a failed run to an error: is a row to blame, or the session?

use std::path::Path;

use ort::ErrorCode;

use super::session::one_line;
use crate::error::Error;

/// Parts of the messages, in lower case, with which the runtime, its arenas, CUDA, cuBLAS, cuDNN, HIP
/// and Direct3D say that there is no memory. None of them has a code of its own for it.
const NO_MEMORY: [&str; 9] = [
    "failed to allocate memory",
    "memory allocation failed",
    "is smaller than requested bytes",
    "bad_alloc",
    "bad allocation",
    "out of memory",
    "cudaerrormemoryallocation",
    "status_alloc_failed",
    "e_outofmemory",
];

/// The same for devices. A CUDA context, for one, gives the same error for all that follows.
const DEVICE_FAILED: [&str; 11] = [
    "cuda failure",
    "cuda error",
    "cublas failure",
    "cudnn failure",
    "cufft failure",
    "hip failure",
    "miopen failure",
    "device lost",
    "device removed",
    "dxgi_error_device",
    "887a00",
];

/// The error for a run of the graph at `path` that failed with `code` and `message`.
pub(super) fn run_error(path: &Path, code: ErrorCode, message: &str) -> Error {
    let (path, reason) = (path.to_owned(), one_line(message));
    let lower = reason.to_lowercase();
    let says = |parts: &[&str]| parts.iter().any(|part| lower.contains(part));
    if says(&NO_MEMORY) {
        Error::OutOfMemory { path, reason }
    } else if code == ErrorCode::DeviceReset || says(&DEVICE_FAILED) {
        Error::DeviceFailed { path, reason }
    } else {
        Error::Run { path, reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(code: ErrorCode, message: &str) -> &'static str {
        match run_error(Path::new("model.onnx"), code, message) {
            Error::OutOfMemory { .. } => "memory",
            Error::DeviceFailed { .. } => "device",
            Error::Run { .. } => "run",
            other => panic!("{other}"),
        }
    }

    #[test]
    fn messages_tell_what_is_to_blame() {
        // As ONNX Runtime 1.23 words them.
        for (expected, message) in [
            (
                "memory",
                "bfc_arena.cc:376 Failed to allocate memory for requested buffer of size 68719476736",
            ),
            (
                "memory",
                "bfc_arena.cc:359 Available memory of 12 is smaller than requested bytes of 1024",
            ),
            (
                "memory",
                "Non-zero status code returned while running MatMul node. Exception: std::bad_alloc",
            ),
            (
                "memory",
                "CUDA failure 2: out of memory ; GPU=0 ; expr=cudaMalloc((void**)&p, size);",
            ),
            ("memory", "CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED ; GPU=0"),
            ("device", "CUDA failure 700: an illegal memory access was encountered ; GPU=0"),
            ("device", "CUDNN failure 5000: CUDNN_STATUS_EXECUTION_FAILED ; GPU=0"),
            ("device", "DmlExecutionProvider: 887A0005 The GPU device instance has been suspended"),
            (
                "run",
                "Gather node. indices element out of data bounds, idx=30522 must be within [-30522,30521]",
            ),
            (
                "run",
                "Add node. Attempting to broadcast an axis by a dimension other than 1. 512 by 514",
            ),
        ] {
            assert_eq!(kind(ErrorCode::RuntimeException, message), expected, "{message}");
        }
        assert_eq!(kind(ErrorCode::DeviceReset, ""), "device");
    }
}
