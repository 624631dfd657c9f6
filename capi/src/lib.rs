//! The C ABI of [`dustin`]: the same problems, plans and launches behind opaque handles, status codes and plain structs.
//!
//! The header `include/dustin.h` is made of this source by `cargo xtask header`; comments here are its comments. Layers, from the
//! outside in:
//!
//! | module | what it holds |
//! |---|---|
//! | `boundary` | what every call passes: no panic leaves, the last error's message stays with the thread |
//! | `status`, `error` | status codes, and the errors behind them |
//! | `handle` | the table of live handles: a freed one is found, whatever it is used for |
//! | `versioned`, `words`, `text`, `memory` | structs that may grow, enumerations, texts, and arrays behind raw addresses |
//! | `context`, `profile`, `geometry`, `kv`, `layout` | devices, tuned profiles, models, caches, engines' caches and tables |
//! | `choice`, `kind`, `operation` | which variant serves an operation and why; what all operations have in common |
//! | `attention`, `score`, `select`, `append`, `compact` | each operation's problem, arguments and launch |
//! | `verifier` | all stages of a verification step |

#![expect(non_camel_case_types, reason = "types have the names that the header gives them")]

mod append;
mod attention;
mod boundary;
mod choice;
mod compact;
mod context;
mod error;
mod geometry;
mod handle;
mod kind;
mod kv;
mod layout;
mod memory;
mod operation;
mod profile;
mod score;
mod select;
mod status;
mod text;
mod verifier;
mod versioned;
mod words;

pub use self::{
    append::*, attention::*, boundary::*, compact::*, context::*, geometry::*, kv::*, layout::*,
    operation::*, profile::*, score::*, select::*, status::*, verifier::*, words::*,
};
