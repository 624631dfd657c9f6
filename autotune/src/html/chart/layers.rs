//! What methods keep of each layer's attention.

use std::fmt::Write as _;

use askama::Template;

use super::{Tick, filters};
use crate::{
    heads::Judgement,
    html::scale::{Linear, short},
    table::share,
};

const ACROSS: (f64, f64) = (56.0, 868.0);
const UPWARDS: (f64, f64) = (258.0, 12.0);

/// The most layers whose numbers have room.
const NUMBERS: usize = 24;

/// The chart.
#[derive(Template)]
#[template(path = "layers.svg", escape = "html")]
pub(in crate::html) struct Layers {
    x_ticks: Vec<Tick>,
    y_ticks: Vec<Tick>,
    lines: Vec<Line>,
}

struct Line {
    /// The method's colour, as a class of the page.
    class: &'static str,
    path: String,
    dots: Vec<Dot>,
}

struct Dot {
    x: f64,
    y: f64,
    title: String,
}

impl Layers {
    /// Draws the methods of `judged`; nothing without layers.
    pub(in crate::html) fn new(judged: &Judgement) -> Option<Self> {
        let rates = judged.methods.iter().flat_map(|method| &method.by_layer);
        let upwards = Linear::of(rates.copied().chain([0.0]), UPWARDS)?;
        let (from, to) = ACROSS;
        let last = judged.layers.len().checked_sub(1)?;
        let at = |index: usize| match last {
            0 => f64::midpoint(from, to),
            _ => from + 8.0 + (to - from - 16.0) * index as f64 / last as f64,
        };
        let every = judged.layers.len().div_ceil(NUMBERS).max(1);
        let numbers = judged.layers.iter().enumerate().step_by(every);
        let lines = judged.methods.iter().map(|method| {
            let mut path = String::new();
            let mut dots = Vec::new();
            for (index, (&rate, layer)) in method.by_layer.iter().zip(&judged.layers).enumerate() {
                let (x, y) = (at(index), upwards.at(rate));
                let verb = if index == 0 { 'M' } else { 'L' };
                let _ = write!(path, "{verb}{} {}", super::tenth(x), super::tenth(y));
                dots.push(Dot { x, y, title: format!("{}, layer {layer}: {}", method.name, share(rate)) });
            }
            Line { class: class(&method.name), path, dots }
        });
        // The choice, which is first, lies on top.
        let mut lines: Vec<Line> = lines.collect();
        lines.reverse();
        Some(Self {
            x_ticks: numbers.map(|(index, layer)| Tick { at: at(index), label: layer.to_string() }).collect(),
            y_ticks: upwards.ticks().into_iter().map(|(rate, at)| Tick { at, label: short(rate) }).collect(),
            lines,
        })
    }
}

/// The colour of a method, as a class of the page.
pub(in crate::html) fn class(method: &str) -> &'static str {
    match method {
        "chosen" => "method-chosen",
        "full heads" => "method-full",
        "oracle" => "method-oracle",
        "sinks and window" => "method-window",
        "SnapKV" => "method-snapkv",
        "PyramidKV" => "method-pyramidkv",
        "TOVA" => "method-tova",
        // What the search began with.
        _ => "method-start",
    }
}
