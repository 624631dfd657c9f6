//! Checks and times candidates on a GPU: replays of a graph whose launches read inputs in turns.

use std::{
    collections::HashMap,
    num::NonZero,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use dustin::{
    InvalidInput,
    cuda::{
        CudaError, DeviceBuffer, Event, Graph, ModuleCache, Plan, Stream, TimingPolicy, Workspace,
        graph_launches, time_graph,
    },
};
use rand::{SeedableRng, seq::SliceRandom};
use rand_pcg::Pcg64Mcg;

use crate::{
    device::backend::{Preparation, Spoil},
    search::{Bench, Failure},
};

/// Inputs of one problem of one kernel on the device, and what candidates write.
pub(super) trait Side {
    /// A point of the kernel's space.
    type Candidate: Copy + Sync;
    /// The candidate's launch for this side's problem.
    type Plan: Plan;
    /// A plan and its compiled kernels.
    type Kernel;

    /// Plans a candidate's launch.
    ///
    /// # Errors
    /// The candidate cannot serve the problem.
    fn plan(&self, candidate: Self::Candidate) -> Result<Self::Plan, InvalidInput>;

    /// Compiles a plan's kernels, unless `modules` holds them already.
    ///
    /// # Errors
    /// What the driver returns.
    fn compile(modules: &ModuleCache, plan: Self::Plan) -> Result<Self::Kernel, CudaError>;

    /// Inputs that take turns.
    fn turns(&self) -> u32;

    /// Fills what candidates write, in the stream's order, so that what is not written shows.
    ///
    /// # Errors
    /// What the driver returns.
    fn poison(&mut self, stream: &Stream) -> Result<(), CudaError>;

    /// Launches a kernel over the input whose turn it is, or over the one that is judged.
    ///
    /// # Safety
    /// The kernel was compiled of a plan of this side; the workspace was initialised for it; side, kernel and workspace
    /// outlive the launch, and nothing else uses the workspace and what this side writes meanwhile.
    ///
    /// # Errors
    /// What the driver returns.
    unsafe fn launch(
        &self,
        stream: &Stream,
        kernel: &Self::Kernel,
        workspace: &Workspace,
        turn: Option<u32>,
    ) -> Result<(), CudaError>;

    /// Overwrites what candidates write, byte by byte, in the stream's order.
    ///
    /// # Errors
    /// What the driver returns.
    fn spoil(&mut self, stream: &Stream, byte: u8) -> Result<(), CudaError>;

    /// Judges what the launch over the judged input wrote. Waits for the stream.
    ///
    /// # Errors
    /// What differs; the device is lost.
    fn judge(&self, stream: &Stream) -> Result<(), Failure>;
}

/// One problem on one GPU.
pub(super) struct CudaBench<'a, S: Side> {
    modules: &'a ModuleCache,
    stream: &'a Stream,
    candidates: Vec<S::Candidate>,
    awkward: S,
    timed: S,
    /// Bytes that a launch over the timed input moves at the least.
    bytes: u64,
    workspace: DeviceBuffer<u8>,
    graphs: HashMap<usize, Timed<S::Kernel>>,
    spoil: Option<Spoil>,
}

/// A captured series of launches, and what it uses.
struct Timed<K> {
    graph: Graph,
    launches: u32,
    workspace: Workspace,
    // The graph's nodes refer to its module.
    _kernel: K,
}

impl<'a, S: Side + Sync> CudaBench<'a, S> {
    /// Compiles every candidate, if `how` wants that ahead, and has room for their workspaces. A launch over the timed side moves `bytes` at the
    /// least.
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
        let graphs = HashMap::new();
        let spoil = how.spoil;
        let bench = Self { modules, stream, candidates, awkward, timed, bytes, workspace, graphs, spoil };
        if how.ahead {
            bench.compile(how.seed);
        }
        Ok(bench)
    }

    /// Compiles the candidates' kernels, on all threads: one after the other it would take longer than timing them.
    /// What fails fails again when its candidate is checked, and is recorded there.
    fn compile(&self, seed: u64) {
        // Neighbours share a kernel, and would wait for each other.
        let mut order = self.candidates.clone();
        order.shuffle(&mut Pcg64Mcg::seed_from_u64(seed));
        let next = AtomicUsize::new(0);
        let threads = thread::available_parallelism().map_or(1, NonZero::get).min(order.len());
        let (order, timed, modules) = (&order, &self.timed, self.modules);
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

impl<S: Side> CudaBench<'_, S> {
    /// The kernel of a candidate for one of the two problems, and an initialised workspace.
    fn kernel(&self, candidate: usize, side: &S) -> Result<(S::Kernel, Workspace), Failure> {
        let plan =
            side.plan(self.candidates[candidate]).map_err(|error| Failure::Candidate(error.to_string()))?;
        // SAFETY: the memory lives as long as the bench and its graphs, on the device's context; launches of one
        // stream use it one after the other.
        let workspace =
            unsafe { Workspace::borrow(&plan, self.workspace.address(), self.workspace.bytes() as u64) }
                .map_err(|error| Failure::Candidate(error.to_string()))?;
        workspace.initialise(self.stream).map_err(failure)?;
        let kernel = S::compile(self.modules, plan).map_err(failure)?;
        Ok((kernel, workspace))
    }

    /// One launch over a side's judged input into its poisoned output; gives the microseconds that it took.
    fn launch_once(&self, candidate: usize, side: &S) -> Result<f64, Failure> {
        let stream = self.stream;
        let (kernel, workspace) = self.kernel(candidate, side)?;
        let event = || Event::new(stream.context()).map_err(failure);
        let (start, end) = (event()?, event()?);
        start.record(stream).map_err(failure)?;
        // SAFETY: the kernel is of a plan of this side; the workspace was initialised for it; all of it outlives the
        // launch, which is waited for below.
        unsafe { side.launch(stream, &kernel, &workspace, None) }.map_err(failure)?;
        end.record(stream).map_err(failure)?;
        require_no_fault(&workspace, stream)?;
        end.synchronize().and_then(|()| end.microseconds_since(&start)).map_err(failure)
    }

    /// The candidate's graph: as many launches as share its costs, over whole turns of the inputs.
    fn capture(&self, candidate: usize) -> Result<Timed<S::Kernel>, Failure> {
        let (kernel, workspace) = self.kernel(candidate, &self.timed)?;
        let turns = self.timed.turns().max(1);
        let launches = graph_launches(self.bytes, turns);
        let graph = Graph::capture(self.stream, || {
            for launch in 0..launches {
                // SAFETY: side, workspace and kernel live as long as the bench, which owns the graph; launches of the
                // graph run one after the other, or wait for one another before they write.
                unsafe { self.timed.launch(self.stream, &kernel, &workspace, Some(launch % turns))? };
            }
            Ok::<(), CudaError>(())
        })
        .map_err(failure)?;
        Ok(Timed { graph, launches, workspace, _kernel: kernel })
    }
}

impl<S: Side> Bench for CudaBench<'_, S> {
    fn check(&mut self, candidate: usize) -> Result<Option<f64>, Failure> {
        let spoil = self.spoil.filter(|spoil| spoil.candidate == candidate);
        self.awkward.poison(self.stream).map_err(failure)?;
        self.launch_once(candidate, &self.awkward)?;
        judge(&mut self.awkward, self.stream, spoil)?;
        self.timed.poison(self.stream).map_err(failure)?;
        let microseconds = self.launch_once(candidate, &self.timed)?;
        judge(&mut self.timed, self.stream, spoil)?;
        Ok(Some(microseconds))
    }

    fn time(&mut self, candidate: usize, repetitions: u32) -> Result<Vec<f64>, Failure> {
        if !self.graphs.contains_key(&candidate) {
            let timed = self.capture(candidate)?;
            self.graphs.insert(candidate, timed);
        }
        let Some(Timed { graph, launches, workspace, .. }) = self.graphs.get_mut(&candidate) else {
            return Ok(Vec::new());
        };
        // Other candidates lay their parts of the memory out differently.
        workspace.initialise(self.stream).map_err(failure)?;
        let policy = TimingPolicy { warm_up: 1, samples: repetitions };
        // SAFETY: everything captured lives as long as the bench.
        let times = unsafe { time_graph(graph, self.stream, *launches, policy) }.map_err(failure)?;
        require_no_fault(workspace, self.stream)?;
        Ok(times)
    }
}

/// Judges what the last launch over a side wrote, spoiled or not.
fn judge<S: Side>(side: &mut S, stream: &Stream, spoil: Option<Spoil>) -> Result<(), Failure> {
    if let Some(spoil) = spoil {
        side.spoil(stream, spoil.byte).map_err(failure)?;
    }
    side.judge(stream)
}

/// Refuses a candidate whose launches report a fault.
fn require_no_fault(workspace: &Workspace, stream: &Stream) -> Result<(), Failure> {
    match workspace.status(stream).map_err(failure)? {
        None => Ok(()),
        Some((fault, sequence)) => {
            Err(Failure::Candidate(format!("it reports {fault:?} of sequence {sequence} on valid input")))
        }
    }
}

/// What an error says about: this candidate, or the whole device.
pub(super) fn failure(error: CudaError) -> Failure {
    match error {
        CudaError::DeviceLost { .. } => Failure::Device(error.to_string()),
        error => Failure::Candidate(error.to_string()),
    }
}
