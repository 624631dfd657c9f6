//! Clusters: blocks that run together, their barrier, and what may happen to each other's shared memory.

mod common;

use common::{SHARED_BYTES, clean, dropping, found, launch_clusters, run, sites};
use dustin_kernels::{
    executor::{self, Access, Fault, Launch, Memory, Options, Place, Report, SyncKind, Trace},
    simt::{Global, Shared, Word, atomic, barrier, cluster, redux, shuffle, thread, vote},
};

/// One cluster of `blocks` blocks of 32 threads, without global memory.
fn run_cluster(blocks: u32, body: impl Fn()) -> Result<Trace, Report> {
    launch_clusters([1, blocks, 32], &mut Memory::new(), Options::default(), body)
}

fn is_race(fault: &Fault) -> bool {
    matches!(fault, Fault::Race { .. })
}

/// Every block counts values of its own into a histogram, the first block of each cluster sums them up and writes them out.
fn histogram(options: Options) -> Result<Trace, Report> {
    const BINS: u32 = 8;
    let mut memory = Memory::new();
    let output_at = memory.output((3 * BINS) as usize, u32::MAX);
    let output = Global::<u32>::at(output_at);
    let (bins, total) = (Shared::<u32>::at(0), Shared::<u32>::at(256));
    // SAFETY: the bins and their sums in shared memory, and a set of them for each cluster in the output.
    let trace = launch_clusters([3, 4, 64], &mut memory, options, || unsafe {
        let index = thread::thread_index();
        if index < BINS {
            bins.store(index, 0);
            total.store(index, 0);
        }
        cluster::sync();
        atomic::shared_add(bins, (index + cluster::rank()) % BINS, 1 + thread::block_x() / 4);
        barrier::block_sync();
        if index < BINS {
            atomic::cluster_add(total.of_block(0), index, bins.load(index));
        }
        cluster::arrive();
        cluster::wait();
        if cluster::rank() == 0 && index < BINS {
            output.store(u64::from(thread::block_x() / 4 * BINS + index), total.load(index));
        }
    })?;
    let expected: Vec<u32> = (0..3 * BINS).map(|item| 4 * 64 / BINS * (1 + item / BINS)).collect();
    assert_eq!(memory.read::<u32>(output_at, expected.len()), expected);
    Ok(trace)
}

#[test]
fn a_histogram_over_a_cluster_is_clean_and_right() {
    let trace = clean(histogram(Options::default()));
    let kinds: Vec<_> = trace.syncs.iter().map(|(site, _)| site.kind).collect();
    use SyncKind::{BlockBarrier, ClusterArrive, ClusterBarrier, ClusterWait};
    assert_eq!(kinds, [ClusterBarrier, BlockBarrier, ClusterArrive, ClusterWait]);
}

#[test]
fn a_histogram_without_any_one_of_its_orders_is_reported() {
    for (site, _) in clean(histogram(Options::default())).syncs {
        assert!(histogram(dropping(site)).is_err(), "dropping the {site} goes unnoticed");
    }
}

#[test]
fn ranks_and_sizes_are_those_of_the_launch() {
    let mut memory = Memory::new();
    // SAFETY: none needed; nothing is accessed.
    clean(launch_clusters([3, 2, 32], &mut memory, Options::default(), || {
        assert_eq!((cluster::rank(), cluster::size()), (thread::block_x() % 2, 2));
        assert!(thread::thread_index() < 32 && thread::grid_x() == 6);
    }));
    clean(run(32, || assert_eq!((cluster::rank(), cluster::size()), (0, 1))));
}

#[test]
fn a_block_barrier_does_not_wait_for_the_cluster() {
    clean(run_cluster(2, || {
        for _ in 0..=cluster::rank() {
            barrier::block_sync();
            barrier::named_sync(3, 32);
        }
    }));
}

/// Every block hands a word of type `T` to the next one's shared memory, and reads what it got.
fn hand_on<T: Word + PartialEq>(value: T, options: Options) -> Result<Trace, Report> {
    let own = Shared::<T>::at(0);
    // SAFETY: one word for each lane.
    launch_clusters([2, 3, 32], &mut Memory::new(), options, || unsafe {
        let lane = thread::lane();
        cluster::sync();
        let next = own.of_block((cluster::rank() + 1) % 3);
        next.store(lane, value);
        cluster::sync();
        let theirs = own.of_block((cluster::rank() + 2) % 3).load(31 - lane);
        let ours = own.load(31 - lane);
        assert!(options.dropped.is_some() || (ours == value && theirs == value));
        cluster::sync();
    })
}

#[test]
fn words_of_all_sizes_reach_the_other_blocks() {
    clean(hand_on(7_u16, Options::default()));
    clean(hand_on(-7_i32, Options::default()));
    clean(hand_on(0.5_f32, Options::default()));
    clean(hand_on(1_u64 << 40, Options::default()));
    clean(hand_on([1_u32, 2, 3, 4], Options::default()));
}

#[test]
fn words_that_are_handed_on_without_any_one_of_their_orders_are_reported() {
    let barriers = sites(&clean(hand_on(1_u32, Options::default())), SyncKind::ClusterBarrier);
    let [first, middle, last] = barriers[..] else { panic!("{barriers:?}") };
    let is_not_started = |fault: &Fault| matches!(fault, Fault::NotStarted { .. });
    let report = hand_on(1_u32, dropping(first)).expect_err("nobody is known to have started");
    assert!(report.findings.iter().any(|finding| is_not_started(&finding.fault)), "{report}");
    let report = hand_on(1_u32, dropping(middle)).expect_err("stores and loads race");
    assert!(report.findings.iter().any(|finding| is_race(&finding.fault)), "{report}");
    found(hand_on(1_u32, dropping(last)), |fault| matches!(fault, Fault::MayHaveEnded { .. }));
}

#[test]
fn a_block_that_may_have_ended_is_reported_whichever_block_runs_first() {
    for reader in 0..2 {
        let read = |stays: bool| {
            // SAFETY: the first word of shared memory.
            run_cluster(2, move || unsafe {
                let word = Shared::<u32>::at(0);
                word.store(thread::lane(), 1);
                cluster::sync();
                if cluster::rank() == reader {
                    let _ = word.of_block(1 - reader).load(0);
                }
                if stays {
                    cluster::sync();
                }
            })
        };
        clean(read(true));
        let finding = found(read(false), |fault| matches!(fault, Fault::MayHaveEnded { .. }));
        assert_eq!(finding.party.block, [reader, 0, 0], "{finding}");
        assert!(
            matches!(finding.fault, Fault::MayHaveEnded { block } if block == [1 - reader, 0, 0]),
            "{finding}"
        );
    }
}

#[test]
fn remote_accesses_out_of_bounds_misaligned_or_unwritten_are_reported() {
    let load = |offset: u32| {
        // SAFETY: in bounds, aligned and written for an offset of 0; otherwise the fault under test.
        run_cluster(2, move || unsafe {
            Shared::<u32>::at(0).store(thread::lane(), 1);
            cluster::sync();
            if cluster::rank() == 0 && thread::lane() == 3 {
                let _ = Shared::<u32>::at(offset).of_block(1).load(0);
            }
            cluster::sync();
        })
    };
    clean(load(0));
    let in_block_1 = |place: &Place| matches!(place, Place::Remote { block: [1, 0, 0], .. });
    let finding = found(
        load(1024),
        |fault| matches!(fault, Fault::OutOfBounds { place, size: 1024, .. } if in_block_1(place)),
    );
    assert_eq!(finding.party.thread, 3, "{finding}");
    found(load(1 << 30), |fault| matches!(fault, Fault::OutOfBounds { place, .. } if in_block_1(place)));
    found(load(2), |fault| matches!(fault, Fault::Misaligned { place, .. } if in_block_1(place)));
    found(load(512), |fault| matches!(fault, Fault::Unwritten { place, .. } if in_block_1(place)));
}

#[test]
fn a_block_that_the_cluster_does_not_have_is_reported() {
    let reach = |rank: u32| {
        // SAFETY: the first word of the last block's shared memory; otherwise the fault under test.
        run_cluster(2, move || unsafe {
            Shared::<u32>::at(0).store(thread::lane(), 1);
            cluster::sync();
            let _ = Shared::<u32>::at(0).of_block(rank).load(0);
            cluster::sync();
        })
    };
    clean(reach(1));
    let is_it = |fault: &Fault| matches!(fault, Fault::NoSuchBlock { rank: 2, size: 2 });
    found(reach(2), is_it);
}

#[test]
fn a_race_between_blocks_names_both() {
    let write = |ordered: bool| {
        // SAFETY: the first word of shared memory.
        run_cluster(2, move || unsafe {
            let word = Shared::<u32>::at(0);
            cluster::sync();
            if cluster::rank() == 1 && thread::lane() == 5 {
                word.of_block(0).store(0, 1);
            }
            if ordered {
                cluster::sync();
            }
            if cluster::rank() == 0 && thread::lane() == 9 {
                word.store(0, 2);
            }
            cluster::sync();
        })
    };
    clean(write(true));
    let finding = found(write(false), is_race);
    let sentence = finding.to_string();
    assert!(sentence.contains("block (0, 0, 0), thread 9"), "{sentence}");
    assert!(sentence.contains("block (1, 0, 0), thread 5"), "{sentence}");
}

#[test]
fn atomics_of_the_cluster_do_not_race_with_each_other_but_with_plain_accesses() {
    let count = |ordered: bool| {
        // SAFETY: the first word of shared memory.
        run_cluster(3, move || unsafe {
            let word = Shared::<u32>::at(0);
            if thread::lane() == 0 {
                word.store(0, 0);
            }
            cluster::sync();
            atomic::cluster_add(word.of_block(1), 0, 1);
            if ordered {
                cluster::sync();
            }
            if cluster::rank() == 1 {
                let sum = word.load(0);
                assert!(!ordered || sum == 96);
            }
            cluster::sync();
        })
    };
    clean(count(true));
    found(count(false), is_race);
}

#[test]
fn an_atomic_of_the_block_alone_is_not_atomic_to_other_blocks() {
    // The first block counts in its own memory, as a block or as a member of the cluster, and the others count there too.
    let count = |narrow: bool, ordered: bool| {
        // SAFETY: the first word of shared memory.
        run_cluster(2, move || unsafe {
            let word = Shared::<u32>::at(0);
            if thread::lane() == 0 {
                word.store(0, 0);
            }
            cluster::sync();
            if cluster::rank() == 0 && narrow {
                atomic::shared_add(word, 0, 1);
            }
            if ordered {
                cluster::sync();
            }
            if cluster::rank() == 1 || !narrow {
                atomic::cluster_add(word.of_block(0), 0, 1);
            }
            cluster::sync();
            assert!(cluster::rank() == 1 || word.load(0) == 64);
        })
    };
    clean(count(false, false));
    clean(count(true, true));
    let finding = found(count(true, false), |fault| matches!(fault, Fault::Scope { .. }));
    let Fault::Scope { other, .. } = &finding.fault else { unreachable!("as found") };
    assert_ne!(finding.party.block, other.block, "{finding}");
}

#[test]
fn atomics_of_the_cluster_order_nothing() {
    let pass = |ordered: bool| {
        // SAFETY: two words of shared memory.
        run_cluster(2, move || unsafe {
            let (data, flag) = (Shared::<u32>::at(0), Shared::<u32>::at(4));
            if thread::lane() == 0 {
                flag.store(0, 0);
            }
            cluster::sync();
            if cluster::rank() == 1 && thread::lane() == 0 {
                data.of_block(0).store(0, 1);
            }
            atomic::cluster_add(flag.of_block(0), 0, 1);
            if ordered {
                cluster::sync();
            }
            if cluster::rank() == 0 {
                let _ = data.load(0);
            }
            cluster::sync();
        })
    };
    clean(pass(true));
    // The first block has run first, and finds nothing written.
    let report = pass(false).expect_err("nothing orders the blocks");
    assert!(report.findings.iter().any(|finding| is_race(&finding.fault)), "{report}");
}

#[test]
fn what_lies_between_arrival_and_wait_is_not_ordered() {
    let store_late = |late: bool| {
        // SAFETY: one word of shared memory for each lane.
        run_cluster(2, move || unsafe {
            let word = Shared::<u32>::at(0);
            let store = || word.store(thread::lane(), 1);
            if !late {
                store();
            }
            cluster::arrive();
            if late {
                store();
            }
            cluster::wait();
            let _ = word.of_block(1 - cluster::rank()).load(thread::lane());
            cluster::sync();
        })
    };
    clean(store_late(false));
    let finding = found(store_late(true), is_race);
    assert!(
        matches!(finding.fault, Fault::Race { access: Access::Read, earlier: Access::Write, .. }),
        "{finding}"
    );
}

/// A word of each thread, which a thread of the other block's other warp reads; one warp releases for its block.
fn released_by_one_warp(meets: bool, releases: bool) -> Result<Trace, Report> {
    // SAFETY: one word of shared memory for each thread.
    launch_clusters([1, 2, 64], &mut Memory::new(), Options::default(), || unsafe {
        let words = Shared::<u32>::at(0);
        cluster::sync();
        words.store(thread::thread_index(), 1);
        if meets {
            barrier::block_sync();
        }
        cluster::arrive_releasing(releases && thread::warp() == 0);
        cluster::wait();
        let _ = words.of_block(1 - cluster::rank()).load(63 - thread::thread_index());
        cluster::sync();
    })
}

#[test]
fn a_relaxed_arrival_orders_what_another_thread_of_the_block_releases_and_nothing_else() {
    clean(released_by_one_warp(true, true));
    for (meets, releases) in [(true, false), (false, true), (false, false)] {
        let report = released_by_one_warp(meets, releases).expect_err("nothing is released");
        assert!(report.findings.iter().any(|finding| is_race(&finding.fault)), "{report}");
    }
}

/// Each thread adds to a word of the block after its own, which the cluster zeroes first.
fn adds_to_the_next_block(announces: bool, releases: bool) -> Result<Trace, Report> {
    run_cluster(2, move || {
        let words = Shared::<u32>::at(0);
        if announces {
            cluster::arrive_releasing(false);
        }
        // SAFETY: a word of shared memory for each thread.
        unsafe { words.store(thread::lane(), 0) };
        if announces {
            cluster::wait();
        }
        if releases {
            cluster::sync();
        }
        // SAFETY: as before; no block ends before the barrier.
        unsafe { words.of_block(1 - cluster::rank()).store(thread::lane(), 1) };
        cluster::sync();
    })
}

#[test]
fn a_relaxed_arrival_says_that_a_block_has_started_and_nothing_of_its_memory() {
    clean(adds_to_the_next_block(true, true));
    clean(adds_to_the_next_block(false, true));
    found(adds_to_the_next_block(true, false), is_race);
    found(adds_to_the_next_block(false, false), |fault| matches!(fault, Fault::NotStarted { .. }));
}

#[test]
fn lanes_that_arrive_in_different_ways_are_reported() {
    let arrive = |lanes: u32| {
        run_cluster(2, move || {
            cluster::arrive_releasing(thread::lane() < lanes);
            cluster::wait();
        })
    };
    clean(arrive(32));
    found(arrive(7), |fault| matches!(fault, Fault::Divergent { .. }));
}

#[test]
fn order_that_a_block_gathers_between_arrival_and_wait_is_kept() {
    // SAFETY: two words of shared memory.
    clean(launch_clusters([1, 2, 64], &mut Memory::new(), Options::default(), || unsafe {
        let words = Shared::<u32>::at(0);
        let index = thread::thread_index();
        cluster::arrive();
        if index == 0 {
            words.store(0, 1);
        }
        barrier::block_sync();
        cluster::wait();
        assert_eq!(words.load(0), 1);
    }));
}

#[test]
fn a_cluster_barrier_that_a_block_skips_is_reported() {
    let skip = |blocks: u32| {
        run_cluster(2, move || {
            if cluster::rank() < blocks {
                cluster::sync();
            }
        })
    };
    clean(skip(2));
    let finding = found(skip(1), |fault| matches!(fault, Fault::BarrierNotReached { .. }));
    let sentence = finding.to_string();
    assert!(
        sentence.contains("in block (0, 0, 0) each of threads 0-31 waits at the cluster's"),
        "{sentence}"
    );
    assert!(sentence.contains("in block (1, 0, 0) each of threads 0-31 ended"), "{sentence}");
}

#[test]
fn a_cluster_barrier_that_some_lanes_skip_is_reported() {
    let skip = |lanes: u32| {
        run_cluster(2, move || {
            if cluster::rank() == 0 || thread::lane() < lanes {
                cluster::sync();
            }
        })
    };
    clean(skip(32));
    let finding = found(skip(9), |fault| matches!(fault, Fault::Divergent { .. }));
    assert_eq!(finding.party.block, [1, 0, 0], "{finding}");
    assert!(finding.to_string().contains("in block (1, 0, 0) each of threads 0-8 waits"), "{finding}");
}

#[test]
fn arrivals_and_waits_out_of_turn_are_reported() {
    let turn = |arrivals: u32, waits: u32| {
        run_cluster(2, move || {
            (0..arrivals).for_each(|_| cluster::arrive());
            (0..waits).for_each(|_| cluster::wait());
        })
    };
    clean(turn(1, 1));
    for (arrivals, waits) in [(2, 1), (0, 1), (1, 2)] {
        found(turn(arrivals, waits), |fault| matches!(fault, Fault::ClusterBarrier { .. }));
    }
}

#[test]
fn clusters_are_concurrent_with_each_other() {
    let mut memory = Memory::new();
    let word = Global::<u32>::at(memory.scratch(&[0_u32]));
    // SAFETY: one item.
    let result = launch_clusters([2, 2, 32], &mut memory, Options::default(), || unsafe {
        cluster::sync();
        if cluster::rank() == 1 && thread::lane() == 3 {
            word.store(0, 1);
        }
    });
    let finding = found(result, is_race);
    assert_eq!(finding.party.block, [3, 0, 0], "{finding}");
    assert!(matches!(&finding.fault, Fault::Race { other, .. } if other.block == [1, 0, 0]), "{finding}");
}

#[test]
fn findings_name_blocks_of_clusters_in_all_directions() {
    let mut memory = Memory::new();
    let words = Global::<u32>::at(memory.scratch(&[0_u32; 64]));
    let grid = [4, 3, 2];
    let launch = Launch {
        name: "planted",
        grid,
        cluster: 2,
        overlaps: false,
        threads: 32,
        shared_bytes: SHARED_BYTES,
    };
    let (first, last) = ([1, 1, 0], [3, 2, 1]);
    // SAFETY: the first of the items.
    let result = executor::run(&launch, &mut memory, &Options::default(), || unsafe {
        let block = [thread::block_x(), thread::block_y(), thread::block_z()];
        if thread::lane() == 7 && (block == first || block == last) {
            words.store(0, 1);
        }
    });
    let finding = found(result, is_race);
    let Fault::Race { other, .. } = &finding.fault else { unreachable!("as found") };
    assert_eq!((other.block, other.thread), (first, 7), "{finding}");
    assert_eq!((finding.party.block, finding.party.thread), (last, 7), "{finding}");
}

#[test]
fn a_cluster_of_the_largest_size_runs() {
    let trace = clean(launch_clusters([1, 16, 256], &mut Memory::new(), Options::default(), || {
        for _ in 0..3 {
            cluster::sync();
        }
    }));
    assert_eq!(trace.syncs[0].1, 3 * 16 * 256);
}

#[test]
fn votes_reductions_and_upward_shuffles_give_sums() {
    clean(run(64, || {
        let lane = thread::lane();
        let odd = vote::ballot(lane % 2 == 1);
        assert_eq!(odd, 0xaaaa_aaaa);
        assert_eq!(redux::reduce_add(u32::MAX - lane), 0_u32.wrapping_sub(32 * 33 / 2));
        let mut sum = lane;
        for delta in [1, 2, 4, 8, 16] {
            let below = shuffle::shuffle_up(sum, delta);
            sum += if lane >= delta { below } else { 0 };
        }
        assert_eq!(sum, lane * (lane + 1) / 2);
        assert_eq!(shuffle::shuffle_up(lane, 31), if lane == 31 { 0 } else { lane });
    }));
}

#[test]
fn a_vote_that_some_lanes_skip_is_reported() {
    let skip = |lanes: u32| {
        run(32, move || {
            if thread::lane() < lanes {
                let _ = vote::ballot(true);
            }
        })
    };
    clean(skip(32));
    let finding = found(skip(31), |fault| matches!(fault, Fault::Divergent { .. }));
    assert!(finding.to_string().contains("a vote"), "{finding}");
}

#[test]
fn fetched_sums_number_the_threads_of_a_block() {
    let (counter, taken) = (Shared::<u32>::at(0), Shared::<u32>::at(16));
    let number = |ordered: bool| {
        // SAFETY: one word for the counter, and one for each thread behind it.
        run(64, move || unsafe {
            if thread::thread_index() == 0 {
                counter.store(0, 0);
            }
            if ordered {
                barrier::block_sync();
            }
            taken.store(atomic::shared_fetch_add(counter, 0, 1), thread::thread_index());
            barrier::block_sync();
            assert!(!ordered || taken.load(63) < 64);
        })
    };
    clean(number(true));
    found(number(false), is_race);
}
