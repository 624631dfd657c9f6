//! The verifier's handles and structs.

use std::{ffi::c_void, ptr::null_mut};

use dustin::{
    accept::problem::{ScoreKind, ScoreType, Scores},
    geometry::Geometry,
    profile::LayerHeads,
    verifier::{
        Acceptance, AcceptanceBuffers, AcceptedBuffers, AppendRows, AttentionRows, CaptureRows, Draft,
        DraftCache, EngineMemory, Model, Stage, StepBuffers, VerifierProblem,
    },
};
use dustin_c::{
    dustin_acceptance, dustin_acceptance_args, dustin_accepted, dustin_append_rows, dustin_attention_rows,
    dustin_capture_rows, dustin_draft_cache, dustin_engine_memory, dustin_geometry, dustin_layer_heads,
    dustin_model, dustin_rules, dustin_score_kind, dustin_score_type, dustin_stage, dustin_step,
    dustin_verifier, dustin_verifier_create, dustin_verifier_destroy, dustin_verifier_problem,
    dustin_verifier_workspace, dustin_verifier_workspace_create, dustin_verifier_workspace_destroy,
    dustin_verifier_workspace_status,
};
use dustin_kernels::fault::Fault;

use super::{
    Context, address, check, dtype, entries, fallback, log_base, mask, output_type, paged_kv, sized,
};

/// A verifier's problem, with all that its struct points to.
#[derive(Debug)]
pub struct VerifierDescription {
    problem: VerifierProblem,
    geometries: Vec<dustin_geometry>,
    models: Vec<dustin_model>,
    heads: [Vec<dustin_layer_heads>; 2],
    rules: Vec<dustin_rules>,
    acceptance: Vec<dustin_acceptance>,
}

impl VerifierDescription {
    /// The description of `problem`.
    #[must_use]
    pub fn new(problem: &VerifierProblem) -> Self {
        let models = [Some(problem.target), problem.draft.map(|draft| draft.model)].into_iter().flatten();
        let geometries = models.map(|model| geometry(&model.share.geometry())).collect();
        Self {
            problem: problem.clone(),
            geometries,
            models: Vec::new(),
            heads: [Vec::new(), Vec::new()],
            rules: Vec::new(),
            acceptance: problem.acceptance.iter().map(acceptance).collect(),
        }
    }

    /// The struct, valid as long as this is.
    #[must_use]
    pub fn problem(&mut self) -> dustin_verifier_problem {
        let Self { problem, geometries, models, heads, rules, acceptance } = self;
        *models = vec![model(&problem.target, &geometries[0], DraftCache::Complete)];
        models.extend(problem.draft.map(|Draft { model: own, cache }| model(&own, &geometries[1], cache)));
        let own = &problem.rules;
        *heads = [lists(&own.target_heads), lists(&own.draft_heads)];
        *rules = vec![dustin_rules {
            struct_size: sized::<dustin_rules>(),
            k: own.k,
            target_heads: heads[0].as_ptr(),
            draft_heads: heads[1].as_ptr(),
            target_layers: heads[0].len() as u32,
            draft_layers: heads[1].len() as u32,
            m: own.m,
            sinks: own.sinks,
            recent: own.recent,
            pooling: own.pooling,
            block: own.block,
            everything: own.everything,
            without_target: fallback(own.without_target),
            reserved: 0,
        }];
        let limits = &problem.limits;
        dustin_verifier_problem {
            struct_size: sized::<dustin_verifier_problem>(),
            max_batch: limits.max_batch,
            max_total_tokens: limits.max_total_tokens,
            max_length: limits.max_length,
            rows: limits.rows,
            gamma: limits.gamma,
            slots: limits.slots,
            reserved: 0,
            target: &models[0],
            draft: models.get(1).map_or(std::ptr::null(), std::ptr::from_ref),
            rules: &rules[0],
            target_name: std::ptr::null(),
            draft_name: std::ptr::null(),
            mask: mask(problem.mask),
            lse: problem.lse.into(),
            entries: entries(problem.entries),
            copies_queries: problem.copies_queries.into(),
            batch_invariant: problem.batch_invariant.into(),
            reserved_too: 0,
            acceptance: acceptance.first().map_or(std::ptr::null(), std::ptr::from_ref),
        }
    }
}

fn acceptance(own: &Acceptance) -> dustin_acceptance {
    let scores = |scores: Scores| {
        let item = match scores.dtype {
            ScoreType::Bf16 => dustin_score_type::Bf16,
            ScoreType::F16 => dustin_score_type::F16,
            ScoreType::F32 => dustin_score_type::F32,
        };
        let kind = match scores.kind {
            ScoreKind::Logits => dustin_score_kind::Logits,
            ScoreKind::Probabilities => dustin_score_kind::Probabilities,
        };
        (item as u32, kind as u32)
    };
    let (target_type, target_kind) = scores(own.target);
    let (draft_type, draft_kind) = own.draft.map_or((0, 0), |draft| scores(draft.scores));
    dustin_acceptance {
        struct_size: sized::<dustin_acceptance>(),
        target_type,
        target_kind,
        draft_type,
        draft_kind,
        draft_rows: own.draft.map_or(0, |draft| draft.rows),
        without_replacement: own.draft.is_some_and(|draft| draft.without_replacement).into(),
        reserved: 0,
    }
}

fn geometry(own: &Geometry) -> dustin_geometry {
    dustin_geometry {
        struct_size: sized::<dustin_geometry>(),
        layers: own.layers,
        query_heads: own.query_heads,
        kv_heads: own.kv_heads,
        head_dim: own.head_dim,
        hidden: own.hidden,
        intermediate: own.intermediate,
        vocabulary: own.vocabulary,
    }
}

fn model(own: &Model, geometry: &dustin_geometry, cache: DraftCache) -> dustin_model {
    let cache = match cache {
        DraftCache::Complete => dustin_draft_cache::Complete,
        DraftCache::Windowed => dustin_draft_cache::Windowed,
    };
    dustin_model {
        struct_size: sized::<dustin_model>(),
        dtype: dtype(own.dtype),
        geometry,
        kv: paged_kv(&own.kv, own.dtype),
        tp_size: own.share.tp_size(),
        tp_rank: own.share.tp_rank(),
        scale: own.scale,
        draft_cache: cache as u32,
        key_scale: std::ptr::null(),
        value_scale: std::ptr::null(),
    }
}

fn lists(layers: &[LayerHeads]) -> Vec<dustin_layer_heads> {
    let list = |own: &LayerHeads| dustin_layer_heads {
        heads: own.heads.as_ptr(),
        count: own.heads.len() as u32,
        layer: own.layer,
    };
    layers.iter().map(list).collect()
}

/// A verifier's handle, destroyed at the end.
#[derive(Debug)]
pub struct Verifier(*mut dustin_verifier);

// SAFETY: handles are numbers that every thread may use.
unsafe impl Send for Verifier {}
// SAFETY: as above.
unsafe impl Sync for Verifier {}

impl Verifier {
    /// The verifier of `problem`, without a profile, for the caches at `memory`.
    ///
    /// # Errors
    /// It cannot be made.
    ///
    /// # Safety
    /// The memory exists with the problem's shapes as long as the result.
    pub unsafe fn new(
        context: &Context,
        problem: &VerifierProblem,
        memory: &EngineMemory,
    ) -> Result<Self, String> {
        let pointers = |addresses: &[u64]| addresses.iter().map(|&own| address(own)).collect::<Vec<_>>();
        let (keys, values) = (pointers(&memory.target_keys), pointers(&memory.target_values));
        let draft_keys = pointers(&memory.draft_keys);
        let own = dustin_engine_memory {
            struct_size: sized::<dustin_engine_memory>(),
            target_layers: keys.len() as u32,
            target_keys: keys.as_ptr(),
            target_values: values.as_ptr(),
            target_queries: address(memory.target_queries),
            draft_keys: draft_keys.as_ptr().cast::<*const c_void>(),
            draft_queries: address(memory.draft_queries),
            draft_layers: draft_keys.len() as u32,
            reserved: 0,
            key_scales: std::ptr::null(),
            value_scales: std::ptr::null(),
        };
        let (mut description, mut verifier) = (VerifierDescription::new(problem), null_mut());
        let problem = description.problem();
        // SAFETY: the structs are filled, and the memory is the caller's promise.
        check(unsafe {
            dustin_verifier_create(context.handle(), std::ptr::null(), &problem, &own, &mut verifier)
        })?;
        Ok(Self(verifier))
    }

    /// The handle.
    #[must_use]
    pub const fn handle(&self) -> *const dustin_verifier {
        self.0
    }

    /// A workspace in memory of its own.
    ///
    /// # Errors
    /// There is no room.
    ///
    /// # Safety
    /// `stream` is one of the context.
    pub unsafe fn workspace(&self, stream: *mut c_void) -> Result<VerifierSpace, String> {
        let mut space = null_mut();
        // SAFETY: the caller's promise.
        check(unsafe { dustin_verifier_workspace_create(self.0, null_mut(), 0, stream, &mut space) })?;
        Ok(VerifierSpace(space))
    }
}

impl Drop for Verifier {
    fn drop(&mut self) {
        assert_eq!(dustin_verifier_destroy(self.0), dustin_c::dustin_status::Ok, "{}", super::last_error());
    }
}

/// A workspace's handle, destroyed at the end.
#[derive(Debug)]
pub struct VerifierSpace(*mut dustin_verifier_workspace);

impl VerifierSpace {
    /// The handle.
    #[must_use]
    pub const fn handle(&self) -> *const dustin_verifier_workspace {
        self.0
    }

    /// What all stages have found.
    ///
    /// # Errors
    /// What the driver returns.
    ///
    /// # Safety
    /// `stream` is one of the context.
    pub unsafe fn status(&self, stream: *mut c_void) -> Result<Vec<(Stage, Fault, u32)>, String> {
        let mut found = Vec::new();
        for stage in Stage::ALL {
            let (mut fault, mut sequence) = (0, 0);
            let number = stage_number(stage) as u32;
            // SAFETY: the caller's promise.
            check(unsafe {
                dustin_verifier_workspace_status(self.0, number, stream, &mut fault, &mut sequence)
            })?;
            found.extend(
                Fault::parse(u64::from(fault) << 32 | u64::from(sequence))
                    .map(|(fault, at)| (stage, fault, at)),
            );
        }
        Ok(found)
    }
}

impl Drop for VerifierSpace {
    fn drop(&mut self) {
        let status = dustin_verifier_workspace_destroy(self.0);
        assert_eq!(status, dustin_c::dustin_status::Ok, "{}", super::last_error());
    }
}

/// A stage's number in the header.
const fn stage_number(stage: Stage) -> dustin_stage {
    match stage {
        Stage::TargetScore => dustin_stage::TargetScore,
        Stage::DraftCapture => dustin_stage::DraftCapture,
        Stage::DraftScore => dustin_stage::DraftScore,
        Stage::Selection => dustin_stage::Selection,
        Stage::Append => dustin_stage::Append,
        Stage::Attention => dustin_stage::Attention,
        Stage::FullAttention => dustin_stage::FullAttention,
        Stage::Acceptance => dustin_stage::Acceptance,
        Stage::Compaction => dustin_stage::Compaction,
        Stage::TargetCapture => dustin_stage::TargetCapture,
    }
}

/// A step's arrays.
#[must_use]
pub fn step(buffers: &StepBuffers) -> dustin_step {
    dustin_step {
        struct_size: sized::<dustin_step>(),
        reserved: 0,
        lengths: address(buffers.lengths),
        row_starts: address(buffers.row_starts),
        block_table: address(buffers.block_table),
        map_starts: address(buffers.map_starts),
        slots: address(buffers.slots),
        target_map: address(buffers.target_map),
        draft_map: address(buffers.draft_map),
        set: address(buffers.set),
        physical: address(buffers.physical),
        set_sizes: address(buffers.set_sizes),
        masks: address(buffers.masks),
        draft_lengths: address(buffers.draft.lengths),
        draft_block_table: address(buffers.draft.block_table),
        draft_slots: address(buffers.draft.slots),
        table_stride: buffers.table_stride,
        draft_table_stride: buffers.draft.table_stride,
    }
}

/// The rows that a layer appends.
#[must_use]
pub fn append_rows(rows: &AppendRows) -> dustin_append_rows {
    dustin_append_rows {
        struct_size: sized::<dustin_append_rows>(),
        stable: rows.stable.into(),
        key: address(rows.key),
        value: address(rows.value),
        query: address(rows.query),
        query_copy: address(rows.query_copy),
        key_row_stride: rows.strides.key_row,
        key_head_stride: rows.strides.key_head,
        value_row_stride: rows.strides.value_row,
        value_head_stride: rows.strides.value_head,
        query_row_stride: rows.strides.query_row,
        query_head_stride: rows.strides.query_head,
        query_copy_row_stride: rows.strides.query_copy_row,
        query_copy_head_stride: rows.strides.query_copy_head,
    }
}

/// The rows that a layer attends with.
#[must_use]
pub fn attention_rows(rows: &AttentionRows) -> dustin_attention_rows {
    dustin_attention_rows {
        struct_size: sized::<dustin_attention_rows>(),
        output_type: output_type(rows.output_type),
        query: address(rows.query),
        output: address(rows.output),
        lse: address(rows.lse),
        query_row_stride: rows.query_row,
        query_head_stride: rows.query_head,
        output_row_stride: rows.output_row,
        output_head_stride: rows.output_head,
        lse_base: log_base(rows.lse_base),
        stable: rows.stable.into(),
    }
}

/// The rows that were accepted.
#[must_use]
pub fn accepted(buffers: &AcceptedBuffers) -> dustin_accepted {
    dustin_accepted {
        struct_size: sized::<dustin_accepted>(),
        reserved: 0,
        rows: address(buffers.rows),
        counts: address(buffers.counts),
        stride: buffers.stride,
    }
}

/// What acceptance reads and writes.
#[must_use]
pub fn acceptance_args(buffers: &AcceptanceBuffers) -> dustin_acceptance_args {
    dustin_acceptance_args {
        struct_size: sized::<dustin_acceptance_args>(),
        reserved: 0,
        target: address(buffers.target),
        tokens: address(buffers.tokens),
        temperatures: address(buffers.temperatures),
        seeds: address(buffers.seeds),
        step: address(buffers.step),
        accepted: address(buffers.accepted),
        emitted: address(buffers.emitted),
        path: address(buffers.path),
        last_rows: address(buffers.last_rows),
        new_lengths: address(buffers.new_lengths),
        draft: address(buffers.draft),
        draft_rows: address(buffers.draft_rows),
        parents: address(buffers.parents),
        target_row_stride: buffers.strides.target_row,
        draft_row_stride: buffers.strides.draft_row,
        emitted_stride: buffers.strides.emitted,
        path_stride: buffers.strides.path,
    }
}

/// Queries of which some are captured.
#[must_use]
pub fn capture_rows(rows: &CaptureRows) -> dustin_capture_rows {
    dustin_capture_rows {
        struct_size: sized::<dustin_capture_rows>(),
        total_rows: rows.total_rows,
        query: address(rows.query),
        row_starts: address(rows.row_starts),
        rows: address(rows.rows),
        slots: address(rows.slots),
        query_row_stride: rows.query_row,
        query_head_stride: rows.query_head,
    }
}
