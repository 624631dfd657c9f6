use dustin::{
    cpu::{self, CpuLimits},
    profile::*,
};

use crate::support::*;

const CATALOGUE: CpuCatalogue = CpuCatalogue { limits: CpuLimits { threads: 6 } };

fn cpu_key() -> Key {
    Key::of(&problem(), &DeviceId::cpu("a CPU"), Policy { launch: LaunchMode::Eager, l2: CacheState::Cold })
}

fn cpu_key_with(change: impl FnOnce(&mut AttentionKey)) -> Key {
    Key { kernel: key_with(change).kernel, ..cpu_key() }
}

fn default() -> Choice {
    CATALOGUE.default(&cpu_key()).unwrap()
}

#[test]
fn the_default_is_that_of_the_tuning_space() {
    let candidate = cpu::default_candidate(&problem(), CATALOGUE.limits).unwrap();
    assert_eq!(default().cpu_attention(), Some(candidate));
}

#[test]
fn every_candidate_of_the_tuning_space_can_be_stored_and_found() {
    let (legal, _) = cpu::candidates(&problem(), CATALOGUE.limits).unwrap();
    assert!(!legal.is_empty());
    for candidate in legal {
        let choice = CATALOGUE.bind(&cpu_key(), candidate.variant.id, &candidate.into()).unwrap();
        let mut profile = Profile::new(provenance());
        profile.put(Entry::measured(cpu_key(), choice, measurement()));
        let read = parse_text(&render(&profile).unwrap()).unwrap();
        let tuned = Tuned::new(read.profile.entries, CATALOGUE);
        assert!(tuned.warnings().is_empty(), "{:?}", tuned.warnings());
        let found = tuned.find(&cpu_key()).unwrap();
        assert_eq!((found.source, found.choice.cpu_attention()), (Source::Exact, Some(candidate)));
    }
}

#[test]
fn a_choice_that_the_cpu_cannot_run_is_a_miss_with_its_field() {
    let field = |key: Key, change: fn(&mut Choice)| {
        let mut choice = default();
        change(&mut choice);
        refused_field(key, choice, CATALOGUE)
    };
    assert_eq!(field(cpu_key(), |c| c.launch.threads = Some(0)), "threads");
    assert_eq!(field(cpu_key(), |c| c.launch.threads = Some(7)), "threads");
    assert_eq!(field(cpu_key(), |c| c.launch.threads = None), "launch.threads");
    assert_eq!(field(cpu_key(), |c| c.launch.splits = Some(u32::MAX)), "splits");
    assert_eq!(field(cpu_key(), |c| c.launch.splits = None), "launch.splits");
    assert_eq!(field(cpu_key_with(|key| key.head_dim = 96), |_| ()), "kv.head_dim");
}

#[test]
fn a_cpu_choice_has_no_digest_and_does_not_serve_a_gpu() {
    let digest = Choice { ptx_digest: Some(DIGEST.into()), ..default() };
    let tuned = Tuned::new([Entry::manual(cpu_key(), digest), Entry::manual(key(), default())], CATALOGUE);
    assert!(matches!(tuned.warnings()[0].problem, Problem::Digest { .. }));
    assert!(matches!(tuned.warnings()[1].problem, Problem::UnknownVariant { .. }));
    assert_eq!(tuned.find(&cpu_key()).unwrap().source, Source::Default);
    assert!(tuned.find(&key()).is_err());
}
