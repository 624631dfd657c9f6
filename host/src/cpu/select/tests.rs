use super::{super::CpuLimits, *};
use crate::select::{
    arrays::SelectStrides,
    compare::{Selected, compare},
    problem::{Maps, SlotTable},
    reference,
    synthetic::SelectInput,
};

fn select(backend: &mut CpuBackend, input: &SelectInput, candidate: &Candidate) -> Selected {
    let mut selected = Selected::unwritten(&input.problem, &input.strides);
    let output = SelectOutput {
        set: &mut selected.set,
        physical: selected.physical.as_deref_mut(),
        set_sizes: &mut selected.set_sizes,
    };
    selected.status = backend.select(&input.problem, candidate, &input.arrays(), output).unwrap();
    selected
}

fn check(backend: &mut CpuBackend, input: &SelectInput, candidate: &Candidate, name: &str) {
    let reference = reference::select(&input.problem, &input.arrays()).unwrap();
    let selected = select(backend, input, candidate);
    compare(&input.problem, &input.strides, &reference, &selected)
        .unwrap_or_else(|mismatch| panic!("{name}, {candidate}: {mismatch}\n{:#?}", input.problem));
}

#[test]
fn random_inputs_give_the_reference() {
    let mut backend = CpuBackend::new(3).unwrap();
    for seed in 0..4000 {
        let input = SelectInput::random(seed, if seed % 8 == 0 { 9000 } else { 300 }).unwrap();
        let candidate = Candidate { variant: &VARIANTS[seed as usize / 8 % 4], threads: 1 + seed as u32 % 3 };
        check(&mut backend, &input, &candidate, &format!("seed {seed}"));
    }
}

#[test]
fn long_inputs_give_the_reference_whatever_the_chunks_and_threads() {
    let mut backend = CpuBackend::new(2).unwrap();
    for seed in 0..12 {
        let input = SelectInput::random(seed, 200_000).unwrap();
        for variant in VARIANTS {
            for threads in [1, 2] {
                check(&mut backend, &input, &Candidate { variant, threads }, &format!("seed {seed}"));
            }
        }
    }
}

#[test]
fn a_window_is_the_first_and_the_last_positions() {
    let mut backend = CpuBackend::new(2).unwrap();
    let problem = SelectProblem::sinks_and_window(5, 100, 2, 3);
    let arrays = SelectArrays {
        draft: None,
        target: None,
        map_starts: &problem.equal_parts(),
        lengths: &[100, 0, 6, 5, 101],
        target_slots: None,
        block_table: None,
        strides: SelectStrides::dense(&problem),
    };
    for variant in VARIANTS {
        let mut selected = Selected::unwritten(&problem, &arrays.strides);
        let output =
            SelectOutput { set: &mut selected.set, physical: None, set_sizes: &mut selected.set_sizes };
        let status = backend.select(&problem, &Candidate { variant, threads: 2 }, &arrays, output).unwrap();
        assert_eq!(status, dustin_kernels::fault::Fault::Map.word(4));
        assert_eq!(selected.set_sizes, [5, 0, 5, 5, 0]);
        assert_eq!(selected.set[..5], [0, 1, 97, 98, 99]);
        assert_eq!(selected.set[10..20], [0, 1, 3, 4, 5, 0, 1, 2, 3, 4]);
    }
}

#[test]
fn bad_requests_are_refused_by_field() {
    let mut backend = CpuBackend::new(2).unwrap();
    let problem = SelectProblem::plain(2, 100, 5);
    let input = SelectInput::uniform(&problem, 50, 1).unwrap();
    let good = Candidate { variant: &VARIANTS[0], threads: 2 };
    let mut field = |candidate: Candidate, items: usize, physical: bool| {
        let (mut set, mut slots, mut sizes) = (vec![0; items], [0; 10], [0; 2]);
        let physical = physical.then_some(&mut slots[..]);
        let output = SelectOutput { set: &mut set, physical, set_sizes: &mut sizes };
        backend.select(&problem, &candidate, &input.arrays(), output).unwrap_err().field
    };
    static EMPTY: Variant = Variant { chunk: 0, ..VARIANTS[0] };
    assert_eq!(field(Candidate { variant: &EMPTY, ..good }, 10, false), "variant");
    assert_eq!(field(Candidate { threads: 0, ..good }, 10, false), "threads");
    assert_eq!(field(Candidate { threads: 3, ..good }, 10, false), "threads");
    assert_eq!(field(good, 9, false), "set");
    assert_eq!(field(good, 10, true), "physical");
}

#[test]
fn rows_farther_apart_than_their_sets_are_written_in_place() {
    let table = Some(SlotTable { pages: 30, page_size: 4, table_width: 13 });
    let problem = SelectProblem { table, maps: Maps::Both, ..SelectProblem::plain(2, 100, 5) };
    let mut input = SelectInput::uniform(&problem, 50, 1).unwrap();
    input.strides = SelectStrides { set: 9, ..input.strides };
    let candidate = Candidate { variant: &VARIANTS[0], threads: 1 };
    check(&mut CpuBackend::new(1).unwrap(), &input, &candidate, "gaps");
}

#[test]
fn the_space_holds_every_variant_and_explains_what_it_leaves_out() {
    let limits = CpuLimits { threads: 6 };
    let problem = SelectProblem::plain(16, 1 << 21, 512);
    let (legal, excluded) = candidates(&problem, limits).unwrap();
    assert_eq!((legal.len(), excluded.len()), (VARIANTS.len() * 4, 0));
    let default = default_candidate(&problem, limits).unwrap();
    assert!(legal.contains(&default), "{default}");
    assert_eq!((default.threads, default.variant.chunk), (6, 65_536));

    let small = SelectProblem::plain(1, 5000, 512);
    let (legal, excluded) = candidates(&small, limits).unwrap();
    assert_eq!(legal.len() + excluded.len(), VARIANTS.len() * 4);
    assert!(legal.iter().all(|candidate| candidate.threads <= 2 && candidate.variant.chunk <= 16_384));
    let reason = |threads, variant| {
        let point = Candidate { variant, threads };
        excluded.iter().find(|e| e.candidate == point).map(|e| e.reason.as_str())
    };
    assert_eq!(reason(4, &VARIANTS[0]), Some("2 tasks leave some of 4 threads idle"));
    let smaller = "smaller chunks than 65536 positions hold all 5000 of the maps";
    assert_eq!(reason(1, &VARIANTS[2]), Some(smaller));
    let nothing = SelectProblem { batch: 0, ..small };
    assert_eq!(candidates(&nothing, limits).unwrap_err().field, "batch");
}

#[test]
fn ids_are_unique() {
    let ids: std::collections::HashSet<_> = VARIANTS.iter().map(|variant| variant.id).collect();
    assert_eq!(ids.len(), VARIANTS.len());
}
