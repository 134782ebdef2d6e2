//! Stories about reading and splitting a pool.

use super::*;
use quickcheck::quickcheck;
use std::collections::BTreeSet;
use std::error::Error as _;

#[path = "tests/formats.rs"]
mod formats;
#[path = "tests/growth.rs"]
mod growth;

/// As it was before pools could be anything but CSV in memory: runs that began then go on.
const VERSION_OF_DIGITS: &str = "a88e9576ceb5a1a0006eeb1c0b12b4b682c27934862ab447842fba7a7d47dbba";

fn spec() -> PoolSpec {
    PoolSpec { path: "things.csv".to_owned(), seed: 7, ..PoolSpec::default() }
}

fn load(spec: &PoolSpec, text: impl AsRef<[u8]>) -> Result<Pool, PoolError> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join(&spec.path), text).expect("a writable folder");
    Pool::load(spec, folder.path())
}

/// The error without the temporary folder's name.
fn refusal(spec: &PoolSpec, text: impl AsRef<[u8]>) -> String {
    let message = load(spec, text).expect_err("bad data").to_string();
    let start = message.find("things.csv").expect("the file's name");
    message[start..].to_owned()
}

fn digits() -> (PoolSpec, std::path::PathBuf) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("workflows");
    let spec = PoolSpec {
        path: "data/digits.csv".to_owned(),
        shape: vec![1, 8, 8],
        scale: 0.0625,
        validation: 0.1,
        test: 0.3,
        ..spec()
    };
    (spec, folder)
}

#[test]
fn the_digits_load_with_540_test_samples_spread_over_all_classes() {
    let (spec, folder) = digits();
    let pool = Pool::load(&spec, &folder).expect("the digits");
    assert_eq!((pool.len(), pool.classes().len(), pool.features().cols()), (1797, 10, 64));
    assert_eq!(pool.classes(), ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    assert_eq!(pool.id(42), "digits-0042");
    assert_eq!(pool.index_of(&"digits-1796".into()), Some(1796));
    assert_eq!(pool.index_of(&"digits-1797".into()), None);
    assert_eq!(pool.label(0), Some(0));
    assert_eq!(
        pool.gather(&[0]).expect("a row").row(0)[2..5],
        [5.0 / 16.0, 13.0 / 16.0, 9.0 / 16.0]
    );
    let split = pool.split();
    assert_eq!((split.test.len(), split.validation.len(), split.train.len()), (540, 180, 1077));
    for class in 0..10 {
        let of =
            |rows: &[usize]| rows.iter().filter(|&&row| pool.label(row) == Some(class)).count();
        assert!((52..=55).contains(&of(&split.test)), "class {class}: {}", of(&split.test));
        assert!((17..=19).contains(&of(&split.validation)), "class {class}");
    }
    let all: BTreeSet<usize> =
        split.validation.iter().chain(&split.test).copied().chain(split.train.iter()).collect();
    assert_eq!(all.len(), 1797);
    assert_eq!(pool.version().to_string(), VERSION_OF_DIGITS);
}

#[test]
fn the_seed_moves_the_split_and_not_the_version() {
    let (spec, folder) = digits();
    let one = Pool::load(&spec, &folder).expect("the digits");
    let again = Pool::load(&spec, &folder).expect("the digits");
    let other = Pool::load(&PoolSpec { seed: 8, ..spec.clone() }, &folder).expect("the digits");
    assert_eq!(one.split(), again.split());
    assert_ne!(one.split(), other.split());
    assert_eq!(one.version(), other.version());
    let flat = Pool::load(&PoolSpec { shape: vec![64], ..spec }, &folder).expect("the digits");
    assert_ne!(one.version(), flat.version());
}

#[test]
fn the_version_covers_every_number_every_id_and_every_label() {
    let base = "a,label\n1,x\n2,y\n";
    let version = |text: &str| load(&spec(), text).expect("good data").version();
    assert_eq!(version(base), version("a,label\r\n1.0, x\r\n\r\n2 ,y"));
    for other in ["a,label\n1,x\n3,y\n", "a,label\n1,y\n2,x\n", "a,label\n1,x\n2,y\n3,\n"] {
        assert_ne!(version(base), version(other), "{other}");
    }
    let named = PoolSpec { id_column: Some("id".to_owned()), ..spec() };
    let pool = load(&named, "id,a,label\nq,1,x\np,2,y\n").expect("good data");
    assert_ne!(pool.version(), version(base));
    assert_eq!((pool.index_of(&"p".into()), pool.index_of(&"q".into())), (Some(0), Some(1)));
}

#[test]
fn classes_sort_as_numbers_where_they_are_numbers_and_as_text_elsewhere() {
    let pool = load(&spec(), "a,label\n1,10\n2,9\n3,\n").expect("good data");
    assert_eq!(pool.classes(), ["9", "10"]);
    assert_eq!([0, 1, 2].map(|row| pool.label(row)), [Some(1), Some(0), None]);
    let pool = load(&spec(), "a,label\n1,b10\n2,b9\n").expect("good data");
    assert_eq!(pool.classes(), ["b10", "b9"]);
    let listed = PoolSpec { classes: ["z", "x", "y"].map(str::to_owned).to_vec(), ..spec() };
    let pool = load(&listed, "a,label\n1,y\n2,z\n").expect("good data");
    assert_eq!([0, 1].map(|row| pool.label(row)), [Some(2), Some(0)]);
}

#[test]
fn samples_without_a_label_train_and_never_measure() {
    let rows: String = (0..40).map(|i| format!("{i},{}\n", ["x", "y", "", ""][i % 4])).collect();
    let pool =
        load(&PoolSpec { test: 0.5, ..spec() }, format!("a,label\n{rows}")).expect("good data");
    assert_eq!((pool.split().test.len(), pool.split().train.len()), (10, 30));
    assert!(pool.split().test.iter().all(|&row| pool.label(row).is_some()));
}

#[test]
fn a_missing_file_says_where_the_path_starts() {
    let error = Pool::load(&spec(), Path::new("/nowhere")).expect_err("no such file");
    assert_eq!(
        error.to_string(),
        "could not read the pool file /nowhere/things.csv; `pool.path` is relative to the workflow file's folder"
    );
    assert!(error.source().is_some());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let here = PoolSpec { path: ".".to_owned(), ..spec() };
    assert!(matches!(Pool::load(&here, folder.path()), Err(PoolError::Read { .. })));
}

#[test]
fn bad_data_is_named_with_its_line_and_the_way_out() {
    let plain = spec();
    let classes = PoolSpec { classes: ["cat", "dog"].map(str::to_owned).to_vec(), ..spec() };
    let named = PoolSpec { id_column: Some("id".to_owned()), ..spec() };
    let shaped = PoolSpec { shape: vec![8, 8], ..spec() };
    let tested = PoolSpec { test: 0.2, validation: 0.2, ..spec() };
    let huge = PoolSpec { scale: 1e30, ..spec() };
    let cases: Vec<(&PoolSpec, &[u8], &str)> = vec![
        (
            &plain,
            b"",
            "things.csv: the file is empty; a header line and at least one sample are expected",
        ),
        (
            &plain,
            b"a,label\n",
            "things.csv: no samples after the header line; a header line and at least one sample are expected",
        ),
        (
            &plain,
            b"a,lable\n1,x\n",
            "things.csv:1: there is no column \"label\", which `pool.label_column` names; did you mean \"lable\"?",
        ),
        (
            &plain,
            b"p;q\n1;x\n",
            "things.csv:1: there is no column \"label\", which `pool.label_column` names; the only column is \"p;q\": is it comma-separated?",
        ),
        (
            &plain,
            b"label,a,label\nx,1,x\n",
            "things.csv:1: there are two columns \"label\"; rename one of them",
        ),
        (
            &plain,
            b"a,label\n1,x\n\n2,y,3\n",
            "things.csv:4: 3 cells, but the header has 2; complete or remove the row",
        ),
        (
            &plain,
            b"a,label\r\n1,x\r\n\r\n2,\"y\nz\"\r\n3\r\n",
            "things.csv:6: 1 cells, but the header has 2; complete or remove the row",
        ),
        (
            &plain,
            b"a,label\n1,x\none,y\n",
            "things.csv:3: column \"a\": \"one\" is not a finite number that fits 32 bits (after `pool.scale`); correct it, or remove the row",
        ),
        (
            &plain,
            b"a,label\nNaN,x\n",
            "things.csv:2: column \"a\": \"NaN\" is not a finite number that fits 32 bits (after `pool.scale`); correct it, or remove the row",
        ),
        (
            &plain,
            b"a,label\n,x\n",
            "things.csv:2: column \"a\": \"\" is not a finite number that fits 32 bits (after `pool.scale`); correct it, or remove the row",
        ),
        (
            &huge,
            b"a,label\n1e30,x\n",
            "things.csv:2: column \"a\": \"1e30\" is not a finite number that fits 32 bits (after `pool.scale`); correct it, or remove the row",
        ),
        (
            &plain,
            b"a,label\n1,x\n2,\xff\n",
            "things.csv:3: column 2 is not UTF-8; save the file as UTF-8",
        ),
        (
            &plain,
            b"\xff,label\n1,x\n",
            "things.csv:1: column 1 is not UTF-8; save the file as UTF-8",
        ),
        (
            &classes,
            b"a,label\n1,cat\n2,dgo\n",
            "things.csv:3: the label \"dgo\" is not in `pool.classes`; did you mean \"dog\"?",
        ),
        (
            &classes,
            b"a,label\n1,zebu\n",
            "things.csv:2: the label \"zebu\" is not in `pool.classes`; correct it, or add the class",
        ),
        (
            &named,
            b"id,a,label\nk,1,x\nl,2,y\nk,3,x\n",
            "things.csv:4: the id \"k\" is taken by line 2; ids must differ",
        ),
        (
            &named,
            b"id,a,label\n ,1,x\n",
            "things.csv:2: the id is empty; every sample needs one, or leave out `pool.id_column`",
        ),
        (
            &shaped,
            b"a,label\n1,x\n2,y\n",
            "things.csv:1: there are 1 feature columns, but `pool.shape` = [8, 8] takes 64; set it to [1], or to sides whose product is 1",
        ),
        (
            &tested,
            b"a,label\n1,x\n2,y\n3,x\n4,y\n5,x\n",
            "things.csv: the class \"y\" has 2 labelled samples, but the split needs at least 3, one for each part; add samples, remove the class, or set `pool.validation` or `pool.test` to 0",
        ),
        (
            &plain,
            b"a,label\n1,x\n",
            "things.csv: there is nothing to tell apart: the classes are [\"x\"], and at least two are needed; label some samples or set `pool.classes`",
        ),
    ];
    for (spec, text, expected) in cases {
        assert_eq!(refusal(spec, text), expected);
    }
}

#[test]
fn a_column_of_numbers_is_not_taken_for_classes() {
    let rows: String = (0..=INFERRED_CLASSES_MAX).map(|i| format!("1,{i}.5\n")).collect();
    let message = refusal(&spec(), format!("a,label\n{rows}"));
    assert!(message.contains("more than 10000 different labels in column \"label\""), "{message}");
}

#[test]
fn a_byte_order_mark_and_quoted_cells_are_read() {
    let pool = load(&spec(), "\u{feff}a,label\n\"1\",\"x, y\"\n2,z\n").expect("good data");
    assert_eq!(pool.classes(), ["x, y", "z"]);
}

quickcheck! {
    /// Whatever the shares of classes: every row in one part, every class in every part, sizes as promised.
    fn a_split_covers_every_row_once(counts: Vec<u8>, seed: u64) -> bool {
        let counts: Vec<usize> = counts.iter().take(6).map(|&n| 3 + usize::from(n)).collect();
        if counts.len() < 2 {
            return true;
        }
        let rows: String = counts
            .iter()
            .enumerate()
            .flat_map(|(class, &n)| (0..n).map(move |sample| format!("{sample}.{class},{class}\n")))
            .collect();
        let spec = PoolSpec { test: 0.3, validation: 0.2, seed, ..spec() };
        let pool = load(&spec, format!("a,label\n{rows}")).expect("good data");
        let train: Vec<usize> = pool.split().train.iter().collect();
        let parts = [&train, &pool.split().validation, &pool.split().test];
        let all: BTreeSet<usize> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        all.len() == parts.iter().map(|part| part.len()).sum::<usize>()
            && all.len() == counts.iter().sum::<usize>()
            && parts.iter().all(|part| {
                part.iter().filter_map(|&row| pool.label(row)).collect::<BTreeSet<_>>().len() == counts.len()
            })
    }

    /// Arbitrary bytes are a pool or an error, never a panic.
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>) -> bool {
        let mut text = b"a,label\n".to_vec();
        text.extend(bytes);
        load(&spec(), text).map_or_else(|error| !error.to_string().is_empty(), |pool| !pool.is_empty())
    }
}
