//! Progress bars of long work, on standard error, and only where a person looks at it.

use std::{thread, time::Duration};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// Time between two drawings.
const TICK: Duration = Duration::from_millis(200);

/// The bars of a run.
#[derive(Clone)]
pub(crate) struct Bars {
    bars: MultiProgress,
    hidden: bool,
}

impl Bars {
    /// None yet; `hidden` for none at all.
    pub(crate) fn new(hidden: bool) -> Self {
        Self { bars: MultiProgress::new(), hidden }
    }

    /// Takes the bars away while something else is written to the terminal.
    pub(crate) fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bars.suspend(write)
    }

    /// Work that is measured in bytes: a download, or a file that is written.
    pub(crate) fn bytes(&self, what: String, size: Option<u64>) -> Bytes {
        let bar = match size {
            Some(size) => bar(
                size,
                "{bar:20} {bytes}/{total_bytes}  {wide_msg}  {binary_bytes_per_sec}, {eta} to go",
            ),
            None => spinner("{spinner} {bytes}  {wide_msg}  {binary_bytes_per_sec}, {elapsed}"),
        };
        Bytes(self.show(bar.with_message(what)))
    }

    /// Work on inputs. `total` is the end of their positions, where it is known.
    pub(crate) fn items(&self, total: Option<u64>, what: &'static str) -> Items {
        let bar = match total {
            Some(total) => {
                bar(total, "{bar:20} {percent:>3} %  {wide_msg}  {elapsed}, {eta} to go")
            }
            None => spinner("{spinner} {wide_msg}  {elapsed}"),
        };
        Items { bar: self.show(bar), what, done: 0 }
    }

    /// Work of unknown length, such as opening a model.
    pub(crate) fn busy(&self, what: String) -> Busy {
        Busy(self.show(spinner("{spinner} {wide_msg}  {elapsed}").with_message(what)))
    }

    fn show(&self, bar: ProgressBar) -> ProgressBar {
        if self.hidden {
            return ProgressBar::hidden();
        }
        let bar = self.bars.add(bar);
        // The bar starts a thread for it, and panics where there is none to be had.
        if !bar.is_hidden() && thread::Builder::new().spawn(|| ()).is_ok() {
            bar.enable_steady_tick(TICK);
        }
        bar
    }
}

fn bar(total: u64, template: &str) -> ProgressBar {
    ProgressBar::new(total).with_style(style(template))
}

fn spinner(template: &str) -> ProgressBar {
    ProgressBar::new_spinner().with_style(style(template))
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("a template of ours")
}

/// A bar of bytes; it vanishes when dropped.
pub(crate) struct Bytes(ProgressBar);

impl Bytes {
    /// So many bytes are done.
    pub(crate) fn reached(&self, bytes: u64) {
        self.0.set_position(bytes);
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// A bar of inputs; it vanishes when dropped.
pub(crate) struct Items {
    bar: ProgressBar,
    what: &'static str,
    done: u64,
}

impl Items {
    /// Another one is done, at this position of the total.
    pub(crate) fn advance(&mut self, position: u64) {
        self.done += 1;
        if !self.bar.is_hidden() {
            let per_second = self.done as f64 / self.bar.elapsed().as_secs_f64().max(1e-3);
            self.bar.set_message(format!("{} {}, {}", self.done, self.what, rate(per_second)));
            self.bar.set_position(position);
        }
    }
}

impl Drop for Items {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A rate with the digits that mean something.
fn rate(per_second: f64) -> String {
    if per_second < 0.1 {
        format!("{:.1}/min", per_second * 60.0)
    } else if per_second < 10.0 {
        format!("{per_second:.1}/s")
    } else {
        format!("{per_second:.0}/s")
    }
}

/// A sign that work goes on; it vanishes when dropped.
pub(crate) struct Busy(ProgressBar);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_work_has_a_rate_as_well() {
        for (per_second, text) in
            [(0.05, "3.0/min"), (0.5, "0.5/s"), (9.96, "10.0/s"), (1234.5, "1234/s")]
        {
            assert_eq!(rate(per_second), text);
        }
    }

    #[test]
    fn templates_are_sound() {
        let bars = Bars::new(false);
        bars.bytes("a".into(), Some(10)).reached(3);
        bars.bytes("a".into(), None).reached(3);
        bars.items(Some(10), "inputs").advance(1);
        bars.items(None, "inputs").advance(1);
        drop(bars.busy("opening".into()));
    }
}
