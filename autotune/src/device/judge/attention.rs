//! Cases of attention.

use dustin::{
    InvalidInput,
    attention::{
        arrays::{AttentionArrays, LogBase},
        compare::{Output, compare_lse, compare_output},
        problem::{AttentionProblem, Confirmed, Mask, Sets},
        reference::{self, Reference},
        synthetic::{AttentionInput, Contents, Logits, Recipe, SequenceShape},
    },
    kv::PagedKv,
    profile::{AttentionKey, IndexSet},
};
use rayon::prelude::*;

use super::{samples, spread};

/// Multiplications and additions that the reference of a timed problem may take: some four seconds of 16 cores.
const WORK: u64 = 12_000_000_000;

/// An input and what it must give. The caches may be dropped once a device has its copy: judging needs the shapes.
pub(crate) struct AttentionCase {
    /// The input.
    pub(crate) input: AttentionInput,
    parts: Vec<Part>,
}

/// What some rows and heads of an input must give.
struct Part {
    /// Where they begin.
    first_row: usize,
    first_head: usize,
    /// The problem of these alone, whose arrays are strided as the whole's are.
    problem: AttentionProblem,
    reference: Reference,
}

impl AttentionCase {
    /// A ragged batch for types, layout, mask and reading of `key`: an empty sequence, one without rows; where there are
    /// sets, those of nothing, of one token, of all tokens and one that is the flag EVERYTHING; gaps in every stride, and
    /// NaN in all that must not be read.
    ///
    /// # Errors
    /// The key is of no valid problem.
    pub(crate) fn awkward(key: &AttentionKey, seed: u64) -> Result<Self, InvalidInput> {
        let shape = |length, rows, set_size| SequenceShape { length, rows, set_size };
        let sets = Sets::of_positions(0);
        let recipe = Recipe {
            dtype: key.dtype,
            head_dim: key.head_dim,
            kv_heads: key.kv_heads.min(2),
            group: key.group(),
            page_size: key.page_size,
            layout: key.layout,
            sequences: vec![
                shape(0, key.rows, 0),
                shape(1, 1, 1),
                shape(41, key.rows, 41),
                shape(150, 0, 20),
                shape(600, key.rows, 333),
                shape(77, 1, 0),
                shape(203, key.rows, SequenceShape::EVERYTHING),
            ],
            confirmed: match key.index_set {
                IndexSet::PerSequence => Confirmed::Sets(sets),
                IndexSet::PerKvHead => Confirmed::Sets(Sets { per_kv_head: true, ..sets }),
                // Of the sequences, some are shorter than the window, one is shorter than the recent tokens, too.
                IndexSet::Window => Confirmed::Window { sinks: 5, recent: 64 },
                IndexSet::Everything => Confirmed::Everything,
            },
            mask: key.mask,
            spare: 1,
            padding: 1,
            head_major: false,
            lse: true,
            contents: Contents { logits: Logits::Peaked, sorted: false, poison_unselected: true, seed },
        };
        let input = recipe.input()?;
        let (problem, reference) = (input.problem, reference::attention(&input.problem, &input.arrays())?);
        let whole = Part { first_row: 0, first_head: 0, problem, reference };
        Ok(Self { input, parts: vec![whole] })
    }

    /// The timed problem: every sequence has `context` tokens and a full set.
    ///
    /// # Errors
    /// The problem is invalid.
    pub(crate) fn timed(problem: &AttentionProblem, context: u32, seed: u64) -> Result<Self, InvalidInput> {
        let input = AttentionInput::uniform(problem, context, seed)?;
        let parts = sampled(problem, context, WORK);
        let parts = parts.into_par_iter().map(|(sequence, kv_head)| part(&input, sequence, kv_head));
        let parts = parts.collect::<Result<_, _>>()?;
        Ok(Self { input, parts })
    }

    /// Frees the caches, which may be gigabytes, when the device has its copy.
    pub(crate) fn drop_caches(&mut self) {
        self.input.key = Vec::new();
        self.input.value = Vec::new();
    }

    /// Judges an output, and a log-sum-exp (base e) where there is one. Items that were poisoned and not written show
    /// as NaN.
    ///
    /// # Errors
    /// What differs.
    pub(crate) fn judge(&self, output: &[u16], lse: Option<&[f32]>) -> Result<(), String> {
        self.parts.iter().try_for_each(|part| self.judge_part(part, output, lse))
    }

    fn judge_part(&self, part: &Part, output: &[u16], lse: Option<&[f32]>) -> Result<(), String> {
        let Part { first_row, first_head, problem, reference } = part;
        let (arrays, strides) = (self.input.arrays(), &self.input.strides);
        let place = |error| match (first_row, first_head) {
            (0, 0) => format!("{error}"),
            (row, head) => format!("of what begins with row {row} and head {head}: {error}"),
        };
        let first = first_row * strides.output_row as usize + first_head * strides.output_head as usize;
        let items = Output::Rounded(output.get(first..).unwrap_or_default());
        compare_output(problem, &arrays, reference, items).map_err(place)?;
        if let Some(lse) = lse {
            let rows = lse.chunks(self.input.problem.query_heads as usize).skip(*first_row);
            let heads = rows.flat_map(|row| row.iter().skip(*first_head).take(problem.query_heads as usize));
            let lse: Vec<f32> = heads.take(reference.lse.len()).copied().collect();
            compare_lse(problem, reference, &lse, LogBase::E).map_err(place)?;
        }
        Ok(())
    }
}

/// The sequences and KV heads of a timed problem whose reference is computed with about `work` multiplications and additions:
/// all heads of some sequences, or as many heads of them as that allows, evenly spread, the first and the last in any case.
///
/// A variant treats all sequences alike, and all KV heads, from whatever places it computes for them: a wrong one shows in any head
/// but the first. Of a head that is sampled all rows are compared, in all tokens that they read: so every chunk of query columns, every
/// split, and every tile is seen, and one token too few or too many in tens of thousands still exceeds the error that rounding
/// leaves in the norm of so many outputs.
fn sampled(problem: &AttentionProblem, context: u32, work: u64) -> Vec<(usize, u32)> {
    let sequences = samples(problem.batch);
    let heads = problem.kv.kv_heads as usize;
    let tokens = problem.confirmed_capacity().min(context).saturating_add(problem.rows);
    let columns = u64::from(problem.rows) * u64::from(problem.group());
    let of_head = u64::from(tokens) * columns * u64::from(problem.kv.head_dim) * 2;
    let affordable = usize::try_from(work / of_head.max(1)).unwrap_or(usize::MAX);
    let pairs = sequences.len() * heads;
    spread(affordable.clamp(2, pairs.max(2)), pairs)
        .map(|pair| (sequences[pair / heads], (pair % heads) as u32))
        .collect()
}

/// The reference of one KV head of one sequence, as a problem of its own.
fn part(input: &AttentionInput, sequence: usize, kv_head: u32) -> Result<Part, InvalidInput> {
    let (whole, all) = (&input.problem, input.arrays());
    let starts = &input.row_starts[sequence..=sequence + 1];
    let (first_row, rows) = (starts[0] as usize, starts[1] - starts[0]);
    let first_head = (kv_head * whole.group()) as usize;
    let problem = AttentionProblem {
        batch: 1,
        total_rows: rows as u32,
        query_heads: whole.group(),
        kv: PagedKv { kv_heads: 1, ..whole.kv },
        ..*whole
    };
    let strides = &input.strides;
    let head_of = |items: usize| items * kv_head as usize;
    let set_of = if whole.sets_per_sequence() > 1 { kv_head as usize } else { 0 };
    let arrays = AttentionArrays {
        query: &all.query
            [first_row * strides.query_row as usize + first_head * strides.query_head as usize..],
        key: &all.key[head_of(whole.kv.kv_head_stride as usize)..],
        value: &all.value[head_of(whole.kv.kv_head_stride as usize)..],
        block_table: &all.block_table[sequence * strides.table as usize..],
        lengths: &all.lengths[sequence..],
        row_starts: &[0, rows],
        set: &all.set[sequence * strides.set as usize + set_of * strides.set_head as usize..],
        set_sizes: &all.set_sizes[sequence * whole.sets_per_sequence() as usize + set_of..],
        masks: if whole.mask == Mask::Tree { &all.masks[first_row..] } else { all.masks },
        ..all
    };
    let reference = reference::attention(&problem, &arrays)?;
    Ok(Part { first_row, first_head, problem, reference })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use dustin::{attention::synthetic::NAN, element::encode};
    use dustin_autotune::workload::{Problem, Shape, Workload, named};
    use dustin_kernels::attention::params::EVERYTHING;

    use super::{super::SAMPLES, *};

    fn small() -> AttentionProblem {
        let Shape::Attention(mut shape) = named("cpu-0.5b").unwrap().shape else { panic!("of attention") };
        (shape.cache.batch, shape.cache.context, shape.k, shape.lse) = (7, 300, Some(64), true);
        match Workload::new("small".into(), shape).unwrap().problem {
            Problem::Attention(problem) => problem,
            other => panic!("{other:?}"),
        }
    }

    /// Every way to read, and both masks.
    fn ways() -> Vec<AttentionProblem> {
        let small = small();
        let sets = Sets::of_positions(64);
        let confirmed = [
            Confirmed::Sets(sets),
            Confirmed::Sets(Sets { per_kv_head: true, ..sets }),
            Confirmed::Window { sinks: 4, recent: 60 },
            Confirmed::Everything,
        ];
        let masks = [Mask::Causal, Mask::Tree];
        let pairs = confirmed.iter().flat_map(|&confirmed| masks.map(|mask| (confirmed, mask)));
        pairs.map(|(confirmed, mask)| AttentionProblem { confirmed, mask, ..small }).collect()
    }

    /// What a back end would write, and the reference of all of it.
    fn outputs(case: &AttentionCase) -> (Vec<u16>, Vec<f32>) {
        let (problem, strides) = (case.input.problem, case.input.strides);
        let whole = reference::attention(&problem, &case.input.arrays()).unwrap();
        let mut output = vec![NAN; case.input.output_items()];
        let (heads, dim) = (problem.query_heads as usize, problem.kv.head_dim as usize);
        for (index, &value) in whole.output.iter().enumerate() {
            let (row, head, item) = (index / dim / heads, index / dim % heads, index % dim);
            let at = row * strides.output_row as usize + head * strides.output_head as usize;
            output[at + item] = encode(problem.dtype, value as f32);
        }
        (output, whole.lse.iter().map(|&lse| lse as f32).collect())
    }

    #[test]
    fn the_reference_of_the_whole_batch_passes_for_its_parts_and_what_is_wrong_in_one_does_not() {
        for problem in ways() {
            let case = AttentionCase::timed(&problem, 300, 5).unwrap();
            assert_eq!(case.parts.len(), SAMPLES * 2);
            let (output, lse) = outputs(&case);
            assert_eq!(case.judge(&output, Some(&lse)), Ok(()), "{problem:?}");
            for part in &case.parts {
                let (mut wrong, mut wrong_lse) = (output.clone(), lse.clone());
                wrong[(part.first_row + 1) * 14 * 64 + part.first_head * 64] = NAN;
                assert!(case.judge(&wrong, None).unwrap_err().contains("row 1"), "{problem:?}");
                wrong_lse[part.first_row * 14 + part.first_head] += 1.0;
                assert!(case.judge(&output, Some(&wrong_lse)).unwrap_err().contains("log-sum-exp"));
            }
        }
    }

    #[test]
    fn an_output_that_was_not_written_is_refused_in_every_awkward_case() {
        for problem in ways() {
            let case = AttentionCase::awkward(&AttentionKey::from(&problem), 5).unwrap();
            assert_eq!((case.input.problem.mask, case.parts[0].reference.status), (problem.mask, 0));
            let (mut output, lse) = outputs(&case);
            assert_eq!(case.judge(&output, Some(&lse)), Ok(()), "{problem:?}");
            output[0] = NAN;
            assert!(case.judge(&output, None).unwrap_err().contains("row 0"), "{problem:?}");
        }
    }

    #[test]
    fn an_awkward_case_reads_what_the_key_says_and_has_the_flag_everything_where_there_are_sets() {
        for problem in ways() {
            let case = AttentionCase::awkward(&AttentionKey::from(&problem), 5).unwrap();
            let input = &case.input;
            assert_eq!(AttentionKey::from(&input.problem).index_set, AttentionKey::from(&problem).index_set);
            let flags = input.set_sizes.iter().filter(|&&size| size == EVERYTHING).count();
            assert_eq!(flags, input.problem.sets_per_sequence() as usize, "{problem:?}");
        }
    }

    #[test]
    fn a_large_problem_is_sampled_with_bounded_work_from_the_first_head_to_the_last() {
        let of = |name: &str, work| match named(name).unwrap() {
            workload @ Workload { problem: Problem::Attention(problem), .. } => {
                sampled(&problem, workload.context(), work)
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(of("w1", WORK).len(), SAMPLES * 8);
        let full = of("w1-full", WORK);
        assert_eq!((full[0], full[full.len() - 1]), ((0, 0), (15, 7)));
        assert!(full.len() as u64 * 32_773 * 40 * 256 <= WORK, "{} heads", full.len());
        let sequences: BTreeSet<usize> = full.iter().map(|(sequence, _)| *sequence).collect();
        let heads: BTreeSet<u32> = of("w1-full", WORK / 4).iter().map(|(_, head)| *head).collect();
        assert!(sequences.len() == SAMPLES && heads.len() > 4, "{sequences:?}, {heads:?}");
        assert_eq!(of("w1-full", 1), [(0, 0), (15, 7)]);
        assert_eq!(of("w1-full-b1", 1), [(0, 0), (0, 7)]);
    }
}
