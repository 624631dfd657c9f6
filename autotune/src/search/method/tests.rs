//! Every method on small made-up spaces.

use super::*;
use crate::search::space::Value;

const METHODS: [MethodKind; 3] = [MethodKind::Surrogate, MethodKind::Local, MethodKind::Random];

/// Points of a grid with `side` sizes, doubling, in each of three parameters.
fn grid(side: i32) -> (Space, Vec<[f64; 3]>) {
    let points: Vec<[f64; 3]> = (0..side.pow(3))
        .map(|index| [index % side, index / side % side, index / side / side].map(|place| 2_f64.powi(place)))
        .collect();
    let rows: Vec<Vec<Value>> = points.iter().map(|point| point.map(Value::Number).to_vec()).collect();
    (Space::new(&rows), points)
}

/// A bowl around sizes 16, 2 and 8; blocks of more than 1024 threads fail.
fn bowl([x, y, z]: [f64; 3]) -> Option<f64> {
    let away = |size: f64, best: f64| (size / best).log2().powi(2);
    (x * y * z <= 1024.0).then(|| 10.0 + away(x, 16.0) + 2.0 * away(y, 2.0) + 0.5 * away(z, 8.0))
}

/// The points that `method` asks for, in order, when `time` answers.
fn asked(
    kind: MethodKind,
    space: &Space,
    seed: u64,
    trials: usize,
    time: impl Fn(usize) -> Option<f64>,
) -> History {
    let (mut method, mut history) = (kind.start(seed), History::new(space.len()));
    while history.trials().len() < trials
        && let Some(point) = method.ask(space, &history)
    {
        assert!(!history.tried(point), "{kind:?} asked for {point} again");
        history.tell(point, time(point));
    }
    history
}

#[test]
fn every_method_tries_every_point_once_if_it_may() {
    let (space, points) = grid(3);
    for kind in METHODS {
        let history = asked(kind, &space, 1, usize::MAX, |point| bowl(points[point]));
        assert_eq!(history.trials().len(), 27, "{kind:?}");
        assert!(history.untried().is_empty(), "{kind:?}");
    }
}

#[test]
fn the_choices_follow_from_the_seed() {
    let (space, points) = grid(6);
    for kind in METHODS {
        let choices = |seed| asked(kind, &space, seed, 40, |point| bowl(points[point])).trials().to_vec();
        assert_eq!(choices(7), choices(7), "{kind:?}");
        assert_ne!(choices(7), choices(8), "{kind:?}");
    }
}

#[test]
fn the_surrogate_finds_the_optimum_of_a_bowl_among_failures() {
    let (space, points) = grid(8);
    for seed in 0..20 {
        let history = asked(MethodKind::Surrogate, &space, seed, 50, |point| bowl(points[point]));
        assert_eq!(history.ranked()[0].1, 10.0, "seed {seed}: {:?}", points[history.ranked()[0].0]);
    }
}

#[test]
fn the_surrogate_learns_names_as_well_as_sizes() {
    // Only one of twelve names is fast, and only with one size.
    let rows: Vec<Vec<Value>> = (0..12 * 16)
        .map(|index| {
            let name = ["ring", "tree", "star", "mesh"][index % 4];
            let layout = ["row", "column", "tile"][index / 4 % 3];
            vec![Value::Word(name.into()), Value::Word(layout.into()), Value::Number((index / 12) as f64)]
        })
        .collect();
    let space = Space::new(&rows);
    let time = |index: usize| {
        let far = (index / 12).abs_diff(11) as f64;
        Some(if index % 12 == 6 { 5.0 + far } else { 20.0 + far })
    };
    for seed in 0..20 {
        let history = asked(MethodKind::Surrogate, &space, seed, 60, time);
        assert_eq!(history.ranked()[0].1, 5.0, "seed {seed}");
    }
}

#[test]
fn local_search_walks_down_to_a_local_optimum() {
    let (space, points) = grid(6);
    let history = asked(MethodKind::Local, &space, 3, 100, |point| bowl(points[point]));
    let best = history.ranked()[0].0;
    let neighbours = space.neighbours(best);
    assert!(
        neighbours.iter().all(|&other| bowl(points[other]).is_none_or(|time| time >= history.ranked()[0].1))
    );
    assert_eq!(history.ranked()[0].1, 10.0);
}

#[test]
fn a_space_in_which_everything_fails_is_tried_to_its_end() {
    let (space, _) = grid(3);
    for kind in METHODS {
        let history = asked(kind, &space, 1, usize::MAX, |_| None);
        assert_eq!((history.trials().len(), history.ranked().len()), (27, 0), "{kind:?}");
    }
}

#[test]
fn equal_times_do_not_stop_the_surrogate() {
    let (space, _) = grid(4);
    let history = asked(MethodKind::Surrogate, &space, 1, usize::MAX, |_| Some(3.0));
    assert_eq!(history.trials().len(), 64);
}

#[test]
fn nothing_is_asked_of_an_empty_space_and_one_point_of_a_single_one() {
    for kind in METHODS {
        assert_eq!(kind.start(1).ask(&Space::new(&[]), &History::new(0)), None, "{kind:?}");
        let single = Space::new(&[vec![Value::Number(1.0)]]);
        let history = asked(kind, &single, 1, usize::MAX, |_| Some(1.0));
        assert_eq!(history.trials().len(), 1, "{kind:?}");
    }
}

#[test]
fn a_method_goes_on_from_what_others_tried() {
    let (space, points) = grid(8);
    let optimum = points.iter().position(|point| *point == [16.0, 2.0, 8.0]).unwrap();
    for kind in [MethodKind::Surrogate, MethodKind::Local] {
        let mut history = History::new(space.len());
        for seed in [space.neighbours(optimum)[0], 0, 511] {
            history.tell(seed, bowl(points[seed]));
        }
        let mut method = kind.start(5);
        while history.trials().len() < 60 {
            let point = method.ask(&space, &history).unwrap();
            history.tell(point, bowl(points[point]));
        }
        assert_eq!(history.ranked()[0].0, optimum, "{kind:?}");
    }
}
