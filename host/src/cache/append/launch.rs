//! From a problem and a variant to a launch: grid, workspace and parameters. Pure, so that the GPU and the executor are launched
//! alike.

use dustin_kernels::{
    cache::params::AppendParams,
    registry::{APPEND, AppendVariant},
    simt::Global,
};

use super::{OPERATION, arrays::AppendStrides, problem::AppendProblem};
use crate::{
    cache::{
        launch::{StepBuffers, WorkspaceLayout, blocks, least},
        overlap::require_disjoint,
    },
    error::{InvalidInput, require_address},
    limits::DeviceLimits,
};

/// A validated launch of one variant for one problem.
#[derive(Clone, Debug)]
pub struct AppendPlan {
    problem: AppendProblem,
    variant: &'static AppendVariant,
    workspace: WorkspaceLayout,
}

/// The addresses of a launch's arrays. The shapes are those of [`AppendParams`].
#[derive(Clone, Copy, Debug)]
pub struct AppendBuffers {
    /// The step's arrays, and the workspace.
    pub step: StepBuffers,
    /// Keys of the rows, 16-bit items; aligned to 16 bytes, as are the other five.
    pub key: u64,
    /// Values of the rows, 16-bit items.
    pub value: u64,
    /// The layer's key cache, 16-bit items.
    pub key_cache: u64,
    /// The layer's value cache, 16-bit items.
    pub value_cache: u64,
    /// Queries of the rows, 16-bit items; 0 where the problem has no query heads.
    pub query: u64,
    /// Where attention reads the queries, 16-bit items; 0 where the problem has no query heads.
    pub query_copy: u64,
    /// Distances between rows.
    pub strides: AppendStrides,
    /// Whether what is launched right before on the same stream leaves `lengths`, `row_starts` and `block_table` as they are, and
    /// does not reset the status word, as in all layers of a step but the first. Then a launch of a variant that
    /// [overlaps](AppendVariant::overlaps) may start and read them while that still runs; the rows, the caches and the copied
    /// queries are touched behind its end. If that launch lets this one start before it has waited for the one before itself,
    /// the same holds for that one, which it waits for before it ends. Where nobody knows: no.
    ///
    /// A variant that overlaps lets the next launch start at once, before it has waited itself: what is said of the launch right
    /// before the next one must hold for the launch before this one, too, and so on as far back as launches start early one behind the other.
    pub stable: bool,
}

/// The variant that is launched without tuning: launches that overlap where the device has them, and the smallest blocks, of
/// which there are few.
///
/// # Errors
/// None runs on the device.
pub fn default_variant(limits: &DeviceLimits) -> Result<&'static AppendVariant, InvalidInput> {
    least(OPERATION, APPEND, AppendVariant::entry, |variant| (!variant.overlaps, variant.warps), limits)
}

impl AppendPlan {
    /// Plans the launch of `variant` for `problem`.
    ///
    /// # Errors
    /// The problem is invalid.
    pub fn new(problem: &AppendProblem, variant: &'static AppendVariant) -> Result<Self, InvalidInput> {
        problem.validate()?;
        Ok(Self { problem: *problem, variant, workspace: WorkspaceLayout::NEW })
    }

    /// The problem served.
    #[must_use]
    pub const fn problem(&self) -> &AppendProblem {
        &self.problem
    }

    /// The kernel launched.
    #[must_use]
    pub const fn variant(&self) -> &'static AppendVariant {
        self.variant
    }

    /// Blocks: `[blocks, batch, 1]`.
    #[must_use]
    pub fn grid(&self) -> [u32; 3] {
        let step = &self.problem.step;
        let threads = self.problem.columns() * u64::from(step.rows);
        [blocks(threads, self.threads()), step.batch, 1]
    }

    /// Whether a launch over `buffers` may overlap what is launched before it.
    #[must_use]
    pub const fn overlaps(&self, buffers: &AppendBuffers) -> bool {
        self.variant.overlaps && buffers.stable
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
    /// An address is missing or misaligned, keys and values overlap in their caches, queries are given that the problem has no
    /// heads for, the workspace is too small, or a stride is not as documented.
    pub fn params(&self, buffers: &AppendBuffers) -> Result<AppendParams, InvalidInput> {
        self.validate(buffers)?;
        let (AppendProblem { step, query_heads }, strides) = (&self.problem, &buffers.strides);
        Ok(AppendParams {
            step: buffers.step.params(OPERATION, step, &self.workspace)?,
            key: Global::at(buffers.key),
            key_row_stride: strides.key_row,
            key_head_stride: strides.key_head,
            value: Global::at(buffers.value),
            value_row_stride: strides.value_row,
            value_head_stride: strides.value_head,
            key_cache: Global::at(buffers.key_cache),
            value_cache: Global::at(buffers.value_cache),
            query: Global::at(buffers.query),
            query_row_stride: strides.query_row,
            query_head_stride: strides.query_head,
            query_copy: Global::at(buffers.query_copy),
            query_copy_row_stride: strides.query_copy_row,
            query_copy_head_stride: strides.query_copy_head,
            query_heads: *query_heads,
        })
    }

    fn validate(&self, buffers: &AppendBuffers) -> Result<(), InvalidInput> {
        buffers.strides.validate(&self.problem)?;
        for (field, address) in [
            ("key", buffers.key),
            ("value", buffers.value),
            ("key_cache", buffers.key_cache),
            ("value_cache", buffers.value_cache),
        ] {
            require_address(OPERATION, field, address, 16)?;
        }
        for (field, address) in [("query", buffers.query), ("query_copy", buffers.query_copy)] {
            if self.problem.query_heads > 0 {
                require_address(OPERATION, field, address, 16)?;
            } else if address != 0 {
                let required = "null, as the problem has no query heads";
                return Err(InvalidInput::new(OPERATION, field, required, format!("{address:#x}")));
            }
        }
        let distance = buffers.key_cache.abs_diff(buffers.value_cache) / 2;
        require_disjoint(OPERATION, &self.problem.step.kv, Some(distance))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cache::step::Step,
        kv::{KvLayout, PagedKv},
    };

    fn problem() -> AppendProblem {
        let kv = PagedKv::dense(KvLayout::Nhd, 100, 16, 8, 128);
        let step = Step { batch: 16, rows: 5, total_rows: 80, kv, table_width: 50 };
        AppendProblem { step, query_heads: 64 }
    }

    fn plan() -> AppendPlan {
        AppendPlan::new(&problem(), &APPEND[0]).unwrap()
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
            query: 0x7000,
            query_copy: 0x8000,
            strides: AppendStrides::dense(&problem()),
            stable: true,
        }
    }

    #[test]
    fn there_is_a_thread_for_each_word_of_a_sequence_and_the_default_runs_on_the_device() {
        let plan = plan();
        assert_eq!(plan.grid(), [5 * (128 + 1024) / plan.threads(), 16, 1]);
        let without_queries = AppendProblem { query_heads: 0, ..problem() };
        let plan = AppendPlan::new(&without_queries, &APPEND[0]).unwrap();
        assert_eq!(plan.grid(), [5 * 128 / plan.threads(), 16, 1]);
        let limits = DeviceLimits {
            major: 8,
            minor: 0,
            sm_count: 1,
            shared_bytes_per_block: 0,
            threads_per_block: 1024,
        };
        let default = |major| default_variant(&DeviceLimits { major, ..limits });
        let variants = [8, 9].map(|major| default(major).unwrap());
        assert_eq!(variants.map(|variant| (variant.warps, variant.overlaps)), [(4, false), (4, true)]);
        assert_eq!(default(7).unwrap_err().field, "device");
    }

    #[test]
    fn launches_overlap_where_variant_and_buffers_say_so() {
        for variant in APPEND {
            let plan = AppendPlan::new(&problem(), variant).unwrap();
            assert_eq!(plan.overlaps(&buffers()), variant.overlaps);
            assert!(!plan.overlaps(&AppendBuffers { stable: false, ..buffers() }));
        }
    }

    #[test]
    fn parameters_are_the_strides_and_the_addresses() {
        let params = plan().params(&buffers()).unwrap();
        assert_eq!((params.step.page_shift, params.step.word_shift), (4, 4));
        assert_eq!((params.step.total_rows, params.step.row_capacity, params.step.table_width), (80, 5, 50));
        assert_eq!((params.key_row_stride, params.value_head_stride), (1024, 128));
        assert_eq!(
            (params.query_row_stride, params.query_copy_head_stride, params.query_heads),
            (8192, 128, 64)
        );
        assert_eq!((params.query.address(), params.query_copy.address()), (0x7000, 0x8000));
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
        assert_eq!(field(|b| b.query = 0), "query");
        assert_eq!(field(|b| b.query_copy += 8), "query_copy");
        assert_eq!(field(|b| b.strides.key_row = 4), "strides.key_row");
        assert_eq!(field(|b| b.strides.query_copy_row = 8), "strides.query_copy_row");
        assert_eq!(field(|b| b.step.table_stride = 49), "strides.table");
        assert_eq!(field(|b| b.step.block_table = 0), "block_table");
        assert_eq!(field(|b| b.step.lengths += 2), "lengths");
        assert_eq!(field(|b| b.step.row_starts = 0), "row_starts");
        assert_eq!(field(|b| b.step.workspace += 8), "workspace");
        assert_eq!(field(|b| b.step.workspace_bytes = 7), "workspace_bytes");
    }

    #[test]
    fn queries_that_the_problem_has_no_heads_for_are_refused() {
        let plan = AppendPlan::new(&AppendProblem { query_heads: 0, ..problem() }, &APPEND[0]).unwrap();
        assert_eq!(plan.params(&buffers()).unwrap_err().field, "query");
        let without = AppendBuffers { query: 0, ..buffers() };
        assert_eq!(plan.params(&without).unwrap_err().field, "query_copy");
        let params = plan.params(&AppendBuffers { query_copy: 0, ..without }).unwrap();
        assert_eq!((params.query_heads, params.query.address()), (0, 0));
    }
}
