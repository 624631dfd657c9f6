//! Judges what a back end gave by the reference: the same rows and tokens, but where a decision is within rounding, and that
//! nothing else was written.

use dustin_kernels::fault::Fault;

use super::{
    arrays::AcceptArrays,
    problem::AcceptProblem,
    reference::{Walk, accept_as},
};
use crate::error::InvalidInput;

/// What the arrays of an output hold before a launch that is compared: neither a row, nor a token, nor a length.
pub const UNWRITTEN: i32 = i32::MIN + 0x5eed;

/// What a back end gave, in arrays that held [`UNWRITTEN`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Drafts that each sequence accepts.
    pub accepted: Vec<i32>,
    /// The emitted tokens, strided as the problem's arrays are.
    pub emitted: Vec<i32>,
    /// The paths, likewise.
    pub path: Vec<i32>,
    /// The last row of each path.
    pub last_rows: Vec<i32>,
    /// New lengths, if asked for.
    pub new_lengths: Option<Vec<i32>>,
    /// The steps taken.
    pub step: u64,
    /// The status word.
    pub status: u64,
}

/// A result that is not what the reference says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// The input was changed to one that is not valid.
    #[error(transparent)]
    Input(#[from] InvalidInput),
    /// Another status word.
    #[error("the status must be {}, but is {}", name(*.expected), name(*.actual))]
    Status {
        /// The reference.
        expected: u64,
        /// The word found.
        actual: u64,
    },
    /// Another number of steps.
    #[error("{expected} steps must have been taken, but {actual} are counted")]
    Step {
        /// One more than before.
        expected: u64,
        /// The number found.
        actual: u64,
    },
    /// Another array.
    #[error("{what} must be {expected:?}, but is {actual:?}, first at item {item}")]
    Items {
        /// The array.
        what: &'static str,
        /// The first item that differs.
        item: usize,
        /// The reference, from there on.
        expected: Vec<i32>,
        /// What was found.
        actual: Vec<i32>,
    },
}

fn name(word: u64) -> String {
    match Fault::parse(word) {
        Some((fault, sequence)) => format!("{fault:?} of sequence {sequence}"),
        None => format!("{word:#x}"),
    }
}

impl Accepted {
    /// The arrays of an output for `problem`, unwritten.
    #[must_use]
    pub fn unwritten(problem: &AcceptProblem, arrays: &AcceptArrays<'_>) -> Self {
        let items = |count: u64| vec![UNWRITTEN; count as usize];
        let batch = problem.batch.into();
        Self {
            accepted: items(batch),
            emitted: items(arrays.strides.emitted_extent(problem)),
            path: items(arrays.strides.path_extent(problem)),
            last_rows: items(batch),
            new_lengths: problem.new_lengths.then(|| items(batch)),
            step: arrays.step,
            status: 0,
        }
    }

    /// What the walks of the sequences leave.
    #[must_use]
    pub fn of_walks(problem: &AcceptProblem, arrays: &AcceptArrays<'_>, walks: &[Walk], status: u64) -> Self {
        let mut given = Self::unwritten(problem, arrays);
        for (at, walk) in walks.iter().enumerate() {
            let rows = problem.rows as usize;
            let (path, emitted) = (at * arrays.strides.path as usize, at * arrays.strides.emitted as usize);
            given.path[path..path + rows].fill(-1);
            given.emitted[emitted..emitted + rows].fill(-1);
            for (place, (&row, &token)) in walk.path.iter().zip(&walk.emitted).enumerate() {
                given.path[path + place] = row as i32;
                given.emitted[emitted + place] = token as i32;
            }
            given.accepted[at] = walk.path.len().saturating_sub(1) as i32;
            given.last_rows[at] = walk.path.last().map_or(-1, |&row| row as i32);
            if let (Some(lengths), Some(new_lengths)) = (arrays.lengths, &mut given.new_lengths) {
                new_lengths[at] = lengths[at].saturating_add(walk.path.len() as i32);
            }
        }
        Self { step: arrays.step.wrapping_add(1), status, ..given }
    }

    /// The walk of a sequence, as far as the arrays say one.
    #[must_use]
    pub fn walk(&self, problem: &AcceptProblem, arrays: &AcceptArrays<'_>, sequence: u32) -> Walk {
        let items = |array: &[i32], stride: u64| {
            let first = sequence as usize * stride as usize;
            let own = array.iter().skip(first).take(problem.rows as usize);
            own.map_while(|&item| u32::try_from(item).ok()).collect()
        };
        Walk {
            path: items(&self.path, arrays.strides.path),
            emitted: items(&self.emitted, arrays.strides.emitted),
        }
    }
}

/// Compares what a back end gave for `problem` with the reference.
///
/// # Errors
/// The first difference that is not one of rounding.
pub fn compare(problem: &AcceptProblem, arrays: &AcceptArrays<'_>, given: &Accepted) -> Result<(), Mismatch> {
    let reference = accept_as(problem, arrays, |sequence| Some(given.walk(problem, arrays, sequence)))?;
    let expected = Accepted::of_walks(problem, arrays, &reference.walks, reference.status);
    if expected.status != given.status {
        return Err(Mismatch::Status { expected: expected.status, actual: given.status });
    }
    if expected.step != given.step {
        return Err(Mismatch::Step { expected: expected.step, actual: given.step });
    }
    let none = Vec::new();
    for (what, expected, actual) in [
        ("accepted", &expected.accepted, &given.accepted),
        ("path", &expected.path, &given.path),
        ("emitted", &expected.emitted, &given.emitted),
        ("last_rows", &expected.last_rows, &given.last_rows),
        (
            "new_lengths",
            expected.new_lengths.as_ref().unwrap_or(&none),
            given.new_lengths.as_ref().unwrap_or(&none),
        ),
    ] {
        if expected != actual {
            let same = expected.iter().zip(actual).take_while(|(a, b)| a == b).count();
            let rest = |items: &[i32]| items.iter().skip(same).take(8).copied().collect();
            return Err(Mismatch::Items { what, item: same, expected: rest(expected), actual: rest(actual) });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accept::{
        arrays::{AcceptStrides, ScoreItems},
        problem::{ScoreKind, ScoreType, Scores},
        reference::accept,
        synthetic::AcceptInput,
    };

    fn given(input: &AcceptInput) -> Accepted {
        let (problem, arrays) = (&input.problem, input.arrays());
        let reference = accept(problem, &arrays).unwrap();
        Accepted::of_walks(problem, &arrays, &reference.walks, reference.status)
    }

    #[test]
    fn the_reference_is_as_it_must_be_and_any_change_is_found() {
        for seed in 0..200 {
            let input = AcceptInput::random(seed, 200, 8).unwrap();
            let given = given(&input);
            let judge = |given: &Accepted| compare(&input.problem, &input.arrays(), given);
            assert_eq!(judge(&given), Ok(()), "{seed}");
            let changed = |change: &dyn Fn(&mut Accepted)| {
                let mut other = given.clone();
                change(&mut other);
                judge(&other).is_err()
            };
            assert!(changed(&|a| a.accepted[0] += 1), "{seed}");
            assert!(changed(&|a| a.last_rows[0] -= 1));
            assert!(changed(&|a| a.step += 1));
            assert!(changed(&|a| a.status ^= 1));
            assert!(changed(&|a| a.path[0] = 1));
            let last = given.accepted[0] as usize;
            assert!(changed(&|a| a.emitted[last] += 1), "{seed}");
            let rows = input.problem.rows as usize;
            for item in (0..given.path.len()).filter(|item| item % input.strides.path as usize >= rows) {
                assert!(changed(&|a| a.path[item] = 0));
            }
        }
    }

    /// Two tokens of the same weight, one row: some step's race is as close as f32 can tell.
    #[test]
    fn a_decision_within_rounding_may_go_either_way() {
        let scores = Scores { dtype: ScoreType::F32, kind: ScoreKind::Logits };
        let problem = AcceptProblem {
            batch: 1,
            rows: 1,
            total_rows: 1,
            vocabulary: 2,
            target: scores,
            draft: None,
            tree: false,
            new_lengths: false,
        };
        let mut arrays = AcceptArrays {
            target: ScoreItems::F32(&[0.0; 2]),
            draft: None,
            draft_rows: None,
            tokens: &[0],
            parents: None,
            row_starts: &[0, 1],
            temperatures: &[1.0],
            seeds: &[11],
            step: 0,
            lengths: None,
            strides: AcceptStrides::dense(&problem),
        };
        let mut close = 0;
        for step in 0..300_000 {
            arrays.step = step;
            let walks = accept(&problem, &arrays).unwrap().walks;
            let mut given = Accepted::of_walks(&problem, &arrays, &walks, 0);
            assert_eq!(compare(&problem, &arrays, &given), Ok(()));
            given.emitted[0] ^= 1;
            close += u32::from(compare(&problem, &arrays, &given).is_ok());
        }
        // The quotient of the variables is that close to 1 in one of some ten thousand.
        assert!((1..100).contains(&close), "{close}");
    }
}
