//! The HTML report.

use std::{fs, path::Path};

use crate::common::{json, run};

/// Tunes two small problems into `tiny.toml`, whose journal lies beside it then.
fn tune(folder: &Path) {
    for gamma in ["--gamma=1", "--gamma=2"] {
        let own = ["--model=Qwen2.5-0.5B", "--batch=2", "--context=100", "--budget-k=32", "--page-size=4"];
        let arguments =
            [&["tune", "--device=cpu", "--output=tiny.toml", "--quiet", gamma], &own[..]].concat();
        assert_eq!(run(folder, &arguments).code, Some(0));
    }
}

/// The page, which must ask nothing of a network.
fn page(folder: &Path, file: &str) -> String {
    let page = fs::read_to_string(folder.join(file)).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.trim_end().ends_with("</html>"), "{page}");
    for outside in ["http:", "https:", "src=", "<link", "<script", "@import", "url("] {
        assert!(!page.contains(outside), "{outside} asks for something that is not in the page");
    }
    for element in ["svg", "details", "figure", "table", "section", "g", "dl"] {
        let opened =
            page.matches(&format!("<{element} ")).count() + page.matches(&format!("<{element}>")).count();
        assert_eq!(opened, page.matches(&format!("</{element}>")).count(), "{element} is not closed");
    }
    page
}

#[test]
fn a_report_shows_every_bucket_with_its_space_and_nothing_from_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    tune(folder.path());
    let told = run(folder.path(), &["report", "tiny.toml", "--json"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    let report = json(&told);
    assert_eq!((&report["report"], &report["buckets"]), (&"tiny.html".into(), &2.into()));
    assert_eq!(report["journals"].as_array().unwrap().len(), 1, "{report}");
    let page = page(folder.path(), "tiny.html");
    assert!(!cfg!(target_os = "linux") || page.contains("of device memory, at its peak"), "{page}");
    for (words, times) in [
        ("<details id=\"bucket-", 2),
        ("What each parameter does", 2),
        ("<figcaption>query columns</figcaption>", 2),
        ("Tuned against default", 2),
    ] {
        assert_eq!(page.matches(words).count(), times, "{words}");
    }
    for words in ["2 rows, k 64", "3 rows, k 64", "candidates tried", "Provenance", "class=\"chart strip\""] {
        assert!(page.contains(words), "{words}");
    }
}

#[test]
fn without_a_journal_the_profile_alone_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    tune(folder.path());
    fs::copy(folder.path().join("tiny.toml"), folder.path().join("other.toml")).unwrap();
    let told = run(folder.path(), &["report", "other.toml", "--output", "page.html"]);
    assert!(told.code == Some(0) && told.stderr.contains("--journal"), "{told:?}");
    let page = page(folder.path(), "page.html");
    assert!(!page.contains("What each parameter does") && page.contains("Tuned against default"));
}

#[test]
fn what_a_profile_says_is_text_and_never_markup() {
    let folder = tempfile::tempdir().unwrap();
    tune(folder.path());
    let path = folder.path().join("tiny.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("variant = \"attention", "variant = \"<b onclick=x>attention")).unwrap();
    assert_eq!(run(folder.path(), &["report", "tiny.toml"]).code, Some(0));
    let page = page(folder.path(), "tiny.html");
    assert!(!page.contains("<b onclick") && page.contains("by hand"), "{page}");
}

#[test]
fn parts_that_cannot_be_shown_are_named_on_the_page() {
    let folder = tempfile::tempdir().unwrap();
    tune(folder.path());
    let path = folder.path().join("tiny.toml");
    let text = fs::read_to_string(&path).unwrap();
    // No bucket ends at a batch of five.
    fs::write(&path, text.replacen("batch = 2", "batch = 5", 1)).unwrap();
    let mut files = fs::read_dir(folder.path()).unwrap().flatten().map(|entry| entry.path());
    let journal = files.find(|path| path.extension().is_some_and(|end| end == "journal")).unwrap();
    let held = fs::read_to_string(&journal).unwrap();
    fs::write(&journal, format!("{held}no record\n")).unwrap();
    let report = json(&run(folder.path(), &["report", "tiny.toml", "--json"]));
    let warnings = report["warnings"].as_array().unwrap();
    assert_eq!((&report["buckets"], warnings.len()), (&1.into(), 2), "{report}");
    let page = page(folder.path(), "tiny.html");
    for words in ["key.batch", "1 lines are no records"] {
        assert!(
            warnings.iter().any(|warning| warning.as_str().unwrap().contains(words)),
            "{words}: {report}"
        );
        assert!(page.contains(words), "{words}");
    }
}

#[test]
fn times_that_are_none_in_a_journal_are_a_failure_and_the_others_are_still_drawn() {
    let folder = tempfile::tempdir().unwrap();
    tune(folder.path());
    let journal = folder.path().join("tiny.cpu.journal");
    let held = fs::read_to_string(&journal).unwrap();
    let strips = |text: &str| {
        fs::write(&journal, text).unwrap();
        assert_eq!(run(folder.path(), &["report", "tiny.toml"]).code, Some(0));
        let page = page(folder.path(), "tiny.html");
        (page.matches("class=\"chart strip\"").count(), page.contains("not positive numbers"))
    };
    let whole = strips(&held);
    assert!(whole.0 > 2 && !whole.1, "{whole:?}");
    // As earlier builds wrote them: of a candidate that nobody else is, times of which one is none.
    let timed = held.lines().rfind(|line| line.contains("\"record\":\"timed\"")).unwrap();
    for bad in ["[-1.0,-1.0]", "[0.0]", "[null,null]"] {
        let mut line: serde_json::Value = serde_json::from_str(timed).unwrap();
        line["us"] = serde_json::from_str(bad).unwrap();
        line["candidate"]["launch"]["threads"] = 77.into();
        assert_eq!(strips(&format!("{held}{line}\n")), (whole.0, true), "{bad}");
    }
}

#[test]
fn a_report_of_what_is_no_profile_or_no_journal_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    tune(folder.path());
    fs::write(folder.path().join("bad.toml"), "[package]\n").unwrap();
    run(folder.path(), &["report", "bad.toml"]).refuses(1, &["bad.toml"]);
    run(folder.path(), &["report", "missing.toml"]).refuses(1, &["missing.toml"]);
    for (journal, words) in [("bad.toml", "is no journal"), ("missing.journal", "cannot read the journal")] {
        run(folder.path(), &["report", "tiny.toml", "--journal", journal]).refuses(1, &[journal, words]);
    }
    run(folder.path(), &["report", "tiny.toml", "-o", "no/page.html"])
        .refuses(1, &["no/page.html", "--output"]);
    run(folder.path(), &["report"]).refuses(2, &["FILE"]);
}
