//! What calls refuse, and what they tell.
//!
//! | file | what it tests |
//! |---|---|
//! | `fixture` | one small attention, and what the others need |
//! | `problems` | problems that are refused, by field |
//! | `launches` | arguments that are refused, by field |
//! | `handles` | freed handles, other kinds, what outlives what, threads |
//! | `versions` | structs of older and newer headers |
//! | `profiles` | profiles, reports, and the verifier's use of them |
//! | `models` | geometry |
//! | `layouts` | caches and tables as engines have them |

mod fixture;
mod handles;
mod launches;
mod layouts;
mod models;
mod problems;
mod profiles;
mod versions;
