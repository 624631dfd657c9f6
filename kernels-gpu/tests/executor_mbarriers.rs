//! mbarriers: phases, what they order, and how they are misused.

mod common;

use common::{SHARED_BYTES, clean, dropping, found, launch, run, sites};
use dustin_kernels::{
    executor::{Fault, Memory, Options, Report, SyncKind, Trace},
    simt::{Mbarrier, Shared, barrier, shuffle, thread},
};

fn is_race(fault: &Fault) -> bool {
    matches!(fault, Fault::Race { .. })
}

/// A read that nothing orders behind the write: a race, and of unwritten memory if it comes first.
fn is_unordered(fault: &Fault) -> bool {
    is_race(fault) || matches!(fault, Fault::Unwritten { .. })
}

fn is_misuse(words: &str) -> impl Fn(&Fault) -> bool {
    move |fault| matches!(fault, Fault::Mbarrier { misuse, .. } if misuse.contains(words))
}

/// Has the first thread of the block initialise an mbarrier, and the others wait for that.
fn initialised(mbarrier: Mbarrier, arrivals: u32) -> Mbarrier {
    if thread::thread_index() == 0 {
        // SAFETY: the tests' mbarriers lie in shared memory; what is wrong with some is the fault under test.
        unsafe { mbarrier.init(arrivals) };
    }
    barrier::block_sync();
    mbarrier
}

/// A producer warp fills a slot that a consumer warp empties, for several rounds.
fn producer_consumer(options: Options) -> Result<Trace, Report> {
    let slot = Shared::<u32>::at(0);
    // SAFETY: 32 words in the slot, and two mbarriers behind it.
    launch(1, 64, &mut Memory::new(), options, || unsafe {
        let (full, empty) = (Mbarrier::at(128), Mbarrier::at(136));
        if thread::thread_index() == 0 {
            full.init(32);
            empty.init(32);
        }
        barrier::block_sync();
        let lane = thread::lane();
        for round in 0..5 {
            if thread::warp() == 0 {
                empty.wait((round + 1) % 2);
                slot.store(lane, round * 100 + lane);
                full.arrive();
            } else {
                full.wait(round % 2);
                let got = slot.load(31 - lane);
                assert!(options.dropped.is_some() || got == round * 100 + 31 - lane);
                empty.arrive();
            }
        }
    })
}

#[test]
fn phases_order_a_producer_and_a_consumer() {
    let trace = clean(producer_consumer(Options::default()));
    assert_eq!(sites(&trace, SyncKind::MbarrierArrive).len(), 2);
    assert_eq!(sites(&trace, SyncKind::MbarrierWait).len(), 2);
}

#[test]
fn a_producer_and_a_consumer_without_any_one_of_their_orders_are_reported() {
    for (site, _) in clean(producer_consumer(Options::default())).syncs {
        let report =
            producer_consumer(dropping(site)).expect_err(&format!("dropping the {site} goes unnoticed"));
        let expected = |fault: &Fault| match site.kind {
            SyncKind::MbarrierArrive => matches!(fault, Fault::BarrierNotReached { .. }),
            SyncKind::BlockBarrier => is_race(fault) || is_misuse("without having been initialised")(fault),
            _ => is_unordered(fault),
        };
        assert!(report.findings.iter().any(|finding| expected(&finding.fault)), "{site}:\n{report}");
    }
}

#[test]
fn a_write_after_reads_is_ordered_by_a_phase_that_all_readers_arrive_in() {
    let reuse = |arrivals: u32| {
        // SAFETY: the first word of shared memory, and an mbarrier behind it.
        run(64, move || unsafe {
            let word = Shared::<u32>::at(0);
            if thread::thread_index() == 0 {
                word.store(0, 1);
            }
            let done = initialised(Mbarrier::at(8), arrivals);
            let _ = word.load(0);
            if thread::thread_index() < arrivals {
                done.arrive();
            }
            if thread::thread_index() == 63 {
                done.wait(0);
                word.store(0, 2);
            }
        })
    };
    clean(reuse(64));
    found(reuse(32), is_race);
}

#[test]
fn the_wrong_parity_passes_at_once_and_orders_nothing_or_never_passes() {
    let pass = |[writer, reader]: [u32; 2], parity: u32| {
        // SAFETY: the first word of shared memory, and an mbarrier behind it.
        run(64, move || unsafe {
            let ready = initialised(Mbarrier::at(8), 1);
            let word = Shared::<u32>::at(0);
            if thread::thread_index() == writer {
                word.store(0, 1);
                ready.arrive();
            } else if thread::thread_index() == reader {
                ready.wait(parity);
                let _ = word.load(0);
            }
        })
    };
    // The warp that runs first is a writer's in one case and a reader's in the other.
    let mut passed = 0;
    for roles in [[0, 63], [63, 0]] {
        clean(pass(roles, 0));
        let report = pass(roles, 1).expect_err("phase 0 has parity 0");
        let is_stuck = matches!(report.findings[0].fault, Fault::BarrierNotReached { .. });
        assert!(is_stuck || is_unordered(&report.findings[0].fault), "{report}");
        passed += u32::from(!is_stuck);
    }
    assert_eq!(passed, 1);
}

#[test]
fn who_has_not_waited_is_not_ordered() {
    let read_by = |reader: u32| {
        // SAFETY: the first word of shared memory, and an mbarrier behind it.
        run(96, move || unsafe {
            let ready = initialised(Mbarrier::at(8), 1);
            let word = Shared::<u32>::at(0);
            if thread::thread_index() == 0 {
                word.store(0, 1);
                ready.arrive();
            }
            if thread::warp() == 1 {
                ready.wait(0);
            }
            if thread::warp() == reader {
                let _ = word.load(0);
            }
        })
    };
    clean(read_by(1));
    found(read_by(2), is_unordered);
}

#[test]
fn a_phase_that_lacks_an_arrival_is_waited_for_for_ever() {
    let wait = |arrivals: u32| {
        // SAFETY: an mbarrier in shared memory.
        run(64, move || unsafe {
            let done = initialised(Mbarrier::at(0), 32);
            if thread::thread_index() < arrivals {
                done.arrive();
            }
            if thread::thread_index() == 40 {
                done.wait(0);
            }
            // Lanes that wait for one that waits for the phase are not to blame.
            barrier::warp_sync();
        })
    };
    clean(wait(32));
    let finding = found(wait(31), |fault| matches!(fault, Fault::BarrierNotReached { .. }));
    let sentence = finding.to_string();
    assert!(
        sentence.contains("phase 0 of the mbarrier at byte 0, which lacks 1 arrivals and 0 bytes"),
        "{sentence}"
    );
}

#[test]
fn an_arrival_too_many_is_reported() {
    let arrive = |arrivals: u32| {
        // SAFETY: an mbarrier in shared memory.
        run(64, move || unsafe {
            let done = initialised(Mbarrier::at(0), 32);
            // The phase cannot complete before its bytes are there.
            if thread::thread_index() == 0 {
                done.arrive_expect_tx(16);
            }
            if (1..arrivals).contains(&thread::thread_index()) {
                done.arrive();
            }
        })
    };
    let is_short = |fault: &Fault| matches!(fault, Fault::TransactionBytes { bytes: 16, .. });
    found(arrive(32), is_short);
    let report = arrive(33).expect_err("33 arrivals, and a count of 32");
    let is_too_many = is_misuse("arrived at more often in a phase");
    assert!(report.findings.iter().any(|finding| is_too_many(&finding.fault)), "{report}");
}

#[test]
fn an_mbarrier_that_is_not_initialised_is_reported() {
    let arrive = |initialises: bool| {
        // SAFETY: an mbarrier in shared memory.
        run(32, move || unsafe {
            if thread::lane() == 0 && initialises {
                Mbarrier::at(0).init(32);
            }
            barrier::warp_sync();
            Mbarrier::at(0).arrive();
        })
    };
    clean(arrive(true));
    found(arrive(false), is_misuse("used without having been initialised"));
}

#[test]
fn an_arrival_that_is_not_ordered_behind_the_initialisation_is_reported() {
    let arrive = |ordered: bool| {
        // SAFETY: an mbarrier in shared memory.
        run(32, move || unsafe {
            if thread::lane() == 0 {
                Mbarrier::at(0).init(32);
            }
            if ordered {
                barrier::warp_sync();
            }
            Mbarrier::at(0).arrive();
        })
    };
    clean(arrive(true));
    found(arrive(false), is_race);
}

#[test]
fn impossible_mbarriers_are_reported() {
    let init = |offset: u32, arrivals: u32| {
        run(32, move || {
            if thread::lane() == 7 {
                // SAFETY: an mbarrier in shared memory, or the fault under test.
                unsafe { Mbarrier::at(offset).init(arrivals) };
            }
        })
    };
    clean(init(SHARED_BYTES - Mbarrier::BYTES, (1 << 20) - 1));
    found(init(0, 0), is_misuse("count"));
    found(init(0, 1 << 20), is_misuse("count"));
    found(init(4, 1), |fault| matches!(fault, Fault::Misaligned { bytes: 8, .. }));
    found(init(SHARED_BYTES, 1), |fault| matches!(fault, Fault::OutOfBounds { .. }));
}

#[test]
fn a_parity_that_is_none_is_reported() {
    let wait = |parity: u32| {
        run(32, move || {
            let mbarrier = initialised(Mbarrier::at(0), 1);
            // SAFETY: it has been initialised.
            unsafe { mbarrier.wait(parity) };
        })
    };
    clean(wait(1));
    found(wait(2), is_misuse("parity"));
}

#[test]
fn an_mbarrier_is_no_plain_memory_until_it_is_invalidated() {
    let reuse = |invalidates: bool| {
        // SAFETY: an mbarrier in shared memory.
        run(32, move || unsafe {
            let mbarrier = initialised(Mbarrier::at(16), 32);
            mbarrier.arrive();
            mbarrier.wait(0);
            barrier::warp_sync();
            if thread::lane() == 0 && invalidates {
                mbarrier.inval();
            }
            if thread::lane() == 0 {
                Shared::<[u32; 4]>::at(16).store(0, [1; 4]);
            }
            let _ = shuffle::shuffle_xor(0, 1);
        })
    };
    clean(reuse(true));
    found(reuse(false), is_misuse("accessed as plain memory"));
}

#[test]
fn an_mbarrier_that_others_still_use_is_not_invalidated() {
    let inval = |ordered: bool| {
        // SAFETY: an mbarrier in shared memory.
        run(64, move || unsafe {
            let mbarrier = initialised(Mbarrier::at(0), 64);
            mbarrier.arrive();
            mbarrier.wait(0);
            if ordered {
                barrier::block_sync();
            }
            if thread::thread_index() == 63 {
                mbarrier.inval();
            }
        })
    };
    clean(inval(true));
    found(inval(false), is_race);
}

#[test]
fn an_mbarrier_is_initialised_once() {
    let init = |invalidates: bool| {
        // SAFETY: an mbarrier in shared memory.
        run(32, move || unsafe {
            if thread::lane() == 0 {
                Mbarrier::at(0).init(1);
                if invalidates {
                    Mbarrier::at(0).inval();
                }
                Mbarrier::at(0).init(2);
            }
        })
    };
    clean(init(true));
    found(init(false), is_misuse("initialised again"));
}

#[test]
fn a_phase_passes_on_what_its_arrivals_knew() {
    // Warp 0 tells warp 1 by a phase, and warp 1 tells warp 2 by another one: what warp 0 wrote is ordered for warp 2.
    // SAFETY: the first word of shared memory, and two mbarriers behind it.
    clean(run(96, || unsafe {
        let (first, second) = (Mbarrier::at(8), Mbarrier::at(16));
        if thread::thread_index() == 0 {
            first.init(1);
            second.init(32);
        }
        barrier::block_sync();
        let word = Shared::<u32>::at(0);
        match thread::warp() {
            0 if thread::lane() == 0 => {
                word.store(0, 5);
                first.arrive();
            }
            0 => {}
            1 => {
                first.wait(0);
                second.arrive();
            }
            _ => {
                second.wait(0);
                assert_eq!(word.load(0), 5);
            }
        }
    }));
}
