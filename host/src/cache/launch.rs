//! What the launches of appending, of compacting and of capturing have in common.

use dustin_kernels::{cache::params, registry::Entry, simt::Global};

use super::step::Step;
use crate::{
    error::{InvalidInput, require_address},
    limits::DeviceLimits,
    strides::require_rows,
};
pub use crate::{limits::WORKSPACE_ALIGNMENT, workspace::WorkspaceLayout};

/// The addresses of a step's arrays, and of the workspace. The shapes are those of [`Step`](params::Step).
#[derive(Clone, Copy, Debug)]
pub struct StepBuffers {
    /// Physical page numbers, i32.
    pub block_table: u64,
    /// Items from one sequence's block table to the next.
    pub table_stride: u64,
    /// Confirmed lengths, i32.
    pub lengths: u64,
    /// First rows, i32.
    pub row_starts: u64,
    /// The workspace; aligned to [`WORKSPACE_ALIGNMENT`].
    pub workspace: u64,
    /// Bytes of the workspace.
    pub workspace_bytes: u64,
}

impl StepBuffers {
    /// The kernel's parameters for a launch of `step`, on behalf of `operation`.
    pub(super) fn params(
        &self,
        operation: &'static str,
        step: &Step,
        workspace: &WorkspaceLayout,
    ) -> Result<params::Step, InvalidInput> {
        require_rows(operation, "strides.table", self.table_stride, step.table_width)?;
        for (field, address, alignment) in [
            ("block_table", self.block_table, 4),
            ("lengths", self.lengths, 4),
            ("row_starts", self.row_starts, 4),
            ("workspace", self.workspace, WORKSPACE_ALIGNMENT),
        ] {
            require_address(operation, field, address, alignment)?;
        }
        let required = workspace.bytes();
        if self.workspace_bytes < required {
            let (required, actual) = (format!("at least {required}"), self.workspace_bytes);
            return Err(InvalidInput::new(operation, "workspace_bytes", required, actual));
        }
        Ok(params::Step {
            page_stride: step.kv.page_stride,
            token_stride: step.kv.token_stride,
            kv_head_stride: step.kv.kv_head_stride,
            block_table: Global::at(self.block_table),
            table_stride: self.table_stride,
            lengths: Global::at(self.lengths),
            row_starts: Global::at(self.row_starts),
            status: Global::at(self.workspace + workspace.status.start),
            pages: step.kv.pages,
            table_width: step.table_width,
            page_shift: step.kv.page_size.trailing_zeros(),
            kv_heads: step.kv.kv_heads,
            word_shift: (step.kv.head_dim / 8).trailing_zeros(),
            total_rows: step.total_rows,
            row_capacity: step.rows,
        })
    }
}

/// Blocks along x of a launch with a thread for each of `columns`, of which there are fewer than 2^31.
pub(super) fn blocks(columns: u64, threads: u32) -> u32 {
    columns.div_ceil(threads.into()) as u32
}

/// The variant with the least `rank` among those that run on the device, on behalf of `operation`.
pub(super) fn least<V, R: Ord>(
    operation: &'static str,
    variants: &'static [V],
    entry: fn(&V) -> Entry,
    rank: fn(&V) -> R,
    limits: &DeviceLimits,
) -> Result<&'static V, InvalidInput> {
    let runs = |variant: &&V| entry(variant).target.runs_on(limits.major, limits.minor);
    variants.iter().filter(runs).min_by_key(|variant| rank(variant)).ok_or_else(|| {
        let actual = format!("none for compute capability {}.{}", limits.major, limits.minor);
        InvalidInput::new(operation, "device", "one that a variant runs on", actual)
    })
}
