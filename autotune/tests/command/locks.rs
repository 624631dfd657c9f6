//! Commands that want the same device, or the same file.

use std::{
    fs::File,
    path::Path,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use crate::common::{Finished, TINY, autotune, run};

/// A run that measures the CPU until it is killed.
struct Measuring(Child);

impl Measuring {
    fn begin(folder: &Path) -> Self {
        let mut command = autotune(folder);
        command.args(["tune", "--device=cpu", "--workload=cpu-8b-b2", "--quiet", "--output=first.toml"]);
        let first = Self(command.stdout(Stdio::null()).spawn().unwrap());
        // What it measures is written down once it has the device.
        wait(|| folder.join("first.cpu.journal").exists());
        first
    }

    fn number(&self) -> String {
        self.0.id().to_string()
    }
}

impl Drop for Measuring {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn wait(is_so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed().as_secs() < 20);
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Begins to tune, and waits for the device if need be.
fn second(folder: &Path) -> Child {
    let mut command = autotune(folder);
    command.arg("tune").args(TINY).args(["--batch=1", "--trials=3", "--wait"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn a_second_tuner_of_a_device_names_the_first_and_waits_if_it_is_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let first = Measuring::begin(folder.path());
    run(folder.path(), &[&["tune"], &TINY[..], &["--batch=1"]].concat())
        .refuses(1, &["process", &first.number(), "--wait"]);
    assert!(!folder.path().join("tiny.toml").exists());
    let mut second = second(folder.path());
    std::thread::sleep(Duration::from_millis(500));
    assert!(second.try_wait().unwrap().is_none(), "it did not wait");
    drop(first);
    assert_eq!(second.wait().unwrap().code(), Some(0));
    assert!(folder.path().join("tiny.toml").exists());
}

#[test]
fn a_device_is_one_user_s_at_a_time_whoever_that_is_and_whatever_is_asked_of_it() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(
        run(folder.path(), &[&["tune"], &TINY[..], &["--batch=1", "--trials=3"]].concat()).code,
        Some(0)
    );
    let first = Measuring::begin(folder.path());
    let tune = [&["tune"], &TINY[..], &["--batch=1"]].concat();
    for arguments in
        [&tune[..], &["verify", "tiny.toml", "--device=cpu"], &["audit", "tiny.toml", "--device=cpu"]]
    {
        let mut command = autotune(folder.path());
        // As a job has it that nobody logged in for.
        command
            .args(arguments)
            .env_remove("XDG_RUNTIME_DIR")
            .env("USER", "other")
            .env("TMPDIR", folder.path());
        Finished::of(command.output().unwrap()).refuses(1, &["process", &first.number(), "--wait"]);
    }
}

#[cfg(unix)]
#[test]
fn who_no_longer_wants_to_wait_is_interrupted() {
    use std::process::Command;

    let folder = tempfile::tempdir().unwrap();
    let _first = Measuring::begin(folder.path());
    let second = second(folder.path());
    std::thread::sleep(Duration::from_millis(500));
    assert!(Command::new("kill").args(["-INT", &second.id().to_string()]).status().unwrap().success());
    let finished = Finished::of(second.wait_with_output().unwrap());
    assert_eq!(finished.code, Some(130), "{finished:?}");
    assert!(finished.stderr.contains("interrupted while waiting for the CPU"), "{finished:?}");
}

#[test]
fn a_journal_that_another_run_writes_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let tune = [&["tune"], &TINY[..], &["--batch=1", "--trials=3"]].concat();
    let journal = folder.path().join("tiny.cpu.journal");
    let held = File::create(&journal).unwrap();
    held.try_lock().unwrap();
    run(folder.path(), &tune).refuses(1, &["tiny.cpu.journal", "another run", "--output"]);
    assert_eq!(held.metadata().unwrap().len(), 0);
    assert!(!folder.path().join("tiny.toml").exists());
    drop(held);
    assert_eq!(run(folder.path(), &tune).code, Some(0));
}
