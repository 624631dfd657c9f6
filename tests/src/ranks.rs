//! Tensor parallelism, whatever the back end: each rank scores its share of the heads, the partial maps are summed, and every
//! rank selects from the sum.

use dustin::{
    Dtype,
    kv::KvLayout,
    score::{
        problem::Source,
        synthetic::{Contents, Logits, Recipe, ScoreInput, SequenceShape},
    },
    select::{compare::Selected, problem::SelectProblem, synthetic::SelectInput},
};

use crate::{
    score::{Scored, judge, reference_of},
    select,
    sets::{require_recall, selection},
};

/// The numbers of ranks that the KV heads of [`recipe`] are shared out over.
pub const SIZES: [u32; 3] = [2, 4, 8];

/// Heads of two layers of a model with 8 KV heads, for a ragged batch whose longest sequence has `length` tokens. Of 8 ranks
/// two have no head at all, and three have some in the first layer alone.
#[must_use]
pub fn recipe(dtype: Dtype, head_dim: u32, length: u32) -> Recipe {
    let shape = |length, captured| SequenceShape { length, room: 0, captured };
    Recipe {
        dtype,
        head_dim,
        kv_heads: 8,
        group: 3,
        page_size: 16,
        layout: KvLayout::Nhd,
        sequences: vec![shape(length / 7, true), shape(length, true), shape(0, true), shape(40, false)],
        sources: Source::mean(&[&[0, 1, 4, 7, 11, 13, 14, 22], &[2, 9, 23]], 2),
        tokens: 2,
        accumulate: false,
        spare: 1,
        padding: 1,
        contents: Contents { logits: Logits::Peaked, slots: true, seed: head_dim.into() },
    }
}

/// Lets `tp_size` ranks `score` their shares of `whole` and `select` sets of `budget` positions from the sum of their maps,
/// which is made in the order of the ranks. Both are given the rank's number.
///
/// # Errors
/// The sum is not the map of the whole, a rank's set is not another's, or the sets are not the best of the f64 map.
pub fn judge_ranks(
    whole: &ScoreInput,
    tp_size: u32,
    budget: u32,
    mut score: impl FnMut(usize, &ScoreInput) -> Result<Scored, String>,
    mut select: impl FnMut(usize, &SelectInput) -> Result<Selected, String>,
) -> Result<(), String> {
    let of_rank = |rank: u32, error: String| format!("rank {rank} of {tp_size}: {error}");
    let mut sum = vec![0.0; whole.map.len()];
    for rank in 0..tp_size {
        let share = whole.share(tp_size, rank).map_err(|error| of_rank(rank, error.to_string()))?;
        // A rank without heads has nothing to add.
        let Some(share) = share else { continue };
        let scored = score(rank as usize, &share).map_err(|error| of_rank(rank, error))?;
        judge(&share, &reference_of(&share)?, &scored).map_err(|error| of_rank(rank, error))?;
        sum.iter_mut().zip(scored.map).for_each(|(sum, score)| *sum += score);
    }
    let reference = reference_of(whole)?;
    // Outside the sequences' parts nobody writes: each partial map has been judged for that.
    let summed = ScoreInput { map: sum.clone(), ..whole.clone() };
    judge(&summed, &reference, &Scored { map: sum.clone(), status: 0 })
        .map_err(|error| format!("the sum over {tp_size} ranks: {error}"))?;

    let rules = SelectProblem { sinks: 4, recent: budget / 16, ..SelectProblem::plain(1, 1, budget) };
    let input = selection(whole, rules, sum, None);
    let first = select(0, &input).map_err(|error| of_rank(0, error))?;
    for rank in 1..tp_size {
        let selected = select(rank as usize, &input).map_err(|error| of_rank(rank, error))?;
        if selected != first {
            return Err(of_rank(rank, "its sets are not those of rank 0".into()));
        }
    }
    select::judge(&input, &select::reference_of(&input)?, &first)?;
    require_recall(&input, &reference.map, None, &first)
}
