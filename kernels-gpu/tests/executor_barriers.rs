//! Barriers and warp-wide operations that not everybody reaches.

mod common;

use common::{clean, found, run};
use dustin_kernels::{
    executor::Fault,
    simt::{barrier, shuffle, thread},
};

#[test]
fn a_block_barrier_that_one_warp_skips_is_reported() {
    let skip = |warps: u32| {
        run(128, move || {
            if thread::warp() < warps {
                barrier::block_sync();
            }
        })
    };
    clean(skip(4));
    let finding = found(skip(3), |fault| matches!(fault, Fault::BarrierNotReached { .. }));
    let sentence = finding.to_string();
    assert!(sentence.contains("each of threads 0-95 waits at the block's barrier"), "{sentence}");
    assert!(sentence.contains("each of threads 96-127 ended"), "{sentence}");
}

#[test]
fn a_block_barrier_that_some_lanes_skip_is_reported() {
    let skip = |lanes: u32| {
        run(64, move || {
            if thread::lane() < lanes {
                barrier::block_sync();
            }
        })
    };
    clean(skip(32));
    found(skip(16), |fault| matches!(fault, Fault::BarrierNotReached { .. }));
}

#[test]
fn threads_at_different_barriers_wait_for_ever() {
    let wait = |split: u32| {
        run(64, move || {
            if thread::thread_index() < split {
                barrier::named_sync(1, 64);
            } else {
                barrier::named_sync(2, 64);
            }
        })
    };
    clean(wait(64));
    let finding = found(wait(32), |fault| matches!(fault, Fault::BarrierNotReached { .. }));
    let sentence = finding.to_string();
    assert!(sentence.contains("waits at barrier 1") && sentence.contains("waits at barrier 2"), "{sentence}");
}

#[test]
fn a_named_barrier_opens_for_the_threads_it_names() {
    clean(run(128, || {
        if thread::warp().is_multiple_of(2) {
            barrier::named_sync(1, 64);
        } else {
            barrier::named_sync(2, 64);
        }
        barrier::named_sync(3, 128);
    }));
}

#[test]
fn participants_that_disagree_on_their_number_are_reported() {
    let wait =
        |first: u32| run(64, move || barrier::named_sync(1, if thread::warp() == 0 { first } else { 64 }));
    clean(wait(64));
    let report = wait(32).expect_err("32 and 64");
    assert!(!report.findings.is_empty());
    let wait = |threads: u32| run(64, move || barrier::named_sync(1, threads));
    for impossible in [0, 33, 96] {
        let report = wait(impossible).expect_err("no multiple of 32, or more than there are");
        assert!(matches!(report.findings[0].fault, Fault::BarrierCount { .. }), "{report}");
    }
}

#[test]
fn a_shuffle_that_some_lanes_skip_is_reported() {
    let skip = |lanes: u32| {
        run(32, move || {
            if thread::lane() < lanes {
                let _ = shuffle::shuffle_xor(1, 1);
            }
        })
    };
    clean(skip(32));
    let finding = found(skip(31), |fault| matches!(fault, Fault::Divergent { .. }));
    assert!(finding.to_string().contains("thread 31 ended"), "{finding}");
}

#[test]
fn lanes_at_different_shuffles_are_reported() {
    let split = |lanes: u32| {
        run(32, move || {
            let _ =
                if thread::lane() < lanes { shuffle::shuffle_xor(1, 1) } else { shuffle::shuffle_xor(2, 1) };
        })
    };
    clean(split(0));
    clean(split(32));
    let finding = found(split(16), |fault| matches!(fault, Fault::Divergent { .. }));
    assert_eq!(finding.party.thread, 16, "{finding}");
}

#[test]
fn lanes_at_a_shuffle_and_at_the_blocks_barrier_are_reported() {
    let result = run(64, || {
        if thread::thread_index() == 40 {
            let _ = shuffle::shuffle_xor(1, 1);
        }
        barrier::block_sync();
    });
    let finding = found(result, |fault| matches!(fault, Fault::Divergent { .. }));
    assert_eq!(finding.party.thread, 40, "{finding}");
}

#[test]
fn a_block_of_1024_threads_runs() {
    let trace = clean(run(1024, || {
        for _ in 0..3 {
            barrier::block_sync();
        }
    }));
    assert_eq!(trace.syncs.len(), 1);
    assert_eq!(trace.syncs[0].1, 3 * 1024);
}

#[test]
fn a_kernel_that_launches_a_kernel_is_reported() {
    let finding = found(
        run(32, || {
            let _ = run(32, || {});
        }),
        |fault| matches!(fault, Fault::Panic { .. }),
    );
    assert!(finding.to_string().contains("a kernel cannot launch a kernel"), "{finding}");
    // The OS thread's next launch is none the worse for it.
    clean(run(32, barrier::block_sync));
}
