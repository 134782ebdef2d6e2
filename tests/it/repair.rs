//! `gleaner repair`: what a person does whose state directory was damaged, with a copy of it and without.

use crate::program::{Folder, STATE, WRONG, smooth, stderr, told};
use gleaner::selftest::copy_folder;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::process::Output;

fn repair(folder: &Folder, arguments: &[&str]) -> String {
    let output = folder.gleaner(&[&["repair"], arguments].concat()).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn status(folder: &Folder) -> Output {
    folder.gleaner(&["status"]).output().unwrap()
}

/// A folder whose run is over, and its state copied.
fn ended() -> Folder {
    let folder = Folder::ended();
    copy_folder(&folder.path("state"), &folder.path("copy")).unwrap();
    folder
}

/// Overwrites the log, once, where the event with these words is.
fn spoil(folder: &Folder, words: &str) {
    let path = folder.path("state/log/db");
    let bytes = fs::read(&path).unwrap();
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    let mut found = 0;
    for at in 0..bytes.len().saturating_sub(words.len()) {
        if bytes[at..].starts_with(words.as_bytes()) {
            file.write_all_at(&[0xFF], at as u64).unwrap();
            found += 1;
        }
    }
    assert!(found > 0, "{words:?} is in the log");
}

#[test]
fn nothing_is_done_to_a_state_directory_that_is_intact() {
    let folder = ended();
    let said = repair(&folder, &[]);
    assert!(said.contains("nothing is damaged"), "{said}");
    assert!(!folder.path("state.damaged-1").exists());
    assert_eq!(folder.digest(), smooth());
}

#[test]
fn with_a_copy_everything_comes_back() {
    let folder = ended();
    spoil(&folder, "oracle");
    told(&status(&folder), STATE, &["damaged", "gleaner repair"]);
    let said = repair(&folder, &["--copy", "copy"]);
    assert!(!said.contains("lost:"), "{said}");
    assert!(folder.path("state.damaged-1").is_dir(), "the damaged one is kept");
    assert_eq!(folder.digest(), smooth());
}

#[test]
fn without_a_copy_the_run_goes_on_from_what_is_left_and_ends_as_it_would_have() {
    let folder = ended();
    spoil(&folder, "oracle"); // the annotator's name in every label
    told(&status(&folder), STATE, &["damaged", "gleaner repair"]);
    let said = repair(&folder, &[]);
    assert!(said.contains("lost: the events at positions"), "{said}");
    assert!(said.contains("gleaner resume"), "{said}");
    let jobs = folder.gleaner(&["jobs"]).output().unwrap();
    let jobs = String::from_utf8(jobs.stdout).unwrap();
    assert!(jobs.contains("annotate") || jobs.contains("select"), "the queue is made anew: {jobs}");
    let resumed = folder.gleaner(&["resume"]).output().unwrap();
    assert!(resumed.status.success(), "{}", stderr(&resumed));
    assert_eq!(folder.digest(), smooth());
    let said = repair(&folder, &[]);
    assert!(said.contains("nothing is damaged"), "{said}");
}

#[test]
fn a_model_that_is_gone_comes_from_the_copy_or_is_named() {
    let folder = ended();
    let (digest, model) = folder.production_model();
    fs::write(&model, b"not a model").unwrap();
    let said = repair(&folder, &[]);
    assert!(said.contains(&format!("lost: artifact {digest}")), "{said}");
    let said = repair(&folder, &["--copy", "copy"]);
    assert!(said.contains("1 artifacts came from the copy"), "{said}");
    assert!(repair(&folder, &[]).contains("nothing is damaged"));
}

#[test]
fn what_is_no_copy_and_what_is_not_there_are_refused() {
    let folder = Folder::new();
    told(&folder.gleaner(&["repair"]).output().unwrap(), WRONG, &["gleaner run WORKFLOW"]);
    let folder = ended();
    let no_copy = folder.gleaner(&["repair", "--copy", "."]).output().unwrap();
    told(&no_copy, WRONG, &["is no copy of a state directory"]);
    folder.write("state/format", "9\n");
    told(&folder.gleaner(&["repair"]).output().unwrap(), STATE, &["use a newer gleaner"]);
}
