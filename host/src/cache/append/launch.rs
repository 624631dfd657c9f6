//! From a step and a variant to a launch: grid, workspace and parameters. Pure, so that the GPU and the executor are launched
//! alike.

use dustin_kernels::{
    cache::params::AppendParams,
    registry::{APPEND, AppendVariant},
    simt::Global,
};

use super::{OPERATION, arrays::AppendStrides};
use crate::{
    cache::{
        launch::{StepBuffers, WorkspaceLayout, blocks, smallest},
        overlap::require_disjoint,
        step::Step,
    },
    error::{InvalidInput, require_address},
    limits::DeviceLimits,
};

/// A validated launch of one variant for one step.
#[derive(Clone, Debug)]
pub struct AppendPlan {
    step: Step,
    variant: &'static AppendVariant,
    workspace: WorkspaceLayout,
}

/// The addresses of a launch's arrays. The shapes are those of [`AppendParams`].
#[derive(Clone, Copy, Debug)]
pub struct AppendBuffers {
    /// The step's arrays, and the workspace.
    pub step: StepBuffers,
    /// Keys of the rows, 16-bit items; aligned to 16 bytes, as are the other three.
    pub key: u64,
    /// Values of the rows, 16-bit items.
    pub value: u64,
    /// The layer's key cache, 16-bit items.
    pub key_cache: u64,
    /// The layer's value cache, 16-bit items.
    pub value_cache: u64,
    /// Distances between rows.
    pub strides: AppendStrides,
}

/// The variant that is launched without tuning: that of the smallest blocks, of which there are few.
///
/// # Errors
/// None runs on the device.
pub fn default_variant(limits: &DeviceLimits) -> Result<&'static AppendVariant, InvalidInput> {
    smallest(OPERATION, APPEND, AppendVariant::entry, limits)
}

impl AppendPlan {
    /// Plans the launch of `variant` for `step`.
    ///
    /// # Errors
    /// The step is invalid.
    pub fn new(step: &Step, variant: &'static AppendVariant) -> Result<Self, InvalidInput> {
        step.validate(OPERATION)?;
        Ok(Self { step: *step, variant, workspace: WorkspaceLayout::NEW })
    }

    /// The step served.
    #[must_use]
    pub const fn step(&self) -> &Step {
        &self.step
    }

    /// The kernel launched.
    #[must_use]
    pub const fn variant(&self) -> &'static AppendVariant {
        self.variant
    }

    /// Blocks: `[blocks, batch, 1]`.
    #[must_use]
    pub fn grid(&self) -> [u32; 3] {
        let threads = self.step.columns() * u64::from(self.step.rows);
        [blocks(threads, self.threads()), self.step.batch, 1]
    }

    /// Threads in a block.
    #[must_use]
    pub const fn threads(&self) -> u32 {
        32 * self.variant.warps
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
    /// An address is missing or misaligned, keys and values overlap in their caches, the workspace is too small, or a stride
    /// is not as documented.
    pub fn params(&self, buffers: &AppendBuffers) -> Result<AppendParams, InvalidInput> {
        buffers.strides.validate()?;
        for (field, address) in [
            ("key", buffers.key),
            ("value", buffers.value),
            ("key_cache", buffers.key_cache),
            ("value_cache", buffers.value_cache),
        ] {
            require_address(OPERATION, field, address, 16)?;
        }
        let distance = buffers.key_cache.abs_diff(buffers.value_cache) / 2;
        require_disjoint(OPERATION, &self.step.kv, Some(distance))?;
        let strides = &buffers.strides;
        Ok(AppendParams {
            step: buffers.step.params(OPERATION, &self.step, &self.workspace)?,
            key: Global::at(buffers.key),
            key_row_stride: strides.key_row,
            key_head_stride: strides.key_head,
            value: Global::at(buffers.value),
            value_row_stride: strides.value_row,
            value_head_stride: strides.value_head,
            key_cache: Global::at(buffers.key_cache),
            value_cache: Global::at(buffers.value_cache),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::{KvLayout, PagedKv};

    fn plan() -> AppendPlan {
        let kv = PagedKv::dense(KvLayout::Nhd, 100, 16, 8, 128);
        let step = Step { batch: 16, rows: 5, total_rows: 80, kv, table_width: 50 };
        AppendPlan::new(&step, &APPEND[0]).unwrap()
    }

    fn buffers() -> AppendBuffers {
        let step = StepBuffers {
            block_table: 0x1000,
            table_stride: 50,
            lengths: 0x2000,
            row_starts: 0x3000,
            workspace: 0x4000,
            workspace_bytes: 8,
        };
        AppendBuffers {
            step,
            key: 0x5000,
            value: 0x6000,
            key_cache: 0x10_0000,
            value_cache: 0x1000_0000,
            strides: AppendStrides::dense(plan().step()),
        }
    }

    #[test]
    fn there_is_a_thread_for_each_word_of_a_sequence_and_the_default_runs_on_the_device() {
        let plan = plan();
        assert_eq!(plan.grid(), [5 * 128 / plan.threads(), 16, 1]);
        let limits = DeviceLimits {
            major: 8,
            minor: 0,
            sm_count: 1,
            shared_bytes_per_block: 0,
            threads_per_block: 1024,
        };
        assert_eq!(default_variant(&limits).unwrap().warps, 4);
        assert_eq!(default_variant(&DeviceLimits { major: 7, ..limits }).unwrap_err().field, "device");
        assert_eq!(super::super::bytes(plan.step()), 2 * 80 * 4096);
    }

    #[test]
    fn parameters_are_the_strides_and_the_addresses() {
        let params = plan().params(&buffers()).unwrap();
        assert_eq!((params.step.page_shift, params.step.word_shift), (4, 4));
        assert_eq!((params.step.total_rows, params.step.row_capacity, params.step.table_width), (80, 5, 50));
        assert_eq!((params.key_row_stride, params.value_head_stride), (1024, 128));
        assert_eq!((params.step.status.address(), params.value_cache.address()), (0x4000, 0x1000_0000));
    }

    #[test]
    fn bad_addresses_and_strides_are_refused_by_field() {
        let field = |change: fn(&mut AppendBuffers)| {
            let mut buffers = buffers();
            change(&mut buffers);
            plan().params(&buffers).unwrap_err().field
        };
        assert_eq!(field(|b| b.key = 0), "key");
        assert_eq!(field(|b| b.value += 8), "value");
        assert_eq!(field(|b| b.key_cache += 2), "key_cache");
        assert_eq!(field(|b| b.value_cache = 0), "value_cache");
        assert_eq!(field(|b| b.value_cache = b.key_cache), "value - key");
        assert_eq!(field(|b| b.value_cache = b.key_cache + 2 * 16 * 1024), "value - key");
        assert_eq!(field(|b| b.strides.key_row = 4), "strides.key_row");
        assert_eq!(field(|b| b.step.table_stride = 49), "strides.table");
        assert_eq!(field(|b| b.step.block_table = 0), "block_table");
        assert_eq!(field(|b| b.step.lengths += 2), "lengths");
        assert_eq!(field(|b| b.step.row_starts = 0), "row_starts");
        assert_eq!(field(|b| b.step.workspace += 8), "workspace");
        assert_eq!(field(|b| b.step.workspace_bytes = 7), "workspace_bytes");
    }
}
