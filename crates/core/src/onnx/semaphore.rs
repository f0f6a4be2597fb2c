//! A FIFO semaphore whose permits are numbered slots.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Slots, each held by one caller at a time; callers get them in order of arrival.
#[derive(Debug)]
pub(super) struct Semaphore {
    state: Mutex<State>,
    released: Condvar,
}

#[derive(Debug)]
struct State {
    free: Vec<usize>,
    /// Callers so far.
    arrived: u64,
    /// Callers that have got a slot.
    admitted: u64,
}

/// A slot, released when dropped.
#[derive(Debug)]
pub(super) struct Permit<'a> {
    semaphore: &'a Semaphore,
    pub(super) slot: usize,
}

impl Semaphore {
    pub(super) fn new(slots: impl Iterator<Item = usize>) -> Self {
        let state = State { free: slots.collect(), arrived: 0, admitted: 0 };
        Self { state: Mutex::new(state), released: Condvar::new() }
    }

    /// Waits for a slot.
    pub(super) fn acquire(&self) -> Permit<'_> {
        let mut state = self.state();
        let number = state.arrived;
        state.arrived += 1;
        loop {
            if state.admitted == number
                && let Some(slot) = state.free.pop()
            {
                state.admitted += 1;
                if !state.free.is_empty() && state.admitted < state.arrived {
                    self.released.notify_all(); // the next may have been woken too early
                }
                return Permit { semaphore: self, slot };
            }
            state = self.released.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut state = self.semaphore.state();
        state.free.push(self.slot);
        if state.admitted < state.arrived {
            self.semaphore.released.notify_all(); // each waiter knows its number
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            atomic::{AtomicUsize, Ordering},
            mpsc,
        },
        thread,
    };

    use super::*;

    #[test]
    fn callers_are_admitted_in_order_of_arrival() {
        let semaphore = Semaphore::new(std::iter::once(7));
        let first = semaphore.acquire();
        assert_eq!(first.slot, 7);
        let (sender, order) = mpsc::channel();
        thread::scope(|scope| {
            for caller in 0..5 {
                let (sender, semaphore) = (sender.clone(), &semaphore);
                scope.spawn(move || {
                    let _permit = semaphore.acquire();
                    sender.send(caller).unwrap();
                });
                // The next comes when this one waits.
                while semaphore.state().arrived != caller + 2 {
                    thread::yield_now();
                }
            }
            drop(first);
        });
        assert_eq!(order.try_iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn no_more_permits_than_slots() {
        let semaphore = Semaphore::new(0..3);
        let (inside, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let _permit = semaphore.acquire();
                        let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
                        most.fetch_max(now, Ordering::SeqCst);
                        thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        let most = most.load(Ordering::SeqCst);
        assert!((1..=3).contains(&most), "{most}");
        assert_eq!(semaphore.state().free.len(), 3);
    }
}
