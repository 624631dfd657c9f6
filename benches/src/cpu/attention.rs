//! Sparse attention on the CPU.

use dustin::{
    attention::{
        compare::{Output, compare_output},
        problem::AttentionProblem,
        reference,
        synthetic::AttentionInput,
    },
    cpu::{CpuBackend, CpuCandidate, CpuLimits, OutputMut, default_candidate},
};

use super::{Job, Jobs};
use crate::{SEED, small};

#[derive(Debug)]
struct AttentionJob {
    candidate: CpuCandidate,
    input: AttentionInput,
    output: Vec<u16>,
}

pub(super) fn jobs(problem: &AttentionProblem, context: u32, limits: CpuLimits) -> anyhow::Result<Jobs> {
    let candidate = default_candidate(problem, limits)?;
    let job = |problem: &AttentionProblem, context| {
        let input = AttentionInput::uniform(problem, context, SEED)?;
        let output = vec![0; input.output_items()];
        anyhow::Ok(Box::new(AttentionJob { candidate, input, output }))
    };
    let (small, length) = small::attention(problem, context);
    Ok((job(&small, length)?, job(problem, context)?))
}

impl Job for AttentionJob {
    fn label(&self) -> String {
        self.candidate.to_string()
    }

    fn launch(&mut self, backend: &mut CpuBackend) -> anyhow::Result<u64> {
        let (input, output) = (&self.input, OutputMut::Rounded(&mut self.output));
        Ok(backend.attention(&input.problem, &self.candidate, &input.arrays(), output, None)?)
    }

    fn check(&self) -> anyhow::Result<()> {
        let AttentionInput { problem, .. } = &self.input;
        let reference = reference::attention(problem, &self.input.arrays())?;
        compare_output(problem, &self.input.arrays(), &reference, Output::Rounded(&self.output))?;
        Ok(())
    }
}
