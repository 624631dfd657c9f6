//! What is so of a choice on prompts that nothing was chosen by, next to full-head estimation, the oracle and methods that evict.

use dustin::verifier::Rules;
use dustin_heads::{
    CalibrationError, Capture,
    fidelity::{
        Bound, Estimate, Eviction, FidelityError, Judge, LayerShares, OutputError, RecoveryRate,
        VerificationSets, lower_bound_of_mean, lower_bound_of_share, upper_bound_of_mean,
    },
    search::Found,
};
use serde::{Deserialize, Serialize};

use crate::table;

/// Tokens of the window that methods look through that evict, as published; fewer where the capture has fewer queries.
const WINDOW: u32 = 32;

/// Scores that these methods average: as published by SnapKV.
const POOLING: u32 = 7;

/// How much less than the mean PyramidKV's last layer has, as published.
const BETA: u32 = 20;

/// The confidence of a bound that is the lower end of a 95 % confidence interval.
const LOWER_END: f64 = 0.975;

/// The figures of all methods on the held-out prompts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Judgement {
    /// The prompts' names.
    pub(crate) prompts: Vec<String>,
    /// The target's layers that were captured.
    pub(crate) layers: Vec<u32>,
    /// What all confirmed tokens have; the rest is what a step's rows pay to each other.
    pub(crate) ceiling: f64,
    /// The choice first.
    pub(crate) methods: Vec<Method>,
    /// Methods that the capture has too few queries for.
    pub(crate) left_out: Vec<String>,
    /// A set, shown.
    pub(crate) example: Option<Example>,
}

/// A method with a budget of the choice's size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Method {
    /// Its name.
    pub(crate) name: String,
    /// The recovery rate.
    pub(crate) recovery: f64,
    /// The lower end of its 95 % confidence interval.
    pub(crate) ci95_low: f64,
    /// As a share of that of full-head estimation.
    pub(crate) share: f64,
    /// The share's lower bound, with the confidence asked for.
    pub(crate) share_low: f64,
    /// By how much outputs differ from those of full attention, relative to these, where values were captured.
    pub(crate) output_error: Option<f64>,
    /// The upper end of its 95 % confidence interval.
    pub(crate) output_error_high: Option<f64>,
    /// The recovery rate by layer.
    pub(crate) by_layer: Vec<f64>,
}

/// The set of the first step of a prompt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Example {
    /// The prompt's name.
    pub(crate) prompt: String,
    /// Confirmed tokens.
    pub(crate) length: u32,
    /// First tokens that are always read.
    pub(crate) sinks: u32,
    /// Last tokens that are always read.
    pub(crate) recent: u32,
    /// Where the needle lies.
    pub(crate) needle: Vec<[u32; 2]>,
    /// The set, ascending.
    pub(crate) positions: Vec<u32>,
}

impl Judgement {
    /// Judges `rules`, whose sets are `own`, on the prompts of `judge`, which are `prompts`, as what was found from `start` on. All methods have the same budget.
    ///
    /// # Errors
    /// The capture cannot be read; there are too few prompts for bounds, or nothing is recovered on them.
    pub(crate) fn new(
        judge: &mut Judge<'_>,
        prompts: &[u32],
        (rules, own): (&Rules, VerificationSets),
        (found, start): (&Found, &str),
        confidence: f64,
    ) -> anyhow::Result<Self> {
        let capture = judge.capture();
        let reference = Rules { k: rules.k, ..found.reference.clone() };
        // What is always taken, and what is averaged, could only cost the oracle.
        let plain = Rules::by_target(Vec::new(), rules.k);
        let window = Rules { sinks: rules.sinks, recent: rules.k - rules.sinks, ..plain.clone() };
        let example = example(capture, &own, rules)?;
        let mut sets = vec![("chosen", own)];
        if found.start.rules != *rules {
            sets.push((start, judge.sets(&found.start.rules)?));
        }
        let full = judge.estimated_sets(Estimate::FullHeads, &reference)?;
        let rate = judge.recovery(&full)?;
        sets.push(("full heads", full));
        sets.push(("oracle", judge.estimated_sets(Estimate::Oracle, &plain)?));
        sets.push(("sinks and window", judge.sets(&window)?));
        let comparison = Comparison { full: rate.by_prompt(), mean: rate.mean(), confidence };
        let mut methods = Vec::new();
        for (name, sets) in &sets {
            methods.push(comparison.method(name, &judge.recovery(sets)?)?);
        }
        if capture.has_values() {
            let sets: Vec<&VerificationSets> = sets.iter().map(|(_, sets)| sets).collect();
            let errors = judge.output_errors(&sets)?;
            methods.iter_mut().zip(&errors).for_each(|(method, error)| method.errs(error));
        }
        let mut left_out = Vec::new();
        match eviction_window(capture, prompts, rules.k) {
            Some(window) => {
                for (name, shares) in
                    [("SnapKV", LayerShares::Even), ("PyramidKV", LayerShares::Pyramid { beta: BETA })]
                {
                    let eviction = Eviction { k: rules.k, window, pooling: POOLING, shares };
                    let mut method = comparison.method(name, &judge.eviction(eviction)?)?;
                    if capture.has_values() {
                        method.errs(&judge.eviction_error(eviction)?);
                    }
                    methods.push(method);
                }
            }
            None => left_out.extend(["SnapKV", "PyramidKV"].map(String::from)),
        }
        let mut tova = comparison.method("TOVA", &judge.tova(rules.k)?)?;
        if capture.has_values() {
            tova.errs(&judge.tova_error(rules.k)?);
        }
        methods.push(tova);
        Ok(Self {
            prompts: prompts
                .iter()
                .map(|&it| Ok(capture.prompt(it)?.name.clone()))
                .collect::<Result<_, FidelityError>>()?,
            layers: capture.metadata().target.layers.clone(),
            ceiling: judge.ceiling().mean(),
            methods,
            left_out,
            example,
        })
    }

    /// The choice.
    pub(crate) fn chosen(&self) -> Option<&Method> {
        self.methods.first()
    }
}

/// What methods are compared with.
struct Comparison {
    /// The recovery rates of full-head estimation, by prompt.
    full: Vec<f64>,
    mean: f64,
    confidence: f64,
}

impl Comparison {
    fn method(&self, name: &str, rate: &RecoveryRate) -> anyhow::Result<Method> {
        let rates = rate.by_prompt();
        let bound = |confidence| Bound { confidence, ..Bound::default() };
        let ci95_low = lower_bound_of_mean(&rates, bound(LOWER_END));
        let share_low = lower_bound_of_share(&rates, &self.full, bound(self.confidence));
        let (Some(ci95_low), Some(share_low)) = (ci95_low, share_low) else {
            anyhow::bail!(
                "full-head estimation recovers nothing of the held-out prompts, so no share of it can be stated; capture \
                 other prompts"
            );
        };
        Ok(Method {
            name: name.into(),
            recovery: rate.mean(),
            // Rounding may leave a bound above a mean of equal rates.
            ci95_low: ci95_low.min(rate.mean()),
            share: rate.mean() / self.mean,
            share_low: share_low.min(rate.mean() / self.mean),
            output_error: None,
            output_error_high: None,
            by_layer: rate.by_layer(),
        })
    }
}

impl Method {
    /// Recovery and its bound, share and its bound, output error and its bound, as tables have them.
    pub(crate) fn figures(&self) -> [String; 6] {
        let Self { recovery, ci95_low, share, share_low, output_error, output_error_high, .. } = self;
        [Some(*recovery), Some(*ci95_low), Some(*share), Some(*share_low), *output_error, *output_error_high]
            .map(|figure| figure.map_or("–".into(), table::share))
    }

    /// Takes over what becomes of outputs.
    fn errs(&mut self, error: &OutputError) {
        let bound = Bound { confidence: LOWER_END, ..Bound::default() };
        self.output_error = Some(error.mean());
        self.output_error_high = upper_bound_of_mean(&error.by_prompt(), bound);
    }
}

/// The window that eviction may look through: as published, or what was captured; nothing if that is nothing.
fn eviction_window(capture: &Capture, prompts: &[u32], k: u32) -> Option<u32> {
    let captured = |&prompt: &u32| {
        let prompt = capture.prompt(prompt).ok()?;
        prompt.prompt_tokens.checked_sub(prompt.first_query)
    };
    let captured = prompts.iter().map(captured).min().flatten()?;
    Some(captured.min(WINDOW).min(k / 2)).filter(|&window| window > 0)
}

/// The set of the first step of the first prompt with a needle, or else of the first prompt.
fn example(
    capture: &Capture,
    sets: &VerificationSets,
    rules: &Rules,
) -> Result<Option<Example>, CalibrationError> {
    let has_needle = |prompt: u32| capture.prompt(prompt).is_ok_and(|prompt| !prompt.needle_spans.is_empty());
    let shown = sets.prompts.iter().find(|sets| has_needle(sets.prompt())).or(sets.prompts.first());
    let Some(shown) = shown else { return Ok(None) };
    let Some(&length) = shown.lengths().first() else { return Ok(None) };
    let prompt = capture.prompt(shown.prompt())?;
    let length = length.cast_unsigned();
    Ok(Some(Example {
        prompt: prompt.name.clone(),
        length,
        sinks: rules.sinks,
        recent: rules.recent,
        needle: prompt.needle_spans.clone(),
        positions: match shown.positions(0) {
            Some(set) => set.iter().map(|position| position.cast_unsigned()).collect(),
            None => (0..length).collect(),
        },
    }))
}
