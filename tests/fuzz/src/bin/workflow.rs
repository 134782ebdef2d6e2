//! A workflow file; after a zero byte, what `--set` overrides, a line each.
#![no_main]

use gleaner_fuzz::domain::definition::Definition;
use gleaner_fuzz::workflow::parse;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (text, overrides) = text.split_once('\0').unwrap_or((text, ""));
    let overrides: Vec<(String, String)> = overrides
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    match parse(text, "w.toml", &overrides) {
        // What is accepted is recorded as JSON, and is the same workflow when it is read from there.
        Ok(definition) => {
            let kept: Definition = serde_json::from_slice(&definition.canonical_bytes()).unwrap();
            assert_eq!(kept, definition);
            assert_eq!(kept.digest(), definition.digest());
        }
        // What is refused says why, in the order of lines, and not without end.
        Err(error) => {
            let lines = text.lines().count().max(1) + 1;
            let places: Vec<usize> =
                error.problems.iter().map(|problem| problem.line.unwrap_or(usize::MAX)).collect();
            assert!(!places.is_empty() && places.len() <= 100 && places.is_sorted());
            assert!(places.iter().all(|&line| line == usize::MAX || (1..=lines).contains(&line)));
            assert!(error.problems.iter().all(|problem| !problem.message.is_empty()));
        }
    }
});
