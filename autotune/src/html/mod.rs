//! The HTML report: one page that holds all it shows, for browsers without a network.
//!
//! | file | what it holds |
//! |---|---|
//! | `measured` | what journals hold of each bucket: the measured space |
//! | `bucket` | one bucket: its choice, its space, what failed |
//! | `heads` | a pair of models: which heads score, what they cost and keep |
//! | `page` | the whole page, from profile and journals |
//! | `chart` | charts as SVG |
//! | `scale` | from numbers to places |

mod bucket;
mod chart;
mod heads;
mod measured;
mod page;
mod scale;

pub(crate) use measured::Spaces;
pub(crate) use page::Page;
