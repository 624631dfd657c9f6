//! The race detector against an oracle that keeps every access and compares them all.
//!
//! Random kernels access 64 bytes of shared memory in all widths, in rounds that end with random barriers. The
//! oracle follows one full vector clock for each thread; a kernel has a race if two of its accesses overlap, are
//! not both reads and not both atomic, and neither happened before the other. The executor must report exactly
//! those kernels, whatever order it runs the threads in.

mod common;

use common::run;
use dustin_kernels::{
    executor::{Access, Fault},
    simt::{Shared, WARP, atomic, barrier, thread},
};

const WARPS: u32 = 3;
const THREADS: u32 = WARPS * WARP;
const ROUNDS: usize = 6;
/// Shared memory that the kernels access.
const BYTES: u32 = 64;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, end: u32) -> u32 {
        (self.next() % u64::from(end)) as u32
    }
}

#[derive(Clone, Copy, Debug)]
struct Event {
    thread: u32,
    access: Access,
    offset: u32,
    bytes: u32,
}

/// The barrier at the end of a round.
#[derive(Clone, Copy, Debug)]
enum Sync {
    None,
    Block,
    /// One warp's barrier.
    Warp(u32),
    /// A named barrier of all warps but one.
    AllBut(u32),
}

impl Sync {
    fn has(self, thread: u32) -> bool {
        match self {
            Self::None => false,
            Self::Block => true,
            Self::Warp(warp) => thread / WARP == warp,
            Self::AllBut(warp) => thread / WARP != warp,
        }
    }
}

type Kernel = Vec<(Vec<Event>, Sync)>;

fn random_kernel(random: &mut Random) -> Kernel {
    let round = |random: &mut Random| {
        let events = (0..random.below(4)).map(|_| {
            let thread = random.below(THREADS);
            let access =
                [Access::Read, Access::Read, Access::Write, Access::Atomic][random.below(4) as usize];
            let bytes = if access == Access::Atomic { 4 } else { [2, 4, 8, 16][random.below(4) as usize] };
            Event { thread, access, offset: random.below(BYTES / bytes) * bytes, bytes }
        });
        let events = events.collect();
        let sync = match random.below(5) {
            0 => Sync::None,
            1 | 2 => Sync::Block,
            3 => Sync::Warp(random.below(WARPS)),
            _ => Sync::AllBut(random.below(WARPS)),
        };
        (events, sync)
    };
    (0..ROUNDS).map(|_| round(random)).collect()
}

/// Whether two accesses of the kernel race.
fn oracle(kernel: &Kernel) -> bool {
    let threads = THREADS as usize;
    let mut clocks: Vec<Vec<u32>> =
        (0..threads).map(|t| (0..threads).map(|other| u32::from(t == other)).collect()).collect();
    let mut past: Vec<(Event, Vec<u32>)> = Vec::new();
    for (events, sync) in kernel {
        for &event in events {
            past.push((event, clocks[event.thread as usize].clone()));
        }
        let members: Vec<usize> = (0..threads).filter(|&thread| sync.has(thread as u32)).collect();
        let joined: Vec<u32> = (0..threads)
            .map(|of| members.iter().map(|&member| clocks[member][of]).max().unwrap_or(0))
            .collect();
        for &member in &members {
            clocks[member].clone_from(&joined);
            clocks[member][member] += 1;
        }
    }
    let races = |(a, a_clock): &(Event, Vec<u32>), (b, b_clock): &(Event, Vec<u32>)| {
        let overlap = a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;
        let conflict = a.access != b.access || a.access == Access::Write;
        let before =
            |of: &Event, clock: &[u32], other: &[u32]| other[of.thread as usize] >= clock[of.thread as usize];
        overlap && conflict && !before(a, a_clock, b_clock) && !before(b, b_clock, a_clock)
    };
    past.iter().enumerate().any(|(i, a)| past[..i].iter().any(|b| a.0.thread != b.0.thread && races(a, b)))
}

/// Whether the executor reports a race.
fn executor(kernel: &Kernel) -> bool {
    let result = run(THREADS, || {
        let me = thread::thread_index();
        if me == 0 {
            for index in 0..BYTES / 2 {
                // SAFETY: the first bytes of shared memory.
                unsafe { Shared::<u16>::at(0).store(index, 0) };
            }
        }
        barrier::block_sync();
        for (round, (events, sync)) in kernel.iter().enumerate() {
            events.iter().filter(|event| event.thread == me).for_each(perform);
            match sync {
                Sync::Block => barrier::block_sync(),
                Sync::Warp(_) if sync.has(me) => barrier::warp_sync(),
                Sync::AllBut(_) if sync.has(me) => named(round),
                Sync::None | Sync::Warp(_) | Sync::AllBut(_) => {}
            }
        }
    });
    match result {
        Ok(_) => false,
        Err(report) => {
            let races = report.findings.iter().all(|finding| matches!(finding.fault, Fault::Race { .. }));
            assert!(races, "another fault is reported:\n{report}");
            true
        }
    }
}

/// Rounds have barriers of their own: a warp that is rounds ahead must not stand in for another.
fn named(round: usize) {
    let threads = THREADS - WARP;
    match round {
        0 => barrier::named_sync::<1>(threads),
        1 => barrier::named_sync::<2>(threads),
        2 => barrier::named_sync::<3>(threads),
        3 => barrier::named_sync::<4>(threads),
        4 => barrier::named_sync::<5>(threads),
        _ => barrier::named_sync::<6>(threads),
    }
}

fn perform(event: &Event) {
    let Event { access, offset, bytes, .. } = *event;
    // SAFETY: aligned accesses in the first bytes of shared memory.
    unsafe {
        match (access, bytes) {
            (Access::Read, 2) => drop(Shared::<u16>::at(offset).load(0)),
            (Access::Read, 4) => drop(Shared::<f32>::at(offset).load(0)),
            (Access::Read, 8) => drop(Shared::<u64>::at(offset).load(0)),
            (Access::Read, _) => drop(Shared::<[u32; 4]>::at(offset).load(0)),
            (Access::Write, 2) => Shared::<u16>::at(offset).store(0, 1),
            (Access::Write, 4) => Shared::<f32>::at(offset).store(0, 1.0),
            (Access::Write, 8) => Shared::<u64>::at(offset).store(0, 1),
            (Access::Write, _) => Shared::<[u32; 4]>::at(offset).store(0, [1; 4]),
            (Access::Atomic, _) => atomic::shared_max(Shared::at(offset), 0, 1),
        }
    }
}

#[test]
fn the_executor_reports_exactly_the_kernels_that_race() {
    let mut racing = 0;
    for seed in 0..1500 {
        let kernel = random_kernel(&mut Random(seed));
        let expected = oracle(&kernel);
        assert_eq!(executor(&kernel), expected, "seed {seed}: {kernel:#?}");
        racing += u32::from(expected);
    }
    // Both answers must be common, or the comparison says little.
    assert!((300..1200).contains(&racing), "{racing} of 1500 kernels race");
}
