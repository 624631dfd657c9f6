//! The state of one launch: its memories, its threads' clocks, copies and pending operations, and its findings.

use std::{cell::RefCell, collections::HashMap, panic::Location};

use super::{
    Launch, Options,
    clock::{self, Clock, Now, Stamp},
    cluster::Cluster,
    copies::Copies,
    grid::{self, Shape},
    mbarrier::Mbarriers,
    memory::Memory,
    release::Released,
    report::{Fault, Finding, Party, Report, Source},
    shadow::Shadow,
    sites::{SiteId, Sites},
    waiting::{Barriers, Thread},
};

/// A block's shared memory.
#[derive(Debug, Default)]
pub(super) struct SharedMemory {
    pub(super) bytes: Vec<u8>,
    pub(super) shadow: Shadow,
    /// Which atomic operations reach into other blocks, in clusters of more than one; see [`super::remote`].
    pub(super) scopes: Shadow,
}

/// How many operations of each sort a run has performed, counted per thread (warp-wide ones per warp).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Loads, stores and atomic operations on global memory.
    pub global: u64,
    /// Loads, stores and atomic operations on shared memory, of whatever block of the cluster.
    pub shared: u64,
    /// Asynchronous copies, of 16 bytes or in bulk.
    pub copies: u64,
    /// Warp-wide shuffles and votes.
    pub shuffles: u64,
    /// Warp-wide `ldmatrix` loads.
    pub ldmatrix: u64,
    /// Warp-wide matrix products.
    pub mma: u64,
}

/// One launch under way.
pub(super) struct Machine {
    kernel: String,
    pub(super) grid: [u32; 3],
    pub(super) memory: Memory,
    /// The shared memory of each block of the cluster.
    pub(super) shared: Vec<SharedMemory>,
    /// Threads of a block.
    pub(super) block_threads: usize,
    /// The cluster that runs.
    pub(super) cluster: Cluster,
    /// The rank of the block that runs in its cluster.
    pub(super) rank: usize,
    pub(super) now: Now,
    /// The thread that runs, numbered through the cluster as all threads here.
    pub(super) current: u16,
    /// Whether a thread has waited for the launch before.
    pub(super) grid_waited: bool,
    pub(super) threads: Vec<Thread>,
    pub(super) clocks: Vec<Clock>,
    pub(super) copies: Vec<Copies>,
    pub(super) barriers: Barriers,
    pub(super) mbarriers: Mbarriers,
    /// What has been released at the atomic variables, by address.
    pub(super) released: HashMap<u64, Released>,
    pub(super) sites: Sites,
    pub(super) counts: Counts,
    findings: Vec<Finding>,
    keys: HashMap<Key, usize>,
    max_findings: usize,
    max_operations: u64,
    /// Operations of the cluster so far, of each thread.
    operations: u64,
    /// The launch is to end: a finding that nothing can go on after, or too many.
    pub(super) stopped: bool,
}

/// Findings of one kind between the same places are one finding.
type Key = (std::mem::Discriminant<Fault>, Option<Source>, Option<Source>);

impl Machine {
    pub(super) fn new(launch: &Launch<'_>, mut memory: Memory, options: &Options) -> Self {
        let (blocks, block_threads) = (launch.cluster as usize, launch.threads as usize);
        let threads = blocks * block_threads;
        let first = memory.first_cluster();
        let ordered = grid::ordered(&mut memory, launch.overlaps);
        let shared =
            || SharedMemory { bytes: vec![0; launch.shared_bytes as usize], ..SharedMemory::default() };
        Self {
            kernel: launch.name.to_owned(),
            grid: launch.grid,
            memory,
            shared: std::iter::repeat_with(shared).take(blocks).collect(),
            block_threads,
            cluster: Cluster::new(blocks),
            rank: 0,
            now: Now { launch: first, ordered, cluster: first },
            grid_waited: false,
            current: 0,
            threads: Vec::with_capacity(threads),
            clocks: Vec::new(),
            copies: vec![Copies::default(); threads],
            barriers: Barriers::new(blocks, launch.threads),
            mbarriers: Mbarriers::new(blocks),
            released: HashMap::new(),
            sites: Sites::new(options.dropped),
            counts: Counts::default(),
            findings: Vec::new(),
            keys: HashMap::new(),
            max_findings: options.max_findings.max(1),
            max_operations: options.max_operations,
            operations: 0,
            stopped: false,
        }
    }

    /// Gets ready for the cluster whose first block is at `block`. Shared memory holds what the last cluster left there,
    /// as on a GPU.
    pub(super) fn begin_cluster(&mut self, block: [u32; 3]) {
        let threads = self.cluster.blocks() * self.block_threads;
        self.now.cluster = self.memory.next_cluster();
        for shared in &mut self.shared {
            shared.shadow.begin(self.now.cluster);
            shared.scopes.begin(self.now.cluster);
        }
        self.clocks = clock::start(threads, self.now.ordered);
        self.threads.clear();
        self.threads.resize_with(threads, Thread::default);
        self.barriers.begin();
        self.mbarriers.begin();
        self.cluster.begin(block, self.block_threads);
        self.operations = 0;
    }

    /// What the thread that runs does at `site`.
    pub(super) fn stamp(&self, thread: u16, site: SiteId) -> Stamp {
        Stamp { cluster: self.now.cluster, clock: self.clocks[usize::from(thread)].own, thread, site }
    }

    /// Whoever made `stamp`, in this launch or in one that it overlaps.
    pub(super) fn party(&self, stamp: Stamp) -> Party {
        if stamp.cluster < self.now.launch {
            return grid::party(&self.memory, stamp);
        }
        let first = self.shape().block(stamp.cluster - self.now.launch);
        self.member(first, stamp.thread, Some(self.source(stamp.site)))
    }

    /// The thread of the cluster whose first block is at `first`.
    fn member(&self, first: [u32; 3], thread: u16, source: Option<Source>) -> Party {
        self.shape().member(first, thread, source)
    }

    pub(super) fn shape(&self) -> Shape {
        Shape {
            grid: self.grid,
            cluster: self.cluster.blocks() as u32,
            block_threads: self.block_threads as u32,
        }
    }

    pub(super) fn source(&self, site: SiteId) -> Source {
        Source::from(self.sites.location(site))
    }

    /// Notes what the thread that runs has met at `site`.
    pub(super) fn report(&mut self, site: SiteId, fault: Fault) {
        let source = self.source(site);
        self.report_at(self.current, Some(source), fault);
    }

    /// Notes what `thread` has met.
    pub(super) fn report_at(&mut self, thread: u16, source: Option<Source>, fault: Fault) {
        let other = match &fault {
            Fault::Race { other, .. }
            | Fault::InFlight { other, .. }
            | Fault::Scope { other, .. }
            | Fault::ProxyFence { other, .. } => other.source.clone(),
            _ => None,
        };
        let key = (std::mem::discriminant(&fault), source.clone(), other);
        if let Some(&known) = self.keys.get(&key) {
            self.findings[known].times += 1;
            return;
        }
        self.keys.insert(key, self.findings.len());
        let party = self.member(self.cluster.block(0), thread, source);
        self.findings.push(Finding { kernel: self.kernel.clone(), party, fault, times: 1 });
        self.stopped |= self.findings.len() >= self.max_findings;
    }

    /// Counts an operation of the thread that runs. Ends the launch if the cluster has gone on for too long.
    pub(super) fn tick(&mut self, site: SiteId) {
        self.operations += 1;
        if self.operations > self.max_operations {
            self.report(site, Fault::Runaway { limit: self.max_operations });
            self.stopped = true;
        }
    }

    /// The memory, and what became of the launch.
    pub(super) fn finish(mut self: Box<Self>) -> (Memory, Result<super::Trace, Report>) {
        let past = self.past();
        self.memory.past.push(past);
        let result = if self.findings.is_empty() {
            Ok(super::Trace { syncs: self.sites.into_syncs(), counts: self.counts })
        } else {
            Err(Report { findings: self.findings })
        };
        (self.memory, result)
    }
}

thread_local! {
    static MACHINE: RefCell<Option<Box<Machine>>> = const { RefCell::new(None) };
}

/// A machine at work: the device operations of this OS thread work on it while this value lives.
pub(super) struct Installed(());

/// Puts `machine` to work.
///
/// # Panics
/// If one is at work already on this OS thread: kernels launch no kernels.
pub(super) fn install(machine: impl FnOnce() -> Machine) -> Installed {
    MACHINE.with_borrow_mut(|slot| {
        assert!(slot.is_none(), "a kernel cannot launch a kernel");
        *slot = Some(Box::new(machine()));
    });
    Installed(())
}

impl Installed {
    /// Takes the machine back.
    pub(super) fn take(self) -> Box<Machine> {
        MACHINE.take().expect("it is installed while `self` lives")
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        MACHINE.set(None);
    }
}

/// Works on this OS thread's machine.
///
/// # Panics
/// Outside of a launch: device operations have no meaning there.
#[inline]
#[track_caller]
pub(super) fn with<R>(work: impl FnOnce(&mut Machine) -> R) -> R {
    MACHINE.with_borrow_mut(|machine| {
        work(machine.as_deref_mut().expect("device operations run in kernels, under executor::run"))
    })
}

/// Works on this OS thread's machine, at a source location.
#[inline]
#[track_caller]
pub(super) fn at<R>(location: &'static Location<'static>, work: impl FnOnce(&mut Machine, SiteId) -> R) -> R {
    with(|machine| {
        let site = machine.sites.number(location);
        work(machine, site)
    })
}
