//! Caches and tables as engines have them.

mod csr;
mod tensor;

pub use self::{csr::*, tensor::*};
