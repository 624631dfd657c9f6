//! A verifier on a GPU: the stages of a step, each launched by itself on the caller's stream.

mod accept;
mod scorer;
mod side;
mod workspace;

use self::scorer::Scorer;
pub use self::{side::SideStream, workspace::VerifierWorkspace};
use super::{
    accept::AcceptKernel,
    attention::AttentionKernel,
    cache::{AppendKernel, CaptureKernel, CompactKernel},
    context::Context,
    error::CudaError,
    memory::{DeviceBuffer, fill},
    module::ModuleCache,
    select::SelectKernel,
    stream::Stream,
};
use crate::{
    cache::capture::launch::CapturePlan,
    error::{InvalidInput, require_address},
    verifier::{
        AppendRows, AttentionRows, EngineMemory, Gather, Stage, StepBuffers, VerifierPlan,
        role::Role,
        stages::{require_layer, unread},
    },
};

/// The compiled stages of a plan, made once for the caches of an engine. It may be shared by threads: a step's own memory is its
/// [`VerifierWorkspace`] and the arrays that it is told of.
///
/// Launches allocate nothing, do not wait, and can be captured into a graph, alone and together. What one stage leaves and another
/// reads is ordered by the stream, or, on several streams, by events, as [`SideStream`] has them.
#[derive(Debug)]
pub struct Verifier {
    plan: VerifierPlan,
    context: Context,
    memory: EngineMemory,
    target_score: Gather<Scorer>,
    draft_score: Gather<Scorer>,
    selection: SelectKernel,
    append: AppendKernel,
    attention: AttentionKernel,
    full_attention: AttentionKernel,
    acceptance: Option<AcceptKernel>,
    compaction: CompactKernel,
    target_capture: Vec<CaptureKernel>,
    draft_capture: Vec<CaptureKernel>,
    /// The addresses of all layers' key caches, and of their value caches.
    layers: [DeviceBuffer<u64>; 2],
}

const _: () = {
    const fn shared_by_threads<T: Send + Sync>() {}
    shared_by_threads::<Verifier>();
    shared_by_threads::<VerifierWorkspace>();
    shared_by_threads::<ModuleCache>();
};

impl Verifier {
    /// Compiles the plan's kernels, unless `modules` holds them already, for the caches and captured queries at `memory`, and puts
    /// tables of heads and of layers into device memory. Waits for the stream.
    ///
    /// # Errors
    /// Addresses as [`EngineMemory::validate`] refuses them; as [`ModuleCache::kernel`]; [`CudaError::OutOfMemory`].
    pub fn new(
        modules: &ModuleCache,
        stream: &Stream,
        plan: VerifierPlan,
        memory: &EngineMemory,
    ) -> Result<Self, CudaError> {
        let stages = plan.stages();
        memory.validate(stages)?;
        let target_score = plan.target_score().try_map(|score| {
            let (captured, keys) = (&stages.target_captured, &memory.target_keys);
            Scorer::new(modules, stream, score, captured, keys, memory.target_queries)
        })?;
        let draft_score = plan.draft_score().try_map(|score| {
            let (captured, keys) = (&stages.draft_captured, &memory.draft_keys);
            Scorer::new(modules, stream, score, captured, keys, memory.draft_queries)
        })?;
        let captures = |plans: &[CapturePlan]| {
            plans.iter().map(|plan| CaptureKernel::new(modules, plan.clone())).collect::<Result<_, _>>()
        };
        Ok(Self {
            context: modules.context().clone(),
            memory: memory.clone(),
            target_score,
            draft_score,
            selection: SelectKernel::new(modules, plan.selection().clone())?,
            append: AppendKernel::new(modules, plan.append().clone())?,
            attention: AttentionKernel::new(modules, plan.attention().clone())?,
            full_attention: AttentionKernel::new(modules, plan.full_attention().clone())?,
            acceptance: plan.acceptance().map(|plan| AcceptKernel::new(modules, plan.clone())).transpose()?,
            compaction: CompactKernel::new(modules, plan.compaction().clone())?,
            target_capture: captures(plan.target_capture())?,
            draft_capture: captures(plan.draft_capture())?,
            layers: [
                DeviceBuffer::of(stream, &memory.target_keys)?,
                DeviceBuffer::of(stream, &memory.target_values)?,
            ],
            plan,
        })
    }

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &VerifierPlan {
        &self.plan
    }

    /// Gathers this rank's share of the target's map. It depends on the step before alone, so it may run while the draft model
    /// drafts, on a stream of its own.
    ///
    /// # Safety
    /// As [`ScoreKernel::launch`](super::ScoreKernel::launch) for the arrays of `step` and of the verifier's [`EngineMemory`], in `workspace`, of which no two
    /// steps use the same part at a time; this verifier is kept until the launch has ended.
    ///
    /// # Errors
    /// No set depends on the map; an address that is missing or misaligned; a stream of another context; what the driver returns.
    pub unsafe fn score_target(
        &self,
        stream: &Stream,
        workspace: &VerifierWorkspace,
        step: &StepBuffers,
    ) -> Result<(), CudaError> {
        // SAFETY: the caller's promise.
        unsafe { self.score(Role::Target, stream, workspace, step) }
    }

    /// Gathers this rank's share of the draft's map, once the draft model's forwards have left their queries and keys.
    ///
    /// # Safety
    /// As [`score_target`](Self::score_target).
    ///
    /// # Errors
    /// As [`score_target`](Self::score_target).
    pub unsafe fn score_draft(
        &self,
        stream: &Stream,
        workspace: &VerifierWorkspace,
        step: &StepBuffers,
    ) -> Result<(), CudaError> {
        // SAFETY: the caller's promise.
        unsafe { self.score(Role::Draft, stream, workspace, step) }
    }

    /// # Safety
    /// As [`score_target`](Self::score_target).
    unsafe fn score(
        &self,
        role: Role,
        stream: &Stream,
        workspace: &VerifierWorkspace,
        step: &StepBuffers,
    ) -> Result<(), CudaError> {
        let gather = match role {
            Role::Target => &self.target_score,
            Role::Draft => &self.draft_score,
        };
        let scorer = match gather {
            Gather::Unread => return Err(unread(role.score()).into()),
            // SAFETY: the caller's promise.
            Gather::Zero => return unsafe { self.zero(stream, step.map(role)) },
            Gather::Heads(scorer) => scorer,
        };
        let part = workspace.part(role.score())?;
        let buffers = self.plan.score_buffers(role, &scorer.sources, step, part);
        // SAFETY: the caller's promise.
        unsafe { scorer.kernel.launch(stream, &buffers) }
    }

    /// Chooses a set for each sequence from the maps, which under tensor parallelism the caller has summed over the ranks.
    ///
    /// # Safety
    /// As [`SelectKernel::launch`] for the arrays of `step`, likewise.
    ///
    /// # Errors
    /// An address that is missing, misaligned or not asked for; a stream of another context; what the driver returns.
    pub unsafe fn select(
        &self,
        stream: &Stream,
        workspace: &VerifierWorkspace,
        step: &StepBuffers,
    ) -> Result<(), CudaError> {
        let buffers = self.plan.selection_buffers(step, workspace.part(Stage::Selection)?);
        // SAFETY: the caller's promise.
        unsafe { self.selection.launch(stream, &buffers) }
    }

    /// Writes the step's own rows of `layer` behind the confirmed tokens of its caches and, if the problem says so, its queries to
    /// where attention reads them.
    ///
    /// # Safety
    /// As [`AppendKernel::launch`] for the arrays of `step` and `rows` and the layer's caches, likewise.
    ///
    /// # Errors
    /// There is no such layer; an address that is missing, misaligned or not asked for; a stream of another context; what the
    /// driver returns.
    pub unsafe fn append(
        &self,
        stream: &Stream,
        workspace: &VerifierWorkspace,
        layer: u32,
        step: &StepBuffers,
        rows: &AppendRows,
    ) -> Result<(), CudaError> {
        let layer = require_layer(self.plan.stages(), layer)?;
        let part = workspace.part(Stage::Append)?;
        let buffers = self.plan.append_buffers(&self.memory, layer, step, rows, part);
        // SAFETY: the caller's promise.
        unsafe { self.append.launch(stream, &buffers) }
    }

    /// Attention of `layer` over each sequence's set and the step's own rows.
    ///
    /// # Safety
    /// As [`AttentionKernel::launch`] for the arrays of `step` and `rows` and the layer's caches, likewise.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub unsafe fn attention(
        &self,
        stream: &Stream,
        workspace: &VerifierWorkspace,
        layer: u32,
        step: &StepBuffers,
        rows: &AttentionRows,
    ) -> Result<(), CudaError> {
        // SAFETY: the caller's promise.
        unsafe { self.attend(&self.attention, Stage::Attention, stream, workspace, layer, step, rows) }
    }

    /// Attention of `layer` over all confirmed tokens and the step's own rows: what [`attention`](Self::attention) approximates,
    /// without loss. Maps and sets are not looked at.
    ///
    /// # Safety
    /// As [`attention`](Self::attention).
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub unsafe fn full_attention(
        &self,
        stream: &Stream,
        workspace: &VerifierWorkspace,
        layer: u32,
        step: &StepBuffers,
        rows: &AttentionRows,
    ) -> Result<(), CudaError> {
        // SAFETY: the caller's promise.
        unsafe {
            self.attend(&self.full_attention, Stage::FullAttention, stream, workspace, layer, step, rows)
        }
    }

    /// # Safety
    /// As [`attention`](Self::attention).
    #[expect(clippy::too_many_arguments, reason = "those of the two stages that it serves, and which one")]
    unsafe fn attend(
        &self,
        kernel: &AttentionKernel,
        stage: Stage,
        stream: &Stream,
        workspace: &VerifierWorkspace,
        layer: u32,
        step: &StepBuffers,
        rows: &AttentionRows,
    ) -> Result<(), CudaError> {
        let layer = require_layer(self.plan.stages(), layer)?;
        let part = workspace.part(stage)?;
        let buffers = self.plan.attention_buffers(kernel.plan(), &self.memory, layer, step, rows, part);
        // SAFETY: the caller's promise.
        unsafe { kernel.launch(stream, &buffers) }
    }

    /// The share of a rank without heads: a map of zeros.
    ///
    /// # Safety
    /// The map exists, and nothing else uses it meanwhile.
    unsafe fn zero(&self, stream: &Stream, map: u64) -> Result<(), CudaError> {
        require_address("verifier", "map", map, 4)?;
        if stream.context() != &self.context {
            let (required, actual) = (format!("of {:?}", self.context), format!("of {:?}", stream.context()));
            return Err(InvalidInput::new("verifier", "stream", required, actual).into());
        }
        let bytes = 4 * self.plan.stages().selection.map_capacity as usize;
        // SAFETY: the caller's promise.
        unsafe { fill(stream, map, 0, bytes) }
    }
}
