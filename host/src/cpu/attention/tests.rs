use dustin_kernels::registry::Dtype;

use super::{
    super::{CpuLimits, Instructions},
    *,
};
use crate::{
    attention::{
        compare::{Output, compare_output},
        problem::{Confirmed, Mask, Sets},
        reference,
        synthetic::{AttentionInput, Contents, Logits, Recipe, SequenceShape},
    },
    kv::KvLayout,
};

fn recipe() -> Recipe {
    let shape = |length, rows, set_size| SequenceShape { length, rows, set_size };
    Recipe {
        dtype: Dtype::Bf16,
        head_dim: 64,
        kv_heads: 2,
        group: 3,
        page_size: 8,
        layout: KvLayout::Nhd,
        sequences: vec![shape(300, 3, 200), shape(40, 0, 5), shape(70, 1, 70)],
        confirmed: Confirmed::Sets(Sets::of_positions(0)),
        mask: Mask::Causal,
        spare: 1,
        padding: 0,
        head_major: false,
        lse: false,
        contents: Contents { logits: Logits::Flat, sorted: true, poison_unselected: true, seed: 5 },
    }
}

fn attend(backend: &mut CpuBackend, input: &AttentionInput, candidate: &CpuCandidate) -> Vec<u32> {
    let mut output = vec![0f32; input.output_items()];
    backend.attention(&input.problem, candidate, &input.arrays(), OutputMut::F32(&mut output), None).unwrap();
    output.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn ids_are_unique_and_there_are_at_least_24_variants() {
    let ids: std::collections::HashSet<_> = VARIANTS.iter().map(|variant| variant.id).collect();
    assert_eq!(ids.len(), VARIANTS.len());
    assert!(ids.len() >= 24);
}

#[test]
fn every_instruction_set_gives_the_reference() {
    for dtype in [Dtype::Bf16, Dtype::F16] {
        for head_dim in [64, 128] {
            let input = Recipe { dtype, head_dim, ..recipe() }.input().unwrap();
            let reference = reference::attention(&input.problem, &input.arrays()).unwrap();
            for instructions in Instructions::available() {
                let mut backend = CpuBackend::new(1).unwrap();
                backend.instructions = instructions;
                for variant in VARIANTS {
                    let candidate = CpuCandidate { variant, threads: 1, splits: 2 };
                    let bits = attend(&mut backend, &input, &candidate);
                    let output: Vec<f32> = bits.into_iter().map(f32::from_bits).collect();
                    let output = Output::F32(&output);
                    let figures = compare_output(&input.problem, &input.arrays(), &reference, output);
                    let figures = figures.unwrap_or_else(|e| panic!("{instructions:?} {candidate}: {e}"));
                    assert!(figures.relative_norm < 1e-6, "{instructions:?} {candidate}: {figures:?}");
                }
            }
        }
    }
}

#[test]
fn a_sequence_has_the_same_bits_alone_and_in_a_batch_whatever_the_threads() {
    let mut backend = CpuBackend::new(3).unwrap();
    let batch = recipe().input().unwrap();
    let row = batch.strides.output_row as usize;
    let mut alone = batch.clone();
    alone.problem.batch = 1;
    alone.problem.total_rows = 3;
    for variant in VARIANTS {
        let candidate = |threads, splits| CpuCandidate { variant, threads, splits };
        let together = attend(&mut backend, &batch, &candidate(3, 2));
        assert!(together == attend(&mut backend, &batch, &candidate(1, 2)));
        assert!(together[..3 * row] == attend(&mut backend, &alone, &candidate(2, 2)));
        let whole = attend(&mut backend, &batch, &candidate(3, 1));
        assert!(together != whole || variant.tokens >= 128, "{} never splits", variant.id);
    }
}

#[test]
fn nan_in_a_later_own_row_does_not_reach_an_earlier_one() {
    let mut backend = CpuBackend::new(1).unwrap();
    let mut input = recipe().input().unwrap();
    let kv = input.problem.kv;
    let last = 302;
    let page = input.block_table[last / 8] as u32;
    for head in 0..kv.kv_heads {
        let at = kv.offset(page, last as u32 % 8, head) as usize;
        input.key[at..at + 64].fill(crate::attention::synthetic::NAN);
        input.value[at..at + 64].fill(crate::attention::synthetic::NAN);
    }
    let candidate = CpuCandidate { variant: &VARIANTS[12], threads: 1, splits: 1 };
    let output = attend(&mut backend, &input, &candidate);
    let row = input.strides.output_row as usize;
    assert!(output[..2 * row].iter().all(|&bits| f32::from_bits(bits).is_finite()));
    assert!(output[2 * row..3 * row].iter().all(|&bits| f32::from_bits(bits).is_nan()));
}

/// Judges an output of every row and head, one at a time and shared out, by the reference.
fn check_output(input: &AttentionInput) {
    let mut backend = CpuBackend::new(2).unwrap();
    input.strides.validate(&input.problem).unwrap();
    let reference = reference::attention(&input.problem, &input.arrays()).unwrap();
    let candidate = CpuCandidate { variant: &VARIANTS[12], threads: 2, splits: 2 };
    let output: Vec<f32> = attend(&mut backend, input, &candidate).into_iter().map(f32::from_bits).collect();
    compare_output(&input.problem, &input.arrays(), &reference, Output::F32(&output)).unwrap();
}

#[test]
fn one_row_with_its_heads_outside_is_written_whole() {
    let sequences = vec![SequenceShape { length: 30, rows: 1, set_size: 20 }];
    let recipe = Recipe { head_dim: 128, kv_heads: 4, group: 2, sequences, spare: 0, ..recipe() };
    let mut input = recipe.input().unwrap();
    (input.strides.output_row, input.strides.output_head) = (128, 128);
    assert_eq!((input.problem.total_rows, input.strides.rows_outside(&input.problem)), (1, false));
    check_output(&input);
}

#[test]
fn one_head_with_a_stride_beyond_its_rows_is_written_whole() {
    let sequences = vec![SequenceShape { length: 30, rows: 4, set_size: 20 }; 25];
    let recipe = Recipe { kv_heads: 1, group: 1, sequences, spare: 0, ..recipe() };
    let mut input = recipe.input().unwrap();
    (input.strides.output_row, input.strides.output_head) = (64, 4096);
    assert_eq!((input.problem.total_rows, input.strides.rows_outside(&input.problem)), (100, true));
    check_output(&input);
}

#[test]
fn heads_outside_with_several_rows_are_written_whole() {
    for padding in [0, 2] {
        let input = Recipe { head_major: true, padding, ..recipe() }.input().unwrap();
        assert!(!input.strides.rows_outside(&input.problem));
        check_output(&input);
    }
}

#[test]
fn rows_of_an_earlier_sequence_are_refused_and_take_no_memory() {
    let mut backend = CpuBackend::new(1).unwrap();
    let mut input = recipe().input().unwrap();
    // Four of the later sequences claim the rows of the first; all are of the first's inputs.
    input.problem.batch = 9;
    input.row_starts = vec![0, 3, 0, 3, 0, 3, 0, 3, 0, 3];
    input.lengths = vec![300; 9];
    input.set_sizes = vec![200; 9];
    let (table, set) = (input.strides.table as usize, input.strides.set as usize);
    input.block_table = input.block_table[..table].repeat(9);
    input.set = input.set[..set].repeat(9);
    let candidate = CpuCandidate { variant: &VARIANTS[12], threads: 1, splits: 1 };
    let mut output = vec![0f32; input.output_items()];
    let status = backend
        .attention(&input.problem, &candidate, &input.arrays(), OutputMut::F32(&mut output), None)
        .unwrap();
    let columns = 3 * input.problem.query_heads as usize;
    assert_eq!(backend.attention.partials.len(), columns * (64 + 2));
    let reference = reference::attention(&input.problem, &input.arrays()).unwrap();
    assert_eq!(status, dustin_kernels::fault::Fault::Rows.word(8));
    assert_eq!(status, reference.status);
    compare_output(&input.problem, &input.arrays(), &reference, Output::F32(&output)).unwrap();
}

#[test]
fn bad_requests_are_refused_by_field() {
    let mut backend = CpuBackend::new(2).unwrap();
    let input = recipe().input().unwrap();
    let good = CpuCandidate { variant: &VARIANTS[0], threads: 2, splits: 1 };
    let mut field = |candidate: CpuCandidate, items: usize, lse: bool| {
        let (mut output, mut lses) = (vec![0u16; items], vec![0f32; 100]);
        let lse = lse.then_some(LseMut { items: &mut lses, base: LogBase::E });
        let output = OutputMut::Rounded(&mut output);
        backend.attention(&input.problem, &candidate, &input.arrays(), output, lse).unwrap_err().field
    };
    let items = input.output_items();
    static EMPTY: CpuVariant = CpuVariant { tokens: 0, ..VARIANTS[0] };
    assert_eq!(field(CpuCandidate { variant: &EMPTY, ..good }, items, false), "variant");
    assert_eq!(field(CpuCandidate { threads: 0, ..good }, items, false), "threads");
    assert_eq!(field(CpuCandidate { threads: 3, ..good }, items, false), "threads");
    assert_eq!(field(CpuCandidate { splits: 0, ..good }, items, false), "splits");
    assert_eq!(field(CpuCandidate { splits: 65, ..good }, items, false), "splits");
    assert_eq!(field(good, items - 1, false), "output");
    assert_eq!(field(good, items, true), "lse");
}

#[test]
fn the_space_holds_every_variant_and_explains_what_it_leaves_out() {
    let confirmed = Confirmed::Sets(Sets::of_positions(512));
    let problem = AttentionProblem { confirmed, table_width: 100, ..recipe().problem() };
    let limits = CpuLimits { threads: 6 };
    let (legal, excluded) = candidates(&problem, limits).unwrap();
    assert_eq!(legal.len() + excluded.len(), VARIANTS.len() * 4 * 6);
    for variant in VARIANTS {
        assert!(legal.iter().any(|candidate| candidate.variant == variant));
    }
    let wide = excluded.iter().find(|e| e.candidate.variant.tokens == 512 && e.candidate.splits == 2);
    assert_eq!(wide.unwrap().reason, "a full set is 1 tiles: some of 2 splits would be empty");
    let default = default_candidate(&problem, limits).unwrap();
    assert!(legal.contains(&default), "{default}");
    assert_eq!(default.threads, 6);
}
