//! Who may use whom, held by reading the sources: the picture in the crate's documentation is not a wish.
//!
//! Comments and literals do not count; code under `#[cfg(test)]` does. What a path means is not resolved: `crate::x`,
//! `use crate::{x, y::z}` and `super` at the crate's root are seen, names that came in by a glob are not.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Each module, and what it may use beside itself.
const ARROWS: [(&str, &[&str]); 25] = [
    ("lib", &[]),
    ("main", &[]), // `gleaner::...` only
    (
        "cli",
        &[
            "annotation",
            "artifacts",
            "audit",
            "chart",
            "control",
            "data_selector",
            "domain",
            "engine",
            "faults",
            "inference",
            "metrics",
            "mlflow",
            "model_selector",
            "pool",
            "selftest",
            "simulate",
            "store",
            "telemetry",
            "training",
            "workflow",
        ],
    ),
    ("audit", &["artifacts", "blocking", "chart", "data_selector", "domain", "pool", "store"]),
    ("selftest", &["engine", "workflow", "store", "artifacts", "faults", "domain"]),
    (
        "simulate",
        &[
            "artifacts",
            "chart",
            "data_selector",
            "domain",
            "engine",
            "inference",
            "pool",
            "store",
            "workflow",
        ],
    ),
    ("control", &["audit", "blocking", "data_selector", "engine", "store", "domain"]),
    ("mlflow", &["domain"]),
    (
        "engine",
        &[
            "annotation",
            "artifacts",
            "blocking",
            "data_selector",
            "domain",
            "inference",
            "metrics",
            "model_selector",
            "pool",
            "store",
            "training",
            "workflow",
        ],
    ),
    ("store", &["artifacts", "blocking", "domain", "faults"]),
    ("artifacts", &["domain", "faults"]),
    ("blocking", &[]),
    ("faults", &[]),
    ("chart", &[]),
    ("program", &[]),
    ("pool", &["domain", "metrics"]),
    ("inference", &["domain", "metrics"]),
    ("data_selector", &["domain", "metrics", "program"]),
    ("annotation", &["domain", "metrics"]),
    ("training", &["domain", "metrics", "program"]),
    ("model_selector", &["domain", "metrics"]),
    ("metrics", &["domain"]),
    ("workflow", &["domain"]),
    ("telemetry", &[]),
    ("domain", &[]),
];

/// Each foreign library that has one place, and that place: files, or folders with `/` at the end.
const LIBRARIES: [(&str, &[&str]); 19] = [
    ("futures_lite", &["src/blocking.rs"]),
    ("minreq", &["src/mlflow/http.rs"]),
    ("ed25519_dalek", &["src/audit/ed25519.rs"]),
    ("getrandom", &["src/audit/key.rs"]),
    ("pulp", &["src/data_selector/simd.rs"]),
    ("smol_str", &["src/domain/ids.rs"]),
    ("zune_jpeg", &["src/pool/picture.rs"]),
    ("zip", &["src/audit/bundle.rs", "src/data_selector/evidence.rs"]),
    ("half", &["src/data_selector/evidence.rs"]),
    ("sled", &["src/store/sled.rs", "src/store/sled/"]),
    ("bincode", &["src/store/codec.rs"]),
    ("ort", &["src/inference/onnx.rs"]),
    ("burn_core", &["src/training/network.rs"]),
    (
        "onnx_rs",
        &[
            "src/training/export.rs",
            "src/training/combine.rs",
            "src/inference/tests.rs",
            "src/inference/models.rs",
        ],
    ),
    ("tract_onnx", &["src/inference/tract.rs"]),
    ("rusqlite", &["src/data_selector/database.rs"]),
    ("clap", &["src/cli.rs", "src/cli/"]),
    (
        "png",
        &["src/chart/raster.rs", "src/pool/picture.rs", "src/pool/shown.rs", "src/pool/tests/"],
    ),
    ("noto_sans_mono_bitmap", &["src/chart/raster.rs"]),
];

/// Over this, a second concept is hiding.
const LINES_MAX: usize = 800;

/// The rules that `source`, as the file `path`, breaks: one line each, with the place.
fn broken(path: &str, source: &str) -> Vec<String> {
    let mut broken = Vec::new();
    if path.ends_with("/mod.rs") {
        broken.push(format!("{path}:1: a module is x.rs with a folder x/, never mod.rs"));
    }
    if !source.starts_with("//!") {
        broken.push(format!("{path}:1: a file opens with //! and says what it owns"));
    }
    let lines = source.lines().count();
    if lines > LINES_MAX {
        broken.push(format!("{path}:{lines}: a file has at most {LINES_MAX} lines"));
    }
    let code = code(source);
    let from = layer(path);
    let allowed = ARROWS.iter().find(|(layer, _)| *layer == from).map(|(_, allowed)| *allowed);
    if allowed.is_none() {
        broken.push(format!("{path}:1: {from} has no place in the picture (ARROWS)"));
    }
    for (line, to) in modules_used(path, &code) {
        if to != from && !allowed.unwrap_or_default().contains(&to.as_str()) {
            broken.push(format!(
                "{path}:{line}: {from} -> {to} is not in the picture; {from} may use {:?}",
                allowed.unwrap_or_default()
            ));
        }
    }
    for (library, places) in LIBRARIES {
        let at_home = places.iter().any(|place| match place.strip_suffix('/') {
            Some(_) => path.starts_with(place),
            None => path == *place,
        });
        for line in if at_home { Vec::new() } else { library_uses(&code, library) } {
            broken.push(format!("{path}:{line}: {library} is named only in {}", places.join(", ")));
        }
    }
    broken
}

/// The module of the crate's root to which a file belongs: `src/store/sled/disk.rs` is of `store`.
fn layer(path: &str) -> &str {
    let inner = path.strip_prefix("src/").unwrap_or(path);
    inner.split('/').next().unwrap_or(inner).trim_end_matches(".rs")
}

/// `source` with comments and literals blanked out; every line keeps its number.
fn code(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let mut kept = String::with_capacity(source.len());
    let mut at = 0;
    while at < chars.len() {
        let end = match chars[at] {
            '/' if chars.get(at + 1) == Some(&'/') => line_end(&chars, at),
            '/' if chars.get(at + 1) == Some(&'*') => comment_end(&chars, at),
            '"' => text_end(&chars, at, raw_marks(&chars, at)),
            '\'' => char_end(&chars, at),
            _ => at,
        };
        if end == at {
            kept.push(chars[at]);
            at += 1;
        } else {
            let blanked = chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' });
            kept.extend(blanked);
            at = end;
        }
    }
    kept
}

fn line_end(chars: &[char], at: usize) -> usize {
    chars[at..].iter().position(|c| *c == '\n').map_or(chars.len(), |length| at + length)
}

fn comment_end(chars: &[char], at: usize) -> usize {
    let mut depth = 0;
    let mut end = at;
    while end < chars.len() {
        match (chars[end], chars.get(end + 1)) {
            ('/', Some('*')) => (depth, end) = (depth + 1, end + 2),
            ('*', Some('/')) => (depth, end) = (depth - 1, end + 2),
            _ => end += 1,
        }
        if depth == 0 {
            break;
        }
    }
    end
}

/// How many `#` open the raw string whose quote stands at `at`; `None` for a plain string.
fn raw_marks(chars: &[char], at: usize) -> Option<usize> {
    let marks = chars[..at].iter().rev().take_while(|c| **c == '#').count();
    let letter = |back: usize| at.checked_sub(marks + back).map(|index| chars[index]);
    let is_prefix = |c: Option<char>| !c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    match (letter(1), letter(2)) {
        (Some('r'), Some('b' | 'c')) => is_prefix(letter(3)).then_some(marks),
        (Some('r'), before) => is_prefix(before).then_some(marks),
        _ => None,
    }
}

fn text_end(chars: &[char], at: usize, raw: Option<usize>) -> usize {
    let mut end = at + 1;
    while end < chars.len() {
        match (chars[end], raw) {
            ('\\', None) => end += 2,
            ('"', None) => return end + 1,
            ('"', Some(marks)) => {
                let closing = chars[end + 1..].iter().take_while(|c| **c == '#').count();
                if closing >= marks {
                    return end + 1 + marks;
                }
                end += 1;
            }
            _ => end += 1,
        }
    }
    chars.len()
}

/// The end of the character literal at `at`; `at` itself if a lifetime begins there.
fn char_end(chars: &[char], at: usize) -> usize {
    match (chars.get(at + 1), chars.get(at + 2)) {
        (Some('\\'), _) => chars[at + 3..]
            .iter()
            .position(|c| *c == '\'')
            .map_or(chars.len(), |length| at + 4 + length),
        (Some(_), Some('\'')) => at + 3,
        _ => at,
    }
}

/// The modules of the crate's root that `code` names, with the line of each.
fn modules_used(path: &str, code: &str) -> Vec<(usize, String)> {
    let mut used = Vec::new();
    for (at, _) in code.match_indices("crate::").filter(|(at, _)| begins_word(code, *at)) {
        for name in heads(&code[at + "crate::".len()..]) {
            used.push((line_of(code, at), name));
        }
    }
    // From the file of a module at the root, `super` is the crate; an inline module is indented and one deeper.
    let depth = path.matches('/').count();
    let root = format!("use {}", "super::".repeat(depth));
    for (at, _) in code.match_indices(&root) {
        let rest = &code[at + root.len()..];
        let column = at - code[..at].rfind('\n').map_or(0, |newline| newline + 1);
        if column == 0 && !rest.starts_with("super::") {
            used.extend(heads(rest).into_iter().map(|name| (line_of(code, at), name)));
        }
    }
    used
}

/// The first names of what `crate::` leads to: one, or those of the group in braces.
fn heads(rest: &str) -> Vec<String> {
    let Some(group) = rest.strip_prefix('{') else {
        return vec![word(rest)];
    };
    let mut names = Vec::new();
    let mut depth = 0;
    let mut due = true;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => due = true,
            _ if due && !c.is_whitespace() => {
                names.push(word(&group[at..]));
                due = false;
            }
            _ => {}
        }
    }
    names
}

/// The lines that name `library` as the head of a path or take it in whole.
fn library_uses(code: &str, library: &str) -> Vec<usize> {
    code.match_indices(library)
        .filter(|(at, _)| begins_word(code, *at) && is_head(&code[..*at]))
        .filter(|(at, _)| {
            let rest = &code[at + library.len()..];
            let taken = ["use ", "extern crate "].iter().any(|word| code[..*at].ends_with(word));
            rest.starts_with("::") || taken && (rest.starts_with(';') || rest.starts_with(" as "))
        })
        .map(|(at, _)| line_of(code, at))
        .collect()
}

/// Whether a path begins behind `before`, rather than going on: `x::sled` and `x::{y, sled}` go on, `::sled` begins.
fn is_head(before: &str) -> bool {
    let before = before.trim_end();
    if let Some(path) = before.strip_suffix("::") {
        return !path.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '>');
    }
    if before.ends_with(['{', ',']) {
        let mut depth = 0;
        for (at, c) in before.char_indices().rev() {
            match c {
                '}' => depth += 1,
                '{' if depth == 0 => return !before[..at].ends_with("::"),
                '{' => depth -= 1,
                _ => {}
            }
        }
    }
    true
}

fn begins_word(code: &str, at: usize) -> bool {
    !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_')
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_' || *c == '*').collect()
}

fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

/// Every source file: its path from the crate's folder, with `/`, and its text.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders: Vec<PathBuf> = vec![root.join("src")];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn the_sources_keep_to_the_picture() {
    let sources = sources();
    assert!(sources.len() > 50, "only {} files found: is the walk broken?", sources.len());
    let broken: Vec<String> =
        sources.iter().flat_map(|(path, source)| broken(path, source)).collect();
    let list = broken.iter().fold(String::new(), |mut list, line| {
        let _ = writeln!(list, "{line}");
        list
    });
    assert!(broken.is_empty(), "{} rules broken:\n{list}", broken.len());
}

#[test]
fn every_module_at_the_root_has_its_arrows() {
    let (_, lib) = sources().into_iter().find(|(path, _)| path == "src/lib.rs").unwrap();
    for line in code(&lib).lines() {
        if let Some(module) = line.split("mod ").nth(1).and_then(|rest| rest.strip_suffix(';')) {
            assert!(ARROWS.iter().any(|(layer, _)| *layer == module), "{module} has no arrows");
        }
    }
}

/// A file of one line of code breaks these rules: each of `expected` is part of one message, in order.
#[track_caller]
fn check(path: &str, line: &str, expected: &[&str]) {
    let broken = broken(path, &format!("//! What it owns.\n{line}\n"));
    assert_eq!(broken.len(), expected.len(), "{line}: {broken:#?}");
    for (message, part) in broken.iter().zip(expected) {
        assert!(message.contains(part), "{message} lacks {part}");
        assert!(message.starts_with(path), "{message} does not name the file");
    }
}

#[test]
fn an_arrow_against_the_picture_is_found_however_it_is_written() {
    let wrong = "src/pool/csv.rs:2: pool -> store is not in the picture";
    check("src/pool/csv.rs", "use crate::store::Store;", &[wrong]);
    check("src/pool/csv.rs", "fn f() { crate::store::open() }", &[wrong]);
    check("src/pool/csv.rs", "pub(in crate::store) fn f() {}", &[wrong]);
    check("src/pool/csv.rs", "use super::super::store::Store;", &[wrong]);
    check("src/pool/csv.rs", "use crate::{domain::{a, b}, store::{Store}};", &[wrong]);
    check("src/pool/csv.rs", "use crate::{store, engine::Engine};", &[wrong, "pool -> engine"]);
    check("src/pool.rs", "use super::store::Store;", &["src/pool.rs:2: pool -> store"]);
    check("src/domain/state.rs", "use crate::store::Store;", &["domain -> store"]);
    check("src/news.rs", "", &["news has no place in the picture"]);
}

#[test]
fn what_the_picture_allows_and_what_is_not_code_is_left_alone() {
    for line in [
        "use crate::domain::ids::SampleId;",
        "use crate::{domain, metrics::accuracy};",
        "use crate::pool::Pool;",
        "use super::store::Store;",
        "// use crate::store::Store;",
        "/// Like [`crate::store`].",
        "/* use /* nested */ crate::store::Store; */",
        r#"const TEXT: &str = "crate::store \" crate::store";"#,
        r##"const TEXT: &str = r#"a "crate::store" b"#;"##,
        r#"const QUOTE: char = '"'; // crate::store"#,
        r"const MARK: char = '\''; // crate::store",
        "fn f<'a>(x: &'a str) -> &'a str { x }",
    ] {
        check("src/pool/csv.rs", line, &[]);
    }
}

#[test]
fn a_library_is_named_in_its_place_only() {
    check("src/store/sled/disk.rs", "use sled::Db;", &[]);
    check("src/store/sled.rs", "struct Disk(::sled::Db);", &[]);
    check(
        "src/store/memory.rs",
        "use sled::Db;",
        &["src/store/memory.rs:2: sled is named only in"],
    );
    check("src/store/memory.rs", "fn f(x: ::sled::Db) {}", &["sled is named only in"]);
    check("src/store/memory.rs", "use sled as disk;", &["sled is named only in"]);
    check("src/store/memory.rs", "use {sled::Db, std::fs};", &["sled is named only in"]);
    check("src/cli/session.rs", "use crate::store::sled::SledStore;", &[]);
    check("src/cli/session.rs", "use crate::store::{Head, sled::SledStore};", &[]);
    check(
        "src/engine.rs",
        "use ort::session::Session;",
        &["ort is named only in src/inference/onnx.rs"],
    );
    check("src/engine.rs", "fn f() { report::print(); export::write() }", &[]);
    check(
        "src/inference/onnx.rs",
        "use burn_core::tensor::Tensor;",
        &["burn_core is named only in"],
    );
}

#[test]
fn a_file_has_a_name_an_opening_and_an_end() {
    check("src/pool/mod.rs", "", &["never mod.rs"]);
    let untold = broken("src/pool/csv.rs", "use std::fs;\n");
    assert!(untold.iter().any(|line| line.contains("opens with //!")), "{untold:?}");
    let long = broken("src/pool/csv.rs", &"//! Long.\n".repeat(LINES_MAX + 1));
    assert!(long.iter().any(|line| line.contains("at most 800 lines")), "{long:?}");
}
