//! The state of one launch: its memories, its threads' clocks, copies and pending operations, and its findings.

use std::{cell::RefCell, collections::HashMap, panic::Location};

use super::{
    Launch, Options,
    clock::{self, Clock, Now, Released, Stamp},
    copies::Copies,
    memory::Memory,
    report::{Fault, Finding, Party, Report, Source},
    shadow::Shadow,
    sites::{SiteId, Sites},
    waiting::{Barriers, Thread},
};

/// The block's shared memory.
pub(super) struct SharedMemory {
    pub(super) bytes: Vec<u8>,
    pub(super) shadow: Shadow,
}

/// How many operations of each sort a run has performed, counted per thread (warp-wide ones per warp).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Loads, stores and atomic operations on global memory.
    pub global: u64,
    /// Loads, stores and atomic operations on shared memory.
    pub shared: u64,
    /// Asynchronous copies.
    pub copies: u64,
    /// Warp-wide shuffles.
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
    pub(super) shared: SharedMemory,
    /// Coordinates of the block that runs.
    pub(super) block: [u32; 3],
    pub(super) now: Now,
    /// The thread that runs.
    pub(super) current: u16,
    pub(super) threads: Vec<Thread>,
    pub(super) clocks: Vec<Clock>,
    pub(super) copies: Vec<Copies>,
    pub(super) barriers: Barriers,
    /// What has been released at the atomic variables, by address.
    pub(super) released: HashMap<u64, Released>,
    pub(super) sites: Sites,
    pub(super) counts: Counts,
    findings: Vec<Finding>,
    keys: HashMap<Key, usize>,
    max_findings: usize,
    max_operations: u64,
    /// Operations of the block so far, of each thread.
    operations: u64,
    /// The launch is to end: a finding that nothing can go on after, or too many.
    pub(super) stopped: bool,
}

/// Findings of one kind between the same places are one finding.
type Key = (std::mem::Discriminant<Fault>, Option<Source>, Option<Source>);

impl Machine {
    pub(super) fn new(launch: &Launch<'_>, memory: Memory, options: &Options) -> Self {
        let threads = launch.threads as usize;
        let first = memory.first_block();
        Self {
            kernel: launch.name.to_owned(),
            grid: launch.grid,
            memory,
            shared: SharedMemory { bytes: vec![0; launch.shared_bytes as usize], shadow: Shadow::default() },
            block: [0; 3],
            now: Now { launch: first, block: first },
            current: 0,
            threads: Vec::with_capacity(threads),
            clocks: Vec::new(),
            copies: vec![Copies::default(); threads],
            barriers: Barriers::new(launch.threads),
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

    /// Gets ready for the block at `block`. Its shared memory holds what the last block left there, as on a GPU.
    pub(super) fn begin_block(&mut self, block: [u32; 3], threads: usize) {
        self.block = block;
        self.now.block = self.memory.next_block();
        self.shared.shadow.begin_block(self.now.block);
        self.clocks = clock::start(threads);
        self.threads.clear();
        self.threads.resize_with(threads, Thread::default);
        self.barriers.begin_block();
        self.operations = 0;
    }

    /// What the thread that runs does at `site`.
    pub(super) fn stamp(&self, thread: u16, site: SiteId) -> Stamp {
        Stamp { block: self.now.block, clock: self.clocks[usize::from(thread)].own, thread, site }
    }

    /// Whoever made `stamp`, in this launch.
    pub(super) fn party(&self, stamp: Stamp) -> Party {
        let [x, y, _] = self.grid;
        let block = stamp.block - self.now.launch;
        Party {
            block: [block % x, block / x % y, block / x / y],
            thread: u32::from(stamp.thread),
            source: Some(self.source(stamp.site)),
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
            Fault::Race { other, .. } | Fault::InFlight { other, .. } => other.source.clone(),
            _ => None,
        };
        let key = (std::mem::discriminant(&fault), source.clone(), other);
        if let Some(&known) = self.keys.get(&key) {
            self.findings[known].times += 1;
            return;
        }
        self.keys.insert(key, self.findings.len());
        let party = Party { block: self.block, thread: u32::from(thread), source };
        self.findings.push(Finding { kernel: self.kernel.clone(), party, fault, times: 1 });
        self.stopped |= self.findings.len() >= self.max_findings;
    }

    /// Counts an operation of the thread that runs. Ends the launch if the block has gone on for too long.
    pub(super) fn tick(&mut self, site: SiteId) {
        self.operations += 1;
        if self.operations > self.max_operations {
            self.report(site, Fault::Runaway { limit: self.max_operations });
            self.stopped = true;
        }
    }

    /// The memory, and what became of the launch.
    pub(super) fn finish(self: Box<Self>) -> (Memory, Result<super::Trace, Report>) {
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
