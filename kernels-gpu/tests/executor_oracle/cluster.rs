//! Accesses to the shared memory of all blocks of a cluster, in rounds that end with barriers of a block or of the cluster.

use dustin_kernels::{
    executor::{Access, Fault, Memory, Options},
    simt::{Shared, WARP, atomic, barrier, cluster, thread},
};

use crate::{ROUNDS, Random, common::launch_clusters, compare, raise, reports};

const BLOCKS: u32 = 3;
const THREADS: u32 = BLOCKS * WARP;
/// Words of each block's shared memory that the kernels access.
const WORDS: u32 = 8;

/// An access to a word of some block's shared memory.
#[derive(Clone, Copy, Debug)]
struct Touch {
    /// Thread, counted over all blocks.
    thread: u32,
    /// Whose shared memory.
    block: u32,
    word: u32,
    access: Access,
    /// An atomic operation for the thread's own block alone.
    narrow: bool,
}

impl Touch {
    fn own_block(self) -> u32 {
        self.thread / WARP
    }
}

/// What ends a round.
#[derive(Clone, Copy, Debug)]
enum Sync {
    None,
    /// One block's barrier.
    Block(u32),
    /// The cluster's barrier.
    Cluster,
    /// The two halves of the cluster's barrier, with the next round between.
    Halves,
}

type Kernel = Vec<(Vec<Touch>, Sync)>;

fn random_kernel(random: &mut Random) -> Kernel {
    let round = |random: &mut Random| {
        let touches = (0..random.below(4)).map(|_| {
            let thread = random.below(BLOCKS) * WARP + random.below(3);
            let access = [Access::Read, Access::Read, Access::Write, Access::Atomic, Access::Atomic]
                [random.below(5) as usize];
            let narrow = access == Access::Atomic && random.below(3) == 0;
            let block = if narrow { thread / WARP } else { random.below(BLOCKS) };
            Touch { thread, block, word: random.below(WORDS), access, narrow }
        });
        let touches = touches.collect();
        let sync = match random.below(6) {
            0 => Sync::None,
            1 => Sync::Block(random.below(BLOCKS)),
            2 | 3 => Sync::Cluster,
            _ => Sync::Halves,
        };
        (touches, sync)
    };
    (0..ROUNDS).map(|_| round(random)).collect()
}

/// A barrier of a thread range: what each of them has released, and the clocks ticked.
fn release(clocks: &mut [Vec<u32>], members: std::ops::Range<usize>) -> Vec<u32> {
    let mut released = vec![0; clocks.len()];
    for member in members {
        raise(&mut released, &clocks[member]);
        clocks[member][member] += 1;
    }
    released
}

/// Whether two accesses of the kernel conflict with nothing to order them.
fn oracle(kernel: &Kernel) -> bool {
    let threads = THREADS as usize;
    let mut clocks: Vec<Vec<u32>> =
        (0..threads).map(|thread| (0..threads).map(|other| u32::from(thread == other)).collect()).collect();
    let mut past: Vec<(Touch, Vec<u32>)> = Vec::new();
    let mut released: Option<Vec<u32>> = None;
    for (touches, sync) in kernel {
        past.extend(touches.iter().map(|&touch| (touch, clocks[touch.thread as usize].clone())));
        if let Some(released) = released.take() {
            clocks.iter_mut().for_each(|clock| raise(clock, &released));
        }
        let members = match *sync {
            Sync::None => continue,
            Sync::Block(block) => (block * WARP) as usize..((block + 1) * WARP) as usize,
            Sync::Cluster | Sync::Halves => 0..threads,
        };
        let gathered = release(&mut clocks, members.clone());
        if let Sync::Halves = sync {
            released = Some(gathered);
        } else {
            clocks[members].iter_mut().for_each(|clock| raise(clock, &gathered));
        }
    }
    let before = |(a, clock): &(Touch, Vec<u32>), (_, other): &(Touch, Vec<u32>)| {
        other[a.thread as usize] >= clock[a.thread as usize]
    };
    let conflicts = |x: &(Touch, Vec<u32>), y: &(Touch, Vec<u32>)| {
        let (a, b) = (x.0, y.0);
        let atomic = a.access == Access::Atomic
            && b.access == Access::Atomic
            && (a.own_block() == b.own_block() || !(a.narrow || b.narrow));
        let read = a.access == Access::Read && b.access == Access::Read;
        let same = (a.block, a.word) == (b.block, b.word) && a.thread != b.thread;
        same && !atomic && !read && !before(x, y) && !before(y, x)
    };
    past.iter().enumerate().any(|(i, x)| past[..i].iter().any(|y| conflicts(x, y)))
}

/// Whether the executor reports a race, or a scope that is too narrow.
fn executor(kernel: &Kernel) -> bool {
    let result = launch_clusters([1, BLOCKS, WARP], &mut Memory::new(), Options::default(), || {
        let me = cluster::rank() * WARP + thread::thread_index();
        if thread::lane() == 0 {
            for word in 0..WORDS {
                // SAFETY: the first words of shared memory.
                unsafe { Shared::<u32>::at(0).store(word, 0) };
            }
        }
        cluster::sync();
        let mut arrived = false;
        for (touches, sync) in kernel {
            touches.iter().filter(|touch| touch.thread == me).for_each(perform);
            if std::mem::take(&mut arrived) {
                cluster::wait();
            }
            match sync {
                Sync::Block(block) if *block == cluster::rank() => barrier::block_sync(),
                Sync::Cluster => cluster::sync(),
                Sync::Halves => {
                    cluster::arrive();
                    arrived = true;
                }
                Sync::None | Sync::Block(_) => {}
            }
        }
        if arrived {
            cluster::wait();
        }
        cluster::sync();
    });
    reports(result, |fault| matches!(fault, Fault::Race { .. } | Fault::Scope { .. }))
}

fn perform(touch: &Touch) {
    let word = Shared::<u32>::at(4 * touch.word);
    // SAFETY: a word of the first ones of a block's shared memory, while all blocks live.
    unsafe {
        match touch.access {
            Access::Atomic if touch.narrow => atomic::shared_add(word, 0, 1),
            Access::Atomic => atomic::cluster_add(word.of_block(touch.block), 0, 1),
            Access::Read if touch.block == touch.own_block() => drop(word.load(0)),
            Access::Read => drop(word.of_block(touch.block).load(0)),
            Access::Write if touch.block == touch.own_block() => word.store(0, 1),
            Access::Write => word.of_block(touch.block).store(0, 1),
        }
    }
}

#[test]
fn the_executor_reports_exactly_the_kernels_that_race() {
    compare(1500, random_kernel, oracle, executor);
}
