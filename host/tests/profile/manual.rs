use dustin::profile::*;

use crate::support::*;

#[test]
fn a_measured_entry_keeps_its_certificate_through_the_file() {
    let read = parse_text(&sample_text()).unwrap();
    assert!(read.warnings.is_empty());
    assert!(read.profile.entries.iter().all(|entry| !entry.is_manual()));
}

#[test]
fn a_legal_edit_is_used_and_loses_its_certificate() {
    let text = sample_text().replacen("splits = 2", "splits = 4", 1);
    let (warnings, tuned) = use_text(&text);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("edited by hand"), "{warnings:?}");
    let found = tuned.find(&key()).unwrap();
    assert_eq!((found.source, found.choice.launch.splits), (Source::Exact, Some(4)));
    assert!(found.entry.unwrap().is_manual());

    // Written again it says so itself, and a change back does not make it measured.
    let again = render(&parse_text(&text).unwrap().profile).unwrap();
    assert_eq!(again.matches("manual = true").count(), 1);
    assert_eq!(again.matches("certificate = ").count(), 1);
    let back = parse_text(&again.replacen("splits = 4", "splits = 2", 1)).unwrap();
    assert!(back.profile.entries[0].is_manual());
}

#[test]
fn editing_any_value_of_an_entry_is_noticed() {
    let text = sample_text();
    for (from, to) in [
        ("median_us = 31.25", "median_us = 31.2"),
        ("repetitions = 200", "repetitions = 201"),
        ("variant = \"wide\"", "variant = \"narrow\""),
        ("median_us = 44.0", "median_us = 45.0"),
        ("page_size = 16", "page_size = 32"),
        ("lse = false", "lse = true"),
        ("roofline_fraction = 0.24\n", ""),
    ] {
        assert!(text.contains(from), "{from}");
        let read = parse_text(&text.replacen(from, to, 1)).unwrap();
        assert!(read.profile.entries[0].is_manual(), "{from}");
        assert!(!read.profile.entries[1].is_manual(), "{from}");
    }
}

#[test]
fn comments_spacing_and_order_are_no_edit() {
    let text = sample_text();
    let swapped = text.replacen("batch = 16\nrows = 5\n", "rows    = 5 # five\n\nbatch = 16\n", 1);
    assert_ne!(swapped, text);
    assert_eq!(parse_text(&swapped).unwrap(), parse_text(&text).unwrap());
}

#[test]
fn a_certificate_of_another_entry_does_not_pass() {
    let text = sample_text();
    let certificates: Vec<&str> = text.lines().filter(|line| line.starts_with("certificate")).collect();
    let [first, second] = certificates[..] else { panic!("{certificates:?}") };
    let swapped = text.replace(first, "FIRST").replace(second, first).replace("FIRST", second);
    assert!(parse_text(&swapped).unwrap().profile.entries.iter().all(Entry::is_manual));
}

#[test]
fn an_entry_that_a_person_adds_needs_no_measurement() {
    let mut profile = profile();
    profile.put(Entry::manual(key_with(|key| key.batch = 4), choice("wide", 6)));
    let (warnings, tuned) = use_text(&render(&profile).unwrap());
    assert_eq!(warnings.len(), 1);
    let found = tuned.find(&key_with(|key| key.batch = 4)).unwrap();
    assert_eq!((found.source, found.choice.launch.splits), (Source::Exact, Some(6)));
}

#[test]
fn an_illegal_edit_is_a_miss_that_says_what_to_do() {
    for (from, to, sentence) in [
        ("splits = 2", "splits = 99", "toy: launch.splits must be from 1 to 8, but is Some(99)"),
        ("splits = 2", "splits = 99999999999999", "expected u32"),
        ("splits = 2", "splits = -1", "expected u32"),
        ("splits = 2", "split = 2", "unknown field `split`"),
        ("variant = \"wide\"", "variant = \"wise\"", "variant \"wise\" is unknown"),
        ("revision = 3", "revision = 4", "must have revision 3, but has 4"),
        ("ptx_digest = \"d1\"", "ptx_digest = \"d2\"", "must be d1, but is d2"),
        ("median_us = 31.25", "median_us = nan", "measurement.median_us must be above 0"),
        ("median_us = 31.25", "median_us = -1.0", "measurement.median_us must be above 0"),
        ("median_us = 31.25", "median_us = 1e300", "at most 1e9"),
        ("median_us = 31.25", "median_us = inf", "at most 1e9"),
        ("ci95_low_us = 31.0", "ci95_low_us = 32.0", "must be at most the median"),
        ("ci95_high_us = 31.5", "ci95_high_us = 30.0", "must be at least the median"),
        ("median_us = 44.0", "median_us = nan", "measurement.default.median_us"),
        ("median_us = 31.4", "median_us = 0.0", "measurement.tied.median_us"),
        ("roofline_fraction = 0.24", "roofline_fraction = nan", "roofline_fraction must be from 0"),
        ("repetitions = 200", "repetitions = 0", "repetitions must be at least 1"),
        ("batch = 16", "batch = 17", "key.batch must be a bucket's upper end, such as 24"),
        ("set_capacity = 512", "set_capacity = 500", "key.set_capacity must be a bucket's upper end"),
        ("page_size = 16", "page_size = 17", "key.page_size must be a power of two"),
        ("kv_heads = 8", "kv_heads = 0", "key.kv_heads must be from 1"),
        ("kv_heads = 8", "kv_heads = 7", "key.query_heads must be 1 to 16 times the 7 KV heads"),
        ("head_dim = 128", "head_dim = 4000000000", "key.head_dim must be from 1 to 1024"),
        ("dtype = \"bf16\"", "dtype = \"bf15\"", "unknown variant `bf15`"),
        (
            "compute_capability = \"9.0\" }\nkernel",
            "compute_capability = \"9\" }\nkernel",
            "must read like \"9.0\"",
        ),
        ("lse = false\n", "", "missing field `lse`"),
        ("lse = false", "lse = false\nlsd = true", "unknown field `lsd`"),
        ("kernel = \"sparse_attention\"", "kernel = \"dense\"", "unknown variant `dense`"),
        ("kernel = \"sparse_attention\"", "kernel = \"srh_score\"", "unknown field `rows`"),
    ] {
        let text = sample_text();
        assert!(text.contains(from), "{from}");
        let (warnings, tuned) = use_text(&text.replacen(from, to, 1));
        assert_eq!(warnings.len(), 1, "{to}: {warnings:?}");
        assert!(warnings[0].contains(sentence), "{to}: {warnings:?}");
        assert!(warnings[0].contains("not used, since"), "{warnings:?}");
        assert!(warnings[0].contains("tune again"), "{warnings:?}");
        assert!(!warnings[0].contains('\n'), "{warnings:?}");
        assert_eq!(tuned.find(&key()).unwrap().source, Source::Default, "{to}");
        assert_eq!(tuned.entries().len(), 1, "{to}");
    }
}
