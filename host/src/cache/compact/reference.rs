//! Compacting from a copy of the caches, written for clarity: it judges every back end, bit for bit.

use dustin_kernels::fault::Fault;

use super::{OPERATION, arrays::CompactArrays, problem::CompactProblem};
use crate::{
    cache::{layer::LayerMut, step::Step},
    error::{InvalidInput, require_items},
};

/// Compacts the accepted rows of `arrays` in each of the `layers`, with the defined results where the device's data is out of
/// range. Returns the status word of a launch that starts with 0, in which the highest fault stays.
///
/// * Of a sequence whose rows descend, exceed the capacity or leave the batch's, or whose length is negative, nothing moves,
///   and one fault is reported.
/// * Of a sequence whose list's count is negative or exceeds its room nothing moves, and it is reported.
/// * A list ends before the first entry that is not above the one before, or that is no row of the sequence's. That is
///   reported, unless lists have no counts and the entry is negative.
/// * A row that would move, and whose old or new position lies beyond the block table or on a page outside the cache, is left
///   alone, and reported.
///
/// # Errors
/// The problem or the strides are invalid, an array is missing or too short, or there are other than the problem's layers.
pub fn compact(
    problem: &CompactProblem,
    arrays: &CompactArrays<'_>,
    layers: &mut [LayerMut<'_>],
) -> Result<u64, InvalidInput> {
    arrays.validate(problem)?;
    validate_layers(problem, layers)?;
    let step = &problem.step;
    let mut status = 0;
    // Item offsets of tokens, from and to.
    let mut moves = Vec::new();
    for sequence in 0..step.batch {
        let mut report = |fault: Fault| status = status.max(fault.word(sequence));
        let of_sequence = arrays.step.rows(step, sequence).map_err(&mut report);
        let Ok((_, rows)) = of_sequence else { continue };
        let (accepted, fault) = arrays.rows(problem, sequence, rows);
        fault.into_iter().for_each(&mut report);
        for (place, row) in accepted.into_iter().enumerate() {
            if row as usize == place {
                continue;
            }
            let [from, to] = [row, place as u32].map(|row| arrays.step.place(step, sequence, row));
            match (from, to) {
                (Ok(from), Ok(to)) => moves.push((from, to)),
                _ => [from, to].into_iter().filter_map(Result::err).for_each(&mut report),
            }
        }
    }
    for layer in layers {
        layer.each(|_, cache| move_tokens(step, &moves, cache));
    }
    Ok(status)
}

/// Checks that there are as many layers as the problem has, each with caches of its shape.
pub(crate) fn validate_layers(problem: &CompactProblem, layers: &[LayerMut<'_>]) -> Result<(), InvalidInput> {
    require_items(OPERATION, "layers", layers.len(), problem.layers.into())?;
    layers.iter().try_for_each(|layer| layer.validate(OPERATION, &problem.step.kv))
}

fn move_tokens(step: &Step, moves: &[(u64, u64)], cache: &mut [u16]) {
    let before = cache.to_vec();
    for &(from, to) in moves {
        for head in 0..u64::from(step.kv.kv_heads) {
            for item in 0..u64::from(step.kv.head_dim) {
                let offset = head * step.kv.kv_head_stride + item;
                cache[(to + offset) as usize] = before[(from + offset) as usize];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cache::step::StepArrays,
        kv::{KvLayout, PagedKv},
    };

    /// Tokens are marked by their positions in the cache; two sequences, of which the second has a page that is none.
    #[test]
    fn accepted_rows_stand_in_order_and_the_rest_as_before() {
        let kv = PagedKv::dense(KvLayout::Nhd, 5, 2, 1, 64);
        let step = Step { batch: 2, rows: 6, total_rows: 12, kv, table_width: 4 };
        let problem = CompactProblem { step, layers: 2, accepted: 4, counted: false };
        let arrays = CompactArrays {
            step: StepArrays {
                block_table: &[9, 4, 0, 2, 1, 9, 3, 9],
                table_stride: 4,
                lengths: &[2, 0],
                row_starts: &[0, 6, 12],
            },
            accepted: &[0, 2, 3, 5, 1, 5, -1, 7],
            accepted_stride: 4,
            counts: None,
        };
        let marked = |mark: u16| -> Vec<u16> { (0..640).map(|item| mark + item / 64).collect() };
        let mut items = [marked(0), marked(100), marked(200), marked(300)];
        let [key, value, other_key, other_value] = &mut items;
        let mut layers =
            [LayerMut::Separate { key, value }, LayerMut::Separate { key: other_key, value: other_value }];
        // Sequence 0 has rows on tokens 8, 9, 0, 1, 4, 5: rows 2, 3, 5 move to 9, 0, 1. Of sequence 1, on tokens 2, 3, -, -,
        // 6, 7, row 1 moves to token 2 and row 5 to token 3.
        assert_eq!(compact(&problem, &arrays, &mut layers), Ok(0));
        for (cache, mark) in items.iter().zip([0, 100, 200, 300]) {
            let tokens: Vec<u16> = cache.iter().step_by(64).map(|item| item - mark).collect();
            assert_eq!(tokens, [1, 5, 3, 7, 4, 5, 6, 7, 8, 0]);
        }

        let [key, value, other_key, other_value] = &mut items;
        let mut layers =
            [LayerMut::Separate { key, value }, LayerMut::Separate { key: other_key, value: other_value }];
        let arrays = CompactArrays { accepted: &[0, 1, 1, 2, 1, 3, -1, -1], ..arrays };
        assert_eq!(compact(&problem, &arrays, &mut layers), Ok(Fault::Accepted.word(0)));
        let arrays = CompactArrays { accepted: &[-1, 1, 1, 2, 1, 3, -1, -1], ..arrays };
        assert_eq!(compact(&problem, &arrays, &mut layers), Ok(Fault::Page.word(1)));
        assert_eq!(compact(&problem, &arrays, &mut layers[1..]).unwrap_err().field, "layers");
    }
}
