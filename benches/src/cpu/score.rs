//! Scoring on the CPU.

use dustin::{
    cpu::{
        CpuBackend, CpuLimits,
        score::{Candidate, default_candidate},
    },
    score::{compare::compare_map, problem::ScoreProblem, reference, synthetic::ScoreInput},
};

use super::{Job, Jobs};
use crate::{SEED, small};

#[derive(Debug)]
struct ScoreJob {
    candidate: Candidate,
    input: ScoreInput,
    map: Vec<f32>,
}

pub(super) fn jobs(problem: &ScoreProblem, context: u32, limits: CpuLimits) -> anyhow::Result<Jobs> {
    let candidate = default_candidate(problem, limits)?;
    let job = |problem: &ScoreProblem, context| {
        let input = ScoreInput::uniform(problem, context, SEED)?;
        let map = input.map.clone();
        anyhow::Ok(Box::new(ScoreJob { candidate, input, map }))
    };
    let (small, length) = small::score(problem, context);
    Ok((job(&small, length)?, job(problem, context)?))
}

impl Job for ScoreJob {
    fn label(&self) -> String {
        self.candidate.to_string()
    }

    fn launch(&mut self, backend: &mut CpuBackend) -> anyhow::Result<u64> {
        let input = &self.input;
        Ok(backend.score(&input.problem, &self.candidate, &input.arrays(), &mut self.map)?)
    }

    fn check(&self) -> anyhow::Result<()> {
        let ScoreInput { problem, map: before, .. } = &self.input;
        let reference = reference::score(problem, &self.input.arrays(), before)?;
        compare_map(problem, &reference, before, &self.map)?;
        Ok(())
    }
}
