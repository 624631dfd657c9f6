//! What a search may choose.

use dustin::select::problem::MAX_BUDGET;

use super::{SearchError, error::invalid};
use crate::calibration::{CalibrationError, Capture, Model, ModelRole};

/// The figures and heads among which a search chooses. Lists are ascending, without duplicates and not empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchSpace {
    /// The target's heads.
    pub target: HeadSpace,
    /// The draft's; without them all quotas must be 0.
    pub draft: Option<HeadSpace>,
    /// Budgets k, from 1 to the library's most.
    pub budgets: Vec<u32>,
    /// Quotas m of the draft's map, up to the largest budget; smaller budgets take those that fit them.
    pub quotas: Vec<u32>,
    /// Sizes of the average pooling, odd.
    pub pooling: Vec<u32>,
    /// Numbers of sinks.
    pub sinks: Vec<u32>,
    /// Numbers of recent tokens; with the sinks, they must fit into every budget.
    pub recent: Vec<u32>,
}

/// The heads of a model among which a search chooses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadSpace {
    /// Layers, all of them captured.
    pub layers: Vec<u32>,
    /// The most layers that are read, at least 1.
    pub most_layers: u32,
    /// The most heads of a layer, at least 1.
    pub most_heads: u32,
    /// Heads of a layer that are looked at, at least 1: the ranking's best, or the first ones if there is no
    /// ranking. To look at all, as many as the model has.
    pub candidates: u32,
}

impl HeadSpace {
    /// All heads that were captured of `model`, up to 8 of each of `most_layers` layers.
    fn of_model(model: &Model, most_layers: u32) -> Self {
        Self {
            layers: model.layers.clone(),
            most_layers,
            most_heads: 8,
            candidates: model.geometry.query_heads,
        }
    }
}

impl SearchSpace {
    /// A space for all heads of a capture and sets of `k` tokens: up to 2 target and 4 draft layers, 8 heads
    /// of each; quotas in steps of a sixteenth of the budget; pooling by 1 or 5; 4 sinks and a sixteenth of
    /// the budget as recent tokens.
    ///
    /// # Errors
    /// k is not from 64 to the library's most.
    pub fn of_capture(capture: &Capture, k: u32) -> Result<Self, SearchError> {
        if !(64..=MAX_BUDGET).contains(&k) {
            return Err(invalid("k", format!("from 64 to {MAX_BUDGET}"), k));
        }
        let metadata = capture.metadata();
        let draft = metadata.draft.as_ref().map(|model| HeadSpace::of_model(model, 4));
        let parts = if draft.is_some() { 16 } else { 0 };
        let mut quotas: Vec<u32> = (0..=parts).map(|part| k * part / 16).collect();
        quotas.dedup();
        Ok(Self {
            target: HeadSpace::of_model(&metadata.target, 2),
            draft,
            budgets: vec![k],
            quotas,
            pooling: vec![1, 5],
            sinks: vec![4],
            recent: vec![k / 16],
        })
    }

    /// The heads of the model in `role`.
    pub(super) const fn heads(&self, role: ModelRole) -> Option<&HeadSpace> {
        match role {
            ModelRole::Target => Some(&self.target),
            ModelRole::Draft => self.draft.as_ref(),
        }
    }

    /// Whether candidates may read the map of the model in `role`.
    pub(super) fn is_searched(&self, role: ModelRole) -> bool {
        role == ModelRole::Target || self.quotas.iter().any(|&quota| quota > 0)
    }

    /// Refuses a space without candidates, or with some that cannot be judged on `capture`.
    pub(super) fn validate(&self, capture: &Capture) -> Result<(), SearchError> {
        for (field, list) in [
            ("budgets", &self.budgets),
            ("quotas", &self.quotas),
            ("pooling", &self.pooling),
            ("sinks", &self.sinks),
            ("recent", &self.recent),
            ("target.layers", &self.target.layers),
        ] {
            require_list(field, list)?;
        }
        // None of the lists is empty.
        let least = |list: &[u32]| list.first().copied().unwrap_or(0);
        let greatest = |list: &[u32]| list.last().copied().unwrap_or(0);
        let [smallest, largest] = [least(&self.budgets), greatest(&self.budgets)];
        if smallest == 0 || largest > MAX_BUDGET {
            return Err(invalid("budgets", format!("from 1 to {MAX_BUDGET}"), list(&self.budgets)));
        }
        if greatest(&self.quotas) > largest {
            let required = format!("at most {largest}, the largest budget");
            return Err(invalid("quotas", required, list(&self.quotas)));
        }
        if least(&self.quotas) > smallest {
            let required = format!("for every budget at least one, so one of at most {smallest}");
            return Err(invalid("quotas", required, list(&self.quotas)));
        }
        if self.draft.is_none() && greatest(&self.quotas) > 0 {
            return Err(invalid("quotas", "0 alone, as no heads of a draft are given", list(&self.quotas)));
        }
        if self.pooling.iter().any(|size| size.is_multiple_of(2)) {
            return Err(invalid("pooling", "odd", list(&self.pooling)));
        }
        let taken = u64::from(greatest(&self.sinks)) + u64::from(greatest(&self.recent));
        if taken > u64::from(smallest) {
            let required = format!("together at most {smallest}, the smallest budget");
            return Err(invalid("sinks + recent", required, taken));
        }
        require_heads("target.layers", "target", &self.target, capture.model(ModelRole::Target))?;
        match &self.draft {
            Some(draft) => {
                require_list("draft.layers", &draft.layers)?;
                require_heads("draft.layers", "draft", draft, capture.model(ModelRole::Draft))
            }
            None => Ok(()),
        }
    }
}

fn require_list(field: &'static str, items: &[u32]) -> Result<(), SearchError> {
    if items.is_empty() || !items.is_sorted_by(|a, b| a < b) {
        return Err(invalid(field, "at least one number, ascending, none twice", list(items)));
    }
    Ok(())
}

fn require_heads(
    field: &'static str,
    name: &'static str,
    heads: &HeadSpace,
    model: Result<&Model, CalibrationError>,
) -> Result<(), SearchError> {
    let model = model.map_err(crate::fidelity::FidelityError::from)?;
    if let Some(layer) = heads.layers.iter().find(|layer| model.layers.binary_search(layer).is_err()) {
        let required = format!("captured layers of the {name}, {}", list(&model.layers));
        return Err(invalid(field, required, layer));
    }
    if model.heads.is_empty() {
        return Err(invalid(name, "captured with at least one head", 0));
    }
    if [heads.most_layers, heads.most_heads, heads.candidates].contains(&0) {
        return Err(invalid(name, "at least one layer, one head of a layer and one candidate", 0));
    }
    Ok(())
}

fn list(numbers: &[u32]) -> String {
    format!("{numbers:?}")
}
