//! Judges the caches that a back end leaves by the reference: bit for bit, whether they were to be written or not.

use std::fmt;

use dustin_kernels::fault::Fault;

use super::layer::Layer;

/// Caches after an operation, and what it reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The caches of each layer.
    pub layers: Vec<Layer>,
    /// The array that queries are copied to; empty where none are.
    pub query_copy: Vec<u16>,
    /// The status word.
    pub status: u64,
}

/// Caches that are not what the reference says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// An array is not of the problem's size.
    #[error("there must be {required} {what}, but there are {actual}")]
    Items {
        /// What there must be.
        what: &'static str,
        /// How many are asked for.
        required: usize,
        /// How many are found.
        actual: usize,
    },
    /// Another status word.
    #[error("the status must be {}, but is {}", name(*.expected), name(*.actual))]
    Status {
        /// The reference.
        expected: u64,
        /// The word found.
        actual: u64,
    },
    /// Another item.
    #[error(
        "item {item} of {array} must be {expected:#06x}, but is {actual:#06x}; others that differ: {others}"
    )]
    Item {
        /// The array.
        array: Array,
        /// The item of the array.
        item: usize,
        /// The reference.
        expected: u16,
        /// The item found.
        actual: u16,
        /// How many others of the array differ.
        others: usize,
    },
}

/// An array that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Array {
    /// The caches of a layer.
    Layer(usize),
    /// Copied queries.
    Queries,
}

impl fmt::Display for Array {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Layer(layer) => write!(f, "layer {layer}"),
            Self::Queries => f.write_str("the copied queries"),
        }
    }
}

fn name(word: u64) -> String {
    match Fault::parse(word) {
        Some((Fault::Layer, layer)) => format!("{:?} {layer}", Fault::Layer),
        Some((fault, sequence)) => format!("{fault:?} of sequence {sequence}"),
        None => format!("{word:#x}"),
    }
}

/// Compares what a back end left with what the reference did.
///
/// # Errors
/// The first difference: of the status word, or of an item.
pub fn compare(reference: &Written, written: &Written) -> Result<(), Mismatch> {
    let (required, actual) = (reference.layers.len(), written.layers.len());
    if required != actual {
        return Err(Mismatch::Items { what: "layers", required, actual });
    }
    if reference.status != written.status {
        return Err(Mismatch::Status { expected: reference.status, actual: written.status });
    }
    for (layer, (reference, written)) in reference.layers.iter().zip(&written.layers).enumerate() {
        compare_items(Array::Layer(layer), &reference.items, &written.items)?;
    }
    compare_items(Array::Queries, &reference.query_copy, &written.query_copy)
}

fn compare_items(array: Array, expected: &[u16], actual: &[u16]) -> Result<(), Mismatch> {
    if expected.len() != actual.len() {
        let (required, actual) = (expected.len(), actual.len());
        return Err(Mismatch::Items { what: "items", required, actual });
    }
    let mut wrong =
        expected.iter().zip(actual).enumerate().filter(|(_, (expected, actual))| expected != actual);
    match wrong.next() {
        Some((item, (&expected, &actual))) => {
            Err(Mismatch::Item { array, item, expected, actual, others: wrong.count() })
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_differs_is_named() {
        let layer = |items: &[u16]| Layer { items: items.to_vec(), value: 2, separate: true };
        let written = |last: &[u16], status| Written {
            layers: vec![layer(&[1, 2, 3, 4]), layer(last)],
            query_copy: vec![9],
            status,
        };
        let reference = written(&[5, 6, 7, 8], Fault::Page.word(3));
        assert_eq!(compare(&reference, &reference), Ok(()));
        let message = |other: Written| compare(&reference, &other).unwrap_err().to_string();
        assert_eq!(
            message(written(&[5, 0, 7, 0], Fault::Page.word(3))),
            "item 1 of layer 1 must be 0x0006, but is 0x0000; others that differ: 1"
        );
        assert_eq!(
            message(written(&[5, 6, 7], Fault::Page.word(3))),
            "there must be 4 items, but there are 3"
        );
        assert_eq!(
            message(written(&[5, 6, 7, 8], Fault::Layer.word(1))),
            "the status must be Page of sequence 3, but is Layer 1"
        );
        let queries = Written { query_copy: vec![8], ..reference.clone() };
        assert_eq!(
            message(queries),
            "item 0 of the copied queries must be 0x0009, but is 0x0008; others that differ: 0"
        );
        let short = Written { layers: vec![layer(&[1, 2, 3, 4])], ..reference.clone() };
        assert_eq!(message(short), "there must be 2 layers, but there are 1");
    }
}
