//! Acceptance: which drafts each sequence keeps, and its next token.

use std::ffi::c_void;

use dustin::{
    InvalidInput,
    accept::{
        arrays::{AcceptOutput, AcceptStrides, ScoreItems},
        problem::{AcceptProblem, Draft, ScoreKind, ScoreType, Scores},
    },
    cpu::AcceptanceArrays,
    verifier::{Acceptance, AcceptanceBuffers},
};

use super::{
    OPERATION,
    host::HostVerifier,
    stages::Call,
    step::dustin_step,
    workspace::{Workspace, dustin_verifier_workspace},
};
use crate::{
    boundary::call,
    error::{Error, invalid},
    memory::{asked, require_absent, slice, slice_mut},
    operation::device,
    status::dustin_status,
    verifier::create::dustin_verifier,
    versioned::{self, versioned},
    words::{FLAGS, Words, require_reserved, stride_or},
};

/// The item type of a model's scores.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum dustin_score_type {
    /// bfloat16.
    Bf16 = 1,
    /// IEEE half precision.
    F16 = 2,
    /// fp32.
    F32 = 3,
}

/// What a score says of a token.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum dustin_score_kind {
    /// A logit: the token's weight is exp(logit / temperature).
    Logits = 1,
    /// A probability, with the temperature at work already.
    Probabilities = 2,
}

const TYPES: Words<ScoreType> = Words {
    name: "dustin_score_type",
    values: &[
        (dustin_score_type::Bf16 as u32, ScoreType::Bf16),
        (dustin_score_type::F16 as u32, ScoreType::F16),
        (dustin_score_type::F32 as u32, ScoreType::F32),
    ],
};

const KINDS: Words<ScoreKind> = Words {
    name: "dustin_score_kind",
    values: &[
        (dustin_score_kind::Logits as u32, ScoreKind::Logits),
        (dustin_score_kind::Probabilities as u32, ScoreKind::Probabilities),
    ],
};

/// How a verifier accepts drafts: over the target's vocabulary, trees where the mask is one, else chains.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct dustin_acceptance {
    /// sizeof(dustin_acceptance).
    pub struct_size: u32,
    /// Item type of the target's scores, a `dustin_score_type`.
    pub target_type: u32,
    /// What they say, a `dustin_score_kind`.
    pub target_kind: u32,
    /// Item type of the scores that drafts were drawn from; 0 if there are none: then each draft counts as certain.
    pub draft_type: u32,
    /// What they say.
    pub draft_kind: u32,
    /// Rows of them: for chains `max_batch * (rows - 1)`, those of a sequence one behind the other.
    pub draft_rows: u32,
    /// 1 if the drafts behind one row of a tree were drawn without replacement.
    pub without_replacement: u32,
    /// Reserved: 0.
    pub reserved: u32,
}

versioned!(dustin_acceptance { struct_size target_type target_kind } {
    draft_type draft_kind draft_rows without_replacement reserved
});

impl dustin_acceptance {
    /// How drafts are accepted; nothing if `pointer` is null.
    ///
    /// # Safety
    /// `pointer` is null or a struct of the size that its first field says.
    pub(super) unsafe fn read(pointer: *const Self) -> Result<Option<Acceptance>, InvalidInput> {
        if pointer.is_null() {
            return Ok(None);
        }
        // SAFETY: the caller's promise.
        let own = unsafe { versioned::read(OPERATION, "acceptance", pointer)? };
        require_reserved(OPERATION, &[("acceptance.reserved", own.reserved)])?;
        let scores = |[type_field, kind_field]: [&'static str; 2], dtype, kind| {
            Ok::<_, InvalidInput>(Scores {
                dtype: TYPES.read(OPERATION, type_field, dtype)?,
                kind: KINDS.read(OPERATION, kind_field, kind)?,
            })
        };
        let draft = if own.draft_type == 0 {
            None
        } else {
            Some(Draft {
                scores: scores(["draft_type", "draft_kind"], own.draft_type, own.draft_kind)?,
                rows: own.draft_rows,
                without_replacement: FLAGS.read(OPERATION, "without_replacement", own.without_replacement)?,
            })
        };
        let target = scores(["target_type", "target_kind"], own.target_type, own.target_kind)?;
        Ok(Some(Acceptance { target, draft }))
    }
}

/// What acceptance reads and writes, in the context's memory. Strides count items; 0 stands for that of an array without gaps.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct dustin_acceptance_args {
    /// sizeof(dustin_acceptance_args).
    pub struct_size: u32,
    /// Reserved: 0.
    pub reserved: u32,
    /// The target's scores of the rows, `[max_batch * rows, vocabulary]`; aligned to an item, as are the draft's.
    pub target: *const c_void,
    /// The token of each row, int32 `[max_batch * rows]`.
    pub tokens: *const c_void,
    /// Temperature of each sequence, float `[max_batch]`; 0: greedy.
    pub temperatures: *const c_void,
    /// Seed of each sequence, uint64 `[max_batch]`.
    pub seeds: *const c_void,
    /// How many steps have been taken, one uint64, which each launch counts on.
    pub step: *mut c_void,
    /// Accepted drafts of each sequence, int32 `[max_batch]`.
    pub accepted: *mut c_void,
    /// Their tokens and, last, the next pending one, int32 `[max_batch, rows]`; -1 behind it.
    pub emitted: *mut c_void,
    /// Accepted rows, the pending token's first, int32 `[max_batch, rows]`; -1 behind them: what `dustin_accepted` names.
    pub path: *mut c_void,
    /// The last of them, int32 `[max_batch]`: what `dustin_capture_rows` names.
    pub last_rows: *mut c_void,
    /// Confirmed lengths behind the step, int32 `[max_batch]`; not where the step's own stand, if compaction follows.
    pub new_lengths: *mut c_void,
    /// The draft's scores; null unless the problem has them.
    pub draft: *const c_void,
    /// The row of the draft's scores that the drafts behind each row were drawn from, int32 `[max_batch * rows]`; null unless there are such
    /// scores and the mask is a tree.
    pub draft_rows: *const c_void,
    /// The row that each row continues, counted from its sequence's first, int32 `[max_batch * rows]`, -1 for the first; null unless the mask
    /// is a tree.
    pub parents: *const c_void,
    /// From one row of the target's scores to the next.
    pub target_row_stride: u64,
    /// From one row of the draft's scores to the next.
    pub draft_row_stride: u64,
    /// From one sequence's emitted tokens to the next's.
    pub emitted_stride: u64,
    /// From one sequence's path to the next.
    pub path_stride: u64,
}

versioned!(dustin_acceptance_args {
    struct_size reserved target tokens temperatures seeds step accepted emitted path last_rows new_lengths
} { draft draft_rows parents target_row_stride draft_row_stride emitted_stride path_stride });

impl dustin_acceptance_args {
    fn strides(&self, problem: &AcceptProblem) -> AcceptStrides {
        let dense = AcceptStrides::dense(problem);
        AcceptStrides {
            target_row: stride_or(self.target_row_stride, dense.target_row),
            draft_row: stride_or(self.draft_row_stride, dense.draft_row),
            emitted: stride_or(self.emitted_stride, dense.emitted),
            path: stride_or(self.path_stride, dense.path),
        }
    }

    fn buffers(&self, problem: &AcceptProblem) -> AcceptanceBuffers {
        AcceptanceBuffers {
            target: device(self.target),
            draft: device(self.draft),
            draft_rows: device(self.draft_rows),
            tokens: device(self.tokens),
            parents: device(self.parents),
            temperatures: device(self.temperatures),
            seeds: device(self.seeds),
            step: device(self.step),
            accepted: device(self.accepted),
            emitted: device(self.emitted),
            path: device(self.path),
            last_rows: device(self.last_rows),
            new_lengths: device(self.new_lengths),
            strides: self.strides(problem),
        }
    }
}

impl HostVerifier {
    /// # Safety
    /// As `dustin_verifier_score_target`.
    unsafe fn accept(
        &self,
        workspace: &Workspace,
        step: &dustin_step,
        args: &dustin_acceptance_args,
        problem: &AcceptProblem,
    ) -> Result<(), Error> {
        let turn = self.turn(workspace);
        let strides = args.strides(problem);
        strides.validate(problem)?;
        let (batch, rows) = (u64::from(problem.batch), u64::from(problem.total_rows));
        // SAFETY: the caller's promise.
        unsafe {
            let step_arrays = self.step(step)?;
            let target = scores("target", args.target, problem.target.dtype, strides.target_extent(problem))?;
            require_absent(OPERATION, "draft", args.draft, problem.draft.is_some())?;
            let draft = match problem.draft {
                None => None,
                Some(own) => {
                    Some(scores("draft", args.draft, own.scores.dtype, strides.draft_extent(problem))?)
                }
            };
            let named = problem.draft.is_some() && problem.tree;
            let [count]: &mut [u64; 1] = slice_mut(OPERATION, "step", args.step, 1)?
                .try_into()
                .map_err(|_| invalid(OPERATION, "step", "one number", "none"))?;
            let arrays = AcceptanceArrays {
                target,
                draft,
                draft_rows: asked(OPERATION, "draft_rows", args.draft_rows, named, rows)?,
                tokens: slice(OPERATION, "tokens", args.tokens, rows)?,
                parents: asked(OPERATION, "parents", args.parents, problem.tree, rows)?,
                temperatures: slice(OPERATION, "temperatures", args.temperatures, batch)?,
                seeds: slice(OPERATION, "seeds", args.seeds, batch)?,
                step: *count,
                strides,
            };
            let output = AcceptOutput {
                accepted: slice_mut(OPERATION, "accepted", args.accepted, batch)?,
                emitted: slice_mut(OPERATION, "emitted", args.emitted, strides.emitted_extent(problem))?,
                path: slice_mut(OPERATION, "path", args.path, strides.path_extent(problem))?,
                last_rows: slice_mut(OPERATION, "last_rows", args.last_rows, batch)?,
                new_lengths: Some(slice_mut(OPERATION, "new_lengths", args.new_lengths, batch)?),
            };
            turn.run(|verifier| verifier.accept(&step_arrays, &arrays, output))?;
            *count = count.wrapping_add(1);
        }
        Ok(())
    }
}

/// # Safety
/// As [`slice`].
unsafe fn scores<'a>(
    field: &'static str,
    pointer: *const c_void,
    dtype: ScoreType,
    items: u64,
) -> Result<ScoreItems<'a>, InvalidInput> {
    // SAFETY: the caller's promise.
    unsafe {
        match dtype {
            ScoreType::F32 => slice(OPERATION, field, pointer, items).map(ScoreItems::F32),
            ScoreType::Bf16 | ScoreType::F16 => slice(OPERATION, field, pointer, items).map(ScoreItems::Half),
        }
    }
}

/// Finds which drafts each sequence keeps, its next token, and its length behind the step, by the same random numbers on every rank: what
/// `dustin_verifier_compact` and `dustin_verifier_capture_target` then read. An error if the problem has no `dustin_acceptance`.
///
/// # Safety
/// As `dustin_verifier_score_target`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dustin_verifier_accept(
    verifier: *const dustin_verifier,
    workspace: *const dustin_verifier_workspace,
    step: *const dustin_step,
    args: *const dustin_acceptance_args,
    stream: *mut c_void,
) -> dustin_status {
    call(OPERATION, || {
        // SAFETY: the caller's promise, here and below.
        let (own, args) = unsafe {
            (Call::read(verifier, workspace, step, stream)?, versioned::read(OPERATION, "args", args)?)
        };
        require_reserved(OPERATION, &[("reserved", args.reserved)])?;
        let problem = own.verifier.stages().acceptance.ok_or_else(|| {
            invalid(OPERATION, "acceptance", "part of the verifier's problem", "left to the engine")
        })?;
        own.run(
            |verifier, stream, workspace, step| {
                // SAFETY: as above.
                unsafe { verifier.accept(stream, workspace, step, &args.buffers(&problem)) }
            },
            // SAFETY: as above.
            |verifier, workspace, step| unsafe { verifier.accept(workspace, step, &args, &problem) },
        )
    })
}
