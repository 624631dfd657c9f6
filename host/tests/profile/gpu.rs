use dustin::{
    attention::space::{self},
    limits::DeviceLimits,
    profile::*,
};
use dustin_kernels::registry::ATTENTION;

use crate::support::*;

const CATALOGUE: GpuCatalogue = GpuCatalogue {
    limits: DeviceLimits {
        major: 9,
        minor: 0,
        sm_count: 132,
        shared_bytes_per_block: 232_448,
        threads_per_block: 1024,
    },
};

fn default() -> Choice {
    CATALOGUE.default(&key()).unwrap()
}

#[test]
fn the_default_is_that_of_the_tuning_space() {
    let candidate = space::default_candidate(&problem(), &CATALOGUE.limits).unwrap();
    assert_eq!(default(), Choice::gpu(candidate));
    assert_eq!(default().gpu_candidate(), Some(candidate));
}

#[test]
fn every_candidate_of_the_tuning_space_can_be_stored_and_found() {
    let (legal, _) = space::candidates(&problem(), &CATALOGUE.limits).unwrap();
    for candidate in legal {
        let entry = Entry::measured(key(), Choice::gpu(candidate), measurement());
        let tuned = Tuned::new([entry], CATALOGUE);
        assert!(tuned.warnings().is_empty(), "{:?}", tuned.warnings());
        let found = tuned.find(&key()).unwrap();
        assert_eq!((found.source, found.choice.gpu_candidate()), (Source::Exact, Some(candidate)));
    }
}

#[test]
fn a_choice_that_the_gpu_cannot_run_is_a_miss_with_its_field() {
    let field = |key: Key, change: fn(&mut Choice)| {
        let mut choice = default();
        change(&mut choice);
        refused_field(key, choice, CATALOGUE)
    };
    assert_eq!(field(key(), |c| c.launch.splits = Some(0)), "splits");
    assert_eq!(field(key(), |c| c.launch.splits = Some(1_000_000)), "splits");
    assert_eq!(field(key(), |c| c.launch.splits = None), "launch.splits");
    assert_eq!(field(key(), |c| c.launch.threads = Some(2)), "launch.threads");
    assert_eq!(field(Key { head_dim: 64, ..key() }, |_| ()), "variant.head_dim");
    assert_eq!(field(Key { head_dim: 96, ..key() }, |_| ()), "kv.head_dim");
    assert_eq!(field(Key { mask: Mask::Tree, ..key() }, |_| ()), "key.mask");
    assert_eq!(field(Key { index_set: IndexSet::PerLayer, ..key() }, |_| ()), "key.index_set");
    assert_eq!(field(Key { kv_dtype: KvDtype::Fp8E4m3, ..key() }, |_| ()), "key.kv_dtype");
    assert_eq!(field(Key { kv_scale: KvScale::PerTensor, ..key() }, |_| ()), "key.kv_scale");
}

#[test]
fn a_variant_that_needs_too_much_shared_memory_is_not_borrowed_from_a_larger_gpu() {
    let largest = ATTENTION
        .iter()
        .filter(|variant| variant.dtype == problem().dtype && variant.head_dim == 128)
        .max_by_key(|variant| variant.shared_bytes())
        .unwrap();
    let choice = Choice::gpu(space::Candidate { variant: largest, splits: 1 });
    let small = DeviceLimits { shared_bytes_per_block: largest.shared_bytes() - 1, ..CATALOGUE.limits };
    let tuned = Tuned::new([Entry::manual(key(), choice)], GpuCatalogue { limits: small });
    let sentence = tuned.warnings()[0].to_string();
    assert!(sentence.contains("shared memory per block"), "{sentence}");
    assert_eq!(tuned.find(&key()).unwrap().source, Source::Default);
}

#[test]
fn a_gpu_choice_does_not_serve_a_cpu() {
    let cpu = Key { device: DeviceId::cpu("a CPU"), ..key() };
    let tuned = Tuned::new([Entry::manual(cpu.clone(), default())], CATALOGUE);
    assert!(matches!(tuned.warnings()[0].problem, Problem::UnknownVariant { .. }));
    assert!(tuned.find(&cpu).is_err());
}

#[test]
fn keys_of_any_size_are_answered_without_a_panic() {
    let tuned = Tuned::new([Entry::measured(key(), default(), measurement())], CATALOGUE);
    for value in [0, 1, 3, 65_536, u32::MAX] {
        for key in [
            Key { batch: value, ..key() },
            Key { rows: value, ..key() },
            Key { set_capacity: value, ..key() },
            Key { length_class: value, ..key() },
            Key { page_size: value, ..key() },
            Key { query_heads: value, kv_heads: value, ..key() },
            Key { kv_heads: value, ..key() },
            Key { head_dim: value, kv_heads: value, page_size: value, query_heads: value, ..key() },
        ] {
            let _ = tuned.find(&key);
        }
    }
    // The largest batch that a problem may have is the upper end of the last bucket.
    let largest = dustin::attention::problem::AttentionProblem { batch: 65_535, ..problem() };
    let key = Key::of(&largest, &h200(), Policy::default());
    assert_eq!(tuned.find(&key).unwrap().source, Source::Default);
}
