//! Acceptance on the SIMT executor: the kernels' own source, launched as on the GPU.

use dustin::accept::{
    arrays::AcceptArrays,
    compare::{Accepted, UNWRITTEN},
    launch::{AcceptBuffers, AcceptPlan},
    problem::AcceptProblem,
    synthetic::{AcceptInput, ScoreArray},
};
use dustin_kernels::{
    accept::params::Params,
    executor::{Launch, Memory, Options, Trace, run},
    registry::{ACCEPT_ROWS, AcceptRowsVariant, AcceptWalkVariant},
    simt::Global,
};

/// An input in the executor's memory, ready to be launched. The workspace's parts are allocations of their own: an access that
/// leaves a part is out of bounds.
pub struct PreparedAccept {
    plan: AcceptPlan,
    buffers: AcceptBuffers,
    parts: [u64; 2],
    sizes: [usize; 3],
    memory: Memory,
}

impl PreparedAccept {
    /// Puts `input` into a memory of its own, with outputs that nobody has written.
    ///
    /// # Errors
    /// The launches are not possible.
    pub fn new(
        input: &AcceptInput,
        rows: &'static AcceptRowsVariant,
        walk: &'static AcceptWalkVariant,
    ) -> Result<Self, String> {
        let mut memory = Memory::new();
        let (problem, arrays) = (&input.problem, input.arrays());
        let plan = AcceptPlan::new(problem, rows, walk).map_err(|error| error.to_string())?;
        let mut of_scores = |scores: &ScoreArray| match scores {
            ScoreArray::F32(items) => memory.input(items),
            ScoreArray::Half(items) => memory.input(items),
        };
        let target = of_scores(&input.target);
        let draft = input.draft.as_ref().map_or(0, of_scores);
        let mut of_items = |items: Option<&[i32]>| items.map_or(0, |items| memory.input(items));
        let draft_rows = of_items(arrays.draft_rows);
        let parents = of_items(arrays.parents);
        let lengths = of_items(arrays.lengths);
        let sizes = sizes(problem, &arrays);
        let [batch, emitted, path] = sizes;
        let chunks = problem.total_rows as usize * problem.chunks() as usize;
        let parts = [(), ()].map(|()| memory.output(chunks, [0x7fff_ffff; 4]));
        let buffers = AcceptBuffers {
            target,
            draft,
            draft_rows,
            tokens: memory.input(arrays.tokens),
            parents,
            row_starts: memory.input(arrays.row_starts),
            temperatures: memory.input(arrays.temperatures),
            seeds: memory.input(arrays.seeds),
            step: memory.scratch(&[arrays.step]),
            lengths,
            accepted: memory.output(batch, UNWRITTEN),
            emitted: memory.output(emitted, UNWRITTEN),
            path: memory.output(path, UNWRITTEN),
            last_rows: memory.output(batch, UNWRITTEN),
            new_lengths: if problem.new_lengths { memory.output(batch, UNWRITTEN) } else { 0 },
            workspace: memory.scratch(&[0_u64]),
            workspace_bytes: plan.workspace_bytes(),
            strides: arrays.strides,
        };
        Ok(Self { plan, buffers, parts, sizes, memory })
    }

    fn params(&self) -> Result<Params, String> {
        let params = self.plan.params(&self.buffers).map_err(|error| error.to_string())?;
        let [target_chunks, draft_chunks] = self.parts.map(Global::at);
        Ok(Params { target_chunks, draft_chunks, ..params })
    }

    /// Launches the kernel that gathers figures.
    ///
    /// # Errors
    /// The launch is not possible, or what the executor found.
    pub fn launch_rows(&mut self, options: &Options) -> Result<Trace, String> {
        let (params, variant) = (self.params()?, self.plan.rows());
        let entry = variant.entry();
        self.run(variant.id, self.plan.rows_grid(), 1, [entry.threads, entry.shared_bytes], options, || {
            // SAFETY: the executor's memory holds every array that the plan names; it checks each access.
            unsafe { (variant.body)(&params) }
        })
    }

    /// Launches the kernel that walks.
    ///
    /// # Errors
    /// The launch is not possible, or what the executor found.
    pub fn launch_walk(&mut self, options: &Options) -> Result<Trace, String> {
        let (params, variant) = (self.params()?, self.plan.walk());
        let (entry, grid) = (variant.entry(), self.plan.walk_grid());
        self.run(variant.id, grid, variant.cluster, [entry.threads, entry.shared_bytes], options, || {
            // SAFETY: the executor's memory holds every array that the plan names; it checks each access.
            unsafe { (variant.body)(&params) }
        })
    }

    fn run(
        &mut self,
        name: &str,
        grid: [u32; 3],
        cluster: u32,
        [threads, shared_bytes]: [u32; 2],
        options: &Options,
        body: impl Fn(),
    ) -> Result<Trace, String> {
        let launch = Launch { name, grid, cluster, overlaps: false, threads, shared_bytes };
        run(&launch, &mut self.memory, options, body).map_err(|report| report.to_string())
    }

    /// Both launches.
    ///
    /// # Errors
    /// As of each.
    pub fn launch(&mut self) -> Result<(), String> {
        self.launch_rows(&Options::default())?;
        self.launch_walk(&Options::default()).map(|_| ())
    }

    /// What the launches so far have given.
    #[must_use]
    pub fn accepted(&self) -> Accepted {
        let Self { buffers, memory, sizes: [batch, emitted, path], .. } = self;
        Accepted {
            accepted: memory.read(buffers.accepted, *batch),
            emitted: memory.read(buffers.emitted, *emitted),
            path: memory.read(buffers.path, *path),
            last_rows: memory.read(buffers.last_rows, *batch),
            new_lengths: (buffers.new_lengths != 0).then(|| memory.read(buffers.new_lengths, *batch)),
            step: memory.read(buffers.step, 1)[0],
            status: memory.read(buffers.workspace, 1)[0],
        }
    }
}

/// What both launches give, the walk by `walk`.
///
/// # Errors
/// The launches are not possible, or what the executor found.
pub fn accept(input: &AcceptInput, walk: &'static AcceptWalkVariant) -> Result<Accepted, String> {
    let mut prepared = PreparedAccept::new(input, &ACCEPT_ROWS[0], walk)?;
    prepared.launch()?;
    Ok(prepared.accepted())
}

/// Items of an output of the batch, of emitted tokens and of paths.
fn sizes(problem: &AcceptProblem, arrays: &AcceptArrays<'_>) -> [usize; 3] {
    let strides = &arrays.strides;
    [problem.batch.into(), strides.emitted_extent(problem), strides.path_extent(problem)]
        .map(|items: u64| items as usize)
}
