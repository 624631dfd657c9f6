//! Selection on the SIMT executor: the kernel's own source, launched as on the GPU.

use std::fmt;

use dustin::select::{
    compare::{Selected, UNWRITTEN},
    problem::Fallback,
    synthetic::SelectInput,
};
use dustin_kernels::{
    executor::{Launch, Memory, Options, Trace, run},
    registry::{SELECT, SelectVariant},
    select::params::Params,
    simt::{Global, Word},
};

/// A variant, launched with some blocks for each sequence.
#[derive(Clone, Copy, Debug)]
pub struct SelectLaunch {
    /// The variant.
    pub variant: &'static SelectVariant,
    /// Blocks of a cluster.
    pub blocks: u32,
}

impl fmt::Display for SelectLaunch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with {} blocks for each sequence", self.variant.id, self.blocks)
    }
}

/// Every variant with every number of blocks that it may have: powers of two, the fewest first.
#[must_use]
pub fn select_launches() -> Vec<SelectLaunch> {
    let sizes =
        |variant: &SelectVariant| (0..=variant.tile.max_blocks().ilog2()).map(|exponent| 1 << exponent);
    SELECT
        .iter()
        .flat_map(|variant| sizes(variant).map(move |blocks| SelectLaunch { variant, blocks }))
        .collect()
}

/// An input in the executor's memory, ready to be launched.
pub struct PreparedSelect {
    params: Params,
    grid_y: u32,
    set_items: usize,
    memory: Memory,
}

impl PreparedSelect {
    /// Puts `input` into a memory of its own, with outputs that nobody has written.
    #[must_use]
    pub fn new(input: &SelectInput) -> Self {
        let mut memory = Memory::new();
        let problem = &input.problem;
        let set_items = input.strides.set_extent(problem) as usize;
        let params = Params {
            draft: of_items(&mut memory, input.draft.as_deref()),
            target: of_items(&mut memory, input.target.as_deref()),
            map_starts: of_items(&mut memory, Some(&input.map_starts)),
            lengths: of_items(&mut memory, Some(&input.lengths)),
            target_slots: of_items(&mut memory, input.target_slots.as_deref()),
            block_table: of_items(&mut memory, input.block_table.as_deref()),
            table_stride: input.strides.table,
            set: Global::at(memory.output(set_items, UNWRITTEN)),
            physical: Global::at(problem.table.map_or(0, |_| memory.output(set_items, UNWRITTEN))),
            set_stride: input.strides.set,
            set_sizes: Global::at(memory.output(problem.batch as usize, UNWRITTEN)),
            status: Global::at(memory.scratch(&[0_u64])),
            map_capacity: problem.map_capacity,
            budget: problem.budget,
            quota: problem.quota,
            sinks: problem.sinks,
            recent: problem.recent,
            block: problem.block,
            pooling: problem.pooling,
            everything: problem.everything,
            without_target: u32::from(problem.without_target == Fallback::Everything),
            pages: problem.table.map_or(0, |table| table.pages),
            table_width: problem.table.map_or(0, |table| table.table_width),
            page_shift: problem.table.map_or(0, |table| table.page_size.ilog2()),
        };
        Self { params, grid_y: problem.batch, set_items, memory }
    }

    /// Launches the kernel.
    ///
    /// # Errors
    /// What the executor found.
    pub fn launch(&mut self, launch: SelectLaunch, options: &Options) -> Result<Trace, String> {
        let SelectLaunch { variant, blocks } = launch;
        let launch = Launch {
            name: variant.id,
            grid: [blocks, self.grid_y, 1],
            cluster: blocks,
            threads: variant.tile.threads(),
            shared_bytes: variant.shared_bytes(),
        };
        let (params, body) = (self.params, variant.body);
        run(&launch, &mut self.memory, options, || {
            // SAFETY: the executor's memory holds every array that the parameters name; it checks each access.
            unsafe { body(&params) }
        })
        .map_err(|report| report.to_string())
    }

    /// What the launches so far have written.
    #[must_use]
    pub fn selected(&self) -> Selected {
        let items = |array: Global<i32>, count| self.memory.read(array.address(), count);
        Selected {
            set: items(self.params.set, self.set_items),
            physical: (!self.params.physical.is_null()).then(|| items(self.params.physical, self.set_items)),
            set_sizes: items(self.params.set_sizes, self.grid_y as usize),
            status: self.memory.read(self.params.status.address(), 1)[0],
        }
    }
}

/// The array of `items` in `memory`; null without.
fn of_items<T: Word>(memory: &mut Memory, items: Option<&[T]>) -> Global<T> {
    items.map_or(Global::NULL, |items| Global::at(memory.input(items)))
}
