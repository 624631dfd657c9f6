//! The SIMT executor: runs kernels on the host, lane by lane, and checks every access.
//!
//! ```
//! use dustin_kernels::{
//!     executor::{self, Launch, Memory, Options},
//!     simt::{Global, thread},
//! };
//!
//! let mut memory = Memory::new();
//! let input = Global::<f32>::at(memory.input(&[1.5_f32; 64]));
//! let output = memory.output(64, f32::NAN);
//! let launch = Launch { name: "double", grid: [2, 1, 1], cluster: 1, overlaps: false, threads: 32, shared_bytes: 0 };
//! let trace = executor::run(&launch, &mut memory, &Options::default(), || {
//!     let index = u64::from(thread::block_x() * 32 + thread::thread_index());
//!     // SAFETY: both arrays hold an item for each thread of the grid.
//!     unsafe { Global::<f32>::at(output).store(index, 2.0 * input.load(index)) };
//! });
//! assert!(trace.is_ok());
//! assert_eq!(memory.read::<f32>(output, 64), [3.0; 64]);
//! ```
//!
//! # Model
//!
//! * **Execution.** Every thread is a coroutine that runs until it meets a barrier or a warp-wide operation. A
//!   warp-wide operation is performed when all 32 lanes have posted the same instruction at the same source
//!   location. A barrier opens when the threads that it names have arrived, wherever in the source they are, since
//!   PTX knows barriers by number. The blocks of a cluster run together, clusters one after another; all count as
//!   concurrent. The cluster's barrier is aligned: a warp arrives, and waits, as a warp-wide operation.
//! * **Order.** An access happens before another if program order, barriers (`barrier.sync`, `bar.warp.sync`,
//!   `barrier.cluster`), the phases of mbarriers, acquire-release atomics and kernel boundaries say so; vector clocks
//!   follow that relation. Shuffles, votes, `ldmatrix`, `mma` and relaxed atomics order nothing. Two accesses of one place race if neither happens before the other,
//!   unless both read or both are atomic, each at a scope that includes the other. That is judged whatever order the threads happened to run in.
//! * **Launches** are ordered one behind the other. One that [overlaps](Launch::overlaps) is ordered behind those before the one
//!   that it overlaps, and behind that one only where a thread has waited for it (`griddepcontrol.wait`), or is ordered behind
//!   a thread that has. The end of a launch that overlaps, and in which no thread waits, says nothing of the launches before:
//!   nor does a wait for it, nor the start of a launch behind it.
//! * **`ldmatrix`** reads each row for all lanes of the warp: the row's last write must happen before what every lane
//!   does, and whoever overwrites the row must be ordered behind the lane that named it.
//! * **Asynchronous copies.** The destination is in flight from the copy's start until the thread that started it has
//!   waited for its group; nobody may touch it meanwhile. The start must be ordered behind earlier accesses of the
//!   destination. At the wait the bytes appear, written by the waiting thread: others need a barrier behind the wait.
//! * **mbarriers.** A phase completes when it lacks neither arrivals nor bytes; who waits for it acquires what its
//!   arrivals released, and its bulk copies. A wait for the phase before the one under way passes at once.
//! * **Bulk copies** write through the asynchronous proxy. Their destination is in flight for everybody who has not
//!   waited for the phase that they complete in, or is not ordered behind somebody who has. The start must be ordered
//!   behind earlier accesses of the destination, with a proxy fence on the way from each write by a thread.
//! * **Other blocks' shared memory** may be accessed while the block lives: behind something that the block did, and
//!   before the end of one of its threads.
//! * **Memory.** Shared memory is unwritten when a block starts. So is an [output](Memory::output); its poison is what a
//!   stray read returns. Allocations lie 2^40 bytes apart.
//! * **Arithmetic.** `mma` multiplies exactly and adds in fp32 in ascending order, each sum rounded to nearest even.
//!
//! # What a clean run says, and what not
//!
//! For the problem that was run, whatever way its threads are scheduled: no access out of bounds, misaligned or to
//! unwritten memory, no data race, no barrier or warp-wide operation that threads miss, no copy that is read early,
//! abandoned or not fenced, no access to a block that may not live, no panic. It says so only as far as control flow and addresses do not depend on the schedule, as they
//! do behind an atomic operation's result. What is found is checked, not searched for: other problems may take other
//! paths.
//!
//! A loop without operations that never ends is not noticed: the run does not end either. The lanes of a run that has
//! been stopped are unwound, as is a lane that panics: destructors run there, and their operations do nothing. A kernel
//! that catches that unwinding and goes on aborts the process.
//!
//! Stricter than a GPU: a thread that has ended does not count as arrived at `barrier.sync 0` or at the cluster's barrier,
//! and lanes must meet at the same line for a shuffle, a warp's or a cluster's barrier. Laxer: bulk copies complete at
//! once, and a write of a copy's source is ordered if it is so behind the copy's start; of all finished blocks' readers of one place the last
//! sixteen are remembered, so that a later block's write is reported if it races with one of them, and may not be if only
//! with others.
//! Values are those of one sequentially consistent execution. Registers, local memory, bank conflicts and time are not
//! modelled.

mod access;
mod bulk;
mod clock;
mod cluster;
mod collective;
mod copies;
mod fault;
mod grid;
mod history;
mod lane;
mod machine;
mod mbarrier;
mod memory;
mod mma;
pub(crate) mod ops;
mod release;
mod remote;
mod report;
mod schedule;
mod shadow;
mod sites;
mod waiting;
mod wgmma;

pub use machine::Counts;
pub use memory::Memory;
pub use report::{Access, Fault, Finding, Party, Place, Report, Source};
pub use sites::{Site, SyncKind};

use crate::simt::WARP;
use machine::Machine;

/// The most threads that a block may have.
const MAX_THREADS: u32 = 1024;
/// The most shared memory that a block may have on any supported GPU, in bytes.
const MAX_SHARED: u32 = 227 * 1024;
/// The most blocks that a cluster may have on any supported GPU; 8 on all of them.
const MAX_CLUSTER: u32 = 16;

/// What is launched.
#[derive(Clone, Copy, Debug)]
pub struct Launch<'a> {
    /// The kernel's name, for reports.
    pub name: &'a str,
    /// Blocks along x, y and z.
    pub grid: [u32; 3],
    /// Blocks of a cluster, along x: 1 to 16, dividing `grid[0]`. 1 is a launch without clusters.
    pub cluster: u32,
    /// Whether it may start before the launch before it on the same memory has ended, as programmatic dependent launches may.
    pub overlaps: bool,
    /// Threads in a block, a multiple of 32 up to 1024.
    pub threads: u32,
    /// Dynamic shared memory of a block, in bytes.
    pub shared_bytes: u32,
}

/// How a run differs from an ordinary one.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// A synchronisation operation that does nothing in this run, to see whether its absence is reported.
    pub dropped: Option<Site>,
    /// The run ends when it has found so much.
    pub max_findings: usize,
    /// The run ends when the threads of a cluster have begun more operations than this, each thread's counted.
    pub max_operations: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { dropped: None, max_findings: 16, max_operations: 1 << 30 }
    }
}

/// What a clean run has met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Every synchronisation operation in the source that some thread came by, in source order, and how many times.
    pub syncs: Vec<(Site, u64)>,
    /// Operations of each sort.
    pub counts: Counts,
}

/// Runs a kernel: `body` once for every thread of every block of the grid, the clusters one after another.
///
/// # Errors
/// Everything that the run found wrong.
///
/// # Panics
/// Inside of a kernel, while the calling thread unwinds, or where the operating system refuses memory for the lanes'
/// stacks.
pub fn run(
    launch: &Launch<'_>,
    memory: &mut Memory,
    options: &Options,
    body: impl Fn(),
) -> Result<Trace, Report> {
    assert!(!std::thread::panicking(), "a thread that unwinds cannot launch a kernel");
    if let Some(fault) = impossible(launch) {
        let party = Party { block: [0; 3], thread: 0, source: None };
        return Err(Report {
            findings: vec![Finding { kernel: launch.name.to_owned(), party, fault, times: 1 }],
        });
    }
    lane::catch_panics();
    let installed = machine::install(|| Machine::new(launch, std::mem::take(memory), options));
    let [x, y, z] = launch.grid;
    let row = move |y, z| (0..x).step_by(launch.cluster as usize).map(move |x| [x, y, z]);
    let mut firsts = (0..z).flat_map(|z| (0..y).flat_map(move |y| row(y, z)));
    let threads = launch.cluster * launch.threads;
    while let Some(first) = firsts.next()
        && schedule::run(first, threads, &body).expect("stacks for the lanes of a cluster")
    {}
    let result;
    (*memory, result) = installed.take().finish();
    result
}

/// What the launch asks for that no GPU gives.
fn impossible(launch: &Launch<'_>) -> Option<Fault> {
    let fault = |field, required, actual: u32| Fault::Launch { field, required, actual: u64::from(actual) };
    let [x, y, z] = launch.grid;
    if launch.threads == 0 || launch.threads > MAX_THREADS || !launch.threads.is_multiple_of(WARP) {
        return Some(fault("threads", "a multiple of 32 from 32 to 1024", launch.threads));
    }
    if launch.shared_bytes > MAX_SHARED {
        return Some(fault("shared_bytes", "at most 232448", launch.shared_bytes));
    }
    if x == 0 || x > i32::MAX as u32 {
        return Some(fault("grid[0]", "from 1 to 2147483647", x));
    }
    for (field, size) in [("grid[1]", y), ("grid[2]", z)] {
        if size == 0 || size > 65535 {
            return Some(fault(field, "from 1 to 65535", size));
        }
    }
    let cluster = launch.cluster;
    (cluster == 0 || cluster > MAX_CLUSTER || !x.is_multiple_of(cluster))
        .then(|| fault("cluster", "from 1 to 16, dividing grid[0]", cluster))
}
