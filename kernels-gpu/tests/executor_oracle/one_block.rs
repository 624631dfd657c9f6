//! Accesses of all widths to shared memory, in rounds that end with barriers of the block or parts of it.

use dustin_kernels::{
    executor::Access,
    simt::{Shared, WARP, atomic, barrier, thread},
};

use crate::{Event, Oracle, ROUNDS, Random, common::run, compare, reports_races};

const WARPS: u32 = 3;
const THREADS: u32 = WARPS * WARP;
/// Shared memory that the kernels access.
const BYTES: u32 = 64;

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
    let mut oracle = Oracle::new(THREADS);
    for (events, sync) in kernel {
        events.iter().for_each(|&event| oracle.access(event));
        oracle.meet(&(0..THREADS).filter(|&thread| sync.has(thread)).collect::<Vec<_>>());
    }
    oracle.race()
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
    reports_races(result)
}

/// Rounds have barriers of their own: a warp that is rounds ahead must not stand in for another.
fn named(round: usize) {
    let threads = THREADS - WARP;
    match round {
        0 => barrier::named_sync(1, threads),
        1 => barrier::named_sync(2, threads),
        2 => barrier::named_sync(3, threads),
        3 => barrier::named_sync(4, threads),
        4 => barrier::named_sync(5, threads),
        _ => barrier::named_sync(6, threads),
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
    compare(1500, random_kernel, oracle, executor);
}
