//! Where clocks meet other than in a barrier that all wait at: what is released at one place until somebody acquires it.

use std::rc::Rc;

use super::clock::{Clock, Foreign, Knowledge, STARTED, join_clocks, join_cluster, raise};

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
            None if self.known.threads.is_empty() => self.known = Knowledge::clone(&clock.known),
            Some(last) if Rc::ptr_eq(last, &clock.known) => {}
            _ => self.known.join(&clock.known),
        }
        self.last = Some(Rc::clone(&clock.known));
        self.known.threads[thread] = self.known.threads[thread].max(clock.own);
        clock.own += 1;
    }

    /// `thread`, of `threads`, arrives and releases nothing but that it has started.
    pub(super) fn announce(&mut self, thread: usize, threads: usize) {
        self.known.threads.resize(threads, 0);
        self.known.threads[thread] = self.known.threads[thread].max(STARTED);
    }

    /// Ends the gathering and starts the next.
    pub(super) fn complete(&mut self) -> Gathered {
        let Self { known, .. } = std::mem::take(self);
        Gathered { known: Rc::new(known), joined: None }
    }

    /// [`Gathering::complete`], of a phase of an mbarrier, which those who acquire it have waited for then.
    pub(super) fn complete_phase(&mut self, mbarrier: usize, phase: u32) -> Gathered {
        let mut phases = vec![0; mbarrier + 1];
        phases[mbarrier] = phase + 1;
        join_clocks(&mut self.known.phases, &phases.into());
        self.complete()
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

/// What has been released at one atomic variable.
#[derive(Debug, Default)]
pub(super) struct Released {
    threads: Foreign,
    /// The last cluster that released here, and what its threads knew of fences and phases: both mean nothing outside
    /// of it.
    cluster: u32,
    fenced: Rc<[u32]>,
    phases: Rc<[u32]>,
}

impl Released {
    /// `thread` of `cluster` acquires what was released here, and releases what it knows and did.
    pub(super) fn acquire_release(&mut self, cluster: u32, thread: usize, clock: &mut Clock) {
        let known = Rc::make_mut(&mut clock.known);
        for (&other, threads) in &self.threads {
            if other == cluster {
                raise(&mut known.threads, threads);
            } else {
                join_cluster(Rc::make_mut(&mut known.foreign), other, threads);
            }
        }
        for (&other, threads) in known.foreign.iter() {
            join_cluster(&mut self.threads, other, threads);
        }
        let mut threads = known.threads.clone();
        threads[thread] = clock.own;
        join_cluster(&mut self.threads, cluster, &threads.into());
        if self.cluster == cluster {
            join_clocks(&mut known.fenced, &self.fenced);
            join_clocks(&mut known.phases, &self.phases);
        }
        self.cluster = cluster;
        (self.fenced, self.phases) = (Rc::clone(&known.fenced), Rc::clone(&known.phases));
        clock.own += 1;
    }
}
