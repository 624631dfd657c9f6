//! A discrete space as the methods see it: named parameters, and the points that are legal.

use std::{collections::HashMap, fmt};

/// What a parameter is at a point.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// Of an order: a size, a count.
    Number(f64),
    /// A name, next to no other.
    Word(String),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Word(word) => word.fmt(f),
        }
    }
}

/// The legal points of a space, by position. What cannot run is none of them.
#[derive(Debug)]
pub(crate) struct Space {
    /// For each parameter that varies, how many values it takes.
    sizes: Vec<u32>,
    /// Each point as the positions of its values.
    points: Vec<Box<[u32]>>,
    positions: HashMap<Box<[u32]>, usize>,
    /// Each point in the unit cube of the surrogate.
    coordinates: Vec<Box<[f64]>>,
}

impl Space {
    /// The space of `points`, each with one value for every parameter; all points differ and have equally many values.
    ///
    /// A parameter whose values are all numbers is ordinal, any other one categorical. One that never varies is dropped.
    pub(crate) fn new(points: &[Vec<Value>]) -> Self {
        let parameters = points.first().map_or(0, Vec::len);
        let axes: Vec<(usize, Axis)> = (0..parameters)
            .map(|parameter| (parameter, Axis::of(points.iter().map(|point| &point[parameter]))))
            .filter(|(_, axis)| axis.size() > 1)
            .collect();
        let place = |point: &Vec<Value>| -> Box<[u32]> {
            axes.iter().map(|(parameter, axis)| axis.place(&point[*parameter])).collect()
        };
        let places: Vec<Box<[u32]>> = points.iter().map(place).collect();
        let embed = |places: &[u32]| -> Box<[f64]> {
            axes.iter().zip(places).flat_map(|((_, axis), &place)| axis.coordinates(place)).collect()
        };
        Self {
            sizes: axes.iter().map(|(_, axis)| axis.size()).collect(),
            coordinates: places.iter().map(|places| embed(places)).collect(),
            positions: places.iter().cloned().zip(0..).collect(),
            points: places,
        }
    }

    /// How many points there are.
    pub(crate) fn len(&self) -> usize {
        self.points.len()
    }

    /// The point in the unit cube: numbers in their order, names one-hot.
    pub(crate) fn coordinates(&self, point: usize) -> &[f64] {
        &self.coordinates[point]
    }

    /// Every legal point that differs from `point` in exactly one parameter.
    pub(crate) fn neighbours(&self, point: usize) -> Vec<usize> {
        let mut places = self.points[point].clone();
        let mut found = Vec::new();
        for axis in 0..places.len() {
            let own = places[axis];
            for other in (0..self.sizes[axis]).filter(|&other| other != own) {
                places[axis] = other;
                found.extend(self.positions.get(&places));
            }
            places[axis] = own;
        }
        found
    }
}

/// The values that one parameter takes.
enum Axis {
    /// Ascending numbers.
    Ordinal(Vec<f64>),
    /// Sorted names.
    Categorical(Vec<String>),
}

impl Axis {
    fn of<'a>(values: impl Iterator<Item = &'a Value> + Clone) -> Self {
        let number = |value: &Value| match value {
            Value::Number(number) => Some(*number),
            Value::Word(_) => None,
        };
        if let Some(mut numbers) = values.clone().map(number).collect::<Option<Vec<f64>>>() {
            numbers.sort_by(f64::total_cmp);
            numbers.dedup();
            Self::Ordinal(numbers)
        } else {
            let mut words: Vec<String> = values.map(ToString::to_string).collect();
            words.sort();
            words.dedup();
            Self::Categorical(words)
        }
    }

    fn size(&self) -> u32 {
        let size = match self {
            Self::Ordinal(numbers) => numbers.len(),
            Self::Categorical(words) => words.len(),
        };
        size as u32
    }

    fn place(&self, value: &Value) -> u32 {
        let place = match (self, value) {
            (Self::Ordinal(numbers), Value::Number(value)) => {
                numbers.partition_point(|number| number < value)
            }
            (Self::Ordinal(_), Value::Word(_)) => 0,
            (Self::Categorical(words), value) => {
                let word = value.to_string();
                words.partition_point(|other| *other < word)
            }
        };
        place as u32
    }

    /// A number lies half-way between its rank and its logarithm, each from 0 to 1: sizes grow by doubling as often as
    /// by steps, and neither scale alone spreads both.
    fn coordinates(&self, place: u32) -> Vec<f64> {
        match self {
            Self::Ordinal(numbers) => {
                let (place, last) = (place as usize, numbers.len() - 1);
                let rank = place as f64 / last as f64;
                let share = if numbers[0] > 0.0 {
                    (numbers[place].ln() - numbers[0].ln()) / (numbers[last].ln() - numbers[0].ln())
                } else {
                    rank
                };
                vec![f64::midpoint(rank, share)]
            }
            Self::Categorical(words) => {
                (0..words.len()).map(|word| if word == place as usize { 1.0 } else { 0.0 }).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(rows: &[&[f64]]) -> Space {
        let points: Vec<Vec<Value>> =
            rows.iter().map(|row| row.iter().map(|&number| Value::Number(number)).collect()).collect();
        Space::new(&points)
    }

    #[test]
    fn neighbours_differ_in_one_parameter_and_are_legal() {
        // The corner (4, 2) is not legal.
        let space = numbers(&[&[1.0, 1.0], &[2.0, 1.0], &[4.0, 1.0], &[1.0, 2.0], &[2.0, 2.0]]);
        assert_eq!(space.neighbours(0), [1, 2, 3]);
        assert_eq!(space.neighbours(2), [0, 1]);
        assert_eq!(space.neighbours(4), [3, 1]);
    }

    #[test]
    fn numbers_keep_their_order_between_zero_and_one_and_constants_are_dropped() {
        let space = numbers(&[&[7.0, 1.0], &[7.0, 64.0], &[7.0, 8.0]]);
        assert_eq!(space.coordinates(0), [0.0]);
        assert_eq!(space.coordinates(1), [1.0]);
        assert_eq!(space.coordinates(2), [0.5]);
        // Without a logarithm the rank stands alone.
        let space = numbers(&[&[0.0], &[1.0], &[100.0]]);
        assert_eq!(space.coordinates(1), [0.5]);
        // Quotients of these would not be numbers.
        let space = numbers(&[&[1e-300], &[1.0], &[1e300]]);
        assert_eq!(space.coordinates(1), [0.5]);
        assert_eq!(space.coordinates(2), [1.0]);
    }

    #[test]
    fn names_are_equally_far_from_each_other() {
        let word = |text: &str| vec![Value::Word(text.into())];
        let space = Space::new(&[word("b"), word("a"), vec![Value::Number(3.0)]]);
        assert_eq!(space.coordinates(0), [0.0, 0.0, 1.0]);
        assert_eq!(space.coordinates(1), [0.0, 1.0, 0.0]);
        assert_eq!(space.neighbours(2).len(), 2);
    }

    #[test]
    fn a_space_may_be_empty_or_a_single_point() {
        assert_eq!(Space::new(&[]).len(), 0);
        let space = numbers(&[&[3.0, 4.0]]);
        assert_eq!((space.len(), space.neighbours(0).len(), space.coordinates(0).len()), (1, 0, 0));
    }
}
