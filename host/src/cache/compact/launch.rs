//! From a problem and a variant to a launch: grid, workspace and parameters. Pure, so that the GPU and the executor are
//! launched alike.

use dustin_kernels::{
    cache::params::CompactParams,
    registry::{COMPACT, CompactVariant},
    simt::Global,
};

use super::{OPERATION, arrays::require_counts, problem::CompactProblem};
use crate::{
    cache::{
        launch::{StepBuffers, WorkspaceLayout, blocks, least},
        overlap::require_disjoint,
    },
    error::{InvalidInput, require_address, require_items},
    limits::DeviceLimits,
    strides::require_rows,
};

/// A validated launch of one variant for one problem.
#[derive(Clone, Debug)]
pub struct CompactPlan {
    problem: CompactProblem,
    variant: &'static CompactVariant,
    workspace: WorkspaceLayout,
}

/// The addresses of a launch's arrays. The shapes are those of [`CompactParams`].
#[derive(Clone, Copy, Debug)]
pub struct CompactBuffers {
    /// The step's arrays, and the workspace.
    pub step: StepBuffers,
    /// The address of each layer's key cache, u64, as [`require_layers`] asks for them.
    pub key_caches: u64,
    /// The address of each layer's value cache, u64.
    pub value_caches: u64,
    /// The accepted rows of each sequence, i32.
    pub accepted: u64,
    /// Items from one sequence's list to the next.
    pub accepted_stride: u64,
    /// Entries of each list, i32; 0 unless the problem counts them.
    pub accepted_counts: u64,
}

/// The variant that is launched without tuning: that of the smallest blocks, which end independently of each other.
///
/// # Errors
/// None runs on the device.
pub fn default_variant(limits: &DeviceLimits) -> Result<&'static CompactVariant, InvalidInput> {
    least(OPERATION, COMPACT, CompactVariant::entry, |variant| variant.warps, limits)
}

/// Checks the addresses of the layers' caches before they are put into device memory, where launches no longer see more than
/// that an address is null or misaligned: an engine does so once.
///
/// # Errors
/// There are other than the problem's layers, an address is missing or not a multiple of 16, or the keys and values of a layer
/// overlap.
pub fn require_layers(problem: &CompactProblem, keys: &[u64], values: &[u64]) -> Result<(), InvalidInput> {
    problem.validate()?;
    require_items(OPERATION, "key_caches", keys.len(), problem.layers.into())?;
    require_items(OPERATION, "value_caches", values.len(), problem.layers.into())?;
    for (&key, &value) in keys.iter().zip(values) {
        require_address(OPERATION, "key_caches", key, 16)?;
        require_address(OPERATION, "value_caches", value, 16)?;
        require_disjoint(OPERATION, &problem.step.kv, Some(key.abs_diff(value) / 2))?;
    }
    Ok(())
}

impl CompactPlan {
    /// Plans the launch of `variant` for `problem`.
    ///
    /// # Errors
    /// The problem is invalid.
    pub fn new(problem: &CompactProblem, variant: &'static CompactVariant) -> Result<Self, InvalidInput> {
        problem.validate()?;
        Ok(Self { problem: *problem, variant, workspace: WorkspaceLayout::NEW })
    }

    /// The problem served.
    #[must_use]
    pub const fn problem(&self) -> &CompactProblem {
        &self.problem
    }

    /// The kernel launched.
    #[must_use]
    pub const fn variant(&self) -> &'static CompactVariant {
        self.variant
    }

    /// Blocks: `[blocks, batch, 1]`.
    #[must_use]
    pub fn grid(&self) -> [u32; 3] {
        let threads = self.problem.step.columns() * u64::from(self.problem.layers);
        [blocks(threads, self.threads()), self.problem.step.batch, 1]
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
    /// An address is missing, misaligned or not asked for, the workspace is too small, or a stride is not as documented.
    pub fn params(&self, buffers: &CompactBuffers) -> Result<CompactParams, InvalidInput> {
        let problem = &self.problem;
        require_rows(OPERATION, "strides.accepted", buffers.accepted_stride, problem.accepted)?;
        require_counts(problem, buffers.accepted_counts != 0)?;
        for (field, address, alignment) in [
            ("key_caches", buffers.key_caches, 8),
            ("value_caches", buffers.value_caches, 8),
            ("accepted", buffers.accepted, 4),
        ] {
            require_address(OPERATION, field, address, alignment)?;
        }
        if problem.counted {
            require_address(OPERATION, "accepted_counts", buffers.accepted_counts, 4)?;
        }
        Ok(CompactParams {
            step: buffers.step.params(OPERATION, &problem.step, &self.workspace)?,
            key_caches: Global::at(buffers.key_caches),
            value_caches: Global::at(buffers.value_caches),
            accepted: Global::at(buffers.accepted),
            accepted_stride: buffers.accepted_stride,
            accepted_counts: Global::at(buffers.accepted_counts),
            accepted_capacity: problem.accepted,
            layers: problem.layers,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cache::step::Step,
        kv::{KvLayout, PagedKv},
    };

    fn problem(counted: bool) -> CompactProblem {
        let kv = PagedKv::dense(KvLayout::Nhd, 100, 16, 8, 128);
        let step = Step { batch: 16, rows: 16, total_rows: 256, kv, table_width: 50 };
        CompactProblem { step, layers: 80, accepted: 5, counted }
    }

    fn buffers() -> CompactBuffers {
        let step = StepBuffers {
            block_table: 0x1000,
            table_stride: 50,
            lengths: 0x2000,
            row_starts: 0x3000,
            workspace: 0x4000,
            workspace_bytes: 8,
        };
        CompactBuffers {
            step,
            key_caches: 0x5000,
            value_caches: 0x6000,
            accepted: 0x7000,
            accepted_stride: 8,
            accepted_counts: 0x8000,
        }
    }

    #[test]
    fn there_is_a_thread_for_each_word_of_all_layers() {
        let plan = CompactPlan::new(&problem(true), &COMPACT[0]).unwrap();
        assert_eq!(plan.grid(), [80 * 128 / plan.threads(), 16, 1]);
        let limits = DeviceLimits {
            major: 9,
            minor: 0,
            sm_count: 1,
            shared_bytes_per_block: 0,
            threads_per_block: 1024,
        };
        assert_eq!(default_variant(&limits).unwrap().warps, 4);
        assert_eq!(default_variant(&DeviceLimits { major: 7, ..limits }).unwrap_err().field, "device");
        let none = CompactProblem { layers: 0, ..problem(true) };
        assert_eq!(CompactPlan::new(&none, &COMPACT[0]).unwrap_err().field, "layers");
    }

    #[test]
    fn parameters_are_the_capacities_and_the_addresses() {
        let params = CompactPlan::new(&problem(true), &COMPACT[0]).unwrap().params(&buffers()).unwrap();
        assert_eq!((params.layers, params.accepted_capacity, params.accepted_stride), (80, 5, 8));
        assert_eq!((params.value_caches.address(), params.accepted_counts.address()), (0x6000, 0x8000));
        let uncounted = CompactBuffers { accepted_counts: 0, ..buffers() };
        let params = CompactPlan::new(&problem(false), &COMPACT[0]).unwrap().params(&uncounted).unwrap();
        assert!(params.accepted_counts.is_null());
    }

    #[test]
    fn bad_addresses_and_strides_are_refused_by_field() {
        let field = |counted, change: fn(&mut CompactBuffers)| {
            let mut buffers = buffers();
            change(&mut buffers);
            let plan = CompactPlan::new(&problem(counted), &COMPACT[0]).unwrap();
            plan.params(&buffers).unwrap_err().field
        };
        assert_eq!(field(true, |b| b.key_caches += 4), "key_caches");
        assert_eq!(field(true, |b| b.value_caches = 0), "value_caches");
        assert_eq!(field(true, |b| b.accepted += 2), "accepted");
        assert_eq!(field(true, |b| b.accepted_stride = 4), "strides.accepted");
        assert_eq!(field(true, |b| b.accepted_counts = 0), "accepted_counts");
        assert_eq!(field(true, |b| b.accepted_counts += 1), "accepted_counts");
        assert_eq!(field(false, |_| ()), "accepted_counts");
        assert_eq!(field(true, |b| b.step.row_starts = 0), "row_starts");
    }

    #[test]
    fn layers_that_cannot_be_caches_are_refused_before_they_reach_the_device() {
        let problem = CompactProblem { layers: 2, ..problem(true) };
        let extent = 2 * problem.step.kv.extent();
        let check = |keys: &[u64], values: &[u64]| {
            require_layers(&problem, keys, values).map_err(|error| error.field)
        };
        let keys = [1 << 20, 1 << 30];
        let values = keys.map(|key| key + extent);
        assert_eq!(check(&keys, &values), Ok(()));
        assert_eq!(check(&keys[1..], &values), Err("key_caches"));
        assert_eq!(check(&keys, &values[1..]), Err("value_caches"));
        assert_eq!(check(&[1 << 20, 0], &values), Err("key_caches"));
        assert_eq!(check(&keys, &[values[0] + 8, values[1]]), Err("value_caches"));
        assert_eq!(check(&keys, &keys), Err("value - key"));
    }
}
