//! What a device is like while it is measured, and whether a round of it counts.

use serde::{Deserialize, Serialize};

use super::statistics::median;

/// Rounds that are repeated at the most: what stays as it is has to be lived with.
const REPEATED: usize = 5;

/// The share by which a clock may differ from that of the other rounds.
const CLOCKS: f64 = 0.03;

/// Rounds from which on there is a clock to compare with.
const COMPARED: usize = 3;

/// A device, at one moment. What is not told is absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Conditions {
    /// Clock of the multiprocessors, in MHz.
    pub(crate) sm_mhz: Option<u32>,
    /// Clock of the memory, in MHz.
    pub(crate) memory_mhz: Option<u32>,
    /// Temperature, in degrees Celsius.
    pub(crate) celsius: Option<u32>,
    /// Power, in watts.
    pub(crate) watts: Option<u32>,
    /// Why it runs slower than it could.
    pub(crate) throttling: Vec<String>,
    /// Processes that compute on it, beside the one that is measured.
    pub(crate) others: Vec<u32>,
}

/// Judges rounds by what the device was like right after them, and keeps what was said against them.
#[derive(Debug, Default)]
pub(crate) struct Steadiness {
    before: Conditions,
    sm: Vec<f64>,
    memory: Vec<f64>,
    discarded: Vec<String>,
    unsteady: Vec<String>,
}

impl Steadiness {
    /// With what it was like before the first round.
    pub(crate) fn new(before: Option<Conditions>) -> Self {
        Self { before: before.unwrap_or_default(), ..Self::default() }
    }

    /// Whether the round that has just ended counts; otherwise it is to be repeated.
    pub(super) fn counts(&mut self, now: Option<Conditions>) -> bool {
        let Some(now) = now else { return true };
        let (sm, memory) = (now.sm_mhz.map(f64::from), now.memory_mhz.map(f64::from));
        let objection = self
            .throttles(&now)
            .or_else(|| self.joined(&now))
            .or_else(|| departs("multiprocessors", sm, &self.sm))
            .or_else(|| departs("memory", memory, &self.memory));
        if let Some(objection) = objection {
            if self.discarded.len() < REPEATED {
                self.discarded.push(objection);
                return false;
            }
            self.unsteady.push(objection);
        }
        self.sm.extend(sm);
        self.memory.extend(memory);
        true
    }

    /// What was said against rounds that count all the same, since as many as are repeated had been.
    pub(crate) fn unsteady(&self) -> &[String] {
        &self.unsteady
    }

    /// What was said against rounds that were repeated, and against those that count all the same.
    pub(super) fn into_objections(self) -> (Vec<String>, Vec<String>) {
        (self.discarded, self.unsteady)
    }

    fn throttles(&self, now: &Conditions) -> Option<String> {
        let new = now.throttling.iter().find(|reason| !self.before.throttling.contains(reason));
        new.map(|reason| format!("the device began to throttle: {reason}"))
    }

    fn joined(&self, now: &Conditions) -> Option<String> {
        let new = now.others.iter().find(|process| !self.before.others.contains(process));
        new.map(|process| format!("process {process} began to compute on the device"))
    }
}

/// Whether a clock departs from that of other rounds.
fn departs(of: &str, now: Option<f64>, others: &[f64]) -> Option<String> {
    let (now, usual) = now.zip(median(others))?;
    let departs = others.len() >= COMPARED && (now - usual).abs() > CLOCKS * usual;
    departs.then(|| format!("the clock of the {of} was {now:.0} MHz, in other rounds {usual:.0} MHz"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calm(sm_mhz: u32) -> Conditions {
        Conditions { sm_mhz: Some(sm_mhz), memory_mhz: Some(3201), ..Conditions::default() }
    }

    fn throttled(reason: &str) -> Conditions {
        Conditions { throttling: vec![reason.into()], ..calm(1980) }
    }

    #[test]
    fn a_device_that_tells_nothing_or_stays_as_it_was_is_steady() {
        let mut steadiness = Steadiness::new(None);
        assert!((0..20).all(|_| steadiness.counts(None)));
        let mut steadiness = Steadiness::new(Some(throttled("power cap")));
        let rounds = [throttled("power cap"), calm(1980), calm(1975), calm(1950), calm(1990)];
        assert!(rounds.into_iter().all(|round| steadiness.counts(Some(round))));
        assert_eq!(steadiness.into_objections(), (Vec::new(), Vec::new()));
    }

    #[test]
    fn what_was_not_so_before_is_objected_to() {
        let mut steadiness = Steadiness::new(Some(calm(1980)));
        assert!(!steadiness.counts(Some(throttled("thermal slowdown"))));
        let shared = Conditions { others: vec![77], ..calm(1980) };
        assert!(!steadiness.counts(Some(shared)));
        // The first rounds say what is usual.
        assert!((0..3).all(|_| steadiness.counts(Some(calm(1980)))));
        assert!(!steadiness.counts(Some(calm(1900))));
        assert!(steadiness.counts(Some(calm(1940))));
        let (discarded, unsteady) = steadiness.into_objections();
        for (objection, word) in discarded.iter().zip(["thermal", "process 77", "1900 MHz"]) {
            assert!(objection.contains(word), "{objection}");
        }
        assert_eq!((discarded.len(), unsteady.len()), (3, 0));
    }

    #[test]
    fn what_stays_is_lived_with_and_told() {
        let mut steadiness = Steadiness::new(Some(calm(1980)));
        let counted = (0..20).filter(|_| steadiness.counts(Some(throttled("power cap")))).count();
        assert_eq!((counted, steadiness.unsteady().len()), (20 - REPEATED, 20 - REPEATED));
        let (discarded, unsteady) = steadiness.into_objections();
        assert_eq!(discarded.len(), REPEATED);
        assert!(unsteady.iter().all(|objection| objection.contains("power cap")));
    }
}
