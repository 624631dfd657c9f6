use dustin::{
    profile::*,
    select::problem::{Maps, SelectProblem, SlotTable},
};

use super::{Mutation, hold, of_any_kernel};
use crate::support::{Toy, h200, refused_by};

/// 512 of 32,768 positions for each of 16 sequences, 128 of them from the draft's map.
pub(crate) fn problem() -> SelectProblem {
    SelectProblem {
        maps: Maps::Both,
        quota: 128,
        sinks: 4,
        recent: 64,
        ..SelectProblem::plain(16, 16 << 15, 512)
    }
}

fn key_of(problem: &SelectProblem) -> Key {
    Key::of(problem, &h200(), Policy { l2: CacheState::Warm, ..Policy::default() })
}

pub(crate) fn key() -> Key {
    key_of(&problem())
}

fn with(change: impl FnOnce(&mut SelectKey)) -> Key {
    let mut select = SelectKey::from(&problem());
    change(&mut select);
    Key { kernel: KernelKey::Selection(select), ..key() }
}

#[test]
fn every_field_of_the_key_tells_buckets_apart() {
    let change = |field, near, change: fn(&mut SelectKey)| (field, near, with(change));
    let mut mutations: Vec<Mutation> = of_any_kernel(&key());
    mutations.retain(|(field, ..)| *field != "policy.l2");
    let cold = Policy { l2: CacheState::Cold, ..key().policy };
    mutations.push(("policy.l2", false, Key { policy: cold, ..key() }));
    mutations.extend([
        change("batch", true, |key| key.batch = 24),
        change("mean_length", true, |key| key.mean_length = 49_152),
        change("budget", true, |key| key.budget = 768),
        change("maps", false, |key| key.maps = Maps::Draft),
        change("maps", false, |key| (key.maps, key.quota) = (Maps::Neither, false)),
        change("quota", false, |key| key.quota = false),
        change("block", true, |key| key.block = 2),
        change("pooling", true, |key| key.pooling = true),
        change("physical", true, |key| key.physical = true),
    ]);
    hold(&key(), &mutations);
}

#[test]
fn a_problem_with_any_field_changed_beyond_its_bucket_has_another_key() {
    let good = problem();
    let table = Some(SlotTable { pages: 9, page_size: 16, table_width: 9 });
    let changed = [
        SelectProblem { batch: 17, ..good },
        SelectProblem { map_capacity: (16 << 15) + 1, ..good },
        SelectProblem { budget: 513, ..good },
        SelectProblem { maps: Maps::Draft, ..good },
        SelectProblem { maps: Maps::Neither, quota: 0, ..good },
        SelectProblem { quota: 0, ..good },
        SelectProblem { block: 2, ..good },
        SelectProblem { pooling: 5, ..good },
        SelectProblem { table, ..good },
    ];
    let keys: std::collections::HashSet<Key> = changed.iter().map(key_of).collect();
    assert_eq!(keys.len(), changed.len());
    assert!(!keys.contains(&key()));
    let smaller = SelectProblem { batch: 13, map_capacity: 300_000, quota: 5, sinks: 0, recent: 9, ..good };
    assert_eq!(key_of(&smaller), key());
}

#[test]
fn the_problem_that_stands_for_a_bucket_is_valid_in_it_and_holds_it() {
    let table = Some(SlotTable { pages: 9, page_size: 1, table_width: 9 });
    for (batch, map_capacity) in [(1, 1), (13, 5000), (13, i32::MAX as u32), (65_535, i32::MAX as u32)] {
        for (block, blocks) in [(1, 1), (1, 4096), (3, 30), (48, 2), (90, 1), (200, 1), (256, 16), (65, 3)] {
            for (quota, table) in [(0, None), (block, table)] {
                let problem = SelectProblem {
                    block,
                    quota,
                    table,
                    maps: Maps::Both,
                    ..SelectProblem::plain(batch, map_capacity, block * blocks)
                };
                problem.validate().unwrap();
                let key = SelectKey::from(&problem);
                let stands = key.problem();
                let case = format!("{problem:?}: {stands:?}");
                assert_eq!(stands.validate(), Ok(()), "{case}");
                assert_eq!(SelectKey::from(&stands), key, "{case}");
                assert!(stands.batch >= batch && stands.map_capacity >= map_capacity, "{case}");
                assert!(stands.budget >= problem.budget, "{case}");
            }
        }
    }
}

#[test]
fn a_key_that_no_valid_problem_has_is_refused_by_field() {
    let field = |change: fn(&mut SelectKey)| refused_by(with(change), Toy);
    assert_eq!(field(|key| key.batch = 0), "key.batch");
    assert_eq!(field(|key| key.batch = 17), "key.batch");
    assert_eq!(field(|key| key.mean_length = 3), "key.mean_length");
    assert_eq!(field(|key| key.mean_length = 1 << 31), "key.mean_length");
    assert_eq!(field(|key| key.budget = 500), "key.budget");
    assert_eq!(field(|key| key.budget = 6144), "key.budget");
    assert_eq!(field(|key| key.block = 0), "key.block");
    assert_eq!(field(|key| key.block = 3), "key.block");
    assert_eq!(field(|key| key.block = 512), "key.block");
    assert_eq!(field(|key| key.maps = Maps::Target), "key.quota");
}
