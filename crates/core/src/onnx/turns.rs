//! Turns at a limited number of places: whoever came first goes first, lest one waits while others
//! pass.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Places and who waits for them.
#[derive(Debug)]
pub(super) struct Turnstile {
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Debug)]
struct State {
    /// Places that nobody has.
    free: Vec<usize>,
    /// How many have come.
    came: u64,
    /// How many of them have got a place.
    went: u64,
}

/// A place, given back when dropped.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    turnstile: &'a Turnstile,
    pub(super) place: usize,
}

impl Turnstile {
    pub(super) fn new(places: impl Iterator<Item = usize>) -> Self {
        let state = State { free: places.collect(), came: 0, went: 0 };
        Self { state: Mutex::new(state), freed: Condvar::new() }
    }

    /// Waits for a place.
    pub(super) fn enter(&self) -> Turn<'_> {
        let mut state = self.state();
        let turn = state.came;
        state.came += 1;
        loop {
            if state.went == turn
                && let Some(place) = state.free.pop()
            {
                state.went += 1;
                if !state.free.is_empty() && state.went < state.came {
                    self.freed.notify_all(); // the next may have been woken before its turn
                }
                return Turn { turnstile: self, place };
            }
            state = self.freed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.turnstile.state();
        state.free.push(self.place);
        if state.went < state.came {
            self.turnstile.freed.notify_all(); // those who wait know whose turn it is
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
    fn whoever_came_first_goes_first() {
        let turnstile = Turnstile::new(std::iter::once(7));
        let first = turnstile.enter();
        assert_eq!(first.place, 7);
        let (sender, order) = mpsc::channel();
        thread::scope(|scope| {
            for caller in 0..5 {
                let (sender, turnstile) = (sender.clone(), &turnstile);
                scope.spawn(move || {
                    let _turn = turnstile.enter();
                    sender.send(caller).unwrap();
                });
                // The next comes when this one waits.
                while turnstile.state().came != caller + 2 {
                    thread::yield_now();
                }
            }
            drop(first);
        });
        assert_eq!(order.try_iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn no_more_than_there_are_places() {
        let turnstile = Turnstile::new(0..3);
        let (inside, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let _turn = turnstile.enter();
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
        assert_eq!(turnstile.state().free.len(), 3);
    }
}
