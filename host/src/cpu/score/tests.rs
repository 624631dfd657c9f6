use dustin_kernels::{fault::Fault, registry::Dtype};

use super::*;
use crate::{
    cpu::{CpuLimits, Instructions},
    kv::KvLayout,
    score::{
        compare::{compare_map, recall},
        problem::Source,
        reference,
        synthetic::{Contents, Logits, Plant, Recipe, ScoreInput, SequenceShape, Size},
    },
};

fn recipe() -> Recipe {
    let shape = |length| SequenceShape { length, room: 3, captured: true };
    Recipe {
        dtype: Dtype::Bf16,
        head_dim: 64,
        kv_heads: 2,
        group: 3,
        page_size: 8,
        layout: KvLayout::Nhd,
        sequences: vec![shape(2500), shape(0), shape(1024), shape(70)],
        sources: Source::mean(&[&[0, 1, 4], &[2]], 3),
        tokens: 3,
        accumulate: false,
        spare: 1,
        padding: 0,
        contents: Contents { logits: Logits::Peaked, slots: true, seed: 5 },
    }
}

fn score(backend: &mut CpuBackend, input: &ScoreInput, candidate: &Candidate) -> (Vec<f32>, u64) {
    let mut map = input.map.clone();
    let status = backend.score(&input.problem, candidate, &input.arrays(), &mut map).unwrap();
    (map, status)
}

fn bits(map: &[f32]) -> Vec<u32> {
    map.iter().map(|x| x.to_bits()).collect()
}

/// Judges the map and the status word of `input` by the reference.
fn check(backend: &mut CpuBackend, input: &ScoreInput, candidate: &Candidate) {
    let reference = reference::score(&input.problem, &input.arrays(), &input.map).unwrap();
    let (map, status) = score(backend, input, candidate);
    assert_eq!(status, reference.status, "{candidate}");
    let figures = compare_map(&input.problem, &reference, &input.map, &map);
    let figures = figures.unwrap_or_else(|error| panic!("{candidate}: {error}"));
    assert!(figures.relative_norm < 1e-5 && figures.sum_error < 1e-5, "{candidate}: {figures:?}");
}

#[test]
fn every_variant_gives_the_reference_with_every_instruction_set() {
    for (dtype, head_dim) in [(Dtype::Bf16, 64), (Dtype::Bf16, 128), (Dtype::F16, 64), (Dtype::F16, 128)] {
        let input = Recipe { dtype, head_dim, ..recipe() }.input().unwrap();
        for instructions in Instructions::available() {
            let mut backend = CpuBackend::new(2).unwrap();
            backend.instructions = instructions;
            for variant in VARIANTS {
                check(&mut backend, &input, &Candidate { variant, threads: 2 });
            }
        }
    }
}

#[test]
fn random_inputs_with_and_without_faults_give_the_reference() {
    let size = Size { batch: 5, kv_heads: 4, length: 700, layers: 3, tokens: 4, heads: 12 };
    let mut backend = CpuBackend::new(2).unwrap();
    for seed in 0..400 {
        let dtype = if seed % 2 == 0 { Dtype::Bf16 } else { Dtype::F16 };
        let head_dim = if seed % 4 < 2 { 64 } else { 128 };
        let mut input = Recipe::random(dtype, head_dim, size, seed).input().unwrap();
        if seed % 3 == 0 {
            let sequence = seed as usize % input.problem.batch as usize;
            input.plant(Plant::ALL[seed as usize / 3 % Plant::ALL.len()], sequence);
        }
        let variant = &VARIANTS[seed as usize / 12 % VARIANTS.len()];
        check(&mut backend, &input, &Candidate { variant, threads: 1 + seed as u32 % 2 });
    }
}

#[test]
fn the_probabilities_of_every_column_alone_sum_up_to_1() {
    let mut backend = CpuBackend::new(2).unwrap();
    let whole = Recipe { tokens: 1, ..recipe() }.input().unwrap();
    for (source, head) in [(0, 0), (0, 1), (0, 2), (1, 0)] {
        let mut input = whole.clone();
        let heads = input.problem.sources.iter_mut().flat_map(|source| &mut source.heads);
        heads.for_each(|captured| captured.weight = 0.0);
        input.problem.sources[source].heads[head].weight = 1.0;
        for variant in VARIANTS {
            let (map, _) = score(&mut backend, &input, &Candidate { variant, threads: 2 });
            for (&start, &length) in input.map_starts.iter().zip(&input.lengths).filter(|(_, len)| **len > 0)
            {
                let part = &map[start as usize..][..length as usize];
                let sum: f64 = part.iter().map(|&score| f64::from(score)).sum();
                assert!((sum - 1.0).abs() <= 1e-4, "{}: column {source}, {head}: {sum}", variant.id);
            }
        }
    }
}

#[test]
fn the_best_512_of_32k_tokens_are_those_of_f64() {
    let mut backend = CpuBackend::new(2).unwrap();
    for logits in [Logits::Flat, Logits::Peaked] {
        let mut recipe = recipe();
        recipe.sequences[0].length = 32_768;
        recipe.contents.logits = logits;
        let input = recipe.input().unwrap();
        let reference = reference::score(&input.problem, &input.arrays(), &input.map).unwrap();
        let candidate = default_candidate(&input.problem, backend.limits()).unwrap();
        let (map, _) = score(&mut backend, &input, &candidate);
        let part = reference.parts[0].clone();
        let recall = recall(&reference.map[part.clone()], &map[part], 512);
        assert!(recall >= 0.999, "{logits:?}: {recall}");
    }
}

#[test]
fn a_sequence_has_the_same_bits_alone_and_in_a_batch_whatever_the_threads() {
    let mut backend = CpuBackend::new(3).unwrap();
    let batch = recipe().input().unwrap();
    let mut alone = batch.clone();
    alone.problem.batch = 1;
    let part = batch.map_starts[0] as usize..batch.map_starts[1] as usize;
    for variant in VARIANTS {
        let candidate = |threads| Candidate { variant, threads };
        let together = bits(&score(&mut backend, &batch, &candidate(3)).0);
        assert!(together == bits(&score(&mut backend, &batch, &candidate(1)).0));
        assert!(together[part.clone()] == bits(&score(&mut backend, &alone, &candidate(2)).0)[part.clone()]);
    }
}

#[test]
fn a_launch_leaves_nothing_behind_for_the_next() {
    let mut backend = CpuBackend::new(1).unwrap();
    let candidate = Candidate { variant: &VARIANTS[5], threads: 1 };
    let small =
        Recipe { tokens: 1, sequences: recipe().sequences[3..].to_vec(), ..recipe() }.input().unwrap();
    let fresh = bits(&score(&mut backend, &small, &candidate).0);
    score(&mut backend, &recipe().input().unwrap(), &candidate);
    assert!(fresh == bits(&score(&mut backend, &small, &candidate).0));
}

#[test]
fn masked_tokens_are_zero_whatever_the_sign_of_the_scale() {
    let mut backend = CpuBackend::new(1).unwrap();
    for scale in [-0.125, -0.0, 0.0] {
        let mut input = recipe().input().unwrap();
        input.scale = scale;
        assert!(input.plant(Plant::PageBeyond, 0));
        check(&mut backend, &input, &Candidate { variant: &VARIANTS[6], threads: 1 });
    }
}

#[test]
fn parts_of_the_map_may_stand_in_any_order_but_not_overlap() {
    let mut backend = CpuBackend::new(2).unwrap();
    let candidate = Candidate { variant: &VARIANTS[5], threads: 2 };
    let sequences = vec![SequenceShape { length: 70, room: 3, captured: true }; 4];
    let mut input = Recipe { sequences, ..recipe() }.input().unwrap();
    for (starts, faulty) in [
        // The second descends, the third stands before the first, the last reaches into the first.
        ([100, 180, 0, 75, 160], 3),
        // The third begins on the first's last position.
        ([0, 100, 69, 140, 210], 2),
        // The third stands where the first does, the last begins where both end.
        ([0, 70, 0, 70, 140], 2),
    ] {
        input.map_starts = starts.to_vec();
        let reference = reference::score(&input.problem, &input.arrays(), &input.map).unwrap();
        assert_eq!(reference.status, Fault::Map.word(faulty), "{starts:?}");
        check(&mut backend, &input, &candidate);
    }
}

#[test]
fn the_maps_of_tensor_parallel_ranks_sum_up_to_the_whole() {
    let mut backend = CpuBackend::new(1).unwrap();
    let candidate = Candidate { variant: &VARIANTS[5], threads: 1 };
    let whole = recipe().input().unwrap();
    let reference = reference::score(&whole.problem, &whole.arrays(), &whole.map).unwrap();
    let mut sum = vec![0.0; whole.map.len()];
    for rank in 0..2 {
        let share = whole.share(2, rank).unwrap().expect("heads of both ranks are captured");
        check(&mut backend, &share, &candidate);
        let (map, _) = score(&mut backend, &share, &candidate);
        sum.iter_mut().zip(map).for_each(|(sum, score)| *sum += score);
    }
    compare_map(&whole.problem, &reference, &sum, &sum).unwrap();
}

#[test]
fn bad_requests_are_refused_by_field() {
    let mut backend = CpuBackend::new(2).unwrap();
    let input = recipe().input().unwrap();
    let good = Candidate { variant: &VARIANTS[0], threads: 2 };
    let mut field = |candidate: Candidate, items: usize| {
        let mut map = vec![0.0; items];
        backend.score(&input.problem, &candidate, &input.arrays(), &mut map).unwrap_err().field
    };
    let items = input.map.len();
    static EMPTY: Variant = Variant { tokens: 0, ..VARIANTS[0] };
    assert_eq!(field(Candidate { variant: &EMPTY, ..good }, items), "variant");
    assert_eq!(field(Candidate { threads: 0, ..good }, items), "threads");
    assert_eq!(field(Candidate { threads: 3, ..good }, items), "threads");
    assert_eq!(field(good, items - 1), "map");
}

#[test]
fn the_space_has_unique_ids_and_explains_what_it_leaves_out() {
    let ids: std::collections::HashSet<_> = VARIANTS.iter().map(|variant| variant.id).collect();
    assert_eq!(ids.len(), VARIANTS.len());
    let limits = CpuLimits { threads: 6 };
    let problem = recipe().problem();
    let (legal, excluded) = candidates(&problem, limits).unwrap();
    assert_eq!(legal.len() + excluded.len(), VARIANTS.len() * 4);
    // Two heads with three tokens each.
    let default = default_candidate(&problem, limits).unwrap();
    assert!(legal.contains(&default) && default.variant.columns == 4, "{default}");

    let single = ScoreProblem { tokens: 1, map_capacity: 100, ..problem };
    let (_, excluded) = candidates(&single, limits).unwrap();
    let reason = |of: &dyn Fn(&Candidate) -> bool| {
        excluded.iter().find(|excluded| of(&excluded.candidate)).unwrap().reason.clone()
    };
    assert_eq!(reason(&|point| point.variant.columns == 4), "no KV head is read by more than 2 columns");
    assert_eq!(
        reason(&|point| point.threads == 6 && point.variant.columns == 1),
        "4 tasks leave some of 6 threads idle"
    );
}
