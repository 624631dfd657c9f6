//! Launches that overlap: what is not ordered behind the launch before is reported.

mod common;

use common::{clean, found, launch, launch_overlapping, line};
use dustin_kernels::{
    executor::{Access, Fault, Memory, Options, Report, SyncKind, Trace},
    simt::{Global, barrier, grid, thread},
};

/// Thread `thread` of block `block` of the first launch writes item 64 · block + thread, and the overlapping launch does `then`
/// with the array.
fn after_writes(blocks: u32, then: impl Fn(Global<u32>)) -> Result<Trace, Report> {
    let mut memory = Memory::new();
    let array = Global::<u32>::at(memory.output(64 * blocks as usize, 0_u32));
    clean(launch(blocks, 64, &mut memory, Options::default(), || {
        let item = thread::block_x() * 64 + thread::thread_index();
        // SAFETY: there is an item for each thread.
        unsafe { array.store(item.into(), 1) };
    }));
    launch_overlapping(1, 64, &mut memory, Options::default(), || then(array))
}

#[test]
fn what_the_launch_before_wrote_may_be_read_behind_a_wait_alone() {
    let read = |waits: bool| {
        after_writes(2, move |array| {
            grid::launch_dependents();
            if waits {
                grid::wait();
            }
            // SAFETY: there is such an item.
            assert_eq!(unsafe { array.load(64 + 5) }, 1);
        })
    };
    let trace = clean(read(true));
    assert!(trace.syncs.iter().any(|(site, _)| site.kind == SyncKind::GridWait));
    let finding = found(read(false), |fault| matches!(fault, Fault::Race { .. }));
    let Fault::Race { earlier: Access::Write, other, .. } = &finding.fault else { panic!("{finding}") };
    // Whoever wrote it is named, although its launch has ended.
    assert_eq!((other.block, other.thread), ([1, 0, 0], 5), "{finding}");
    let source = other.source.as_ref().expect("a place in the source");
    assert!(source.file.ends_with("executor_grid.rs") && source.line != line(&finding), "{finding}");
}

#[test]
fn what_the_launch_before_reads_may_be_written_behind_a_wait_alone() {
    let overwrite = |waits: bool| {
        let mut memory = Memory::new();
        let array = Global::<u32>::at(memory.scratch(&[7_u32; 64]));
        clean(launch(3, 64, &mut memory, Options::default(), || {
            // SAFETY: there is an item for each thread of a block.
            let _ = unsafe { array.load(thread::thread_index().into()) };
        }));
        launch_overlapping(1, 64, &mut memory, Options::default(), || {
            if waits {
                grid::wait();
            }
            // SAFETY: as above.
            unsafe { array.store(thread::thread_index().into(), 8) };
        })
    };
    clean(overwrite(true));
    found(overwrite(false), |fault| {
        matches!(fault, Fault::Race { access: Access::Write, earlier: Access::Read, .. })
    });
}

#[test]
fn a_thread_behind_a_barrier_with_one_that_has_waited_needs_no_wait_of_its_own() {
    let read = |meets: bool| {
        after_writes(1, move |array| {
            if thread::thread_index() == 0 {
                grid::wait();
            }
            if meets {
                barrier::block_sync();
            }
            // SAFETY: there is an item for each thread.
            let _ = unsafe { array.load(thread::thread_index().into()) };
        })
    };
    clean(read(true));
    found(read(false), |fault| matches!(fault, Fault::Race { .. }));
}

#[test]
fn launches_that_overlap_see_what_came_before_the_one_that_they_overlap() {
    let mut memory = Memory::new();
    let array = Global::<u32>::at(memory.output(64, 0_u32));
    // SAFETY: there is an item for each thread.
    let store = || unsafe { array.store(thread::thread_index().into(), 1) };
    // SAFETY: as above.
    let load = || assert_eq!(unsafe { array.load(thread::thread_index().into()) }, 1);
    clean(launch(1, 64, &mut memory, Options::default(), store));
    clean(launch(1, 64, &mut memory, Options::default(), || ()));
    clean(launch_overlapping(1, 64, &mut memory, Options::default(), load));
}

#[test]
fn the_end_of_a_launch_that_has_not_waited_says_nothing_of_the_one_before_it() {
    let third_reads = |second_waits: bool, third_overlaps: bool| {
        let mut memory = Memory::new();
        let array = Global::<u32>::at(memory.output(64, 0_u32));
        // SAFETY: there is an item for each thread.
        let store = || unsafe { array.store(thread::thread_index().into(), 1) };
        let load = || {
            grid::wait();
            // SAFETY: as above.
            assert_eq!(unsafe { array.load(thread::thread_index().into()) }, 1);
        };
        clean(launch(1, 64, &mut memory, Options::default(), store));
        clean(launch_overlapping(1, 64, &mut memory, Options::default(), || {
            if second_waits {
                grid::wait();
            }
        }));
        let launch = if third_overlaps { launch_overlapping } else { launch };
        launch(1, 64, &mut memory, Options::default(), load)
    };
    for third_overlaps in [false, true] {
        clean(third_reads(true, third_overlaps));
        found(third_reads(false, third_overlaps), |fault| matches!(fault, Fault::Race { .. }));
    }
}
