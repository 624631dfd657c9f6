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
        recovery: Recovery { mean: 0.93, ci95_low: 0.91 },
        calibration_digest: "ca".into(),
    }
}

#[test]
fn a_selection_of_a_model_pair_survives_the_file() {
    let profile = Profile { selections: vec![selection()], ..profile() };
    let text = render(&profile).unwrap();
    assert!(text.contains("[[selection]]\ntarget_model = \"Qwen2.5-72B\"\n"), "{text}");
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
    assert_eq!(field(|s| s.recovery.mean = f64::NAN), "recovery.mean");
    assert_eq!(field(|s| s.recovery.mean = 1.5), "recovery.mean");
    assert_eq!(field(|s| s.recovery.ci95_low = 0.94), "recovery.ci95_low");
    assert_eq!(field(|s| s.recovery.ci95_low = f64::NAN), "recovery.ci95_low");
}

#[test]
fn a_target_only_selection_needs_no_draft_heads() {
    let target_only = Selection { m: 0, draft_heads: vec![], ..selection() };
    let profile = Profile { selections: vec![target_only], ..profile() };
    assert!(parse_text(&render(&profile).unwrap()).unwrap().warnings.is_empty());
}
