//! A running worker, and how it may end.

use std::{
    env, fmt,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    path::PathBuf,
    process::{Child, ChildStderr, ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread::{self, JoinHandle},
    time::Duration,
};

use super::protocol::{Answer, Request};

/// The last bytes of standard error that are kept.
const COMPLAINT: usize = 2 << 10;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Death {
    /// It took too long.
    TimedOut(Duration),
    /// The process ended.
    Ended(String),
    /// What it said is no answer.
    Garbled(String),
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut(limit) => write!(f, "gave no answer within {limit:.1?}"),
            Self::Ended(how) => write!(f, "ended the process that it ran in ({how})"),
            Self::Garbled(line) => write!(f, "gave no answer but {line:?}"),
        }
    }
}

/// A worker. Dropping it kills it.
pub(super) struct Process {
    child: Child,
    input: ChildStdin,
    answers: Receiver<String>,
    complaint: Option<JoinHandle<String>>,
}

impl Process {
    /// Starts a worker: this program, in a process group of its own, so that a terminal's Ctrl-C reaches only whoever is
    /// to decide about it.
    ///
    /// # Errors
    /// The system refuses a process.
    pub(super) fn start() -> io::Result<Self> {
        let mut command = Command::new(program()?);
        command.arg("worker").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // One line of its last words is told, not where they were said.
        command.env("RUST_BACKTRACE", "0");
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn()?;
        let missing = || io::Error::other("the worker has no pipes");
        let input = child.stdin.take().ok_or_else(missing)?;
        let output = child.stdout.take().ok_or_else(missing)?;
        let errors = child.stderr.take().ok_or_else(missing)?;
        let (sender, answers) = mpsc::channel();
        thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            // Whoever no longer listens has no further questions.
            let _ = lines.into_iter().try_for_each(|line| sender.send(line));
        });
        let complaint = Some(thread::spawn(move || tail(errors)));
        Ok(Self { child, input, answers, complaint })
    }

    /// Asks for an answer within `limit`. After an error the worker is of no more use.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn ask(&mut self, request: &Request, limit: Duration) -> Result<Answer, Death> {
        let said = serde_json::to_string(request).map_err(io::Error::from);
        if said.and_then(|line| writeln!(self.input, "{line}")).is_err() {
            return Err(self.ended());
        }
        match self.answers.recv_timeout(limit) {
            Ok(line) => serde_json::from_str(&line).map_err(|_| Death::Garbled(shortened(&line))),
            Err(RecvTimeoutError::Timeout) => Err(Death::TimedOut(limit)),
            Err(RecvTimeoutError::Disconnected) => Err(self.ended()),
        }
    }

    /// Waits for a worker that closed its pipes, or will not read from them.
    fn ended(&mut self) -> Death {
        // It may have closed its pipes and live on.
        thread::sleep(Duration::from_millis(10));
        let status = match self.child.try_wait() {
            Ok(Some(status)) => status.to_string(),
            _ => "it closed its pipes".into(),
        };
        let _ = self.child.kill();
        let complaint = self.complaint.take().and_then(|complaint| complaint.join().ok());
        match complaint.as_deref().and_then(first_line) {
            Some(complaint) => Death::Ended(format!("{status}: {complaint}")),
            None => Death::Ended(status),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It starts no processes of its own. Its memory on the device is free once it has been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// This program, also if its file has been replaced since it began.
fn program() -> io::Result<PathBuf> {
    if cfg!(target_os = "linux") { Ok("/proc/self/exe".into()) } else { env::current_exe() }
}

/// The end of what a worker writes to standard error.
fn tail(mut errors: ChildStderr) -> String {
    let (mut kept, mut buffer) = (Vec::new(), [0; 1 << 10]);
    while let Ok(count @ 1..) = errors.read(&mut buffer) {
        kept.extend_from_slice(&buffer[..count]);
        kept.drain(..kept.len().saturating_sub(COMPLAINT));
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// The first line that says anything.
fn first_line(text: &str) -> Option<String> {
    text.lines().map(str::trim).find(|line| !line.is_empty()).map(shortened)
}

fn shortened(line: &str) -> String {
    line.chars().take(200).collect()
}
