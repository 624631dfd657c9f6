//! The steps that are timed.

use anyhow::Context as _;
use dustin::{
    Dtype,
    geometry::{Geometry, ModelShare, preset},
    kv::{KvLayout, PagedKv},
    profile::LayerHeads,
    score::problem::Source,
    verifier::{Draft, DraftCache, Limits, Model, Rules, VerifierProblem},
};

const PAGE: u32 = 16;

/// One verification step of Qwen2.5-72B, drafted by Qwen2.5-0.5B.
#[derive(Clone, Copy, Debug)]
pub struct StepShape {
    /// Its name.
    pub name: &'static str,
    /// The workload of `autotune` that is a layer's attention over the whole cache: peers are timed on it.
    pub full: &'static str,
    /// Sequences.
    pub batch: u32,
    /// Confirmed tokens of each sequence.
    pub context: u32,
    /// Distinct caches, which the layers take in turn.
    pub caches: u32,
    /// KV heads that the target's four scoring heads read.
    pub kv_heads_read: u32,
}

/// Layers of the step.
pub const LAYERS: u32 = 80;

/// Draft tokens.
const GAMMA: u32 = 4;

/// Layers and heads of the draft's map.
const DRAFT: (u32, u32) = (3, 4);

/// Every step. At W1 80 caches of their own would take 172 GB.
pub const STEPS: [StepShape; 5] = [
    StepShape { name: "w1", full: "w1-full", batch: 16, context: 32_768, caches: 8, kv_heads_read: 4 },
    StepShape { name: "w1-1kv", full: "w1-full", batch: 16, context: 32_768, caches: 8, kv_heads_read: 1 },
    StepShape {
        name: "b8-16k",
        full: "w1-full-b8-16k",
        batch: 8,
        context: 16_384,
        caches: LAYERS,
        kv_heads_read: 4,
    },
    StepShape {
        name: "b1-32k",
        full: "w1-full-b1",
        batch: 1,
        context: 32_768,
        caches: LAYERS,
        kv_heads_read: 4,
    },
    StepShape {
        name: "b1-128k",
        full: "w1-full-b1-128k",
        batch: 1,
        context: 131_072,
        caches: LAYERS,
        kv_heads_read: 4,
    },
];

impl StepShape {
    /// What a verifier is made for: a model of as many layers as there are caches.
    ///
    /// # Errors
    /// None, unless the figures above are not as they should be.
    pub fn problem(&self) -> anyhow::Result<VerifierProblem> {
        let of = |name| preset(name).with_context(|| format!("{name} is no preset"));
        let target = Geometry { layers: self.caches, ..of("Qwen2.5-72B")? };
        let draft = of("Qwen2.5-0.5B")?;
        let limits = Limits {
            max_batch: self.batch,
            max_total_tokens: self.batch * self.length(),
            max_length: self.length(),
            rows: GAMMA + 1,
            gamma: GAMMA,
            slots: self.batch,
        };
        let heads =
            |geometry: Geometry, read| Source::spread_heads(4, read, geometry.kv_heads, geometry.group());
        let target_heads = vec![LayerHeads { layer: 0, heads: heads(target, self.kv_heads_read) }];
        let draft_layer = |layer| LayerHeads { layer, heads: heads(draft, draft.kv_heads) };
        let rules = Rules { sinks: 4, recent: 64, ..Rules::by_target(target_heads, 512) }
            .with_draft((0..DRAFT.0).map(draft_layer).collect(), 128);
        let draft = Draft { model: self.model(draft), cache: DraftCache::Complete };
        Ok(VerifierProblem {
            copies_queries: true,
            ..VerifierProblem::new(self.model(target), Some(draft), limits, rules)
        })
    }

    /// Tokens of each sequence, with the step's own rows.
    const fn length(&self) -> u32 {
        self.context + GAMMA + 1
    }

    /// Pages of each sequence.
    #[must_use]
    pub const fn pages(&self) -> u32 {
        self.length().div_ceil(PAGE)
    }

    /// What is timed, in words.
    #[must_use]
    pub fn title(&self) -> String {
        let caches = match self.caches {
            LAYERS => format!("{LAYERS} layers"),
            caches => format!("{LAYERS} layers that take {caches} caches in turn"),
        };
        format!(
            "{}: Qwen2.5-72B, batch {}, {} tokens, {} rows, k 512, {caches}; target's map from 4 heads on {} KV head{}, draft's from {} layers x {} heads x {GAMMA} tokens of Qwen2.5-0.5B",
            self.name,
            self.batch,
            self.context,
            GAMMA + 1,
            self.kv_heads_read,
            if self.kv_heads_read == 1 { "" } else { "s" },
            DRAFT.0,
            DRAFT.1,
        )
    }

    fn model(&self, geometry: Geometry) -> Model {
        let kv = PagedKv::dense(
            KvLayout::Nhd,
            self.batch * self.pages(),
            PAGE,
            geometry.kv_heads,
            geometry.head_dim,
        );
        Model::new(ModelShare::whole(geometry), kv, Dtype::Bf16)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use dustin::verifier::Stages;
    use dustin_autotune::workload::{self, Problem};

    use super::*;

    #[test]
    fn every_step_is_possible_and_has_a_name_of_its_own() {
        let names: HashSet<&str> = STEPS.iter().map(|step| step.name).collect();
        assert_eq!(names.len(), STEPS.len());
        for step in STEPS {
            let stages = Stages::new(&step.problem().unwrap()).unwrap();
            let read = stages.target_score.heads().unwrap().sources[0].heads.len();
            assert_eq!((read, stages.draft_score.heads().unwrap().sources.len()), (4, 3), "{}", step.name);
        }
    }

    #[test]
    fn the_whole_caches_of_steps_are_the_workloads_that_peers_are_timed_on() {
        for step in STEPS {
            let name = step.full;
            let Problem::Attention(timed) = workload::named(name).unwrap().problem else {
                panic!("{name} is no attention")
            };
            let own = Stages::new(&step.problem().unwrap()).unwrap().full_attention;
            let of = |p: &dustin::attention::problem::AttentionProblem| {
                (p.batch, p.rows, p.query_heads, p.kv.kv_heads, p.kv.head_dim, p.confirmed)
            };
            assert_eq!(of(&own), of(&timed), "{name}");
        }
    }
}
