//! From a problem and a variant to a launch: grid, shared memory, workspace and parameters. Pure, so that the GPU and
//! the executor are launched alike.

use std::ops::Range;

use dustin_kernels::{
    attention::{
        params::{Divisor, Params},
        smem::MAX_CLUSTER,
    },
    registry::AttentionVariant,
    simt::Global,
};

pub use crate::limits::WORKSPACE_ALIGNMENT;
use crate::{
    attention::{
        arrays::{AttentionStrides, LogBase, OutputType},
        problem::{AttentionProblem, Confirmed, Entries, Mask},
    },
    error::{InvalidInput, require_address, require_positive_scale},
};

const OPERATION: &str = "attention launch";

/// The most splits that a sequence's tokens are divided into.
pub const MAX_SPLITS: u32 = 64;

/// How each sequence's tokens are divided among blocks, and how these merge what they have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Splits {
    /// Blocks that share a sequence's tokens: 1 to [`MAX_SPLITS`].
    pub count: u32,
    /// Where they merge.
    pub merge: Merge,
}

/// Where the splits of a sequence merge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Merge {
    /// In global memory, the launch's workspace: the last split merges all.
    Memory,
    /// In shared memory, as the 2 to [`MAX_CLUSTER`] blocks of a cluster: each merges a part of all. Variants that
    /// [can](dustin_kernels::attention::config::Tile::clusters).
    Cluster,
}

impl From<u32> for Splits {
    /// So many splits that merge in global memory.
    fn from(count: u32) -> Self {
        Self { count, merge: Merge::Memory }
    }
}

impl Splits {
    /// So many splits that are a cluster.
    #[must_use]
    pub const fn of_cluster(count: u32) -> Self {
        Self { count, merge: Merge::Cluster }
    }

    /// Blocks of a cluster: 1 where there are none.
    #[must_use]
    pub const fn cluster(self) -> u32 {
        match self.merge {
            Merge::Memory => 1,
            Merge::Cluster => self.count,
        }
    }

    /// Whether parts of a sequence meet in global memory.
    const fn need_memory(self) -> bool {
        self.count > 1 && matches!(self.merge, Merge::Memory)
    }

    fn validate(self, variant: &AttentionVariant) -> Result<(), InvalidInput> {
        if !(1..=MAX_SPLITS).contains(&self.count) {
            let required = format!("from 1 to {MAX_SPLITS}");
            return Err(InvalidInput::new(OPERATION, "splits", required, self.count));
        }
        if self.merge == Merge::Memory {
            return Ok(());
        }
        if !variant.tile.clusters(variant.head_dim) {
            let required = format!("none, as {} has no clusters", variant.id);
            return Err(InvalidInput::new(OPERATION, "cluster", required, self.count));
        }
        if !(2..=MAX_CLUSTER).contains(&self.count) {
            let required = format!("from 2 to {MAX_CLUSTER}");
            return Err(InvalidInput::new(OPERATION, "cluster", required, self.count));
        }
        Ok(())
    }
}

/// A validated launch of one variant for one problem.
#[derive(Clone, Debug)]
pub struct AttentionPlan {
    problem: AttentionProblem,
    variant: &'static AttentionVariant,
    splits: Splits,
    chunks: u32,
    grid: [u32; 3],
    workspace: WorkspaceLayout,
}

/// Where the parts of a launch's workspace lie, in bytes from its start, each aligned to [`WORKSPACE_ALIGNMENT`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkspaceLayout {
    /// The sticky status word, one u64: zeroed by the caller, raised by launches.
    pub status: Range<u64>,
    /// Splits that have finished, u32 `[batch, kv_heads, chunks]`: zeroed once by the caller, zero again after each
    /// launch.
    pub arrivals: Range<u64>,
    /// Maximum and sum of the splits, f32 `[splits, total_rows, query_heads, 2]`; empty where splits do not merge
    /// there.
    pub partial_sums: Range<u64>,
    /// Outputs of the splits, f32 `[splits, total_rows, query_heads, head_dim]`; empty where splits do not merge
    /// there.
    pub partial_output: Range<u64>,
}

impl WorkspaceLayout {
    fn new(problem: &AttentionProblem, chunks: u32, splits: Splits) -> Self {
        let mut end = 0u64;
        let mut part = |bytes: u64| {
            let start = end.next_multiple_of(WORKSPACE_ALIGNMENT);
            end = start + bytes;
            start..end
        };
        let columns = u64::from(problem.total_rows) * u64::from(problem.query_heads);
        let partials = if splits.need_memory() { u64::from(splits.count) * columns } else { 0 };
        Self {
            status: part(8),
            arrivals: part(u64::from(problem.batch) * u64::from(problem.kv.kv_heads) * u64::from(chunks) * 4),
            partial_sums: part(partials * 8),
            partial_output: part(partials * u64::from(problem.kv.head_dim) * 4),
        }
    }

    /// Bytes in all.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.partial_output.end
    }

    /// The bytes that must be zero before the first launch: status word and arrivals, from the workspace's start.
    #[must_use]
    pub const fn zeroed_bytes(&self) -> u64 {
        self.arrivals.end
    }
}

/// The addresses of a launch's arrays, and what of it changes from launch to launch. The shapes are those of
/// [`Params`].
#[derive(Clone, Copy, Debug)]
pub struct AttentionBuffers {
    /// Queries, 16-bit items; aligned to 16 bytes.
    pub query: u64,
    /// Key cache, 16-bit items; aligned to 16 bytes.
    pub key: u64,
    /// Value cache, 16-bit items; aligned to 16 bytes.
    pub value: u64,
    /// Physical page numbers, i32.
    pub block_table: u64,
    /// Confirmed lengths, i32.
    pub lengths: u64,
    /// First query rows, i32.
    pub row_starts: u64,
    /// Entries of the sets, i32; 0 where the problem has none.
    pub set: u64,
    /// Sizes of the sets, i32; 0 where the problem has none.
    pub set_sizes: u64,
    /// Rows that each row sees, u64; 0 unless the problem's mask is a tree.
    pub masks: u64,
    /// Output, of the type `output_type`; aligned to 16 bytes.
    pub output: u64,
    /// Log-sum-exp, f32; 0 unless the problem asks for it.
    pub lse: u64,
    /// The workspace; aligned to [`WORKSPACE_ALIGNMENT`].
    pub workspace: u64,
    /// Bytes of the workspace, at least [`AttentionPlan::workspace_bytes`].
    pub workspace_bytes: u64,
    /// The softmax scale, positive.
    pub scale: f32,
    /// The base of the log-sum-exp.
    pub lse_base: LogBase,
    /// The item type of the output.
    pub output_type: OutputType,
    /// Distances between rows.
    pub strides: AttentionStrides,
    /// Whether what is launched right before on the same stream leaves `lengths`, `row_starts`, `block_table`, `set`, `set_sizes`,
    /// `masks` and the caches' rows that are read as confirmed tokens (those of all confirmed positions, or those that slots name) as they
    /// are, and does not reset the status word, as in all layers of a step but the first. Then a launch of a variant that [overlaps](dustin_kernels::attention::config::Tile::overlaps) may start and read
    /// them while that still runs; queries, the step's own rows, outputs and the rest of the workspace are touched behind its end.
    /// If that launch lets this one start before it has waited for the one before itself, the same holds for that one, which it
    /// waits for before it ends; and so on back to the first that waits before it lets another start, or is let start by nobody.
    /// Where nobody knows: no.
    pub stable: bool,
}

impl AttentionPlan {
    /// Plans the launch of `variant` for `problem` with the tokens of each sequence divided into `splits`: so many that merge in
    /// global memory, or [more precisely](Splits).
    ///
    /// # Errors
    /// The problem is invalid, the variant is for another element type or head size, or the launch would exceed what
    /// a grid can be.
    pub fn new(
        problem: &AttentionProblem,
        variant: &'static AttentionVariant,
        splits: impl Into<Splits>,
    ) -> Result<Self, InvalidInput> {
        let splits = splits.into();
        problem.validate()?;
        if variant.dtype != problem.dtype {
            let (required, actual) = (format!("{:?}", problem.dtype), format!("{:?}", variant.dtype));
            return Err(InvalidInput::new(OPERATION, "variant.dtype", required, actual));
        }
        if variant.head_dim != problem.kv.head_dim {
            let (required, actual) = (problem.kv.head_dim, variant.head_dim);
            return Err(InvalidInput::new(OPERATION, "variant.head_dim", required, actual));
        }
        splits.validate(variant)?;
        let chunks = chunks(problem, variant);
        let blocks_y = u64::from(problem.kv.kv_heads) * u64::from(chunks);
        if blocks_y > 65_535 {
            return Err(InvalidInput::new(OPERATION, "kv_heads · chunks", "at most 65535", blocks_y));
        }
        Ok(Self {
            problem: *problem,
            variant,
            splits,
            chunks,
            grid: [splits.count, blocks_y as u32, problem.batch],
            workspace: WorkspaceLayout::new(problem, chunks, splits),
        })
    }

    /// The problem served.
    #[must_use]
    pub const fn problem(&self) -> &AttentionProblem {
        &self.problem
    }

    /// The kernel launched.
    #[must_use]
    pub const fn variant(&self) -> &'static AttentionVariant {
        self.variant
    }

    /// How each sequence's tokens are divided.
    #[must_use]
    pub const fn splits(&self) -> Splits {
        self.splits
    }

    /// Chunks of query columns that one sequence's rows are divided into.
    #[must_use]
    pub const fn chunks(&self) -> u32 {
        self.chunks
    }

    /// Blocks: `[splits, kv_heads · chunks, batch]`.
    #[must_use]
    pub const fn grid(&self) -> [u32; 3] {
        self.grid
    }

    /// Whether a launch over `buffers` may overlap what is launched before it.
    #[must_use]
    pub const fn overlaps(&self, buffers: &AttentionBuffers) -> bool {
        self.variant.tile.overlaps && buffers.stable
    }

    /// Threads in a block.
    #[must_use]
    pub const fn threads(&self) -> u32 {
        self.variant.tile.threads()
    }

    /// Dynamic shared memory of one block, in bytes.
    #[must_use]
    pub const fn shared_bytes(&self) -> u32 {
        shared_bytes(self.variant, self.splits)
    }

    /// The parts of the workspace.
    #[must_use]
    pub const fn workspace(&self) -> &WorkspaceLayout {
        &self.workspace
    }

    /// Bytes of workspace that a launch needs.
    #[must_use]
    pub const fn workspace_bytes(&self) -> u64 {
        self.workspace.bytes()
    }

    /// The kernel's parameters for a launch over `buffers`.
    ///
    /// # Errors
    /// An address is missing or misaligned, the workspace is too small, a stride is not as documented, the scale is not
    /// positive and finite, or a log-sum-exp is given that the problem does not ask for.
    pub fn params(&self, buffers: &AttentionBuffers) -> Result<Params, InvalidInput> {
        self.validate(buffers)?;
        let problem = &self.problem;
        let places = problem.kv.places(OPERATION)?;
        let sets = problem.sets_per_sequence();
        let (sinks, recent) = match problem.confirmed {
            Confirmed::Window { sinks, recent } => (sinks, recent),
            Confirmed::Everything | Confirmed::Sets(_) => (0, i32::MAX as u32),
        };
        let split =
            |part: &Range<u64>| if self.splits.need_memory() { buffers.workspace + part.start } else { 0 };
        Ok(Params {
            query: Global::at(buffers.query),
            query_row_stride: buffers.strides.query_row,
            query_head_stride: buffers.strides.query_head,
            key: Global::at(buffers.key),
            value: Global::at(buffers.value),
            kv_head_stride: problem.kv.kv_head_stride,
            block_table: Global::at(buffers.block_table),
            table_stride: buffers.strides.table,
            lengths: Global::at(buffers.lengths),
            row_starts: Global::at(buffers.row_starts),
            set: Global::at(buffers.set),
            set_stride: buffers.strides.set,
            // Checked: below 2^32.
            set_head_stride: if sets > 1 { buffers.strides.set_head as u32 } else { 0 },
            set_size_stride: u32::from(sets > 1),
            set_sizes: Global::at(buffers.set_sizes),
            masks: Global::at(buffers.masks),
            output: Global::at(buffers.output),
            output_row_stride: buffers.strides.output_row,
            output_head_stride: buffers.strides.output_head,
            lse: Global::at(buffers.lse),
            partial_output: Global::at(split(&self.workspace.partial_output)),
            partial_sums: Global::at(split(&self.workspace.partial_sums)),
            arrivals: Global::at(split(&self.workspace.arrivals)),
            status: Global::at(buffers.workspace + self.workspace.status.start),
            scale_log2: buffers.scale * std::f32::consts::LOG2_E,
            lse_unit: buffers.lse_base.unit(),
            place_bytes: (2 * places.items) as u32,
            page_places: places.of_page,
            token_places: places.of_token,
            pages: problem.kv.pages,
            table_width: problem.table_width,
            page_shift: problem.kv.page_size.trailing_zeros(),
            group: Divisor::new(problem.group()),
            query_heads: problem.query_heads,
            total_rows: problem.total_rows,
            row_capacity: problem.rows,
            set_capacity: problem.sets().map_or(0, |sets| sets.capacity),
            set_shift: problem.sets().map_or(0, |sets| sets.block.trailing_zeros()),
            set_slots: u32::from(problem.sets().is_some_and(|sets| sets.entries == Entries::Slots)),
            sets: sets.max(1),
            sinks,
            recent,
            chunks: Divisor::new(self.chunks),
            output_f32: u32::from(buffers.output_type == OutputType::F32),
        })
    }

    fn validate(&self, buffers: &AttentionBuffers) -> Result<(), InvalidInput> {
        buffers.strides.validate(&self.problem)?;
        require_positive_scale(OPERATION, buffers.scale)?;
        for (field, address, alignment) in [
            ("query", buffers.query, 16),
            ("key", buffers.key, 16),
            ("value", buffers.value, 16),
            ("block_table", buffers.block_table, 4),
            ("lengths", buffers.lengths, 4),
            ("row_starts", buffers.row_starts, 4),
            ("output", buffers.output, 16),
            ("workspace", buffers.workspace, WORKSPACE_ALIGNMENT),
        ] {
            require_address(OPERATION, field, address, alignment)?;
        }
        let required = self.workspace_bytes();
        if buffers.workspace_bytes < required {
            let (required, actual) = (format!("at least {required}"), buffers.workspace_bytes);
            return Err(InvalidInput::new(OPERATION, "workspace_bytes", required, actual));
        }
        if buffers.workspace.checked_add(required).is_none() {
            let (required, actual) =
                (format!("an address with {required} bytes behind it"), format!("{:#x}", buffers.workspace));
            return Err(InvalidInput::new(OPERATION, "workspace", required, actual));
        }
        let (sets, tree) = (self.problem.sets(), self.problem.mask == Mask::Tree);
        for (field, address, alignment, asked, needed) in [
            ("set", buffers.set, 4, sets.is_some(), sets.is_some_and(|sets| sets.capacity > 0)),
            ("set_sizes", buffers.set_sizes, 4, sets.is_some(), true),
            ("masks", buffers.masks, 8, tree, true),
            ("lse", buffers.lse, 4, self.problem.lse, true),
        ] {
            if asked && needed {
                require_address(OPERATION, field, address, alignment)?;
            } else if address != 0 && !asked {
                let required = "null, as the problem has none";
                return Err(InvalidInput::new(OPERATION, field, required, format!("{address:#x}")));
            }
        }
        Ok(())
    }
}

/// Dynamic shared memory of one block of `variant`, in bytes, whose sequences are divided into `splits`.
#[must_use]
pub const fn shared_bytes(variant: &AttentionVariant, splits: Splits) -> u32 {
    let plan = variant.shared();
    match splits.merge {
        Merge::Memory => plan.bytes,
        Merge::Cluster => plan.cluster_bytes,
    }
}

/// Chunks of query columns that `variant` divides the rows of one of `problem`'s sequences into. Saturates where the
/// problem is not valid.
#[must_use]
pub fn chunks(problem: &AttentionProblem, variant: &AttentionVariant) -> u32 {
    problem.rows.saturating_mul(problem.group()).div_ceil(variant.tile.query_columns())
}

#[cfg(test)]
mod tests;
