//! Acceptance as work to be timed.

use dustin::{
    InvalidInput,
    accept::synthetic::{AcceptInput, Recipe},
};

use crate::SEED;

/// The acceptance of a step of chains, by logits of f32.
#[derive(Clone, Copy, Debug)]
pub struct AcceptWork {
    /// Its name.
    pub name: &'static str,
    /// Sequences.
    pub batch: u32,
    /// Rows of each: γ + 1.
    pub rows: u32,
    /// Tokens.
    pub vocabulary: u32,
    /// The temperature of all sequences; 0: greedy.
    pub temperature: f32,
    /// Blocks that share a sequence on a GPU, where it is not the choice made without tuning.
    pub cluster: Option<u32>,
}

const W1: AcceptWork = AcceptWork {
    name: "w1-accept",
    batch: 16,
    rows: 5,
    vocabulary: 152_064,
    temperature: 1.0,
    cluster: None,
};

/// What suits GPUs.
pub(crate) const GPU: [AcceptWork; 4] = [
    W1,
    AcceptWork { name: "w1-accept-greedy", temperature: 0.0, ..W1 },
    AcceptWork { name: "w1-accept-block", cluster: Some(1), ..W1 },
    AcceptWork { name: "b1-accept", batch: 1, ..W1 },
];

/// What suits CPUs.
pub(crate) const CPU: [AcceptWork; 1] = [AcceptWork { name: "cpu-accept", batch: 4, ..W1 }];

impl AcceptWork {
    /// Bytes that the operation must move at the least: greedy sequences do without the draft's scores.
    pub(crate) fn bytes(&self) -> u64 {
        let drafts = if self.temperature > 0.0 { self.rows - 1 } else { 0 };
        4 * u64::from(self.batch) * u64::from(self.rows + drafts) * u64::from(self.vocabulary)
    }

    /// The input.
    pub(crate) fn input(&self) -> Result<AcceptInput, InvalidInput> {
        let mut recipe = Recipe::uniform(self.batch, self.rows, self.vocabulary, SEED);
        recipe.sequences.iter_mut().for_each(|shape| shape.temperature = self.temperature);
        AcceptInput::new(&recipe)
    }

    /// The same of one sequence and fewer tokens: what the reference judges in a moment.
    pub(crate) fn small(&self) -> Self {
        Self { batch: 1, vocabulary: 20_000, ..*self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_sound_and_bytes_are_those_of_the_scores() {
        for work in GPU.into_iter().chain(CPU) {
            let input = work.small().input().unwrap();
            assert_eq!(input.reference().unwrap().status, 0);
            let greedy = work.temperature == 0.0;
            assert_eq!(work.small().bytes(), 4 * 20_000 * if greedy { 5 } else { 9 });
            assert!(greedy || work.small().bytes() == input.problem.bytes());
        }
    }
}
