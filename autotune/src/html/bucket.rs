//! One bucket of the report.

use std::collections::{BTreeMap, BTreeSet};

use dustin::profile::{Entry, Key, Launch, Measurement};

use super::{
    chart::{Bar, Bars, Candidate, Role, Strip, amount},
    measured::{Space, Tried},
    scale::short,
};
use crate::{
    profiles::band,
    search::Conditions,
    table::{self, microseconds, percent},
    task::{self, Value, in_order, parameters, spell},
};

/// Reasons for which candidates failed that are shown, and candidates of each.
const REASONS: usize = 12;

/// A bucket, as the page shows it.
pub(super) struct Bucket {
    /// Where the page has it.
    pub(super) anchor: String,
    pub(super) kernel: &'static str,
    pub(super) name: String,
    pub(super) policy: String,
    pub(super) chosen: String,
    pub(super) manual: bool,
    pub(super) bytes: f64,
    /// The evidence; a manual entry may have none.
    pub(super) measured: Option<Measured>,
    /// How many candidates were tried, as far as journals tell.
    pub(super) tried: usize,
    /// How long that took, in words.
    pub(super) searched: Option<String>,
    /// What the device was like in the finals, in words.
    pub(super) conditions: Option<String>,
    /// Times by each parameter's values.
    pub(super) strips: Vec<Labelled>,
    /// Candidates that failed, by reason.
    pub(super) failures: Vec<Failure>,
    pub(super) failed: usize,
}

/// What is on record for a choice.
pub(super) struct Measured {
    pub(super) us: f64,
    pub(super) default_us: f64,
    pub(super) time: String,
    pub(super) interval: String,
    pub(super) default_time: String,
    pub(super) speedup: f64,
    /// The default's time divided by the choice's, in words.
    pub(super) gain: String,
    pub(super) is_default: bool,
    pub(super) tied: usize,
    /// Bytes that must be moved, and their rate.
    pub(super) traffic: String,
    /// The share of what memory can deliver, as a fraction and in words.
    pub(super) share: Option<(f64, String)>,
    pub(super) bars: Bars,
}

/// A chart and its heading.
pub(super) struct Labelled {
    pub(super) parameter: String,
    pub(super) strip: Strip,
}

/// Candidates that failed for one reason.
pub(super) struct Failure {
    pub(super) reason: String,
    pub(super) count: usize,
    pub(super) example: String,
}

impl Bucket {
    pub(super) fn new(entry: &Entry, space: Option<&Space>, bytes: u64, index: usize) -> Self {
        let tried = space.map_or(&[][..], |space| &space.tried);
        let Entry { key, choice, measurement, .. } = entry;
        let default =
            measurement.as_ref().map(|found| (found.default.variant.as_str(), &found.default.launch));
        let (mut failures, failed) = failures(tried);
        failures.truncate(REASONS);
        Self {
            anchor: format!("bucket-{index}"),
            kernel: task::kernel(key.kernel.kernel()),
            name: task::name(key),
            policy: task::policy(key),
            chosen: spell(&choice.variant, &choice.launch),
            manual: entry.is_manual(),
            bytes: bytes as f64,
            measured: measurement.as_ref().map(|found| Measured::new(entry, found, tried, bytes as f64)),
            tried: tried.len(),
            searched: space.filter(|space| space.seconds > 0.0).map(|space| table::seconds(space.seconds)),
            conditions: space.and_then(|space| conditions(&space.conditions)),
            strips: strips(key, tried, (&choice.variant, &choice.launch), default),
            failures,
            failed,
        }
    }
}

impl Measured {
    fn new(entry: &Entry, found: &Measurement, tried: &[Tried], bytes: f64) -> Self {
        let Measurement { median_us: us, ci95_low_us: low, ci95_high_us: high, default, tied, .. } = found;
        let (us, default_us) = (*us, default.median_us);
        let launched = |variant: &str, launch: &Launch| {
            tried.iter().find(|one| one.choice.variant == variant && one.choice.launch == *launch)
        };
        let interval = |variant: &str, launch: &Launch| launched(variant, launch).and_then(Tried::interval);
        let is_default = default.variant == entry.choice.variant && default.launch == entry.choice.launch;
        let mut bars = vec![Bar {
            label: spell(&entry.choice.variant, &entry.choice.launch),
            role: if is_default { Role::Both } else { Role::Chosen },
            us,
            interval: Some([*low, *high]),
        }];
        let mut more = |variant: &str, launch: &Launch, role, us| {
            let interval = interval(variant, launch);
            bars.push(Bar { label: spell(variant, launch), role, us, interval });
        };
        if !is_default {
            more(&default.variant, &default.launch, Role::Default, default_us);
        }
        for one in
            tied.iter().filter(|one| (&one.variant, &one.launch) != (&default.variant, &default.launch))
        {
            more(&one.variant, &one.launch, Role::Tied, one.median_us);
        }
        Self {
            us,
            default_us,
            time: microseconds(us),
            interval: format!("{} to {}", microseconds(*low), microseconds(*high)),
            default_time: microseconds(default_us),
            speedup: default_us / us,
            gain: format!("{:.2}x", default_us / us),
            is_default,
            tied: tied.len(),
            traffic: format!("{} at {} GB/s", amount(bytes), short(bytes / us / 1e3)),
            share: found.roofline_fraction.map(|share| (share, percent(share))),
            bars: Bars::new(&bars, Some(band(found, found))),
        }
    }

    /// The share as a width in percent of a bar.
    pub(super) fn width(&self) -> f64 {
        self.share.as_ref().map_or(0.0, |(share, _)| 100.0 * share.clamp(0.0, 1.0))
    }
}

/// What the device was like, as ranges, and why it was slowed down, if it was.
fn conditions(told: &[Conditions]) -> Option<String> {
    let range = |figure: fn(&Conditions) -> Option<u32>, unit: &str| {
        let figures = || told.iter().filter_map(figure);
        let (low, high) = (figures().min()?, figures().max()?);
        Some(if low == high { format!("{low} {unit}") } else { format!("{low} to {high} {unit}") })
    };
    let ranges = [
        range(|now| now.sm_mhz, "MHz"),
        range(|now| now.memory_mhz, "MHz of memory"),
        range(|now| now.celsius, "°C"),
        range(|now| now.watts, "W"),
    ];
    let slowed: BTreeSet<&str> = told.iter().flat_map(|now| &now.throttling).map(String::as_str).collect();
    let slowed = slowed.into_iter().map(|reason| format!("throttled: {reason}"));
    let words: Vec<String> = ranges.into_iter().flatten().chain(slowed).collect();
    (!words.is_empty()).then(|| words.join(", "))
}

/// A strip for every parameter that varies.
fn strips(
    key: &Key,
    tried: &[Tried],
    chosen: (&String, &Launch),
    default: Option<(&str, &Launch)>,
) -> Vec<Labelled> {
    let timed: Vec<(&Tried, f64)> = tried.iter().filter_map(|one| Some((one, one.us()?))).collect();
    let of: Vec<BTreeMap<String, Value>> = timed.iter().map(|(one, _)| parameters(&one.choice)).collect();
    let names: BTreeSet<&String> = of.iter().flat_map(BTreeMap::keys).collect();
    let at = |variant: &str, launch: &Launch| {
        timed.iter().position(|(one, _)| one.choice.variant == variant && one.choice.launch == *launch)
    };
    let (chosen, default) =
        (at(chosen.0, chosen.1), default.and_then(|(variant, launch)| at(variant, launch)));
    let strip = |name: &String| {
        // What a candidate does not have is a value like another.
        let value =
            |has: &BTreeMap<String, Value>| has.get(name).cloned().unwrap_or(Value::Word("none".into()));
        let mut values: Vec<Value> = Vec::new();
        for value in of.iter().map(value) {
            if !values.contains(&value) {
                values.push(value);
            }
        }
        let values = in_order(values);
        if values.len() < 2 {
            return None;
        }
        let candidates: Vec<Candidate> = (timed.iter().zip(&of))
            .map(|((one, us), has)| Candidate {
                value: values.iter().position(|known| *known == value(has)).unwrap_or(0),
                us: *us,
                whole: one.whole(),
            })
            .collect();
        let parameter = task::parameter(key, name);
        let labels = labels(&values);
        let strip = Strip::new(parameter.clone(), &labels, &candidates, chosen, default)?;
        Some(Labelled { parameter, strip })
    };
    names.into_iter().filter_map(strip).collect()
}

/// Values in words, names without what they have in common.
fn labels(values: &[Value]) -> Vec<String> {
    let words: Vec<String> = values.iter().map(ToString::to_string).collect();
    let names: Vec<Vec<&str>> = (values.iter().zip(&words))
        .filter(|(value, _)| matches!(value, Value::Word(_)))
        .map(|(_, word)| word.split('_').collect())
        .collect();
    let common = |place: usize| names.iter().all(|name| name.get(place) == names[0].get(place));
    let shared =
        (0..names.iter().map(Vec::len).min().unwrap_or(0)).take_while(|&place| common(place)).count();
    let label = |(value, word): (&Value, &String)| match value {
        Value::Word(_) if names.len() > 1 => {
            let rest: Vec<&str> = word.split('_').skip(shared).collect();
            if rest.is_empty() { "plain".into() } else { rest.join("_") }
        }
        _ => word.clone(),
    };
    values.iter().zip(&words).map(label).collect()
}

/// Candidates that failed, by reason, the most frequent first, and how many there are.
fn failures(tried: &[Tried]) -> (Vec<Failure>, usize) {
    let mut by_reason: BTreeMap<&str, Vec<&Tried>> = BTreeMap::new();
    for one in tried {
        if let Some(reason) = &one.failed {
            by_reason.entry(reason).or_default().push(one);
        }
    }
    let count = by_reason.values().map(Vec::len).sum();
    let mut failures: Vec<Failure> = by_reason
        .into_iter()
        .map(|(reason, of)| Failure {
            reason: reason.to_owned(),
            count: of.len(),
            example: of.first().map(|one| spell(&one.choice.variant, &one.choice.launch)).unwrap_or_default(),
        })
        .collect();
    failures.sort_by_key(|failure| std::cmp::Reverse(failure.count));
    (failures, count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_names_leave_out_what_they_share() {
        let word = |text: &str| Value::Word(text.into());
        let found = labels(&[word("score_logits_bf16"), word("score_logits_bf16_overlap")]);
        assert_eq!(found, ["plain", "overlap"]);
        assert_eq!(labels(&[Value::Number(4.0), word("none")]), ["4", "none"]);
        assert_eq!(labels(&[]), [""; 0]);
    }

    #[test]
    fn the_device_is_told_as_ranges_with_every_reason_for_which_it_was_slowed() {
        let now = |sm_mhz, throttling: &[&str]| Conditions {
            sm_mhz: Some(sm_mhz),
            celsius: Some(41),
            throttling: throttling.iter().map(|&reason| reason.into()).collect(),
            ..Conditions::default()
        };
        let told = conditions(&[now(1980, &[]), now(1740, &["power"]), now(1755, &["power"])]);
        assert_eq!(told.unwrap(), "1740 to 1980 MHz, 41 °C, throttled: power");
        assert_eq!(conditions(&[]), None);
        assert_eq!(conditions(&[Conditions::default()]), None);
    }
}
