//! How the command talks: progress on standard error, results on standard output.

use std::{
    io::{self, Write as _},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::{
    args::ConsoleArgs,
    search::{Stage, Surroundings},
};

/// What the user wants to hear.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Console {
    /// Only errors.
    pub(crate) quiet: bool,
    /// JSON on standard output instead of tables.
    pub(crate) json: bool,
}

impl From<&ConsoleArgs> for Console {
    fn from(args: &ConsoleArgs) -> Self {
        Self { quiet: args.quiet, json: args.json }
    }
}

impl Console {
    /// A remark for a person, on standard error.
    pub(crate) fn note(self, text: &str) {
        if !self.quiet {
            eprintln!("{text}");
        }
    }

    /// A result for a person, on standard output.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(crate) fn print(self, text: &str) -> Result<(), Unwritable> {
        if self.quiet || self.json { Ok(()) } else { say(text) }
    }

    /// A result for a script, on standard output.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(crate) fn print_json(self, value: &impl serde::Serialize) -> anyhow::Result<()> {
        if self.json {
            say(&serde_json::to_string_pretty(value)?)?;
        }
        Ok(())
    }

    /// A progress bar of `total` steps; none where nobody wants or sees it.
    pub(crate) fn bar(self, total: usize, title: &str) -> ProgressBar {
        let hidden = || ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::hidden());
        let bar = if self.quiet { hidden() } else { BARS.add(ProgressBar::new(total as u64)) };
        let template = "{prefix:14} [{bar:30}] {pos:>4}/{len} {elapsed} ETA {eta}  {msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(title.to_owned());
        bar
    }
}

/// The bars of searches that go on at a time, below one another.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// A result is lost.
#[derive(Debug, thiserror::Error)]
#[error("standard output cannot be written: {0}")]
pub(crate) struct Unwritable(#[from] io::Error);

/// Prints a line.
fn say(text: &str) -> Result<(), Unwritable> {
    put(format!("{text}\n").as_bytes())
}

/// Prints these bytes, unless whoever read standard output has gone, as `head` does.
///
/// # Errors
/// Standard output cannot be written.
pub(crate) fn put(bytes: &[u8]) -> Result<(), Unwritable> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// The user's wish to stop, set by Ctrl-C. A second Ctrl-C ends the process at once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Listens for Ctrl-C.
    ///
    /// # Errors
    /// The system refuses a handler.
    pub(crate) fn listen() -> anyhow::Result<Self> {
        let stop = Self::default();
        let asked = Arc::clone(&stop.0);
        ctrlc::set_handler(move || {
            if asked.swap(true, Ordering::SeqCst) {
                std::process::exit(130);
            }
            eprintln!("\nstopping; what was found is kept (press Ctrl-C again to stop at once)");
        })?;
        Ok(stop)
    }

    /// Whether the user wants to stop.
    pub(crate) fn asked(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Shows one search on a progress bar and hands it clock and interruption.
pub(crate) struct Watch<'a> {
    bar: ProgressBar,
    start: Instant,
    stop: &'a Stop,
}

impl<'a> Watch<'a> {
    /// Starts the clock of a search of `candidates`.
    pub(crate) fn new(console: Console, title: &str, candidates: usize, stop: &'a Stop) -> Self {
        let bar = console.bar(candidates, title);
        bar.set_message("making inputs");
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar, start: Instant::now(), stop }
    }
}

impl Surroundings for Watch<'_> {
    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    fn interrupted(&self) -> bool {
        self.stop.asked()
    }

    fn progress(&mut self, stage: Stage, done: usize, total: usize, best: Option<f64>) {
        if self.bar.length() != Some(total as u64) || done == 0 {
            self.bar.reset_eta();
        }
        self.bar.set_length(total as u64);
        self.bar.set_position(done as u64);
        let stage = match stage {
            Stage::Screening => "screening",
            Stage::Finals => "finals",
            Stage::Confirming => "confirming",
        };
        self.bar.set_message(match best {
            Some(best) => format!("{stage}, best {best:.2} µs"),
            None => stage.to_owned(),
        });
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
