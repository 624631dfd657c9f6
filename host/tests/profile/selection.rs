use dustin::profile::*;

use crate::support::*;

fn selection() -> Selection {
    Selection {
        target_model: "Qwen2.5-72B".into(),
        draft_model: "Qwen2.5-0.5B".into(),
        target_heads: vec![LayerHeads { layer: 31, heads: vec![3, 17, 40, 63] }],
        draft_heads: vec![
            LayerHeads { layer: 9, heads: vec![1, 2] },
            LayerHeads { layer: 12, heads: vec![0, 13] },
        ],
        k: 512,
        m: 128,
        sinks: 4,
        recent: 64,
        pooling: 5,
        recovery: Some(Recovery { mean: 0.93, ci95_low: 0.91 }),
        calibration_digest: Some("ca".into()),
        provenance: Some(SelectionProvenance {
            date: "2026-01-01T00:00:00Z".into(),
            crate_version: "0.1.0".into(),
            target_ranking: Some("compresskv-srh".into()),
            draft_ranking: None,
            objective: Some(Objective { share: 0.95, confidence: 0.95 }),
            held_out: Some(HeldOut { prompts: 12, gamma: 4, share: 0.97, share_low: 0.96 }),
            cost: Some(EstimationCost {
                device: DeviceId::gpu("NVIDIA H200", 9, 0),
                estimation_us: 160.5,
                batch: 16,
                context: 32_768,
            }),
        }),
    }
}

/// As it is where nobody has judged it.
fn uncalibrated() -> Selection {
    Selection { recovery: None, calibration_digest: None, provenance: None, ..selection() }
}

#[test]
fn a_selection_of_a_model_pair_survives_the_file() {
    let profile = Profile { selections: vec![selection()], ..profile() };
    let text = render(&profile).unwrap();
    assert!(text.contains("[[selection]]\ntarget_model = \"Qwen2.5-72B\"\n"), "{text}");
    assert!(text.contains("[selection.provenance]\ndate = \"2026-01-01T00:00:00Z\"\n"), "{text}");
    let read = parse_text(&text).unwrap();
    assert_eq!((read.profile, read.warnings), (profile, vec![]));
}

#[test]
fn an_impossible_selection_is_left_out_and_reported_by_field() {
    let field = |change: fn(&mut Selection)| {
        let mut spoilt = selection();
        change(&mut spoilt);
        let profile = Profile { selections: vec![spoilt], ..profile() };
        let read = parse_text(&render(&profile).unwrap()).unwrap();
        assert!(read.profile.selections.is_empty());
        assert_eq!(read.profile.entries.len(), 2);
        match &read.warnings[..] {
            [Warning { problem: Problem::Illegal(error), place }]
                if place.starts_with("selection 1 (line") =>
            {
                error.field
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(field(|s| s.recent = 509), "sinks + recent");
    assert_eq!(field(|s| (s.sinks, s.recent) = (u32::MAX, u32::MAX)), "sinks + recent");
    assert_eq!(field(|s| s.m = 513), "m");
    assert_eq!(field(|s| s.pooling = 4), "pooling");
    assert_eq!(field(|s| s.pooling = 0), "pooling");
    assert_eq!(field(|s| s.target_heads.clear()), "target_heads");
    assert_eq!(field(|s| s.target_heads[0].heads.clear()), "target_heads");
    assert_eq!(field(|s| s.draft_heads.reverse()), "draft_heads");
    assert_eq!(field(|s| s.draft_heads[0].heads = vec![2, 2]), "draft_heads");
    assert_eq!(field(|s| recovery(s).mean = f64::NAN), "recovery.mean");
    assert_eq!(field(|s| recovery(s).mean = 1.5), "recovery.mean");
    assert_eq!(field(|s| recovery(s).ci95_low = 0.94), "recovery.ci95_low");
    assert_eq!(field(|s| recovery(s).ci95_low = f64::NAN), "recovery.ci95_low");
    assert_eq!(field(|s| s.recovery = None), "calibration_digest");
    assert_eq!(field(|s| s.calibration_digest = None), "calibration_digest");
    assert_eq!(field(|s| objective(s).share = 0.0), "provenance.objective.share");
    assert_eq!(field(|s| objective(s).confidence = 0.5), "provenance.objective.confidence");
    assert_eq!(field(|s| held_out(s).share = f64::INFINITY), "provenance.held_out.share");
    assert_eq!(field(|s| held_out(s).share_low = 0.98), "provenance.held_out.share_low");
    assert_eq!(field(|s| cost(s).estimation_us = -1.0), "provenance.cost.estimation_us");
    assert_eq!(field(|s| cost(s).estimation_us = f64::NAN), "provenance.cost.estimation_us");
}

fn recovery(selection: &mut Selection) -> &mut Recovery {
    selection.recovery.as_mut().unwrap()
}

fn objective(selection: &mut Selection) -> &mut Objective {
    selection.provenance.as_mut().unwrap().objective.as_mut().unwrap()
}

fn held_out(selection: &mut Selection) -> &mut HeldOut {
    selection.provenance.as_mut().unwrap().held_out.as_mut().unwrap()
}

fn cost(selection: &mut Selection) -> &mut EstimationCost {
    selection.provenance.as_mut().unwrap().cost.as_mut().unwrap()
}

#[test]
fn a_selection_that_nobody_judged_says_so_by_what_it_lacks() {
    let profile = Profile { selections: vec![uncalibrated()], ..profile() };
    let text = render(&profile).unwrap();
    let read = parse_text(&text).unwrap();
    assert_eq!((&read.profile, read.warnings), (&profile, vec![]));
    assert!(!read.profile.selections[0].is_calibrated() && selection().is_calibrated());
    for word in ["recovery", "calibration_digest", "selection.provenance"] {
        assert!(!text.contains(word), "{text}");
    }
}

#[test]
fn a_selection_takes_the_place_of_that_of_its_pair_and_leaves_the_others() {
    let other = Selection { draft_model: "Qwen2.5-1.5B".into(), ..selection() };
    let mut profile = Profile { selections: vec![selection(), other.clone()], ..profile() };
    profile.put_selection(Selection { k: 1024, ..uncalibrated() });
    assert_eq!(profile.selections, [Selection { k: 1024, ..uncalibrated() }, other.clone()]);
    let third = Selection { target_model: "Qwen2.5-7B".into(), ..selection() };
    profile.put_selection(third.clone());
    assert_eq!(profile.selections[1..], [other, third]);
}

#[test]
fn a_selection_takes_the_place_of_one_of_its_pair_that_cannot_be_read() {
    let other = Selection { draft_model: "Qwen2.5-1.5B".into(), pooling: 4, ..selection() };
    let spoilt = Profile { selections: vec![Selection { pooling: 4, ..selection() }, other], ..profile() };
    let mut profile = parse_text(&render(&spoilt).unwrap()).unwrap().profile;
    assert_eq!((profile.selections.len(), profile.unread.len()), (0, 2));
    profile.put_selection(selection());
    assert_eq!((profile.selections.len(), profile.unread.len()), (1, 1));
}

#[test]
fn a_map_that_what_is_always_taken_and_the_quota_leave_no_room_needs_no_heads() {
    let by_draft = Selection { m: 512 - 68, target_heads: vec![], ..selection() };
    assert_eq!(by_draft.validate(), Ok(()));
    assert!(Selection { m: 512 - 69, ..by_draft.clone() }.validate().is_err());
    let by_neither = Selection { recent: 508, draft_heads: vec![], ..by_draft };
    assert_eq!(by_neither.validate(), Ok(()));
    assert!(Selection { recent: 507, ..by_neither }.validate().is_err());
}

#[test]
fn a_target_only_selection_needs_no_draft_heads() {
    let target_only = Selection { m: 0, draft_heads: vec![], ..selection() };
    let profile = Profile { selections: vec![target_only], ..profile() };
    assert!(parse_text(&render(&profile).unwrap()).unwrap().warnings.is_empty());
}
