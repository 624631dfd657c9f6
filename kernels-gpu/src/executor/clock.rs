//! Vector clocks: what every thread knows of every other thread.
//!
//! A thread's own component counts its releases (barriers, releasing atomics). Knowledge of others is shared by
//! reference, since after a barrier all its threads know the same: a barrier costs one pass over the threads.
//! The threads of a cluster are numbered through, block by block, and have one clock each; a block that is launched
//! without others is a cluster of its own. What is known of other clusters of the grid stands in a sparse map, which
//! stays empty until an atomic operation at device scope acquires it.

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
    /// The first cluster of this launch: whatever an earlier cluster did is ordered by the kernel boundary.
    pub(super) launch: u32,
    /// The cluster that runs.
    pub(super) cluster: u32,
}

/// Clocks of other clusters' threads, by the cluster's running number.
type Foreign = BTreeMap<u32, Rc<[u32]>>;

/// What a thread knows of others.
#[derive(Clone, Debug, Default)]
pub(super) struct Knowledge {
    threads: Vec<u32>,
    foreign: Rc<Foreign>,
}

impl Knowledge {
    /// Whether something that any of the cluster's `threads` did is known.
    pub(super) fn has_heard_of(&self, threads: std::ops::Range<usize>) -> bool {
        self.threads[threads].iter().any(|&clock| clock > 0)
    }

    /// Whether what the cluster's `thread` did at `clock` is known.
    pub(super) fn reaches(&self, thread: u16, clock: u32) -> bool {
        self.threads[usize::from(thread)] >= clock
    }

    /// Whether everything that `other` knows is known.
    fn includes(&self, other: &Self) -> bool {
        let threads = self.threads.iter().zip(&other.threads).all(|(own, other)| own >= other);
        threads && (other.foreign.is_empty() || Rc::ptr_eq(&self.foreign, &other.foreign))
    }

    /// Whether `stamp` happened before, its own thread's program order apart.
    #[inline]
    pub(super) fn covers(&self, stamp: Stamp, now: Now) -> bool {
        if stamp.cluster == now.cluster {
            self.threads[usize::from(stamp.thread)] >= stamp.clock
        } else {
            stamp.cluster < now.launch
                || self
                    .foreign
                    .get(&stamp.cluster)
                    .is_some_and(|threads| threads[usize::from(stamp.thread)] >= stamp.clock)
        }
    }

    fn join(&mut self, other: &Self) {
        raise(&mut self.threads, &other.threads);
        if !Rc::ptr_eq(&self.foreign, &other.foreign) && !other.foreign.is_empty() {
            let foreign = Rc::make_mut(&mut self.foreign);
            for (&cluster, threads) in other.foreign.iter() {
                join_cluster(foreign, cluster, threads);
            }
        }
    }
}

fn raise(clocks: &mut [u32], to: &[u32]) {
    for (clock, &other) in clocks.iter_mut().zip(to) {
        *clock = (*clock).max(other);
    }
}

fn join_cluster(foreign: &mut Foreign, cluster: u32, threads: &Rc<[u32]>) {
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

/// The clocks of a cluster's threads when it starts: none knows anything of the others.
pub(super) fn start(threads: usize) -> Vec<Clock> {
    let known = Rc::new(Knowledge { threads: vec![0; threads], foreign: Rc::default() });
    vec![Clock { own: 1, known }; threads]
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

/// What the threads that arrive at a barrier have released there, while some are still to come.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    known: Knowledge,
    /// What the last thread knew: threads that met before share what they know.
    last: Option<Rc<Knowledge>>,
}

impl Gathering {
    /// `thread` releases what it knows and did.
    pub(super) fn release(&mut self, thread: usize, clock: &mut Clock) {
        match &self.last {
            None => self.known = Knowledge::clone(&clock.known),
            Some(last) if Rc::ptr_eq(last, &clock.known) => {}
            Some(_) => self.known.join(&clock.known),
        }
        self.last = Some(Rc::clone(&clock.known));
        self.known.threads[thread] = self.known.threads[thread].max(clock.own);
        clock.own += 1;
    }

    /// Ends the gathering and starts the next.
    pub(super) fn complete(&mut self) -> Gathered {
        let Self { known, .. } = std::mem::take(self);
        Gathered { known: Rc::new(known), joined: None }
    }
}

/// What all threads that arrived at a barrier have released there.
#[derive(Debug)]
pub(super) struct Gathered {
    known: Rc<Knowledge>,
    /// What the last thread to acquire it knew before and after: those that met before share that.
    joined: Option<[Rc<Knowledge>; 2]>,
}

impl Gathered {
    /// A thread acquires what has been released.
    pub(super) fn acquire(&mut self, clock: &mut Clock) {
        if let Some([before, after]) = &self.joined
            && Rc::ptr_eq(before, &clock.known)
        {
            clock.known = Rc::clone(after);
            return;
        }
        let before = Rc::clone(&clock.known);
        if self.known.includes(&before) {
            clock.known = Rc::clone(&self.known);
        } else {
            Rc::make_mut(&mut clock.known).join(&self.known);
        }
        self.joined = Some([before, Rc::clone(&clock.known)]);
    }
}

/// Whether all these threads know the same of others.
pub(super) fn uniform(clocks: &[Clock]) -> bool {
    clocks.windows(2).all(|pair| Rc::ptr_eq(&pair[0].known, &pair[1].known))
}

/// What has been released at one atomic variable.
#[derive(Debug, Default)]
pub(super) struct Released(Foreign);

impl Released {
    /// `thread` of `cluster` acquires what was released here, and releases what it knows and did.
    pub(super) fn acquire_release(&mut self, cluster: u32, thread: usize, clock: &mut Clock) {
        let known = Rc::make_mut(&mut clock.known);
        for (&other, threads) in &self.0 {
            if other == cluster {
                raise(&mut known.threads, threads);
            } else {
                join_cluster(Rc::make_mut(&mut known.foreign), other, threads);
            }
        }
        for (&other, threads) in known.foreign.iter() {
            join_cluster(&mut self.0, other, threads);
        }
        let mut threads = known.threads.clone();
        threads[thread] = clock.own;
        join_cluster(&mut self.0, cluster, &threads.into());
        clock.own += 1;
    }
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
}
