//! A trial of the system's threads before somebody else starts as many.
//!
//! ONNX Runtime and the system each have their own way to fail or hang when a thread cannot be had,
//! and limits have many places: processes of the user, a container's, memory for stacks. So the
//! threads are started here first, all at once, and ended again.

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use crate::error::Error;

/// The stack that the C library gives a thread where nothing else was set, in bytes.
const STACK: usize = 8 << 20;

/// Makes sure that `wanted` threads can be had at once, beside those that there are.
///
/// # Errors
/// [`Error::Thread`].
pub(crate) fn check(wanted: usize) -> Result<(), Error> {
    let gate = Mutex::new(());
    thread::scope(|scope| {
        // Nobody ends before all have started, or one has not.
        let _closed = gate.lock();
        for started in 0..wanted {
            let wait = || drop(gate.lock().unwrap_or_else(PoisonError::into_inner));
            let thread = thread::Builder::new().stack_size(STACK);
            if let Err(source) = thread.spawn_scoped(scope, wait) {
                return Err(Error::Thread { started, wanted, source: Arc::new(source) });
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_threads_can_be_had() {
        check(0).unwrap();
        check(4).unwrap();
    }
}
