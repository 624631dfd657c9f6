//! The example's own checks can fail.

use super::*;

fn small() -> Args {
    Args::parse_from(
        "verify_step --device cpu --batch 2 --context 700 --layers 3 --caches 2 --budget 256 --gamma 3"
            .split(' '),
    )
}

fn results(world: &World) -> device::Results {
    let mut cpu = Cpu::new(world, Vec::new()).unwrap();
    cpu.run(&[Part::CapturePrompt]).unwrap();
    cpu.run(&STEP).unwrap();
    cpu.results().unwrap()
}

#[test]
fn a_small_step_finds_its_needles_whatever_the_seed() {
    for seed in 0..3 {
        run(&Args { seed, ..small() }).unwrap();
    }
}

#[test]
fn a_needle_missed_a_mass_that_is_not_the_sum_and_another_draft_accepted_are_found() {
    let world = World::new(&Shape::new(&small(), false).unwrap()).unwrap();
    let results = results(&world);
    let refused = |change: &dyn Fn(&mut device::Results)| {
        let mut changed = results.clone();
        change(&mut changed);
        check(&world, &changed).unwrap_err().to_string()
    };
    let needle = world.target.needles[0].position as i32;
    let missed = refused(&|results| {
        results.set.iter_mut().filter(|at| **at == needle).for_each(|at| *at = needle - 1)
    });
    assert!(missed.contains(&format!("needle at {needle} was not selected")), "{missed}");
    let mass = refused(&|results| results.maps[1][results.set[0] as usize] += 2e-4);
    assert!(mass.contains("sequence 0: the draft's map sums up to"), "{mass}");
    let nan = refused(&|results| results.maps[0][results.set[0] as usize] = f32::NAN);
    assert!(nan.contains("sums up to NaN"), "{nan}");
    let emitted = refused(&|results| results.emitted[0] += 1);
    assert!(emitted.starts_with("emitted were "), "{emitted}");
}

#[test]
fn what_the_step_has_no_room_for_is_refused_in_a_sentence() {
    let refused = |change: fn(&mut Args)| {
        let mut args = small();
        change(&mut args);
        Shape::new(&args, false).unwrap_err().to_string()
    };
    assert!(refused(|args| args.budget = 700).contains("--budget must be below --context"));
    assert!(refused(|args| args.budget = 90).contains("--budget must be at least 100"));
    assert!(refused(|args| args.gamma = 64).contains("--gamma must be from 1 to 63"));
    assert!(refused(|args| args.batch = Some(1 << 22)).contains("below 2^31 tokens"));
    assert!(refused(|args| args.draft = "nobody".into()).contains("is none of the models"));
}
