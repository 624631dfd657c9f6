//! The same bits.

use dustin::attention::{
    arrays::OutputType,
    launch::Splits,
    problem::{AttentionProblem, Confirmed, Mask, Sets},
    space::Candidate,
    synthetic::{AttentionInput, NAN, SequenceShape},
};
use dustin_kernels::registry::ATTENTION;
use dustin_tests::{
    cuda_backend::{Asked, Prepared},
    gpu::{Gpu, text, trial},
    verdict::Attended,
};
use libtest_mimic::Trial;

use super::{ragged, ragged_input, some_variants, stream};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        trial("every_launch_gives_the_same_bits", repeatable),
        trial("a_sequence_alone_has_the_bits_that_it_has_in_a_batch", alone),
        trial("a_sequence_has_the_same_bits_wherever_it_stands_in_the_batch", reversed),
        trial("splits_of_a_cluster_give_the_bits_of_those_in_memory", where_splits_merge_makes_no_difference),
        trial("the_flag_everything_has_the_bits_of_a_launch_without_sets", flagged),
    ]
}

/// The bits of output and log-sum-exp.
fn bits(attended: &Attended) -> (Vec<u32>, Vec<u32>) {
    let lse = attended.lse.iter().flatten().map(|x| x.to_bits()).collect();
    (attended.output.bits(), lse)
}

fn asked(candidate: Candidate) -> Asked {
    Asked { output_type: OutputType::F32, ..Asked::rounded(candidate) }
}

fn repeatable(gpu: &'static Gpu) -> Result<(), String> {
    let stream = stream(gpu)?;
    for (seed, variant) in ATTENTION.iter().enumerate() {
        let input = ragged_input(variant, seed as u64)?;
        let cluster = variant.tile.clusters(variant.head_dim).then_some(Splits::of_cluster(5));
        for splits in [1, 5].map(Splits::from).into_iter().chain(cluster) {
            let candidate = Candidate { variant, splits };
            let mut prepared = Prepared::new(&gpu.modules, &stream, &input, asked(candidate))?;
            let first = bits(&prepared.attend(&stream)?);
            for _ in 0..4 {
                prepared.poison(&stream).map_err(text)?;
                if bits(&prepared.attend(&stream)?) != first {
                    return Err(format!("{candidate}, seed {seed}: two launches differ"));
                }
            }
        }
    }
    Ok(())
}

fn where_splits_merge_makes_no_difference(gpu: &'static Gpu) -> Result<(), String> {
    let stream = stream(gpu)?;
    for (seed, variant) in ATTENTION.iter().enumerate().filter(|(_, v)| v.tile.clusters(v.head_dim)) {
        let input = ragged_input(variant, seed as u64)?;
        for count in [2, 3, 8] {
            let given = |splits| {
                let asked = asked(Candidate { variant, splits });
                Ok::<_, String>(bits(&Prepared::new(&gpu.modules, &stream, &input, asked)?.attend(&stream)?))
            };
            if given(count.into())? != given(Splits::of_cluster(count))? {
                return Err(format!("{}, {count} splits, seed {seed}: other bits as a cluster", variant.id));
            }
        }
    }
    Ok(())
}

/// The sequences of `input` in `order`, in a batch with other capacities.
fn batch_of(input: &AttentionInput, order: &[usize], spare: u32) -> AttentionInput {
    let rows_of =
        |sequence: usize| input.row_starts[sequence] as usize..input.row_starts[sequence + 1] as usize;
    let total_rows: u32 = order.iter().map(|&sequence| rows_of(sequence).len() as u32).sum();
    let (table, set) = (input.strides.table as usize, input.strides.set as usize);
    let mut batch = AttentionInput {
        problem: AttentionProblem {
            batch: order.len() as u32,
            total_rows: total_rows.max(1),
            confirmed: Confirmed::Sets(Sets::of_positions(input.problem.confirmed_capacity() - spare)),
            ..input.problem
        },
        query: vec![],
        block_table: vec![],
        lengths: vec![],
        row_starts: vec![0],
        set: vec![],
        set_sizes: vec![],
        masks: vec![],
        ..input.clone()
    };
    let row = input.strides.query_row as usize;
    for &sequence in order {
        let rows = rows_of(sequence);
        batch.query.extend(&padded(&input.query, row)[rows.start * row..rows.end * row]);
        batch.block_table.extend(&padded(&input.block_table, table)[sequence * table..][..table]);
        batch.set.extend(&padded(&input.set, set)[sequence * set..][..set]);
        batch.lengths.push(input.lengths[sequence]);
        batch.set_sizes.push(input.set_sizes[sequence]);
        batch.masks.extend(input.masks.get(rows.clone()).unwrap_or_default());
        batch.row_starts.push(batch.row_starts[batch.row_starts.len() - 1] + rows.len() as i32);
    }
    // A batch without rows has the capacity for one.
    let items = batch.strides.query_extent(&batch.problem) as usize;
    batch.query.resize(items.max(batch.query.len()), NAN);
    if batch.problem.mask == Mask::Tree {
        batch.masks.resize(batch.problem.total_rows as usize, 0);
    }
    batch
}

/// `items` with the gap behind their last row, which arrays may lack.
fn padded<T: Copy + Default>(items: &[T], stride: usize) -> Vec<T> {
    let mut items = items.to_vec();
    items.resize(items.len().next_multiple_of(stride), T::default());
    items
}

/// The bits of each of the rows of `sequence`, its outputs without the gaps.
fn bits_of(input: &AttentionInput, attended: &Attended, sequence: usize) -> Vec<u32> {
    let (problem, strides) = (&input.problem, &input.strides);
    let (output, lse) = bits(attended);
    let heads = problem.query_heads as usize;
    let rows = input.row_starts[sequence] as usize..input.row_starts[sequence + 1] as usize;
    rows.flat_map(|row| (0..heads).map(move |head| (row, head)))
        .flat_map(|(row, head)| {
            let start = row * strides.output_row as usize + head * strides.output_head as usize;
            let items = &output[start..start + problem.kv.head_dim as usize];
            items.iter().copied().chain([lse[row * heads + head]]).collect::<Vec<_>>()
        })
        .collect()
}

/// Sequences whose sets are the flag, beside others, and the same ones read as a whole by a launch that has no sets.
fn flagged(gpu: &'static Gpu) -> Result<(), String> {
    let stream = stream(gpu)?;
    for (seed, candidate) in some_variants().enumerate() {
        let mut listed = ragged(candidate.variant, seed as u64);
        listed.contents.poison_unselected = false;
        for sequence in listed.sequences.iter_mut().skip(2) {
            sequence.set_size = SequenceShape::EVERYTHING;
        }
        let listed = listed.input().map_err(text)?;
        let problem = AttentionProblem { confirmed: Confirmed::Everything, ..listed.problem };
        let whole = AttentionInput { problem, set: vec![], set_sizes: vec![], ..listed.clone() };
        let attend = |input: &AttentionInput| {
            Prepared::new(&gpu.modules, &stream, input, asked(candidate))?.attend(&stream)
        };
        let (by_flag, at_once) = (attend(&listed)?, attend(&whole)?);
        for sequence in 2..problem.batch as usize {
            if bits_of(&listed, &by_flag, sequence) != bits_of(&whole, &at_once, sequence) {
                return Err(format!("{candidate}, seed {seed}: sequence {sequence} has other bits"));
            }
        }
    }
    Ok(())
}

fn alone(gpu: &'static Gpu) -> Result<(), String> {
    same_bits(gpu, |batch| (0..batch).map(|sequence| vec![sequence]).collect())
}

fn reversed(gpu: &'static Gpu) -> Result<(), String> {
    same_bits(gpu, |batch| vec![(0..batch).rev().collect()])
}

/// Every sequence has the bits of the whole batch in each of the batches that `batches` makes of as many sequences.
fn same_bits(gpu: &Gpu, batches: impl Fn(usize) -> Vec<Vec<usize>>) -> Result<(), String> {
    let stream = stream(gpu)?;
    for (seed, candidate) in some_variants().enumerate() {
        let input = ragged_input(candidate.variant, seed as u64)?;
        let attend = |input: &AttentionInput| {
            Prepared::new(&gpu.modules, &stream, input, asked(candidate))?.attend(&stream)
        };
        let whole = attend(&input)?;
        for order in batches(input.problem.batch as usize) {
            let batch = batch_of(&input, &order, 1);
            let attended = attend(&batch)?;
            for (place, &sequence) in order.iter().enumerate() {
                if bits_of(&batch, &attended, place) != bits_of(&input, &whole, sequence) {
                    return Err(format!(
                        "{candidate}, seed {seed}: sequence {sequence} differs in the batch {order:?}"
                    ));
                }
            }
        }
    }
    Ok(())
}
