//! What a caller asks of score gathering, and the operation that is made of it.

use dustin::{
    InvalidInput,
    cpu::{CpuBackend, score::Candidate},
    cuda::{DeviceBuffer, ModuleCache, ScoreKernel, Stream},
    profile::{Choice, Read},
    score::{
        launch::ScorePlan,
        problem::{CapturedHead, ScoreProblem, Source},
    },
    verifier::Served,
};

use super::{
    OPERATION,
    launch::{dustin_score_args, with_sources},
};
use crate::{
    choice,
    context::{Cpu, dustin_context},
    error::Error,
    kind::{self, Kind},
    kv::dustin_paged_kv,
    memory::{Item, slice},
    operation::{Space, dustin_operation},
    profile::dustin_profile,
    status::dustin_status,
    versioned::versioned,
    words::{DTYPES, FLAGS, require_reserved},
};

/// The heads of one layer whose attention is gathered. It is part of other structs and never grows.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct dustin_score_heads {
    /// Query heads of this rank, uint32, ascending.
    pub heads: *const u32,
    /// What the probabilities of each are multiplied by; null for the mean over all heads of all layers and all captured tokens.
    pub weights: *const f32,
    /// Heads.
    pub count: u32,
    /// Reserved: 0.
    pub reserved: u32,
}

// SAFETY: addresses and integers.
unsafe impl Item for dustin_score_heads {}

/// An importance map gathered from the heads of one or more layers of one model:
/// `map[j] (+)= sum over heads of weight * sum over captured tokens of softmax_j(scale * q . k_j)` over each sequence's confirmed
/// positions j.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct dustin_score_problem {
    /// sizeof(dustin_score_problem).
    pub struct_size: u32,
    /// Sequences of the batch: 1 to 65535.
    pub batch: u32,
    /// Positions of the packed map, the most confirmed tokens of the whole batch: 1 to 2^31 - 1.
    pub map_capacity: u32,
    /// Captured query tokens of a sequence: at least 1.
    pub tokens: u32,
    /// Sequences that the buffers of captured queries have room for.
    pub slots: u32,
    /// Query heads of this rank.
    pub query_heads: u32,
    /// Pages of one sequence's block table.
    pub table_width: u32,
    /// Element type of queries, a `dustin_dtype`.
    pub dtype: u32,
    /// The key caches of this rank, each layer's of the same shape.
    pub kv: dustin_paged_kv,
    /// The layers' heads, in host memory: read by the call that creates the operation.
    pub layers: *const dustin_score_heads,
    /// Layers: at least 1.
    pub layer_count: u32,
    /// 1 if the map is added to; 0 if it is replaced.
    pub accumulate: u32,
}

versioned!(dustin_score_problem {
    struct_size batch map_capacity tokens slots query_heads table_width dtype kv layers layer_count
} { accumulate });

/// What a GPU launches.
pub(crate) struct GpuScore {
    pub(super) kernel: ScoreKernel,
    pub(super) tables: Vec<Tables>,
}

/// A layer's heads in device memory.
pub(crate) struct Tables {
    pub(super) groups: DeviceBuffer<u32>,
    pub(super) weights: DeviceBuffer<f32>,
}

impl Kind for dustin_score_problem {
    const OPERATION: &'static str = OPERATION;
    const HANDLE: &'static str = "score operation";
    type Problem = ScoreProblem;
    type Kernel = GpuScore;
    type Candidate = Candidate;
    type Args = dustin_score_args;

    unsafe fn read(&self) -> Result<ScoreProblem, InvalidInput> {
        let dtype = DTYPES.read(OPERATION, "dtype", self.dtype)?;
        // SAFETY: the caller's promise.
        let layers: &[dustin_score_heads] =
            unsafe { slice(OPERATION, "layers", self.layers.cast(), self.layer_count.into())? };
        // SAFETY: as above.
        let heads = |layer: &dustin_score_heads| unsafe {
            slice::<u32>(OPERATION, "layers.heads", layer.heads.cast(), layer.count.into())
        };
        let numbers = layers.iter().map(heads).collect::<Result<Vec<_>, _>>()?;
        let mut sources = Source::mean(&numbers, self.tokens);
        for (source, layer) in sources.iter_mut().zip(layers) {
            require_reserved(OPERATION, &[("layers.reserved", layer.reserved)])?;
            if layer.weights.is_null() {
                continue;
            }
            // SAFETY: as above.
            let weights: &[f32] =
                unsafe { slice(OPERATION, "layers.weights", layer.weights.cast(), layer.count.into())? };
            let weighed = source.heads.iter().zip(weights);
            source.heads = weighed.map(|(own, &weight)| CapturedHead { weight, ..*own }).collect();
        }
        let problem = ScoreProblem {
            batch: self.batch,
            map_capacity: self.map_capacity,
            tokens: self.tokens,
            slots: self.slots,
            query_heads: self.query_heads,
            kv: self.kv.of(OPERATION, dtype)?,
            table_width: self.table_width,
            dtype,
            sources,
            accumulate: FLAGS.read(OPERATION, "accumulate", self.accumulate)?,
        };
        problem.validate()?;
        Ok(problem)
    }

    fn on_gpu(
        modules: &ModuleCache,
        profile: Option<&Read>,
        problem: &ScoreProblem,
    ) -> Result<(GpuScore, Served, Space), Error> {
        let (point, served) = choice::on_gpu(OPERATION, modules, profile, problem, Choice::gpu_score)?;
        let plan = ScorePlan::new(problem, point.logits, point.fold, point.splits)?;
        let (space, tables) = (Space::of(&plan), tables(modules, problem)?);
        Ok((GpuScore { kernel: ScoreKernel::new(modules, plan)?, tables }, served, space))
    }

    fn on_cpu(
        cpu: &Cpu,
        profile: Option<&Read>,
        problem: &ScoreProblem,
    ) -> Result<(Candidate, Served), InvalidInput> {
        choice::on_cpu(OPERATION, cpu, profile, problem, Choice::cpu_score)
    }

    unsafe fn launch(
        GpuScore { kernel, tables }: &GpuScore,
        stream: &Stream,
        problem: &ScoreProblem,
        args: &dustin_score_args,
    ) -> Result<(), Error> {
        // SAFETY: the caller's promise.
        let layers = unsafe { args.layers(problem)? };
        with_sources(layers, tables, |sources| {
            // SAFETY: as above.
            unsafe { kernel.launch(stream, &args.buffers(sources, args.strides(problem))) }
                .map_err(Error::from)
        })
    }

    unsafe fn run(
        candidate: &Candidate,
        backend: &mut CpuBackend,
        problem: &ScoreProblem,
        args: &dustin_score_args,
    ) -> Result<(), Error> {
        // SAFETY: the caller's promise.
        unsafe { args.run(backend, problem, candidate, args.layers(problem)?, args.strides(problem)) }
    }
}

/// Plans score gathering; on a GPU compiles it, puts tables of the heads into device memory, and waits for these. `profile` is null
/// for the built-in choice.
///
/// # Safety
/// `problem` is null or a struct of the size that its first field says, whose lists have as many items as it says; `operation` is
/// null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dustin_score_create(
    context: *const dustin_context,
    profile: *const dustin_profile,
    problem: *const dustin_score_problem,
    operation: *mut *mut dustin_operation,
) -> dustin_status {
    // SAFETY: the caller's promise.
    unsafe { kind::create(context, profile, problem, operation) }
}

/// The tables of each layer's heads, put into device memory on a stream of their own.
fn tables(modules: &ModuleCache, problem: &ScoreProblem) -> Result<Vec<Tables>, Error> {
    let stream = Stream::new(modules.context())?;
    let (group, tokens) = (problem.group(), problem.tokens);
    let of = |source: &Source| {
        Ok(Tables {
            groups: DeviceBuffer::of(&stream, source.groups(group).as_flattened())?,
            weights: DeviceBuffer::of(&stream, source.group_weights(group, tokens).as_flattened())?,
        })
    };
    problem.sources.iter().map(of).collect()
}
