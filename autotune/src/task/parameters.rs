//! The points of a tuning space as named parameters, which a search can learn over.

use std::{cmp::Ordering, collections::BTreeMap};

use dustin::profile::{Choice, Launch};

use crate::search::{Space, Value};

/// The space of `choices`, in their order.
pub(crate) fn space<'a>(choices: impl Iterator<Item = &'a Choice>) -> Space {
    let points: Vec<BTreeMap<String, Value>> = choices.map(parameters).collect();
    let names: BTreeMap<&str, ()> = points.iter().flatten().map(|(name, _)| (name.as_str(), ())).collect();
    // What a point does not have is a value like another.
    let value = |point: &BTreeMap<String, Value>, name: &str| {
        point.get(name).cloned().unwrap_or_else(|| Value::Word(String::new()))
    };
    let rows: Vec<Vec<Value>> =
        points.iter().map(|point| names.keys().map(|name| value(point, name)).collect()).collect();
    Space::new(&rows)
}

/// What a choice has of each parameter: those of its kernels by the letters of their ids, those of the launch by name.
pub(crate) fn parameters(choice: &Choice) -> BTreeMap<String, Value> {
    let Launch { fold, splits, cluster, threads } = &choice.launch;
    let mut parameters = BTreeMap::new();
    spelt(&choice.variant, "", &mut parameters);
    if let Some(fold) = fold {
        spelt(fold, "fold ", &mut parameters);
    }
    for (name, value) in [("splits", splits), ("cluster", cluster), ("threads", threads)] {
        if let Some(value) = value {
            parameters.insert(name.into(), Value::Number((*value).into()));
        }
    }
    parameters
}

/// Values in the order in which people read them: numbers by size, then names.
pub(crate) fn in_order(mut values: Vec<Value>) -> Vec<Value> {
    values.sort_by(|a, b| match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.total_cmp(b),
        (Value::Number(_), Value::Word(_)) => Ordering::Less,
        (Value::Word(_), Value::Number(_)) => Ordering::Greater,
        (Value::Word(a), Value::Word(b)) => a.cmp(b),
    });
    values
}

/// Reads an id, such as `attention_mma_bf16_d128_w8`: a letter with a number is a parameter, and what is left over is
/// the family.
fn spelt(id: &str, of: &str, parameters: &mut BTreeMap<String, Value>) {
    let mut family = Vec::new();
    for word in id.split('_') {
        let number = word.get(1..).and_then(|digits| digits.parse::<u32>().ok());
        match (number, word.chars().next()) {
            (Some(number), Some(letter)) if letter.is_ascii_alphabetic() => {
                parameters.insert(format!("{of}{letter}"), Value::Number(number.into()));
            }
            _ => family.push(word),
        }
    }
    parameters.insert(format!("{of}family"), Value::Word(family.join("_")));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(variant: &str, launch: Launch) -> Choice {
        Choice { variant: variant.into(), revision: 1, ptx_digest: None, launch }
    }

    #[test]
    fn an_id_and_a_launch_are_read_as_parameters() {
        let launch = Launch { fold: Some("score_fold_w4".into()), splits: Some(12), ..Launch::default() };
        let found = parameters(&choice("score_logits_bf16_d128_w8_h2_u3", launch));
        let number = |value: f64| Value::Number(value);
        let word = |text: &str| Value::Word(text.into());
        let expected = [
            ("d", number(128.0)),
            ("family", word("score_logits_bf16")),
            ("fold family", word("score_fold")),
            ("fold w", number(4.0)),
            ("h", number(2.0)),
            ("splits", number(12.0)),
            ("u", number(3.0)),
            ("w", number(8.0)),
        ];
        assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value)).into());
    }

    #[test]
    fn neighbours_differ_in_one_parameter_of_variant_or_launch() {
        let splits = |splits| Launch { splits: Some(splits), ..Launch::default() };
        let choices = [
            choice("a_w4_s2", splits(1)),
            choice("a_w4_s2", splits(2)),
            choice("a_w8_s2", splits(1)),
            choice("a_w8_s3", splits(2)),
        ];
        let space = space(choices.iter());
        assert_eq!((space.len(), space.neighbours(0)), (4, vec![1, 2]));
        assert!(space.neighbours(3).is_empty());
    }
}
