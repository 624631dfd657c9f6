//! Asynchronous copies: in flight until they are waited for, and written by who waits.

mod common;

use common::{clean, dropping, found, launch, reuse_needs_order, sites};
use dustin_kernels::{
    executor::{Access, Fault, Memory, Options, Report, SyncKind, Trace},
    simt::{Global, Shared, barrier, cp_async, thread},
};

/// Two stages of copies: every thread copies 16 bytes per stage, and reads what its neighbour has copied.
fn copy_stages(options: Options, distance: u32) -> Result<Trace, Report> {
    let mut memory = Memory::new();
    let input = Global::<u32>::at(memory.input(&(0..512).collect::<Vec<u32>>()));
    let stages = Shared::<u32>::at(0);
    // SAFETY: two stages of 32 copies of 16 bytes in shared memory; four times that in the input.
    launch(1, 32, &mut memory, options, || unsafe {
        let lane = thread::lane();
        let start = |tile: u32| {
            let from = input.item(u64::from(tile * 128 + lane * 4));
            cp_async::copy_16(stages.byte(tile % 2 * 512 + lane * 16), from, true);
            cp_async::commit();
        };
        start(0);
        for tile in 0..4 {
            if tile + 1 < 4 {
                start(tile + 1);
                cp_async::wait::<1>();
            } else {
                cp_async::wait::<0>();
            }
            barrier::block_sync();
            let neighbour = (lane + distance) % 32;
            let got = stages.load(tile % 2 * 128 + neighbour * 4);
            assert!(options.dropped.is_some() || got == tile * 128 + neighbour * 4);
            barrier::block_sync();
        }
    })
}

#[test]
fn staged_copies_are_clean() {
    let trace = clean(copy_stages(Options::default(), 5));
    assert_eq!(trace.counts.copies, 128);
    let kinds: Vec<_> = trace.syncs.iter().map(|(site, _)| site.kind).collect();
    use SyncKind::{BlockBarrier, CopyCommit, CopyWait};
    assert_eq!(kinds, [CopyCommit, CopyWait, CopyWait, BlockBarrier, BlockBarrier]);
}

#[test]
fn staged_copies_without_any_one_of_their_orders_are_reported() {
    for (site, _) in clean(copy_stages(Options::default(), 5)).syncs {
        assert!(copy_stages(dropping(site), 5).is_err(), "dropping the {site} goes unnoticed");
    }
}

#[test]
fn a_thread_reads_its_own_copies_without_a_barrier_but_not_without_a_wait() {
    let trace = clean(copy_stages(Options::default(), 0));
    for site in sites(&trace, SyncKind::BlockBarrier) {
        clean(copy_stages(dropping(site), 0));
    }
    for site in sites(&trace, SyncKind::CopyWait) {
        let report =
            copy_stages(dropping(site), 0).expect_err(&format!("dropping the {site} goes unnoticed"));
        assert!(
            report
                .findings
                .iter()
                .any(|f| matches!(f.fault, Fault::InFlight { .. } | Fault::NotAwaited { .. }))
        );
    }
}

#[test]
fn writing_where_a_copy_is_in_flight_is_reported() {
    let mut memory = Memory::new();
    let input = memory.input(&[0_u32; 4]);
    let word = Shared::<u32>::at(0);
    let write = |memory: &mut Memory, waits: bool| {
        // SAFETY: 16 bytes in the input and in shared memory.
        launch(1, 32, memory, Options::default(), || unsafe {
            if thread::lane() == 0 {
                cp_async::copy_16(0, input, true);
                cp_async::commit();
                if waits {
                    cp_async::wait::<0>();
                }
                word.store(3, 1);
                cp_async::wait::<0>();
            }
        })
    };
    clean(write(&mut memory, true));
    let finding = found(write(&mut memory, false), |fault| {
        matches!(fault, Fault::InFlight { access: Access::Write, .. })
    });
    assert_eq!(finding.party.thread, 0, "{finding}");
}

#[test]
fn a_copy_over_what_others_still_read_is_a_race() {
    let mut memory = Memory::new();
    let input = memory.input(&[0_u32; 4]);
    // SAFETY: 16 bytes in the input and in shared memory.
    reuse_needs_order(&mut memory, || unsafe {
        cp_async::copy_16(0, input, true);
        cp_async::commit();
        cp_async::wait::<0>();
    });
}

#[test]
fn a_copy_that_is_never_waited_for_is_reported() {
    let mut memory = Memory::new();
    let input = memory.input(&[0_u32; 4]);
    let copy = |memory: &mut Memory, commits: bool, waits: bool| {
        // SAFETY: 16 bytes in the input and in shared memory.
        launch(1, 32, memory, Options::default(), || unsafe {
            if thread::lane() == 7 {
                cp_async::copy_16(0, input, true);
                if commits {
                    cp_async::commit();
                }
                if waits {
                    cp_async::wait::<0>();
                }
            }
        })
    };
    clean(copy(&mut memory, true, true));
    for (commits, waits) in [(true, false), (false, true), (false, false)] {
        let finding =
            found(copy(&mut memory, commits, waits), |fault| matches!(fault, Fault::NotAwaited { .. }));
        assert_eq!(finding.party.thread, 7, "{finding}");
    }
}
