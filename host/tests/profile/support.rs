//! A small catalogue and well-formed parts, for tests to spoil.

use std::{borrow::Cow, path::Path};

use dustin::{
    Dtype, InvalidInput,
    attention::problem::{AttentionProblem, Confirmed, Mask, Sets},
    kv::{KvLayout, PagedKv},
    profile::*,
};

/// Two variants and a default, for any key without fp8; of large sets the default is another one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Toy;

pub(crate) const DIGEST: &str = "d1";

impl Catalogue for Toy {
    fn variant(&self, _: &Key, id: &str) -> Option<Known<'_>> {
        matches!(id, "narrow" | "wide" | "plain")
            .then_some(Known { revision: 3, ptx_digest: Some(Cow::Borrowed(DIGEST)) })
    }

    fn check(&self, key: &Key, id: &str, launch: &Launch) -> Result<(), InvalidInput> {
        let refuse = |field, required: &str, actual: String| {
            Err(InvalidInput { operation: "toy", field, required: required.into(), actual })
        };
        if let KernelKey::SparseAttention(key) = &key.kernel
            && id == "narrow"
            && key.rows > 8
        {
            return refuse("rows", "at most 8", key.rows.to_string());
        }
        match launch.splits {
            Some(1..=8) => Ok(()),
            splits => refuse("launch.splits", "from 1 to 8", format!("{splits:?}")),
        }
    }

    fn default(&self, key: &Key) -> Option<Choice> {
        let KernelKey::SparseAttention(key) = &key.kernel else { return Some(choice("plain", 1)) };
        let splits = if key.set_capacity > 1536 { 2 } else { 1 };
        (key.kv_dtype != KvDtype::Fp8E4m3).then(|| choice("plain", splits))
    }
}

pub(crate) fn h200() -> DeviceId {
    DeviceId::gpu("NVIDIA H200", 9, 0)
}

pub(crate) fn problem() -> AttentionProblem {
    AttentionProblem {
        batch: 16,
        rows: 5,
        total_rows: 80,
        confirmed: Confirmed::Sets(Sets::of_positions(512)),
        query_heads: 64,
        kv: PagedKv::dense(KvLayout::Nhd, 40_000, 16, 8, 128),
        table_width: 2048,
        dtype: Dtype::Bf16,
        mask: Mask::Causal,
        lse: false,
        batch_invariant: false,
    }
}

pub(crate) fn key() -> Key {
    Key::of(&problem(), &h200(), Policy::default())
}

/// The key with a field of attention's changed.
pub(crate) fn key_with(change: impl FnOnce(&mut AttentionKey)) -> Key {
    let mut attention = AttentionKey::from(&problem());
    change(&mut attention);
    Key { kernel: KernelKey::SparseAttention(attention), ..key() }
}

pub(crate) fn choice(variant: &str, splits: u32) -> Choice {
    Choice {
        variant: variant.into(),
        revision: 3,
        ptx_digest: Some(DIGEST.into()),
        launch: Launch { splits: Some(splits), ..Launch::default() },
    }
}

pub(crate) fn measurement() -> Measurement {
    Measurement {
        repetitions: 200,
        median_us: 31.25,
        ci95_low_us: 31.0,
        ci95_high_us: 31.5,
        roofline_fraction: Some(0.24),
        default: Timed {
            variant: "plain".into(),
            launch: Launch { splits: Some(1), ..Launch::default() },
            median_us: 44.0,
        },
        tied: vec![Timed {
            variant: "narrow".into(),
            launch: Launch { splits: Some(2), ..Launch::default() },
            median_us: 31.4,
        }],
    }
}

pub(crate) fn entry(key: Key, variant: &str, splits: u32) -> Entry {
    Entry::measured(key, choice(variant, splits), measurement())
}

pub(crate) fn provenance() -> Provenance {
    Provenance {
        device: h200(),
        sm_count: Some(132),
        cpu_threads: None,
        l2_kib: Some(61_440),
        memory_mib: Some(143_771),
        driver: Some("580.159".into()),
        cuda: Some("13.0".into()),
        power_limit_w: Some(700),
        mig: Some(false),
        kernel_source_hash: "5c".into(),
        search_space_hash: "5e".into(),
        crate_version: "0.1.0".into(),
        date: "2025-11-22T03:00:00Z".into(),
    }
}

/// A profile of two entries.
pub(crate) fn profile() -> Profile {
    let mut profile = Profile::new(provenance());
    profile.put(entry(key(), "wide", 2));
    profile.put(entry(key_with(|key| key.batch = 1), "narrow", 8));
    profile
}

pub(crate) fn sample_text() -> String {
    render(&profile()).unwrap()
}

pub(crate) fn parse_text(text: &str) -> Result<Read, ProfileError> {
    parse(text, Path::new("h200.toml"))
}

/// Reads `text` and gives every warning of reading and of checking, as sentences, with the entries in use.
pub(crate) fn use_text(text: &str) -> (Vec<String>, Tuned<Toy>) {
    let read = parse_text(text).unwrap();
    let tuned = Tuned::new(read.profile.entries, Toy);
    let warnings = read.warnings.iter().chain(tuned.warnings()).map(ToString::to_string).collect();
    (warnings, tuned)
}

/// The field for which `catalogue` refuses a manual entry of `choice` for `key`.
pub(crate) fn refused_field(key: Key, choice: Choice, catalogue: impl Catalogue) -> &'static str {
    match Tuned::new([Entry::manual(key, choice)], catalogue).warnings() {
        [Warning { problem: Problem::Illegal(error), .. }] => error.field,
        other => panic!("{other:?}"),
    }
}

/// The field for which an entry of `key` is refused, whatever its choice.
pub(crate) fn refused_by(key: Key, catalogue: impl Catalogue) -> &'static str {
    refused_field(key, choice("wide", 2), catalogue)
}
