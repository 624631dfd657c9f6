//! Cases of scoring.

use std::thread;

use dustin::{
    InvalidInput,
    profile::ScoreKey,
    score::{
        arrays::ScoreArrays,
        compare::{SUM_LIMIT, compare_map},
        problem::ScoreProblem,
        reference::{self, Reference},
        synthetic::{Contents, Logits, Recipe, ScoreInput, SequenceShape},
    },
};

use super::samples;

/// The most sources of an awkward problem.
const SOURCES: usize = 3;

/// An input and the map that it must give. The caches may be dropped once a device has its copy: judging needs the shapes.
pub(crate) struct ScoreCase {
    /// The input.
    pub(crate) input: ScoreInput,
    /// Of the whole batch, or of samples.
    reference: Reference,
    /// Whether the reference is of samples alone.
    sampled: bool,
}

impl ScoreCase {
    /// A ragged batch for the types, layout and heads of `key`: an empty sequence, one without queries, weights of their
    /// own, slots in any order, gaps in every stride and in the map, and NaN in all that must not be read.
    ///
    /// # Errors
    /// The key is of no valid problem.
    pub(crate) fn awkward(key: &ScoreKey, seed: u64) -> Result<Self, InvalidInput> {
        let mut sources = key.problem().sources;
        sources.truncate(SOURCES);
        // Heads of one weight could be mixed up unnoticed.
        for (index, captured) in sources.iter_mut().flat_map(|source| &mut source.heads).enumerate() {
            captured.weight = 0.25 + index as f32 / 16.0;
        }
        let shape = |length, room, captured| SequenceShape { length, room, captured };
        let recipe = Recipe {
            dtype: key.dtype,
            head_dim: key.head_dim,
            kv_heads: key.kv_heads,
            group: key.group(),
            page_size: key.page_size,
            layout: key.layout,
            sequences: vec![
                shape(0, 3, true),
                shape(1, 0, true),
                shape(41, 5, false),
                shape(1500, 1, true),
                shape(77, 0, true),
                shape(256, 0, true),
            ],
            sources,
            tokens: key.tokens,
            accumulate: key.accumulate,
            spare: 1,
            padding: 1,
            contents: Contents { logits: Logits::Peaked, slots: true, seed },
        };
        let input = recipe.input()?;
        let reference = reference::score(&input.problem, &input.arrays(), &input.map)?;
        Ok(Self { input, reference, sampled: false })
    }

    /// The timed problem: every sequence has `context` tokens.
    ///
    /// # Errors
    /// The problem is invalid.
    pub(crate) fn timed(problem: &ScoreProblem, context: u32, seed: u64) -> Result<Self, InvalidInput> {
        let input = ScoreInput::uniform(problem, context, seed)?;
        let reference = sampled(&input)?;
        Ok(Self { input, reference, sampled: true })
    }

    /// Frees the caches, which may be gigabytes, when the device has its copy.
    pub(crate) fn drop_caches(&mut self) {
        for source in &mut self.input.sources {
            source.key = Vec::new();
        }
    }

    /// Judges a map. Positions that were poisoned and not written show as NaN.
    ///
    /// # Errors
    /// What differs.
    pub(crate) fn judge(&self, map: &[f32]) -> Result<(), String> {
        let ScoreInput { problem, map: before, .. } = &self.input;
        if !self.sampled {
            return compare_map(problem, &self.reference, before, map)
                .map(drop)
                .map_err(|error| error.to_string());
        }
        // What has no reference is shown to the comparison as untouched, and judged by its sums.
        let mut of_samples = before.clone();
        for part in &self.reference.parts {
            let found = map.get(part.clone()).ok_or("the map is too short")?;
            of_samples[part.clone()].copy_from_slice(found);
        }
        compare_map(problem, &self.reference, before, &of_samples).map_err(|error| error.to_string())?;
        self.judge_sums(map)
    }

    /// Judges every sequence by the sum of its scores.
    fn judge_sums(&self, map: &[f32]) -> Result<(), String> {
        let ScoreInput { problem, map: before, map_starts, lengths, .. } = &self.input;
        let weights = problem.sources.iter().flat_map(|source| &source.heads);
        let weights: f64 = weights.map(|captured| f64::from(captured.weight)).sum();
        let expected = weights * f64::from(problem.tokens);
        for (sequence, (&start, &length)) in map_starts.iter().zip(lengths).enumerate() {
            let part = start as usize..(start + length) as usize;
            let held = |at: usize| if problem.accumulate { f64::from(before[at]) } else { 0.0 };
            let actual: f64 = part.map(|at| f64::from(map[at]) - held(at)).sum();
            // A NaN is not within any limit.
            let error = (actual - expected).abs();
            if error.is_nan() || error > SUM_LIMIT * expected {
                return Err(format!(
                    "the scores of sequence {sequence} must sum up to {expected}, but to {actual}"
                ));
            }
        }
        Ok(())
    }
}

/// The reference of some of the sequences of `input`, spread over the batch; the parts of the others are untouched.
fn sampled(input: &ScoreInput) -> Result<Reference, InvalidInput> {
    let samples = samples(input.problem.batch);
    let parts: Vec<Result<Reference, InvalidInput>> = thread::scope(|scope| {
        let handles: Vec<_> =
            samples.iter().map(|&sequence| scope.spawn(move || of_sequence(input, sequence))).collect();
        handles.into_iter().map(|handle| handle.join().expect("the reference does not panic")).collect()
    });
    let mut parts = parts.into_iter();
    let mut whole = parts.next().unwrap_or_else(|| of_sequence(input, 0))?;
    for part in parts {
        let part = part?;
        for range in &part.parts {
            whole.map[range.clone()].copy_from_slice(&part.map[range.clone()]);
            whole.magnitudes[range.clone()].copy_from_slice(&part.magnitudes[range.clone()]);
            whole.positions[range.clone()].copy_from_slice(&part.positions[range.clone()]);
        }
        whole.parts.extend(part.parts);
        whole.sums.extend(part.sums);
    }
    Ok(whole)
}

/// The reference of one sequence, as a batch of its own.
fn of_sequence(input: &ScoreInput, sequence: usize) -> Result<Reference, InvalidInput> {
    let problem = ScoreProblem { batch: 1, ..input.problem.clone() };
    let whole = input.arrays();
    let own_slot = [sequence as i32];
    let arrays = ScoreArrays {
        slots: Some(whole.slots.map_or(&own_slot[..], |slots| &slots[sequence..])),
        block_table: &whole.block_table[sequence * input.strides.table as usize..],
        lengths: &whole.lengths[sequence..],
        map_starts: &whole.map_starts[sequence..],
        ..whole
    };
    reference::score(&problem, &arrays, &input.map)
}

#[cfg(test)]
mod tests {
    use dustin_autotune::workload::{Problem, Shape, Workload, named};

    use super::{super::SAMPLES, *};

    fn small() -> ScoreProblem {
        let Shape::Score(mut shape) = named("cpu-score-draft").unwrap().shape else { panic!("of scoring") };
        (shape.cache.batch, shape.cache.context) = (7, 300);
        match Workload::new("small".into(), shape).unwrap().problem {
            Problem::Score(problem) => problem,
            other => panic!("{other:?}"),
        }
    }

    fn rounded(reference: &Reference) -> Vec<f32> {
        reference.map.iter().map(|&score| score as f32).collect()
    }

    #[test]
    fn sampled_sequences_have_the_reference_of_the_whole_batch() {
        let case = ScoreCase::timed(&small(), 300, 5).unwrap();
        let input = &case.input;
        let whole = reference::score(&input.problem, &input.arrays(), &input.map).unwrap();
        assert_eq!(case.reference.parts.len(), SAMPLES);
        for part in &case.reference.parts {
            assert_eq!(case.reference.map[part.clone()], whole.map[part.clone()]);
            assert_eq!(case.reference.positions[part.clone()], whole.positions[part.clone()]);
        }
        let good = rounded(&whole);
        assert_eq!(case.judge(&good), Ok(()));
        for (sequence, what) in [(0, "must be"), (1, "sum up"), (6, "must be")] {
            let mut spoilt = good.clone();
            spoilt[sequence * 300] = f32::NAN;
            let error = case.judge(&spoilt).unwrap_err();
            assert!(error.contains(what), "{sequence}: {error}");
        }
        assert!(case.judge(&good[1..]).is_err());
    }

    #[test]
    fn a_position_that_was_not_written_or_must_not_be_is_refused() {
        let case = ScoreCase::awkward(&ScoreKey::from(&small()), 5).unwrap();
        let mut good = rounded(&case.reference);
        for (at, item) in good.iter_mut().enumerate() {
            if case.reference.positions[at] == reference::Position::Untouched {
                *item = case.input.map[at];
            }
        }
        assert_eq!(case.judge(&good), Ok(()));
        let last = case.reference.parts.last().unwrap().clone();
        let gap = case.reference.positions.iter().position(|&p| p == reference::Position::Untouched).unwrap();
        for at in [last.start, gap] {
            let mut spoilt = good.clone();
            spoilt[at] = if at == gap { 0.0 } else { f32::NAN };
            assert!(case.judge(&spoilt).unwrap_err().contains(&format!("position {at} ")));
        }
    }
}
