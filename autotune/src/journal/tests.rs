//! What a journal gives back, and what it does not.

use std::{cell::RefCell, fs, path::Path};

use dustin::profile::{Choice, DeviceId, Key, Launch, Policy, Provenance};
use dustin_autotune::workload::named;
use serde_json::Value;

use super::{Journal, Journaled, Purpose, Record, Subject, file::Held};
use crate::{
    search::{Bench, Conditions, Failure, Resources},
    task::Point,
};

/// A bench that counts what it is asked, and gives a new time whenever it is asked.
#[derive(Default)]
struct Counter {
    asked: usize,
}

impl Bench for &RefCell<Counter> {
    fn check(&mut self, candidate: usize) -> Result<Option<f64>, Failure> {
        self.borrow_mut().asked += 1;
        if candidate == 1 {
            return Err(Failure::Candidate("it differs".into()));
        }
        Ok(None)
    }

    fn time(&mut self, _: usize, repetitions: u32) -> Result<Vec<f64>, Failure> {
        let mut counter = self.borrow_mut();
        counter.asked += 1;
        Ok(vec![counter.asked as f64 / 3.0; repetitions as usize])
    }

    fn confirm(&mut self, candidate: usize) -> Result<(), Failure> {
        self.borrow_mut().asked += 1;
        if candidate == 1 { Err(Failure::as_timed("it differs".into())) } else { Ok(()) }
    }

    fn conditions(&mut self) -> Option<Conditions> {
        Some(Conditions { celsius: Some(self.borrow().asked as u32), ..Conditions::default() })
    }
}

/// A bench that gives times that are none.
struct Backwards;

impl Bench for Backwards {
    fn check(&mut self, _: usize) -> Result<Option<f64>, Failure> {
        Ok(None)
    }

    fn time(&mut self, _: usize, repetitions: u32) -> Result<Vec<f64>, Failure> {
        Ok(vec![-1.0; repetitions as usize])
    }

    fn confirm(&mut self, _: usize) -> Result<(), Failure> {
        Ok(())
    }
}

fn provenance() -> Provenance {
    Provenance {
        sm_count: Some(132),
        l2_kib: Some(1),
        memory_mib: Some(2),
        driver: Some("580.1".into()),
        cuda: Some("13.0".into()),
        power_limit_w: Some(700),
        mig: Some(false),
        kernel_source_hash: "k".into(),
        search_space_hash: "s".into(),
        crate_version: "0.1.0".into(),
        date: "today".into(),
        ..Provenance::unknown(DeviceId::gpu("any", 9, 0))
    }
}

fn subject() -> Subject {
    let key = Key::of(&named("w1").unwrap().problem, &DeviceId::gpu("any", 9, 0), Policy::default());
    Subject::new(&provenance(), &key, 1)
}

fn points() -> Vec<Point> {
    let launch =
        |splits| Launch { fold: Some("f".into()), splits: Some(splits), cluster: Some(1), threads: Some(4) };
    let choice = |splits| Choice {
        variant: "v".into(),
        revision: 1,
        ptx_digest: Some("d".into()),
        launch: launch(splits),
    };
    [1, 2].map(|splits| Point { choice: choice(splits), resources: Resources::default() }).into()
}

/// What was measured of two candidates: how often the bench was asked, and the times of the first.
fn measure(path: &Path, resume: bool) -> (usize, Vec<f64>) {
    let (mut journal, _) = Journal::open(path.into(), resume).unwrap();
    let sitting = journal.sit(subject(), None).unwrap();
    let (journal, counter, points) = (RefCell::new(journal), RefCell::default(), points());
    let mut bench = Journaled::new(&journal, sitting, &points, || Ok(&counter));
    bench.check(0).unwrap();
    let mut times = bench.time(0, 1).unwrap();
    times.extend(bench.time(0, 2).unwrap());
    bench.confirm(0).unwrap();
    assert!(matches!(bench.check(1), Err(Failure::Candidate(reason)) if reason == "it differs"));
    (counter.into_inner().asked, times)
}

fn journal() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.journal");
    (folder, path)
}

#[test]
fn what_was_measured_is_not_measured_again_and_is_the_same_to_the_last_bit() {
    let (_folder, path) = journal();
    let (asked, times) = measure(&path, false);
    assert_eq!(asked, 5);
    for _ in 0..3 {
        assert_eq!(measure(&path, true), (0, times.clone()));
    }
    assert_eq!(measure(&path, false).0, 5, "a new run measures anew");
    assert_eq!(measure(&path, true).0, 0);
}

#[test]
fn wherever_a_journal_is_cut_only_what_is_missing_is_measured_again() {
    let (_folder, path) = journal();
    let (_, times) = measure(&path, false);
    let whole = fs::read(&path).unwrap();
    let mut most = 0;
    for cut in (0..whole.len()).step_by(17) {
        fs::write(&path, &whole[..cut]).unwrap();
        let (asked, _) = measure(&path, true);
        most = most.max(asked);
        let held = Held::of(&fs::read(&path).unwrap());
        assert_eq!((held.unreadable, held.torn), (0, 0), "cut at {cut}");
        assert_eq!(measure(&path, true).0, 0, "cut at {cut}");
    }
    assert_eq!(most, 5);
    fs::write(&path, &whole).unwrap();
    assert_eq!(measure(&path, true), (0, times));
}

#[test]
fn times_that_are_none_stand_as_a_failure_with_its_reason() {
    let (_folder, path) = journal();
    let told = |resume| {
        let (mut journal, _) = Journal::open(path.clone(), resume).unwrap();
        let sitting = journal.sit(subject(), None).unwrap();
        let (journal, points) = (RefCell::new(journal), points());
        let mut bench = Journaled::new(&journal, sitting, &points, || Ok(Backwards));
        bench.check(0).unwrap();
        bench.time(0, 2).unwrap_err().to_string()
    };
    let (first, again) = (told(false), told(true));
    assert!(first.contains("not positive numbers: [-1.0, -1.0]") && first == again, "{first} {again}");
    let records = Held::of(&fs::read(&path).unwrap()).records;
    assert!(!records.iter().any(|record| matches!(record, Record::Timed { .. })), "{records:?}");
    assert_eq!(records.iter().filter(|record| matches!(record, Record::Failed { .. })).count(), 1);
}

#[test]
fn who_was_right_as_it_is_timed_is_not_confirmed_again_and_who_was_not_stays_rejected() {
    let (_folder, path) = journal();
    let confirm = |resume| {
        let (mut journal, _) = Journal::open(path.clone(), resume).unwrap();
        let sitting = journal.sit(subject(), None).unwrap();
        let (journal, counter, points) = (RefCell::new(journal), RefCell::default(), points());
        let mut bench = Journaled::new(&journal, sitting, &points, || Ok(&counter));
        bench.confirm(0).unwrap();
        let told = bench.confirm(1).unwrap_err().to_string();
        (counter.into_inner().asked, told)
    };
    let (asked, told) = confirm(false);
    assert!(asked == 2 && told.contains("as it is timed"), "{told}");
    assert_eq!(confirm(true), (0, told));
}

#[test]
fn what_the_device_was_like_is_repeated_until_something_is_measured() {
    let (_folder, path) = journal();
    let celsius = |resume, second| {
        let (mut journal, _) = Journal::open(path.clone(), resume).unwrap();
        let sitting = journal.sit(subject(), None).unwrap();
        let (journal, counter, points) = (RefCell::new(journal), RefCell::default(), points());
        let mut bench = Journaled::new(&journal, sitting, &points, || Ok(&counter));
        [1, second].map(|repetitions| {
            bench.time(0, repetitions).unwrap();
            bench.conditions().and_then(|now| now.celsius)
        })
    };
    assert_eq!(celsius(false, 1), [Some(1), Some(2)]);
    assert_eq!(celsius(true, 1), [Some(1), Some(2)]);
    // Another question: what stands behind it on record was told behind another answer.
    assert_eq!(celsius(true, 3), [Some(1), Some(1)]);
}

/// Every value inside `value` that has no parts, by its path.
fn leaves(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, field)| leaves(field, &format!("{path}/{name}"), found))
        }
        Value::Array(items) => (0..).zip(items).for_each(|(index, item): (usize, _)| {
            leaves(item, &format!("{path}/{index}"), found);
        }),
        _ => found.push(path.into()),
    }
}

fn mutate(value: &mut Value) {
    *value = match value {
        Value::Null => 1.into(),
        Value::Bool(flag) => (!*flag).into(),
        Value::Number(number) => (number.as_u64().unwrap() + 1000).into(),
        Value::String(text) => format!("{text}x").into(),
        parts => panic!("{parts} is no leaf"),
    };
}

#[test]
fn whichever_field_of_the_key_differs_the_record_is_that_of_something_else() {
    let (_folder, path) = journal();
    measure(&path, false);
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut fields = 0;
    for (line, part) in [(1, "/subject"), (3, "/candidate")] {
        let mut paths = Vec::new();
        leaves(lines[line].pointer(part).unwrap(), part, &mut paths);
        for field in paths {
            // A candidate stands in several lines, a subject in one.
            let mut mutated = lines.clone();
            for value in mutated.iter_mut().filter_map(|line| line.pointer_mut(&field)) {
                mutate(value);
            }
            let text: String = mutated.iter().map(|line| format!("{line}\n")).collect();
            fs::write(&path, text).unwrap();
            assert!(measure(&path, true).0 >= 3, "{field} was not noticed");
            fields += 1;
        }
    }
    // Of device, driver and build 13, of the problem 22, of the policy 2, the seed; of the candidate 7.
    assert!(fields >= 40, "{fields} fields");
}

#[test]
fn a_line_that_is_no_record_costs_what_it_held_and_no_more() {
    let (_folder, path) = journal();
    measure(&path, false);
    let text = fs::read_to_string(&path).unwrap();
    let damaged = text.replacen("\"timed\"", "\"tamed\"", 1);
    fs::write(&path, damaged).unwrap();
    let (journal, remarks) = Journal::open(path.clone(), true).unwrap();
    drop(journal);
    assert!(remarks.iter().any(|remark| remark.contains("1 lines are no records")), "{remarks:?}");
    // The time that is left was the second answer and fits no first question; nor does what comes behind it.
    assert_eq!(measure(&path, true).0, 3);
}

/// Has the command end, so often, while the first candidate begins. Each time is `between` before the next one; gives what
/// comes of that candidate then, and how often the bench was asked.
#[cfg(target_os = "linux")]
fn ended_while_it_began(endings: usize, between: fn(&Path, usize)) -> (Result<Option<f64>, String>, usize) {
    let (_folder, path) = journal();
    for ending in 0..endings {
        let (mut journal, _) = Journal::open(path.clone(), ending > 0).unwrap();
        let sitting = journal.sit(subject(), None).unwrap();
        let (problem, candidate) = (sitting.number, points()[0].choice.clone());
        journal.append_durably(&Record::Started { problem, candidate }).unwrap();
        drop(journal);
        between(&path, ending);
    }
    let (mut journal, _) = Journal::open(path, true).unwrap();
    let sitting = journal.sit(subject(), None).unwrap();
    let (journal, counter, points) = (RefCell::new(journal), RefCell::default(), points());
    let checked = Journaled::new(&journal, sitting, &points, || Ok(&counter)).check(0);
    (checked.map_err(|failure| failure.to_string()), counter.into_inner().asked)
}

/// Makes it so that the last run was before the system was started.
#[cfg(target_os = "linux")]
fn restart(path: &Path, time: usize) {
    let now = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let text = fs::read_to_string(path).unwrap();
    fs::write(path, text.replace(now.trim(), &format!("start {time}"))).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn a_candidate_during_whose_beginning_the_system_ended_thrice_is_not_tried_again() {
    assert_eq!(ended_while_it_began(2, restart), (Ok(None), 1));
    let (checked, asked) = ended_while_it_began(3, restart);
    assert!(checked.is_err_and(|reason| reason.contains("the whole system ended 3 times")));
    assert_eq!(asked, 0);
}

#[cfg(target_os = "linux")]
#[test]
fn a_candidate_during_whose_beginning_the_command_alone_ended_is_not_blamed() {
    assert_eq!(ended_while_it_began(9, |_, _| ()), (Ok(None), 1));
    // Twice it was the system.
    let twice = |path: &Path, time| {
        if time < 2 {
            restart(path, time)
        }
    };
    assert_eq!(ended_while_it_began(9, twice), (Ok(None), 1));
}

#[test]
fn a_journal_has_one_writer_at_a_time() {
    let (_folder, path) = journal();
    let first = Journal::open(path.clone(), false).unwrap();
    let error = Journal::open(path.clone(), true).unwrap_err().to_string();
    assert!(error.contains("a.journal is being written by another run"), "{error}");
    drop(first);
    Journal::open(path, true).unwrap();
}

#[test]
fn what_a_problem_was_searched_for_tells_its_records_apart() {
    let (_folder, path) = journal();
    let every_batch = || Subject { purpose: Purpose::EveryBatch, ..subject() };
    let (mut journal, _) = Journal::open(path.clone(), false).unwrap();
    journal.sit(every_batch(), None).unwrap();
    drop(journal);
    let (journal, _) = Journal::open(path.clone(), true).unwrap();
    assert!(journal.knows(&every_batch()) && !journal.knows(&subject()));
    drop(journal);
    let (mut journal, _) = Journal::open(path.clone(), true).unwrap();
    // Another device of the run began the search of the bucket; this one chose for every batch.
    assert_eq!(journal.sit(subject(), None).unwrap().number, 1);
    assert_eq!(journal.sit(every_batch(), None).unwrap().number, 0);
}

#[test]
fn the_most_memory_of_a_problem_is_kept() {
    let (_folder, path) = journal();
    for (resume, memory, known) in [(false, Some(5), None), (true, None, Some(5)), (true, Some(7), Some(5))] {
        let (mut journal, _) = Journal::open(path.clone(), resume).unwrap();
        let sitting = journal.sit(subject(), None).unwrap();
        assert_eq!(sitting.memory, known);
        let (journal, counter, points) = (RefCell::new(journal), RefCell::<Counter>::default(), points());
        Journaled::new(&journal, sitting, &points, || Ok(&counter)).choose(0, 1.0, 1.0, memory).unwrap();
    }
    let (mut journal, _) = Journal::open(path, true).unwrap();
    assert_eq!(journal.sit(subject(), None).unwrap().memory, Some(7));
}

#[test]
fn a_problem_that_was_prepared_twice_is_remembered_twice_and_in_order() {
    let (_folder, path) = journal();
    let (mut journal, _) = Journal::open(path.clone(), false).unwrap();
    let near = |splits: usize| Some(points()[splits].choice.clone());
    for splits in [0, 1] {
        journal.sit(subject(), near(splits)).unwrap();
    }
    drop(journal);
    let (mut journal, _) = Journal::open(path, true).unwrap();
    // What the profile holds by now is not what it held then.
    let found: Vec<Option<Choice>> = (0..3).map(|_| journal.sit(subject(), near(1)).unwrap().near).collect();
    assert_eq!(found, [near(0), near(1), near(1)]);
}
