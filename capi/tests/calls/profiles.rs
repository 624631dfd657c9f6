//! Profiles, reports, and what the verifier takes of a profile.

use std::{
    ffi::{CStr, CString},
    ptr::{from_ref, null, null_mut},
};

use dustin::{
    Dtype,
    attention::problem::{AttentionProblem, Confirmed, Mask, Sets},
    cpu,
    kv::{KvLayout, PagedKv},
    profile::{
        Choice, DeviceId, Entry, KernelKey, Key, Launch, LayerHeads, Policy, Profile, Provenance, Recovery,
        Selection, render,
    },
};
use dustin_c::*;

use crate::fixture::*;

/// A profile with one entry, for [`attention_problem`] on this CPU, and one selection, of which the target's head is `head` of layer
/// `layer`.
fn profile(variant: &str, layer: u32, head: u32) -> String {
    let device = DeviceId::cpu(cpu::name());
    let problem = AttentionProblem {
        batch: 2,
        rows: 3,
        total_rows: 5,
        confirmed: Confirmed::Sets(Sets::of_positions(8)),
        query_heads: 4,
        kv: PagedKv::dense(KvLayout::Nhd, 16, 4, 2, 64),
        table_width: 5,
        dtype: Dtype::Bf16,
        mask: Mask::Causal,
        lse: false,
        batch_invariant: false,
    };
    let kernel = KernelKey::from(&problem);
    let key = Key::of(kernel, &device, Policy::of(kernel.kernel(), &device));
    let launch = Launch { splits: Some(1), threads: Some(1), ..Launch::default() };
    let choice = Choice { variant: variant.into(), revision: 1, ptx_digest: None, launch };
    let mut profile = Profile::new(Provenance::unknown(device));
    profile.put(Entry::manual(key, choice));
    profile.selections.push(Selection {
        target_model: "target".into(),
        draft_model: "draft".into(),
        target_heads: vec![LayerHeads { layer, heads: vec![head] }],
        draft_heads: Vec::new(),
        k: 16,
        m: 0,
        sinks: 1,
        recent: 2,
        pooling: 1,
        recovery: Some(Recovery { mean: 0.9, ci95_low: 0.8 }),
        calibration_digest: Some("0".repeat(64)),
        provenance: None,
    });
    render(&profile).unwrap()
}

/// A profile's handle, destroyed at the end.
struct Handle(*mut dustin_profile);

impl Handle {
    fn parse(toml: &str) -> Self {
        let mut profile = null_mut();
        // SAFETY: the text has the length, and the handle may be written.
        succeed(unsafe { dustin_profile_parse(toml.as_ptr().cast(), toml.len(), &mut profile) });
        Self(profile)
    }

    fn warnings(&self, context: *const dustin_context) -> String {
        // SAFETY: the buffer has the capacity.
        text(|text, capacity, length| unsafe {
            dustin_profile_warnings(self.0, context, text, capacity, length)
        })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        succeed(dustin_profile_destroy(self.0));
    }
}

/// What serves [`attention_problem`]: its source, its variant, and the report.
fn served(context: &Context, profile: *const dustin_profile) -> (u32, String, String) {
    let (problem, mut operation, mut source) = (attention_problem(), null_mut(), 0);
    // SAFETY: here and below, structs are filled, and buffers have the capacity.
    succeed(unsafe { dustin_attention_create(context.0, profile, &problem, &mut operation) });
    // SAFETY: as above.
    succeed(unsafe { dustin_operation_source(operation, &mut source) });
    // SAFETY: as above.
    let variant =
        text(|text, capacity, length| unsafe { dustin_operation_variant(operation, text, capacity, length) });
    // SAFETY: as above.
    let report =
        text(|text, capacity, length| unsafe { dustin_operation_report(operation, text, capacity, length) });
    succeed(dustin_operation_destroy(operation));
    (source, variant, report)
}

#[test]
fn a_profile_s_entry_serves_its_bucket_and_the_default_the_rest() {
    let context = Context::new();
    let profile = Handle::parse(&profile("attention_cpu_t32_q2", 0, 0));
    assert_eq!(profile.warnings(null()), "");
    assert!(profile.warnings(context.0).contains("edited by hand"), "{}", profile.warnings(context.0));
    let (source, variant, report) = served(&context, profile.0);
    assert_eq!((source, variant.as_str()), (dustin_source::Exact as u32, "attention_cpu_t32_q2"));
    assert_eq!(report, "attention_cpu_t32_q2 splits=1 threads=1: tuned for this bucket, edited by hand");
    let (source, _, report) = served(&context, null());
    assert_eq!(source, dustin_source::Default as u32);
    assert!(report.contains("built-in default\n") && report.contains("no entry for this bucket"), "{report}");
}

#[test]
fn an_entry_that_does_not_hold_here_is_a_warning_and_the_default_serves() {
    let context = Context::new();
    let profile = Handle::parse(&profile("attention_cpu_of_tomorrow", 0, 0));
    assert!(profile.warnings(context.0).contains("is unknown here"), "{}", profile.warnings(context.0));
    let (source, _, report) = served(&context, profile.0);
    assert_eq!(source, dustin_source::Default as u32);
    assert!(report.contains("is unknown here"), "{report}");
}

#[test]
fn files_that_are_no_profiles_are_refused() {
    let mut profile = null_mut();
    // SAFETY: texts end with NUL or have their length; the handle may be written.
    unsafe {
        let missing = dustin_profile_read(c"/no/such/profile.toml".as_ptr(), &mut profile);
        assert_eq!(missing, dustin_status::Io, "{}", last_error());
        refuse(dustin_profile_read(null(), &mut profile), "path");
        for (content, reason) in
            [("", "is empty"), ("a = ", "must be TOML"), ("a = 1", "must begin with format")]
        {
            let status = dustin_profile_parse(content.as_ptr().cast(), content.len(), &mut profile);
            assert_eq!(status, dustin_status::InvalidInput);
            assert!(last_error().contains(reason), "{}", last_error());
        }
        refuse(dustin_profile_parse(b"\xff".as_ptr().cast(), 1, &mut profile), "toml");
    }
    assert!(profile.is_null());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cpu.toml");
    std::fs::write(&path, self::profile("attention_cpu_t32_q2", 0, 0)).unwrap();
    let path = CString::new(path.to_str().unwrap()).unwrap();
    // SAFETY: as above.
    succeed(unsafe { dustin_profile_read(path.as_ptr(), &mut profile) });
    succeed(dustin_profile_destroy(profile));
}

/// The sizes of a verifier of Qwen2.5-0.5B, by the profile's selection for the pair of these names.
fn sizes(
    profile: *const dustin_profile,
    names: [*const std::ffi::c_char; 2],
    change: fn(&mut dustin_verifier_problem, &mut dustin_model),
) -> (dustin_status, dustin_verifier_sizes) {
    let mut geometry =
        dustin_geometry { struct_size: size_of_struct::<dustin_geometry>(), ..dustin_geometry::default() };
    // SAFETY: the name ends with NUL, and the struct may be written.
    succeed(unsafe { dustin_geometry_preset(c"Qwen2.5-0.5B".as_ptr(), &mut geometry) });
    let mut target = dustin_model {
        struct_size: size_of_struct::<dustin_model>(),
        dtype: dustin_dtype::Bf16 as u32,
        geometry: from_ref(&geometry),
        kv: kv(),
        tp_size: 0,
        tp_rank: 0,
        scale: 0.0,
        draft_cache: 0,
        key_scale: null(),
        value_scale: null(),
    };
    let mut problem = dustin_verifier_problem {
        struct_size: size_of_struct::<dustin_verifier_problem>(),
        max_batch: 2,
        max_total_tokens: 60,
        max_length: 60,
        rows: 3,
        gamma: 2,
        slots: 2,
        reserved: 0,
        target: null(),
        draft: null(),
        rules: null(),
        target_name: names[0],
        draft_name: names[1],
        mask: 0,
        lse: 0,
        entries: 0,
        copies_queries: 0,
        batch_invariant: 0,
        reserved_too: 0,
        acceptance: null(),
    };
    change(&mut problem, &mut target);
    problem.target = from_ref(&target);
    let mut sizes = dustin_verifier_sizes {
        struct_size: size_of_struct::<dustin_verifier_sizes>(),
        ..dustin_verifier_sizes::default()
    };
    // SAFETY: structs are filled, and what they point to lives.
    let status = unsafe { dustin_verifier_problem_sizes(profile, &problem, &mut sizes) };
    (status, sizes)
}

const PAIR: [*const std::ffi::c_char; 2] = [c"target".as_ptr(), c"draft".as_ptr()];

#[test]
fn a_verifier_takes_its_rules_from_the_profile_s_pair() {
    let profile = Handle::parse(&profile("attention_cpu_t32_q2", 23, 13));
    let (status, sizes) = self::sizes(profile.0, PAIR, |_, _| ());
    succeed(status);
    assert_eq!((sizes.set, sizes.target_map, sizes.target_queries), (2 * 16, 60, 2 * 64));
    assert_eq!((sizes.target_table_width, sizes.draft_map), (15, 0));
}

#[test]
fn a_profile_for_another_geometry_or_another_pair_is_refused_by_field() {
    let fits = Handle::parse(&profile("attention_cpu_t32_q2", 23, 13));
    for (layer, head) in [(24, 0), (0, 14)] {
        let other = Handle::parse(&profile("attention_cpu_t32_q2", layer, head));
        refuse(sizes(other.0, PAIR, |_, _| ()).0, "target_heads");
    }
    refuse(sizes(fits.0, [PAIR[0], PAIR[0]], |_, _| ()).0, "target_name and draft_name");
    assert!(last_error().contains("target with draft"), "{}", last_error());
    refuse(sizes(null(), PAIR, |_, _| ()).0, "rules");
    refuse(sizes(fits.0, [null(), PAIR[1]], |_, _| ()).0, "target_name");
}

#[test]
fn verifiers_of_impossible_fields_are_refused_by_name() {
    let fits = Handle::parse(&profile("attention_cpu_t32_q2", 23, 13));
    let field = |change: fn(&mut dustin_verifier_problem, &mut dustin_model)| sizes(fits.0, PAIR, change).0;
    refuse(field(|problem, _| problem.gamma = 3), "gamma");
    refuse(field(|problem, _| problem.slots = 1), "slots");
    refuse(field(|problem, _| problem.mask = 2), "mask");
    refuse(field(|problem, _| problem.reserved = 1), "reserved");
    refuse(field(|_, target| target.kv.kv_heads = 4), "target.kv.kv_heads");
    refuse(field(|_, target| target.tp_size = 3), "tp_size");
    refuse(field(|_, target| (target.tp_size, target.tp_rank) = (2, 2)), "tp_rank");
    refuse(field(|_, target| target.dtype = 0), "dtype");
    refuse(field(|_, target| target.kv.dtype = 3), "kv.dtype");
    refuse(field(|_, target| target.key_scale = from_ref(&7).cast()), "key_scale");
    refuse(field(|_, target| target.geometry = null()), "geometry");
    refuse(field(|_, target| target.struct_size = 8), "struct_size");
}

#[test]
fn a_context_names_the_device_that_profiles_know() {
    let context = Context::new();
    // SAFETY: the buffer has the capacity.
    let name = text(|text, capacity, length| unsafe {
        dustin_context_device_name(context.0, text, capacity, length)
    });
    assert_eq!(name, cpu::name());
    let mut is_cuda = 7;
    // SAFETY: the number may be written.
    succeed(unsafe { dustin_context_is_cuda(context.0, &mut is_cuda) });
    assert_eq!(is_cuda, 0);
    let mut short = [1u8; 3];
    // SAFETY: as above.
    succeed(unsafe { dustin_context_device_name(context.0, short.as_mut_ptr().cast(), 3, null_mut()) });
    assert_eq!(CStr::from_bytes_until_nul(&short).unwrap().to_bytes().len(), 2);
}
