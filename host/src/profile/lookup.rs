//! Which choice serves a bucket, and why.

use std::{borrow::Cow, cell::LazyCell, collections::HashMap};

use super::{
    catalogue::Catalogue,
    distance,
    error::{Problem, Warning},
    key::Key,
    schema::{Choice, Entry},
    validate,
};
use crate::InvalidInput;

/// Choices that were found valid, ready to be asked. Each bucket gets, in this order: the entry of its own key; the
/// nearest entry of the same device, of a bucket for which the built-in rule chooses the same; likewise of another GPU of
/// the same compute capability; the built-in default.
#[derive(Clone, Debug)]
pub struct Tuned<C> {
    catalogue: C,
    entries: Vec<Entry>,
    by_key: HashMap<Key, usize>,
    rejected: HashMap<Key, Vec<Warning>>,
    warnings: Vec<Warning>,
}

/// Where a choice comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// The entry of the bucket itself.
    Exact,
    /// The entry of a near bucket of the same device.
    Near {
        /// Its distance ([`distance::between`]).
        distance: f64,
    },
    /// The entry of another GPU of the same compute capability.
    OtherGpu {
        /// The GPU's name.
        name: String,
        /// The distance of its bucket, 0 for the same one.
        distance: f64,
    },
    /// The build's own rule.
    Default,
}

/// The answer to a lookup.
#[derive(Clone, Debug, PartialEq)]
pub struct Found<'a> {
    /// What to launch.
    pub choice: Cow<'a, Choice>,
    /// The entry that it comes from; the default has none.
    pub entry: Option<&'a Entry>,
    /// Where it comes from.
    pub source: Source,
    /// Why it is nothing better: empty for an exact answer.
    pub misses: Vec<Warning>,
}

impl<C: Catalogue> Tuned<C> {
    /// The valid ones of `entries` (of one profile or of several, first come first served); each of the others is a
    /// warning.
    pub fn new(entries: impl IntoIterator<Item = Entry>, catalogue: C) -> Self {
        let mut tuned = Self {
            catalogue,
            entries: Vec::new(),
            by_key: HashMap::new(),
            rejected: HashMap::new(),
            warnings: Vec::new(),
        };
        for entry in entries {
            tuned.admit(entry);
        }
        tuned
    }

    fn admit(&mut self, entry: Entry) {
        let problem = match validate::entry(&entry, &self.catalogue) {
            Ok(()) if self.by_key.contains_key(&entry.key) => Some(Problem::Duplicate),
            Ok(()) => None,
            Err(problem) => Some(problem),
        };
        if let Some(problem) = problem {
            let warning = Warning::entry(&entry.key, problem);
            self.warnings.push(warning.clone());
            self.rejected.entry(entry.key).or_default().push(warning);
            return;
        }
        if entry.is_manual() {
            self.warnings.push(Warning::entry(&entry.key, Problem::Manual));
        }
        self.by_key.insert(entry.key.clone(), self.entries.len());
        self.entries.push(entry);
    }

    /// The variants that choices name.
    #[must_use]
    pub const fn catalogue(&self) -> &C {
        &self.catalogue
    }

    /// What was not used, or is used with a reservation.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// The entries in use.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The choice for the bucket of `key`.
    ///
    /// # Errors
    /// No variant of this build serves the bucket.
    pub fn find(&self, key: &Key) -> Result<Found<'_>, InvalidInput> {
        if let Some(&place) = self.by_key.get(key) {
            return Ok(Found::entry(&self.entries[place], Source::Exact, Vec::new()));
        }
        let mut misses = match self.rejected.get(key) {
            Some(rejected) => rejected.clone(),
            None => vec![Warning::entry(key, Problem::NoEntry)],
        };
        if let Some((entry, distance)) = self.nearest(key, &mut misses, |entry| entry.device == key.device) {
            return Ok(Found::entry(entry, Source::Near { distance }, misses));
        }
        let alike = |other: &Key| {
            other.device != key.device
                && other.device.is_gpu()
                && other.device.compute_capability == key.device.compute_capability
        };
        if let Some((entry, distance)) = self.nearest(key, &mut misses, alike) {
            let source = Source::OtherGpu { name: entry.key.device.name.clone(), distance };
            return Ok(Found::entry(entry, source, misses));
        }
        let choice = self.catalogue.default(key).ok_or_else(|| {
            InvalidInput::new("kernel choice", "problem", "one that a variant of this build serves", key)
        })?;
        Ok(Found { choice: Cow::Owned(choice), entry: None, source: Source::Default, misses })
    }

    /// The nearest entry, within the bound, of those that `eligible` lets through and that can serve `key`. Equal
    /// distances go to the lower key, so that the answer does not depend on the order of the file.
    ///
    /// An entry says what beats the built-in rule's choice for its own bucket. Where the rule makes another choice for `key`, as with
    /// a batch that fills the device otherwise, that says nothing, and the rule's choice is the better guess.
    fn nearest(
        &self,
        key: &Key,
        misses: &mut Vec<Warning>,
        eligible: impl Fn(&Key) -> bool,
    ) -> Option<(&Entry, f64)> {
        let mut candidates: Vec<(&Entry, f64)> = self
            .entries
            .iter()
            .filter(|entry| eligible(&entry.key))
            .filter_map(|entry| Some((entry, distance::between(key, &entry.key)?)))
            .collect();
        candidates
            .sort_unstable_by(|(a, near), (b, far)| near.total_cmp(far).then_with(|| a.key.cmp(&b.key)));
        let by_rule = |key: &Key| self.catalogue.default(key).map(|choice| (choice.variant, choice.launch));
        // Asking the rule takes longer than all else here: only for an entry that would serve.
        let own = LazyCell::new(|| by_rule(key));
        for (entry, distance) in candidates {
            if distance > distance::BOUND {
                let problem = Problem::TooFar { distance, bound: distance::BOUND };
                misses.push(Warning::entry(&entry.key, problem));
                return None;
            }
            match self.catalogue.check(key, &entry.choice.variant, &entry.choice.launch) {
                Ok(()) if own.is_some() && by_rule(&entry.key) != *own => {
                    misses.push(Warning::entry(&entry.key, Problem::OtherDefault { distance }));
                }
                Ok(()) => return Some((entry, distance)),
                Err(error) => misses.push(Warning::entry(&entry.key, Problem::Illegal(error))),
            }
        }
        None
    }
}

impl<'a> Found<'a> {
    const fn entry(entry: &'a Entry, source: Source, misses: Vec<Warning>) -> Self {
        Self { choice: Cow::Borrowed(&entry.choice), entry: Some(entry), source, misses }
    }
}
