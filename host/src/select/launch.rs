//! From a problem and a variant to a launch: grid, cluster, shared memory, workspace and parameters. Pure, so that the GPU
//! and the executor are launched alike.

use dustin_kernels::{
    registry::SelectVariant,
    select::{params::Params, smem::MAX_BLOCKS},
    simt::Global,
};

use crate::{
    error::{InvalidInput, require_address},
    select::{
        arrays::{SelectStrides, require_presence},
        problem::{Fallback, SelectProblem},
    },
};
pub use crate::{limits::WORKSPACE_ALIGNMENT, workspace::WorkspaceLayout};

const OPERATION: &str = "selection launch";

/// The numbers of blocks that may share a sequence.
pub const CLUSTERS: [u32; 4] = [1, 2, 4, MAX_BLOCKS];

/// A validated launch of one variant for one problem.
#[derive(Clone, Debug)]
pub struct SelectPlan {
    problem: SelectProblem,
    variant: &'static SelectVariant,
    cluster: u32,
    workspace: WorkspaceLayout,
}

/// The addresses of a launch's arrays, and what of it changes from launch to launch. The shapes are those of
/// [`Params`].
#[derive(Clone, Copy, Debug)]
pub struct SelectBuffers {
    /// The draft's importance map, f32; 0 unless the problem has one.
    pub draft: u64,
    /// The target's importance map, f32; 0 unless the problem has one.
    pub target: u64,
    /// First positions of the sequences' parts of the maps, i32.
    pub map_starts: u64,
    /// Confirmed lengths, i32.
    pub lengths: u64,
    /// Slots that the target's maps were scored from, i32; 0 unless the problem counts slots.
    pub target_slots: u64,
    /// Physical page numbers, i32; 0 unless the problem asks for slots.
    pub block_table: u64,
    /// Positions of the sets, i32.
    pub set: u64,
    /// Physical slots of the sets, i32; 0 unless the problem asks for them.
    pub physical: u64,
    /// Sizes of the sets, i32.
    pub set_sizes: u64,
    /// The workspace; aligned to [`WORKSPACE_ALIGNMENT`].
    pub workspace: u64,
    /// Bytes of the workspace, at least [`SelectPlan::workspace_bytes`].
    pub workspace_bytes: u64,
    /// Distances between rows.
    pub strides: SelectStrides,
}

impl SelectPlan {
    /// Plans the launch of `variant` for `problem` with `cluster` blocks for each sequence.
    ///
    /// Whether the device can launch it (compute capability, threads and shared memory of a block) is not checked here:
    /// [`candidates`](crate::select::space::candidates) gives the points that it can, and the driver refuses others.
    ///
    /// # Errors
    /// The problem is invalid, or the cluster is none of [`CLUSTERS`] or more than the variant has.
    pub fn new(
        problem: &SelectProblem,
        variant: &'static SelectVariant,
        cluster: u32,
    ) -> Result<Self, InvalidInput> {
        problem.validate()?;
        if !variant.tile.clustered && cluster != 1 {
            let required = format!("1, as {} has no clusters", variant.id);
            return Err(InvalidInput::new(OPERATION, "cluster", required, cluster));
        }
        if !CLUSTERS.contains(&cluster) {
            return Err(InvalidInput::new(OPERATION, "cluster", "1, 2, 4 or 8", cluster));
        }
        Ok(Self { problem: *problem, variant, cluster, workspace: WorkspaceLayout::NEW })
    }

    /// The problem served.
    #[must_use]
    pub const fn problem(&self) -> &SelectProblem {
        &self.problem
    }

    /// The kernel launched.
    #[must_use]
    pub const fn variant(&self) -> &'static SelectVariant {
        self.variant
    }

    /// Blocks that share a sequence, the size of a cluster.
    #[must_use]
    pub const fn cluster(&self) -> u32 {
        self.cluster
    }

    /// Blocks: `[cluster, batch, 1]`.
    #[must_use]
    pub const fn grid(&self) -> [u32; 3] {
        [self.cluster, self.problem.batch, 1]
    }

    /// Threads in a block.
    #[must_use]
    pub const fn threads(&self) -> u32 {
        self.variant.tile.threads()
    }

    /// Dynamic shared memory of one block, in bytes.
    #[must_use]
    pub const fn shared_bytes(&self) -> u32 {
        self.variant.shared_bytes()
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
    pub fn params(&self, buffers: &SelectBuffers) -> Result<Params, InvalidInput> {
        self.validate(buffers)?;
        let problem = &self.problem;
        let (pages, table_width, page_size) =
            problem.table.map_or((0, 0, 1), |table| (table.pages, table.table_width, table.page_size));
        Ok(Params {
            draft: Global::at(buffers.draft),
            target: Global::at(buffers.target),
            map_starts: Global::at(buffers.map_starts),
            lengths: Global::at(buffers.lengths),
            target_slots: Global::at(buffers.target_slots),
            block_table: Global::at(buffers.block_table),
            table_stride: buffers.strides.table,
            set: Global::at(buffers.set),
            physical: Global::at(buffers.physical),
            set_stride: buffers.strides.set,
            set_sizes: Global::at(buffers.set_sizes),
            status: Global::at(buffers.workspace + self.workspace.status.start),
            map_capacity: problem.map_capacity,
            slot_capacity: problem.slots.unwrap_or(0),
            budget: problem.budget,
            quota: problem.quota,
            sinks: problem.sinks,
            recent: problem.recent,
            block: problem.block,
            pooling: problem.pooling,
            everything: problem.everything,
            without_target: u32::from(problem.without_target == Fallback::Everything),
            pages,
            table_width,
            page_shift: page_size.trailing_zeros(),
        })
    }

    fn validate(&self, buffers: &SelectBuffers) -> Result<(), InvalidInput> {
        let problem = &self.problem;
        buffers.strides.validate(problem)?;
        for (field, address, asked) in [
            ("draft", buffers.draft, problem.maps.draft()),
            ("target", buffers.target, problem.maps.target()),
            ("target_slots", buffers.target_slots, problem.slots.is_some()),
            ("block_table", buffers.block_table, problem.table.is_some()),
            ("physical", buffers.physical, problem.table.is_some()),
        ] {
            require_presence(field, address != 0, asked)?;
            if asked {
                require_address(OPERATION, field, address, 4)?;
            }
        }
        for (field, address, alignment) in [
            ("map_starts", buffers.map_starts, 4),
            ("lengths", buffers.lengths, 4),
            ("set", buffers.set, 4),
            ("set_sizes", buffers.set_sizes, 4),
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

#[cfg(test)]
mod tests {
    use dustin_kernels::registry::SELECT;

    use super::*;
    use crate::select::problem::{Maps, SlotTable};

    fn problem() -> SelectProblem {
        SelectProblem {
            quota: 128,
            sinks: 4,
            recent: 64,
            pooling: 5,
            everything: 2048,
            maps: Maps::Both,
            slots: Some(20),
            without_target: Fallback::Everything,
            table: Some(SlotTable { pages: 100, page_size: 16, table_width: 50 }),
            ..SelectProblem::plain(16, 1 << 19, 512)
        }
    }

    fn variant(clustered: bool) -> &'static SelectVariant {
        SELECT.iter().find(|variant| variant.tile.clustered == clustered).expect("a variant of each kind")
    }

    fn buffers(problem: &SelectProblem) -> SelectBuffers {
        SelectBuffers {
            draft: 0x1000,
            target: 0x2000,
            map_starts: 0x3000,
            lengths: 0x4000,
            target_slots: 0x5000,
            block_table: 0x6000,
            set: 0x7000,
            physical: 0x8000,
            set_sizes: 0x9000,
            workspace: 0xa000,
            workspace_bytes: 8,
            strides: SelectStrides::dense(problem),
        }
    }

    #[test]
    fn a_cluster_of_blocks_shares_each_sequence() {
        let plan = SelectPlan::new(&problem(), variant(true), 8).unwrap();
        assert_eq!((plan.grid(), plan.cluster()), ([8, 16, 1], 8));
        let plan = SelectPlan::new(&problem(), variant(false), 1).unwrap();
        assert_eq!(plan.grid(), [1, 16, 1]);
        assert_eq!(plan.threads(), variant(false).tile.threads());
    }

    #[test]
    fn parameters_are_the_rules_and_the_addresses() {
        let problem = problem();
        let plan = SelectPlan::new(&problem, variant(false), 1).unwrap();
        let params = plan.params(&buffers(&problem)).unwrap();
        assert_eq!((params.budget, params.quota, params.sinks, params.recent), (512, 128, 4, 64));
        assert_eq!((params.block, params.pooling, params.everything, params.without_target), (1, 5, 2048, 1));
        assert_eq!(params.slot_capacity, 20);
        assert_eq!((params.pages, params.table_width, params.page_shift), (100, 50, 4));
        assert_eq!((params.table_stride, params.set_stride), (50, 512));
        assert_eq!(params.status.address(), 0xa000);

        let plain = SelectProblem::plain(16, 1 << 19, 512);
        let (draft, target_slots, block_table, physical) = (0, 0, 0, 0);
        let buffers = SelectBuffers { draft, target_slots, block_table, physical, ..buffers(&plain) };
        let params = SelectPlan::new(&plain, variant(false), 1).unwrap().params(&buffers).unwrap();
        assert!(params.draft.is_null() && params.target_slots.is_null() && params.physical.is_null());
        assert_eq!((params.without_target, params.page_shift), (0, 0));
    }

    #[test]
    fn a_request_that_cannot_be_launched_is_refused_by_field() {
        let field = |problem: SelectProblem, clustered, cluster| {
            SelectPlan::new(&problem, variant(clustered), cluster).unwrap_err().field
        };
        assert_eq!(field(SelectProblem { batch: 0, ..problem() }, true, 1), "batch");
        assert_eq!(field(problem(), true, 0), "cluster");
        assert_eq!(field(problem(), true, 3), "cluster");
        assert_eq!(field(problem(), true, 16), "cluster");
        assert_eq!(field(problem(), false, 2), "cluster");
    }

    #[test]
    fn bad_addresses_and_strides_are_refused_by_field() {
        let field = |problem: SelectProblem, change: fn(&mut SelectBuffers)| {
            let mut buffers = buffers(&problem);
            change(&mut buffers);
            let plan = SelectPlan::new(&problem, variant(false), 1).unwrap();
            plan.params(&buffers).err().map(|error| error.field)
        };
        let bad = |change| field(problem(), change).expect("an error");
        assert_eq!(bad(|b| b.draft = 0), "draft");
        assert_eq!(bad(|b| b.draft += 2), "draft");
        assert_eq!(bad(|b| b.target = 0), "target");
        assert_eq!(bad(|b| b.map_starts = 0), "map_starts");
        assert_eq!(bad(|b| b.lengths += 1), "lengths");
        assert_eq!(bad(|b| b.target_slots += 1), "target_slots");
        assert_eq!(bad(|b| b.block_table = 0), "block_table");
        assert_eq!(bad(|b| b.set = 0), "set");
        assert_eq!(bad(|b| b.physical = 0), "physical");
        assert_eq!(bad(|b| b.set_sizes = 0), "set_sizes");
        assert_eq!(bad(|b| b.workspace += 8), "workspace");
        assert_eq!(bad(|b| b.workspace_bytes = 7), "workspace_bytes");
        assert_eq!(bad(|b| b.strides.set = 511), "strides.set");
        assert_eq!(bad(|b| b.strides.table = 49), "strides.table");
        assert_eq!(bad(|b| b.target_slots = 0), "target_slots");
        let draft = SelectProblem { maps: Maps::Draft, slots: None, ..problem() };
        assert_eq!(field(draft, |b| b.target_slots = 0), Some("target"));
        assert_eq!(field(draft, |b| b.target = 0), Some("target_slots"));
        let all = SelectProblem { slots: None, ..problem() };
        assert_eq!(field(all, |_| ()), Some("target_slots"));
        assert_eq!(field(all, |b| b.target_slots = 0), None);
        let plain = SelectProblem { table: None, ..problem() };
        assert_eq!(field(plain, |b| b.physical = 0), Some("block_table"));
        assert_eq!(field(plain, |b| b.block_table = 0), Some("physical"));
    }
}
