//! The race detector against an oracle that keeps every access and compares them all.
//!
//! The oracle follows one full vector clock for each thread. A kernel has a race if two of its accesses overlap, are
//! not both reads and not both atomic, and neither happened before the other. The executor must report exactly
//! the random kernels that have one.

mod common;

use common::{launch, run};
use dustin_kernels::{
    executor::{Access, Fault, Memory, Options, Report, Trace},
    simt::{Global, Shared, WARP, atomic, barrier, shuffle, thread},
};

const ROUNDS: usize = 6;

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

/// An access to bytes that every thread can reach.
#[derive(Clone, Copy, Debug)]
struct Event {
    /// Thread, counted over all blocks.
    thread: u32,
    access: Access,
    offset: u32,
    bytes: u32,
}

/// One clock for each thread, with a component for each thread.
struct Oracle {
    clocks: Vec<Vec<u32>>,
    past: Vec<(Event, Vec<u32>)>,
}

impl Oracle {
    fn new(threads: u32) -> Self {
        let clock = |thread| (0..threads).map(|other| u32::from(thread == other)).collect();
        Self { clocks: (0..threads).map(clock).collect(), past: Vec::new() }
    }

    fn access(&mut self, event: Event) {
        self.past.push((event, self.clocks[event.thread as usize].clone()));
    }

    /// A barrier of `members`.
    fn meet(&mut self, members: &[u32]) {
        let mut joined = vec![0; self.clocks.len()];
        for &member in members {
            raise(&mut joined, &self.clocks[member as usize]);
        }
        for &member in members {
            let clock = &mut self.clocks[member as usize];
            clock.clone_from(&joined);
            clock[member as usize] += 1;
        }
    }

    /// An acquire-release operation of `thread` on a variable at which `released` has been released.
    fn acquire_release(&mut self, thread: u32, released: &mut [u32]) {
        let clock = &mut self.clocks[thread as usize];
        raise(clock, released);
        raise(released, clock);
        clock[thread as usize] += 1;
    }

    /// Whether two accesses race.
    fn race(&self) -> bool {
        let before = |(a, clock): &(Event, Vec<u32>), (_, other): &(Event, Vec<u32>)| {
            other[a.thread as usize] >= clock[a.thread as usize]
        };
        let races = |x: &(Event, Vec<u32>), y: &(Event, Vec<u32>)| {
            let (a, b) = (x.0, y.0);
            let overlap = a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;
            let conflict = a.access != b.access || a.access == Access::Write;
            a.thread != b.thread && overlap && conflict && !before(x, y) && !before(y, x)
        };
        self.past.iter().enumerate().any(|(i, x)| self.past[..i].iter().any(|y| races(x, y)))
    }
}

fn raise(clock: &mut [u32], to: &[u32]) {
    for (component, &other) in clock.iter_mut().zip(to) {
        *component = (*component).max(other);
    }
}

/// Whether a run reports races. It must report nothing else.
fn reports_races(result: Result<Trace, Report>) -> bool {
    let Err(report) = result else { return false };
    let races = report.findings.iter().all(|finding| matches!(finding.fault, Fault::Race { .. }));
    assert!(races, "another fault is reported:\n{report}");
    true
}

/// Compares executor and oracle on `kernels` random kernels. Both answers must be common, or that says little.
fn compare<K: std::fmt::Debug>(
    kernels: u32,
    random_kernel: impl Fn(&mut Random) -> K,
    oracle: impl Fn(&K) -> bool,
    executor: impl Fn(&K) -> bool,
) {
    let mut racing = 0;
    for seed in 0..kernels {
        let kernel = random_kernel(&mut Random(u64::from(seed)));
        let expected = oracle(&kernel);
        assert_eq!(executor(&kernel), expected, "seed {seed}: {kernel:#?}");
        racing += u32::from(expected);
    }
    assert!((kernels / 5..kernels / 5 * 4).contains(&racing), "{racing} of {kernels} kernels race");
}

mod one_block {
    //! Accesses of all widths to shared memory, in rounds that end with barriers of the block or parts of it.

    use super::*;

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
                let bytes =
                    if access == Access::Atomic { 4 } else { [2, 4, 8, 16][random.below(4) as usize] };
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
        compare(1500, random_kernel, oracle, executor);
    }
}

mod many_blocks {
    //! Accesses to global memory by blocks of one warp, which acquire-release operations order or do not.

    use super::*;

    const BLOCKS: u32 = 4;
    const THREADS: u32 = BLOCKS * WARP;
    const WORDS: u32 = 20;
    const VARIABLES: u32 = 2;

    /// What one thread does in one round of its block.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Access(Event),
        /// An acquire-release operation on a variable.
        Order {
            thread: u32,
            variable: u32,
        },
    }

    impl Step {
        const fn thread(&self) -> u32 {
            match *self {
                Self::Access(Event { thread, .. }) | Self::Order { thread, .. } => thread,
            }
        }
    }

    /// The steps of each round of each block, and whether the warp's barrier ends the round.
    type Kernel = Vec<Vec<(Step, bool)>>;

    fn random_kernel(random: &mut Random) -> Kernel {
        let round = |random: &mut Random, block: u32| {
            let thread = block * WARP + random.below(3);
            let step = if random.below(2) == 0 {
                Step::Order { thread, variable: random.below(VARIABLES) }
            } else {
                let access = [Access::Read, Access::Read, Access::Write][random.below(3) as usize];
                Step::Access(Event { thread, access, offset: random.below(WORDS) * 4, bytes: 4 })
            };
            (step, random.below(3) > 0)
        };
        (0..BLOCKS).map(|block| (0..ROUNDS).map(|_| round(random, block)).collect()).collect()
    }

    fn oracle(kernel: &Kernel) -> bool {
        let mut oracle = Oracle::new(THREADS);
        let mut released = vec![vec![0; THREADS as usize]; VARIABLES as usize];
        for (block, rounds) in (0..).zip(kernel) {
            for &(step, synchronised) in rounds {
                match step {
                    Step::Access(event) => oracle.access(event),
                    Step::Order { thread, variable } => {
                        oracle.acquire_release(thread, &mut released[variable as usize]);
                    }
                }
                if synchronised {
                    oracle.meet(&(block * WARP..(block + 1) * WARP).collect::<Vec<_>>());
                }
            }
        }
        oracle.race()
    }

    fn executor(kernel: &Kernel) -> bool {
        let mut memory = Memory::new();
        let words = Global::<u32>::at(memory.scratch(&[0_u32; WORDS as usize]));
        let variables = Global::<u32>::at(memory.scratch(&[0_u32; VARIABLES as usize]));
        let result = launch(BLOCKS, WARP, &mut memory, Options::default(), || {
            let me = thread::block_x() * WARP + thread::thread_index();
            for (step, synchronised) in &kernel[thread::block_x() as usize] {
                match *step {
                    _ if step.thread() != me => {}
                    // SAFETY: in bounds, as drawn.
                    Step::Access(Event { access: Access::Write, offset, .. }) => unsafe {
                        words.store(u64::from(offset / 4), 1);
                    },
                    // SAFETY: as above.
                    Step::Access(Event { offset, .. }) => drop(unsafe { words.load(u64::from(offset / 4)) }),
                    // SAFETY: as above.
                    Step::Order { variable, .. } => unsafe {
                        atomic::fetch_add_acq_rel(variables, u64::from(variable), 1);
                    },
                }
                // Keeps the lanes in step, as the oracle takes them, and orders nothing.
                let _ = shuffle::shuffle_xor(0, 1);
                if *synchronised {
                    barrier::warp_sync();
                }
            }
        });
        reports_races(result)
    }

    #[test]
    fn the_executor_reports_exactly_the_kernels_that_race() {
        compare(1000, random_kernel, oracle, executor);
    }
}
