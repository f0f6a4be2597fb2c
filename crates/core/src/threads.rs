//! A trial of the system's threads before somebody else starts as many.
//!
//! ONNX Runtime and the system each have their own way to fail or hang when a thread cannot be had,
//! and limits have many places: processes of the user, a container's, memory for stacks. So the
//! threads are started here first, all at once, and ended again.

use std::sync::Arc;

use crate::error::Error;

/// The stack that the C library gives a thread where nothing else was set, in bytes.
const STACK: usize = 8 << 20;

/// Makes sure that `wanted` threads can be had at once, beside those that there are.
///
/// # Errors
/// [`Error::Thread`].
pub(crate) fn check(wanted: usize) -> Result<(), Error> {
    trial::start(wanted).map_err(|(started, source)| {
        let source = Arc::new(source);
        Error::Thread { started, wanted, source }
    })
}

/// Threads of the system: those of the standard library allocate as they begin, and abort the process
/// where they cannot, which is just what a limit on memory leads to.
#[cfg(unix)]
#[expect(unsafe_code, reason = "threads of the system are started by calling into it")]
mod trial {
    use std::{cell::UnsafeCell, ffi::c_void, io, mem::MaybeUninit, ptr};

    use super::STACK;

    extern "C" fn wait(gate: *mut c_void) -> *mut c_void {
        // SAFETY: `start` gives a mutex that it drops after it has joined this thread.
        unsafe {
            libc::pthread_mutex_lock(gate.cast());
            libc::pthread_mutex_unlock(gate.cast());
        }
        ptr::null_mut()
    }

    /// # Errors
    /// Threads that were started, and why there was no other.
    pub(super) fn start(wanted: usize) -> Result<(), (usize, io::Error)> {
        // A mutex must not move, and this one does not.
        let gate = UnsafeCell::new(libc::PTHREAD_MUTEX_INITIALIZER);
        let gate = gate.get();
        // No memory is asked for while there may be none.
        let mut threads = Vec::with_capacity(wanted);
        let mut failed = 0;
        // SAFETY: the attributes are initialised before they are used, and the gate outlives the
        // threads, which are all joined here.
        unsafe {
            let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
            libc::pthread_attr_init(attributes.as_mut_ptr());
            libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), STACK);
            // Nobody ends before all have started, or one has not.
            libc::pthread_mutex_lock(gate);
            while threads.len() < wanted && failed == 0 {
                let mut thread = MaybeUninit::<libc::pthread_t>::uninit();
                failed = libc::pthread_create(
                    thread.as_mut_ptr(),
                    attributes.as_ptr(),
                    wait,
                    gate.cast(),
                );
                if failed == 0 {
                    threads.push(thread.assume_init());
                }
            }
            libc::pthread_mutex_unlock(gate);
            for &thread in &threads {
                libc::pthread_join(thread, ptr::null_mut());
            }
            libc::pthread_attr_destroy(attributes.as_mut_ptr());
        }
        match failed {
            0 => Ok(()),
            code => Err((threads.len(), io::Error::from_raw_os_error(code))),
        }
    }
}

#[cfg(not(unix))]
mod trial {
    use std::{
        io,
        sync::{Mutex, PoisonError},
        thread,
    };

    use super::STACK;

    /// # Errors
    /// Threads that were started, and why there was no other.
    pub(super) fn start(wanted: usize) -> Result<(), (usize, io::Error)> {
        let gate = Mutex::new(());
        thread::scope(|scope| {
            // Nobody ends before all have started, or one has not.
            let _closed = gate.lock();
            for started in 0..wanted {
                let wait = || drop(gate.lock().unwrap_or_else(PoisonError::into_inner));
                let thread = thread::Builder::new().stack_size(STACK);
                thread.spawn_scoped(scope, wait).map_err(|source| (started, source))?;
            }
            Ok(())
        })
    }
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
