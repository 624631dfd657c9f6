//! The SIMT executor as a back end: the kernel's own source, launched as on the GPU.

use dustin::{
    arrays::{LogBase, OutputType},
    launch::{AttentionBuffers, AttentionPlan},
    space::Candidate,
    synthetic::{AttentionInput, NAN},
};
use dustin_kernels::executor::{Launch, Memory, Options, Trace, run};

use crate::verdict::{Attended, Items, POISON};

/// An input in the executor's memory, ready to be launched.
pub struct Prepared {
    plan: AttentionPlan,
    buffers: AttentionBuffers,
    memory: Memory,
    output_items: usize,
    lse_items: usize,
}

impl Prepared {
    /// Puts `input` into a memory of its own, with a poisoned output and workspace.
    ///
    /// # Errors
    /// The launch is not possible.
    pub fn new(
        input: &AttentionInput,
        candidate: Candidate,
        output_type: OutputType,
        lse_base: LogBase,
    ) -> Result<Self, String> {
        let plan = AttentionPlan::new(&input.problem, candidate.variant, candidate.splits)
            .map_err(|error| error.to_string())?;
        let mut memory = Memory::new();
        let mut workspace = vec![u8::MAX; plan.workspace_bytes() as usize];
        workspace[..plan.workspace().zeroed_bytes() as usize].fill(0);
        let words: Vec<u64> = words_of(&workspace);
        let (output_items, lse_items) = (input.output_items(), input.lse_items());
        let buffers = AttentionBuffers {
            query: memory.input(&input.query),
            key: memory.input(&input.key),
            value: memory.input(&input.value),
            block_table: memory.input(&input.block_table),
            lengths: memory.input(&input.lengths),
            row_starts: memory.input(&input.row_starts),
            set: memory.input(&input.set),
            set_sizes: memory.input(&input.set_sizes),
            output: match output_type {
                OutputType::Rounded => memory.output(output_items, NAN),
                OutputType::F32 => memory.output(output_items, POISON),
            },
            lse: if input.problem.lse { memory.output(lse_items, POISON) } else { 0 },
            workspace: memory.scratch(&words),
            workspace_bytes: plan.workspace_bytes(),
            scale: input.scale,
            lse_base,
            output_type,
            strides: input.strides,
        };
        Ok(Self { plan, buffers, memory, output_items, lse_items })
    }

    /// Launches the kernel.
    ///
    /// # Errors
    /// What the executor found, or arrivals that the launch did not set back.
    pub fn launch(&mut self, options: &Options) -> Result<Trace, String> {
        let params = self.plan.params(&self.buffers).map_err(|error| error.to_string())?;
        let launch = Launch {
            name: self.plan.variant().id,
            grid: self.plan.grid(),
            threads: self.plan.threads(),
            shared_bytes: self.plan.shared_bytes(),
        };
        let body = self.plan.variant().body;
        let trace = run(&launch, &mut self.memory, options, || {
            // SAFETY: the executor's memory holds every array that the plan names; it checks each access.
            unsafe { body(&params) }
        })
        .map_err(|report| report.to_string())?;
        let arrivals = &self.plan.workspace().arrivals;
        let items = (arrivals.end - arrivals.start) as usize / 4;
        let left: Vec<u32> = self.memory.read(self.buffers.workspace + arrivals.start, items);
        if left.iter().any(|&count| count != 0) {
            return Err("arrivals are not zero after the launch".into());
        }
        Ok(trace)
    }

    /// What the launches so far have written.
    #[must_use]
    pub fn attended(&self) -> Attended {
        let output = match self.buffers.output_type {
            OutputType::Rounded => Items::Rounded(self.memory.read(self.buffers.output, self.output_items)),
            OutputType::F32 => Items::F32(self.memory.read(self.buffers.output, self.output_items)),
        };
        let lse = (self.buffers.lse != 0).then(|| self.memory.read(self.buffers.lse, self.lse_items));
        let [status] = self.memory.read(self.buffers.workspace, 1)[..] else {
            unreachable!("one word is read")
        };
        Attended { output, lse, status }
    }
}

fn words_of(bytes: &[u8]) -> Vec<u64> {
    let word = |chunk: &[u8]| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        u64::from_ne_bytes(word)
    };
    bytes.chunks(8).map(word).collect()
}
