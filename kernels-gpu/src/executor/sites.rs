//! Source locations: short numbers for shadow memory, and the synchronisation sites that a run has met.

use std::{collections::HashMap, fmt, panic::Location};

/// What a synchronisation operation does for memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SyncKind {
    /// `barrier.sync 0`: orders the threads of the block.
    BlockBarrier,
    /// `barrier.sync id, threads`: orders the threads that take part.
    NamedBarrier,
    /// `bar.warp.sync`: orders the lanes of the warp.
    WarpBarrier,
    /// `barrier.cluster.arrive.release`: releases to the threads of the cluster.
    ClusterArrive,
    /// `barrier.cluster.arrive.relaxed`: counts the thread as arrived.
    ClusterArriveRelaxed,
    /// `barrier.cluster.wait.acquire`: acquires what the threads of the cluster have released.
    ClusterWait,
    /// Both: orders the threads of the cluster.
    ClusterBarrier,
    /// `mbarrier.arrive`, with or without bytes to expect: releases to who waits for the phase.
    MbarrierArrive,
    /// `mbarrier.try_wait`: acquires what the phase's arrivals have released, and makes its bulk copies visible.
    MbarrierWait,
    /// `fence.mbarrier_init`: makes initialised mbarriers visible to bulk copies.
    MbarrierInitFence,
    /// `fence.proxy.async`: orders bulk copies and products of warpgroups behind earlier accesses.
    ProxyFence,
    /// `cp.async.commit_group`: closes a group of copies.
    CopyCommit,
    /// `cp.async.wait_group`: makes copies visible to the thread that issued them.
    CopyWait,
    /// `griddepcontrol.wait`: orders the thread behind the launch that its own overlaps.
    GridWait,
    /// The acquire and release of an atomic operation. Dropped, the operation itself still happens, relaxed.
    AtomicOrder,
}

impl SyncKind {
    const fn name(self) -> &'static str {
        match self {
            Self::BlockBarrier => "block barrier",
            Self::NamedBarrier => "named barrier",
            Self::WarpBarrier => "warp barrier",
            Self::ClusterArrive => "arrival at the cluster's barrier",
            Self::ClusterArriveRelaxed => "relaxed arrival at the cluster's barrier",
            Self::ClusterWait => "wait at the cluster's barrier",
            Self::ClusterBarrier => "cluster barrier",
            Self::MbarrierArrive => "arrival at an mbarrier",
            Self::MbarrierWait => "wait for an mbarrier",
            Self::MbarrierInitFence => "fence behind an mbarrier's initialisation",
            Self::ProxyFence => "proxy fence",
            Self::CopyCommit => "commit of asynchronous copies",
            Self::CopyWait => "wait for asynchronous copies",
            Self::GridWait => "wait for the launch before",
            Self::AtomicOrder => "acquire and release of an atomic operation",
        }
    }
}

/// A synchronisation operation of a kernel, by its place in the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Site {
    /// Source file, as the compiler was told it.
    pub file: &'static str,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
    /// What the operation does.
    pub kind: SyncKind,
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}:{}:{}", self.kind.name(), self.file, self.line, self.column)
    }
}

/// The number of a source location within one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct SiteId(u16);

impl SiteId {
    /// Stands where no location is asked for.
    pub(super) const NONE: Self = Self(0);

    /// Its place among the run's locations.
    pub(super) fn index(self) -> usize {
        self.0.into()
    }
}

/// Slots of the cache in front of the table of locations; a power of two.
const CACHE: usize = 256;

/// The source locations of one run.
pub(super) struct Sites {
    locations: Vec<&'static Location<'static>>,
    numbers: HashMap<(&'static str, u32, u32), SiteId>,
    /// The number of the location that last stood at an address, since every access asks for one.
    cache: Box<[(usize, SiteId); CACHE]>,
    syncs: HashMap<Site, u64>,
    dropped: Option<Site>,
}

impl Sites {
    pub(super) fn new(dropped: Option<Site>) -> Self {
        Self {
            locations: Vec::new(),
            numbers: HashMap::new(),
            cache: Box::new([(0, SiteId(0)); CACHE]),
            syncs: HashMap::new(),
            dropped,
        }
    }

    /// The number of `location`. Two `Location`s of one place are one site: inlining duplicates them.
    pub(super) fn number(&mut self, location: &'static Location<'static>) -> SiteId {
        let address = std::ptr::from_ref(location) as usize;
        let slot = (address >> 3) % CACHE;
        let (cached, number) = self.cache[slot];
        if cached == address {
            return number;
        }
        let locations = &mut self.locations;
        let key = (location.file(), location.line(), location.column());
        let number = *self.numbers.entry(key).or_insert_with(|| {
            locations.push(location);
            SiteId(u16::try_from(locations.len() - 1).expect("a kernel has fewer than 65536 operations"))
        });
        self.cache[slot] = (address, number);
        number
    }

    pub(super) fn location(&self, site: SiteId) -> &'static Location<'static> {
        self.locations[site.index()]
    }

    /// All that have a number, in the order of their numbers.
    pub(super) fn locations(&self) -> &[&'static Location<'static>] {
        &self.locations
    }

    /// Notes that a synchronisation operation was met; false if this run drops it.
    pub(super) fn synchronises(&mut self, kind: SyncKind, location: &'static Location<'static>) -> bool {
        let site = Site { file: location.file(), line: location.line(), column: location.column(), kind };
        *self.syncs.entry(site).or_default() += 1;
        self.dropped != Some(site)
    }

    /// The synchronisation sites met and how many threads came by, in source order.
    pub(super) fn into_syncs(self) -> Vec<(Site, u64)> {
        let mut syncs: Vec<_> = self.syncs.into_iter().collect();
        syncs.sort_unstable();
        syncs
    }
}
