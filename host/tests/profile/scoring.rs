//! Scoring and selection in the catalogues of a GPU and of a CPU.

use std::collections::HashSet;

use dustin::{
    cpu::{self, CpuLimits},
    limits::DeviceLimits,
    profile::*,
    score::space,
};
use dustin_kernels::registry::{FOLD, LOGITS};

use crate::{
    keys::{score, select},
    support::*,
};

const GPU: GpuCatalogue = GpuCatalogue {
    limits: DeviceLimits {
        major: 9,
        minor: 0,
        sm_count: 132,
        shared_bytes_per_block: 232_448,
        threads_per_block: 1024,
    },
};

const CPU: CpuCatalogue = CpuCatalogue { limits: CpuLimits { threads: 6 } };

fn on_a_cpu(key: Key) -> Key {
    let policy = Policy { launch: LaunchMode::Eager, l2: CacheState::Warm };
    Key { device: DeviceId::cpu("a CPU"), policy, ..key }
}

/// Stores and reads a choice; gives it back as found.
fn stored(key: &Key, choice: Choice, catalogue: impl Catalogue) -> Choice {
    let mut profile = Profile::new(provenance());
    profile.put(Entry::measured(key.clone(), choice, measurement()));
    let read = parse_text(&render(&profile).unwrap()).unwrap();
    assert!(read.warnings.is_empty(), "{:?}", read.warnings);
    let tuned = Tuned::new(read.profile.entries, catalogue);
    assert!(tuned.warnings().is_empty(), "{:?}", tuned.warnings());
    let found = tuned.find(key).unwrap();
    assert_eq!(found.source, Source::Exact);
    found.choice.into_owned()
}

#[test]
fn every_candidate_of_scoring_on_a_gpu_can_be_stored_and_found() {
    let problem = score::problem();
    let default = space::default_candidate(&problem, &GPU.limits).unwrap();
    assert_eq!(GPU.default(&score::key()).unwrap().gpu_score(), Some(default));
    let (legal, _) = space::candidates(&problem, &GPU.limits).unwrap();
    let mut digests = HashSet::new();
    for candidate in legal.into_iter().filter(|candidate| candidate.splits == 16) {
        let choice = GPU.bind(&score::key(), candidate.logits.id, &candidate.into()).unwrap();
        digests.insert(choice.ptx_digest.clone());
        assert_eq!(stored(&score::key(), choice, GPU).gpu_score(), Some(candidate));
    }
    assert!(digests.len() == 1 || digests.len() >= FOLD.len() * 2, "of both kernels, or without PTX of none");
}

#[test]
fn every_candidate_of_selection_on_a_gpu_can_be_stored_and_found() {
    let problem = select::problem();
    let default = dustin::select::space::default_candidate(&problem, &GPU.limits).unwrap();
    assert_eq!(GPU.default(&select::key()).unwrap().gpu_selection(), Some(default));
    let (legal, _) = dustin::select::space::candidates(&problem, &GPU.limits).unwrap();
    for candidate in legal {
        let choice = GPU.bind(&select::key(), candidate.variant.id, &candidate.into()).unwrap();
        assert_eq!(stored(&select::key(), choice, GPU).gpu_selection(), Some(candidate));
    }
}

#[test]
fn every_candidate_of_scoring_and_selection_on_a_cpu_can_be_stored_and_found() {
    let key = on_a_cpu(score::key());
    let default = cpu::score::default_candidate(&score::problem(), CPU.limits).unwrap();
    assert_eq!(CPU.default(&key).unwrap().cpu_score(), Some(default));
    for candidate in cpu::score::candidates(&score::problem(), CPU.limits).unwrap().0 {
        let choice = CPU.bind(&key, candidate.variant.id, &candidate.into()).unwrap();
        assert_eq!(stored(&key, choice, CPU).cpu_score(), Some(candidate));
    }
    let key = on_a_cpu(select::key());
    let default = cpu::select::default_candidate(&select::problem(), CPU.limits).unwrap();
    assert_eq!(CPU.default(&key).unwrap().cpu_selection(), Some(default));
    for candidate in cpu::select::candidates(&select::problem(), CPU.limits).unwrap().0 {
        let choice = CPU.bind(&key, candidate.variant.id, &candidate.into()).unwrap();
        assert_eq!(stored(&key, choice, CPU).cpu_selection(), Some(candidate));
    }
}

#[test]
fn an_entry_of_scoring_is_bound_to_both_of_its_variants() {
    let good = GPU.default(&score::key()).unwrap();
    let (logits, fold) = (&good.variant, good.launch.fold.clone().unwrap());
    let sum = LOGITS.iter().find(|v| v.id == logits).unwrap().revision
        + FOLD.iter().find(|v| v.id == fold).unwrap().revision;
    assert_eq!(good.revision, sum);
    let problem = |change: &dyn Fn(&mut Choice)| {
        let mut choice = good.clone();
        change(&mut choice);
        Tuned::new([Entry::manual(score::key(), choice)], GPU).warnings()[0].problem.clone()
    };
    assert_eq!(problem(&|_| ()), Problem::Manual);
    assert!(
        matches!(problem(&|c| c.launch.fold = Some("gone".into())), Problem::UnknownVariant { variant } if variant == "gone")
    );
    assert!(matches!(problem(&|c| c.revision += 1), Problem::Revision { .. }));
    assert!(matches!(problem(&|c| c.launch.fold = None), Problem::Revision { .. }));
    assert!(matches!(problem(&|c| c.ptx_digest = Some("d".into())), Problem::Digest { .. }));
    let other = FOLD.iter().find(|other| other.id != fold).unwrap().id;
    let voided = problem(&|c| c.launch.fold = Some(other.into()));
    assert!(matches!(voided, Problem::Digest { .. }) || good.ptx_digest.is_none(), "{voided}");
}

#[test]
fn a_choice_of_scoring_or_selection_that_cannot_run_is_a_miss_with_its_field() {
    let check = |catalogue: &dyn Catalogue, key: &Key, id: &str, launch: Launch| {
        catalogue.check(key, id, &launch).unwrap_err().field
    };
    let Choice { variant, launch, .. } = GPU.default(&score::key()).unwrap();
    let gpu = |change: fn(&mut Launch)| {
        let mut launch = launch.clone();
        change(&mut launch);
        check(&GPU, &score::key(), &variant, launch)
    };
    assert_eq!(gpu(|launch| launch.splits = Some(0)), "splits");
    assert_eq!(gpu(|launch| launch.splits = Some(1000)), "splits");
    assert_eq!(gpu(|launch| launch.splits = None), "launch.splits");
    assert_eq!(gpu(|launch| launch.fold = None), "launch.fold");
    assert_eq!(gpu(|launch| launch.fold = Some("gone".into())), "launch.fold");
    assert_eq!(gpu(|launch| launch.cluster = Some(2)), "launch.cluster");
    assert_eq!(gpu(|launch| launch.threads = Some(2)), "launch.threads");
    assert_eq!(check(&GPU, &score::key(), FOLD[0].id, launch.clone()), "variant");
    let Choice { variant, launch, .. } = GPU.default(&select::key()).unwrap();
    let gpu = |change: fn(&mut Launch)| {
        let mut launch = launch.clone();
        change(&mut launch);
        check(&GPU, &select::key(), &variant, launch)
    };
    assert_eq!(gpu(|launch| launch.cluster = Some(3)), "cluster");
    assert_eq!(gpu(|launch| launch.cluster = None), "launch.cluster");
    assert_eq!(gpu(|launch| launch.splits = Some(1)), "launch.splits");
    assert_eq!(check(&GPU, &select::key(), "gone", launch.clone()), "variant");
    for key in [on_a_cpu(score::key()), on_a_cpu(select::key())] {
        let Choice { variant, launch, .. } = CPU.default(&key).unwrap();
        let cpu = |launch: Launch| check(&CPU, &key, &variant, launch);
        assert_eq!(cpu(Launch { threads: Some(7), ..launch.clone() }), "threads");
        assert_eq!(cpu(Launch { threads: None, ..launch.clone() }), "launch.threads");
        assert_eq!(cpu(Launch { splits: Some(1), ..launch.clone() }), "launch.splits");
        assert_eq!(check(&CPU, &key, "gone", launch), "variant");
    }
}

#[test]
fn an_entry_of_scoring_reads_like_this() {
    let mut profile = Profile::new(provenance());
    let launch = Launch { fold: Some("plain".into()), splits: Some(32), ..Launch::default() };
    profile.put(Entry::manual(score::key(), Choice { launch, ..choice("wide", 2) }));
    let text = render(&profile).unwrap();
    let (_, entry) = text.split_once("[[entry]]").unwrap();
    assert_eq!(
        entry,
        r#"
manual = true

[entry.key]
device = { name = "NVIDIA H200", compute_capability = "9.0" }
kernel = "srh_score"
policy = { launch = "graph", l2 = "cold" }
dtype = "bf16"
kv_dtype = "bf16"
kv_scale = "none"
head_dim = 128
query_heads = 64
kv_heads = 8
layout = "nhd"
page_size = 16
batch = 16
length_class = 65536
mean_length = 32768
sources = 1
heads = 4
kv_heads_read = 4
tokens = 1
accumulate = false

[entry.choice]
variant = "wide"
revision = 3
ptx_digest = "d1"
launch = { fold = "plain", splits = 32 }
"#
    );
}
