//! Accesses to global memory by blocks of one warp, which acquire-release operations order or do not.

use dustin_kernels::{
    executor::{Access, Memory, Options},
    simt::{Global, WARP, atomic, barrier, shuffle, thread},
};

use crate::{Event, Oracle, ROUNDS, Random, common::launch, compare, reports_races};

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
