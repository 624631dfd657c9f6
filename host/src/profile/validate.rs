//! What must hold of an entry or a selection that parsed.

use super::{
    catalogue::Catalogue,
    error::Problem,
    key::Key,
    schema::{Choice, Entry, Measurement},
    selection::{EstimationCost, HeldOut, LayerHeads, Objective, Selection, SelectionProvenance},
};
use crate::InvalidInput;

/// The longest time that is believed: 1,000 seconds.
const LONGEST_US: f64 = 1e9;

/// Checks that `entry` can be used with the variants of `catalogue`.
///
/// # Errors
/// The first thing that stands against it.
pub(super) fn entry(entry: &Entry, catalogue: &impl Catalogue) -> Result<(), Problem> {
    entry.key.validate().map_err(Problem::Illegal)?;
    if let Some(found) = &entry.measurement {
        measurement(found).map_err(Problem::Illegal)?;
    }
    choice(&entry.key, &entry.choice, catalogue)
}

fn choice(key: &Key, choice: &Choice, catalogue: &impl Catalogue) -> Result<(), Problem> {
    let variant = &choice.variant;
    let Choice { revision, ptx_digest, .. } = catalogue.bind(key, variant, &choice.launch)?;
    if revision != choice.revision {
        return Err(Problem::Revision {
            variant: variant.clone(),
            required: revision,
            actual: choice.revision,
        });
    }
    if ptx_digest != choice.ptx_digest {
        let word = |digest: &Option<String>| digest.as_deref().unwrap_or("absent").to_owned();
        return Err(Problem::Digest {
            variant: variant.clone(),
            required: word(&ptx_digest),
            actual: word(&choice.ptx_digest),
        });
    }
    catalogue.check(key, variant, &choice.launch).map_err(Problem::Illegal)
}

fn measurement(found: &Measurement) -> Result<(), InvalidInput> {
    let error =
        |field, required: &str, actual: f64| Err(InvalidInput::new("profile entry", field, required, actual));
    if found.repetitions == 0 {
        return error("measurement.repetitions", "at least 1", 0.0);
    }
    let times = [
        ("measurement.median_us", found.median_us),
        ("measurement.ci95_low_us", found.ci95_low_us),
        ("measurement.ci95_high_us", found.ci95_high_us),
        ("measurement.default.median_us", found.default.median_us),
    ];
    let tied = found.tied.iter().map(|tied| ("measurement.tied.median_us", tied.median_us));
    for (field, time) in times.into_iter().chain(tied) {
        if !(time > 0.0 && time <= LONGEST_US) {
            return error(field, "above 0 and at most 1e9", time);
        }
    }
    if found.ci95_low_us > found.median_us {
        return error("measurement.ci95_low_us", "at most the median", found.ci95_low_us);
    }
    if found.ci95_high_us < found.median_us {
        return error("measurement.ci95_high_us", "at least the median", found.ci95_high_us);
    }
    match found.roofline_fraction {
        // Above 1 where inputs come from a warm cache while the roofline is that of memory.
        Some(fraction) if !(0.0..=1000.0).contains(&fraction) => {
            error("measurement.roofline_fraction", "from 0 to 1000", fraction)
        }
        _ => Ok(()),
    }
}

/// Checks a selection.
///
/// # Errors
/// The first field that is not as documented.
pub(super) fn selection(selection: &Selection) -> Result<(), InvalidInput> {
    let error = |field, required: String, actual: String| {
        Err(InvalidInput::new("profile selection", field, required, actual))
    };
    let Selection { k, m, sinks, recent, pooling, recovery, calibration_digest, provenance, .. } = selection;
    let kept = u64::from(*sinks) + u64::from(*recent);
    if kept > u64::from(*k) {
        return error("sinks + recent", format!("at most k = {k}"), kept.to_string());
    }
    if m > k {
        return error("m", format!("at most k = {k}"), m.to_string());
    }
    if pooling.is_multiple_of(2) {
        return error("pooling", "odd".into(), pooling.to_string());
    }
    // A map that decides nothing needs no heads: what is always taken, and the draft's quota, may leave it no room.
    if kept + u64::from(*m) < u64::from(*k) {
        heads("target_heads", &selection.target_heads)?;
    }
    if *m > 0 && kept < u64::from(*k) {
        heads("draft_heads", &selection.draft_heads)?;
    }
    if recovery.is_some() != calibration_digest.is_some() {
        let word = |given: bool| if given { "given" } else { "absent" }.to_owned();
        return error("calibration_digest", word(recovery.is_some()), word(calibration_digest.is_some()));
    }
    if let Some(recovery) = recovery {
        if !(0.0..=1.0).contains(&recovery.mean) {
            return error("recovery.mean", "from 0 to 1".into(), recovery.mean.to_string());
        }
        if !(0.0..=recovery.mean).contains(&recovery.ci95_low) {
            let required = format!("from 0 to the mean, {}", recovery.mean);
            return error("recovery.ci95_low", required, recovery.ci95_low.to_string());
        }
    }
    provenance.as_ref().map_or(Ok(()), origin)
}

/// Checks what is said of where a selection comes from.
fn origin(provenance: &SelectionProvenance) -> Result<(), InvalidInput> {
    let error = |field, required: &str, actual: f64| {
        Err(InvalidInput::new("profile selection", field, required, actual))
    };
    let SelectionProvenance { objective, held_out, cost, .. } = provenance;
    if let Some(Objective { share, confidence }) = *objective {
        if !(share > 0.0 && share.is_finite()) {
            return error("provenance.objective.share", "above 0", share);
        }
        if !(confidence > 0.5 && confidence < 1.0) {
            return error("provenance.objective.confidence", "above 0.5 and below 1", confidence);
        }
    }
    if let Some(HeldOut { share, share_low, .. }) = *held_out {
        if !(share >= 0.0 && share.is_finite()) {
            return error("provenance.held_out.share", "at least 0", share);
        }
        if !(0.0..=share).contains(&share_low) {
            return error("provenance.held_out.share_low", "from 0 to the share", share_low);
        }
    }
    match cost {
        Some(EstimationCost { estimation_us, .. })
            if !(*estimation_us >= 0.0 && *estimation_us <= LONGEST_US) =>
        {
            error("provenance.cost.estimation_us", "from 0 to 1e9", *estimation_us)
        }
        _ => Ok(()),
    }
}

fn heads(field: &'static str, layers: &[LayerHeads]) -> Result<(), InvalidInput> {
    let ascending = layers.is_sorted_by(|a, b| a.layer < b.layer)
        && layers.iter().all(|layer| layer.heads.is_sorted_by(|a, b| a < b));
    if layers.is_empty() || layers.iter().any(|layer| layer.heads.is_empty()) || !ascending {
        let required = "at least one layer, each with at least one head, both ascending";
        return Err(InvalidInput::new("profile selection", field, required, format!("{layers:?}")));
    }
    Ok(())
}
