//! Acceptance: which of a step's drafts each sequence keeps, and its next token. Greedy, or so that tokens are distributed as
//! the target's (speculative sampling, multi-round rejection for trees). What is asked, how it is launched, and what it must give.
//!
//! | module | what it holds |
//! |---|---|
//! | [`problem`] | what a caller asks: capacities, what scores there are, how drafts were drawn |
//! | [`arrays`] | scores, tokens, trees, temperatures and seeds in host memory, and what is written |
//! | [`launch`] | from problem and variants to two launches |
//! | [`mod@reference`] | a sampler in f64, with the same random numbers |
//! | [`compare`] | a back end's results against the reference: the same, but where a decision is within rounding |
//! | [`synthetic`] | inputs made up from a seed, with poison and planted faults |
//!
//! Row `i` of a sequence of confirmed length `len` is the token at position `len + i` of a chain, or a node of a tree; its
//! scores are of the token behind it. What is at fault in the arrays counts as not there, and raises the status word:
//!
//! | what is found | what it gives | [fault](dustin_kernels::fault::Fault) |
//! |---|---|---|
//! | rows that descend, leave the batch's or exceed the capacity | nothing is accepted nor emitted | `Rows` |
//! | a temperature that is negative or NaN | the sequence is greedy | `Temperature` |
//! | a token outside the vocabulary | the draft and what continues it are not tried | `Token` |
//! | a parent that is not before its row, a first row that has one | the row and what continues it are not tried; the latter is ignored | `Parent` |
//! | a row of the draft's scores that there is not | the drafts behind are passed over, as those of probability 0 are | `DraftRow` |
//! | a score that is NaN | it has no weight | `Score` |
//! | a row without any weight (all are NaN or negative infinity; probabilities: none is above 0) | the draft's: as a row that there is not; the target's: the walk of a sampled sequence ends with the best token | `Score` |
//! | the temperature infinite | all tokens above negative infinity have the same weight | |
//! | logits of positive infinity | they share all of the weight | |
//! | probabilities that do not sum up to 1, negative or above 2^100 | they are divided by their sum; count as 0; as 2^100 | |
//! | a draft of which `q(x)` is 0, or, drawn without replacement or for certain, the same again | it is passed over: `p` and `q` stay | |
//! | a residual that sums up to nothing by rounding | no further drafts are tried; the token is drawn from `p` itself | |
//! | a tie for the best token | the lowest; 0 where no score is above negative infinity | |

pub mod arrays;
pub mod compare;
pub mod launch;
pub mod problem;
pub mod reference;
pub mod synthetic;

pub(crate) const OPERATION: &str = "acceptance";
