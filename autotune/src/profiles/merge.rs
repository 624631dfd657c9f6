//! Several profiles of one device as one, by a rule that does not depend on who looks.
//!
//! Of two entries for one bucket
//!
//! 1. the measured one wins over one that was edited by hand, whose measurement proves nothing;
//! 2. else, where both were measured under the same circumstances (the provenances agree but for their dates), the
//!    faster one, if the medians lie further apart than the tie band;
//! 3. else that of the newer profile, and of profiles of one date the one named later.
//!
//! The provenance is the newest profile's, as it is when a profile is tuned again. What could not be read is kept as it is.

use std::path::PathBuf;

use dustin::profile::{Entry, Profile, Selection};
use jiff::Timestamp;
use serde::Serialize;

use super::band;
use crate::task::{name, spell};

/// A profile and where it was read.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// The file.
    pub(crate) path: PathBuf,
    /// What it holds.
    pub(crate) profile: Profile,
}

/// What several profiles come to.
#[derive(Debug)]
pub(crate) struct Merged {
    /// The profile.
    pub(crate) profile: Profile,
    /// Where the sources did not agree.
    pub(crate) conflicts: Vec<Conflict>,
    /// Which of the sources the provenance is of.
    pub(crate) newest: usize,
}

/// A bucket, or a pair of models, for which two sources have different choices.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Conflict {
    /// The bucket, in words, or the models.
    pub(crate) bucket: String,
    /// What was kept.
    pub(crate) kept: Held,
    /// What was dropped.
    pub(crate) dropped: Held,
    /// Why.
    pub(crate) reason: Reason,
}

/// What a profile holds for a bucket.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Held {
    /// Variant and launch parameters, or the budget.
    pub(crate) chosen: String,
    /// The profile's file.
    pub(crate) profile: String,
}

/// Why one choice wins over another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reason {
    /// The other one was edited by hand.
    Measured,
    /// Under the same circumstances it took less time, by more than the tie band.
    Faster,
    /// Its profile is newer, or named later.
    Newer,
}

impl Reason {
    /// In words, for tables.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Measured => "measured, the other by hand",
            Self::Faster => "faster",
            Self::Newer => "newer",
        }
    }
}

/// Merges profiles of one device; nothing if there are none.
pub(crate) fn merge(sources: &[Source]) -> Option<Merged> {
    let newest = (0..sources.len()).max_by_key(|&source| (date(&sources[source]), source))?;
    let mut kept: Vec<(Entry, usize)> = Vec::new();
    let mut conflicts = Vec::new();
    for (source, Source { profile, .. }) in sources.iter().enumerate() {
        for entry in &profile.entries {
            match kept.iter_mut().find(|(known, _)| known.key == entry.key) {
                None => kept.push((entry.clone(), source)),
                Some(known) => conflicts.extend(meet(known, (entry.clone(), source), sources)),
            }
        }
    }
    let mut profile = Profile::new(sources[newest].profile.provenance.clone());
    profile.entries = kept.into_iter().map(|(entry, _)| entry).collect();
    profile.selections = selections(sources, &mut conflicts);
    for unread in sources.iter().flat_map(|source| &source.profile.unread) {
        if !profile.unread.contains(unread) {
            profile.unread.push(unread.clone());
        }
    }
    Some(Merged { profile, conflicts, newest })
}

/// When a profile was written. What is no date is older than any.
fn date(source: &Source) -> Option<Timestamp> {
    source.profile.provenance.date.parse().ok()
}

/// Leaves the better one of two entries in the place of the first; the conflict, if they are of two minds.
fn meet(known: &mut (Entry, usize), other: (Entry, usize), sources: &[Source]) -> Option<Conflict> {
    let bucket = name(&known.0.key);
    let conflict = known.0.choice != other.0.choice;
    let (wins, reason) = judge(known, &other, sources);
    let loser = if wins { std::mem::replace(known, other) } else { other };
    let told = |(entry, source): &(Entry, usize)| {
        let chosen = spell(&entry.choice.variant, &entry.choice.launch);
        Held { chosen, profile: sources[*source].path.display().to_string() }
    };
    conflict.then(|| Conflict { bucket, kept: told(known), dropped: told(&loser), reason })
}

/// Whether `other` wins, and why the winner does.
fn judge(known: &(Entry, usize), other: &(Entry, usize), sources: &[Source]) -> (bool, Reason) {
    let proven = |entry: &Entry| !entry.is_manual();
    if proven(&known.0) != proven(&other.0) {
        return (proven(&other.0), Reason::Measured);
    }
    let (ours, theirs) = (&sources[known.1], &sources[other.1]);
    let alike = ours.profile.provenance.differences(&theirs.profile.provenance).is_empty();
    if let (true, Some(a), Some(b)) = (alike && proven(&known.0), &known.0.measurement, &other.0.measurement)
        && (a.median_us - b.median_us).abs() > band(a, b)
    {
        return (b.median_us < a.median_us, Reason::Faster);
    }
    (date(theirs) >= date(ours), Reason::Newer)
}

/// Of each pair of models the selection of the newest profile that has one.
fn selections(sources: &[Source], conflicts: &mut Vec<Conflict>) -> Vec<Selection> {
    let mut kept: Vec<(Selection, usize)> = Vec::new();
    for (source, Source { profile, .. }) in sources.iter().enumerate() {
        for one in &profile.selections {
            let same = |known: &Selection| {
                (&known.target_model, &known.draft_model) == (&one.target_model, &one.draft_model)
            };
            let Some(known) = kept.iter_mut().find(|(known, _)| same(known)) else {
                kept.push((one.clone(), source));
                continue;
            };
            let differs = known.0 != *one;
            let wins = date(&sources[source]) >= date(&sources[known.1]);
            let other = (one.clone(), source);
            let loser = if wins { std::mem::replace(known, other) } else { other };
            if differs {
                let told = |(one, source): &(Selection, usize)| {
                    let profile = sources[*source].path.display().to_string();
                    Held { chosen: format!("k {}, m {}", one.k, one.m), profile }
                };
                let bucket = format!("{} with {}", one.target_model, one.draft_model);
                let reason = Reason::Newer;
                conflicts.push(Conflict { bucket, kept: told(known), dropped: told(&loser), reason });
            }
        }
    }
    kept.into_iter().map(|(one, _)| one).collect()
}
