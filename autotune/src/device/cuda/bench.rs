//! Checks and times candidates on a GPU: replays of a graph whose launches read inputs in turns.

use std::{
    collections::{HashMap, hash_map::Entry},
    num::NonZero,
    slice,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use dustin::cuda::{
    CudaError, DeviceBuffer, ModuleCache, Plan as _, Stream, TimingPolicy, graph_launches, time_graph,
};
use rand::{SeedableRng, seq::SliceRandom};
use rand_pcg::Pcg64Mcg;

use super::{
    launcher::{Launcher, Series, failure, require_no_fault},
    side::{Side, WrittenOn},
};
use crate::{
    device::{
        backend::{Preparation, Spoil},
        judge::{Case as _, Written as _},
    },
    search::{Bench, Failure},
};

/// The most memory for outputs that are kept apart, in bytes, unless it is that of two of them.
const APART: usize = 256 << 20;

/// One problem on one GPU.
pub(super) struct CudaBench<'a, S: Side> {
    launcher: Launcher<'a, S>,
    awkward: Judged<S>,
    timed: Judged<S>,
    /// Outputs of launches of a series, so that none overwrites what the one before has written.
    apart: Vec<S::Output>,
    graphs: HashMap<usize, Series<S::Kernel>>,
    spoil: Option<Spoil>,
}

/// A side, and what is written there.
struct Judged<S: Side> {
    side: S,
    output: S::Output,
    unwritten: WrittenOn<S>,
}

impl<S: Side> Judged<S> {
    fn new(stream: &Stream, side: S) -> Result<Self, CudaError> {
        let unwritten = side.case().unwritten();
        Ok(Self { output: S::upload(stream, &unwritten)?, side, unwritten })
    }

    /// Launches a candidate once and judges what it wrote, spoiled or not; gives the microseconds that it took.
    fn check(
        &mut self,
        launcher: &Launcher<'_, S>,
        candidate: usize,
        spoil: Option<u8>,
    ) -> Result<f64, Failure> {
        S::renew(launcher.stream, &mut self.output, &self.unwritten).map_err(failure)?;
        let microseconds = launcher.once(&self.side, candidate, &self.output)?;
        let mut written = S::download(launcher.stream, &self.output).map_err(failure)?;
        spoil.into_iter().for_each(|byte| written.spoil(byte));
        self.side.case().judge(&written).map_err(Failure::Candidate)?;
        Ok(microseconds)
    }
}

impl<'a, S: Side + Sync> CudaBench<'a, S> {
    /// Compiles every candidate, if `how` wants that ahead, and has room for their workspaces and outputs. A launch over the
    /// timed side moves `bytes` at the least.
    ///
    /// # Errors
    /// [`CudaError::OutOfMemory`]; what the driver returns.
    pub(super) fn new(
        (modules, stream): (&'a ModuleCache, &'a Stream),
        candidates: Vec<S::Candidate>,
        (awkward, timed): (S, S),
        bytes: u64,
        how: Preparation,
    ) -> Result<Self, CudaError> {
        let mut room = 0;
        for side in [&awkward, &timed] {
            let plans = candidates.iter().filter_map(|&candidate| side.plan(candidate).ok());
            room = room.max(plans.map(|plan| plan.workspace_bytes()).max().unwrap_or(0));
        }
        let workspace = DeviceBuffer::allocate(stream.context(), room as usize)?;
        let launches = graph_launches(bytes, timed.turns());
        let launcher = Launcher { modules, stream, candidates, workspace, launches };
        let (awkward, timed) = (Judged::new(stream, awkward)?, Judged::new(stream, timed)?);
        let affordable = (APART / timed.unwritten.bytes().max(1)).max(2);
        let apart = (0..affordable.min(launches as usize)).map(|_| S::upload(stream, &timed.unwritten));
        let (apart, graphs) = (apart.collect::<Result<_, _>>()?, HashMap::new());
        let bench = Self { launcher, awkward, timed, apart, graphs, spoil: how.spoil };
        if how.ahead {
            bench.compile(how.seed);
        }
        Ok(bench)
    }

    /// Compiles the candidates' kernels, on all threads: one after the other it would take longer than timing them.
    /// What fails fails again when its candidate is checked, and is recorded there.
    fn compile(&self, seed: u64) {
        // Neighbours share a kernel, and would wait for each other.
        let mut order = self.launcher.candidates.clone();
        order.shuffle(&mut Pcg64Mcg::seed_from_u64(seed));
        let next = AtomicUsize::new(0);
        let threads = thread::available_parallelism().map_or(1, NonZero::get).min(order.len());
        let (order, timed, modules) = (&order, &self.timed.side, self.launcher.modules);
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while let Some(&candidate) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                        if let Ok(plan) = timed.plan(candidate) {
                            let _ = S::compile(modules, plan);
                        }
                    }
                });
            }
        });
    }
}

impl<S: Side> Bench for CudaBench<'_, S> {
    fn check(&mut self, candidate: usize) -> Result<Option<f64>, Failure> {
        let spoil = Spoil::of_check(self.spoil, candidate);
        self.awkward.check(&self.launcher, candidate, spoil)?;
        self.timed.check(&self.launcher, candidate, spoil).map(Some)
    }

    fn time(&mut self, candidate: usize, repetitions: u32) -> Result<Vec<f64>, Failure> {
        let Self { launcher, timed, graphs, .. } = self;
        let Series { graph, workspace, .. } = match graphs.entry(candidate) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                place.insert(launcher.capture(&timed.side, candidate, slice::from_ref(&timed.output))?)
            }
        };
        // Other candidates lay their parts of the memory out differently.
        workspace.initialise(launcher.stream).map_err(failure)?;
        let policy = TimingPolicy { warm_up: 1, samples: repetitions };
        // SAFETY: everything captured lives as long as the bench.
        let times =
            unsafe { time_graph(graph, launcher.stream, launcher.launches, policy) }.map_err(failure)?;
        require_no_fault(workspace, launcher.stream)?;
        Ok(times)
    }

    fn confirm(&mut self, candidate: usize) -> Result<(), Failure> {
        let Self { launcher, timed: Judged { side, output, unwritten }, apart, spoil, .. } = self;
        let spoil = Spoil::of_timing(*spoil, candidate);
        // Into one output, as it is timed, a launch hides what the one before has written: hence both.
        launcher.compare(side, candidate, (slice::from_mut(output), unwritten), spoil)?;
        launcher.compare(side, candidate, (apart, unwritten), spoil)
    }
}
