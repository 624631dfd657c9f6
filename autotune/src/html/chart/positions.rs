//! A verification set over its prompt: where its positions lie, and where the needle.

use std::{collections::BTreeSet, fmt::Write as _};

use askama::Template;

use super::{Tick, filters};
use crate::{
    heads::Example,
    html::scale::{Linear, short},
};

const LEFT: f64 = 8.0;
const RIGHT: f64 = 872.0;

/// The chart.
#[derive(Template)]
#[template(path = "positions.svg", escape = "html")]
pub(in crate::html) struct Positions {
    ticks: Vec<Tick>,
    /// Sinks and recent positions: left end and width.
    kept: Vec<(f64, f64)>,
    needle: Vec<(f64, f64)>,
    /// A stroke for each position of the set.
    strokes: String,
}

impl Positions {
    /// Draws `example`; nothing of a prompt without tokens.
    pub(in crate::html) fn new(example: &Example) -> Option<Self> {
        let Example { length, sinks, recent, needle, positions, .. } = example;
        if *length == 0 {
            return None;
        }
        let at =
            |position: u32| LEFT + (RIGHT - LEFT) * f64::from(position.min(*length)) / f64::from(*length);
        let span = |from: u32, to: u32| (at(from), (at(to) - at(from)).max(1.0));
        // As many as can be told apart.
        let width = (RIGHT - LEFT) / f64::from(*length);
        let places: BTreeSet<i64> =
            positions.iter().map(|&position| ((at(position) + width / 2.0) * 4.0).round() as i64).collect();
        let strokes = places.into_iter().fold(String::new(), |mut path, place| {
            let _ = write!(path, "M{} 20v28", super::tenth(place as f64 / 4.0));
            path
        });
        let axis = Linear::of([0.0, f64::from(*length)], (LEFT, RIGHT))?;
        let ticks = axis.ticks().into_iter().filter(|&(value, _)| value <= f64::from(*length));
        Some(Self {
            ticks: ticks.map(|(value, _)| Tick { at: at(value as u32), label: short(value) }).collect(),
            kept: vec![span(0, *sinks), span(length.saturating_sub(*recent), *length)],
            needle: needle.iter().map(|&[from, to]| span(from, to)).collect(),
            strokes,
        })
    }
}
