//! Stories about queries: what is answered, what is refused, and what the message says.

use super::*;
use crate::data_selector::test_support::{distributions, ids, picks, probabilities};
use crate::domain::ids::SampleId;

fn columns() -> Table {
    let site = ["a", "b", "a", "b", "a", "b"].map(|site| Some(site.into()));
    let score = [0.1, 0.9, 0.5, 0.9, 0.3, 0.2].map(Some);
    let cycle = [None, Some(1), None, None, Some(2), None];
    Table {
        rows: 6,
        columns: vec![
            ("site".to_owned(), Column::Text(site.into())),
            ("score".to_owned(), Column::Number(score.into())),
            ("cycle".to_owned(), Column::Whole(cycle.into())),
        ],
    }
}

/// Six samples; s001 and s004 have a label.
fn ask_with(sql: &str, file: Option<&Path>, limits: QueryLimits) -> Result<Answer, SelectorError> {
    let ids = ids(6);
    let (columns, candidates) = (columns(), Runs::all_but(6, [1, 4]));
    let samples = Samples { ids: &ids.as_slice(), candidates: &candidates, columns: &columns };
    let sites =
        Table { rows: 1, columns: vec![("name".to_owned(), Column::Text(vec![Some("b".into())]))] };
    Database::open(samples, &[("sites", &sites)], file, limits)?.answer(sql)
}

fn ask(sql: &str) -> Result<Answer, SelectorError> {
    ask_with(sql, None, QueryLimits::default())
}

#[track_caller]
fn refused(sql: &str, expected: &str) {
    let text = ask(sql).unwrap_err().to_string();
    assert!(text.contains(expected), "{sql}: {text}");
}

#[test]
fn ids_are_answered_in_the_order_of_the_query() {
    // Of s000, s002, s003, s005, by their indexes.
    let answer = |sql: &str| ask(sql).unwrap();
    assert_eq!(answer("SELECT id FROM samples").candidates, [0, 1, 2, 3]);
    assert_eq!(answer("SELECT id FROM samples").labelled, 2);
    let by_score = answer("SELECT id, score FROM samples ORDER BY score DESC, id;");
    assert_eq!((by_score.candidates, by_score.labelled), (vec![2, 1, 3, 0], 2));
    let joined = "WITH x AS (SELECT name FROM sites) SELECT id FROM samples JOIN x ON site = name";
    assert_eq!(answer(joined).candidates, [2, 3]);
    let twice = "SELECT id FROM (SELECT id, 2 AS n FROM samples WHERE id = 's000' UNION ALL \
                 SELECT id, 1 FROM samples WHERE cycle IS NULL) ORDER BY n, id DESC -- the first counts";
    assert_eq!(answer(twice).candidates, [3, 2, 1, 0]);
    assert_eq!(answer("SELECT id FROM samples WHERE 0"), Answer::default());
    assert_eq!(answer("VALUES ('s005'), ('s000')").candidates, [3, 0]);
}

#[test]
fn what_is_no_answer_is_named() {
    refused(
        "SELECT idd FROM samples",
        "no such column: idd; there are samples(id, site, score, cycle), sites(name)",
    );
    refused("SELECT \"idd\" FROM samples", "no such column");
    refused("SELECT id FROM sample", "no such table: sample; there are samples(");
    refused("SELEC id FROM samples", "near \"SELEC\": syntax error");
    refused("", "it is empty");
    refused("-- nothing", "it is empty");
    refused("SELECT 's9'", "row 1 of its answer has \"s9\", which is not in the pool");
    refused("VALUES ('s000'), (NULL)", "row 2 of its answer has nothing (NULL)");
    refused("SELECT score FROM samples", "row 1 of its answer has the number 0.1");
    refused("SELECT 7", "has 7, which is not in the pool");
    refused("SELECT x'00'", "has bytes");
    refused("SELECT abs('x', 2)", "wrong number of arguments");
}

#[test]
fn only_one_select_that_reads_is_answered() {
    refused("SELECT id FROM samples; SELECT id FROM samples", "more than one statement");
    for (sql, word) in [
        ("DELETE FROM samples", "Delete"),
        ("INSERT INTO samples(id) VALUES ('x')", "Insert"),
        ("WITH x AS (SELECT 1) UPDATE samples SET site = 'c'", "Update"),
        ("UPDATE samples SET site = 'c' RETURNING id", "Update"),
        ("DROP TABLE samples", "D"),
        ("CREATE TABLE x(y)", "Insert"),
        ("CREATE TEMP TABLE x AS SELECT 1", "T"),
        ("ATTACH ':memory:' AS x", "Attach"),
        ("DETACH user", "Detach"),
        ("PRAGMA journal_mode = off", "Pragma"),
        ("SELECT name FROM pragma_table_list", "Pragma"),
        ("BEGIN", "Transaction"),
        ("SELECT id FROM samples; DROP TABLE samples", "D"),
        ("SELECT load_extension('x')", "load_extension"),
        (
            "SELECT id FROM samples ORDER BY random()",
            "calls random(), which cannot be derived again",
        ),
        ("SELECT current_timestamp", "current_timestamp"),
    ] {
        let text = ask(sql).unwrap_err().to_string();
        assert!(text.contains("refused, because it") && text.contains(word), "{sql}: {text}");
    }
    refused("VACUUM", "");
    refused("VACUUM INTO '/tmp/nowhere'", "");
    refused("EXPLAIN SELECT id FROM samples", "EXPLAIN is no SELECT");
}

#[test]
fn a_query_without_end_is_stopped() {
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) \
                   SELECT 's000' FROM n WHERE i < 0";
    let limits = QueryLimits { time: Duration::from_millis(50), rows: 5 };
    let text = ask_with(endless, None, limits).unwrap_err().to_string();
    assert!(text.contains("longer than 0.05 s"), "{text}");
    let limits = QueryLimits { rows: 5, ..QueryLimits::default() };
    let text = ask_with("SELECT id FROM samples", None, limits).unwrap_err().to_string();
    assert!(text.contains("more than 5 rows"), "{text}");
    refused("SELECT zeroblob(100000000)", "too big");
}

#[test]
fn a_file_of_the_users_is_joined_and_never_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine #1?.db");
    let mine = Connection::open(&file).unwrap();
    mine.execute_batch(
        "CREATE TABLE wanted(sample, n); INSERT INTO wanted VALUES ('s005', 1), ('s002', 2);",
    )
    .unwrap();
    drop(mine);
    let before = std::fs::read(&file).unwrap();
    let ask = |sql: &str| ask_with(sql, Some(&file), QueryLimits::default());
    let answer = ask("SELECT id FROM samples JOIN user.wanted ON id = sample ORDER BY n").unwrap();
    assert_eq!(answer.candidates, [3, 1]);
    assert!(ask("DELETE FROM user.wanted").is_err());
    let unknown = ask("SELECT id FROM user.wanted").unwrap_err().to_string();
    assert!(unknown.contains("user.wanted(sample, n)"), "{unknown}");
    assert_eq!(std::fs::read(&file).unwrap(), before);

    let missing = folder.path().join("missing.db");
    let text =
        ask_with("SELECT 1", Some(&missing), QueryLimits::default()).unwrap_err().to_string();
    assert!(text.contains("missing.db cannot be read"), "{text}");
    assert!(!missing.exists());
    std::fs::write(&missing, "no database, but long enough to be looked at").unwrap();
    let text =
        ask_with("SELECT 1", Some(&missing), QueryLimits::default()).unwrap_err().to_string();
    assert!(text.contains("not a database"), "{text}");
}

#[test]
fn tables_that_do_not_fit_are_refused() {
    let ids = ids(2);
    let all = Runs::all_but(2, []);
    let open = |columns: Vec<(String, Column)>| {
        let table = Table { rows: 2, columns };
        let samples = Samples { ids: &ids.as_slice(), candidates: &all, columns: &table };
        Database::open(samples, &[], None, QueryLimits::default()).err().unwrap().to_string()
    };
    let column = |name: &str, n: usize| (name.to_owned(), Column::Whole(vec![Some(1); n]));
    assert!(open(vec![column("ID", 2)]).contains("duplicate column name: ID"));
    assert!(open(vec![column("x", 3)]).contains("samples.x has 3 values for 2 rows"));
}

#[test]
fn a_strategy_asks_the_database() {
    let bytes = [(1, 2, 3), (9, 1, 1), (4, 4, 4), (7, 7, 1)];
    let candidates: Vec<SampleId> =
        ids(6).into_iter().filter(|id| !["s001", "s004"].contains(&id.as_str())).collect();
    let p = distributions(&bytes);
    let (all, columns, free) = (ids(6), columns(), Runs::all_but(6, [1, 4]));
    let all = all.as_slice();
    let samples = Samples { ids: &all, candidates: &free, columns: &columns };
    let database = Database::open(samples, &[], None, QueryLimits::default()).unwrap();
    let mut view = probabilities(&candidates, &p);
    view.queries = Some(&database);
    let query = "query(sql=\"SELECT id FROM samples ORDER BY score DESC, id\")";
    assert_eq!(picks(query, &view, 3), [2, 1, 3]);
    let only = "where(margin, sql=\"SELECT id FROM samples WHERE site = 'b'\")";
    assert_eq!(picks(only, &view, 4), [2, 3]);
}
