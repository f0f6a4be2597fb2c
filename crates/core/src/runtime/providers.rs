//! The execution providers of the library in use.

use std::{
    ffi::{CStr, c_char, c_int},
    path::Path,
    ptr,
};

use embedkit_types::Error;

use super::{RuntimeError, environment};

/// Execution providers that the library was built with, by ONNX Runtime's names, such as
/// `CPUExecutionProvider`; one of them may still lack its driver or its device. Sets the library up for this
/// process.
///
/// # Errors
/// As `find`, and [`RuntimeError::Setup`].
pub fn providers(explicit: Option<&Path>, cache: Option<&Path>) -> Result<Vec<String>, Error> {
    environment(explicit, cache)?;
    Ok(available().map_err(|error| RuntimeError::Setup { reason: error.to_string() })?)
}

#[expect(unsafe_code, reason = "ort tells of single providers only")]
fn available() -> ort::Result<Vec<String>> {
    let api = ort::api();
    let (mut names, mut count): (*mut *mut c_char, c_int) = (ptr::null_mut(), 0);
    // SAFETY: both places are valid for the call, which fills them in or fails.
    unsafe {
        ort::Error::result_from_status((api.GetAvailableProviders)(&mut names, &mut count))?;
    }
    if names.is_null() {
        return Ok(Vec::new());
    }
    let listed = (0..usize::try_from(count).unwrap_or(0))
        // SAFETY: the call above succeeded, so there are as many C strings as it says.
        .map(|at| unsafe { CStr::from_ptr(*names.add(at)) }.to_string_lossy().into_owned())
        .collect();
    // SAFETY: the list is that of the call above, and is not used any more.
    unsafe {
        ort::Error::result_from_status((api.ReleaseAvailableProviders)(names, count))?;
    }
    Ok(listed)
}
