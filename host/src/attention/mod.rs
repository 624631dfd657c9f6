//! Paged attention over sets, windows or whole caches: what is asked, how it is launched, and what judges it.
//!
//! | module | what it holds |
//! |---|---|
//! | [`problem`] | what a caller asks, in capacities that the host knows |
//! | [`arrays`] | strides of the arrays, and views of those in host memory |
//! | [`launch`] | grid, workspace and parameters of a kernel launch |
//! | [`space`] | the tuning space as data, and the choice made without tuning |
//! | [`synthetic`] | inputs made up from a seed, with poison and planted faults |
//! | [`mod@reference`] | attention in f64, which judges every back end |
//! | [`compare`] | an output against the reference |

pub mod arrays;
pub mod compare;
pub mod launch;
pub mod problem;
pub mod reference;
pub mod space;
pub mod synthetic;
