//! Cases of selection.

use dustin::{
    InvalidInput,
    profile::SelectKey,
    select::{
        compare::{Selected, compare},
        problem::SelectProblem,
        reference::{self, Reference},
        synthetic::{Contents, Recipe, Scores, SelectInput, SequenceShape},
    },
};

use super::{Case, Guarded, Written};

/// An input and the sets that it must give, bit for bit.
pub(crate) struct SelectCase {
    /// The input.
    pub(crate) input: SelectInput,
    reference: Reference,
}

/// The sets that a candidate writes.
#[derive(Clone, Debug)]
pub(crate) struct SelectWritten {
    /// Positions.
    pub(crate) set: Guarded<i32>,
    /// Their physical slots, if asked for.
    pub(crate) physical: Option<Guarded<i32>>,
    /// Sizes.
    pub(crate) sizes: Guarded<i32>,
}

impl SelectWritten {
    /// The arrays, each with its name.
    fn arrays(&self) -> impl Iterator<Item = (&'static str, &Guarded<i32>)> {
        let physical = self.physical.iter().map(|physical| ("the slots", physical));
        [("the positions", &self.set), ("the sizes", &self.sizes)].into_iter().chain(physical)
    }
}

impl Written for SelectWritten {
    fn bytes(&self) -> usize {
        self.arrays().map(|(_, array)| size_of_val(array.whole())).sum()
    }

    fn spoil(&mut self, byte: u8) {
        self.set.spoil(byte);
    }

    fn difference(&self, other: &Self) -> Option<String> {
        let mut pairs = self.arrays().zip(other.arrays());
        pairs.find_map(|((what, own), (_, other))| own.difference(other, what))
    }
}

impl Case for SelectCase {
    type Written = SelectWritten;

    fn unwritten(&self) -> SelectWritten {
        let Selected { set, physical, set_sizes, .. } =
            Selected::unwritten(&self.input.problem, &self.input.strides);
        SelectWritten {
            set: Guarded::holding(&set),
            physical: physical.as_deref().map(Guarded::holding),
            sizes: Guarded::holding(&set_sizes),
        }
    }

    fn judge(&self, written: &SelectWritten) -> Result<(), String> {
        written.arrays().try_for_each(|(what, array)| array.require_bands(what))?;
        let selected = Selected {
            set: written.set.items().to_vec(),
            physical: written.physical.as_ref().map(|physical| physical.items().to_vec()),
            set_sizes: written.sizes.items().to_vec(),
            // Another status is reported where it is read.
            status: 0,
        };
        compare(&self.input.problem, &self.input.strides, &self.reference, &selected)
            .map_err(|error| error.to_string())
    }
}

impl SelectCase {
    /// A ragged batch for the rules of `key`: lengths around the budget, maps full of ties and of NaN, sinks and recent
    /// positions, a sequence without a target map, gaps in the maps and in every stride.
    ///
    /// # Errors
    /// The key is of no valid problem.
    pub(crate) fn awkward(key: &SelectKey, seed: u64) -> Result<Self, InvalidInput> {
        let stands = key.problem();
        // A block of sinks, and as many recent positions as surely touch two blocks or fill the rest of the budget.
        let (block, blocks) = (stands.block, stands.budget / stands.block);
        let sinks = if blocks > 2 { 1 } else { 0 };
        let recent = if blocks > 4 { block + 1 } else { 0 };
        let rules = SelectProblem { sinks, recent, everything: 1, ..stands };
        let budget = rules.budget;
        let lengths = [0, 1, budget - 1, budget, budget + 1, 3 * budget + 7, 5 * budget / 2];
        let shape = |(index, &length)| SequenceShape { length, has_target: index != 5 };
        let recipe = Recipe {
            rules,
            sequences: lengths.iter().enumerate().map(shape).collect(),
            page_size: rules.table.map(|table| table.page_size),
            narrow_table: false,
            target_slots: true,
            spare: 2,
            contents: Contents { draft: Scores::TwoValues, target: Scores::Nans, gap: 3, seed },
        };
        Self::of(recipe.input()?)
    }

    /// The timed problem: every sequence has `context` tokens.
    ///
    /// # Errors
    /// The problem is invalid.
    pub(crate) fn timed(problem: &SelectProblem, context: u32, seed: u64) -> Result<Self, InvalidInput> {
        Self::of(SelectInput::uniform(problem, context, seed)?)
    }

    fn of(input: SelectInput) -> Result<Self, InvalidInput> {
        let reference = reference::select(&input.problem, &input.arrays())?;
        Ok(Self { input, reference })
    }
}

#[cfg(test)]
mod tests {
    use dustin::{cpu::CpuBackend, profile::SelectKey, select::arrays::SelectOutput};
    use dustin_autotune::workload::{Problem, named};

    use super::*;

    #[test]
    fn the_awkward_batch_is_valid_for_every_rule_and_a_set_that_was_not_written_is_refused() {
        let Problem::Select(problem) = named("cpu-select").unwrap().problem else { panic!("of selection") };
        let key = SelectKey::from(&problem);
        for key in [
            key,
            SelectKey { block: 16, pooling: true, physical: true, ..key },
            SelectKey { budget: 64, block: 64, ..key },
            SelectKey { quota: false, ..key },
        ] {
            let case = SelectCase::awkward(&key, 5).unwrap();
            let problem = &case.input.problem;
            let mut written = case.unwritten();
            assert!(case.judge(&written).is_err());
            let mut backend = CpuBackend::new(1).unwrap();
            let candidate = dustin::cpu::select::default_candidate(problem, backend.limits()).unwrap();
            let output = SelectOutput {
                set: written.set.items_mut(),
                physical: written.physical.as_mut().map(Guarded::items_mut),
                set_sizes: written.sizes.items_mut(),
            };
            assert_eq!(backend.select(problem, &candidate, &case.input.arrays(), output), Ok(0));
            assert_eq!(case.judge(&written), Ok(()));
            written.set.items_mut()[0] = 7;
            assert!(case.judge(&written).is_err());
        }
    }
}
