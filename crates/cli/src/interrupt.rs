//! Signals that ask the program to end: it ends at the end of a record, says what stays, and its
//! status is 128 and the signal's number, as shells have it.
//!
//! A thread of its own ends the program: the others may be reading, computing or waiting, and none of
//! them has to notice.

use std::{
    io::{self, Write as _},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use libc::c_int;
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    flag,
    iterator::Signals,
    low_level,
};

use crate::{
    output,
    report::{Report, exit_text},
};

/// A signal that comes again within this time is the same one: `timeout` and terminals send it to
/// the program and to its group.
const SAME: Duration = Duration::from_millis(250);
/// The longest that a reader who does not read, or a disk that does not answer, can hold up the end;
/// with the time above less than a second.
const LONGEST: Duration = Duration::from_millis(600);

/// Begins to wait for signals. Where no thread can be had, they end the program as they always did.
pub(crate) fn watch(report: &Report) {
    let report = report.clone();
    let (ready, waiting) = mpsc::channel();
    let spawned = thread::Builder::new().name("signals".into()).spawn(move || {
        let again = Arc::new(AtomicBool::new(false));
        let signals = register(&again);
        // Nobody waits any more only where the program is ending already.
        let _ = ready.send(());
        if let Some(signal) = signals.ok().and_then(|mut signals| signals.forever().next()) {
            end(signal, &report, again);
        }
    });
    if spawned.is_ok() {
        let _ = waiting.recv();
    }
}

fn register(again: &Arc<AtomicBool>) -> io::Result<Signals> {
    let mut wanted = vec![SIGINT, SIGTERM];
    // `nohup` has it ignored, and that is to stay. An interrupt is heeded even so: shells ignore it
    // for whatever they start in the background, and whoever sends it to such a program means it.
    if !is_ignored(SIGHUP) {
        wanted.push(SIGHUP);
    }
    let signals = Signals::new(&wanted)?;
    for signal in wanted {
        flag::register_conditional_shutdown(signal, 128 + signal, again.clone())?;
    }
    Ok(signals)
}

/// True if a signal was ignored when the program started.
fn is_ignored(signal: c_int) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::uninit();
    #[expect(unsafe_code, reason = "no safe interface asks without setting")]
    // SAFETY: without a new action the call only fills the old one in, and fails for a number that is
    // no signal, after which nothing is read.
    unsafe {
        libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) == 0
            && action.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

/// Ends the program, not in the middle of a record.
fn end(signal: c_int, report: &Report, again: Arc<AtomicBool>) {
    let status = 128 + signal;
    // Without it, the end may be held up; the next signal is not waited for then.
    let _ = thread::Builder::new().spawn(move || {
        thread::sleep(SAME);
        again.store(true, Ordering::Relaxed);
        thread::sleep(LONGEST);
        low_level::exit(status);
    });
    let name = low_level::signal_name(signal).unwrap_or("a signal");
    // First the terminal, then the output, as everywhere.
    report.beside_progress(|| {
        output::at_the_end_of_a_record(|kept| {
            let text = exit_text(&format!("stopped by {name}"), kept.as_deref());
            let _ = io::stderr().write_all(text.as_bytes());
            // At once: what others would clean up is still in use by their threads.
            embedkit_convert::discard_unfinished(|| low_level::exit(status));
        });
    });
}
