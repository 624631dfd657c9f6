//! Sets as a file.

use safetensors::{Dtype, SafeTensors};

use super::*;

#[test]
fn exported_sets_are_those_that_were_chosen() {
    let mut judge = judge(&[1, 4]);
    let rules = Rules { sinks: 2, ..Rules::by_target(heads(&[(1, &[2])]), 10) };
    // Steps of prompt 1 begin at 52, of prompt 4 at 40.
    let rules = Rules { everything: 47, without_target: Fallback::Everything, ..rules };
    let sets = judge.sets(&rules).unwrap();
    let bytes = judge.export("by one head", &sets).unwrap();
    assert_eq!(judge.export("by one head", &sets).unwrap(), bytes);

    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let stated: serde_json::Value =
        serde_json::from_str(&header.metadata().as_ref().unwrap()[SETS_METADATA]).unwrap();
    assert_eq!(
        stated,
        serde_json::json!({
            "version": 1, "name": "by one head", "digest": CAPTURE.digest(), "gamma": 3, "prompts": [1, 4],
        })
    );
    let file = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(file.len(), 6);
    let numbers = |prompt: u32, what: &str| -> Vec<i32> {
        let tensor = file.tensor(&format!("prompts.{prompt}.{what}")).unwrap();
        assert_eq!(tensor.dtype(), Dtype::I32);
        tensor.data().as_chunks().0.iter().map(|&item| i32::from_le_bytes(item)).collect()
    };
    for prompt in [1, 4] {
        let steps: Vec<i32> = lengths(prompt).map(u32::cast_signed).collect();
        assert_eq!(numbers(prompt, "lengths"), steps);
        let mut expected = Vec::new();
        let sizes: Vec<i32> = steps
            .iter()
            .map(|&length| match length <= 47 {
                true => -1,
                false => {
                    let mut set = chosen(&rules, prompt, length.cast_unsigned());
                    set.sort_unstable();
                    expected.extend(set.into_iter().map(|position| position as i32));
                    10
                }
            })
            .collect();
        assert_eq!(numbers(prompt, "sizes"), sizes);
        assert_eq!(numbers(prompt, "positions"), expected);
    }
    assert!(numbers(4, "sizes").contains(&-1) && numbers(1, "sizes").contains(&10));

    let others = super::judge(&[0]).sets(&rules).unwrap();
    let message = judge.export("others", &others).unwrap_err().to_string();
    assert!(message.contains("sets must be of the judged steps"), "{message}");
}
