//! Charts as SVG, drawn by templates from places that are computed here. Colours and fonts are the page's, so that charts
//! follow it into the dark.

mod bars;
mod front;
mod layers;
mod positions;
mod roofline;
mod strip;

pub(super) use bars::{Bar, Bars, Role};
pub(super) use front::Front;
pub(super) use layers::{Layers, class};
pub(super) use positions::Positions;
pub(super) use roofline::{Mark, Roofline, amount};
pub(super) use strip::{Candidate, Strip};

/// A place on an axis, and the words beside it.
#[derive(Debug)]
struct Tick {
    at: f64,
    label: String,
}

/// A place in whole tenths, which is finer than a pixel.
fn tenth(place: f64) -> String {
    let text = format!("{place:.1}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

/// What templates may call.
#[expect(unreachable_pub, reason = "what the macro makes of a filter is public")]
mod filters {
    /// A place in whole tenths.
    #[askama::filter_fn]
    pub(super) fn tenth(place: &f64, _: &dyn askama::Values) -> askama::Result<String> {
        Ok(super::tenth(*place))
    }
}
