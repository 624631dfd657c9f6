//! Times of the leading candidates, with their intervals and the tie band.

use askama::Template;

use super::{Tick, filters};
use crate::{
    html::scale::{round, short},
    table::microseconds,
};

const WIDTH: f64 = 640.0;
const LEFT: f64 = 2.0;
const RIGHT: f64 = 566.0;
const ROW: f64 = 36.0;

/// What a candidate is among the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::html) enum Role {
    /// The choice.
    Chosen,
    /// The choice, which is what runs without a profile, too.
    Both,
    /// What runs without a profile.
    Default,
    /// It cannot be told from the fastest.
    Tied,
}

impl Role {
    const fn words(self) -> &'static str {
        match self {
            Self::Chosen => "chosen",
            Self::Both => "chosen, the default",
            Self::Default => "default",
            Self::Tied => "tied",
        }
    }
}

/// One candidate.
#[derive(Clone, Debug)]
pub(in crate::html) struct Bar {
    /// Variant and launch parameters.
    pub(in crate::html) label: String,
    pub(in crate::html) role: Role,
    /// Its median in microseconds.
    pub(in crate::html) us: f64,
    /// The 95 % confidence interval of the median, where it is known.
    pub(in crate::html) interval: Option<[f64; 2]>,
}

/// The chart.
#[derive(Template)]
#[template(path = "bars.svg", escape = "html")]
pub(in crate::html) struct Bars {
    height: f64,
    bottom: f64,
    ticks: Vec<Tick>,
    /// Left and right end of the band in which candidates count as equal.
    band: Option<(f64, f64)>,
    rows: Vec<Row>,
}

struct Row {
    top: f64,
    class: &'static str,
    label: String,
    width: f64,
    whisker: Option<(f64, f64)>,
    time: String,
}

impl Bars {
    /// Draws `bars`, from zero, in their order; `band` is the tie band's width above the fastest, in microseconds.
    pub(in crate::html) fn new(bars: &[Bar], band: Option<f64>) -> Self {
        let most = |bar: &Bar| bar.interval.map_or(bar.us, |[_, high]| high.max(bar.us));
        let longest = bars.iter().map(most).fold(f64::MIN_POSITIVE, f64::max);
        let at = |us: f64| LEFT + us / longest * (RIGHT - LEFT);
        let step = round(longest / 5.0);
        let ticks = (0..6).map(|index| f64::from(index) * step).filter(|&us| us <= longest);
        let fastest = bars.iter().map(|bar| bar.us).fold(f64::INFINITY, f64::min);
        let rows = bars.iter().zip(0..).map(|(bar, index)| Row {
            top: ROW * f64::from(index),
            class: match bar.role {
                Role::Chosen | Role::Both => "chosen",
                Role::Default => "default",
                Role::Tied => "tied",
            },
            label: format!("{} · {}", bar.label, bar.role.words()),
            width: at(bar.us) - LEFT,
            whisker: bar.interval.map(|[low, high]| (at(low), at(high))),
            time: microseconds(bar.us),
        });
        let bottom = ROW * bars.len() as f64;
        Self {
            height: bottom + 18.0,
            bottom,
            ticks: ticks.map(|us| Tick { at: at(us), label: short(us) }).collect(),
            band: band.map(|band| (at(fastest), at(fastest + band).min(WIDTH))),
            rows: rows.collect(),
        }
    }
}
