use dustin::profile::*;

use crate::support::*;

fn at(batch: u32) -> Key {
    key_with(|key| key.batch = batch)
}

fn on(name: &str, major: u32) -> DeviceId {
    DeviceId::gpu(name, major, 0)
}

fn misses(found: &Found<'_>) -> Vec<Problem> {
    found.misses.iter().map(|miss| miss.problem.clone()).collect()
}

#[test]
fn an_exact_entry_beats_everything_and_needs_no_excuse() {
    let tuned = Tuned::new([entry(at(8), "narrow", 1), entry(at(16), "wide", 2)], Toy);
    let found = tuned.find(&at(16)).unwrap();
    assert_eq!((found.choice.as_ref(), found.source), (&choice("wide", 2), Source::Exact));
    assert!(found.misses.is_empty());
    assert!(tuned.warnings().is_empty());
}

#[test]
fn the_nearest_entry_of_the_same_gpu_comes_second_whatever_the_order_of_the_file() {
    let entries = [entry(at(4), "narrow", 1), entry(at(12), "wide", 2), entry(at(32), "wide", 3)];
    let reversed = entries.iter().rev().cloned();
    for tuned in [Tuned::new(entries.clone(), Toy), Tuned::new(reversed, Toy)] {
        let found = tuned.find(&at(16)).unwrap();
        assert_eq!(found.choice.launch.splits, Some(2));
        let Source::Near { distance } = found.source else { panic!("{:?}", found.source) };
        assert!((distance - (16.0_f64 / 12.0).log2()).abs() < 1e-12);
        assert_eq!(misses(&found), [Problem::NoEntry]);
    }
}

#[test]
fn of_two_entries_equally_near_the_lower_key_is_taken() {
    let of = |page_size| key_with(|key| key.page_size = page_size);
    let entries = [entry(of(32), "wide", 3), entry(of(8), "wide", 2)];
    let found = Tuned::new(entries, Toy).find(&of(16)).unwrap().choice.into_owned();
    assert_eq!(found.launch.splits, Some(2));
}

#[test]
fn a_near_entry_that_cannot_serve_the_bucket_is_passed_over_with_its_reason() {
    let tuned = Tuned::new([entry(key_with(|key| key.rows = 8), "narrow", 1)], Toy);
    let found = tuned.find(&key_with(|key| key.rows = 9)).unwrap();
    assert_eq!(found.source, Source::Default);
    assert!(
        matches!(&misses(&found)[..], [Problem::NoEntry, Problem::Illegal(error)] if error.field == "rows")
    );
}

#[test]
fn a_near_entry_is_passed_over_where_the_rule_chooses_otherwise_for_the_bucket_asked_for() {
    let of = |set_capacity| key_with(|key| key.set_capacity = set_capacity);
    let passed = Problem::OtherDefault { distance: 2048_f64.log2() - 1536_f64.log2() };
    let entries = [entry(of(1536), "wide", 2), entry(of(3072), "narrow", 3)];
    // The first is the nearer one, but the rule sees another problem in it.
    let tuned = Tuned::new(entries.clone(), Toy);
    let found = tuned.find(&of(2048)).unwrap();
    assert_eq!(found.choice.variant, "narrow");
    assert_eq!(misses(&found), [Problem::NoEntry, passed.clone()]);

    let [nearer, _] = entries;
    let tuned = Tuned::new([nearer], Toy);
    let found = tuned.find(&of(2048)).unwrap();
    assert_eq!((found.choice.as_ref(), found.source.clone()), (&choice("plain", 2), Source::Default));
    assert_eq!(misses(&found), [Problem::NoEntry, passed]);
}

#[test]
fn an_entry_beyond_the_bound_is_not_near() {
    let tuned = Tuned::new([entry(at(1), "wide", 2)], Toy);
    let found = tuned.find(&at(16)).unwrap();
    assert_eq!(found.source, Source::Default);
    assert_eq!(misses(&found)[1], Problem::TooFar { distance: 4.0, bound: distance::BOUND });
}

#[test]
fn another_gpu_of_the_same_compute_capability_comes_third_and_is_named() {
    let h100 = Key { device: on("NVIDIA H100", 9), ..key() };
    let tuned = Tuned::new([entry(h100, "wide", 2)], Toy);
    let found = tuned.find(&key()).unwrap();
    assert_eq!(found.source, Source::OtherGpu { name: "NVIDIA H100".into(), distance: 0.0 });
    assert_eq!(misses(&found), [Problem::NoEntry]);

    // A near bucket of the same GPU comes first.
    let h100 = Key { device: on("NVIDIA H100", 9), ..key() };
    let tuned = Tuned::new([entry(h100, "wide", 2), entry(at(12), "wide", 5)], Toy);
    assert_eq!(tuned.find(&key()).unwrap().choice.launch.splits, Some(5));
}

#[test]
fn neither_another_compute_capability_nor_another_cpu_lends_its_choice() {
    let b200 = Key { device: on("NVIDIA B200", 10), ..key() };
    let cpu = |name: &str| Key { device: DeviceId::cpu(name), ..key() };
    let tuned = Tuned::new([entry(b200, "wide", 2), entry(cpu("one"), "wide", 2)], Toy);
    assert_eq!(tuned.find(&key()).unwrap().source, Source::Default);
    assert_eq!(tuned.find(&cpu("another")).unwrap().source, Source::Default);
}

#[test]
fn without_a_profile_the_default_serves_and_says_why() {
    let tuned = Tuned::new([], Toy);
    let found = tuned.find(&key()).unwrap();
    assert_eq!((found.choice.as_ref(), found.source.clone()), (&choice("plain", 1), Source::Default));
    assert!(found.entry.is_none());
    assert_eq!(misses(&found), [Problem::NoEntry]);
}

#[test]
fn a_bucket_that_no_variant_serves_is_an_error_and_no_wrong_kernel() {
    let tuned = Tuned::new([entry(key(), "wide", 2)], Toy);
    let fp8 = key_with(|key| key.kv_dtype = KvDtype::Fp8E4m3);
    let error = tuned.find(&fp8).unwrap_err();
    assert_eq!(error.field, "problem");
    assert!(error.actual.contains("Fp8E4m3"), "{error}");
}

#[test]
fn an_entry_is_void_once_its_variant_has_changed_and_the_others_are_not() {
    let spoil = |change: fn(&mut Choice)| {
        let mut choice = choice("wide", 2);
        change(&mut choice);
        let entries = [Entry::measured(key(), choice, measurement()), entry(at(1), "narrow", 8)];
        let tuned = Tuned::new(entries, Toy);
        assert_eq!(tuned.find(&at(1)).unwrap().source, Source::Exact);
        assert_eq!(tuned.warnings().len(), 1);
        let found = tuned.find(&key()).unwrap();
        assert_eq!(found.source, Source::Default);
        assert_eq!(found.misses[0], tuned.warnings()[0]);
        found.misses[0].problem.clone()
    };
    assert!(
        matches!(spoil(|c| c.variant = "gone".into()), Problem::UnknownVariant { variant } if variant == "gone")
    );
    assert!(matches!(spoil(|c| c.revision = 2), Problem::Revision { required: 3, actual: 2, .. }));
    assert!(
        matches!(spoil(|c| c.ptx_digest = Some("d0".into())), Problem::Digest { actual, .. } if actual == "d0")
    );
    assert!(matches!(spoil(|c| c.ptx_digest = None), Problem::Digest { actual, .. } if actual == "absent"));
    assert!(
        matches!(spoil(|c| c.launch.splits = Some(9)), Problem::Illegal(error) if error.field == "launch.splits")
    );
    assert!(
        matches!(spoil(|c| c.launch.splits = None), Problem::Illegal(error) if error.field == "launch.splits")
    );
}

#[test]
fn of_two_entries_with_one_key_the_first_is_used_and_the_second_reported() {
    let tuned = Tuned::new([entry(key(), "wide", 2), entry(key(), "narrow", 3)], Toy);
    assert_eq!(tuned.find(&key()).unwrap().choice.variant, "wide");
    assert_eq!(tuned.warnings()[0].problem, Problem::Duplicate);
}

#[test]
fn a_profile_from_a_changed_machine_warns_field_by_field() {
    let then = provenance();
    let mut now = provenance();
    now.date = "2026-01-01T00:00:00Z".into();
    assert!(then.differences(&now).is_empty());
    now.driver = Some("590.10".into());
    now.kernel_source_hash = "ff".into();
    now.power_limit_w = None;
    now.cpu_threads = Some(4);
    let warnings: Vec<String> = then.differences(&now).iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings.iter().map(|warning| warning.split(':').next().unwrap()).collect::<Vec<_>>(),
        [
            "provenance.driver",
            "provenance.power_limit_w",
            "provenance.kernel_source_hash",
            "provenance.cpu_threads"
        ]
    );
    assert!(warnings[0].contains("was \"580.159\"") && warnings[0].contains("but is \"590.10\""));
    assert!(warnings[1].contains("was 700") && warnings[1].contains("but is unknown"));
}

#[test]
fn putting_an_entry_replaces_the_one_of_its_key_in_its_place() {
    let mut profile = profile();
    let last = profile.entries[1].clone();
    profile.put(entry(key(), "narrow", 7));
    assert_eq!(profile.entries, [entry(key(), "narrow", 7), last]);
}
