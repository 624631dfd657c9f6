//! What orders memory and what does not: happens-before, in shared memory and across blocks.

mod common;

use common::{clean, dropping, found, launch, reuse_needs_order, run, sites};
use dustin_kernels::{
    executor::{Access, Fault, Memory, Options, Report, SyncKind, Trace},
    simt::{Global, Shared, atomic, barrier, ldmatrix, shuffle, thread},
};

fn is_race(fault: &Fault) -> bool {
    matches!(fault, Fault::Race { .. })
}

#[test]
fn a_block_barrier_orders_the_block() {
    let words = Shared::<u32>::at(0);
    let exchange = |ordered: bool| {
        // SAFETY: one word for each thread in 1024 bytes.
        run(128, move || unsafe {
            let index = thread::thread_index();
            words.store(index, index);
            if ordered {
                barrier::block_sync();
            }
            let other = (index + 95) % 128;
            let got = words.load(other);
            assert!(!ordered || got == other);
        })
    };
    clean(exchange(true));
    let report = exchange(false).expect_err("a race");
    // Whoever reads too early finds nothing written; who writes after that, or reads later, finds the other.
    for earlier in [Access::Read, Access::Write] {
        let met = |fault: &Fault| matches!(fault, Fault::Race { earlier: other, .. } if *other == earlier);
        assert!(report.findings.iter().any(|finding| met(&finding.fault)), "{report}");
    }
}

#[test]
fn a_warp_barrier_orders_its_warp_alone() {
    let words = Shared::<u32>::at(0);
    let exchange = |distance: u32| {
        // SAFETY: one word for each thread.
        run(64, move || unsafe {
            let index = thread::thread_index();
            words.store(index, index);
            barrier::warp_sync();
            let _ = words.load(index ^ distance);
        })
    };
    clean(exchange(1));
    clean(exchange(31));
    let report = exchange(32).expect_err("the other warp is not ordered");
    assert!(report.findings.iter().any(|finding| is_race(&finding.fault)), "{report}");
}

#[test]
fn a_shuffle_does_not_order_memory() {
    let word = Shared::<u32>::at(0);
    let hand_over = |ordered: bool| {
        // SAFETY: the first word of shared memory.
        run(32, move || unsafe {
            if thread::lane() == 0 {
                word.store(0, 1);
            }
            let _ = shuffle::shuffle_xor(1, 1);
            if ordered {
                barrier::warp_sync();
            }
            let _ = word.load(0);
        })
    };
    clean(hand_over(true));
    let finding = found(hand_over(false), is_race);
    assert_eq!(finding.party.thread, 1, "{finding}");
    assert!(matches!(&finding.fault, Fault::Race { access: Access::Read, earlier: Access::Write, other, .. }
        if other.thread == 0 && other.source.is_some()));
}

#[test]
fn a_write_after_an_unordered_read_is_a_race() {
    // SAFETY: the first word of shared memory.
    reuse_needs_order(&mut Memory::new(), || unsafe { Shared::<u32>::at(0).store(0, 2) });
}

#[test]
fn ldmatrix_is_ordered_for_every_lane_that_receives() {
    let rows = Shared::<[u32; 4]>::at(0);
    // Every lane writes the row that it names itself: without a barrier its neighbours receive what they have not
    // been ordered behind.
    let load = |ordered: bool| {
        // SAFETY: 32 rows of 16 bytes.
        run(32, move || unsafe {
            rows.store(thread::lane(), [thread::lane(); 4]);
            if ordered {
                barrier::warp_sync();
            }
            let _ = ldmatrix::load_x4(rows.byte(thread::lane() * 16));
        })
    };
    clean(load(true));
    found(load(false), is_race);
}

#[test]
fn a_row_that_ldmatrix_has_read_is_not_overwritten_before_a_barrier() {
    let rows = Shared::<[u32; 4]>::at(0);
    let reuse = |ordered: bool| {
        // SAFETY: 32 rows of 16 bytes.
        run(32, move || unsafe {
            rows.store(thread::lane(), [0; 4]);
            barrier::warp_sync();
            let _ = ldmatrix::load_x4(rows.byte(thread::lane() * 16));
            if ordered {
                barrier::warp_sync();
            }
            rows.store(thread::lane() ^ 1, [1; 4]);
        })
    };
    clean(reuse(true));
    let finding = found(reuse(false), is_race);
    assert!(
        matches!(finding.fault, Fault::Race { access: Access::Write, earlier: Access::Read, .. }),
        "{finding}"
    );
}

/// A producer warp fills a slot that a consumer warp empties, for several rounds, with one named barrier for
/// "full" and one for "empty".
fn producer_consumer(options: Options) -> Result<Trace, Report> {
    let slot = Shared::<u32>::at(0);
    let mut memory = Memory::new();
    // SAFETY: 32 words in the slot.
    launch(1, 64, &mut memory, options, || unsafe {
        let lane = thread::lane();
        for round in 0..4 {
            if thread::warp() == 0 {
                slot.store(lane, round * 100 + lane);
                barrier::named_sync(1, 64);
                barrier::named_sync(2, 64);
            } else {
                barrier::named_sync(1, 64);
                let _ = slot.load(31 - lane);
                barrier::named_sync(2, 64);
            }
        }
    })
}

#[test]
fn named_barriers_order_a_producer_and_a_consumer() {
    let trace = clean(producer_consumer(Options::default()));
    assert_eq!(sites(&trace, SyncKind::NamedBarrier).len(), 4);
}

#[test]
fn a_dropped_named_barrier_is_reported() {
    let trace = clean(producer_consumer(Options::default()));
    for site in sites(&trace, SyncKind::NamedBarrier) {
        assert!(producer_consumer(dropping(site)).is_err(), "dropping the {site} goes unnoticed");
    }
}

#[test]
fn a_named_barrier_does_not_order_who_stays_away() {
    let word = Shared::<u32>::at(0);
    let read_by = |reader: u32| {
        // SAFETY: the first word of shared memory.
        run(96, move || unsafe {
            if thread::thread_index() == 0 {
                word.store(0, 1);
            }
            if thread::warp() < 2 {
                barrier::named_sync(1, 64);
            }
            if thread::warp() == reader {
                let _ = word.load(0);
            }
        })
    };
    clean(read_by(1));
    found(read_by(2), is_race);
}

#[test]
fn order_passes_from_barrier_to_barrier() {
    let word = Shared::<u32>::at(0);
    // Warp 0 and 1 meet, then 1 and 2: what warp 0 wrote is ordered for warp 2.
    // SAFETY: the first word of shared memory.
    clean(run(96, move || unsafe {
        let warp = thread::warp();
        if thread::thread_index() == 0 {
            word.store(0, 1);
        }
        if warp < 2 {
            barrier::named_sync(1, 64);
        }
        if warp > 0 {
            barrier::named_sync(2, 64);
        }
        if warp == 2 {
            let _ = word.load(0);
        }
    }));
}

#[test]
fn relaxed_atomics_do_not_race_with_each_other_but_with_plain_accesses() {
    let word = Shared::<i32>::at(0);
    let maximum = |ordered: bool| {
        // SAFETY: the first word of shared memory.
        run(64, move || unsafe {
            if thread::thread_index() == 0 {
                word.store(0, 0);
            }
            barrier::block_sync();
            atomic::shared_max(word, 0, thread::thread_index() as i32);
            if ordered {
                barrier::block_sync();
            }
            let got = word.load(0);
            assert!(!ordered || got == 63);
        })
    };
    clean(maximum(true));
    let finding = found(maximum(false), is_race);
    let sentence = finding.to_string();
    assert!(
        matches!(finding.fault, Fault::Race { earlier: Access::Atomic, .. })
            || matches!(finding.fault, Fault::Race { access: Access::Atomic, .. }),
        "{sentence}"
    );
}

#[test]
fn relaxed_atomics_order_nothing() {
    let mut memory = Memory::new();
    let flag = Global::<u64>::at(memory.scratch(&[0_u64]));
    let data = Global::<u32>::at(memory.scratch(&[0_u32]));
    // SAFETY: one item in each array.
    let result = launch(2, 32, &mut memory, Options::default(), || unsafe {
        if thread::lane() == 0 {
            if thread::block_x() == 0 {
                data.store(0, 1);
                atomic::global_max(flag, 0, 1);
            } else {
                atomic::global_max(flag, 0, 2);
                let _ = data.load(0);
            }
        }
    });
    found(result, is_race);
}

/// The end of a split reduction: every block writes its partial result, and the last one to arrive reads them all.
fn split_reduction(options: Options) -> Result<Trace, Report> {
    const SPLITS: u32 = 5;
    let mut memory = Memory::new();
    let partials = Global::<u32>::at(memory.output((SPLITS * 64) as usize, u32::MAX));
    let arrivals = Global::<u32>::at(memory.scratch(&[0_u32]));
    let total_at = memory.output(64, u32::MAX);
    let total = Global::<u32>::at(total_at);
    let last = Shared::<u32>::at(0);
    // SAFETY: 64 items for each split, 64 items of output, one counter, one word of shared memory.
    let trace = launch(SPLITS, 64, &mut memory, options, || unsafe {
        let index = u64::from(thread::thread_index());
        partials.store(u64::from(thread::block_x()) * 64 + index, thread::block_x() + 1);
        barrier::block_sync();
        if index == 0 {
            let before = atomic::fetch_add_acq_rel(arrivals, 0, 1);
            last.store(0, u32::from(before + 1 == SPLITS));
        }
        barrier::block_sync();
        if last.load(0) == 1 {
            let sum = (0..u64::from(SPLITS)).map(|split| partials.load(split * 64 + 63 - index)).sum();
            total.store(index, sum);
        }
    })?;
    assert_eq!(memory.read::<u32>(total_at, 64), [15; 64]);
    Ok(trace)
}

#[test]
fn acquire_release_chains_order_blocks() {
    let trace = clean(split_reduction(Options::default()));
    assert_eq!(trace.syncs.len(), 3);
}

#[test]
fn a_split_reduction_without_any_one_of_its_orders_is_reported() {
    for (site, _) in clean(split_reduction(Options::default())).syncs {
        let report =
            split_reduction(dropping(site)).expect_err(&format!("dropping the {site} goes unnoticed"));
        assert!(report.findings.iter().any(|finding| is_race(&finding.fault)), "{report}");
    }
}

#[test]
fn blocks_are_concurrent() {
    let mut memory = Memory::new();
    let word = Global::<u32>::at(memory.scratch(&[0_u32]));
    // SAFETY: one item.
    let result = launch(2, 32, &mut memory, Options::default(), || unsafe {
        if thread::lane() == 3 {
            word.store(0, 1);
        }
    });
    let finding = found(result, is_race);
    assert_eq!(finding.party.block, [1, 0, 0], "{finding}");
    assert!(matches!(&finding.fault, Fault::Race { other, .. } if other.block == [0, 0, 0]), "{finding}");
}

#[test]
fn a_block_that_overwrites_what_an_earlier_block_read_races() {
    let mut memory = Memory::new();
    let words = Global::<u32>::at(memory.scratch(&[0_u32; 64]));
    // SAFETY: 64 items.
    let result = launch(3, 64, &mut memory, Options::default(), || unsafe {
        if thread::block_x() < 2 {
            let _ = words.load(0);
        } else if thread::thread_index() == 0 {
            words.store(0, 1);
        }
    });
    let finding = found(result, is_race);
    assert!(
        matches!(finding.fault, Fault::Race { access: Access::Write, earlier: Access::Read, .. }),
        "{finding}"
    );
}

#[test]
fn a_kernel_boundary_orders_everything() {
    let mut memory = Memory::new();
    let words = Global::<u32>::at(memory.output(64, 0_u32));
    for round in 0..3 {
        // SAFETY: 64 items.
        clean(launch(2, 32, &mut memory, Options::default(), || unsafe {
            let own = u64::from(thread::block_x() * 32 + thread::lane());
            let theirs = 63 - own;
            if round % 2 == 0 { words.store(own, round) } else { assert_eq!(words.load(theirs), round - 1) }
        }));
    }
}

#[test]
fn an_acquire_of_another_variable_orders_nothing() {
    let mut memory = Memory::new();
    let data = Global::<u32>::at(memory.scratch(&[0_u32]));
    let flags = Global::<u32>::at(memory.scratch(&[0_u32; 2]));
    let hand_over = |memory: &mut Memory, flag: u64| {
        launch(2, 32, memory, Options::default(), || {
            if thread::lane() == 0 {
                // SAFETY: one item of data, two flags.
                unsafe {
                    if thread::block_x() == 0 {
                        data.store(0, 1);
                        atomic::fetch_add_acq_rel(flags, 0, 1);
                    } else {
                        atomic::fetch_add_acq_rel(flags, flag, 1);
                        let _ = data.load(0);
                    }
                }
            }
        })
    };
    clean(hand_over(&mut memory, 0));
    found(hand_over(&mut memory, 1), is_race);
}

#[test]
fn executions_on_several_os_threads_do_not_meet() {
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| clean(split_reduction(Options::default())));
        }
    });
}
