//! From queries to sets on the SIMT executor and on the CPU back end: scoring, then selection from the maps that it wrote.

use dustin::{
    Dtype,
    cpu::{self, CpuBackend},
    score::{
        space::Candidate,
        synthetic::{Logits, ScoreInput},
    },
    select::{arrays::SelectOutput, compare::Selected, space, synthetic::SelectInput},
};
use dustin_kernels::{
    executor::Options,
    registry::{FOLD, LOGITS, LogitsVariant},
};
use dustin_tests::{
    executor_score::Prepared,
    executor_select::{PreparedSelect, select_candidates},
    ranks,
    score::Scored,
    sets::Chain,
};
use rayon::prelude::*;

/// Element types and head sizes.
const KINDS: [(Dtype, u32); 4] = [(Dtype::Bf16, 64), (Dtype::Bf16, 128), (Dtype::F16, 64), (Dtype::F16, 128)];

/// Variants for the input's element type and head size, and splits, in turn.
fn score(index: usize, input: &ScoreInput) -> Result<Scored, String> {
    let fits = |logits: &&LogitsVariant| {
        logits.dtype == input.problem.dtype && logits.head_dim == input.problem.kv.head_dim
    };
    let variants: Vec<_> = LOGITS.iter().filter(fits).collect();
    let (logits, fold) = (variants[index % variants.len()], &FOLD[index % FOLD.len()]);
    let mut prepared = Prepared::new(input, Candidate { logits, fold, splits: [1, 2, 5][index % 3] })?;
    prepared.launch(&Options::default())?;
    Ok(prepared.scored())
}

fn select(candidate: space::Candidate, input: &SelectInput) -> Result<Selected, String> {
    let mut prepared = PreparedSelect::new(input);
    prepared.launch(candidate, &Options::default())?;
    Ok(prepared.selected())
}

#[test]
fn on_the_executor_the_set_is_the_exact_one_of_the_maps_written_and_that_of_f64() {
    let cases: Vec<_> = [Dtype::Bf16, Dtype::F16]
        .into_iter()
        .flat_map(|dtype| [Logits::Flat, Logits::Peaked].map(|logits| (dtype, logits)))
        .collect();
    let step = cases.len();
    cases.into_par_iter().enumerate().for_each(|(index, (dtype, logits))| {
        let verdict = || {
            let chain = Chain::new(dtype, logits, 600, 64)?;
            let target = score(index, &chain.target)?;
            let draft = score(index + 1, &chain.draft)?;
            let maps = chain.over(target.map.clone(), draft.map.clone());
            select_candidates().into_iter().skip(index).step_by(step).try_for_each(|candidate| {
                chain
                    .judge(&target, &draft, &select(candidate, &maps)?)
                    .map_err(|error| format!("{candidate}: {error}"))
            })
        };
        verdict().unwrap_or_else(|error| panic!("{dtype:?}, {logits:?}: {error}"));
    });
}

#[test]
fn on_the_executor_the_maps_of_ranks_sum_up_to_the_whole_and_give_every_rank_the_same_set() {
    let cases: Vec<_> =
        KINDS.into_iter().flat_map(|kind| ranks::SIZES.map(|tp_size| (kind, tp_size))).collect();
    let candidates = select_candidates();
    cases.into_par_iter().for_each(|((dtype, head_dim), tp_size)| {
        let whole = ranks::recipe(dtype, head_dim, 600).input().expect("a valid recipe");
        ranks::judge_ranks(&whole, tp_size, 64, score, |rank, input| {
            select(candidates[rank % candidates.len()], input)
        })
        .unwrap_or_else(|error| panic!("{dtype:?}, head size {head_dim}: {error}"));
    });
}

#[test]
fn on_the_cpu_the_set_is_the_exact_one_of_the_maps_written_and_that_of_f64() {
    let mut backend = CpuBackend::new(2).expect("two threads");
    for logits in [Logits::Flat, Logits::Peaked] {
        let chain = Chain::new(Dtype::Bf16, logits, 6000, 256).expect("a valid step");
        let target = score_on_cpu(&mut backend, &chain.target);
        let draft = score_on_cpu(&mut backend, &chain.draft);
        let maps = chain.over(target.map.clone(), draft.map.clone());
        let selected = select_on_cpu(&mut backend, &maps);
        chain.judge(&target, &draft, &selected).unwrap_or_else(|error| panic!("{logits:?}: {error}"));
    }
}

fn score_on_cpu(backend: &mut CpuBackend, input: &ScoreInput) -> Scored {
    let candidate = cpu::score::default_candidate(&input.problem, backend.limits()).expect("a valid problem");
    let mut map = input.map.clone();
    let status = backend.score(&input.problem, &candidate, &input.arrays(), &mut map);
    Scored { map, status: status.expect("a possible launch") }
}

fn select_on_cpu(backend: &mut CpuBackend, input: &SelectInput) -> Selected {
    let candidate =
        cpu::select::default_candidate(&input.problem, backend.limits()).expect("a valid problem");
    let mut selected = Selected::unwritten(&input.problem, &input.strides);
    let output = SelectOutput {
        set: &mut selected.set,
        physical: selected.physical.as_deref_mut(),
        set_sizes: &mut selected.set_sizes,
    };
    let status = backend.select(&input.problem, &candidate, &input.arrays(), output);
    selected.status = status.expect("a possible launch");
    selected
}
