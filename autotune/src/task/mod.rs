//! A task: one bucket of the tuning key on one device, the problem that stands for it, and the points to try.

mod glossary;
mod name;
mod parameters;
mod representative;

use std::fmt;

use anyhow::Context as _;
use dustin::{
    limits::Bound,
    profile::{Choice, KernelKey, Key, Launch},
};
use dustin_autotune::workload::{Problem, Workload};

use self::representative::representative;
pub(crate) use self::{
    glossary::{bound, kernel, parameter},
    name::{name, policy, spell},
    parameters::{in_order, parameters, space},
    representative::bytes,
};
pub(crate) use crate::search::Value;
use crate::{
    device::Device,
    search::{Candidate, Field, Resources, Space},
};

/// A point of the tuning space as a device offers it.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    /// Stable id of the variant.
    pub(crate) variant: &'static str,
    /// What is decided at the launch.
    pub(crate) launch: Launch,
    /// What it occupies.
    pub(crate) resources: Resources,
    /// About how many microseconds it may take, where anything is known beforehand: it is tried the earlier.
    pub(crate) expected_us: Option<f64>,
}

/// A point that a profile accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    /// Variant and launch parameters, as this build has them.
    pub(crate) choice: Choice,
    /// What it occupies.
    pub(crate) resources: Resources,
}

/// A point that cannot serve, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Excluded {
    /// Variant and launch parameters.
    pub(crate) point: String,
    /// What stands against it.
    pub(crate) bound: Bound,
    /// That in words.
    pub(crate) reason: String,
}

/// What is tuned at a time.
#[derive(Debug)]
pub(crate) struct Task {
    /// Name in tables.
    pub(crate) name: String,
    /// The bucket.
    pub(crate) key: Key,
    /// The sizes of the problem that is measured: the bucket's own, at its upper ends, or those of a problem inside.
    pub(crate) sizes: Key,
    /// The problem that is measured: the one that stands for the bucket, or one inside.
    pub(crate) problem: Problem,
    /// Confirmed tokens of each of its sequences.
    pub(crate) context: u32,
    /// What may run.
    pub(crate) points: Vec<Point>,
    /// The point that runs where nothing was tuned.
    pub(crate) default: usize,
    /// What may not run.
    pub(crate) excluded: Vec<Excluded>,
    candidates: Vec<Candidate>,
    /// The points of which something is expected, the best first.
    promising: Vec<usize>,
    /// The points as named parameters.
    pub(crate) space: Space,
}

impl Task {
    /// The whole space of the bucket that `workload` falls into.
    ///
    /// # Errors
    /// No variant of the device serves the bucket.
    pub(crate) fn new(workload: &Workload, device: &Device) -> anyhow::Result<Self> {
        let kernel = KernelKey::from(&workload.problem);
        let policy = device.policy(kernel.kernel());
        let key = Key::of(kernel, device.id(), policy);
        Self::of_key(workload.name.clone(), key, device)
    }

    /// The whole space of a bucket.
    ///
    /// # Errors
    /// No variant of the device serves it.
    pub(crate) fn of_key(name: String, key: Key, device: &Device) -> anyhow::Result<Self> {
        Self::of_member(name, key.clone(), key, device)
    }

    /// The space of the bucket `key`, to be measured at a problem inside that has these `sizes`: a key whose capacities are not
    /// rounded up.
    ///
    /// # Errors
    /// No variant of the device serves the bucket.
    pub(crate) fn of_member(name: String, key: Key, sizes: Key, device: &Device) -> anyhow::Result<Self> {
        let (problem, context) = representative(&sizes);
        let of = || format!("workload {name}");
        let catalogue = device.catalogue();
        let (found, mut excluded) = device.points(&problem).with_context(of)?;
        let (mut points, mut expected) = (Vec::with_capacity(found.len()), Vec::new());
        for Offer { variant, launch, resources, expected_us } in found {
            // A choice that no profile accepts would be lost on the next reading.
            let checked = catalogue.check(&key, variant, &launch).map_err(|error| error.to_string());
            let bound = checked
                .and_then(|()| catalogue.bind(&key, variant, &launch).map_err(|problem| problem.to_string()));
            match bound {
                Ok(choice) => {
                    expected.extend(expected_us.map(|us| (us, resources, points.len())));
                    points.push(Point { choice, resources });
                }
                Err(reason) => {
                    excluded.push(Excluded { point: spell(variant, &launch), bound: Bound::Contract, reason })
                }
            }
        }
        let default = catalogue.default(&key).with_context(|| {
            format!("{}: no variant of this build serves {key}; choose another shape or --device", of())
        })?;
        let default = points.iter().position(|point| point.choice == default).unwrap_or_else(|| {
            points.push(Point { choice: default, resources: Resources::default() });
            points.len() - 1
        });
        expected.sort_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        let promising = expected.into_iter().map(|(.., point)| point).collect();
        Ok(Self {
            promising,
            sizes,
            ..Self::of_points(name, key, (problem, context), points, default, excluded)
        })
    }

    /// A task of one point: the choice of a profile's entry.
    pub(crate) fn of_choice(key: &Key, choice: &Choice) -> Self {
        Self::of_choices(name(key), key, std::slice::from_ref(choice))
    }

    /// The task of these points and no others; what they occupy is not known.
    pub(crate) fn of_choices(name: String, key: &Key, choices: &[Choice]) -> Self {
        let point = |choice: &Choice| Point { choice: choice.clone(), resources: Resources::default() };
        let points = choices.iter().map(point).collect();
        Self::of_points(name, key.clone(), representative(key), points, 0, Vec::new())
    }

    /// The same problem for two of its points, the default first.
    pub(crate) fn pair(&self, default: &Choice, other: &Choice) -> Self {
        let choices = [default.clone(), other.clone()];
        Self { key: self.key.clone(), ..Self::of_choices(self.name.clone(), &self.sizes, &choices) }
    }

    fn of_points(
        name: String,
        key: Key,
        (problem, context): (Problem, u32),
        points: Vec<Point>,
        default: usize,
        excluded: Vec<Excluded>,
    ) -> Self {
        let candidate = |point: &Point| Candidate { id: point.to_string(), resources: point.resources };
        let candidates = points.iter().map(candidate).collect();
        let space = parameters::space(points.iter().map(|point| &point.choice));
        let promising = Vec::new();
        let sizes = key.clone();
        Self { name, key, sizes, problem, context, points, default, excluded, candidates, promising, space }
    }

    /// The points as `candidate` reads them from their choices.
    ///
    /// # Errors
    /// A point that is none of the device's space.
    pub(crate) fn candidates_as<C>(&self, candidate: fn(&Choice) -> Option<C>) -> anyhow::Result<Vec<C>> {
        let read = |point: &Point| {
            candidate(&point.choice)
                .with_context(|| format!("{point} is no point of the space of this device"))
        };
        self.points.iter().map(read).collect()
    }

    /// The points that should be tried first, the best of them first; what they are worth is not known before they are timed.
    pub(crate) fn promising(&self) -> &[usize] {
        &self.promising
    }

    /// Where `choice` stands among the points, whatever the build that it was made with.
    pub(crate) fn position(&self, choice: &Choice) -> Option<usize> {
        let same = |point: &Point| {
            (&point.choice.variant, &point.choice.launch) == (&choice.variant, &choice.launch)
        };
        self.points.iter().position(same)
    }

    /// The points, as the search sees them.
    pub(crate) fn field(&self) -> Field<'_> {
        Field { candidates: &self.candidates, default: self.default }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&spell(&self.choice.variant, &self.choice.launch))
    }
}
