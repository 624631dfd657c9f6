//! The SIMT executor: runs kernels on the host, lane by lane, and checks every access.

mod access;
mod block;
mod clock;
mod collective;
mod copies;
mod history;
mod lane;
mod machine;
mod memory;
mod mma;
pub(crate) mod ops;
mod report;
mod shadow;
mod sites;
mod waiting;

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

/// What is launched.
#[derive(Clone, Copy, Debug)]
pub struct Launch<'a> {
    /// The kernel's name, for reports.
    pub name: &'a str,
    /// Blocks along x, y and z.
    pub grid: [u32; 3],
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
    /// The run ends when a block has performed so many operations.
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

/// Runs a kernel: `body` once for every thread of every block of the grid, the blocks one after another.
///
/// # Errors
/// Everything that the run found wrong.
///
/// # Panics
/// Inside of a kernel, or where the operating system refuses memory for the lanes' stacks.
pub fn run(
    launch: &Launch<'_>,
    memory: &mut Memory,
    options: &Options,
    body: impl Fn(),
) -> Result<Trace, Report> {
    lane::catch_panics();
    let installed = machine::install(|| Machine::new(launch, std::mem::take(memory), options));
    if let Some(fault) = impossible(launch) {
        machine::with(|machine| machine.report_at(0, None, fault));
    } else {
        let [x, y, z] = launch.grid;
        let mut blocks = (0..z).flat_map(|z| (0..y).flat_map(move |y| (0..x).map(move |x| [x, y, z])));
        while let Some(block) = blocks.next()
            && block::run(block, launch.threads, &body).expect("stacks for the lanes of a block")
        {}
    }
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
    [("grid[1]", y), ("grid[2]", z)]
        .into_iter()
        .find(|&(_, size)| size == 0 || size > 65535)
        .map(|(field, size)| fault(field, "from 1 to 65535", size))
}
