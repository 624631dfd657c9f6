//! A running worker, and how it may end.

use std::{
    env, fmt,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    path::PathBuf,
    process::{Child, ChildStderr, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread,
    time::{Duration, Instant},
};

use super::protocol::{Reply, Request};

/// The last bytes of standard error that are kept.
const COMPLAINT: usize = 2 << 10;

/// How long is waited for them once the process has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How long a process may take to be gone once it is killed: a driver frees gigabytes first. One that waits within a driver
/// which no longer answers is never gone.
const DYING: Duration = Duration::from_secs(30);

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

/// A worker. Dropping it ends it.
pub(super) struct Process {
    child: Child,
    requests: Sender<String>,
    answers: Receiver<String>,
    complaint: Receiver<String>,
    /// Whether it was killed and is still there.
    stuck: bool,
}

impl Process {
    /// Starts a worker: this program, in a process group of its own, so that a terminal's Ctrl-C reaches only whoever is
    /// to decide about it.
    ///
    /// # Errors
    /// The system refuses a process.
    pub(super) fn start() -> io::Result<Self> {
        let mut command = Command::new(program()?);
        // One line of its last words is told, not where they were said.
        command.arg("worker").env("RUST_BACKTRACE", "0");
        Self::of(command)
    }

    fn of(mut command: Command) -> io::Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn()?;
        let missing = || io::Error::other("the worker has no pipes");
        let mut input = child.stdin.take().ok_or_else(missing)?;
        let output = child.stdout.take().ok_or_else(missing)?;
        let errors = child.stderr.take().ok_or_else(missing)?;
        let (requests, asked) = mpsc::channel::<String>();
        thread::spawn(move || {
            // A worker that does not read has this thread wait, and nobody else.
            let _ = asked.into_iter().try_for_each(|line| writeln!(input, "{line}"));
        });
        let (sender, answers) = mpsc::channel();
        thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            // Whoever no longer listens has no further questions.
            let _ = lines.into_iter().try_for_each(|line| sender.send(line));
        });
        let (sender, complaint) = mpsc::channel();
        thread::spawn(move || sender.send(tail(errors)));
        Ok(Self { child, requests, answers, complaint, stuck: false })
    }

    /// Asks for an answer within `limit`. After an error the worker is of no more use.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn ask(&mut self, request: &Request, limit: Duration) -> Result<Reply, Death> {
        let said = serde_json::to_string(request).is_ok_and(|line| self.requests.send(line).is_ok());
        if !said {
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
        let complaint = self.complaint.recv_timeout(LAST_WORDS).ok();
        match complaint.as_deref().and_then(first_line) {
            Some(complaint) => Death::Ended(format!("{status}: {complaint}")),
            None => Death::Ended(status),
        }
    }

    /// Kills it, and waits until it is gone, which frees what it held on the device: it starts no processes of its own. Gives its
    /// number if it does not go.
    ///
    /// # Errors
    /// It is still there.
    pub(super) fn end(&mut self) -> Result<(), u32> {
        let _ = self.child.kill();
        let is_gone = || !matches!(self.child.try_wait(), Ok(None));
        self.stuck = self.stuck || !comes_true(DYING, is_gone);
        if self.stuck { Err(self.child.id()) } else { Ok(()) }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// Whether it is so within `limit`.
fn comes_true(limit: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let (start, mut pause) = (Instant::now(), Duration::from_micros(100));
    loop {
        match start.elapsed() {
            _ if is_so() => return true,
            waited if waited >= limit => return false,
            waited => thread::sleep(pause.min(limit - waited)),
        }
        pause = (pause * 2).min(Duration::from_millis(50));
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

#[cfg(all(test, unix))]
mod tests {
    use dustin::profile::{DeviceId, Key, Policy};
    use dustin_autotune::workload::named;

    use super::{super::protocol::Assignment, *};
    use crate::resolve::DeviceChoice;

    fn shell(script: &str) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Process::of(command).unwrap()
    }

    fn ask(process: &mut Process) -> String {
        process.ask(&Request::Find(DeviceChoice::Cpu), Duration::from_secs(10)).unwrap_err().to_string()
    }

    #[test]
    fn what_does_not_come_true_is_given_up() {
        let start = Instant::now();
        assert!(!comes_true(Duration::from_millis(30), || false));
        assert!(start.elapsed() >= Duration::from_millis(30) && start.elapsed() < Duration::from_secs(5));
        let mut turns = 0;
        assert!(comes_true(Duration::from_secs(60), || {
            turns += 1;
            turns == 3
        }));
    }

    #[test]
    fn a_worker_that_does_not_read_has_no_more_time_than_one_that_does_not_answer() {
        let key = Key::of(&named("w1").unwrap().problem, &DeviceId::cpu("any"), Policy::default());
        // More than a pipe holds.
        let name = "x".repeat(1 << 20);
        let assignment = Assignment { name, key, choices: Vec::new(), seed: 1, ahead: false };
        let (start, mut process) = (Instant::now(), shell("exec sleep 60"));
        let death = process.ask(&Request::Prepare(assignment), Duration::from_millis(100)).unwrap_err();
        assert!(matches!(death, Death::TimedOut(_)), "{death}");
        process.end().unwrap();
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    }

    #[test]
    fn last_words_are_not_waited_for_when_somebody_keeps_standard_error_open() {
        let start = Instant::now();
        let mut process = shell("sleep 20 >/dev/null </dev/null & exit 3");
        let death = ask(&mut process);
        assert!(death.contains("exit status: 3"), "{death}");
        process.end().unwrap();
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    }

    #[test]
    fn a_worker_is_gone_once_it_has_been_ended() {
        let mut process = shell("exec sleep 60");
        let number = process.child.id();
        assert_eq!(process.end(), Ok(()));
        assert!(!std::path::Path::new(&format!("/proc/{number}/fd/0")).exists());
        assert!(ask(&mut process).contains("signal: 9"));
    }
}
