//! Checks and times candidates on a GPU: replays of a graph whose launches read inputs in turns.

use std::{
    collections::HashMap,
    num::NonZero,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use anyhow::Context as _;
use dustin::{
    attention::{
        arrays::{LogBase, OutputType},
        launch::AttentionPlan,
        problem::AttentionProblem,
        space::Candidate,
        synthetic::{AttentionInput, Rotation, disjoint_sets},
    },
    cuda::{
        AttentionKernel, CudaError, DeviceBuffer, DeviceInput, DeviceItems, DeviceOutput, Graph, Stream,
        TimingPolicy, Workspace, time_graph,
    },
};
use dustin_kernels::registry::{ATTENTION, AttentionVariant};

use super::Cuda;
use crate::{
    device::judge::Case,
    search::{Bench, Failure},
    task::Task,
};

/// The least launches in a graph: events and the graph's own launch cost some microseconds, which they share.
const LAUNCHES: u32 = 32;

/// One problem on one GPU.
pub(super) struct CudaBench<'a> {
    device: &'a Cuda,
    candidates: Vec<Candidate>,
    awkward: Side,
    timed: Side,
    /// Caches beyond that of `timed`.
    more_caches: Vec<DeviceInput>,
    /// Sets for every cache, in turns.
    sets: Vec<DeviceBuffer<i32>>,
    rotation: Rotation,
    workspace: DeviceBuffer<u8>,
    graphs: HashMap<usize, Timed>,
}

/// A case and its arrays on the device.
struct Side {
    case: Case,
    input: DeviceInput,
    output: DeviceOutput,
}

/// A captured series of launches, and what it uses.
struct Timed {
    graph: Graph,
    launches: u32,
    workspace: Workspace,
    // The graph's nodes refer to its module.
    _kernel: AttentionKernel,
}

impl Side {
    fn new(stream: &Stream, mut case: Case) -> Result<Self, CudaError> {
        let (problem, strides) = (case.input.problem, case.input.strides);
        let input = DeviceInput::upload(stream, &problem, &case.input.arrays())?;
        case.drop_caches();
        let output = DeviceOutput::allocate(stream, &problem, &strides, OutputType::Rounded, LogBase::E)?;
        Ok(Self { case, input, output })
    }

    fn problem(&self) -> &AttentionProblem {
        &self.case.input.problem
    }
}

impl<'a> CudaBench<'a> {
    pub(super) fn new(device: &'a Cuda, task: &Task, seed: u64) -> anyhow::Result<Self> {
        let stream = &device.stream;
        let find = |variant: &str| ATTENTION.iter().find(|known| known.id == variant);
        let candidates = (task.points.iter())
            .map(|point| {
                let variant =
                    find(&point.variant).with_context(|| format!("there is no variant {}", point.variant))?;
                Ok(Candidate { variant, splits: point.launch.splits.unwrap_or(1) })
            })
            .collect::<anyhow::Result<Vec<Candidate>>>()?;
        let rotation = Rotation::new(&task.problem, task.context, device.info().l2_bytes);
        let room = || {
            format!(
                "{} needs {} KV caches of {} bytes",
                task.name,
                rotation.caches,
                task.problem.kv.extent() * 4
            )
        };

        let awkward = Side::new(stream, Case::awkward(&task.key, seed)?).with_context(room)?;
        let timed = Side::new(stream, Case::timed(&task.problem, task.context, seed)?).with_context(room)?;
        let more_caches = (1..rotation.caches)
            .map(|cache| {
                let seed = seed.wrapping_add(cache.into());
                let input = AttentionInput::uniform(&task.problem, task.context, seed)?;
                DeviceInput::upload(stream, &task.problem, &input.arrays()).with_context(room)
            })
            .collect::<anyhow::Result<Vec<DeviceInput>>>()?;
        let sets = disjoint_sets(&task.problem, task.context, rotation.sets, seed);
        let sets = sets
            .iter()
            .map(|set| DeviceBuffer::of(stream, set))
            .collect::<Result<_, _>>()
            .with_context(room)?;

        let mut bytes = 0;
        for problem in [&task.problem, awkward.problem()] {
            for candidate in &candidates {
                if let Ok(plan) = AttentionPlan::new(problem, candidate.variant, candidate.splits) {
                    bytes = bytes.max(plan.workspace_bytes());
                }
            }
        }
        let workspace = DeviceBuffer::allocate(stream.context(), bytes as usize).with_context(room)?;
        let graphs = HashMap::new();
        let bench =
            Self { device, candidates, awkward, timed, more_caches, sets, rotation, workspace, graphs };
        bench.compile();
        Ok(bench)
    }

    /// Compiles the candidates' kernels, on all threads: one after the other it would take longer than timing them.
    /// What fails fails again when its candidate is checked, and is recorded there.
    fn compile(&self) {
        let mut variants: Vec<&AttentionVariant> =
            self.candidates.iter().map(|candidate| candidate.variant).collect();
        variants.sort_by_key(|variant| variant.id);
        variants.dedup_by_key(|variant| variant.id);
        let next = AtomicUsize::new(0);
        let threads = thread::available_parallelism().map_or(1, NonZero::get).min(variants.len());
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while let Some(variant) = variants.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let _ = self.device.modules.attention(variant);
                    }
                });
            }
        });
    }

    /// The kernel of a candidate for one of the two problems, and an initialised workspace.
    fn kernel(
        &self,
        candidate: usize,
        problem: &AttentionProblem,
    ) -> Result<(AttentionKernel, Workspace), Failure> {
        let Candidate { variant, splits } = self.candidates[candidate];
        let plan = AttentionPlan::new(problem, variant, splits)
            .map_err(|error| Failure::Candidate(error.to_string()))?;
        // SAFETY: the memory lives as long as the bench and its graphs, on the device's context; launches of one
        // stream use it one after the other.
        let workspace =
            unsafe { Workspace::borrow(&plan, self.workspace.address(), self.workspace.bytes() as u64) }
                .map_err(|error| Failure::Candidate(error.to_string()))?;
        workspace.initialise(&self.device.stream).map_err(failure)?;
        let kernel = AttentionKernel::new(&self.device.modules, plan).map_err(failure)?;
        Ok((kernel, workspace))
    }

    /// One launch over a side's input into its poisoned output, judged.
    fn check_side(&mut self, candidate: usize, side: fn(&mut Self) -> &mut Side) -> Result<(), Failure> {
        let problem = *side(self).problem();
        let (kernel, workspace) = self.kernel(candidate, &problem)?;
        let stream = &self.device.stream;
        let side = side(self);
        side.output.poison(stream).map_err(failure)?;
        let buffers = side.input.buffers(&side.output, &workspace);
        // SAFETY: the arrays are the side's own, of its problem's shape; the workspace was initialised for this plan;
        // all of it outlives the launch, which is waited for below.
        unsafe { kernel.launch(stream, &buffers) }.map_err(failure)?;
        if let Some((fault, sequence)) = workspace.status(stream).map_err(failure)? {
            return Err(Failure::Candidate(format!(
                "it reports {fault:?} of sequence {sequence} on valid input"
            )));
        }
        let output = match &side.output.items {
            DeviceItems::Rounded(items) => items.download(stream).map_err(failure)?,
            DeviceItems::F32(_) => {
                return Err(Failure::Candidate("the output is not of 16-bit items".into()));
            }
        };
        let lse = side.output.lse.as_ref().map(|lse| lse.download(stream)).transpose().map_err(failure)?;
        side.case.judge(&output, lse.as_deref()).map_err(Failure::Candidate)
    }

    /// The candidate's graph: as many launches as share its costs, over whole turns of the inputs.
    fn capture(&self, candidate: usize) -> Result<Timed, Failure> {
        let (kernel, workspace) = self.kernel(candidate, self.timed.problem())?;
        let turns = LAUNCHES.div_ceil(self.rotation.launches());
        let launches = turns * self.rotation.launches();
        let inputs: Vec<&DeviceInput> = std::iter::once(&self.timed.input).chain(&self.more_caches).collect();
        let stream = &self.device.stream;
        let graph = Graph::capture(stream, || {
            for launch in 0..launches as usize {
                let cache = inputs[launch / self.sets.len() % inputs.len()];
                let mut buffers = cache.buffers(&self.timed.output, &workspace);
                buffers.set = self.sets[launch % self.sets.len()].address();
                // SAFETY: the sets have the shape of the input's own; arrays, workspace and kernel live as long as
                // the bench, which owns the graph; launches of the graph run one after the other.
                unsafe { kernel.launch(stream, &buffers)? };
            }
            Ok::<(), CudaError>(())
        })
        .map_err(failure)?;
        Ok(Timed { graph, launches, workspace, _kernel: kernel })
    }
}

impl Bench for CudaBench<'_> {
    fn check(&mut self, candidate: usize) -> Result<(), Failure> {
        self.check_side(candidate, |bench| &mut bench.awkward)?;
        self.check_side(candidate, |bench| &mut bench.timed)
    }

    fn time(&mut self, candidate: usize, repetitions: u32) -> Result<Vec<f64>, Failure> {
        if !self.graphs.contains_key(&candidate) {
            let timed = self.capture(candidate)?;
            self.graphs.insert(candidate, timed);
        }
        let Some(Timed { graph, launches, workspace, .. }) = self.graphs.get_mut(&candidate) else {
            return Ok(Vec::new());
        };
        let stream = &self.device.stream;
        // Other candidates lay their parts of the memory out differently.
        workspace.initialise(stream).map_err(failure)?;
        let policy = TimingPolicy { warm_up: 1, samples: repetitions };
        // SAFETY: everything captured lives as long as the bench.
        let times = unsafe { time_graph(graph, stream, *launches, policy) }.map_err(failure)?;
        match workspace.status(stream).map_err(failure)? {
            None => Ok(times),
            Some((fault, sequence)) => {
                Err(Failure::Candidate(format!("it reports {fault:?} of sequence {sequence} on valid input")))
            }
        }
    }
}

/// What an error says about: this candidate, or the whole device.
fn failure(error: CudaError) -> Failure {
    match error {
        CudaError::DeviceLost { .. } => Failure::Device(error.to_string()),
        error => Failure::Candidate(error.to_string()),
    }
}
