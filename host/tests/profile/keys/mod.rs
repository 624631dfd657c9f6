//! Every field of every kernel's key tells buckets apart.

mod attention;
pub(crate) mod score;
pub(crate) mod select;

use dustin::profile::*;

use crate::support::*;

/// The field that is changed, whether near keys may differ in it, and the key with it changed.
type Mutation = (&'static str, bool, Key);

/// The changes of what keys of all kernels have.
fn of_any_kernel(key: &Key) -> Vec<Mutation> {
    let other_gpu = DeviceId::gpu("NVIDIA H100", 9, 0);
    let capability = DeviceId::gpu("NVIDIA H200", 9, 1);
    let eager = Policy { launch: LaunchMode::Eager, ..key.policy };
    let warm = Policy { l2: CacheState::Warm, ..key.policy };
    vec![
        ("device.name", false, Key { device: other_gpu, ..key.clone() }),
        ("device.compute_capability", false, Key { device: capability, ..key.clone() }),
        ("device kind", false, Key { device: DeviceId::cpu("NVIDIA H200"), ..key.clone() }),
        ("policy.launch", false, Key { policy: eager, ..key.clone() }),
        ("policy.l2", false, Key { policy: warm, ..key.clone() }),
    ]
}

/// Asserts that every field of `key` is among `mutations`, that none of them matches it exactly, and that those are near
/// it, and no others, that are said to be.
fn hold(key: &Key, mutations: &[Mutation]) {
    let file = toml::Table::try_from(key).unwrap();
    // Another kernel's key has other fields.
    for field in file.keys().filter(|&field| field != "kernel") {
        let named = |(name, _, _): &Mutation| name.split('.').next() == Some(field);
        assert!(mutations.iter().any(named), "{field}");
    }
    let tuned = Tuned::new([entry(key.clone(), "wide", 2)], Toy);
    assert!(tuned.warnings().is_empty(), "{:?}", tuned.warnings());
    assert_eq!(tuned.find(key).unwrap().source, Source::Exact);
    for (field, near, mutated) in mutations {
        let source = tuned.find(mutated).map(|found| found.source).ok();
        assert_ne!(source, Some(Source::Exact), "{field}");
        assert_eq!(matches!(source, Some(Source::Near { .. })), *near, "{field}: {source:?}");
        assert_eq!(distance::between(key, mutated), distance::between(mutated, key), "{field}");
    }
    assert_eq!(distance::between(key, key), Some(0.0));
}

#[test]
fn keys_of_two_kernels_are_never_near() {
    for other in [score::key(), select::key()] {
        assert_eq!(distance::between(&key(), &other), None);
    }
    assert_eq!(distance::between(&score::key(), &select::key()), None);
}
