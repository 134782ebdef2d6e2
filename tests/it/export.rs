//! What is exported is what the log says: by people and programs, beside a live run, and whatever interrupts it.

use crate::program::{Folder, Live, WRONG, stderr, told};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};

fn ask(folder: &Folder, arguments: &[&str]) -> String {
    let output = folder.gleaner(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn json(folder: &Folder, arguments: &[&str]) -> Value {
    serde_json::from_str(&ask(folder, &[arguments, &["--json"]].concat())).unwrap()
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The rows of a CSV file, by column.
fn rows(text: &str) -> Vec<BTreeMap<String, String>> {
    csv::Reader::from_reader(text.as_bytes()).deserialize().map(Result::unwrap).collect()
}

fn files(folder: &Folder) -> Vec<String> {
    let names = fs::read_dir(folder.root()).unwrap();
    let mut names: Vec<String> =
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn events_are_those_of_the_log_in_every_form() {
    let folder = Folder::ended();
    let log = lines(&ask(&folder, &["log", "--json"]));

    let said = json(&folder, &["export", "events", "-o", "events.jsonl"]);
    assert_eq!((&said["events"], &said["format"]), (&log.len().into(), &"jsonl".into()), "{said}");
    let text = fs::read_to_string(folder.path("events.jsonl")).unwrap();
    let events = lines(&text);
    assert_eq!(events.len(), log.len());
    for (event, record) in events.iter().zip(&log) {
        for (name, of) in [
            ("id", "id"),
            ("time", "recorded"),
            ("cycle", "cycle"),
            ("revision", "revision"),
            ("position", "position"),
            ("actor", "actor"),
            ("workflow", "workflow"),
            ("previoushash", "previous"),
            ("hash", "hash"),
            ("data", "event"),
        ] {
            assert_eq!(event[name], record[of], "{name}: {event}");
        }
        assert_eq!(event["causation"], record["causation"]);
        assert_eq!(event["source"], format!("/gleaner/runs/{}", record["run"].as_str().unwrap()));
        assert_eq!(event["type"], format!("gleaner.{}.v1", record["name"].as_str().unwrap()));
    }
    assert_eq!(text, ask(&folder, &["export", "events"]), "the same on standard output");

    let table = rows(&ask(&folder, &["export", "events", "--format", "csv"]));
    assert_eq!(table.len(), log.len());
    for (row, record) in table.iter().zip(&log) {
        assert_eq!(
            (&row["id"], &row["time"]),
            (&text_of(&record["id"]), &text_of(&record["recorded"]))
        );
        assert_eq!(row["causation"], record["causation"].as_str().unwrap_or_default());
        assert_eq!(serde_json::from_str::<Value>(&row["data"]).unwrap(), record["event"]);
    }

    let parquet = folder.gleaner(&["export", "events", "-o", "events.parquet"]).output().unwrap();
    if cfg!(feature = "parquet") {
        told(&parquet, 0, &[]);
        assert!(fs::read(folder.path("events.parquet")).unwrap().ends_with(b"PAR1"));
    } else {
        told(&parquet, WRONG, &["events.parquet", "--features parquet", "jsonl or csv"]);
        assert!(!folder.path("events.parquet").exists());
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[test]
fn labels_are_those_that_were_known_at_that_point() {
    let folder = Folder::ended();
    let now = json(&folder, &["replay"]);
    let said = json(&folder, &["export", "labels", "-o", "labels.csv"]);
    assert_eq!(said["labelled_set"], now["labelled_set"]);
    let table = rows(&fs::read_to_string(folder.path("labels.csv")).unwrap());
    assert_eq!(now["labelled"], table.len());
    assert!(table.iter().all(|row| ["a", "b", "c"].contains(&row["label"].as_str())), "{table:?}");
    assert!(table.iter().all(|row| row["annotator"] == "oracle" && row["time"].ends_with('Z')));
    let ids: Vec<&String> = table.iter().map(|row| &row["sample"]).collect();
    assert!(ids.is_sorted(), "{ids:?}");
    assert_eq!(lines(&ask(&folder, &["export", "labels", "--format", "jsonl"])).len(), table.len());

    let first = rows(&ask(&folder, &["export", "labels", "--to", "1"]));
    assert_eq!(json(&folder, &["replay", "--to", "1"])["labelled"], first.len());
    assert!(first.iter().all(|row| row["cycle"] == "1" && table.contains(row)), "{first:?}");
    let nothing = ask(&folder, &["export", "labels", "--to", "1:0"]);
    assert_eq!(nothing, "sample,label,cycle,arm,annotator,time\n");
}

#[cfg(unix)]
#[test]
fn a_link_stays_one_and_what_is_no_file_is_written_to() {
    use std::io::Read as _;
    use std::os::unix::fs::{FileTypeExt as _, symlink};
    let folder = Folder::ended();
    for (link, arguments) in [
        ("link.csv", ["export", "labels", "-o", "link.csv"].as_slice()),
        ("link.html", &["report", "-o", "link.html"]),
    ] {
        folder.write("led", "of yesterday");
        symlink("led", folder.path(link)).unwrap();
        ask(&folder, arguments);
        assert!(fs::symlink_metadata(folder.path(link)).unwrap().is_symlink());
        let led = fs::read_to_string(folder.path("led")).unwrap();
        assert!(led.len() > 100 && !led.contains("yesterday"), "{led}");
        fs::remove_file(folder.path("led")).unwrap();
        ask(&folder, arguments);
        assert_eq!(fs::read_to_string(folder.path("led")).unwrap(), led, "led to nothing");
    }

    let pipe = folder.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    // Open for both, nobody waits for the other.
    let mut end = fs::File::options().read(true).write(true).open(&pipe).unwrap();
    ask(&folder, &["export", "labels", "--format", "csv", "-o", "pipe"]);
    assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
    let mut bytes = [0; 7];
    end.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"sample,");
}

#[test]
fn what_cannot_be_exported_says_why_and_leaves_what_was_there() {
    let folder = Folder::ended();
    folder.write("labels.json", "of yesterday");
    let before = files(&folder);
    for (arguments, words) in [
        (
            &["labels", "-o", "labels.json"][..],
            &["labels.json", "classification", "csv or jsonl"][..],
        ),
        (&["labels", "-o", "labels.xlsx"], &["labels.xlsx", "csv or jsonl", "--format"]),
        (&["labels", "--to", "9"], &["nothing at 9", "ends at 2:"]),
        (&["labels", "--format", "parquet"], &["\"parquet\" is no form", "coco"]),
        (&["events", "-o", "events"], &["events does not tell a format", "jsonl, csv or parquet"]),
        (&["events", "--format", "parquet"], &["is no text", "-o FILE"]),
        (&["events", "nosuchrun"], &["nosuchrun"]),
    ] {
        let arguments = [&["export"], arguments].concat();
        told(&folder.gleaner(&arguments).output().unwrap(), WRONG, words);
    }
    let nowhere = ["export", "events", "-o", "no/such/folder.csv"];
    told(&folder.gleaner(&nowhere).output().unwrap(), 1, &["no/such/folder.csv", "No such file"]);
    assert_eq!(files(&folder), before);
    assert_eq!(fs::read_to_string(folder.path("labels.json")).unwrap(), "of yesterday");
    ask(&folder, &["export", "labels", "-o", "labels.json", "--format", "jsonl"]);
    assert_eq!(files(&folder), before);
    assert_eq!(lines(&fs::read_to_string(folder.path("labels.json")).unwrap()).len(), 6);
}

#[test]
fn a_live_run_is_exported_by_a_second_terminal_to_the_last_bit() {
    let folder = Folder::new();
    let sets = ["stop.max_cycles=100000", "selector.batch=1", "trainer.epochs=2000"];
    let mut live = Live::start(folder.running(&sets));
    live.until("    2 ");
    ask(&folder, &["export", "events", "-o", "live.jsonl"]);
    ask(&folder, &["export", "labels", "-o", "live.csv", "--to", "2:0"]);

    // A process that does not answer, and a user who gives up.
    folder.write("mine.csv", "mine");
    let before = files(&folder);
    live.signal("STOP");
    let mut export = folder.gleaner(&["export", "events", "-o", "mine.csv"]);
    let mut export = export.stderr(Stdio::null()).spawn().unwrap();
    let pid = export.id().to_string();
    assert!(Command::new("kill").args(["-s", "INT", &pid]).status().unwrap().success());
    assert!(!export.wait().unwrap().success());
    live.signal("CONT");
    assert_eq!(files(&folder), before);
    assert_eq!(fs::read_to_string(folder.path("mine.csv")).unwrap(), "mine");

    live.signal("INT");
    live.end();
    let seen = fs::read_to_string(folder.path("live.jsonl")).unwrap();
    let now = ask(&folder, &["export", "events"]);
    assert!(lines(&seen).len() > 10 && now.starts_with(&seen), "{seen}");
    let labels = ask(&folder, &["export", "labels", "--to", "2:0"]);
    assert_eq!(fs::read_to_string(folder.path("live.csv")).unwrap(), labels);
}
