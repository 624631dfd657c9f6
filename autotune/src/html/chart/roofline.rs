//! Each bucket's time against the bytes that it must move, next to the least time that memory allows.

use askama::Template;

use super::{Tick, filters};
use crate::html::scale::{Log, short};

const ACROSS: (f64, f64) = (56.0, 884.0);
const UPWARDS: (f64, f64) = (318.0, 12.0);

/// A bucket.
#[derive(Clone, Debug)]
pub(in crate::html) struct Mark {
    /// Its name.
    pub(in crate::html) label: String,
    /// The kernel, as a class of the page.
    pub(in crate::html) kernel: &'static str,
    /// Bytes that must be moved.
    pub(in crate::html) bytes: f64,
    /// The choice's median in microseconds.
    pub(in crate::html) us: f64,
    /// The default's.
    pub(in crate::html) default_us: f64,
}

/// The chart.
#[derive(Template)]
#[template(path = "roofline.svg", escape = "html")]
pub(in crate::html) struct Roofline {
    x_ticks: Vec<Tick>,
    y_ticks: Vec<Tick>,
    /// The line on which memory is never idle.
    floor: Option<Floor>,
    points: Vec<Place>,
}

struct Floor {
    ends: [f64; 4],
    /// Where its name stands, below it.
    label: (f64, f64),
    name: String,
}

struct Place {
    kernel: &'static str,
    x: f64,
    y: f64,
    default: f64,
    title: String,
}

impl Roofline {
    /// Draws `marks`, with the floor of a memory of `bandwidth` bytes per second; nothing if there are none.
    pub(in crate::html) fn new(marks: &[Mark], bandwidth: Option<f64>) -> Option<Self> {
        let across = Log::of(marks.iter().map(|mark| mark.bytes), ACROSS)?;
        let least = |bytes: f64| bandwidth.map(|bandwidth| bytes / bandwidth * 1e6);
        let times = marks.iter().flat_map(|mark| [Some(mark.us), Some(mark.default_us), least(mark.bytes)]);
        let upwards = Log::of(times.flatten(), UPWARDS)?;
        let floor = bandwidth.map(|bandwidth| {
            let (from, to) = across.ends();
            let (bottom, top) = upwards.ends();
            // Only as far as both axes go.
            let from = from.max(bottom * 1e-6 * bandwidth);
            let to = to.min(top * 1e-6 * bandwidth);
            let at = |bytes: f64| [across.at(bytes), upwards.at(bytes / bandwidth * 1e6)];
            let ([x1, y1], [x2, y2]) = (at(from), at(to));
            let label = (x1 + 0.6 * (x2 - x1) + 14.0, y1 + 0.6 * (y2 - y1) + 14.0);
            Floor {
                ends: [x1, y1, x2, y2],
                label,
                name: format!("memory floor, {:.2} TB/s", bandwidth / 1e12),
            }
        });
        let points = marks.iter().map(|mark| Place {
            kernel: mark.kernel,
            x: across.at(mark.bytes),
            y: upwards.at(mark.us),
            default: upwards.at(mark.default_us),
            title: format!("{}: {} µs, default {} µs", mark.label, short(mark.us), short(mark.default_us)),
        });
        Some(Self {
            x_ticks: across
                .ticks()
                .into_iter()
                .map(|(bytes, at)| Tick { at, label: amount(bytes) })
                .collect(),
            y_ticks: upwards.ticks().into_iter().map(|(us, at)| Tick { at, label: short(us) }).collect(),
            floor,
            points: points.collect(),
        })
    }
}

impl Roofline {
    /// Whether the floor is known.
    pub(in crate::html) const fn has_floor(&self) -> bool {
        self.floor.is_some()
    }
}

/// Bytes in words.
pub(in crate::html) fn amount(bytes: f64) -> String {
    let units = [(1e9, "GB"), (1e6, "MB"), (1e3, "kB")];
    let unit = units.into_iter().find(|(unit, _)| bytes >= *unit);
    unit.map_or_else(
        || format!("{} B", short(bytes)),
        |(unit, name)| format!("{} {name}", short(bytes / unit)),
    )
}
