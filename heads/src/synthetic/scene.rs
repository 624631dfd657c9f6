//! What stands where in a prompt.

use rand::RngExt;

use super::SyntheticPlan;

/// Groups of tokens that may come to matter.
pub(super) const TOPICS: usize = 16;

/// Groups of tokens that only some heads look at.
pub(super) const DISTRACTIONS: usize = 16;

/// Tokens of a group.
const GROUP: usize = 6;

/// First tokens that all heads attend to.
const SINKS: usize = 4;

/// Last tokens of a prompt, without groups: they are attended to for being near.
const NEAR: usize = 32;

/// Decode steps in which one topic gives way to the next.
const DRIFT: f64 = 12.0;

/// The shortest prompt: it has room for all groups, most of it for none.
pub(super) const LEAST_PROMPT: u32 = 256;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Sink,
    Topic(usize),
    Distraction(usize),
    Plain,
}

/// The kinds of a prompt's tokens, its continuation included, all of which is plain: the same for both models.
pub(super) fn kinds(plan: &SyntheticPlan, prompt: u32) -> Vec<Kind> {
    let mut rng = plan.random(&[2, prompt]);
    let mut kinds = vec![Kind::Plain; (plan.prompt_tokens + plan.continuation) as usize];
    kinds[..SINKS].fill(Kind::Sink);
    let end = plan.prompt_tokens as usize - NEAR - GROUP;
    let groups = (0..TOPICS).map(Kind::Topic).chain((0..DISTRACTIONS).map(Kind::Distraction));
    for kind in groups {
        // Later groups may take tokens of earlier ones: so it is with what texts are about.
        let first = rng.random_range(SINKS..end);
        kinds[first..first + GROUP].fill(kind);
    }
    kinds
}

/// How much each topic matters to the query of a position, from 0 to 1: one fades while another rises.
pub(super) fn saliency(plan: &SyntheticPlan, position: u32) -> [f32; TOPICS] {
    let phase = (f64::from(position) - f64::from(plan.prompt_tokens - 1)).max(0.0) / DRIFT;
    let (first, fraction) = (phase as usize, phase.fract());
    let mut saliency = [0.0; TOPICS];
    saliency[first % TOPICS] = (1.0 - fraction * fraction) as f32;
    saliency[(first + 1) % TOPICS] = 1.0;
    saliency[(first + 2) % TOPICS] = fraction as f32;
    saliency
}
