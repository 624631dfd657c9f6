//! Candidates, the estimates that they are compared with, and the baselines: judged on the same steps.

use std::ops::ControlFlow;

use dustin::{cpu::CpuBackend, profile::LayerHeads, verifier::Rules};
use rayon::prelude::*;

use super::{
    Eviction, FidelityError, Measure, OutputError, PromptSets, RecoveryRate, StepPlan, VerificationSets,
    error::invalid,
    eviction, export,
    maps::{HeadMaps, full_head_map},
    measure,
    observed::Observed,
    output, tova,
};
use crate::calibration::{Capture, ModelRole};

/// Where a set's scores come from, if not from the heads of the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Estimate {
    /// The mean attention that the step itself is going to pay, over all heads, layers and rows: no set of as many tokens keeps more
    /// of it in the mean over layers, if nothing else is taken.
    Oracle,
    /// The mean attention of the last confirmed position's queries of all captured heads and layers of the target.
    FullHeads,
}

/// Judges rules on some prompts of a capture.
#[derive(Debug)]
pub struct Judge<'a> {
    capture: &'a Capture,
    backend: CpuBackend,
    plan: StepPlan,
    observed: Vec<Observed>,
    maps: HeadMaps,
    /// By prompt, once asked for.
    full_heads: Option<Vec<Vec<f32>>>,
}

impl<'a> Judge<'a> {
    /// A judge on `prompts`, the searched or the held-out ones. Computes the full attention of all their steps: 4 bytes for each step,
    /// confirmed position and target layer are kept, and up to `map_bytes` bytes of maps of heads later on. `threads` as
    /// [`CpuBackend::new`] has it.
    ///
    /// # Errors
    /// No prompts are given or one twice, one of them has no step, their steps are longer together than a map may be,
    /// the capture cannot be read, or the library refuses its shape.
    pub fn new(
        capture: &'a Capture,
        prompts: &[u32],
        plan: StepPlan,
        threads: u32,
        map_bytes: usize,
    ) -> Result<Self, FidelityError> {
        Self::watched(capture, prompts, plan, threads, map_bytes, &mut |_, _| ControlFlow::Continue(()))
    }

    /// As [`Self::new`], which may take minutes for large models. `progress` is told how many of how many layers of prompts have been
    /// read, and may end it.
    ///
    /// # Errors
    /// As [`Self::new`]; [`FidelityError::Stopped`] if `progress` ended it.
    pub fn watched(
        capture: &'a Capture,
        prompts: &[u32],
        plan: StepPlan,
        threads: u32,
        map_bytes: usize,
        progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
    ) -> Result<Self, FidelityError> {
        if prompts.is_empty() {
            return Err(invalid("prompts", "at least one", 0));
        }
        // As two, it would say how sure a figure is of others.
        let is_again = |(index, prompt): (usize, &u32)| prompts[..index].contains(prompt);
        if prompts.iter().enumerate().any(is_again) {
            return Err(invalid("prompts", "different ones", format!("{prompts:?}")));
        }
        if !(1..=64).contains(&plan.gamma) {
            return Err(invalid("gamma", "from 1 to 64", plan.gamma));
        }
        let mut backend = CpuBackend::new(threads)?;
        let (mut read, all) = (0, prompts.len() * capture.model(ModelRole::Target)?.layers.len());
        let mut layer = || {
            read += 1;
            match progress(read, all) {
                ControlFlow::Continue(()) => Ok(()),
                ControlFlow::Break(()) => Err(FidelityError::Stopped),
            }
        };
        let observed =
            prompts.iter().map(|&prompt| Observed::new(capture, &mut backend, plan, prompt, &mut layer));
        let observed = observed.collect::<Result<_, _>>()?;
        Ok(Self { capture, backend, plan, observed, maps: HeadMaps::new(map_bytes), full_heads: None })
    }

    /// The capture that is judged on.
    #[must_use]
    pub const fn capture(&self) -> &'a Capture {
        self.capture
    }

    /// How many prompts are judged.
    #[must_use]
    pub const fn prompts(&self) -> usize {
        self.observed.len()
    }

    /// The judged prompts' numbers.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u32> {
        self.observed.iter().map(|observed| observed.prompt)
    }

    /// What the heads, budgets and exceptions of `rules` keep.
    ///
    /// # Errors
    /// As [`Self::sets`].
    pub fn rules(&mut self, rules: &Rules) -> Result<RecoveryRate, FidelityError> {
        let sets = self.sets(rules)?;
        Ok(self.kept(&sets))
    }

    /// What the budgets of `rules` keep when scores are those of `estimate`; the heads and m of the rules are not looked at.
    ///
    /// # Errors
    /// As [`Self::estimated_sets`].
    pub fn estimate(&mut self, estimate: Estimate, rules: &Rules) -> Result<RecoveryRate, FidelityError> {
        let sets = self.estimated_sets(estimate, rules)?;
        Ok(self.kept(&sets))
    }

    /// The sets that the heads, budgets and exceptions of `rules` choose.
    ///
    /// # Errors
    /// A head was not captured, a map is to be read that no heads are given for, or the budgets do not fit each other.
    pub fn sets(&mut self, rules: &Rules) -> Result<VerificationSets, FidelityError> {
        let read = [
            (ModelRole::Target, rules.reads_target(), &rules.target_heads),
            (ModelRole::Draft, rules.reads_draft(), &rules.draft_heads),
        ];
        let mut maps = [Vec::new(), Vec::new()];
        for (maps, (role, is_read, heads)) in maps.iter_mut().zip(read) {
            for prompt in 0..self.observed.len() {
                maps.push(if is_read { Some(self.mean_map(prompt, role, heads)?) } else { None });
            }
        }
        let [target, draft] = maps;
        self.choose(rules, &target, &draft)
    }

    /// The sets that the budgets of `rules` choose when scores are those of `estimate`; the heads and m of the rules are not looked at.
    ///
    /// # Errors
    /// The budgets do not fit each other, or the capture cannot be read.
    pub fn estimated_sets(
        &mut self,
        estimate: Estimate,
        rules: &Rules,
    ) -> Result<VerificationSets, FidelityError> {
        let rules = Rules { m: 0, ..rules.clone() };
        let maps: Vec<Vec<f32>> = match estimate {
            Estimate::Oracle => self.observed.iter().map(|observed| sum(&observed.attention)).collect(),
            Estimate::FullHeads => match self.full_heads.take() {
                Some(maps) => maps,
                None => {
                    let Self { capture, backend, plan, observed, .. } = self;
                    let maps = observed.iter().map(|it| full_head_map(capture, backend, *plan, it));
                    maps.collect::<Result<_, _>>()?
                }
            },
        };
        let target: Vec<_> = maps.into_iter().map(Some).collect();
        let result = self.choose(&rules, &target, &vec![None; target.len()]);
        if estimate == Estimate::FullHeads {
            self.full_heads = target.into_iter().collect();
        }
        result
    }

    /// What `sets` keep: [`sets`](Self::sets) or [`estimated_sets`](Self::estimated_sets) of this judge.
    ///
    /// # Errors
    /// The sets are another judge's.
    pub fn recovery(&self, sets: &VerificationSets) -> Result<RecoveryRate, FidelityError> {
        self.require_own(sets)?;
        Ok(self.kept(sets))
    }

    /// By how much attention over each candidate's sets differs in its outputs, [`sets`](Self::sets) or
    /// [`estimated_sets`](Self::estimated_sets) of this judge: an output error for each. Several at once cost little more than one, as
    /// attention over all tokens is the most of it.
    ///
    /// # Errors
    /// The sets are another judge's, or the capture has no values or cannot be read.
    pub fn output_errors(
        &mut self,
        candidates: &[&VerificationSets],
    ) -> Result<Vec<OutputError>, FidelityError> {
        for sets in candidates {
            self.require_own(sets)?;
        }
        let Self { capture, backend, plan, observed, .. } = self;
        let mut errors = vec![Measure { prompts: Vec::new() }; candidates.len()];
        for (index, observed) in observed.iter().enumerate() {
            let sets: Vec<_> = candidates.iter().map(|candidate| &candidate.prompts[index]).collect();
            let found = output::errors(capture, backend, *plan, observed, &sets)?;
            errors.iter_mut().zip(found).for_each(|(error, of_prompt)| error.prompts.push(of_prompt));
        }
        Ok(errors)
    }

    /// The bytes of a safetensors file of `sets`, which are of this judge, as `docs/calibration.md` lays it out: what is asked of
    /// `dustin_capture.divergence`. Reports call the sets `name`.
    ///
    /// # Errors
    /// The sets are another judge's.
    pub fn export(&self, name: &str, sets: &VerificationSets) -> Result<Vec<u8>, FidelityError> {
        self.require_own(sets)?;
        Ok(export::bytes(self.capture, self.plan, name, sets)?)
    }

    /// What a method keeps that evicts.
    ///
    /// # Errors
    /// The method's figures are not as documented, too few queries were captured, or the capture cannot be read.
    pub fn eviction(&mut self, eviction: Eviction) -> Result<RecoveryRate, FidelityError> {
        let Self { capture, backend, plan, observed, .. } = self;
        let prompts = observed.iter().map(|it| eviction::recovery(capture, backend, *plan, it, eviction));
        Ok(Measure { prompts: prompts.collect::<Result<_, _>>()? })
    }

    /// By how much outputs differ when a method evicts.
    ///
    /// # Errors
    /// As [`Self::eviction`], or the capture has no values.
    pub fn eviction_error(&mut self, eviction: Eviction) -> Result<OutputError, FidelityError> {
        let Self { capture, backend, plan, observed, .. } = self;
        let prompts = observed.iter().map(|it| eviction::output_error(capture, backend, *plan, it, eviction));
        Ok(Measure { prompts: prompts.collect::<Result<_, _>>()? })
    }

    /// What TOVA keeps with `k` tokens in each layer.
    ///
    /// # Errors
    /// k is 0, or the capture cannot be read.
    pub fn tova(&mut self, k: u32) -> Result<RecoveryRate, FidelityError> {
        let Self { capture, backend, observed, .. } = self;
        let prompts = observed.iter().map(|it| tova::recovery(capture, backend, it, k));
        Ok(Measure { prompts: prompts.collect::<Result<_, _>>()? })
    }

    /// By how much outputs differ when TOVA keeps `k` tokens in each layer.
    ///
    /// # Errors
    /// As [`Self::tova`], or the capture has no values.
    pub fn tova_error(&mut self, k: u32) -> Result<OutputError, FidelityError> {
        let Self { capture, backend, plan, observed, .. } = self;
        let prompts = observed.iter().map(|it| tova::output_error(capture, backend, *plan, it, k));
        Ok(Measure { prompts: prompts.collect::<Result<_, _>>()? })
    }

    /// What all confirmed tokens have: the rest is what rows pay to the step's own.
    #[must_use]
    pub fn ceiling(&self) -> RecoveryRate {
        Measure { prompts: self.observed.iter().map(|it| measure::recovery(it, None)).collect() }
    }

    /// The map of a prompt whose scores are the mean over `layers`.
    fn mean_map(
        &mut self,
        prompt: usize,
        role: ModelRole,
        layers: &[LayerHeads],
    ) -> Result<Vec<f32>, FidelityError> {
        let heads: usize = layers.iter().map(|layer| layer.heads.len()).sum();
        if heads == 0 {
            return Err(invalid("heads", format!("at least one of the {role} model, whose map is read"), 0));
        }
        let Self { capture, backend, plan, observed, maps, .. } = self;
        let observed = &observed[prompt];
        let mut mean = vec![0.0; observed.steps.positions()];
        let weight = (1.0 / heads as f64) as f32;
        for LayerHeads { layer, heads } in layers {
            for map in maps.of_layer(capture, backend, *plan, observed, (role, *layer), heads)? {
                mean.par_iter_mut()
                    .with_min_len(1 << 14)
                    .zip(&map[..])
                    .for_each(|(sum, score)| *sum += weight * score);
            }
        }
        Ok(mean)
    }

    /// Refuses sets that are not of the judged steps.
    fn require_own(&self, sets: &VerificationSets) -> Result<(), FidelityError> {
        let own = |(observed, sets): (&Observed, &PromptSets)| {
            sets.prompt() == observed.prompt && sets.lengths() == observed.steps.lengths
        };
        if self.observed.len() == sets.prompts.len() && self.observed.iter().zip(&sets.prompts).all(own) {
            return Ok(());
        }
        Err(invalid("sets", "of the judged steps of this judge's prompts", "another judge's"))
    }

    /// The sets that `rules` choose from the prompts' maps.
    fn choose(
        &mut self,
        rules: &Rules,
        target: &[Option<Vec<f32>>],
        draft: &[Option<Vec<f32>>],
    ) -> Result<VerificationSets, FidelityError> {
        let Self { backend, observed, .. } = self;
        let prompts = observed.iter().zip(target).zip(draft).map(|((observed, target), draft)| {
            PromptSets::choose(backend, rules, observed, target.as_deref(), draft.as_deref())
        });
        Ok(VerificationSets { prompts: prompts.collect::<Result<_, _>>()? })
    }

    /// What `sets` keep that were chosen by this judge.
    fn kept(&self, sets: &VerificationSets) -> RecoveryRate {
        let prompts = self.observed.iter().zip(&sets.prompts);
        Measure { prompts: prompts.map(|(observed, sets)| measure::recovery(observed, Some(sets))).collect() }
    }
}

/// The sum of maps.
fn sum(maps: &[Vec<f32>]) -> Vec<f32> {
    let mut sums = vec![0.0; maps.first().map_or(0, Vec::len)];
    for map in maps {
        sums.iter_mut().zip(map).for_each(|(sum, score)| *sum += score);
    }
    sums
}
