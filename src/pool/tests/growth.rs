//! Stories about pools that gain samples, and about samples that are there twice.

use super::*;
use crate::domain::definition::Duplicates;

fn rows(numbers: std::ops::Range<usize>) -> String {
    numbers.map(|n| format!("{n},{}\n", ["x", "y"][n % 2])).collect()
}

fn held_out() -> PoolSpec {
    PoolSpec { test: 0.2, validation: 0.1, ..spec() }
}

/// The pool of `after` as a run sees it that began with `before` and has seen `known`.
fn grown(
    spec: &PoolSpec,
    [before, known, after]: [&str; 3],
    gains: bool,
) -> Result<Pool, PoolError> {
    let manifest = |text| load(spec, text).expect("good data").manifest().expect("a manifest");
    load(spec, after).expect("good data").grown(&manifest(before), &manifest(known), gains)
}

fn names(pool: &Pool, rows: &[usize]) -> Vec<String> {
    rows.iter().map(|&row| pool.id(row).into_owned()).collect()
}

#[test]
fn the_version_is_the_digest_of_the_manifest() {
    let pool = load(&held_out(), format!("a,label\n{}", rows(0..40))).expect("good data");
    assert_eq!(Digest::of(&pool.manifest().expect("a manifest")), pool.version());
}

#[test]
fn samples_that_come_later_train_and_those_held_out_stay_so() {
    let [old, new] = [40, 90].map(|n| format!("a,label\n{}", rows(0..n)));
    let before = load(&held_out(), &old).expect("good data");
    let after = grown(&held_out(), [&old, &old, &new], true).expect("only more samples");
    assert_eq!(before.split().test, after.split().test);
    assert_eq!(before.split().validation, after.split().validation);
    assert_eq!(after.split().train.len(), before.split().train.len() + 50);
    assert_ne!(before.version(), after.version());
    assert!(after.is_complete());
    let fresh = load(&held_out(), &new).expect("good data");
    assert_ne!(fresh.split().test, after.split().test, "a run that begins now splits all of it");
}

#[test]
fn in_the_middle_of_a_cycle_nothing_is_gained() {
    let [old, newer, newest] = [40, 60, 90].map(|n| format!("a,label\n{}", rows(0..n)));
    let pool = grown(&held_out(), [&old, &newer, &newest], false).expect("only more samples");
    let before = load(&held_out(), &old).expect("good data");
    assert_eq!(pool.split().train.len(), before.split().train.len() + 20);
    assert!(pool.candidates([]).iter().all(|row| row < 60));
    assert!(!pool.is_complete());
}

#[test]
fn listed_ids_may_come_anywhere_between_the_old_ones() {
    let spec = PoolSpec { id_column: Some("id".to_owned()), ..held_out() };
    let line = |n: usize| format!("s{n:03},{n},{}\n", ["x", "y"][n % 2]);
    let old: String = (0..40).map(|n| line(n * 2)).collect();
    let new: String = (0..81).rev().map(line).collect();
    let [old, new] = [old, new].map(|lines| format!("id,a,label\n{lines}"));
    let classes = PoolSpec { classes: ["x", "y"].map(str::to_owned).to_vec(), ..spec };
    let before = load(&classes, &old).expect("good data");
    let after = grown(&classes, [&old, &old, &new], true).expect("only more samples");
    assert_eq!(names(&before, &before.split().test), names(&after, &after.split().test));
    assert_eq!(
        names(&before, &before.split().validation),
        names(&after, &after.split().validation)
    );
}

#[test]
fn a_sample_that_is_missing_or_another_is_named() {
    let old = format!("a,label\n{}", rows(0..40));
    let refuse = |new: &str| {
        let error = grown(&held_out(), [&old, &old, new], true).expect_err("not the same pool");
        let message = error.to_string();
        message[message.find("things.csv").expect("the file")..].to_owned()
    };
    let rest = "; a pool may gain samples between cycles, but must keep those it has: put the old file back and resume, or start a new run";
    assert_eq!(
        refuse(&format!("a,label\n{}", rows(0..38))),
        format!("things.csv has changed: sample things-0038 is missing{rest}")
    );
    let another = format!("a,label\n{}", rows(0..60)).replace("\n7,y\n", "\n7.5,y\n");
    assert_eq!(
        refuse(&another),
        format!("things.csv has changed: sample things-0007 is another now{rest}")
    );
    let relabelled = format!("a,label\n{}", rows(0..60)).replace("\n7,y\n", "\n7,x\n");
    assert_eq!(
        refuse(&relabelled),
        format!("things.csv has changed: sample things-0007 is another now{rest}")
    );
    let classes = format!("a,label\n{}99,z\n98,z\n97,z\n", rows(0..40));
    assert_eq!(
        refuse(&classes),
        format!(
            "things.csv has changed: its classes were [\"x\", \"y\"] and are [\"x\", \"y\", \"z\"] now (list them in `pool.classes`){rest}"
        )
    );
    let pool = load(&held_out(), &old).expect("good data");
    for nonsense in [b"".as_slice(), b"gleaner pool 1", b"gleaner pool 3 and more"] {
        let pool = load(&held_out(), &old).map(|pool| pool.grown(nonsense, nonsense, true));
        assert!(matches!(pool, Ok(Err(PoolError::Changed { .. }))));
    }
    // A manifest cut anywhere is no panic.
    let manifest = pool.manifest().expect("a manifest");
    for end in (0..manifest.len()).step_by(7) {
        let pool = load(&held_out(), &old).expect("good data");
        let _ = pool.grown(&manifest[..end], &manifest[..end], true);
    }
}

/// A pool of so many rows `0`, `1`, ... without labels, and what it reads like after `change`.
fn large(count: usize, change: impl Fn(usize) -> f32) -> Pool {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({count},), }}\n");
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend(u16::try_from(text.len()).expect("short").to_le_bytes());
    file.extend(text.as_bytes());
    file.extend((0..count).flat_map(|row| change(row).to_le_bytes()));
    std::fs::write(folder.path().join("p.npy"), file).expect("room");
    let spec = PoolSpec {
        source: PoolSource::Npy,
        path: "p.npy".to_owned(),
        classes: ["a", "b"].map(str::to_owned).to_vec(),
        duplicates: Duplicates::Keep,
        ..PoolSpec::default()
    };
    Pool::load(&spec, folder.path()).expect("a matrix")
}

#[test]
fn a_large_pool_has_a_small_manifest_and_still_tells_where_it_changed() {
    let count = manifest::LISTED_MAX + 70;
    let number = |row: usize| row as f32;
    let old = large(count, number).manifest().expect("a manifest");
    assert!(old.len() < count, "{} bytes for {count} samples", old.len());
    let more = large(count + 100, number).grown(&old, &old, true).expect("only more samples");
    assert_eq!(more.split().train.len(), count + 100);
    let other = large(count + 100, |row| if row == 130 { -1.0 } else { number(row) });
    let error = other.grown(&old, &old, true).expect_err("another sample").to_string();
    assert!(error.contains("a sample of p-0128 to p-0191 is missing or another now"), "{error}");
    let fewer = large(count - 1, number).grown(&old, &old, true).expect_err("a sample is gone");
    assert!(fewer.to_string().contains("those after p-1048644 are missing"), "{fewer}");
}

#[test]
fn of_samples_with_the_same_bytes_the_first_stands_for_all() {
    let text = "a,label\n1,x\n2,y\n1,x\n1,\n3,y\n2,x\n";
    let pool = load(&spec(), text).expect("good data");
    let originals: Vec<_> = (0..6).map(|row| pool.duplicate_of(row)).collect();
    assert_eq!(originals, [None, None, Some(0), Some(0), None, Some(1)]);
    assert_eq!(pool.candidates([]).iter().collect::<Vec<_>>(), [0, 1, 4]);
    // Who was labelled under another name is not asked for again.
    assert_eq!(pool.candidates([&"things-0003".into()]).iter().collect::<Vec<_>>(), [1, 4]);
    let keep = PoolSpec { duplicates: Duplicates::Keep, ..spec() };
    let pool = load(&keep, text).expect("good data");
    assert_eq!((pool.duplicate_of(2), pool.candidates([]).len()), (None, 6));
}

#[test]
fn the_digits_have_no_duplicates() {
    let (spec, folder) = digits();
    let pool = Pool::load(&spec, &folder).expect("the digits");
    assert_eq!(pool.copies.rows().count(), 0);
}

#[test]
fn a_copy_that_comes_later_never_takes_the_place_of_what_is_there() {
    let spec = PoolSpec { id_column: Some("id".to_owned()), ..spec() };
    let old = "id,a,label\nm,1,x\nn,2,y\n";
    let new = "id,a,label\nb,1,x\nm,1,x\nn,2,y\n";
    assert_eq!(load(&spec, new).expect("good data").duplicate_of(1), Some(0));
    let pool = grown(&spec, [old, old, new], true).expect("only more samples");
    assert_eq!((pool.duplicate_of(0), pool.duplicate_of(1)), (Some(1), None));
    assert_eq!(pool.candidates([]).iter().collect::<Vec<_>>(), [1, 2]);
}
