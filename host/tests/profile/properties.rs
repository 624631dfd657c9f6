use dustin::{Dtype, kv::KvLayout, profile::*};
use proptest::{collection::vec, option, prelude::*, sample::select};

use crate::support::*;

fn device() -> impl Strategy<Value = DeviceId> {
    let capability = option::of((0..20u32, 0..10u32));
    (".{0,12}", capability).prop_map(|(name, capability)| DeviceId {
        name,
        compute_capability: capability.map(|(major, minor)| ComputeCapability { major, minor }),
    })
}

fn launch() -> impl Strategy<Value = Launch> {
    (option::of(any::<u32>()), option::of(any::<u32>()))
        .prop_map(|(splits, threads)| Launch { splits, threads })
}

fn time() -> impl Strategy<Value = f64> {
    any::<f64>().prop_filter("NaN is not equal to itself", |time| !time.is_nan())
}

fn timed() -> impl Strategy<Value = Timed> {
    (".{0,20}", launch(), time()).prop_map(|(variant, launch, median_us)| Timed {
        variant,
        launch,
        median_us,
    })
}

fn any_key() -> impl Strategy<Value = Key> {
    let words = (
        select(vec![LaunchMode::Graph, LaunchMode::Eager]),
        select(vec![CacheState::Cold, CacheState::Warm]),
        select(vec![Dtype::Bf16, Dtype::F16]),
        select(vec![KvDtype::Bf16, KvDtype::F16, KvDtype::Fp8E4m3]),
        select(vec![KvScale::None, KvScale::PerTensor, KvScale::PerHead]),
        select(vec![KvLayout::Nhd, KvLayout::Hnd]),
        select(vec![IndexSet::PerSequence, IndexSet::PerLayer, IndexSet::PerKvHead]),
        select(vec![Mask::Causal, Mask::Tree]),
        any::<bool>(),
    );
    (device(), words, any::<[u32; 8]>()).prop_map(|(device, words, numbers)| {
        let (launch, l2, dtype, kv_dtype, kv_scale, layout, index_set, mask, lse) = words;
        let [head_dim, query_heads, kv_heads, page_size, batch, rows, set_capacity, length_class] = numbers;
        Key {
            device,
            kernel: Kernel::SparseAttention,
            policy: Policy { launch, l2 },
            dtype,
            kv_dtype,
            kv_scale,
            head_dim,
            query_heads,
            kv_heads,
            layout,
            page_size,
            batch,
            rows,
            set_capacity,
            length_class,
            index_set,
            mask,
            lse,
        }
    })
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let choice = (".{0,40}", any::<u32>(), option::of("[0-9a-f]{64}"), launch())
        .prop_map(|(variant, revision, ptx_digest, launch)| Choice { variant, revision, ptx_digest, launch });
    let times = (time(), time(), time(), option::of(time()));
    let measurement = (any::<u32>(), times, timed(), vec(timed(), 0..4)).prop_map(
        |(repetitions, (median_us, ci95_low_us, ci95_high_us, roofline_fraction), default, tied)| {
            Measurement {
                repetitions,
                median_us,
                ci95_low_us,
                ci95_high_us,
                roofline_fraction,
                default,
                tied,
            }
        },
    );
    (any_key(), choice, option::of(measurement)).prop_map(|(key, choice, measurement)| match measurement {
        Some(measurement) => Entry::measured(key, choice, measurement),
        None => Entry::manual(key, choice),
    })
}

fn any_provenance() -> impl Strategy<Value = Provenance> {
    let numbers = vec(option::of(any::<u32>()), 5);
    let texts = (option::of(".*"), option::of(".*"), ".*", ".*", ".*", ".*");
    (device(), numbers, option::of(any::<bool>()), texts).prop_map(|(device, numbers, mig, texts)| {
        let (driver, cuda, kernel_source_hash, search_space_hash, crate_version, date) = texts;
        Provenance {
            device,
            sm_count: numbers[0],
            cpu_threads: numbers[1],
            l2_kib: numbers[2],
            memory_mib: numbers[3],
            driver,
            cuda,
            power_limit_w: numbers[4],
            mig,
            kernel_source_hash,
            search_space_hash,
            crate_version,
            date,
        }
    })
}

proptest! {
    #[test]
    fn what_is_written_is_what_is_read(provenance in any_provenance(), entries in vec(any_entry(), 0..4)) {
        let profile = Profile { provenance, entries, selections: vec![] };
        let read = parse_text(&render(&profile).unwrap()).unwrap();
        prop_assert_eq!(read.profile, profile);
        prop_assert!(read.warnings.is_empty());
    }

    #[test]
    fn a_file_with_any_bytes_replaced_is_refused_or_gives_only_legal_choices(
        edits in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        printable in any::<bool>(),
    ) {
        let mut bytes = sample_text().into_bytes();
        for (index, byte) in edits {
            let place = index.index(bytes.len());
            bytes[place] = if printable { b' ' + byte % 95 } else { byte };
        }
        if let Ok(read) = parse_text(&String::from_utf8_lossy(&bytes)) {
            let tuned = Tuned::new(read.profile.entries, Toy);
            for key in [key(), Key { batch: 1, ..key() }, Key { rows: 8, ..key() }] {
                let found = tuned.find(&key).unwrap();
                prop_assert!(Toy.check(&key, &found.choice.variant, &found.choice.launch).is_ok());
                let untouched = profile().entries.iter().any(|entry| Some(entry) == found.entry);
                let manual = found.entry.is_some_and(Entry::is_manual);
                prop_assert!(untouched || manual || found.source == Source::Default);
            }
        }
    }

    #[test]
    fn a_file_with_any_token_replaced_never_panics(
        line in any::<prop::sample::Index>(),
        value in select(vec!["nan", "-1", "1e400", "\"\"", "[]", "{}", "true", "18446744073709551616", "0", "[[x]]"]),
    ) {
        let text = sample_text();
        let mut lines: Vec<String> = text.lines().map(Into::into).collect();
        let place = line.index(lines.len());
        let name = lines[place].split(" = ").next().unwrap_or_default().to_owned();
        lines[place] = format!("{name} = {value}");
        if let Ok(read) = parse_text(&lines.join("\n")) {
            let tuned = Tuned::new(read.profile.entries, Toy);
            prop_assert!(tuned.find(&key()).is_ok());
        }
    }

    #[test]
    fn any_two_keys_have_a_distance_or_none_and_it_is_finite(a in any_key(), b in any_key()) {
        let same_kind = Key {
            batch: b.batch,
            rows: b.rows,
            set_capacity: b.set_capacity,
            page_size: b.page_size,
            length_class: b.length_class,
            lse: b.lse,
            ..a.clone()
        };
        prop_assert!(distance::between(&a, &same_kind).is_some_and(|d| d.is_finite() && d >= 0.0));
        prop_assert!(distance::between(&a, &b).is_none_or(f64::is_finite));
    }
}
