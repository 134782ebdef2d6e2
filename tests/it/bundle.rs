//! A run in one file: made here, verified where nothing else is; and proofs for those who have a checkpoint only.

use crate::program::{Folder, WRONG, stderr, told};
use gleaner::audit::bundle::{About, verify};
use gleaner::audit::merkle::partial_proof;
use gleaner::audit::tree;
use gleaner::store::sled::{SledOptions, SledStore};
use serde_json::Value;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// What is found not to hold.
const NOT_SOUND: i32 = 5;

fn ask(folder: &Folder, arguments: &[&str]) -> String {
    let output = folder.gleaner(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn found(folder: &Folder, arguments: &[&str], code: i32) -> String {
    let output = folder.gleaner(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}{}", stderr(&output));
    said
}

/// A folder with two runs, a key and a checkpoint of the first run; the public key.
fn kept() -> (Folder, String) {
    let folder = Folder::ended();
    let key = ask(&folder, &["key", "new", "a.test/runs", "key"]).trim().to_owned();
    let first = ask(&folder, &["checkpoint", "export", "--key", "key"]);
    folder.write("first", first);
    assert!(folder.run(&["run.seed=2"]).status.success());
    folder.write("second", ask(&folder, &["checkpoint", "export", "--key", "key"]));
    (folder, key)
}

#[test]
fn a_bundle_is_verified_in_an_empty_folder_by_its_key() {
    let (folder, key) = kept();
    let signed = ["bundle", "-o", "run.bundle", "--key", "key", "--checkpoint", "first"];
    let said = ask(&folder, &signed);
    assert!(said.contains("run.bundle: run ") && said.contains("in the store"), "{said}");

    let elsewhere = Folder::new();
    fs::copy(folder.path("run.bundle"), elsewhere.path("run.bundle")).unwrap();
    let said = ask(&elsewhere, &["verify", "run.bundle", "--key", &key]);
    for word in ["hold together", "signed by a.test/runs", "1 earlier checkpoints are continued"] {
        assert!(said.contains(word), "{word} is not in {said}");
    }
    assert!(ask(&elsewhere, &["verify", "run.bundle"]).contains("was not checked"));
    assert!(!elsewhere.path("state").exists(), "a bundle needs no state directory");

    assert!(!said.contains("may have gone on"), "{said}");

    // Another key, in another's name and in the same.
    for name in ["b.test/runs", "a.test/runs"] {
        let file = name.replace(['.', '/'], "-");
        let other = ask(&elsewhere, &["key", "new", name, &file]);
        let said = found(&elsewhere, &["verify", "run.bundle", "--key", other.trim()], NOT_SOUND);
        assert!(said.contains("not believed"), "{said}");
    }
    // Large artifacts may stay where they are, what verification reads may not.
    let all: Value =
        serde_json::from_str(&ask(&folder, &["bundle", "-o", "all", "--json"])).unwrap();
    let few = ["bundle", "-o", "few", "--up-to", "0", "--json"];
    let few: Value = serde_json::from_str(&ask(&folder, &few)).unwrap();
    let number = |found: &Value, what: &str| found[what].as_u64().unwrap();
    assert_eq!(number(&all, "left_out"), 0);
    assert!(number(&few, "left_out") > 0);
    let artifacts = |found: &Value| number(&found["verification"], "artifacts");
    assert_eq!(artifacts(&all), artifacts(&few) + number(&few, "left_out"));
    assert!(ask(&folder, &["verify", "few"]).contains("known by their digests alone"));

    folder.write("no.bundle", "nothing of the kind");
    assert!(found(&folder, &["verify", "no.bundle"], NOT_SOUND).contains("no bundle"));
    told(&folder.gleaner(&["verify", "--key", &key]).output().unwrap(), WRONG, &["bundle"]);
    let foreign = ["bundle", "-o", "x", "--key", "key", "--checkpoint", "foreign"];
    let other = Folder::ended();
    ask(&other, &["key", "new", "c.test/runs", "key"]);
    folder.write("foreign", ask(&other, &["checkpoint", "export", "--key", "key"]));
    told(
        &folder.gleaner(&foreign).output().unwrap(),
        WRONG,
        &["checkpoint 1 is not of this store"],
    );
    assert!(!folder.path("x").exists());
}

/// Bytes that say nothing of the content, the clock of an entry for instance, may change; then nothing is found to differ.
#[test]
fn no_changed_byte_of_a_bundle_passes_as_another_content() {
    let (folder, key) = kept();
    ask(&folder, &["bundle", "-o", "run.bundle", "--key", "key"]);
    let bytes = fs::read(folder.path("run.bundle")).unwrap();
    let key = key.parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let verified = |file: &Path| runtime.block_on(verify(file, Some(&key)));
    let whole = verified(&folder.path("run.bundle")).unwrap();
    assert!(whole.is_sound());
    let (mut told, mut harmless) = (0, 0);
    for place in (0..bytes.len()).step_by(bytes.len() / 500 + 1) {
        let mut changed = bytes.clone();
        changed[place] ^= 0x10;
        folder.write("changed", &changed);
        match verified(&folder.path("changed")) {
            Ok(found) if found.is_sound() => {
                assert_eq!(found, whole, "byte {place}");
                harmless += 1;
            }
            Ok(_) | Err(_) => told += 1,
        }
    }
    assert!(told > 5 * harmless, "{told} told, {harmless} harmless");
    for length in (0..bytes.len()).step_by(bytes.len() / 50) {
        folder.write("cut", &bytes[..length]);
        assert!(verified(&folder.path("cut")).map_or(true, |found| !found.is_sound()), "{length}");
    }
}

/// Whoever passes a bundle on may leave out the end of its log and prove what is left by what he knows of the rest.
#[test]
fn the_end_of_a_log_that_was_left_out_is_missed_by_what_was_signed() {
    let (folder, key) = kept();
    ask(&folder, &["bundle", "-o", "signed", "--key", "key"]);
    ask(&folder, &["bundle", "-o", "unsigned"]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let (store, lock) =
        SledStore::open_copy(&folder.path("state"), scratch.path(), SledOptions::default())
            .unwrap();
    let records = runtime.block_on(tree::records(&store)).unwrap();
    drop((store, lock));
    for name in ["signed", "unsigned"] {
        let mut whole = ZipArchive::new(File::open(folder.path(name)).unwrap()).unwrap();
        let mut cut = ZipWriter::new(File::create(folder.path("cut")).unwrap());
        for index in 0..whole.len() {
            let mut entry = whole.by_index(index).unwrap();
            let (of, mut bytes) = (entry.name().unwrap().into_owned(), Vec::new());
            entry.read_to_end(&mut bytes).unwrap();
            if of == "log" {
                let mut starts = vec![0];
                while starts.last() < Some(&bytes.len()) {
                    let start = *starts.last().unwrap();
                    let length = bytes[start..start + 4].try_into().unwrap();
                    starts.push(start + 4 + u32::from_le_bytes(length) as usize);
                }
                bytes.truncate(starts[starts.len() - 3]);
            } else if of == "bundle.json" {
                let mut about: About = serde_json::from_slice(&bytes).unwrap();
                about.places.last_mut().unwrap().1 -= 2;
                let known: Vec<_> = about.places.iter().map(|&(from, to)| from..to).collect();
                let leaf = |index| tree::leaf_at(&records, index);
                about.proof = partial_proof(about.size, &known, leaf).unwrap();
                bytes = serde_json::to_vec(&about).unwrap();
            }
            let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
            cut.start_file(of, stored).unwrap();
            cut.write_all(&bytes).unwrap();
        }
        cut.finish().unwrap();
        if name == "signed" {
            let said = found(&folder, &["verify", "cut", "--key", &key], NOT_SOUND);
            assert!(said.contains("does not end where the checkpoint says"), "{said}");
        } else {
            assert!(ask(&folder, &["verify", "cut"]).contains("its log may have gone on"));
        }
    }
}

#[test]
fn proofs_convince_without_the_store() {
    let (folder, key) = kept();
    let event = ask(&folder, &["log", "--json", "--cycle", "1"]);
    let records = event.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let hashes: Vec<String> =
        records.map(|record| record["hash"].as_str().unwrap().to_owned()).collect();
    let elsewhere = Folder::new();
    let proof = ask(&folder, &["checkpoint", "prove", "1:2", "--checkpoint", "second"]);
    elsewhere.write("proof", proof);
    let check = ["checkpoint", "check", "proof", "--key", &key, "--event"];
    let said = ask(&elsewhere, &[&check[..], &[&hashes[2]]].concat());
    assert!(said.contains("a.test/runs: the event is the one at"), "{said}");
    let said = found(&elsewhere, &[&check[..], &[&hashes[3]]].concat(), NOT_SOUND);
    assert!(said.contains("leads to the root"), "{said}");

    let grew = ["checkpoint", "prove", "--since", "first", "--checkpoint", "second"];
    elsewhere.write("grew", ask(&folder, &grew));
    fs::copy(folder.path("first"), elsewhere.path("first")).unwrap();
    let check = ["checkpoint", "check", "grew", "--key", &key, "--since", "first"];
    assert!(ask(&elsewhere, &check).contains("are the first of"));
    let text = fs::read_to_string(elsewhere.path("grew")).unwrap();
    elsewhere.write("grew", text.replacen("old ", "old 1", 1));
    assert!(found(&elsewhere, &check, NOT_SOUND).contains("grew from another size"));

    for (arguments, word) in [
        (&["checkpoint", "prove", "1:2", "--checkpoint", "first"][..], "came after"),
        (&["checkpoint", "prove", "1:99", "--checkpoint", "second"], "no event 1:99"),
        (&["checkpoint", "prove", "1", "--checkpoint", "second"], "CYCLE:REVISION"),
        (
            &["checkpoint", "prove", "--since", "second", "--checkpoint", "first"],
            "does not continue",
        ),
        (&["checkpoint", "prove", "1:2", "--checkpoint", "key"], "is no checkpoint"),
        (&["checkpoint", "prove", "1:2", "--checkpoint", "nowhere"], "cannot read nowhere"),
    ] {
        told(&folder.gleaner(arguments).output().unwrap(), WRONG, &[word]);
    }
}
