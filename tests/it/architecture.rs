//! The shape of the source: arrows between modules go one way, each foreign library is named in one place, files are small
//! and say what they own.
//!
//! A change of the shape is a change of the tables in this file and of the picture in `src/lib.rs`.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::Path;

/// What a module may use, besides itself.
enum Uses {
    Anything,
    Only(&'static [&'static str]),
}
use Uses::{Anything, Only};

/// The arrows. Capabilities know neither each other nor the store.
const ARROWS: &[(&str, Uses)] = &[
    ("main", Anything),
    ("lib", Anything),
    ("cli", Anything),
    ("server", Only(&["engine", "domain"])),
    ("control", Only(&["engine", "store", "domain"])),
    ("audit", Only(&["engine", "store", "artifacts", "domain"])),
    (
        "engine",
        Only(&[
            "store",
            "artifacts",
            "pool",
            "inference",
            "data_selector",
            "annotation",
            "training",
            "model_selector",
            "metrics",
            "workflow",
            "domain",
            "telemetry",
        ]),
    ),
    ("store", Only(&["domain", "artifacts"])),
    ("artifacts", Only(&["domain"])),
    ("workflow", Only(&["domain"])),
    ("pool", Only(&["domain", "metrics"])),
    ("inference", Only(&["domain", "metrics"])),
    ("data_selector", Only(&["domain", "metrics"])),
    ("annotation", Only(&["domain", "metrics"])),
    ("training", Only(&["domain", "metrics"])),
    ("model_selector", Only(&["domain", "metrics"])),
    ("metrics", Only(&["domain"])),
    ("telemetry", Only(&[])),
    ("domain", Only(&[])),
];

/// The files that may name a library: a path, or the beginning of one that ends in `/`.
const LIBRARIES: &[(&str, &[&str])] = &[
    ("sled", &["store/sled.rs", "store/sled/"]),
    ("bincode", &["store/codec.rs"]),
    ("ort", &["inference/onnx.rs", "inference/runtime.rs"]),
    ("burn", &["training.rs", "training/"]),
    ("tract_onnx", &["inference/tract.rs"]),
    ("clap", &["main.rs", "cli.rs", "cli/"]),
];

/// What the domain must do without: it is pure.
const IMPURE: &[&[&str]] = &[
    &["tokio"],
    &["tracing"],
    &["chrono"],
    &["tempfile"],
    &["std", "fs"],
    &["std", "net"],
    &["std", "env"],
    &["std", "thread"],
    &["std", "process"],
    &["std", "time", "Instant"],
    &["std", "time", "SystemTime"],
];

/// Above this a file holds a second concept.
const LINES_MAX: usize = 800;

/// A rule, and the line that breaks it.
#[derive(Debug, PartialEq)]
struct Breach {
    file: String,
    line: usize,
    rule: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "src/{}:{}: {}", self.file, self.line, self.rule)
    }
}

#[test]
fn the_source_has_the_shape_that_is_promised() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut breaches = Vec::new();
    let files = sources(&root, "");
    assert!(files.iter().any(|file| file == "domain/state.rs"), "the walk finds the sources");
    for file in &files {
        let text = fs::read_to_string(root.join(file)).unwrap();
        breaches.extend(breaches_of(file, &text));
    }
    let lines: Vec<String> = breaches.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "the source has lost its shape:\n{}", lines.join("\n"));
}

/// Every Rust file under `root`, as paths with `/`, in order.
fn sources(root: &Path, prefix: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(root.join(prefix)).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
        if entry.file_type().unwrap().is_dir() {
            found.extend(sources(root, &path));
        } else if path.ends_with(".rs") {
            found.insert(path);
        }
    }
    found
}

fn breaches_of(file: &str, text: &str) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let mut breach =
        |line: usize, rule: String| breaches.push(Breach { file: file.to_owned(), line, rule });
    if !text.starts_with("//! ") {
        breach(1, "a file opens with `//!`, which says what it owns".to_owned());
    }
    if file.split('/').next_back() == Some("mod.rs") {
        breach(1, "no mod.rs: a module x is x.rs, and the folder x/ beside it".to_owned());
    }
    let lines = text.lines().count();
    if lines > LINES_MAX {
        breach(lines, format!("{lines} lines, at most {LINES_MAX}: a second concept hides here"));
    }

    let module = file.split(['/', '.']).next().unwrap_or_default();
    let uses = ARROWS.iter().find(|(name, _)| *name == module).map(|(_, uses)| uses);
    if uses.is_none() {
        breach(1, format!("the module {module} is not in the picture: add it to ARROWS"));
    }
    for Named { line, path } in names(file, text) {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        match path.as_slice() {
            ["crate", used, ..] if *used != module => {
                if matches!(uses, Some(Only(known)) if !known.contains(used)) {
                    breach(line, format!("{module} must not use {used}"));
                }
            }
            ["crate", ..] => {}
            path => {
                let first = path.first().copied().unwrap_or_default();
                if let Some((_, places)) = LIBRARIES.iter().find(|(name, _)| *name == first) {
                    let allowed = places.iter().any(|place| {
                        file == *place || place.ends_with('/') && file.starts_with(place)
                    });
                    if !allowed {
                        let places = places.join(", ");
                        breach(line, format!("the library {first} is named only in {places}"));
                    }
                }
                if module == "domain" && IMPURE.iter().any(|impure| path.starts_with(impure)) {
                    breach(line, format!("domain is pure: it must not use {}", path.join("::")));
                }
            }
        }
    }
    breaches
}

/// A path that the code names: from `crate` on, or from the name of a library on.
#[derive(Debug, PartialEq)]
struct Named {
    line: usize,
    path: Vec<String>,
}

/// Every import and every path with `::` in the code; groups spelt out, `self` and `super` resolved. Comments and texts do
/// not count.
fn names(file: &str, text: &str) -> Vec<Named> {
    let tokens = tokens(text);
    let mut found = Vec::new();
    let mut inline: Vec<usize> = Vec::new(); // at which depth of braces each inline module began
    let mut modules: Vec<String> =
        file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if modules.len() == 1 && ["lib", "main"].contains(&modules[0].as_str()) {
        modules.clear();
    }
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(&(_, token)) = tokens.get(at) {
        let next = |ahead: usize| tokens.get(at + ahead).map_or("", |&(_, token)| token);
        match token {
            "mod" if next(2) == "{" => {
                inline.push(depth);
                modules.push(next(1).to_owned());
                at += 2;
                continue;
            }
            "{" => depth += 1,
            "}" => {
                depth = depth.saturating_sub(1);
                if inline.last() == Some(&depth) {
                    inline.pop();
                    modules.pop();
                }
            }
            "use" => {
                at = path(&tokens, at + 1, Vec::new(), &modules, &mut found);
                continue;
            }
            _ if is_name(token) && next(1) == "::" => {
                at = path(&tokens, at, Vec::new(), &modules, &mut found);
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// Reads the path (or the tree of an import) that begins at `at`; returns where it ends.
fn path(
    tokens: &[(usize, &str)],
    mut at: usize,
    mut path_so_far: Vec<String>,
    modules: &[String],
    found: &mut Vec<Named>,
) -> usize {
    let start = at;
    let token = |at: usize| tokens.get(at).map_or("", |&(_, token)| token);
    loop {
        match token(at) {
            "{" => {
                at += 1;
                while !["}", ""].contains(&token(at)) {
                    at = path(tokens, at, path_so_far.clone(), modules, found);
                    while ![",", "}", ""].contains(&token(at)) {
                        at += 1; // `as other`
                    }
                    if token(at) == "," {
                        at += 1;
                    }
                }
                return at + 1;
            }
            name if is_name(name) => path_so_far.push(name.to_owned()),
            _ => break, // `*`, or a turbofish
        }
        at += 1;
        if token(at) != "::" {
            break;
        }
        at += 1;
    }
    if !path_so_far.is_empty() {
        let line = tokens.get(start).map_or(0, |&(line, _)| line);
        found.push(Named { line, path: resolved(&path_so_far, modules) });
    }
    at.max(start + 1)
}

/// The path from the crate's root on, where it begins with `self` or `super`.
fn resolved(path: &[String], modules: &[String]) -> Vec<String> {
    let supers = path.iter().take_while(|name| *name == "super").count();
    let selves = usize::from(supers == 0 && path.first().is_some_and(|name| name == "self"));
    if supers + selves == 0 {
        return path.to_vec();
    }
    let kept = modules.len().saturating_sub(supers);
    let here = ["crate".to_owned()].into_iter().chain(modules[..kept].iter().cloned());
    here.chain(path[supers + selves..].iter().cloned()).collect()
}

fn is_name(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// The names and signs of the code with their lines; no comments, no texts, `::` as one sign.
fn tokens(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut line = 1;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_token;
        let length = if first.is_alphabetic() || first == '_' {
            let name = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            let raw = ["r", "br", "cr"].contains(&&rest[..name]).then(|| raw_text(&rest[name..]));
            is_token = raw.flatten().is_none();
            name + raw.flatten().unwrap_or(0)
        } else {
            let skipped = comment(rest).or_else(|| quoted(rest));
            is_token = skipped.is_none() && !first.is_whitespace();
            let sign = if rest.starts_with("::") { 2 } else { first.len_utf8() };
            skipped.unwrap_or(sign)
        };
        let (token, after) = rest.split_at(length);
        if is_token {
            found.push((line, token));
        }
        line += token.matches('\n').count();
        rest = after;
    }
    found
}

/// How long the comment is that `rest` begins with.
fn comment(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    rest.starts_with("/*").then(|| rest.find("*/").map_or(rest.len(), |end| end + 2))
}

/// How long the text or character is that `rest` begins with.
fn quoted(rest: &str) -> Option<usize> {
    let quote = rest.chars().next().filter(|first| ['"', '\''].contains(first))?;
    let mut escaped = false;
    let end = rest.char_indices().skip(1).find(|(_, c)| {
        let ends = *c == quote && !escaped;
        escaped = *c == '\\' && !escaped;
        ends
    });
    let length = end.map_or(rest.len(), |(at, _)| at + 1);
    // 'a is a lifetime, 'a' is a character.
    let is_text = quote == '"' || rest.starts_with("'\\") || rest.chars().nth(2) == Some('\'');
    is_text.then_some(length)
}

/// How long the rest of a raw text is, after its `r`.
fn raw_text(rest: &str) -> Option<usize> {
    let hashes = rest.len() - rest.trim_start_matches('#').len();
    let body = rest[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(body.find(&end).map_or(rest.len(), |at| hashes + 1 + at + end.len()))
}

/// The rules that a file of this text breaks, each with its line.
#[track_caller]
fn check(file: &str, code: &str, expected: &[(usize, &str)]) {
    let found = breaches_of(file, &format!("//! A file.\n{code}\n"));
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for (breach, (line, rule)) in found.iter().zip(expected) {
        assert!(breach.line == *line && breach.rule.contains(rule), "{breach} is not {rule}");
    }
}

#[test]
fn an_arrow_against_the_picture_is_found_however_it_is_written() {
    let wrong = [(2, "pool must not use store")];
    check("pool/csv.rs", "use crate::store::Store;", &wrong);
    check("pool/csv.rs", "fn f() { crate::store::open() }", &wrong);
    check("pool/csv.rs", "use crate::{domain::ids, store};", &wrong);
    check("pool/csv.rs", "use crate::{domain::{ids, time as t}, store::Store};", &wrong);
    check("pool/csv.rs", "use super::super::store::Store;", &wrong);
    check("pool.rs", "use super::store::Store;", &wrong);
    check("pool.rs", "use super::{domain, store};", &wrong);
    check("pool.rs", "mod tests { use super::super::store::Store; }", &wrong);
    check("pool.rs", "mod tests { mod more {} use super::x::y; } use super::store::S;", &wrong);
    check("pool.rs", "const Q: char = '\"'; fn f<'a>(x: &'a crate::store::S) {}", &wrong);
    check("pool.rs", "use crate::domain;\n\nuse crate::store;", &[(4, "must not use store")]);
    check("domain/state.rs", "use crate::store;", &[(2, "domain must not use store")]);
    check("engine.rs", "use crate::cli::main;", &[(2, "engine must not use cli")]);
    check("surprise.rs", "", &[(1, "surprise is not in the picture")]);
}

#[test]
fn what_is_allowed_or_not_code_is_no_breach() {
    check("pool/csv.rs", "use super::split::x; use self::y::z; use crate::pool::Pool;", &[]);
    check("pool.rs", "mod tests { use super::*; use crate::{domain::ids, metrics}; }", &[]);
    check(
        "pool.rs",
        "//! [`crate::store`]\n/* crate::store */ const A: &str = \"crate::store::\";",
        &[],
    );
    check(
        "pool.rs",
        "const A: &str = r#\"a \" crate::store::x\"#; const B: &[u8] = b\"sled::x\";",
        &[],
    );
    check("store/sled.rs", "use sled::Db; fn f() -> ::std::io::Result<()> { Ok(()) }", &[]);
    check("engine.rs", "use crate::store::sled::SledStore;", &[]);
}

#[test]
fn a_library_out_of_its_place_is_found() {
    check("store/memory.rs", "use sled::Db;", &[(2, "sled is named only in store/sled.rs")]);
    check("store/sled_too.rs", "use sled::Db;", &[(2, "sled is named only")]);
    check("engine.rs", "use sled as db;", &[(2, "sled is named only")]);
    check("engine.rs", "use ::sled::Db;", &[(2, "sled is named only")]);
    check("store.rs", "fn f() { bincode::serialize(&1) }", &[(2, "bincode is named only")]);
    check("domain/event.rs", "use std::fs::File;", &[(2, "domain is pure")]);
    check(
        "domain/event.rs",
        "use std::{fmt, time::{Duration, Instant}};",
        &[(2, "domain is pure")],
    );
}

#[test]
fn large_files_and_files_without_a_word_are_found() {
    check("pool.rs", &"\n".repeat(LINES_MAX - 2), &[]);
    check("pool.rs", &"\n".repeat(LINES_MAX - 1), &[(801, "801 lines, at most 800")]);
    check("pool/mod.rs", "", &[(1, "no mod.rs")]);
    let found = breaches_of("pool.rs", "use crate::domain;\n");
    assert_eq!(found.len(), 1);
    assert_eq!(
        found[0].to_string(),
        "src/pool.rs:1: a file opens with `//!`, which says what it owns"
    );
}
