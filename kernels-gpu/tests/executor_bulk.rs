//! Bulk copies: the mbarrier that they complete on, and the proxy that they work through.

mod common;

use common::{SHARED_BYTES, clean, dropping, found, launch, launch_clusters, line, sites};
use dustin_kernels::{
    executor::{Access, Fault, Memory, Options, Place, Report, SyncKind, Trace},
    simt::{Global, Mbarrier, Shared, barrier, bulk, cluster, cp_async, fence, thread},
};

/// Bytes of a tile.
const TILE: u32 = 256;

fn is_proxy_fence(fault: &Fault) -> bool {
    matches!(fault, Fault::ProxyFence { .. })
}

fn is_in_flight(fault: &Fault) -> bool {
    matches!(fault, Fault::InFlight { .. })
}

/// A read that nothing orders behind a copy: of its destination in flight, or before it has even been started.
fn is_early(fault: &Fault) -> bool {
    is_in_flight(fault) || matches!(fault, Fault::Race { .. } | Fault::Unwritten { .. })
}

/// An input of `tiles` tiles, whose words count from 0.
fn input(memory: &mut Memory, tiles: u32) -> Global<u32> {
    Global::at(memory.input(&(0..tiles * TILE / 4).collect::<Vec<u32>>()))
}

/// One thread copies tiles into two stages that have held something else before, and a warp sums them up.
fn pipeline(options: Options) -> Result<Trace, Report> {
    const TILES: u32 = 5;
    let mut memory = Memory::new();
    let tiles = input(&mut memory, TILES);
    let stages = Shared::<u32>::at(128);
    // SAFETY: four mbarriers and two stages in shared memory.
    launch(1, 64, &mut memory, options, || unsafe {
        let full = |tile: u32| Mbarrier::at(tile % 2 * 8);
        let empty = |tile: u32| Mbarrier::at(16 + tile % 2 * 8);
        let (index, lane) = (thread::thread_index(), thread::lane());
        stages.store(index, 0);
        stages.store(64 + index, 0);
        fence::proxy_async();
        if index == 0 {
            for stage in 0..2 {
                full(stage).init(1);
                empty(stage).init(32);
            }
            fence::mbarrier_init();
        }
        barrier::block_sync();
        if index == 0 {
            for tile in 0..TILES {
                empty(tile).wait((tile / 2 + 1) % 2);
                full(tile).arrive_expect_tx(TILE);
                let from = tiles.item(u64::from(tile * TILE / 4));
                bulk::copy(stages.byte(tile % 2 * TILE), from, TILE, full(tile));
            }
        }
        if thread::warp() == 1 {
            for tile in 0..TILES {
                full(tile).wait(tile / 2 % 2);
                let sum = stages.load(tile % 2 * 64 + lane) + stages.load(tile % 2 * 64 + 32 + lane);
                assert!(options.dropped.is_some() || sum == 2 * (tile * 64 + lane) + 32);
                empty(tile).arrive();
            }
        }
    })
}

#[test]
fn a_pipeline_of_bulk_copies_is_clean() {
    let trace = clean(pipeline(Options::default()));
    assert_eq!(trace.counts.copies, 5);
    let kinds: Vec<_> = trace.syncs.iter().map(|(site, _)| site.kind).collect();
    use SyncKind::{BlockBarrier, MbarrierArrive, MbarrierInitFence, MbarrierWait, ProxyFence};
    assert_eq!(kinds[..3], [ProxyFence, MbarrierInitFence, BlockBarrier]);
    assert_eq!(kinds[3..], [MbarrierWait, MbarrierArrive, MbarrierWait, MbarrierArrive]);
}

#[test]
fn a_pipeline_without_any_one_of_its_orders_is_reported() {
    for (site, _) in clean(pipeline(Options::default())).syncs {
        let report = pipeline(dropping(site)).expect_err(&format!("dropping the {site} goes unnoticed"));
        if matches!(site.kind, SyncKind::ProxyFence | SyncKind::MbarrierInitFence) {
            assert!(report.findings.iter().all(|finding| is_proxy_fence(&finding.fault)), "{report}");
        }
    }
}

/// One thread copies a tile to `to`, on an mbarrier at the start of shared memory; the block runs `before` first and
/// `behind` afterwards, which gets the mbarrier.
fn copy_once(
    memory: &mut Memory,
    [to, bytes, expected]: [u32; 3],
    from: u64,
    before: impl Fn(),
    behind: impl Fn(Mbarrier),
) -> Result<Trace, Report> {
    // SAFETY: an mbarrier in shared memory; the rest is under test.
    launch(1, 64, memory, Options::default(), || unsafe {
        let full = Mbarrier::at(0);
        if thread::thread_index() == 0 {
            full.init(1);
            fence::mbarrier_init();
        }
        before();
        barrier::block_sync();
        if thread::thread_index() == 0 {
            full.arrive_expect_tx(expected);
            bulk::copy(to, from, bytes, full);
        }
        behind(full);
    })
}

/// Waits for the first phase.
fn wait(full: Mbarrier) {
    // SAFETY: as initialised by [`copy_once`].
    unsafe { full.wait(0) };
}

#[test]
fn only_who_has_waited_reads_what_was_copied() {
    let mut memory = Memory::new();
    let from = input(&mut memory, 1).item(0);
    let mut read_by = |waits: u32, reads: u32| {
        copy_once(
            &mut memory,
            [128, TILE, TILE],
            from,
            || {},
            |full| {
                if thread::warp() == waits {
                    wait(full);
                }
                if thread::warp() == reads {
                    // SAFETY: the copy's destination.
                    let _ = unsafe { Shared::<u32>::at(128).load(thread::lane()) };
                }
            },
        )
    };
    clean(read_by(0, 0));
    clean(read_by(1, 1));
    let finding = found(read_by(1, 0), is_in_flight);
    let Fault::InFlight { access, other, .. } = &finding.fault else { unreachable!("as found") };
    assert_eq!((*access, other.thread), (Access::Read, 0), "{finding}");
    found(read_by(0, 1), is_early);
}

#[test]
fn a_barrier_behind_the_wait_passes_on_what_was_copied() {
    let mut memory = Memory::new();
    let from = input(&mut memory, 1).item(0);
    let mut read = |ordered: bool| {
        copy_once(
            &mut memory,
            [128, TILE, TILE],
            from,
            || {},
            |full| {
                if thread::thread_index() == 40 {
                    wait(full);
                }
                if ordered {
                    barrier::block_sync();
                }
                // SAFETY: the copy's destination.
                let value = unsafe { Shared::<u32>::at(128).load(thread::thread_index()) };
                assert!(!ordered || value == thread::thread_index());
            },
        )
    };
    clean(read(true));
    found(read(false), is_early);
}

#[test]
fn writing_where_a_bulk_copy_is_in_flight_is_reported() {
    let mut memory = Memory::new();
    let from = input(&mut memory, 1).item(0);
    let mut write = |waits: bool| {
        copy_once(
            &mut memory,
            [128, TILE, TILE],
            from,
            || {},
            |full| {
                if thread::thread_index() == 0 {
                    if waits {
                        wait(full);
                    }
                    // SAFETY: the copy's destination.
                    unsafe { Shared::<u32>::at(128).store(3, 1) };
                    wait(full);
                }
            },
        )
    };
    clean(write(true));
    found(write(false), |fault| matches!(fault, Fault::InFlight { access: Access::Write, .. }));
}

#[test]
fn a_bulk_copy_over_one_that_is_in_flight_is_reported() {
    let mut memory = Memory::new();
    let from = input(&mut memory, 1).item(0);
    let mut copy = |waits: bool| {
        // SAFETY: an mbarrier and a tile behind it.
        copy_once(
            &mut memory,
            [128, TILE, TILE],
            from,
            || {},
            |full| unsafe {
                if thread::thread_index() == 0 {
                    if waits {
                        wait(full);
                    }
                    full.arrive_expect_tx(TILE);
                    bulk::copy(128, from, TILE, full);
                    full.wait(1);
                }
            },
        )
    };
    clean(copy(true));
    let report = copy(false).expect_err("the first copy may still be under way");
    assert!(report.findings.iter().any(|finding| is_in_flight(&finding.fault)), "{report}");
}

#[test]
fn a_bulk_copy_over_what_others_still_read_is_reported() {
    let mut memory = Memory::new();
    let from = input(&mut memory, 1).item(0);
    let mut reuse = |issuer: u32, ordered: bool| {
        // SAFETY: an mbarrier and a tile behind it.
        launch(1, 64, &mut memory, Options::default(), || unsafe {
            let (full, word) = (Mbarrier::at(0), Shared::<u32>::at(128));
            if thread::thread_index() == issuer {
                full.init(1);
                fence::mbarrier_init();
                word.store(0, 1);
                fence::proxy_async();
            }
            barrier::block_sync();
            if thread::thread_index() == 63 - issuer {
                let _ = word.load(0);
            }
            if ordered {
                barrier::block_sync();
            }
            if thread::thread_index() == issuer {
                full.arrive_expect_tx(TILE);
                bulk::copy(128, from, TILE, full);
                wait(full);
            }
        })
    };
    // Of the two warps one runs first: once the read comes first, and once the copy.
    let mut races = 0;
    for issuer in [0, 63] {
        clean(reuse(issuer, true));
        let is_overwrite =
            |fault: &Fault| matches!(fault, Fault::Race { access: Access::Write, earlier: Access::Read, .. });
        let finding = found(reuse(issuer, false), |fault| is_overwrite(fault) || is_in_flight(fault));
        races += u32::from(is_overwrite(&finding.fault));
    }
    assert_eq!(races, 1);
}

/// Where the proxy fence between a thread's write and the copy stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FenceAt {
    Nowhere,
    /// Before the write, where it is of no use.
    BeforeTheWrite,
    Writer,
    /// Another thread between the two.
    Between,
    Issuer,
    /// The issuer, behind the copy.
    BehindTheCopy,
}

/// A thread writes to what is a copy's destination later, with a fence somewhere.
fn overwrite(fence_at: FenceAt) -> Result<Trace, Report> {
    let mut memory = Memory::new();
    let from = input(&mut memory, 1).item(0);
    // SAFETY: an mbarrier and a tile behind it.
    launch(1, 96, &mut memory, Options::default(), || unsafe {
        let full = Mbarrier::at(0);
        let index = thread::thread_index();
        let fence = |place: FenceAt| {
            if fence_at == place {
                fence::proxy_async();
            }
        };
        if index == 33 {
            fence(FenceAt::BeforeTheWrite);
            Shared::<u32>::at(128).store(7, 1);
            fence(FenceAt::Writer);
        }
        if index == 0 {
            full.init(1);
            fence::mbarrier_init();
        }
        barrier::block_sync();
        if index == 65 {
            fence(FenceAt::Between);
        }
        barrier::block_sync();
        if index == 0 {
            fence(FenceAt::Issuer);
            full.arrive_expect_tx(TILE);
            bulk::copy(128, from, TILE, full);
            fence(FenceAt::BehindTheCopy);
        }
        wait(full);
    })
}

#[test]
fn a_proxy_fence_stands_between_a_write_and_the_copy_over_it() {
    for fence_at in [FenceAt::Writer, FenceAt::Between, FenceAt::Issuer] {
        clean(overwrite(fence_at));
    }
    for fence_at in [FenceAt::Nowhere, FenceAt::BeforeTheWrite, FenceAt::BehindTheCopy] {
        let finding = found(overwrite(fence_at), is_proxy_fence);
        let Fault::ProxyFence { place, other } = &finding.fault else { unreachable!("as found") };
        assert_eq!((finding.party.thread, other.thread), (0, 33), "{finding}");
        assert_eq!(*place, Place::Shared { address: 144 }, "{finding}");
        assert!(line(&finding) > other.source.as_ref().expect("a line").line, "{finding}");
    }
}

#[test]
fn copies_through_the_generic_proxy_need_a_proxy_fence_too() {
    let mut memory = Memory::new();
    let from = input(&mut memory, 1).item(0);
    let mut copy = |fenced: bool| {
        // SAFETY: 16 bytes of the destination.
        let before = || unsafe {
            if thread::thread_index() == 0 {
                cp_async::copy_16(144, from, true);
                cp_async::commit();
                cp_async::wait::<0>();
                if fenced {
                    fence::proxy_async();
                }
            }
        };
        copy_once(&mut memory, [128, TILE, TILE], from, before, wait)
    };
    clean(copy(true));
    found(copy(false), is_proxy_fence);
}

#[test]
fn reads_and_other_bulk_copies_need_no_proxy_fence() {
    let mut memory = Memory::new();
    let from = input(&mut memory, 1).item(0);
    // SAFETY: an mbarrier and a tile behind it.
    clean(copy_once(
        &mut memory,
        [128, TILE, TILE],
        from,
        || {},
        |full| unsafe {
            wait(full);
            let _ = Shared::<u32>::at(128).load(thread::thread_index());
            barrier::block_sync();
            if thread::thread_index() == 0 {
                full.arrive_expect_tx(TILE);
                bulk::copy(128, from, TILE, full);
            }
            full.wait(1);
        },
    ));
}

#[test]
fn an_mbarrier_is_fenced_before_a_copy_completes_on_it() {
    #[derive(Clone, Copy, PartialEq)]
    enum Behind {
        Nothing,
        InitFence,
        ProxyFence,
        /// By a thread that has not initialised it.
        OthersInitFence,
    }
    let mut memory = Memory::new();
    let from = input(&mut memory, 1).item(0);
    let mut copy = |behind: Behind| {
        // SAFETY: an mbarrier and a tile behind it.
        launch(1, 64, &mut memory, Options::default(), || unsafe {
            let full = Mbarrier::at(0);
            let index = thread::thread_index();
            if index == 32 {
                full.init(1);
                if behind == Behind::InitFence {
                    fence::mbarrier_init();
                }
                if behind == Behind::ProxyFence {
                    fence::proxy_async();
                }
            }
            barrier::block_sync();
            if index == 0 {
                if behind == Behind::OthersInitFence {
                    fence::mbarrier_init();
                }
                full.arrive_expect_tx(TILE);
                bulk::copy(128, from, TILE, full);
                wait(full);
            }
        })
    };
    clean(copy(Behind::InitFence));
    clean(copy(Behind::ProxyFence));
    for behind in [Behind::Nothing, Behind::OthersInitFence] {
        let finding = found(copy(behind), is_proxy_fence);
        assert!(matches!(&finding.fault, Fault::ProxyFence { other, .. } if other.thread == 32), "{finding}");
    }
}

#[test]
fn a_source_that_the_launch_has_written_is_reported() {
    let mut memory = Memory::new();
    let buffer = Global::<u32>::at(memory.scratch(&[1_u32; 64]));
    let mut copy = |writes: bool| {
        // SAFETY: 64 items.
        let before = || unsafe {
            if writes {
                buffer.store(u64::from(thread::thread_index()), 2);
            }
        };
        copy_once(&mut memory, [128, TILE, TILE], buffer.item(0), before, wait)
    };
    clean(copy(false));
    let finding = found(copy(true), is_proxy_fence);
    assert!(
        matches!(finding.fault, Fault::ProxyFence { place: Place::Global { offset: 0, .. }, .. }),
        "{finding}"
    );
    // What an earlier launch has written is ordered by the kernel boundary.
    clean(copy(false));
}

#[test]
fn impossible_bulk_copies_are_reported() {
    let mut memory = Memory::new();
    let from = input(&mut memory, 1).item(0);
    let mut copy = |to: u32, skip: u64, bytes: u32| {
        copy_once(
            &mut memory,
            [to, bytes, bytes],
            from + skip,
            || {},
            |full| {
                if bytes > 0 && bytes.is_multiple_of(16) {
                    wait(full);
                }
            },
        )
    };
    clean(copy(SHARED_BYTES - TILE, 0, TILE));
    clean(copy(128, 0, 16));
    for bytes in [0, 8, 24] {
        let report = copy(128, 0, bytes).expect_err("no positive multiple of 16");
        assert!(matches!(report.findings[0].fault, Fault::BulkSize { .. }), "{report}");
    }
    let misaligned = |access: Access| move |fault: &Fault| matches!(fault, Fault::Misaligned { access: met, .. } if *met == access);
    found(copy(136, 0, 16), misaligned(Access::Write));
    found(copy(128, 8, 16), misaligned(Access::Read));
    let outside = |access: Access| move |fault: &Fault| matches!(fault, Fault::OutOfBounds { access: met, .. } if *met == access);
    found(copy(SHARED_BYTES - TILE + 16, 0, TILE), outside(Access::Write));
    found(copy(128, 16, TILE), outside(Access::Read));
    found(copy(128, 0, u32::MAX - 15), |fault| {
        outside(Access::Write)(fault)
            || matches!(
                fault,
                Fault::Mbarrier { .. } | Fault::TransactionBytes { .. } | Fault::BarrierNotReached { .. }
            )
    });
    // The mbarrier itself is no destination.
    found(copy(0, 0, 16), |fault| matches!(fault, Fault::Mbarrier { .. }));
}

#[test]
fn bytes_that_never_arrive_are_reported() {
    let mut memory = Memory::new();
    let from = input(&mut memory, 1).item(0);
    let mut copy = |expected: u32, waits: bool| {
        copy_once(
            &mut memory,
            [128, TILE, expected],
            from,
            || {},
            |full| {
                if waits {
                    wait(full);
                }
            },
        )
    };
    clean(copy(TILE, true));
    let is_stuck = |fault: &Fault| matches!(fault, Fault::BarrierNotReached { .. });
    for (expected, lacks) in [(TILE + 16, 16), (TILE - 16, -16)] {
        let report = copy(expected, true).expect_err("the phase never completes");
        assert!(is_stuck(&report.findings[0].fault), "{report}");
        assert!(
            matches!(report.findings[1].fault, Fault::TransactionBytes { bytes, .. } if bytes == lacks),
            "{report}"
        );
        // Nobody waits, and somebody should have.
        found(copy(expected, false), |fault| {
            matches!(fault, Fault::TransactionBytes { bytes, .. } if *bytes == lacks)
                || matches!(fault, Fault::NotAwaited { .. })
        });
    }
}

#[test]
fn a_bulk_copy_that_nobody_waits_for_is_reported() {
    let mut memory = Memory::new();
    let from = input(&mut memory, 1).item(0);
    let mut copy = |waits: bool| {
        copy_once(
            &mut memory,
            [128, TILE, TILE],
            from,
            || {},
            |full| {
                if waits && thread::thread_index() == 50 {
                    wait(full);
                }
            },
        )
    };
    clean(copy(true));
    let finding = found(copy(false), |fault| matches!(fault, Fault::NotAwaited { .. }));
    assert_eq!(finding.party.thread, 0, "{finding}");
}

#[test]
fn bytes_that_are_not_expected_let_the_phase_complete_too_early() {
    let mut memory = Memory::new();
    let from = input(&mut memory, 1).item(0);
    // The phase has one arrival and nothing to wait for; the copy's bytes count in the next phase.
    let result = copy_once(
        &mut memory,
        [128, TILE, 0],
        from,
        || {},
        |full| {
            wait(full);
            // SAFETY: the copy's destination.
            let _ = unsafe { Shared::<u32>::at(128).load(0) };
        },
    );
    let report = result.expect_err("the copy has not been waited for");
    assert!(report.findings.iter().any(|finding| is_in_flight(&finding.fault)), "{report}");
    assert!(
        report.findings.iter().any(|f| matches!(f.fault, Fault::TransactionBytes { bytes: -256, .. })),
        "{report}"
    );
}

#[test]
fn every_block_of_a_cluster_has_mbarriers_and_copies_of_its_own() {
    let mut memory = Memory::new();
    let tiles = input(&mut memory, 3);
    let exchange = |memory: &mut Memory, options: Options| {
        // SAFETY: an mbarrier and a tile behind it, and a tile of the input for each block.
        launch_clusters([1, 3, 32], memory, options, || unsafe {
            let (full, tile) = (Mbarrier::at(0), Shared::<u32>::at(128));
            let rank = cluster::rank();
            if thread::lane() == 0 {
                full.init(1);
                fence::mbarrier_init();
                full.arrive_expect_tx(TILE);
                bulk::copy(tile.byte(0), tiles.item(u64::from(rank * TILE / 4)), TILE, full);
                full.wait(0);
            }
            cluster::sync();
            let next = (rank + 1) % 3;
            let value = tile.of_block(next).load(thread::lane());
            assert!(options.dropped.is_some() || value == next * 64 + thread::lane());
            cluster::sync();
        })
    };
    let trace = clean(exchange(&mut memory, Options::default()));
    for (site, _) in trace.syncs.iter() {
        assert!(exchange(&mut memory, dropping(*site)).is_err(), "dropping the {site} goes unnoticed");
    }
    assert_eq!(sites(&trace, SyncKind::ClusterBarrier).len(), 2);
}
