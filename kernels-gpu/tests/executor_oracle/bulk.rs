//! Bulk copies, accesses to their destinations, waits for them and proxy fences, in rounds that end with barriers.
//!
//! Every copy completes on an mbarrier of its own. The oracle's clocks have a component for each copy, which says whether it
//! has been waited for, and a second component for each thread, which says how much of it lies before a fence.

use dustin_kernels::{
    executor::{Fault, Memory, Options},
    simt::{Global, Mbarrier, Shared, WARP, barrier, bulk, fence, thread},
};

use crate::{ROUNDS, Random, common::launch, compare, raise, reports};

const WARPS: u32 = 2;
const THREADS: u32 = WARPS * WARP;
/// Copies that a kernel can make.
const COPIES: u32 = 16;
/// Places of 16 bytes that are copied to, behind the mbarriers.
const PLACES: u32 = 2;

/// What one thread does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Read {
        place: u32,
    },
    Write {
        place: u32,
    },
    Fence,
    /// Copy number `copy`.
    Copy {
        place: u32,
        copy: u32,
    },
    Wait {
        copy: u32,
    },
}

/// The barrier at the end of a round.
#[derive(Clone, Copy, Debug)]
enum Sync {
    None,
    Block,
    Warp(u32),
}

type Kernel = Vec<(Vec<(u32, Step)>, Sync)>;

fn random_kernel(random: &mut Random) -> Kernel {
    let mut copies = 0;
    let mut round = |random: &mut Random| {
        let mut steps = Vec::new();
        for _ in 0..random.below(4) {
            let (thread, place) = (random.below(WARPS) * WARP + random.below(2), random.below(PLACES));
            match random.below(12) {
                0 | 1 => steps.push((thread, Step::Read { place })),
                2 => steps.push((thread, Step::Write { place })),
                3 | 4 => steps.push((thread, Step::Fence)),
                5 | 6 if copies < COPIES => {
                    steps.push((thread, Step::Copy { place, copy: copies }));
                    copies += 1;
                }
                _ if copies > 0 => {
                    // Mostly the latest, and everybody who meets it later.
                    let copy = copies - 1 - random.below(copies.min(2));
                    steps.push((thread, Step::Wait { copy }));
                }
                _ => {}
            }
        }
        let sync =
            [Sync::Block, Sync::Block, Sync::Warp(random.below(WARPS)), Sync::None][random.below(4) as usize];
        (steps, sync)
    };
    (0..ROUNDS).map(|_| round(random)).collect()
}

/// The first component that says whether a copy has been waited for; those for fences come behind.
const WAITED: usize = THREADS as usize;
const FENCED: usize = WAITED + COPIES as usize;

/// A step that touches a place, and its thread's clock then.
struct Touch {
    thread: usize,
    step: Step,
    clock: Vec<u32>,
}

impl Touch {
    fn place(&self) -> Option<u32> {
        match self.step {
            Step::Read { place } | Step::Write { place } | Step::Copy { place, .. } => Some(place),
            Step::Fence | Step::Wait { .. } => None,
        }
    }

    /// Whether this one, of a thread, happened before the other one, of whoever.
    fn precedes(&self, other: &Self) -> bool {
        other.clock[self.thread] >= self.clock[self.thread]
    }

    /// Whether this one, a copy, had been waited for at the other one.
    fn was_waited_for(&self, copy: u32, other: &Self) -> bool {
        other.clock[WAITED + copy as usize] > 0
    }

    /// Whether nothing puts the two right, `self` being the one that the program lists first.
    fn conflicts(&self, other: &Self) -> bool {
        if self.place() != other.place() {
            return false;
        }
        match (self.step, other.step) {
            (Step::Copy { copy: first, .. }, Step::Copy { copy: second, .. }) => {
                !self.was_waited_for(first, other) && !other.was_waited_for(second, self)
            }
            (Step::Copy { copy, .. }, _) => !self.was_waited_for(copy, other) && !other.makes_way_for(self),
            (_, Step::Copy { copy, .. }) => !other.was_waited_for(copy, self) && !self.makes_way_for(other),
            (Step::Read { .. }, Step::Read { .. }) => false,
            _ => self.thread != other.thread && !self.precedes(other) && !other.precedes(self),
        }
    }

    /// Whether this read or write lies before the start of `copy`, and behind a fence if it must.
    fn makes_way_for(&self, copy: &Self) -> bool {
        let fenced = copy.clock[FENCED + self.thread] >= self.clock[self.thread];
        self.precedes(copy) && (fenced || matches!(self.step, Step::Read { .. }))
    }
}

/// Whether an access or a copy of the kernel conflicts with another one.
fn oracle(kernel: &Kernel) -> bool {
    let width = FENCED + THREADS as usize;
    let mut clocks: Vec<Vec<u32>> = (0..WAITED)
        .map(|thread| (0..width).map(|component| u32::from(thread == component)).collect())
        .collect();
    let mut released: Vec<Vec<u32>> = vec![vec![0; width]; COPIES as usize];
    let mut past: Vec<Touch> = Vec::new();
    for (steps, sync) in kernel {
        for &(thread, step) in steps {
            let thread = thread as usize;
            let clock = &mut clocks[thread];
            match step {
                Step::Read { .. } | Step::Write { .. } => {}
                Step::Fence => {
                    let before = clock[..WAITED].to_vec();
                    raise(&mut clock[FENCED..], &before);
                }
                Step::Copy { copy, .. } => {
                    released[copy as usize].clone_from(clock);
                    released[copy as usize][WAITED + copy as usize] = 1;
                }
                Step::Wait { copy } => raise(clock, &released[copy as usize]),
            }
            // Every step has a clock of its own, since fences tell the steps of a thread apart.
            clock[thread] += 1;
            past.push(Touch { thread, step, clock: clock.clone() });
            clock[thread] += 1;
        }
        let members: Vec<usize> = match *sync {
            Sync::None => continue,
            Sync::Block => (0..WAITED).collect(),
            Sync::Warp(warp) => ((warp * WARP) as usize..((warp + 1) * WARP) as usize).collect(),
        };
        let mut joined = vec![0; width];
        members.iter().for_each(|&member| raise(&mut joined, &clocks[member]));
        for member in members {
            raise(&mut clocks[member], &joined);
            clocks[member][member] += 1;
        }
    }
    let touches: Vec<&Touch> = past.iter().filter(|touch| touch.place().is_some()).collect();
    touches.iter().enumerate().any(|(i, y)| touches[..i].iter().any(|x| x.conflicts(y)))
}

/// Whether the executor reports a race, an access in flight or a missing fence.
fn executor(kernel: &Kernel) -> bool {
    let mut memory = Memory::new();
    let source = Global::<u32>::at(memory.input(&[7_u32; 4]));
    let places = Shared::<u32>::at(COPIES * Mbarrier::BYTES);
    let result = launch(1, THREADS, &mut memory, Options::default(), || {
        let me = thread::thread_index();
        // SAFETY: an mbarrier for each copy, and the places behind them.
        unsafe {
            if me == 0 {
                (0..COPIES).for_each(|copy| Mbarrier::at(8 * copy).init(1));
                (0..4 * PLACES).for_each(|word| places.store(word, 0));
                fence::mbarrier_init();
                fence::proxy_async();
            }
            barrier::block_sync();
            for (steps, sync) in kernel {
                for (_, step) in steps.iter().filter(|&&(thread, _)| thread == me) {
                    match *step {
                        Step::Read { place } => drop(places.load(4 * place + 1)),
                        Step::Write { place } => places.store(4 * place + 1, 1),
                        Step::Fence => fence::proxy_async(),
                        Step::Copy { place, copy } => {
                            Mbarrier::at(8 * copy).arrive_expect_tx(16);
                            bulk::copy(places.byte(16 * place), source.item(0), 16, Mbarrier::at(8 * copy));
                        }
                        Step::Wait { copy } => Mbarrier::at(8 * copy).wait(0),
                    }
                }
                match *sync {
                    Sync::Block => barrier::block_sync(),
                    Sync::Warp(warp) if warp == thread::warp() => barrier::warp_sync(),
                    Sync::None | Sync::Warp(_) => {}
                }
            }
            barrier::block_sync();
            let copies = kernel.iter().flat_map(|(steps, _)| steps).filter_map(|(_, step)| match step {
                Step::Copy { copy, .. } => Some(copy),
                _ => None,
            });
            copies.filter(|_| me == 0).for_each(|copy| Mbarrier::at(8 * copy).wait(0));
        }
    });
    reports(result, |fault| {
        matches!(fault, Fault::Race { .. } | Fault::InFlight { .. } | Fault::ProxyFence { .. })
    })
}

#[test]
fn the_executor_reports_exactly_the_kernels_whose_copies_are_not_ordered() {
    compare(3000, random_kernel, oracle, executor);
}
