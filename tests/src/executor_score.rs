//! The kernels of score gathering on the SIMT executor, launched as on the GPU.

use dustin::score::{
    launch::{ScoreBuffers, ScorePlan, SourceBuffers},
    space::Candidate,
    synthetic::ScoreInput,
};
use dustin_kernels::{
    executor::{Launch, Memory, Options, Site, run},
    score::params::{Fold, Sequences},
    simt::Global,
};

use crate::{score::Scored, verdict::POISON};

/// Addresses of the workspace's parts, each an allocation of its own: an access that leaves a part is out of bounds.
struct Workspace {
    status: u64,
    exponentials: u64,
    sums: [u64; 2],
}

/// An input in the executor's memory, ready to be launched.
pub struct Prepared {
    plan: ScorePlan,
    input: ScoreInput,
    sources: Vec<SourceBuffers>,
    /// Slots, block table, lengths and first positions.
    arrays: [u64; 4],
    map: u64,
    workspace: Workspace,
    memory: Memory,
}

impl Prepared {
    /// Puts `input` into a memory of its own, with a poisoned workspace.
    ///
    /// # Errors
    /// The launch is not possible.
    pub fn new(input: &ScoreInput, candidate: Candidate) -> Result<Self, String> {
        let problem = &input.problem;
        let plan = ScorePlan::new(problem, candidate.logits, candidate.fold, candidate.splits)
            .map_err(|error| error.to_string())?;
        let mut memory = Memory::new();
        let layout = plan.workspace();
        let items = |part: &std::ops::Range<u64>| (part.end - part.start) as usize / 4;
        let workspace = Workspace {
            status: memory.scratch(&[0_u64]),
            exponentials: memory.output(items(&layout.exponentials), POISON),
            sums: layout.sums.each_ref().map(|part| memory.output(items(part), POISON)),
        };
        let sources = problem.sources.iter().zip(&input.sources).map(|(source, own)| SourceBuffers {
            query: memory.input(&own.query),
            key: memory.input(&own.key),
            groups: memory.input(source.groups(problem.group()).as_flattened()),
            weights: memory.input(source.group_weights(problem.group(), problem.tokens).as_flattened()),
        });
        let sources = sources.collect();
        let arrays = [
            input.slots.as_ref().map_or(0, |slots| memory.input(slots)),
            memory.input(&input.block_table),
            memory.input(&input.lengths),
            memory.input(&input.map_starts),
        ];
        let mut prepared = Self { plan, input: input.clone(), sources, arrays, map: 0, workspace, memory };
        prepared.renew_map();
        Ok(prepared)
    }

    /// Gives the jobs that follow a map as the input has it: one that nobody has written, unless the problem accumulates.
    pub fn renew_map(&mut self) {
        self.map = if self.input.problem.accumulate {
            self.memory.scratch(&self.input.map)
        } else {
            self.memory.output(self.input.map.len(), f32::NAN)
        };
    }

    /// Launches the whole job, and gives every synchronisation operation that it came by.
    ///
    /// # Errors
    /// What the executor found.
    pub fn launch(&mut self, options: &Options) -> Result<Vec<Site>, String> {
        let Self { plan, input, sources, arrays, map, workspace, memory } = self;
        let [slots, block_table, lengths, map_starts] = *arrays;
        let buffers = ScoreBuffers {
            sources,
            slots,
            block_table,
            lengths,
            map_starts,
            map: *map,
            workspace: workspace.status,
            workspace_bytes: plan.workspace_bytes(),
            scale: input.scale,
            strides: input.strides,
        };
        let mut launches = Launches { options, workspace, memory, sites: Vec::new() };
        for source in 0..input.problem.sources.len() {
            let mut params = plan.params(source, &buffers).map_err(|error| error.to_string())?;
            launches.place(&mut params.sequences, &mut params.own, source);
            launches.place(&mut params.sequences, &mut params.before, source.saturating_sub(1));
            let launch = Launch {
                name: plan.logits().id,
                grid: plan.grid(),
                cluster: 1,
                overlaps: plan.overlaps(source),
                threads: plan.threads(),
                shared_bytes: plan.shared_bytes(source),
            };
            let body = plan.logits().body;
            // SAFETY: the executor's memory holds every array that the plan names; it checks each access.
            launches.run(&launch, || unsafe { body(&params) })?;
        }
        let mut params = plan.fold_params(&buffers).map_err(|error| error.to_string())?;
        launches.place(&mut params.sequences, &mut params.last, input.problem.sources.len() - 1);
        let launch = Launch {
            name: plan.fold().id,
            grid: plan.fold_grid(),
            cluster: 1,
            overlaps: plan.fold().overlaps,
            threads: plan.fold_threads(),
            shared_bytes: plan.fold_shared_bytes(),
        };
        let body = plan.fold().body;
        // SAFETY: as above.
        launches.run(&launch, || unsafe { body(&params) })?;
        let mut sites = launches.sites;
        sites.sort_unstable();
        sites.dedup();
        Ok(sites)
    }

    /// What the jobs so far have written.
    #[must_use]
    pub fn scored(&self) -> Scored {
        let [status] = self.memory.read(self.workspace.status, 1)[..] else {
            unreachable!("one word is read")
        };
        Scored { map: self.memory.read(self.map, self.input.map.len()), status }
    }
}

/// The launches of one job.
struct Launches<'a> {
    options: &'a Options,
    workspace: &'a Workspace,
    memory: &'a mut Memory,
    sites: Vec<Site>,
}

impl Launches<'_> {
    /// Puts the parts of the workspace that source `source` uses where they lie.
    fn place(&self, sequences: &mut Sequences, fold: &mut Fold, source: usize) {
        sequences.status = Global::at(self.workspace.status);
        fold.exponentials = Global::at(self.workspace.exponentials);
        fold.sums = Global::at(self.workspace.sums[source % 2]);
    }

    fn run(&mut self, launch: &Launch<'_>, body: impl Fn()) -> Result<(), String> {
        let trace = run(launch, self.memory, self.options, body).map_err(|report| report.to_string())?;
        self.sites.extend(trace.syncs.into_iter().map(|(site, _)| site));
        Ok(())
    }
}
