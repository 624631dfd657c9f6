//! Enumerations: 32-bit integers in structs, checked when they are read. Where nothing goes without saying, zero is no value.

use dustin::{
    Dtype, InvalidInput,
    attention::{
        arrays::{LogBase, OutputType},
        problem::{Entries, Mask},
    },
    select::problem::{Fallback, Maps},
};

use crate::error::invalid;

/// Element types.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum dustin_dtype {
    /// bfloat16.
    Bf16 = 1,
    /// IEEE half precision.
    F16 = 2,
    /// 8-bit floats of 4 exponent bits, with scales, of caches: reserved, refused as yet.
    Fp8E4m3 = 3,
}

/// Which of a step's own rows a row sees.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum dustin_mask {
    /// Itself and the earlier ones of its sequence.
    Causal = 0,
    /// Those that its 64-bit mask names, its own bit included.
    Tree = 1,
}

/// Which confirmed tokens attention reads.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum dustin_confirmed {
    /// All: full-cache attention.
    Everything = 1,
    /// The first `sinks` and the last `recent` of each sequence; needs no sets.
    Window = 2,
    /// Those of its set.
    Sets = 3,
}

/// What entries of a set count.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum dustin_entries {
    /// Positions of the sequence, which the block table finds and which are checked.
    Positions = 0,
    /// Slots of the cache, page * page_size + token: found without the block table; nobody checks that they are the sequence's.
    Slots = 1,
}

/// The item type of attention's output.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum dustin_output_type {
    /// That of the queries.
    Rounded = 0,
    /// fp32.
    F32 = 1,
}

/// The base of the log-sum-exp.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum dustin_log_base {
    /// Natural logarithm.
    E = 0,
    /// Binary logarithm.
    Two = 1,
}

/// The importance maps that a selection reads.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum dustin_maps {
    /// The target's alone.
    Target = 1,
    /// The draft's alone.
    Draft = 2,
    /// The draft's for the quota, the target's for the rest.
    Both = 3,
    /// None: sinks and recent tokens.
    Neither = 4,
}

/// What a sequence gets that has no target map.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum dustin_fallback {
    /// All of its tokens.
    Everything = 0,
    /// Sinks, recent tokens, and the rest from the draft's map, if there is one.
    Draft = 1,
}

/// Where the choice of a variant comes from.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum dustin_source {
    /// The profile's entry for this very bucket.
    Exact = 1,
    /// The profile's entry for a near bucket.
    Near = 2,
    /// The profile's entry for another GPU of the same compute capability.
    OtherGpu = 3,
    /// The built-in default.
    Default = 4,
    /// The built-in default of an operation that profiles have no entries for.
    Fixed = 5,
    /// There is nothing to launch.
    Idle = 6,
}

/// What a launch found wrong with the contents of arrays. Faulty items count as masked.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum dustin_fault {
    /// Nothing.
    None = 0,
    /// A position of a set is negative, or at or beyond the sequence's confirmed length.
    Position = 1,
    /// A position lies beyond the sequence's block table, or a length is negative.
    Length = 2,
    /// A block table names a page outside the cache, or a set a slot.
    Page = 3,
    /// A set's size is above the capacity, or negative and not the flag EVERYTHING (-1).
    SetSize = 4,
    /// A sequence's rows descend, are more than the capacity, or lie outside the batch's.
    Rows = 5,
    /// A sequence's captured queries lie in a slot outside the buffer.
    Slot = 6,
    /// A sequence's part of the map is shorter than its length, or outside the map.
    Map = 7,
    /// A list of accepted rows does not ascend, names a row that is none, or its count is out of range.
    Accepted = 8,
    /// A layer's cache has no address, or a misaligned one; the layer's number stands in the sequence's place.
    Layer = 9,
    /// A draft's token lies outside the vocabulary.
    Token = 10,
    /// A row of a tree continues one that is not before it, or the first row continues one.
    Parent = 11,
    /// A score is NaN, or a row of scores has no token of any weight.
    Score = 12,
    /// A temperature is negative or NaN.
    Temperature = 13,
    /// A row of the draft's scores is named that there is not.
    DraftRow = 14,
}

/// A reader of an enumeration's numbers in structs.
pub(crate) struct Words<T: 'static> {
    /// The enumeration's name in the header.
    pub(crate) name: &'static str,
    /// Its numbers, and what they mean.
    pub(crate) values: &'static [(u32, T)],
}

impl<T: Copy> Words<T> {
    /// What the number `value` of `field` means.
    ///
    /// # Errors
    /// Nothing.
    pub(crate) fn read(
        &self,
        operation: &'static str,
        field: &'static str,
        value: u32,
    ) -> Result<T, InvalidInput> {
        self.values.iter().find(|(number, _)| *number == value).map(|&(_, meaning)| meaning).ok_or_else(
            || {
                let known: Vec<String> = self.values.iter().map(|(number, _)| number.to_string()).collect();
                invalid(operation, field, format!("a {}: {}", self.name, known.join(", ")), value)
            },
        )
    }
}

pub(crate) const DTYPES: Words<Dtype> = Words {
    name: "dustin_dtype",
    values: &[(dustin_dtype::Bf16 as u32, Dtype::Bf16), (dustin_dtype::F16 as u32, Dtype::F16)],
};

pub(crate) const MASKS: Words<Mask> = Words {
    name: "dustin_mask",
    values: &[(dustin_mask::Causal as u32, Mask::Causal), (dustin_mask::Tree as u32, Mask::Tree)],
};

pub(crate) const CONFIRMED: Words<dustin_confirmed> = Words {
    name: "dustin_confirmed",
    values: &[
        (dustin_confirmed::Everything as u32, dustin_confirmed::Everything),
        (dustin_confirmed::Window as u32, dustin_confirmed::Window),
        (dustin_confirmed::Sets as u32, dustin_confirmed::Sets),
    ],
};

pub(crate) const ENTRIES: Words<Entries> = Words {
    name: "dustin_entries",
    values: &[
        (dustin_entries::Positions as u32, Entries::Positions),
        (dustin_entries::Slots as u32, Entries::Slots),
    ],
};

pub(crate) const OUTPUT_TYPES: Words<OutputType> = Words {
    name: "dustin_output_type",
    values: &[
        (dustin_output_type::Rounded as u32, OutputType::Rounded),
        (dustin_output_type::F32 as u32, OutputType::F32),
    ],
};

pub(crate) const LOG_BASES: Words<LogBase> = Words {
    name: "dustin_log_base",
    values: &[(dustin_log_base::E as u32, LogBase::E), (dustin_log_base::Two as u32, LogBase::Two)],
};

pub(crate) const MAPS: Words<Maps> = Words {
    name: "dustin_maps",
    values: &[
        (dustin_maps::Target as u32, Maps::Target),
        (dustin_maps::Draft as u32, Maps::Draft),
        (dustin_maps::Both as u32, Maps::Both),
        (dustin_maps::Neither as u32, Maps::Neither),
    ],
};

pub(crate) const FALLBACKS: Words<Fallback> = Words {
    name: "dustin_fallback",
    values: &[
        (dustin_fallback::Everything as u32, Fallback::Everything),
        (dustin_fallback::Draft as u32, Fallback::Draft),
    ],
};

/// Yes or no: nothing but 0 and 1 has a meaning.
pub(crate) const FLAGS: Words<bool> = Words { name: "flag", values: &[(0, false), (1, true)] };

/// What a number of zero leaves to `default`.
pub(crate) const fn or(number: u32, default: u32) -> u32 {
    if number == 0 { default } else { number }
}

/// What a stride of zero leaves to `default`, that of an array without gaps.
pub(crate) const fn stride_or(stride: u64, default: u64) -> u64 {
    if stride == 0 { default } else { stride }
}

/// Refuses a field that is reserved.
pub(crate) fn require_reserved(
    operation: &'static str,
    fields: &[(&'static str, u32)],
) -> Result<(), InvalidInput> {
    match fields.iter().find(|(_, value)| *value != 0) {
        Some(&(field, value)) => Err(invalid(operation, field, "0, as it is reserved", value)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use dustin_kernels::fault::Fault;

    use super::*;

    #[test]
    fn every_fault_has_the_number_that_kernels_write() {
        let numbers = [
            (Fault::Position, dustin_fault::Position),
            (Fault::Length, dustin_fault::Length),
            (Fault::Page, dustin_fault::Page),
            (Fault::SetSize, dustin_fault::SetSize),
            (Fault::Rows, dustin_fault::Rows),
            (Fault::Slot, dustin_fault::Slot),
            (Fault::Map, dustin_fault::Map),
            (Fault::Accepted, dustin_fault::Accepted),
            (Fault::Layer, dustin_fault::Layer),
            (Fault::Token, dustin_fault::Token),
            (Fault::Parent, dustin_fault::Parent),
            (Fault::Score, dustin_fault::Score),
            (Fault::Temperature, dustin_fault::Temperature),
            (Fault::DraftRow, dustin_fault::DraftRow),
        ];
        assert!(numbers.iter().all(|&(fault, word)| fault as u32 == word as u32));
        assert_eq!(numbers.map(|(fault, _)| fault), Fault::ALL);
    }

    #[test]
    fn numbers_that_mean_nothing_are_refused_with_those_that_do() {
        assert_eq!(DTYPES.read("test", "dtype", 2), Ok(Dtype::F16));
        let error = DTYPES.read("test", "dtype", 0).unwrap_err().to_string();
        assert_eq!(error, "test: dtype must be a dustin_dtype: 1, 2, but is 0");
        assert!(FLAGS.read("test", "lse", 2).is_err());
        assert!(MASKS.read("test", "mask", u32::MAX).is_err());
    }
}
