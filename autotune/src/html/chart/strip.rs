//! What one parameter does: the times of all candidates by its values, a box for each value, and the best of each.

use std::fmt::Write as _;

use askama::Template;

use super::{Tick, filters, tenth};
use crate::html::scale::{Log, short};

/// What is slower than so many times the best stands at the top, so that the others can be told apart.
const SLOWEST: f64 = 4.0;

const LEFT: f64 = 40.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 168.0;

/// One candidate, as the chart needs it.
#[derive(Clone, Debug)]
pub(in crate::html) struct Candidate {
    /// Its value's position among the parameter's values.
    pub(in crate::html) value: usize,
    /// Its time in microseconds.
    pub(in crate::html) us: f64,
    /// Whether it was timed in full, and not given up early.
    pub(in crate::html) whole: bool,
}

/// The chart.
#[derive(Template)]
#[template(path = "strip.svg", escape = "html")]
pub(in crate::html) struct Strip {
    parameter: String,
    width: f64,
    right: f64,
    ticks: Vec<Tick>,
    values: Vec<Tick>,
    boxes: Vec<Quartiles>,
    /// Dots of candidates that were timed in full, as a path.
    whole: String,
    /// Dots of those that were given up.
    partial: String,
    /// The line through the best of each value.
    best: String,
    /// The choice and the default.
    chosen: Option<(f64, f64)>,
    default: Option<(f64, f64)>,
}

struct Quartiles {
    left: f64,
    width: f64,
    top: f64,
    height: f64,
    median: f64,
}

impl Strip {
    /// Draws `candidates` by the values of `parameter`; `chosen` and `default` are positions among them. Nothing if no
    /// candidate has a time.
    pub(in crate::html) fn new(
        parameter: String,
        values: &[String],
        candidates: &[Candidate],
        chosen: Option<usize>,
        default: Option<usize>,
    ) -> Option<Self> {
        let least = candidates.iter().map(|candidate| candidate.us).fold(f64::INFINITY, f64::min);
        let shown = candidates.iter().map(|candidate| candidate.us.min(SLOWEST * least));
        let axis = Log::of(shown, (BOTTOM, TOP))?;
        let longest = values.iter().map(|value| value.chars().count()).max().unwrap_or(1);
        let column = (190.0 / values.len() as f64).clamp(24.0, 64.0).max(6.4 * longest as f64 + 8.0);
        let middle = |value: usize| LEFT + column * (value as f64 + 0.5);
        // Spread by the golden section: even, without a pattern, and the same every time.
        let spread = |index: usize| ((index as f64 * 0.618_034).fract() - 0.5) * column * 0.62;
        let place = |index: usize| {
            let candidate = &candidates[index];
            (middle(candidate.value) + spread(index), axis.at(candidate.us))
        };
        let dots = |whole: bool| {
            let mut path = String::new();
            for index in (0..candidates.len()).filter(|&index| candidates[index].whole == whole) {
                let (x, y) = place(index);
                let _ = write!(path, "M{} {}h0", tenth(x), tenth(y));
            }
            path
        };
        let mut boxes = Vec::new();
        let mut best = String::new();
        for value in 0..values.len() {
            let of_value = || (0..candidates.len()).filter(|&index| candidates[index].value == value);
            let times: Vec<f64> = of_value().map(|index| candidates[index].us).collect();
            let Some([low, median, high]) = quartiles(&times) else { continue };
            if let Some(least) = of_value().min_by(|&a, &b| candidates[a].us.total_cmp(&candidates[b].us)) {
                let (x, y) = place(least);
                let command = if best.is_empty() { 'M' } else { 'L' };
                let _ = write!(best, "{command}{} {}", tenth(x), tenth(y));
            }
            boxes.push(Quartiles {
                left: middle(value) - column * 0.36,
                width: column * 0.72,
                top: axis.at(high),
                height: (axis.at(low) - axis.at(high)).max(0.5),
                median: axis.at(median),
            });
        }
        let right = LEFT + column * values.len() as f64;
        Some(Self {
            parameter,
            width: right + 6.0,
            right,
            ticks: axis.ticks().into_iter().map(|(value, at)| Tick { at, label: short(value) }).collect(),
            values: values
                .iter()
                .enumerate()
                .map(|(index, label)| Tick { at: middle(index), label: label.clone() })
                .collect(),
            boxes,
            whole: dots(true),
            partial: dots(false),
            best,
            chosen: chosen.map(place),
            default: default.map(place),
        })
    }
}

/// The quartiles of `times`; nothing if there are none.
fn quartiles(times: &[f64]) -> Option<[f64; 3]> {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    // Between the two nearest ones, as most statistics programs do.
    let at = |share: f64| {
        let place = share * last as f64;
        let below = sorted[place.floor() as usize];
        below + (sorted[place.ceil() as usize] - below) * place.fract()
    };
    Some([at(0.25), at(0.5), at(0.75)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_lie_between_the_nearest_times() {
        assert_eq!(quartiles(&[4.0, 1.0, 2.0, 3.0, 5.0]), Some([2.0, 3.0, 4.0]));
        assert_eq!(quartiles(&[7.0]), Some([7.0; 3]));
        assert_eq!(quartiles(&[]), None);
    }

    #[test]
    fn every_candidate_is_a_dot_in_the_column_of_its_value() {
        let candidate = |value, us, whole| Candidate { value, us, whole };
        let candidates = [candidate(0, 10.0, true), candidate(1, 20.0, true), candidate(1, 40.0, false)];
        let values = ["4".to_owned(), "8".to_owned()];
        let strip = Strip::new("warps".into(), &values, &candidates, Some(0), Some(1)).unwrap();
        assert_eq!((strip.whole.matches("h0").count(), strip.partial.matches("h0").count()), (2, 1));
        assert!(
            strip.chosen.unwrap().0 < strip.values[1].at
                && strip.chosen.unwrap().1 > strip.default.unwrap().1
        );
        assert!(Strip::new("warps".into(), &values, &[], None, None).is_none());
        let slow = [candidate(0, 1.0, true), candidate(0, 2.0, true), candidate(1, 1000.0, false)];
        let strip = Strip::new("warps".into(), &values, &slow, Some(1), Some(2)).unwrap();
        let (chosen, slowest) = (strip.chosen.unwrap().1, strip.default.unwrap().1);
        assert!(slowest >= TOP && chosen - slowest > 30.0, "{chosen} {slowest}");
    }
}
