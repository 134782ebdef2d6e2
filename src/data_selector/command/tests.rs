//! Stories about programs that pick, told by shell scripts.

use super::*;
use crate::data_selector::test_support::{distributions, ids, picks, probabilities, select_by};
use crate::data_selector::{Output, View};
use crate::domain::ids::SampleId;
use crate::domain::matrix::Matrix;

/// A strategy that runs a script of the shell; the folder is `$1`.
fn script(text: &str, more: &str) -> String {
    let run = format!("sh -c '{text}' sh").replace('\\', "\\\\").replace('"', "\\\"");
    format!("command(run=\"{run}\"{more})")
}

fn refusal(text: &str, more: &str, view: &View<'_>) -> String {
    let refused = select_by(&script(text, more), view, 2, 0);
    refused.err().map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn a_program_picks_from_the_files_it_is_given() {
    let candidates = ["a", "b,\"c\"", "d"].map(SampleId::from);
    let p = distributions(&[(1, 2, 3), (3, 2, 1), (1, 1, 1)]);
    let view = probabilities(&candidates, &p);
    // The two last candidates, in the order of the file, as it wrote them.
    let last = script("(echo id; tail -n 2 $1/candidates.csv | cut -d, -f2-) > $1/picks.csv", "");
    let (found, _) = select_by(&last, &view, 2, 0).unwrap();
    let found: Vec<_> = found.picks.iter().map(|p| (p.sample.as_str(), p.score)).collect();
    assert_eq!(found, [("b,\"c\"", Some(2.0)), ("d", Some(1.0))]);
    let scored = script("printf \"id,score\\r\\nd,-1.5\\r\\na,7\\r\\n\" > $1/picks.csv", "");
    let (found, _) = select_by(&scored, &view, 2, 0).unwrap();
    assert_eq!(found.picks.iter().map(|p| p.score.unwrap()).collect::<Vec<_>>(), [-1.5, 7.0]);
    assert_eq!(picks(&scored, &view, 3), [2, 0]);
}

#[test]
fn the_files_say_what_the_view_holds() {
    let candidates = ids(3);
    let p = distributions(&[(1, 2, 3), (3, 2, 1), (1, 1, 1)]);
    let embedding = Matrix::new(3, 2, vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
    let known = Matrix::new(1, 2, vec![8.0, 9.0]).unwrap();
    let mut view = probabilities(&candidates, &p).with("embedding", Output::flat(&embedding));
    view.labelled.classes = vec![2].into();
    view.labelled.outputs.insert("embedding", std::borrow::Cow::Borrowed(&known));
    view.members = vec![Output::flat(&p), Output::flat(&p)];
    let spec: StrategySpec =
        "command(run=x, outputs=\"probabilities, labelled:embedding, members\")".parse().unwrap();
    let command = Command::new(&spec).unwrap();
    let needs = Needs::members().and_output("probabilities").and_labelled("embedding");
    assert_eq!(command.needs(), needs);
    let folder = tempfile::tempdir().unwrap();
    command.ask(&view, 2, folder.path()).unwrap();
    let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    let request: Value = serde_json::from_slice(&read("request.json")).unwrap();
    assert_eq!(
        (&request["count"], &request["seed"], &request["cycle"]),
        (&json!(2), &json!(7), &json!(3))
    );
    let files: Vec<_> = request["outputs"].as_array().unwrap().iter().map(|o| &o["file"]).collect();
    assert_eq!(
        files,
        ["output-0.npy", "output-1.npy", "labelled-0.npy", "member-0.npy", "member-1.npy"]
    );
    let bytes = read("output-0.npy");
    assert_eq!(&bytes[..10], b"\x93NUMPY\x01\x00\x76\x00");
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2, ), }";
    assert!(bytes[10..128].starts_with(header.as_bytes()) && bytes[127] == b'\n');
    let values: Vec<f32> =
        bytes[128..].chunks(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    assert_eq!(values, embedding.data());
    assert_eq!(read("labelled.csv"), b"index,class\n0,2\n");
    assert_eq!(read("labelled-0.npy").len(), 128 + 8);
}

#[test]
fn a_program_that_fails_is_quoted() {
    let (candidates, p) = (ids(3), distributions(&[(1, 2, 3), (3, 2, 1), (1, 1, 1)]));
    let view = probabilities(&candidates, &p);
    let failed = refusal("echo no such column >&2; exit 3", "", &view);
    assert!(
        failed.contains("exit status: 3; the end of its error output: no such column"),
        "{failed}"
    );
    let silent = refusal("exit 1", "", &view);
    assert!(silent.contains("exit status: 1, and wrote nothing"), "{silent}");
    let late = refusal("sleep 600 & wait", ", seconds=1", &view);
    assert!(late.contains("longer than 1 s"), "{late}");
    let missing = select_by("command(run=\"/no/such/program\")", &view, 1, 0).unwrap_err();
    assert!(missing.to_string().contains("it cannot be started"), "{missing}");
    let blind = select_by("command(run=x, outputs=depth)", &view, 1, 0).unwrap_err();
    assert!(blind.to_string().contains("needs output `depth`"), "{blind}");
    let open = select_by("command(run=\"a 'b\")", &view, 1, 0).unwrap_err();
    assert!(open.to_string().contains("a quote is not closed"), "{open}");
}

#[test]
fn picks_that_are_none_are_refused_with_their_line() {
    let (candidates, p) = (ids(3), distributions(&[(1, 2, 3), (3, 2, 1), (1, 1, 1)]));
    let view = probabilities(&candidates, &p);
    for (written, expected) in [
        ("", "line 1 of picks.csv is neither"),
        ("s000", "line 1 of picks.csv is neither"),
        ("id\\ns009", "line 2 of picks.csv names \"s009\", which is no candidate"),
        ("id\\ns001\\n\\ns001", "line 4 of picks.csv names \"s001\" again"),
        ("id,score\\ns001", "line 2 of picks.csv has 1 fields"),
        ("id,score\\ns001,nan", "has the score \"nan\"; a finite number is expected"),
        ("id\\ns000\\ns001\\ns002", "it picks 3 samples where 2 were asked for"),
        ("id\\n\\042s", "ends inside quotes"),
    ] {
        let text = refusal(&format!("printf \"{written}\" > $1/picks.csv"), "", &view);
        assert!(text.contains(expected), "{written}: {text}");
    }
    let none = refusal("true", "", &view);
    assert!(none.contains("leaves no readable picks.csv"), "{none}");
}

#[test]
fn words_are_split_as_people_expect() {
    let split = |text: &str| words(text).unwrap_or_default();
    assert_eq!(split(" python  pick.py "), ["python", "pick.py"]);
    assert_eq!(
        split(r#"a 'b "c' "d 'e\"" f\ g '' h"i"j"#),
        ["a", "b \"c", "d 'e\"", "f g", "", "hij"]
    );
    for bad in ["", "  ", "'a", "a \"b", "a\\"] {
        assert_eq!(words(bad), None, "{bad}");
    }
}
