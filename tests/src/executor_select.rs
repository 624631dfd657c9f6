//! Selection on the SIMT executor: the kernel's own source, launched as on the GPU.

use dustin::select::{
    compare::{Selected, UNWRITTEN},
    launch::{CLUSTERS, SelectBuffers, SelectPlan},
    problem::SelectProblem,
    space::Candidate,
    synthetic::SelectInput,
};
use dustin_kernels::{
    executor::{Launch, Memory, Options, Trace, run},
    registry::{SELECT, SelectVariant},
    simt::Word,
};

/// Every variant with every cluster that it may have, the smallest first.
#[must_use]
pub fn select_candidates() -> Vec<Candidate> {
    let clusters = |variant: &SelectVariant| {
        let most = variant.tile.max_blocks();
        CLUSTERS.into_iter().filter(move |&cluster| cluster <= most)
    };
    SELECT
        .iter()
        .flat_map(|variant| clusters(variant).map(move |cluster| Candidate { variant, cluster }))
        .collect()
}

/// An input in the executor's memory, ready to be launched.
pub struct PreparedSelect {
    problem: SelectProblem,
    buffers: SelectBuffers,
    set_items: usize,
    memory: Memory,
}

impl PreparedSelect {
    /// Puts `input` into a memory of its own, with outputs that nobody has written.
    #[must_use]
    pub fn new(input: &SelectInput) -> Self {
        let mut memory = Memory::new();
        let problem = input.problem;
        let set_items = input.strides.set_extent(&problem) as usize;
        let buffers = SelectBuffers {
            draft: of_items(&mut memory, input.draft.as_deref()),
            target: of_items(&mut memory, input.target.as_deref()),
            map_starts: memory.input(&input.map_starts),
            lengths: memory.input(&input.lengths),
            target_slots: of_items(&mut memory, input.target_slots.as_deref()),
            block_table: of_items(&mut memory, input.block_table.as_deref()),
            set: memory.output(set_items, UNWRITTEN),
            physical: problem.table.map_or(0, |_| memory.output(set_items, UNWRITTEN)),
            set_sizes: memory.output(problem.batch as usize, UNWRITTEN),
            workspace: memory.scratch(&[0_u64]),
            workspace_bytes: size_of::<u64>() as u64,
            strides: input.strides,
        };
        Self { problem, buffers, set_items, memory }
    }

    /// [`PreparedSelect::new`] of an input with both maps, of which the target's begins 4 bytes behind a multiple of what the
    /// draft's is aligned to.
    ///
    /// # Panics
    /// The input has no target's map.
    #[must_use]
    pub fn with_maps_aligned_differently(input: &SelectInput) -> Self {
        let mut prepared = Self::new(input);
        let mut target = vec![f32::INFINITY];
        target.extend(input.target.as_ref().expect("a target's map"));
        prepared.buffers.target = prepared.memory.input(&target) + size_of::<f32>() as u64;
        prepared
    }

    /// Launches the kernel.
    ///
    /// # Errors
    /// The launch is not possible, or what the executor found.
    pub fn launch(&mut self, candidate: Candidate, options: &Options) -> Result<Trace, String> {
        let plan = SelectPlan::new(&self.problem, candidate.variant, candidate.cluster)
            .map_err(|error| error.to_string())?;
        let params = plan.params(&self.buffers).map_err(|error| error.to_string())?;
        let launch = Launch {
            name: plan.variant().id,
            grid: plan.grid(),
            overlaps: false,
            cluster: plan.cluster(),
            threads: plan.threads(),
            shared_bytes: plan.shared_bytes(),
        };
        let body = plan.variant().body;
        run(&launch, &mut self.memory, options, || {
            // SAFETY: the executor's memory holds every array that the plan names; it checks each access.
            unsafe { body(&params) }
        })
        .map_err(|report| report.to_string())
    }

    /// What the launches so far have written.
    #[must_use]
    pub fn selected(&self) -> Selected {
        let items = |array: u64, count| self.memory.read(array, count);
        Selected {
            set: items(self.buffers.set, self.set_items),
            physical: (self.buffers.physical != 0).then(|| items(self.buffers.physical, self.set_items)),
            set_sizes: items(self.buffers.set_sizes, self.problem.batch as usize),
            status: self.memory.read(self.buffers.workspace, 1)[0],
        }
    }
}

/// The array of `items` in `memory`; null without.
fn of_items<T: Word>(memory: &mut Memory, items: Option<&[T]>) -> u64 {
    items.map_or(0, |items| memory.input(items))
}
