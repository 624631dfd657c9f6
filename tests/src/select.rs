//! What the tests of selection share: the reference, the verdict on what a back end gave, and batches of the same sequences.

use dustin::select::{
    arrays::SelectStrides,
    compare::{Selected, compare},
    problem::{SelectProblem, SlotTable},
    reference::{self, Reference, Selection},
    synthetic::SelectInput,
};

/// What `input` must give.
///
/// # Errors
/// The input is not valid.
pub fn reference_of(input: &SelectInput) -> Result<Reference, String> {
    reference::select(&input.problem, &input.arrays()).map_err(|error| error.to_string())
}

/// Judges sets, sizes and status word, bit for bit; nothing else may have been written.
///
/// # Errors
/// What is wrong, in a sentence.
pub fn judge(input: &SelectInput, reference: &Reference, selected: &Selected) -> Result<(), String> {
    compare(&input.problem, &input.strides, reference, selected).map_err(|mismatch| mismatch.to_string())
}

/// Sequences of the given `lengths` and what their sets of sinks and a window are, with physical slots on pages of 16 tokens that
/// lie in the reverse order of the table's.
#[must_use]
pub fn sinks_and_window(lengths: &[i32], sinks: i32, recent: i32) -> (SelectInput, Reference) {
    const PAGE: i32 = 16;
    let most = lengths.iter().copied().max().unwrap_or(0).max(1);
    let (batch, width) = (lengths.len() as i32, (most + PAGE - 1) / PAGE);
    let pages = batch * width;
    let table = SlotTable { pages: pages as u32, page_size: PAGE as u32, table_width: width as u32 };
    let window = SelectProblem::sinks_and_window(batch as u32, most as u32, sinks as u32, recent as u32);
    let problem = SelectProblem { table: Some(table), ..window };
    let slot = |sequence: i32, position: i32| {
        (pages - 1 - (sequence * width + position / PAGE)) * PAGE + position % PAGE
    };
    let set = |(sequence, &length): (i32, &i32)| {
        let positions: Vec<i32> =
            (0..length).filter(|&position| position < sinks || position >= length - recent).collect();
        let physical = positions.iter().map(|&position| slot(sequence, position)).collect();
        Selection::Set { positions, physical: Some(physical) }
    };
    let reference = Reference { sets: (0..).zip(lengths).map(set).collect(), status: 0 };
    let input = SelectInput {
        problem,
        strides: SelectStrides::dense(&problem),
        draft: None,
        target: None,
        map_starts: problem.equal_parts(),
        lengths: lengths.to_vec(),
        target_slots: None,
        block_table: Some((0..pages).rev().collect()),
    };
    (input, reference)
}

/// The sequences of `input`, in which there is no fault, in `order`; their parts of the maps begin elsewhere.
#[must_use]
pub fn batch_of(input: &SelectInput, order: &[usize]) -> SelectInput {
    const START: usize = 13;
    let part = |sequence: usize| input.map_starts[sequence] as usize..input.map_starts[sequence + 1] as usize;
    let map = |map: &Vec<f32>| {
        let parts = order.iter().flat_map(|&sequence| &map[part(sequence)]);
        std::iter::repeat_n(&f32::NAN, START).chain(parts).copied().collect::<Vec<_>>()
    };
    let width = input.strides.table as usize;
    let tables = |table: &Vec<i32>| {
        let mut padded = table.clone();
        padded.resize(input.problem.batch as usize * width, -1);
        order.iter().flat_map(|&sequence| &padded[sequence * width..][..width]).copied().collect()
    };
    let of_sequences = |items: &Vec<i32>| order.iter().map(|&sequence| items[sequence]).collect::<Vec<_>>();
    let mut batch = SelectInput {
        draft: input.draft.as_ref().map(map),
        target: input.target.as_ref().map(map),
        map_starts: vec![START as i32],
        lengths: of_sequences(&input.lengths),
        target_slots: input.target_slots.as_ref().map(of_sequences),
        block_table: input.block_table.as_ref().map(tables),
        ..input.clone()
    };
    let mut end = START;
    for &sequence in order {
        end += part(sequence).len();
        batch.map_starts.push(end as i32);
    }
    batch.problem.batch = order.len() as u32;
    batch.problem.map_capacity = end as u32;
    batch
}

/// Size, positions and slots of the set of `sequence`.
#[must_use]
pub fn set_of<'a>(
    input: &SelectInput,
    selected: &'a Selected,
    sequence: usize,
) -> (i32, &'a [i32], Option<&'a [i32]>) {
    let start = sequence * input.strides.set as usize;
    let row = start..start + input.problem.budget as usize;
    let physical = selected.physical.as_ref().map(|slots| &slots[row.clone()]);
    (selected.set_sizes[sequence], &selected.set[row], physical)
}
