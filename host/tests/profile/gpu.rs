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

fn choice_of(candidate: space::Candidate) -> Choice {
    CATALOGUE.bind(&key(), candidate.variant.id, &candidate.into()).unwrap()
}

fn default() -> Choice {
    CATALOGUE.default(&key()).unwrap()
}

#[test]
fn the_default_is_that_of_the_tuning_space() {
    let candidate = space::default_candidate(&problem(), &CATALOGUE.limits).unwrap();
    assert_eq!(default(), choice_of(candidate));
    assert_eq!(default().gpu_attention(), Some(candidate));
}

#[test]
fn every_candidate_of_the_tuning_space_can_be_stored_and_found() {
    let (legal, _) = space::candidates(&problem(), &CATALOGUE.limits).unwrap();
    for candidate in legal {
        let entry = Entry::measured(key(), choice_of(candidate), measurement());
        let tuned = Tuned::new([entry], CATALOGUE);
        assert!(tuned.warnings().is_empty(), "{:?}", tuned.warnings());
        let found = tuned.find(&key()).unwrap();
        assert_eq!((found.source, found.choice.gpu_attention()), (Source::Exact, Some(candidate)));
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
    assert_eq!(field(key(), |c| c.launch.cluster = Some(2)), "launch.cluster");
    assert_eq!(field(key(), |c| (c.launch.splits, c.launch.cluster) = (Some(2), Some(2))), "cluster");
    assert_eq!(field(key_with(|key| key.head_dim = 64), |_| ()), "variant.head_dim");
    assert_eq!(field(key_with(|key| key.head_dim = 96), |_| ()), "kv.head_dim");
    assert_eq!(field(key_with(|key| key.kv_dtype = KvDtype::Fp8E4m3), |_| ()), "key.kv_dtype");
    assert_eq!(field(key_with(|key| key.kv_scale = KvScale::PerTensor), |_| ()), "key.kv_scale");
}

#[test]
fn a_variant_that_needs_too_much_shared_memory_is_not_borrowed_from_a_larger_gpu() {
    let largest = ATTENTION
        .iter()
        .filter(|variant| variant.dtype == problem().dtype && variant.head_dim == 128)
        .max_by_key(|variant| variant.shared().bytes)
        .unwrap();
    let choice = choice_of(space::Candidate { variant: largest, splits: 1.into() });
    let small = DeviceLimits { shared_bytes_per_block: largest.shared().bytes - 1, ..CATALOGUE.limits };
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
            key_with(|key| key.batch = value),
            key_with(|key| key.rows = value),
            key_with(|key| key.set_capacity = value),
            key_with(|key| key.length_class = value),
            key_with(|key| key.page_size = value),
            key_with(|key| (key.query_heads, key.kv_heads) = (value, value)),
            key_with(|key| key.kv_heads = value),
            key_with(|key| {
                (key.head_dim, key.kv_heads) = (value, value);
                (key.page_size, key.query_heads) = (value, value);
            }),
        ] {
            let _ = tuned.find(&key);
        }
    }
    // The largest batch that a problem may have is the upper end of the last bucket.
    let largest = dustin::attention::problem::AttentionProblem { batch: 65_535, ..problem() };
    let key = Key::of(&largest, &h200(), Policy::default());
    assert_eq!(tuned.find(&key).unwrap().source, Source::Default);
}
