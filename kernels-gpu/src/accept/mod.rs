//! Acceptance: which of a step's drafts a sequence keeps, and its next token.
//!
//! A sequence's rows form a tree: row 0 is the pending token, each other row a draft that continues its parent's row; in a chain
//! that is the row before. The walk begins at row 0. At each node it tries the drafts that continue it, in ascending order of
//! their rows; the first one accepted is the next node. Where none is, the target's distribution, less what the rejected drafts
//! stood for, gives the next token.
//!
//! * A *greedy* sequence (temperature 0) accepts the draft that is the target's best token, and that token is the next one.
//! * A *sampled* one accepts a draft `x` with probability `min(1, p(x) / q(x))` and goes on with
//!   `p ← norm(max(p - q, 0))` where it does not (Leviathan et al., 2211.17192; Chen et al., 2302.01318), likewise for each further
//!   draft of a node (multi-round rejection: SpecInfer, 2305.09781), where `q` loses the rejected one if drafts are drawn without
//!   replacement. So tokens are distributed as the target's, whatever the draft.
//!
//! Two launches: `accept_rows` gathers a few figures of every row's scores, block by block; `accept_walk` merges them and
//! walks, with the blocks of a sequence passing over the vocabulary where a distribution has to be summed or drawn from. A draw
//! from a distribution is a race of exponential variables, the least `E / w` of all tokens: it needs neither a normaliser nor
//! prefix sums, and its result does not depend on who looks at which token.

mod chunk;
pub mod draws;
mod output;
pub mod params;
pub mod philox;
mod race;
mod residual;
pub mod rows;
mod scores;
mod sequence;
pub mod smem;
mod team;
pub mod variants;
pub mod walk;
