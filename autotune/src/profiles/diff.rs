//! How two profiles differ, bucket by bucket.

use dustin::profile::{Entry, Policy, Profile, Selection};
use serde::Serialize;

use super::band;
use crate::{
    table,
    task::{name, policy, spell},
};

/// How profile B differs from profile A.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Diff {
    /// Whether nothing below differs.
    pub(crate) same: bool,
    /// Fields of the provenance that differ, but for the date.
    pub(crate) provenance: Vec<Field>,
    /// Buckets that differ.
    pub(crate) entries: Vec<Line>,
    /// Pairs of models whose heads or budgets differ.
    pub(crate) selections: Vec<Pair>,
    /// Buckets with the same choice, and times within the tie band.
    pub(crate) unchanged: usize,
}

/// A field of the provenance that differs.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Field {
    /// Its name.
    pub(crate) field: String,
    /// What A says.
    pub(crate) a: String,
    /// What B says.
    pub(crate) b: String,
}

/// A bucket that differs.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Line {
    /// The bucket, in words.
    pub(crate) bucket: String,
    /// What differs, the weightiest first.
    pub(crate) change: Change,
    /// What A has.
    pub(crate) a: Option<Side>,
    /// What B has.
    pub(crate) b: Option<Side>,
    /// B's median divided by A's.
    pub(crate) ratio: Option<f64>,
}

/// What of a bucket differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Change {
    /// A alone has it.
    OnlyInA,
    /// B alone has it.
    OnlyInB,
    /// Measured for another use: graph or eager, cold or warm.
    Policy,
    /// Another variant, or another launch.
    Choice,
    /// The same variant with another revision or other code.
    Code,
    /// One of them was edited by hand.
    Edited,
    /// The medians lie further apart than the tie band.
    Time,
}

/// An entry, as one profile has it.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Side {
    /// Variant and launch parameters.
    pub(crate) chosen: String,
    /// The use that it was measured for.
    pub(crate) policy: String,
    /// Whether a person wrote or changed it.
    pub(crate) manual: bool,
    /// Its median in microseconds, where one is on record.
    pub(crate) us: Option<f64>,
    /// The 95 % confidence interval of the median.
    pub(crate) ci95_us: Option<[f64; 2]>,
}

/// A pair of models.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Pair {
    /// The target model.
    pub(crate) target: String,
    /// The draft model.
    pub(crate) draft: String,
    /// What differs.
    pub(crate) change: Change,
}

impl Change {
    /// In words, for tables.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::OnlyInA => "only in A",
            Self::OnlyInB => "only in B",
            Self::Policy => "policy",
            Self::Choice => "choice",
            Self::Code => "code",
            Self::Edited => "edited",
            Self::Time => "time",
        }
    }
}

impl Side {
    pub(crate) fn new(entry: &Entry) -> Self {
        let found = entry.measurement.as_ref();
        Self {
            chosen: spell(&entry.choice.variant, &entry.choice.launch),
            policy: policy(&entry.key),
            manual: entry.is_manual(),
            us: found.map(|found| found.median_us),
            ci95_us: found.map(|found| [found.ci95_low_us, found.ci95_high_us]),
        }
    }
}

/// Compares two profiles. Those of two devices are compared, too: the device is then what differs first.
pub(crate) fn diff(a: &Profile, b: &Profile) -> Diff {
    let provenance = fields(a, b);
    let (entries, unchanged) = entries(a, b);
    let selections = selections(&a.selections, &b.selections);
    let same = provenance.is_empty() && entries.is_empty() && selections.is_empty();
    Diff { same, provenance, entries, selections, unchanged }
}

fn fields(a: &Profile, b: &Profile) -> Vec<Field> {
    let fields = |profile: &Profile| toml::Table::try_from(&profile.provenance).unwrap_or_default();
    let (a, b) = (fields(a), fields(b));
    let names = a.keys().chain(b.keys().filter(|name| !a.contains_key(*name)));
    let word = |fields: &toml::Table, name: &str| fields.get(name).map_or("unknown".into(), table::plain);
    names
        .filter(|name| *name != "date" && a.get(*name) != b.get(*name))
        .map(|name| Field { field: name.clone(), a: word(&a, name), b: word(&b, name) })
        .collect()
}

/// The lines of buckets that differ, and how many others there are.
fn entries(a: &Profile, b: &Profile) -> (Vec<Line>, usize) {
    // Of another device than its profile's an entry is only where somebody put it there.
    let foreign = |entry: &Entry, profile: &Profile| {
        (entry.key.device != profile.provenance.device).then(|| entry.key.device.clone())
    };
    let mut left: Vec<&Entry> = b.entries.iter().collect();
    let mut take = |entry: &Entry, policy: Option<Policy>| {
        let place = left.iter().position(|other| {
            other.key.kernel == entry.key.kernel
                && policy.is_none_or(|policy| other.key.policy == policy)
                && foreign(other, b) == foreign(entry, a)
        })?;
        Some(left.remove(place))
    };
    // Those of the same use first, so that no entry meets one of another use in their place.
    let exact: Vec<Option<&Entry>> =
        a.entries.iter().map(|entry| take(entry, Some(entry.key.policy))).collect();
    let pairs: Vec<(&Entry, Option<&Entry>)> = (a.entries.iter().zip(exact))
        .map(|(entry, exact)| (entry, exact.or_else(|| take(entry, None))))
        .collect();
    let mut lines: Vec<Line> = pairs.iter().filter_map(|&(entry, other)| line(Some(entry), other)).collect();
    let unchanged = pairs.len() - lines.len();
    lines.extend(left.into_iter().filter_map(|entry| line(None, Some(entry))));
    (lines, unchanged)
}

/// How two entries for one bucket differ; nothing if they agree.
fn line(a: Option<&Entry>, b: Option<&Entry>) -> Option<Line> {
    let change = match (a, b) {
        (Some(_), None) => Change::OnlyInA,
        (None, _) => Change::OnlyInB,
        (Some(a), Some(b)) => change(a, b)?,
    };
    let (left, right) = (a.map(Side::new), b.map(Side::new));
    let us = |side: &Option<Side>| side.as_ref().and_then(|side| side.us);
    let ratio = us(&left).zip(us(&right)).map(|(a, b)| b / a);
    Some(Line { bucket: name(&a.or(b)?.key), change, a: left, b: right, ratio })
}

fn change(a: &Entry, b: &Entry) -> Option<Change> {
    let launched = |entry: &Entry| (entry.choice.variant.clone(), entry.choice.launch.clone());
    if a.key.policy != b.key.policy {
        return Some(Change::Policy);
    }
    if launched(a) != launched(b) {
        return Some(Change::Choice);
    }
    if a.choice != b.choice {
        return Some(Change::Code);
    }
    if a.is_manual() != b.is_manual() {
        return Some(Change::Edited);
    }
    let apart = match (&a.measurement, &b.measurement) {
        (Some(a), Some(b)) => (a.median_us - b.median_us).abs() > band(a, b),
        (None, None) => false,
        _ => true,
    };
    apart.then_some(Change::Time)
}

fn selections(a: &[Selection], b: &[Selection]) -> Vec<Pair> {
    let models = |one: &Selection| (one.target_model.clone(), one.draft_model.clone());
    let find =
        |all: &[Selection], one: &Selection| all.iter().find(|other| models(other) == models(one)).cloned();
    let pair = |one: &Selection, change| {
        let (target, draft) = models(one);
        Pair { target, draft, change }
    };
    let ours = a.iter().filter_map(|one| match find(b, one) {
        None => Some(pair(one, Change::OnlyInA)),
        Some(other) => (other != *one).then(|| pair(one, Change::Choice)),
    });
    let theirs = b.iter().filter(|one| find(a, one).is_none()).map(|one| pair(one, Change::OnlyInB));
    ours.chain(theirs).collect()
}
