//! Small rankings, the fixture's, and a published one where it is at hand.

use std::{collections::BTreeMap, env, fs, path::Path};

use dustin::{
    geometry::preset,
    profile::{self, DeviceId, Profile, Provenance, Selection},
    verifier::Rules,
};

use super::*;

/// Two layers of four query heads.
const SMALL: Geometry = Geometry {
    layers: 2,
    query_heads: 4,
    kv_heads: 2,
    head_dim: 64,
    hidden: 256,
    intermediate: 512,
    vocabulary: 100,
};

fn read(
    text: &str,
    read: fn(&Path, Geometry) -> Result<HeadRanking, RankingError>,
) -> Result<HeadRanking, RankingError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    read(file.path(), SMALL)
}

#[test]
fn orders_are_taken_as_they_stand() {
    let ranking = read(r#"{"1": [3, 0, 1, 2], "0": [2, 1, 0, 3]}"#, HeadRanking::read_orders).unwrap();
    assert_eq!((ranking.layers(), ranking.of_layer(1)), (2, &[3, 0, 1, 2][..]));
    assert_eq!(ranking.of_layer(2), [0; 0]);
    let best = ranking.best_of(&[1, 0, 7], 2);
    let expected = [(0, vec![1, 2]), (1, vec![0, 3])];
    assert_eq!(best, expected.map(|(layer, heads)| LayerHeads { layer, heads }));
    assert_eq!((ranking.score(0, 0), ranking.best_layers(1, 1)), (None, None));
    assert!(!ranking.is_all_zero());
}

#[test]
fn scores_rank_by_their_mean_and_equals_by_their_number() {
    let text = r#"{"0-0": [0.5], "0-1": [0.25, 0.75], "0-2": [2], "0-3": [0],
                   "1-0": [0], "1-1": [0, 0], "1-2": [3, 0, 0], "1-3": [0.125]}"#;
    let ranking = read(text, HeadRanking::read_scores).unwrap();
    assert_eq!(ranking.of_layer(0), [2, 0, 1, 3]);
    assert_eq!(ranking.of_layer(1), [2, 3, 0, 1]);
    assert_eq!(ranking.score(0, 1), Some(0.5));
    assert_eq!(ranking.best_layers(2, 1), Some(vec![0, 1]));
    let zero = text.replace(|digit: char| ('1'..='9').contains(&digit), "0");
    assert!(read(&zero, HeadRanking::read_scores).is_err(), "heads are missing");
}

#[test]
fn either_file_is_known_by_its_keys() {
    let orders = r#"{"1": [3, 0, 1, 2], "0": [2, 1, 0, 3]}"#;
    assert_eq!(read(orders, HeadRanking::read).unwrap(), read(orders, HeadRanking::read_orders).unwrap());
    let heads = (0..2).flat_map(|layer| (0..4).map(move |head| (format!("{layer}-{head}"), [head])));
    let scores = serde_json::to_string(&heads.collect::<BTreeMap<_, _>>()).unwrap();
    assert_eq!(read(&scores, HeadRanking::read).unwrap(), read(&scores, HeadRanking::read_scores).unwrap());
    for neither in ["[]", "1", "", "{\"0\": 1}", "{\"0-0\": 1}"] {
        assert!(read(neither, HeadRanking::read).is_err(), "{neither}");
    }
}

#[test]
fn a_ranking_that_says_nothing_is_reported() {
    let heads = (0..2).flat_map(|layer| (0..4).map(move |head| (format!("{layer}-{head}"), [0.0; 3])));
    let text = serde_json::to_string(&heads.collect::<BTreeMap<_, _>>()).unwrap();
    assert!(read(&text, HeadRanking::read_scores).unwrap().is_all_zero());
}

#[test]
fn rankings_of_other_models_and_broken_files_are_refused_by_name() {
    for (text, required) in [
        (r#"{"0": [0, 1, 2, 3]}"#, "layer 1 must be each of the model's 4 query heads once, but is 0 heads"),
        (
            r#"{"0": [0, 1, 2, 3], "2": [0, 1, 2, 3]}"#,
            "a layer must be a number below 2, as the model's, but is \"2\"",
        ),
        (
            r#"{"0": [0, 1, 2, 4], "1": [0, 1, 2, 3]}"#,
            "layer 0 must be heads below 4, the model's query heads, but is 4",
        ),
        (r#"{"0": [0, 1, 2, 2], "1": [0, 1, 2, 3]}"#, "4 heads, 3 of them different"),
        (
            r#"{"0": [0, 1, 2, -1]}"#,
            "must be {\"layer\": [heads, best first]} as CompressKV's head_idx.json, but",
        ),
        ("[]", "head_idx.json, but"),
        (r#"{"0": ["#, "head_idx.json, but: EOF"),
    ] {
        let message = read(text, HeadRanking::read_orders).unwrap_err().to_string();
        assert!(message.contains(required), "{message}");
    }
    for (text, required) in [
        (r#"{"0-0": [1]}"#, "0-1 must be given, as all 4 heads of all 2 layers, but is missing"),
        (r#"{"0-4": [1]}"#, "a head must be a number below 4"),
        (r#"{"2-0": [1]}"#, "a layer must be a number below 2"),
        (r#"{"00": [1]}"#, "must be layer-head"),
        (r#"{"0-0": []}"#, "0-0 must be at least one finite score, but is []"),
        (r#"{"0-0": [1e308, 1e308]}"#, "0-0 must be at least one finite score"),
        (r#"{"0-0": 1}"#, "head_score.json, but"),
    ] {
        let message = read(text, HeadRanking::read_scores).unwrap_err().to_string();
        assert!(message.contains(required), "{message}");
    }
    let missing = HeadRanking::read_orders(Path::new("no/such.json"), SMALL).unwrap_err();
    assert!(matches!(missing, RankingError::Read { .. }), "{missing}");
}

#[test]
fn the_fixtures_own_scores_put_its_copying_heads_first() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/calibration.safetensors");
    let capture = Capture::open(Path::new(path)).unwrap();
    let ranking = |role| HeadRanking::of_capture(&capture, role).unwrap().unwrap();
    let (target, draft) = (ranking(ModelRole::Target), ranking(ModelRole::Draft));
    assert_eq!((target.of_layer(1)[0], draft.of_layer(1)[0]), (2, 1));
    assert_eq!(target.best_layers(1, 1), Some(vec![1]));
    assert!(target.score(1, 2) > target.score(1, 0));
}

/// The published ranking of Llama-3.1-8B-Instruct; nothing where it is not at hand.
fn published() -> Option<HeadRanking> {
    let folder = env::var_os("DUSTIN_TEST_DATA")?;
    let path = Path::new(&folder).join("srh/Llama-3.1-8B-Instruct_head_idx.json");
    Some(HeadRanking::read_orders(&path, preset("Llama-3.1-8B").unwrap()).unwrap())
}

#[test]
fn the_published_ranking_is_that_of_its_model_and_of_no_other() {
    let Some(ranking) = published() else {
        eprintln!("skipped: DUSTIN_TEST_DATA names no data");
        return;
    };
    assert_eq!(ranking.layers(), 32);
    assert_eq!(ranking.of_layer(0)[..4], [11, 25, 23, 27]);
    let path =
        Path::new(&env::var_os("DUSTIN_TEST_DATA").unwrap()).join("srh/Llama-3.1-8B-Instruct_head_idx.json");
    for other in ["Qwen2.5-7B", "Llama-3.1-70B", "Llama-3.2-1B"] {
        assert!(HeadRanking::read_orders(&path, preset(other).unwrap()).is_err(), "{other}");
    }
}

#[test]
fn the_published_ranking_gives_a_selection_that_a_profile_keeps_and_a_verifier_takes() {
    let Some(ranking) = published() else {
        eprintln!("skipped: DUSTIN_TEST_DATA names no data");
        return;
    };
    let selection = Selection {
        target_model: "Llama-3.1-8B-Instruct".into(),
        draft_model: "Llama-3.2-1B-Instruct".into(),
        target_heads: ranking.best_of(&[13], 4),
        draft_heads: Vec::new(),
        k: 512,
        m: 0,
        sinks: 4,
        recent: 64,
        pooling: 5,
        recovery: None,
        calibration_digest: None,
        provenance: None,
    };
    let profile = Profile {
        selections: vec![selection.clone()],
        ..Profile::new(Provenance {
            device: DeviceId::cpu("a CPU"),
            sm_count: None,
            cpu_threads: None,
            l2_kib: None,
            memory_mib: None,
            driver: None,
            cuda: None,
            power_limit_w: None,
            mig: None,
            kernel_source_hash: String::new(),
            search_space_hash: String::new(),
            crate_version: String::new(),
            date: String::new(),
        })
    };
    let text = profile::render(&profile).unwrap();
    let read = profile::parse(&text, Path::new("profile.toml")).unwrap();
    assert_eq!((read.profile.selections.as_slice(), read.warnings.as_slice()), (&[selection][..], &[][..]));
    let rules = Rules::of_profile(&read.profile, "Llama-3.1-8B-Instruct", "Llama-3.2-1B-Instruct").unwrap();
    let mut best = ranking.of_layer(13)[..4].to_vec();
    best.sort_unstable();
    assert_eq!((rules.target_heads[0].layer, &rules.target_heads[0].heads), (13, &best));
}
