//! Lanes that are unwound: by their own panic, or since the launch has been stopped while they waited.

mod common;

use std::{
    panic, process,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use common::{clean, found, launch, run};
use dustin_kernels::{
    executor::{Fault, Memory, Options},
    simt::{Shared, barrier, cp_async, shuffle, thread},
};

/// Synchronises when it is dropped, and counts that it was.
struct Guard<'a>(&'a AtomicU32);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        barrier::block_sync();
        barrier::warp_sync();
        let _ = shuffle::shuffle_xor(1, 1);
        cp_async::commit();
        // SAFETY: the first word of shared memory.
        unsafe { Shared::<u32>::at(0).store(0, 1) };
        self.0.fetch_add(1, Relaxed);
    }
}

#[test]
fn destructors_that_synchronise_are_harmless_when_a_lane_panics() {
    for guilty in [0, 33, 63] {
        let dropped = AtomicU32::new(0);
        let result = run(64, || {
            let _guard = Guard(&dropped);
            assert!(thread::thread_index() != guilty, "planted");
            barrier::block_sync();
        });
        let finding = found(result, |fault| matches!(fault, Fault::Panic { .. }));
        assert_eq!(finding.party.thread, guilty, "{finding}");
        // The lanes behind the guilty one have not begun.
        assert_eq!(dropped.load(Relaxed), guilty + 1);
    }
    clean(run(64, barrier::block_sync));
}

#[test]
fn destructors_that_synchronise_are_harmless_when_a_launch_is_stopped() {
    // By a barrier that not everybody reaches, by too many operations, and by too many findings.
    let stops: [(Options, fn()); 3] = [
        (Options::default(), || {
            if thread::warp() == 0 {
                barrier::block_sync();
            } else {
                barrier::named_sync(1, 64);
            }
        }),
        (Options { max_operations: 1000, ..Options::default() }, || {
            loop {
                barrier::block_sync();
            }
        }),
        (Options { max_findings: 1, ..Options::default() }, || {
            barrier::block_sync();
            // SAFETY: the first word of shared memory; nobody has written it, the fault under test.
            let _ = unsafe { Shared::<u32>::at(0).load(0) };
        }),
    ];
    for (options, stop) in stops {
        let dropped = AtomicU32::new(0);
        let result = launch(1, 64, &mut Memory::new(), options, || {
            let _guard = Guard(&dropped);
            stop();
        });
        let report = result.expect_err("the planted fault");
        assert_eq!(report.findings.len(), 1, "{report}");
        assert_eq!(dropped.load(Relaxed), 64, "{report}");
    }
}

#[test]
fn a_thread_that_unwinds_cannot_launch_a_kernel() {
    struct Launches<'a>(&'a AtomicU32);
    impl Drop for Launches<'_> {
        fn drop(&mut self) {
            let refused = panic::catch_unwind(|| run(32, || {})).is_err();
            self.0.store(u32::from(refused), Relaxed);
        }
    }
    let refused = AtomicU32::new(0);
    let unwound = panic::catch_unwind(panic::AssertUnwindSafe(|| {
        let _launches = Launches(&refused);
        panic::resume_unwind(Box::new("planted"));
    }));
    assert!(unwound.is_err());
    assert_eq!(refused.load(Relaxed), 1);
}

/// The environment variable that tells this test's own child process to do what aborts it.
const CHILD: &str = "DUSTIN_TEST_CATCHES_UNWINDING";

#[test]
fn a_kernel_that_catches_its_unwinding_and_goes_on_aborts() {
    if std::env::var_os(CHILD).is_some() {
        let _ = run(64, || {
            assert!(thread::thread_index() != 63, "planted");
            loop {
                let _ = panic::catch_unwind(barrier::block_sync);
            }
        });
        return;
    }
    let test = "a_kernel_that_catches_its_unwinding_and_goes_on_aborts";
    let child = process::Command::new(std::env::current_exe().expect("a test runs from a file"))
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, "1")
        .output()
        .expect("a child process");
    assert!(!child.status.success());
    let message = String::from_utf8_lossy(&child.stderr);
    assert!(
        message.contains("a kernel has caught the unwinding of a launch that has been stopped"),
        "{message}"
    );
}
