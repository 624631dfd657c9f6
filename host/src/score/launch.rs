//! From a problem and two variants to launches: grids, shared memory, workspace and parameters. Pure, so that the GPU
//! and the executor are launched alike.
//!
//! A job is one launch of a `logits` variant for each source, in order, and one launch of a `fold` variant.

use std::ops::Range;

use dustin_kernels::{
    registry::{FoldVariant, LogitsVariant},
    score::{
        layout::{MAX_CHUNKS, positions},
        params::{self, Cache, Fold, FoldParams, Params, Sequences, Slots},
        smem::COLUMN_GROUP,
    },
    simt::{Global, WARP},
};

pub use crate::limits::WORKSPACE_ALIGNMENT;
use crate::{
    error::{InvalidInput, require_address, require_scale},
    score::{
        arrays::{ScoreStrides, require_own_slots},
        problem::{ScoreProblem, Source},
    },
};

const OPERATION: &str = "score gathering launch";

/// The most splits that a sequence's tokens are divided into.
pub const MAX_SPLITS: u32 = MAX_CHUNKS;

/// The validated launches of two variants for one problem.
#[derive(Clone, Debug)]
pub struct ScorePlan {
    problem: ScoreProblem,
    logits: &'static LogitsVariant,
    fold: &'static FoldVariant,
    splits: u32,
    workspace: WorkspaceLayout,
}

/// Where the parts of a job's workspace lie, in bytes from its start, each aligned to [`WORKSPACE_ALIGNMENT`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkspaceLayout {
    /// The sticky status word, one u64: zeroed by the caller, raised by launches.
    pub status: Range<u64>,
    /// Exponentials of one source after the other, for each column and position: floats, or 16 bits where a KV head has more
    /// than four columns.
    pub exponentials: Range<u64>,
    /// Bases and sums of the chunks, two f32 each, `[batch, group_capacity, 8, MAX_CHUNKS]`, that the sources use in turn; the
    /// second is empty for one source.
    pub sums: [Range<u64>; 2],
}

impl WorkspaceLayout {
    fn new(problem: &ScoreProblem) -> Self {
        let mut end = 0u64;
        let mut part = |bytes: u64| {
            let start = end.next_multiple_of(WORKSPACE_ALIGNMENT);
            end = start + bytes;
            start..end
        };
        // At most 512 columns of less than 2^32 positions, and 65,535 sequences of 256 chunks.
        let groups = u64::from(problem.group_capacity());
        let sums = u64::from(problem.batch) * groups * u64::from(COLUMN_GROUP * MAX_CHUNKS) * 8;
        // Up to four words of 32 bits: as many floats, or eight exponentials of 16 bits.
        let words_log2 = problem.width_log2().min(2);
        let words = (positions(problem.map_capacity, problem.batch) * groups) << words_log2;
        Self {
            status: part(8),
            exponentials: part(words * 4),
            sums: [part(sums), part(if problem.sources.len() > 1 { sums } else { 0 })],
        }
    }

    /// Bytes in all.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.sums[1].end
    }

    /// The bytes that must be zero before the first launch, from the workspace's start: the status word.
    #[must_use]
    pub const fn zeroed_bytes(&self) -> u64 {
        self.status.end
    }
}

/// The addresses of what one source has of its own. The shapes are those of [`params::Source`] and [`Fold`].
#[derive(Clone, Copy, Debug)]
pub struct SourceBuffers {
    /// Captured queries, 16-bit items; aligned to 16 bytes.
    pub query: u64,
    /// Key cache, 16-bit items; aligned to 16 bytes.
    pub key: u64,
    /// What [`Source::groups`] gives, u32.
    pub groups: u64,
    /// What [`Source::group_weights`] gives, f32.
    pub weights: u64,
}

/// The addresses of a job's arrays, and what of it changes from job to job.
#[derive(Clone, Copy, Debug)]
pub struct ScoreBuffers<'a> {
    /// The sources, in the problem's order.
    pub sources: &'a [SourceBuffers],
    /// The slot of each sequence's queries, i32; 0: every sequence has the slot of its own number.
    pub slots: u64,
    /// Physical page numbers, i32.
    pub block_table: u64,
    /// Confirmed lengths, i32.
    pub lengths: u64,
    /// First positions of the parts of the map, i32.
    pub map_starts: u64,
    /// The map, f32.
    pub map: u64,
    /// The workspace; aligned to [`WORKSPACE_ALIGNMENT`].
    pub workspace: u64,
    /// Bytes of the workspace, at least [`ScorePlan::workspace_bytes`].
    pub workspace_bytes: u64,
    /// The softmax scale.
    pub scale: f32,
    /// Distances between rows.
    pub strides: ScoreStrides,
}

impl ScorePlan {
    /// Plans the launches of `logits` and `fold` for `problem`, with the tokens of each sequence divided into `splits`
    /// blocks of `logits`, and into as many blocks of `fold` as have at least as many warps.
    ///
    /// # Errors
    /// The problem is invalid, `logits` is for another element type or head size, or the splits are out of range.
    pub fn new(
        problem: &ScoreProblem,
        logits: &'static LogitsVariant,
        fold: &'static FoldVariant,
        splits: u32,
    ) -> Result<Self, InvalidInput> {
        problem.validate()?;
        if logits.dtype != problem.dtype {
            let (required, actual) = (format!("{:?}", problem.dtype), format!("{:?}", logits.dtype));
            return Err(InvalidInput::new(OPERATION, "variant.dtype", required, actual));
        }
        if logits.head_dim != problem.kv.head_dim {
            let (required, actual) = (problem.kv.head_dim, logits.head_dim);
            return Err(InvalidInput::new(OPERATION, "variant.head_dim", required, actual));
        }
        if !(1..=MAX_SPLITS).contains(&splits) {
            return Err(InvalidInput::new(OPERATION, "splits", format!("from 1 to {MAX_SPLITS}"), splits));
        }
        Ok(Self { problem: problem.clone(), logits, fold, splits, workspace: WorkspaceLayout::new(problem) })
    }

    /// The problem served.
    #[must_use]
    pub const fn problem(&self) -> &ScoreProblem {
        &self.problem
    }

    /// The kernel launched for each source.
    #[must_use]
    pub const fn logits(&self) -> &'static LogitsVariant {
        self.logits
    }

    /// The kernel launched last.
    #[must_use]
    pub const fn fold(&self) -> &'static FoldVariant {
        self.fold
    }

    /// Splits of each sequence's tokens: 1 to [`MAX_SPLITS`].
    #[must_use]
    pub const fn splits(&self) -> u32 {
        self.splits
    }

    /// Blocks of each launch of `logits`: `[splits, batch, 1]`.
    #[must_use]
    pub const fn grid(&self) -> [u32; 3] {
        [self.splits, self.problem.batch, 1]
    }

    /// Threads in a block of `logits`.
    #[must_use]
    pub const fn threads(&self) -> u32 {
        self.logits.tile.threads()
    }

    /// Dynamic shared memory of one block of `logits` for source `source`, in bytes; 0 if there is no such source.
    #[must_use]
    pub fn shared_bytes(&self, source: usize) -> u32 {
        shared_bytes(&self.problem, self.logits, source)
    }

    /// Whether the launch of `logits` for source `source` may start while that of the source before still runs. The first
    /// source's may not: what is launched before it is the caller's.
    #[must_use]
    pub const fn overlaps(&self, source: usize) -> bool {
        self.logits.tile.overlaps && source > 0
    }

    /// Blocks of the launch of `fold`, which may overlap the last source's if its variant [does](FoldVariant::overlaps).
    #[must_use]
    pub const fn fold_grid(&self) -> [u32; 3] {
        [(self.splits * self.logits.tile.warps).div_ceil(self.fold.warps), self.problem.batch, 1]
    }

    /// Threads in a block of `fold`.
    #[must_use]
    pub const fn fold_threads(&self) -> u32 {
        WARP * self.fold.warps
    }

    /// Dynamic shared memory of one block of `fold`, in bytes.
    #[must_use]
    pub fn fold_shared_bytes(&self) -> u32 {
        let last = self.problem.sources.last();
        self.fold.shared_bytes(last.map_or(0, |source| column_groups(&self.problem, source)))
    }

    /// The parts of the workspace.
    #[must_use]
    pub const fn workspace(&self) -> &WorkspaceLayout {
        &self.workspace
    }

    /// Bytes of workspace that a job needs.
    #[must_use]
    pub const fn workspace_bytes(&self) -> u64 {
        self.workspace.bytes()
    }

    /// The parameters of the launch of `logits` for source `source` over `buffers`.
    ///
    /// # Errors
    /// There is no such source, an address is missing or misaligned, the workspace is too small, a stride is not as
    /// documented, or the scale is not finite.
    pub fn params(&self, source: usize, buffers: &ScoreBuffers<'_>) -> Result<Params, InvalidInput> {
        self.validate(buffers)?;
        let problem = &self.problem;
        let (Some(heads), Some(own)) = (problem.sources.get(source), buffers.sources.get(source)) else {
            let required = format!("below {}", problem.sources.len());
            return Err(InvalidInput::new(OPERATION, "source", required, source));
        };
        let before = source.checked_sub(1).map(|before| self.left_by(before, buffers));
        let nothing = Fold { groups: 0, ..self.left_by(source, buffers) };
        Ok(Params {
            sequences: self.sequences(buffers),
            cache: Cache {
                page_stride: problem.kv.page_stride,
                token_stride: problem.kv.token_stride,
                kv_head_stride: problem.kv.kv_head_stride,
                block_table: Global::at(buffers.block_table),
                table_stride: buffers.strides.table,
                pages: problem.kv.pages,
                table_width: problem.table_width,
                page_shift: problem.kv.page_size.trailing_zeros(),
                scale_log2: buffers.scale * std::f32::consts::LOG2_E,
            },
            slots: Slots {
                slots: Global::at(buffers.slots),
                slot_stride: buffers.strides.query_slot,
                token_stride: buffers.strides.query_token,
                head_stride: buffers.strides.query_head,
                capacity: problem.slots,
                tokens: problem.tokens,
            },
            source: params::Source {
                query: Global::at(own.query),
                key: Global::at(own.key),
                groups: Global::at(own.groups),
                kv_groups: kv_groups(problem, heads),
            },
            own: self.left_by(source, buffers),
            before: before.unwrap_or(nothing),
        })
    }

    /// The parameters of the launch of `fold` over `buffers`.
    ///
    /// # Errors
    /// As [`ScorePlan::params`].
    pub fn fold_params(&self, buffers: &ScoreBuffers<'_>) -> Result<FoldParams, InvalidInput> {
        self.validate(buffers)?;
        let last = self.problem.sources.len() - 1;
        Ok(FoldParams { sequences: self.sequences(buffers), last: self.left_by(last, buffers) })
    }

    fn sequences(&self, buffers: &ScoreBuffers<'_>) -> Sequences {
        Sequences {
            lengths: Global::at(buffers.lengths),
            map_starts: Global::at(buffers.map_starts),
            status: Global::at(buffers.workspace + self.workspace.status.start),
            map_capacity: self.problem.map_capacity,
        }
    }

    /// What source `source`, one of the problem's, leaves to be folded.
    fn left_by(&self, source: usize, buffers: &ScoreBuffers<'_>) -> Fold {
        let problem = &self.problem;
        Fold {
            map: Global::at(buffers.map),
            weights: Global::at(buffers.sources[source].weights),
            slots: Global::at(buffers.slots),
            exponentials: Global::at(buffers.workspace + self.workspace.exponentials.start),
            sums: Global::at(buffers.workspace + self.workspace.sums[source % 2].start),
            group_capacity: problem.group_capacity(),
            groups: column_groups(problem, &problem.sources[source]),
            width_log2: problem.width_log2(),
            slot_capacity: problem.slots,
            accumulate: u32::from(source > 0 || problem.accumulate),
        }
    }

    fn validate(&self, buffers: &ScoreBuffers<'_>) -> Result<(), InvalidInput> {
        buffers.strides.validate(&self.problem)?;
        require_scale(OPERATION, buffers.scale)?;
        let required = self.problem.sources.len();
        if buffers.sources.len() != required {
            let required = format!("{required}, as many as the problem's");
            return Err(InvalidInput::new(OPERATION, "sources", required, buffers.sources.len()));
        }
        for source in buffers.sources {
            for (field, address, alignment) in [
                ("query", source.query, 16),
                ("key", source.key, 16),
                ("groups", source.groups, 4),
                ("weights", source.weights, 4),
            ] {
                require_address(OPERATION, field, address, alignment)?;
            }
        }
        if buffers.slots == 0 {
            require_own_slots(&self.problem)?;
        } else {
            require_address(OPERATION, "slots", buffers.slots, 4)?;
        }
        for (field, address, alignment) in [
            ("block_table", buffers.block_table, 4),
            ("lengths", buffers.lengths, 4),
            ("map_starts", buffers.map_starts, 4),
            ("map", buffers.map, 4),
            ("workspace", buffers.workspace, WORKSPACE_ALIGNMENT),
        ] {
            require_address(OPERATION, field, address, alignment)?;
        }
        let required = self.workspace_bytes();
        if buffers.workspace_bytes < required {
            let (required, actual) = (format!("at least {required}"), buffers.workspace_bytes);
            return Err(InvalidInput::new(OPERATION, "workspace_bytes", required, actual));
        }
        Ok(())
    }
}

/// Dynamic shared memory of one block of `logits` for source `source` of a valid problem, in bytes; 0 if there is no such
/// source.
pub(super) fn shared_bytes(problem: &ScoreProblem, logits: &LogitsVariant, source: usize) -> u32 {
    let Some(own) = problem.sources.get(source) else { return 0 };
    let before = source.checked_sub(1).map_or(0, |before| column_groups(problem, &problem.sources[before]));
    logits.shared(kv_groups(problem, own), column_groups(problem, own), before).bytes
}

/// Groups of columns of `source`.
fn column_groups(problem: &ScoreProblem, source: &Source) -> u32 {
    source.column_groups(problem.group(), problem.tokens)
}

/// Distinct KV heads that the heads of `source` read.
fn kv_groups(problem: &ScoreProblem, source: &Source) -> u32 {
    source.by_kv_head(problem.group()).count() as u32
}

#[cfg(test)]
mod tests;
