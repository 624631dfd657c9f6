//! What estimation may cost, and what it then keeps: the Pareto front of a search.

use askama::Template;

use super::{Tick, filters};
use crate::{
    heads::{Point, Searched},
    html::scale::{Linear, Log, short},
    table::{microseconds, share},
};

const ACROSS: (f64, f64) = (56.0, 592.0);
const UPWARDS: (f64, f64) = (258.0, 12.0);

/// The chart.
#[derive(Template)]
#[template(path = "front.svg", escape = "html")]
pub(in crate::html) struct Front {
    x_ticks: Vec<Tick>,
    y_ticks: Vec<Tick>,
    /// The share that was asked for: its place, and its words.
    asked: Option<(f64, String)>,
    /// From one point of the front to the next.
    line: String,
    places: Vec<Place>,
}

struct Place {
    class: &'static str,
    x: f64,
    y: f64,
    /// The share's lower bound.
    low: f64,
    title: String,
}

impl Front {
    /// Draws what a search found that was asked for `share`, if it was; nothing if no time is positive.
    pub(in crate::html) fn new(searched: &Searched, asked: Option<f64>) -> Option<Self> {
        let Searched { front, chosen, start, start_name, .. } = searched;
        let all = || front.iter().chain([start]).chain(chosen);
        let across = Log::of(all().map(|point| point.estimation_us), ACROSS)?;
        let upwards =
            Linear::of(all().flat_map(|point| [point.share, point.share_low]).chain(asked), UPWARDS)?;
        let place = |class, name: &str, point: &Point| Place {
            class,
            x: across.at(point.estimation_us),
            y: upwards.at(point.share),
            low: upwards.at(point.share_low),
            title: format!(
                "{name}: {}, k {}, m {}: {} µs, share {}, at least {}",
                point.heads(),
                point.k,
                point.m,
                microseconds(point.estimation_us),
                share(point.share),
                share(point.share_low)
            ),
        };
        let named = [place("default", start_name, start)].into_iter();
        let named = named.chain(chosen.iter().map(|point| place("chosen", "chosen", point)));
        let places: Vec<Place> =
            front.iter().map(|point| place("tied", "front", point)).chain(named).collect();
        let corner = |index: usize, place: &Place| match index {
            0 => format!("M{} {}", super::tenth(place.x), super::tenth(place.low)),
            _ => format!("H{}V{}", super::tenth(place.x), super::tenth(place.low)),
        };
        Some(Self {
            x_ticks: across.ticks().into_iter().map(|(us, at)| Tick { at, label: short(us) }).collect(),
            y_ticks: upwards
                .ticks()
                .into_iter()
                .map(|(value, at)| Tick { at, label: short(value) })
                .collect(),
            asked: asked.map(|asked| (upwards.at(asked), format!("asked: {}", short(asked)))),
            line: places
                .iter()
                .take(front.len())
                .enumerate()
                .map(|(index, place)| corner(index, place))
                .collect(),
            places,
        })
    }
}
