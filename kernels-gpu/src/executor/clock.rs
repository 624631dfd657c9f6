//! Vector clocks: what every thread knows of every other thread.
//!
//! A thread's own component counts its releases (barriers, releasing atomics). Knowledge of others is shared by
//! reference, since after a barrier all its threads know the same: a barrier costs one pass over the threads.
//! The threads of a cluster are numbered through, block by block, and have one clock each; a block that is launched
//! without others is a cluster of its own. What is known of other clusters of the grid stands in a sparse map, which
//! stays empty until an atomic operation at device scope acquires it.
//!
//! Knowledge has two more parts, empty in kernels without bulk copies: which of the threads' accesses lie before a proxy
//! fence, and which phases of each mbarrier have been waited for. Both pass from thread to thread as the rest does, so
//! that a fence counts wherever it stands on the way from an access to a copy.

use std::{collections::BTreeMap, rc::Rc};

use super::sites::SiteId;

/// Who did something, and when by its own clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Running number of the cluster over all launches of a [`Memory`](super::Memory); 0 in an empty stamp.
    pub(super) cluster: u32,
    pub(super) clock: u32,
    /// Number of the thread in its cluster.
    pub(super) thread: u16,
    pub(super) site: SiteId,
}

/// The running numbers that tell this cluster, this launch and earlier launches apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    /// The first cluster of this launch.
    pub(super) launch: u32,
    /// Whatever clusters before this one did is ordered by kernel boundaries.
    pub(super) ordered: u32,
    /// The cluster that runs.
    pub(super) cluster: u32,
}

/// Clocks of other clusters' threads, by the cluster's running number.
pub(super) type Foreign = BTreeMap<u32, Rc<[u32]>>;

/// What a thread knows of others.
#[derive(Clone, Debug, Default)]
pub(super) struct Knowledge {
    pub(super) threads: Vec<u32>,
    pub(super) foreign: Rc<Foreign>,
    /// What clusters before this one did is known, whatever stands in the other fields.
    pub(super) launches: u32,
    /// For each thread of the cluster, its clock at the last of its accesses that a proxy fence lies behind.
    pub(super) fenced: Rc<[u32]>,
    /// For each mbarrier of the cluster, the phases that have been waited for.
    pub(super) phases: Rc<[u32]>,
}

impl Knowledge {
    /// Whether the start, or something else that any of the cluster's `threads` did, is known.
    pub(super) fn has_heard_of(&self, threads: std::ops::Range<usize>) -> bool {
        self.threads[threads].iter().any(|&clock| clock >= STARTED)
    }

    /// Whether what the cluster's `thread` did at `clock` is known.
    pub(super) fn reaches(&self, thread: u16, clock: u32) -> bool {
        self.threads[usize::from(thread)] >= clock
    }

    /// Whether everything that `other` knows is known.
    pub(super) fn includes(&self, other: &Self) -> bool {
        self.threads.iter().zip(&other.threads).all(|(own, other)| own >= other)
            && self.launches >= other.launches
            && (other.foreign.is_empty() || Rc::ptr_eq(&self.foreign, &other.foreign))
            && (other.fenced.is_empty() || Rc::ptr_eq(&self.fenced, &other.fenced))
            && (other.phases.is_empty() || Rc::ptr_eq(&self.phases, &other.phases))
    }

    /// Whether phase `phase` of an mbarrier has been waited for.
    #[inline]
    pub(super) fn has_waited(&self, mbarrier: u32, phase: u32) -> bool {
        self.phases.get(mbarrier as usize).is_some_and(|&phases| phases > phase)
    }

    /// Whether a proxy fence lies between `stamp`, of this cluster, and now.
    pub(super) fn has_fenced(&self, stamp: Stamp) -> bool {
        self.fenced.get(usize::from(stamp.thread)).is_some_and(|&clock| clock >= stamp.clock)
    }

    /// Whether `stamp` happened before, its own thread's program order apart.
    #[inline]
    pub(super) fn covers(&self, stamp: Stamp, now: Now) -> bool {
        if stamp.cluster == now.cluster {
            self.threads[usize::from(stamp.thread)] >= stamp.clock
        } else {
            stamp.cluster < self.launches
                || self
                    .foreign
                    .get(&stamp.cluster)
                    .is_some_and(|threads| threads[usize::from(stamp.thread)] >= stamp.clock)
        }
    }

    pub(super) fn join(&mut self, other: &Self) {
        raise(&mut self.threads, &other.threads);
        self.launches = self.launches.max(other.launches);
        join_clocks(&mut self.fenced, &other.fenced);
        join_clocks(&mut self.phases, &other.phases);
        if !Rc::ptr_eq(&self.foreign, &other.foreign) && !other.foreign.is_empty() {
            let foreign = Rc::make_mut(&mut self.foreign);
            for (&cluster, threads) in other.foreign.iter() {
                join_cluster(foreign, cluster, threads);
            }
        }
    }
}

pub(super) fn raise(clocks: &mut [u32], to: &[u32]) {
    for (clock, &other) in clocks.iter_mut().zip(to) {
        *clock = (*clock).max(other);
    }
}

/// Raises clocks, of which those at the end may be missing, to others.
pub(super) fn join_clocks(own: &mut Rc<[u32]>, other: &Rc<[u32]>) {
    if own.is_empty() {
        *own = Rc::clone(other);
    } else if !Rc::ptr_eq(own, other) && !other.is_empty() {
        let mut joined = own.to_vec();
        joined.resize(joined.len().max(other.len()), 0);
        raise(&mut joined, other);
        *own = joined.into();
    }
}

pub(super) fn join_cluster(foreign: &mut Foreign, cluster: u32, threads: &Rc<[u32]>) {
    match foreign.entry(cluster) {
        std::collections::btree_map::Entry::Vacant(slot) => {
            slot.insert(Rc::clone(threads));
        }
        std::collections::btree_map::Entry::Occupied(mut slot) => {
            if !Rc::ptr_eq(slot.get(), threads) {
                let mut joined = slot.get().to_vec();
                raise(&mut joined, threads);
                slot.insert(joined.into());
            }
        }
    }
}

/// A thread's vector clock.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    pub(super) own: u32,
    pub(super) known: Rc<Knowledge>,
}

impl Clock {
    /// `thread`, whose clock this is, performs a proxy fence: it lies behind all that the thread knows and did.
    pub(super) fn fence(&mut self, thread: usize) {
        let known = Rc::make_mut(&mut self.known);
        let mut before = known.threads.clone();
        before[thread] = self.own;
        join_clocks(&mut known.fenced, &before.into());
        // What the thread does from now on is not behind the fence.
        self.own += 1;
    }

    /// The thread has waited for the launches whose clusters come before `launches`.
    pub(super) fn wait_for_launches(&mut self, launches: u32) {
        Rc::make_mut(&mut self.known).launches = launches;
    }
}

/// A thread's clock at its start, before anything that it does.
pub(super) const STARTED: u32 = 1;

/// The clocks of a cluster's threads when it starts: none knows anything of the others, but of all `launches` before.
pub(super) fn start(threads: usize, launches: u32) -> Vec<Clock> {
    let known = Rc::new(Knowledge { threads: vec![0; threads], launches, ..Knowledge::default() });
    vec![Clock { own: STARTED + 1, known }; threads]
}

/// Lets the `participants` of a barrier know all that any of them knows or did.
pub(super) fn meet(clocks: &mut [Clock], participants: impl Iterator<Item = usize> + Clone) {
    let mut joined = Knowledge::default();
    let mut last: Option<&Rc<Knowledge>> = None;
    for thread in participants.clone() {
        let known = &clocks[thread].known;
        match last {
            None => joined = Knowledge::clone(known),
            // Threads that met before share what they know.
            Some(last) if Rc::ptr_eq(last, known) => {}
            Some(_) => joined.join(known),
        }
        last = Some(known);
    }
    for thread in participants.clone() {
        joined.threads[thread] = clocks[thread].own;
    }
    let joined = Rc::new(joined);
    for thread in participants {
        clocks[thread].own += 1;
        clocks[thread].known = Rc::clone(&joined);
    }
}

/// Whether all these threads know the same of others.
pub(super) fn uniform(clocks: &[Clock]) -> bool {
    clocks.windows(2).all(|pair| Rc::ptr_eq(&pair[0].known, &pair[1].known))
}

/// The threads that receive what an access reads: all of them must be ordered behind the last write.
#[derive(Clone, Copy)]
pub(super) enum Readers<'a> {
    /// The accessing thread alone.
    Thread { thread: u16, known: &'a Knowledge },
    /// All lanes of a warp, from thread `first` on; see [`uniform`].
    Warp { first: u16, clocks: &'a [Clock], uniform: bool },
}

impl<'a> Readers<'a> {
    pub(super) fn thread(thread: u16, clock: &'a Clock) -> Self {
        Self::Thread { thread, known: &clock.known }
    }

    /// Whether `stamp` happened before what all the readers do now.
    #[inline]
    pub(super) fn see(self, stamp: Stamp, now: Now) -> bool {
        match self {
            Self::Thread { thread, known } => {
                (stamp.cluster == now.cluster && stamp.thread == thread) || known.covers(stamp, now)
            }
            // Whoever wrote, another lane reads too.
            Self::Warp { clocks, uniform: true, .. } => clocks[0].known.covers(stamp, now),
            Self::Warp { first, clocks, uniform: false } => (first..).zip(clocks).all(|(lane, clock)| {
                (stamp.cluster == now.cluster && stamp.thread == lane) || clock.known.covers(stamp, now)
            }),
        }
    }

    /// Whether all the readers have waited for phase `phase` of an mbarrier.
    pub(super) fn have_waited(self, mbarrier: u32, phase: u32) -> bool {
        match self {
            Self::Thread { known, .. } => known.has_waited(mbarrier, phase),
            Self::Warp { clocks, .. } => clocks.iter().all(|clock| clock.known.has_waited(mbarrier, phase)),
        }
    }
}
