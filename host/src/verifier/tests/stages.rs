use super::*;
use crate::{
    attention::problem::{Confirmed, Entries, Mask},
    score::problem::ScoreProblem,
    select::problem::Maps,
};

fn heads_of(gather: &Gather<ScoreProblem>) -> Vec<Vec<u32>> {
    let sources = &gather.heads().expect("heads").sources;
    sources.iter().map(|source| source.heads.iter().map(|captured| captured.head).collect()).collect()
}

#[test]
fn the_stages_are_those_of_the_models_limits_and_rules() {
    let stages = Stages::new(&problem(1, 0)).unwrap();
    let target = stages.target_score.heads().unwrap();
    assert_eq!((target.batch, target.map_capacity, target.tokens, target.slots), (16, 524_288, 1, 20));
    assert_eq!((target.query_heads, target.table_width), (64, 2049));
    assert_eq!(target.sources[0].heads[0].weight, 0.25);
    let draft = stages.draft_score.heads().unwrap();
    assert_eq!((draft.tokens, draft.query_heads, draft.kv.head_dim), (4, 14, 64));
    assert!(draft.sources.iter().flat_map(|s| &s.heads).all(|captured| captured.weight == 1.0 / 12.0));

    let select = stages.selection;
    assert_eq!((select.batch, select.map_capacity, select.budget, select.quota), (16, 524_288, 512, 128));
    assert_eq!((select.sinks, select.recent, select.everything, select.slots), (4, 32, 2048, Some(20)));
    assert_eq!((select.maps, select.table), (Maps::Both, None));
    let attention = stages.attention;
    assert_eq!((attention.rows, attention.total_rows, attention.confirmed_capacity()), (5, 80, 512));
    assert_eq!(stages.full_attention.confirmed, Confirmed::Everything);
    assert_eq!((stages.append.query_heads, stages.append.step.total_rows), (0, 80));
    let compact = stages.compaction;
    assert_eq!((compact.layers, compact.accepted, compact.counted), (80, 5, true));
}

#[test]
fn what_decides_nothing_is_not_gathered() {
    let maps = |m, sinks, recent| {
        let mut problem = problem(1, 0);
        (problem.rules.m, problem.rules.sinks, problem.rules.recent) = (m, sinks, recent);
        let stages = Stages::new(&problem).unwrap();
        let read = (stages.target_score.is_read(), stages.draft_score.is_read());
        (stages.selection.maps, read)
    };
    assert_eq!(maps(0, 4, 32), (Maps::Target, (true, false)));
    assert_eq!(maps(475, 4, 32), (Maps::Both, (true, true)));
    assert_eq!(maps(476, 4, 32), (Maps::Draft, (false, true)));
    assert_eq!(maps(512, 4, 32), (Maps::Draft, (false, true)));
    assert_eq!(maps(128, 4, 508), (Maps::Neither, (false, false)));
    assert_eq!(maps(0, 4, 508), (Maps::Neither, (false, false)));
    let mut by_draft = problem(1, 0);
    (by_draft.rules.m, by_draft.rules.target_heads) = (512, vec![]);
    let stages = Stages::new(&by_draft).unwrap();
    assert_eq!((stages.selection.slots, stages.target_captured.items()), (None, 0));
}

#[test]
fn ranks_gather_their_own_heads_with_the_weights_of_the_whole() {
    let stages = |rank| Stages::new(&problem(8, rank)).unwrap();
    assert_eq!(heads_of(&stages(0).target_score), [[3]]);
    assert_eq!(heads_of(&stages(2).target_score), [[1]]);
    assert_eq!(heads_of(&stages(5).target_score), [[0]]);
    assert_eq!(heads_of(&stages(7).target_score), [[7]]);
    assert_eq!(stages(0).target_score.heads().unwrap().sources[0].heads[0].weight, 0.25);
    assert_eq!(stages(1).target_score, Gather::Zero);
    let first = stages(0);
    assert_eq!((first.attention.query_heads, first.attention.kv.kv_heads), (8, 1));
    // The draft stands whole on every rank.
    assert_eq!(heads_of(&first.draft_score), [vec![0, 9], vec![13]]);
}

#[test]
fn a_rank_of_a_model_that_its_config_states_has_its_share_of_caches_and_queries() {
    let config = br#"{"model_type": "qwen2", "num_hidden_layers": 80, "num_attention_heads": 64, "num_key_value_heads": 8,
        "hidden_size": 8192, "intermediate_size": 29568, "vocab_size": 152064, "max_position_embeddings": 32768}"#;
    let geometry = crate::geometry::parse_config(config).unwrap();
    let mut from_config = problem(8, 3);
    from_config.target.share = ModelShare::new(geometry, 8, 3).unwrap();
    let stages = Stages::new(&from_config).unwrap();
    assert_eq!(stages, Stages::new(&problem(8, 3)).unwrap());
    assert_eq!((stages.attention.query_heads, stages.attention.kv.kv_heads), (8, 1));
    from_config.target.kv.kv_heads = 8;
    assert_eq!(Stages::new(&from_config).unwrap_err().field, "target.kv.kv_heads");
}

#[test]
fn captured_queries_of_all_layers_lie_side_by_side() {
    let captured = Stages::new(&problem(1, 0)).unwrap().draft_captured;
    assert_eq!((captured.slots, captured.tokens, captured.heads(), captured.head_dim), (20, 4, 3, 64));
    assert_eq!((captured.token_stride(), captured.slot_stride(), captured.items()), (192, 768, 15_360));
    let [five, eleven] = &captured.layers[..] else { panic!("two layers") };
    assert_eq!((five.layer, &five.heads[..], captured.offset(five)), (5, &[0, 9][..], 0));
    assert_eq!((eleven.layer, &eleven.heads[..], captured.offset(eleven)), (11, &[13][..], 128));
}

#[test]
fn arrays_that_are_not_asked_for_have_no_items() {
    let sizes = |problem: &VerifierProblem| Sizes::new(&Stages::new(problem).unwrap());
    let most = sizes(&problem(1, 0));
    assert_eq!((most.target_map, most.draft_map, most.set, most.set_sizes), (524_288, 524_288, 8192, 16));
    assert_eq!((most.physical, most.masks, most.accepted, most.starts), (0, 0, 80, 17));
    let mut other = problem(1, 0);
    (other.rules.m, other.entries, other.mask, other.copies_queries) = (0, Entries::Slots, Mask::Tree, true);
    let stages = Stages::new(&other).unwrap();
    assert_eq!((stages.append.query_heads, stages.selection.table.unwrap().table_width), (64, 2049));
    let sizes = Sizes::new(&stages);
    assert_eq!((sizes.draft_map, sizes.draft_queries, sizes.physical, sizes.masks), (0, 0, 8192, 80));
}
