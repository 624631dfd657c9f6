//! The verification steps of a prompt that are judged.

use super::{FidelityError, error::invalid};
use crate::calibration::{CalibrationError, Capture};

/// The most positions of a map.
const MOST_POSITIONS: u64 = i32::MAX as u64;

/// Which steps of each prompt are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepPlan {
    /// Draft tokens of a step (γ).
    pub gamma: u32,
    /// The most steps of a prompt, at least 1: every (γ + 1)th from the first on, as if all drafts were accepted.
    pub most: u32,
}

impl StepPlan {
    /// The confirmed lengths of the steps of a prompt.
    ///
    /// # Errors
    /// There is no such prompt, or it has no step.
    pub(super) fn lengths(self, capture: &Capture, prompt: u32) -> Result<Vec<u32>, CalibrationError> {
        capture.require_steps(prompt, self.gamma)?;
        let steps = capture.prompt(prompt)?.steps(self.gamma);
        Ok(steps.step_by(self.gamma as usize + 1).take(self.most.max(1) as usize).collect())
    }
}

/// Sequences of a map that is packed by their lengths, as the library has it.
#[derive(Clone, Debug)]
pub(super) struct Packed {
    /// Each sequence's length.
    pub(super) lengths: Vec<i32>,
    /// Where each one's part begins and, last, the end.
    pub(super) starts: Vec<i32>,
}

impl Packed {
    /// The confirmed positions of a prompt's steps of these lengths.
    ///
    /// # Errors
    /// They are more together than a map may have.
    pub(super) fn of_steps(prompt: u32, lengths: &[u32]) -> Result<Self, FidelityError> {
        let positions: u64 = lengths.iter().map(|&length| u64::from(length)).sum();
        if positions > MOST_POSITIONS {
            let required =
                format!("so few that those of prompt {prompt} have {MOST_POSITIONS} positions together");
            let actual = format!("{} with {positions}", lengths.len());
            return Err(invalid("steps", required, actual));
        }
        Ok(Self::new(lengths.iter().copied()))
    }

    pub(super) fn new(lengths: impl Iterator<Item = u32>) -> Self {
        let lengths: Vec<i32> = lengths.map(u32::cast_signed).collect();
        let ends = lengths.iter().scan(0_i32, |end, length| {
            *end = end.saturating_add(*length);
            Some(*end)
        });
        let starts = std::iter::once(0).chain(ends).collect();
        Self { lengths, starts }
    }

    /// Positions altogether.
    pub(super) fn positions(&self) -> usize {
        self.starts.last().copied().unwrap_or(0) as usize
    }

    /// The sequences' parts of `map`.
    pub(super) fn parts<'a>(&self, map: &'a [f32]) -> impl Iterator<Item = &'a [f32]> {
        self.starts.windows(2).map(|ends| &map[ends[0] as usize..ends[1] as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_that_no_map_has_room_for_are_refused() {
        let packed = Packed::of_steps(3, &[1 << 30, (1 << 30) - 1]).unwrap();
        assert_eq!((packed.starts, packed.lengths.len()), (vec![0, 1 << 30, i32::MAX], 2));
        let message = Packed::of_steps(3, &[1 << 30; 2]).unwrap_err().to_string();
        assert!(
            message
                .contains("steps must be so few that those of prompt 3 have 2147483647 positions together"),
            "{message}"
        );
        assert!(message.contains("2 with 2147483648"), "{message}");
    }
}
