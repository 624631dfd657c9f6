use super::*;
use crate::{
    accept::launch::default_variants,
    limits::DeviceLimits,
    profile::{DeviceId, Entry, GpuCatalogue, KernelKey, Key, Policy, Source, Tuned},
    verifier::stages::require_layer,
};

const H200: GpuCatalogue = GpuCatalogue {
    limits: DeviceLimits {
        major: 9,
        minor: 0,
        sm_count: 132,
        shared_bytes_per_block: 232_448,
        threads_per_block: 1024,
    },
};

fn device() -> DeviceId {
    DeviceId::gpu("NVIDIA H200", 9, 0)
}

pub(super) fn plan(problem: &VerifierProblem, entries: Vec<Entry>) -> VerifierPlan {
    VerifierPlan::new(problem, &Tuned::new(entries, H200), &device()).unwrap()
}

fn chosen(report: &Report, stage: Stage) -> &Chosen {
    match report.served(stage) {
        Some(Served::Chosen(chosen)) => chosen,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_stage_has_a_part_of_the_workspace_of_its_own() {
    let plan = plan(&accepting(Mask::Causal), vec![]);
    let parts = plan.workspace().parts();
    assert!(parts.iter().map(|part| part.stage).eq(Stage::ALL));
    for pair in parts.windows(2) {
        assert!(pair[0].bytes.end <= pair[1].bytes.start, "{pair:?}");
        assert_eq!(pair[1].bytes.start % 256, 0);
    }
    assert!(parts.iter().all(|part| (8..=part.bytes.end - part.bytes.start).contains(&part.zeroed_bytes)));
    assert_eq!(plan.workspace_bytes(), parts.last().unwrap().bytes.end);

    let field = |address, bytes| plan.workspace().require(address, bytes).err().map(|error| error.field);
    let bytes = plan.workspace_bytes();
    assert_eq!(field(0, bytes), Some("address"));
    assert_eq!(field(128, bytes), Some("address"));
    assert_eq!(field(u64::MAX - 255, bytes), Some("address"));
    assert_eq!(field(256, bytes - 1), Some("bytes"));
    assert_eq!(field(256, bytes), None);
}

#[test]
fn a_rank_without_heads_has_neither_workspace_nor_launch_for_them_and_says_why() {
    let plan = plan(&problem(8, 1), vec![]);
    let none = [Stage::TargetScore, Stage::TargetCapture, Stage::Acceptance];
    assert!(plan.workspace().parts().iter().all(|part| !none.contains(&part.stage)));
    let idle = none.map(|stage| plan.report().served(stage).unwrap().to_string());
    assert_eq!(idle[0], "nothing to launch: this rank has none of its heads, its share is zero");
    assert_eq!(idle[1], "nothing to launch: this rank has none of the map's heads");
    assert_eq!(idle[2], "nothing to launch: the engine accepts drafts itself");
    let mut by_target = problem(8, 0);
    by_target.rules.m = 0;
    let plan = self::plan(&by_target, vec![]);
    let idle = plan.report().served(Stage::DraftScore).unwrap();
    assert_eq!(idle.to_string(), "nothing to launch: no set depends on it");
    let idle = plan.report().served(Stage::DraftCapture).unwrap();
    assert_eq!(idle.to_string(), "nothing to launch: no set depends on the map");
}

#[test]
fn without_a_profile_every_choice_is_the_default_and_says_that_nothing_was_tuned() {
    let plan = plan(&accepting(Mask::Causal), vec![]);
    let report = plan.report();
    assert!(!report.is_exact());
    let fixed =
        [Stage::DraftCapture, Stage::Append, Stage::Acceptance, Stage::Compaction, Stage::TargetCapture];
    for stage in Stage::ALL {
        match report.served(stage).unwrap() {
            Served::Chosen(chosen) => {
                assert_eq!(chosen.source, Source::Default, "{stage}");
                assert!(!chosen.misses.is_empty(), "{stage}");
            }
            Served::Fixed { .. } => assert!(fixed.contains(&stage), "{stage}"),
            Served::Idle { .. } => panic!("{stage}"),
        }
    }
    let text = report.to_string();
    assert_eq!(text.lines().filter(|line| line.contains(": built-in default")).count(), 10, "{text}");
    assert!(text.contains("\n               entry of SparseAttention"), "{text}");
    assert!(text.lines().any(|line| line.starts_with("compaction     compact_")), "{text}");
    let (rows, walk) = default_variants(&H200.limits).unwrap();
    let reason = "as profiles have no entries for it: of what runs on the device the walk of the most blocks";
    let acceptance = format!("acceptance     {}+{}: built-in default, {reason}", rows.id, walk.id);
    assert!(text.lines().any(|line| line == acceptance), "{text}");
}

#[test]
fn the_report_names_the_entry_that_serves_and_the_plan_launches_it() {
    let stages = Stages::new(&problem(1, 0)).unwrap();
    let kernel = KernelKey::from(&stages.attention);
    let key = Key::of(kernel, &device(), Policy::of(kernel.kernel(), &device()));
    let catalogue = Tuned::new([], H200);
    let mut choice = catalogue.find(&key).unwrap().choice.into_owned();
    choice.launch.splits = Some(6);
    let entry = Entry::manual(key.clone(), choice.clone());

    let tuned = plan(&problem(1, 0), vec![entry.clone()]);
    let served = chosen(tuned.report(), Stage::Attention);
    assert_eq!((&served.source, served.manual, &served.choice), (&Source::Exact, true, &choice));
    assert_eq!(tuned.attention().splits(), 6.into());
    assert!(served.to_string().ends_with("splits=6: tuned for this bucket, edited by hand"), "{served}");

    // A quarter fewer sequences are near, twice as many are not.
    let of_batch = |batch| {
        let mut larger = problem(1, 0);
        (larger.limits.max_batch, larger.limits.slots) = (batch, batch);
        chosen(plan(&larger, vec![entry.clone()]).report(), Stage::Attention).source.clone()
    };
    let Source::Near { distance } = of_batch(12) else { panic!("{:?}", of_batch(12)) };
    assert!((distance - (4.0_f64 / 3.0).log2()).abs() < 1e-12);
    assert_eq!(of_batch(32), Source::Default);

    // Another GPU of the same compute capability, and a type that the profile does not have.
    let other = DeviceId::gpu("NVIDIA H100", 9, 0);
    let borrowed = VerifierPlan::new(&problem(1, 0), &Tuned::new(vec![entry.clone()], H200), &other).unwrap();
    let served = chosen(borrowed.report(), Stage::Attention);
    assert!(matches!(&served.source, Source::OtherGpu { name, .. } if name == "NVIDIA H200"));
    let mut half = problem(1, 0);
    half.target.dtype = Dtype::F16;
    let half = plan(&half, vec![entry]);
    assert_eq!(chosen(half.report(), Stage::Attention).source, Source::Default);
    assert_eq!(half.attention().variant().dtype, Dtype::F16);
}

#[test]
fn addresses_of_caches_and_captured_queries_are_checked_by_name() {
    let plan = plan(&problem(1, 0), vec![]);
    let extent = 2 * plan.problem().target.kv.extent();
    let keys: Vec<u64> = (0..80).map(|layer| (1 << 40) + 2 * layer * extent).collect();
    let good = EngineMemory {
        target_values: keys.iter().map(|key| key + extent).collect(),
        target_keys: keys,
        target_queries: 0x1000,
        draft_keys: vec![0x2000; 24],
        draft_queries: 0x3000,
    };
    let check = |change: fn(&mut EngineMemory)| {
        let mut memory = good.clone();
        change(&mut memory);
        memory.validate(plan.stages()).err().map(|error| error.field)
    };
    assert_eq!(check(|_| ()), None);
    assert_eq!(check(|memory| memory.target_keys.truncate(79)), Some("target_keys"));
    assert_eq!(check(|memory| memory.target_values.push(0x1000)), Some("target_values"));
    assert_eq!(check(|memory| memory.target_keys[3] = 0), Some("key_caches"));
    assert_eq!(check(|memory| memory.target_values = memory.target_keys.clone()), Some("value - key"));
    assert_eq!(check(|memory| memory.target_queries = 8), Some("target_queries"));
    assert_eq!(check(|memory| memory.draft_queries = 0), Some("draft_queries"));
    assert_eq!(check(|memory| memory.draft_keys.truncate(11)), Some("draft_keys"));
    assert_eq!(check(|memory| memory.draft_keys[11] = 0), Some("draft_keys"));
    // Layers that no head is captured of are not looked at.
    assert_eq!(check(|memory| memory.draft_keys[10] = 0), None);
}

#[test]
fn a_layer_that_the_target_does_not_have_is_refused() {
    let stages = Stages::new(&problem(1, 0)).unwrap();
    assert_eq!(require_layer(&stages, 79), Ok(79));
    assert_eq!(require_layer(&stages, 80).unwrap_err().field, "layer");
}
