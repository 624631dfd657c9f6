//! Gathering the attention of semantic retrieval heads into an importance map: what is asked, how it is launched, and
//! what judges it.
//!
//! | module | what it holds |
//! |---|---|
//! | [`problem`] | what a caller asks: capacities that the host knows, heads and weights |
//! | [`arrays`] | strides of the arrays, and views of those in host memory |
//! | [`launch`] | grids, workspace and parameters of the kernel launches |
//! | [`space`] | the tuning space as data, and the choice made without tuning |
//! | [`synthetic`] | inputs made up from a seed, with poison and planted faults |
//! | [`mod@reference`] | scores in f64, which judge every back end |
//! | [`compare`] | a map against the reference |

pub mod arrays;
pub mod compare;
pub mod launch;
pub mod problem;
pub mod reference;
pub mod space;
pub mod synthetic;
