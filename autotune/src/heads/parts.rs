//! What a step's estimation is made of: launches that are timed by themselves.

use std::collections::BTreeMap;

use dustin::{
    InvalidInput,
    profile::{KernelKey, Key, ScoreKey, SelectKey},
    score::problem::{MAX_COLUMNS, ScoreProblem, Source},
    select::problem::{Maps, SelectProblem},
    verifier::Stages,
};

/// A launch, and how much of it a step's estimation has.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Part {
    /// What it is for.
    pub(super) what: &'static str,
    /// The bucket that says who serves it.
    pub(super) bucket: KernelKey,
    /// The sizes that are timed, not rounded up.
    pub(super) sizes: KernelKey,
    /// How often its time counts.
    pub(super) weight: f64,
}

/// The parts of the estimation of `stages`; none if no map is read.
///
/// A map is one launch for all of its layers, whose time depends on how many KV heads each of them reads, and on how many heads read one.
/// Layers that are not alike in this are timed in maps of as many layers that are: a layer costs its share of such a map.
///
/// # Errors
/// More heads are captured than scoring has columns for.
pub(super) fn parts(stages: &Stages) -> Result<Vec<Part>, InvalidInput> {
    let mut parts = Vec::new();
    for (what, gather) in [("target's map", &stages.target_score), ("draft's map", &stages.draft_score)] {
        if let Some(problem) = gather.heads() {
            map(what, problem, &mut parts)?;
        }
    }
    if stages.selection.maps != Maps::Neither {
        parts.push(selection(&stages.selection));
    }
    Ok(parts)
}

/// Adds the parts of a map, one for each kind of layer.
fn map(what: &'static str, problem: &ScoreProblem, parts: &mut Vec<Part>) -> Result<(), InvalidInput> {
    let group = problem.group().max(1);
    let layers = problem.sources.len();
    let mut kinds: BTreeMap<(u32, u32), u32> = BTreeMap::new();
    for source in &problem.sources {
        let shared = source.heads.chunk_by(|a, b| a.head / group == b.head / group).map(<[_]>::len);
        let (read, most) = shared.fold((0, 0), |(read, most), own| (read + 1, most.max(own as u32)));
        *kinds.entry((read, most)).or_default() += 1;
    }
    for ((read, most), count) in kinds {
        let heads = (read * most).min(MAX_COLUMNS / problem.tokens.max(1)).max(read);
        let captured = Source::spread_heads(heads, read, problem.kv.kv_heads, group);
        let alike = ScoreProblem {
            sources: Source::mean(&vec![captured.as_slice(); layers], problem.tokens),
            ..problem.clone()
        };
        alike.validate()?;
        let bucket = ScoreKey::from(&alike);
        let sizes = ScoreKey {
            batch: alike.batch,
            mean_length: alike.map_capacity / alike.batch.max(1),
            sources: layers as u32,
            heads,
            tokens: alike.tokens,
            ..bucket
        };
        let weight = f64::from(count) / layers as f64;
        parts.push(Part { what, bucket: (&alike).into(), sizes: KernelKey::SrhScore(sizes), weight });
    }
    Ok(())
}

fn selection(problem: &SelectProblem) -> Part {
    let sizes = SelectKey {
        batch: problem.batch,
        mean_length: problem.map_capacity / problem.batch.max(1),
        budget: problem.budget,
        ..SelectKey::from(problem)
    };
    let (bucket, sizes) = (problem.into(), KernelKey::Selection(sizes));
    Part { what: "selection", bucket, sizes, weight: 1.0 }
}

impl Part {
    /// Of a device that is measured for the use that it is made for, the keys of bucket and sizes.
    pub(super) fn keys(&self, device: &crate::device::Device) -> [Key; 2] {
        [self.bucket, self.sizes].map(|kernel| Key::of(kernel, device.id(), device.policy(kernel.kernel())))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use dustin::{profile::LayerHeads, verifier::Rules};
    use dustin_heads::Capture;

    use super::*;
    use crate::heads::StepShape;

    fn parts_of(target: &[(u32, &[u32])], draft: &[(u32, &[u32])], m: u32) -> Vec<Part> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/calibration.safetensors");
        let capture = Capture::open(Path::new(path)).unwrap();
        let heads = |layers: &[(u32, &[u32])]| {
            let own = layers.iter().map(|&(layer, heads)| LayerHeads { layer, heads: heads.to_vec() });
            own.collect::<Vec<_>>()
        };
        let rules = Rules::by_target(heads(target), 16).with_draft(heads(draft), m);
        let step = StepShape { batch: 3, context: 100, gamma: 4 };
        parts(&step.stages(&capture, &rules).unwrap()).unwrap()
    }

    fn told(parts: &[Part]) -> Vec<(&str, f64, u32, u32)> {
        let of = |part: &Part| match part.sizes {
            KernelKey::SrhScore(key) => (part.what, part.weight, key.kv_heads_read, key.heads),
            KernelKey::Selection(key) => (part.what, part.weight, key.budget, 0),
            KernelKey::SparseAttention(_) => panic!("no part of estimation"),
        };
        parts.iter().map(of).collect()
    }

    #[test]
    fn a_step_costs_its_maps_and_the_selection_at_their_own_sizes() {
        let parts = parts_of(&[(1, &[2])], &[(0, &[1]), (1, &[0, 1])], 4);
        let expected = [
            ("target's map", 1.0, 1, 1),
            ("draft's map", 0.5, 1, 1),
            ("draft's map", 0.5, 1, 2),
            ("selection", 1.0, 16, 0),
        ];
        assert_eq!(told(&parts), expected);
        let KernelKey::SrhScore(key) = parts[1].sizes else { panic!("a map") };
        assert_eq!((key.batch, key.mean_length, key.tokens, key.sources), (3, 100, 4, 2));
        let KernelKey::SrhScore(key) = parts[1].bucket else { panic!("a map") };
        assert_eq!((key.batch, key.mean_length), (3, 128));
    }

    #[test]
    fn heads_of_one_kv_head_are_another_part_than_those_of_two() {
        assert_eq!(told(&parts_of(&[(1, &[2, 3])], &[], 0))[0], ("target's map", 1.0, 1, 2));
        assert_eq!(told(&parts_of(&[(1, &[1, 2])], &[], 0))[0], ("target's map", 1.0, 2, 2));
        // Which heads they are makes no difference.
        assert_eq!(parts_of(&[(1, &[2, 3])], &[], 0), parts_of(&[(0, &[0, 1])], &[], 0));
    }

    #[test]
    fn a_map_that_is_not_read_costs_nothing() {
        let all_by_the_draft = parts_of(&[], &[(1, &[1])], 16);
        assert_eq!(told(&all_by_the_draft), [("draft's map", 1.0, 1, 1), ("selection", 1.0, 16, 0)]);
    }
}
