use dustin::{
    Dtype, attention::problem::Mask, cpu::CpuLimits, kv::KvLayout, limits::DeviceLimits, profile::*,
    select::problem::Maps,
};
use proptest::{collection::vec, option, prelude::*, sample::select};

use crate::support::*;

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

fn device() -> impl Strategy<Value = DeviceId> {
    let capability = option::of((0..20u32, 0..10u32));
    (".{0,12}", capability).prop_map(|(name, capability)| DeviceId {
        name,
        compute_capability: capability.map(|(major, minor)| ComputeCapability { major, minor }),
    })
}

fn launch() -> impl Strategy<Value = Launch> {
    let number = || option::of(any::<u32>());
    (option::of(".{0,20}"), number(), number(), number())
        .prop_map(|(fold, splits, cluster, threads)| Launch { fold, splits, cluster, threads })
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
    let policy = (
        select(vec![LaunchMode::Graph, LaunchMode::Eager]),
        select(vec![CacheState::Cold, CacheState::Warm]),
    );
    let kernel = prop_oneof![
        attention_key().prop_map(KernelKey::SparseAttention),
        score_key().prop_map(KernelKey::SrhScore),
        select_key().prop_map(KernelKey::Selection),
    ];
    (device(), policy, kernel).prop_map(|(device, (launch, l2), kernel)| Key {
        device,
        policy: Policy { launch, l2 },
        kernel,
    })
}

fn attention_key() -> impl Strategy<Value = AttentionKey> {
    let words = (
        select(vec![Dtype::Bf16, Dtype::F16]),
        select(vec![KvDtype::Bf16, KvDtype::F16, KvDtype::Fp8E4m3]),
        select(vec![KvScale::None, KvScale::PerTensor, KvScale::PerHead]),
        select(vec![KvLayout::Nhd, KvLayout::Hnd]),
        select(vec![IndexSet::PerSequence, IndexSet::PerKvHead, IndexSet::Window, IndexSet::Everything]),
        select(vec![Mask::Causal, Mask::Tree]),
        any::<bool>(),
    );
    (words, any::<[u32; 8]>()).prop_map(|(words, numbers)| {
        let (dtype, kv_dtype, kv_scale, layout, index_set, mask, lse) = words;
        let [head_dim, query_heads, kv_heads, page_size, batch, rows, set_capacity, length_class] = numbers;
        AttentionKey {
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

fn score_key() -> impl Strategy<Value = ScoreKey> {
    (attention_key(), any::<[u32; 5]>(), any::<bool>()).prop_map(|(key, numbers, accumulate)| {
        let [mean_length, sources, heads, kv_heads_read, tokens] = numbers;
        ScoreKey {
            dtype: key.dtype,
            kv_dtype: key.kv_dtype,
            kv_scale: key.kv_scale,
            head_dim: key.head_dim,
            query_heads: key.query_heads,
            kv_heads: key.kv_heads,
            layout: key.layout,
            page_size: key.page_size,
            batch: key.batch,
            length_class: key.length_class,
            mean_length,
            sources,
            heads,
            kv_heads_read,
            tokens,
            accumulate,
        }
    })
}

fn select_key() -> impl Strategy<Value = SelectKey> {
    let maps = select(vec![Maps::Target, Maps::Draft, Maps::Both]);
    (maps, any::<[u32; 4]>(), any::<[bool; 3]>()).prop_map(|(maps, numbers, flags)| {
        let ([batch, mean_length, budget, block], [quota, pooling, physical]) = (numbers, flags);
        SelectKey { batch, mean_length, budget, maps, quota, block, pooling, physical }
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
        let profile = Profile { entries, ..Profile::new(provenance) };
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
            for key in [key(), key_with(|key| key.batch = 1), key_with(|key| key.rows = 8)] {
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
        prop_assert!(distance::between(&a, &b).is_none_or(|d| d.is_finite() && d >= 0.0));
        prop_assert_eq!(distance::between(&a, &a), Some(0.0));
    }

    #[test]
    fn keys_of_any_size_are_answered_without_a_panic(key in any_key()) {
        let _ = GPU.default(&key);
        let _ = CPU.default(&key);
        for (id, fold) in [("attention_cpu_t16_q1", None), ("score_cpu_t16_q1", None), ("x", Some("y".into()))] {
            let launch = Launch { fold, splits: Some(1), cluster: Some(1), threads: Some(1) };
            prop_assert!(GPU.check(&key, id, &launch).is_err());
            prop_assert!(CPU.check(&key, id, &launch).is_err());
        }
    }

    #[test]
    fn keys_near_each_other_have_a_distance(a in attention_key(), b in attention_key()) {
        let same_kind = AttentionKey {
            batch: b.batch,
            rows: b.rows,
            set_capacity: b.set_capacity,
            page_size: b.page_size,
            length_class: b.length_class,
            lse: b.lse,
            ..a
        };
        let key = |attention| Key { kernel: KernelKey::SparseAttention(attention), ..key() };
        let distance = distance::between(&key(a), &key(same_kind));
        prop_assert!(distance.is_some_and(|d| d.is_finite() && d >= 0.0));
    }
}
