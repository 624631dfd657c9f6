//! Cases of scoring.

use std::{ops::Range, thread};

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

use super::{Case, Guarded, Written, samples};

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

/// The map that a candidate writes.
#[derive(Clone, Debug)]
pub(crate) struct ScoreWritten(pub(crate) Guarded<f32>);

const MAP: &str = "the map";

impl Written for ScoreWritten {
    fn bytes(&self) -> usize {
        size_of_val(self.0.whole())
    }

    fn spoil(&mut self, byte: u8) {
        self.0.spoil(byte);
    }

    fn difference(&self, other: &Self) -> Option<String> {
        self.0.difference(&other.0, MAP)
    }
}

impl Case for ScoreCase {
    type Written = ScoreWritten;

    fn unwritten(&self) -> ScoreWritten {
        // NaN wherever a score must be written, or what it is added to.
        ScoreWritten(Guarded::holding(&self.input.map))
    }

    fn judge(&self, ScoreWritten(map): &ScoreWritten) -> Result<(), String> {
        map.require_bands(MAP)?;
        self.judge_map(map.items())
    }
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
    fn judge_map(&self, map: &[f32]) -> Result<(), String> {
        let ScoreInput { problem, map: before, .. } = &self.input;
        if !self.sampled {
            return compare_map(problem, &self.reference, before, map)
                .map(drop)
                .map_err(|error| error.to_string());
        }
        // What has no reference is shown to the comparison as untouched, and judged by its sums.
        let mut of_samples = map.to_vec();
        for part in self.parts().filter(|part| !self.reference.parts.contains(part)) {
            let shown = of_samples.get_mut(part.clone()).ok_or("the map is too short")?;
            shown.copy_from_slice(&before[part]);
        }
        compare_map(problem, &self.reference, before, &of_samples).map_err(|error| error.to_string())?;
        self.judge_sums(map)
    }

    /// Each sequence's part of the map that is written.
    fn parts(&self) -> impl Iterator<Item = Range<usize>> {
        let ScoreInput { map_starts, lengths, .. } = &self.input;
        map_starts.iter().zip(lengths).map(|(&start, &length)| start as usize..(start + length) as usize)
    }

    /// Judges every sequence by the sum of its scores.
    fn judge_sums(&self, map: &[f32]) -> Result<(), String> {
        let ScoreInput { problem, map: before, .. } = &self.input;
        let weights = problem.sources.iter().flat_map(|source| &source.heads);
        let weights: f64 = weights.map(|captured| f64::from(captured.weight)).sum();
        let expected = weights * f64::from(problem.tokens);
        for (sequence, part) in self.parts().enumerate() {
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

    use dustin::score::reference::Position;

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
        assert_eq!(case.judge_map(&good), Ok(()));
        for (sequence, what) in [(0, "must be"), (1, "sum up"), (6, "must be")] {
            let mut spoilt = good.clone();
            spoilt[sequence * 300] = f32::NAN;
            let error = case.judge_map(&spoilt).unwrap_err();
            assert!(error.contains(what), "{sequence}: {error}");
        }
        assert!(case.judge_map(&good[1..]).is_err());
        let ScoreWritten(mut map) = case.unwritten();
        map.items_mut().copy_from_slice(&good);
        assert_eq!(case.judge(&ScoreWritten(map)), Ok(()));
    }

    #[test]
    fn a_gap_of_the_timed_map_that_was_written_is_refused() {
        let mut problem = small();
        problem.map_capacity += 5;
        let case = ScoreCase::timed(&problem, 300, 5).unwrap();
        let whole = reference::score(&case.input.problem, &case.input.arrays(), &case.input.map).unwrap();
        let positions = whole.positions.iter().zip(&case.input.map).zip(rounded(&whole));
        let good: Vec<f32> = positions
            .map(|((kind, &before), score)| if *kind == Position::Untouched { before } else { score })
            .collect();
        assert_eq!(case.judge_map(&good), Ok(()));
        let gap = whole.positions.iter().position(|&kind| kind == Position::Untouched).unwrap();
        let mut spoilt = good;
        spoilt[gap] = 0.0;
        assert!(case.judge_map(&spoilt).unwrap_err().contains(&format!("position {gap} ")));
    }

    #[test]
    fn a_position_that_was_not_written_or_must_not_be_is_refused() {
        let case = ScoreCase::awkward(&ScoreKey::from(&small()), 5).unwrap();
        let mut good = rounded(&case.reference);
        for (at, item) in good.iter_mut().enumerate() {
            if case.reference.positions[at] == Position::Untouched {
                *item = case.input.map[at];
            }
        }
        assert_eq!(case.judge_map(&good), Ok(()));
        let last = case.reference.parts.last().unwrap().clone();
        let gap = case.reference.positions.iter().position(|&p| p == Position::Untouched).unwrap();
        for at in [last.start, gap] {
            let mut spoilt = good.clone();
            spoilt[at] = if at == gap { 0.0 } else { f32::NAN };
            assert!(case.judge_map(&spoilt).unwrap_err().contains(&format!("position {at} ")));
        }
    }
}
