use super::*;
use crate::accept::{
    arrays::AcceptStrides,
    problem::{Draft, ScoreKind, ScoreType},
};

const LOGITS: Scores = Scores { dtype: ScoreType::F32, kind: ScoreKind::Logits };
const PROBABILITIES: Scores = Scores { dtype: ScoreType::F32, kind: ScoreKind::Probabilities };

fn problem(rows: u32, vocabulary: u32) -> AcceptProblem {
    AcceptProblem {
        batch: 1,
        rows,
        total_rows: rows,
        vocabulary,
        target: LOGITS,
        draft: None,
        tree: true,
        new_lengths: false,
    }
}

fn greedy<'a>(
    problem: &AcceptProblem,
    target: &'a [f32],
    tokens: &'a [i32],
    parents: &'a [i32],
) -> AcceptArrays<'a> {
    AcceptArrays {
        target: ScoreItems::F32(target),
        draft: None,
        draft_rows: None,
        tokens,
        parents: Some(parents),
        row_starts: if problem.rows == 5 { &[0, 5] } else { &[0, 3] },
        temperatures: &[0.0],
        seeds: &[1],
        step: 0,
        lengths: None,
        strides: AcceptStrides::dense(problem),
    }
}

/// Rows 1 and 2 continue row 0, rows 3 and 4 row 2. The best tokens are 2 behind row 0 and 1 behind row 2.
#[test]
fn a_greedy_walk_takes_the_drafts_that_are_the_best_tokens() {
    let problem = problem(5, 3);
    let mut target = [0.0; 15];
    (target[2], target[7], target[12]) = (1.0, 1.0, f32::NAN);
    let walk = |tokens: &[i32], parents: &[i32]| {
        let reference = accept(&problem, &greedy(&problem, &target, tokens, parents)).unwrap();
        (reference.walks[0].clone(), Fault::parse(reference.status).map(|(fault, _)| fault))
    };
    let parents = [-1, 0, 0, 2, 2];
    let expected = |path: &[u32], emitted: &[u32]| Walk { path: path.to_vec(), emitted: emitted.to_vec() };
    let nan = Some(Fault::Score);
    assert_eq!(walk(&[-9, 1, 2, 0, 1], &parents), (expected(&[0, 2, 4], &[2, 1, 1]), nan));
    assert_eq!(walk(&[-9, 1, 2, 0, 0], &parents), (expected(&[0, 2], &[2, 1]), nan));
    assert_eq!(walk(&[-9, 1, 0, 0, 1], &parents), (expected(&[0], &[2]), nan));
    // The lower row of two with the same token; and rows at fault are not there.
    assert_eq!(walk(&[-9, 2, 2, 0, 1], &parents), (expected(&[0, 1], &[2, 0]), nan));
    assert_eq!(walk(&[-9, 2, 2, 0, 1], &[-1, 1, 0, 2, 2]), (expected(&[0, 2, 4], &[2, 1, 1]), nan));
    assert_eq!(walk(&[-9, 3, 2, 0, 1], &parents), (expected(&[0, 2, 4], &[2, 1, 1]), nan));
    assert_eq!(walk(&[-9, 1, 2, 0, 1], &[-1, 0, 0, 4, 2]), (expected(&[0, 2, 4], &[2, 1, 1]), nan));
}

#[test]
fn sequences_without_rows_emit_nothing_and_faults_are_named() {
    let (target, problem) = ([0.0; 9], problem(3, 3));
    let fault = |change: &dyn Fn(&mut AcceptArrays<'_>)| {
        let mut arrays = greedy(&problem, &target, &[0; 3], &[-1, 0, 1]);
        change(&mut arrays);
        let reference = accept(&problem, &arrays).unwrap();
        (Fault::parse(reference.status).map(|(fault, _)| fault), reference.walks[0].path.len())
    };
    assert_eq!(fault(&|_| ()), (None, 3));
    assert_eq!(fault(&|a| a.row_starts = &[1, 1]), (None, 0));
    assert_eq!(fault(&|a| a.row_starts = &[0, 4]), (Some(Fault::Rows), 0));
    assert_eq!(fault(&|a| a.row_starts = &[i32::MAX, i32::MIN]), (Some(Fault::Rows), 0));
    assert_eq!(fault(&|a| a.tokens = &[-5, 0, -1]), (Some(Fault::Token), 2));
    assert_eq!(fault(&|a| a.parents = Some(&[0, 0, 1])), (Some(Fault::Parent), 3));
    assert_eq!(fault(&|a| a.parents = Some(&[-1, 0, 2])), (Some(Fault::Parent), 2));
    assert_eq!(fault(&|a| a.temperatures = &[-0.5]), (Some(Fault::Temperature), 3));
    assert_eq!(fault(&|a| a.temperatures = &[f32::NAN]), (Some(Fault::Temperature), 3));
}

/// A chain of one draft by the same distribution is accepted always, one of no probability never, and a certain one as often as
/// the target says.
#[test]
fn drafts_are_accepted_as_often_as_they_must_be() {
    let draft = Draft { scores: PROBABILITIES, rows: 1, without_replacement: false };
    let sampled = AcceptProblem { target: PROBABILITIES, draft: Some(draft), tree: false, ..problem(2, 3) };
    let accepted = |problem: &AcceptProblem, q: &[f32], token: i32| -> u32 {
        let target = [0.5, 0.3, 0.2, 0.2, 0.2, 0.6];
        let draft = problem.draft.map(|_| ScoreItems::F32(q));
        let walks = (0..2000).map(|step| {
            let arrays = AcceptArrays {
                draft,
                parents: None,
                row_starts: &[0, 2],
                temperatures: &[1.0],
                step,
                ..greedy(problem, &target, &[0; 3], &[])
            };
            let tokens = [7, token];
            accept(problem, &AcceptArrays { tokens: &tokens, ..arrays }).unwrap().walks[0].clone()
        });
        walks.filter(|walk| walk.path.len() == 2).count() as u32
    };
    assert_eq!(accepted(&sampled, &[0.5, 0.3, 0.2], 1), 2000);
    assert_eq!(accepted(&sampled, &[0.5, 0.0, 0.5], 1), 0);
    let half = accepted(&sampled, &[0.2, 0.6, 0.2], 1);
    assert!((900..1100).contains(&half), "{half}");
    let certain = accepted(&AcceptProblem { draft: None, ..sampled }, &[], 0);
    assert!((900..1100).contains(&certain), "{certain}");
}
