//! Strategies that are database queries: `query` picks what SQL answers, `where` restricts another strategy to it.
//!
//! What may be asked, and of what, is said where queries are answered (see [`super::Queries`]).

use super::inner::{Inner, remark};
use super::strategy::{Chosen, Needs, Picks, Plan, Strategy};
use super::{SelectorError, View};
use crate::domain::rows::Runs;
use crate::domain::strategy::StrategySpec;

/// `query(sql="SELECT id FROM samples WHERE ... ORDER BY ...")`: the first samples that the query answers, in its order.
///
/// Each id counts once, where it comes first. Samples with a label, and those of the audit arm, are passed over. Scores are
/// ranks: the last pick's is 1, that before it 2, and so on. Fewer answers than the batch are a smaller batch.
///
/// Source: ours. Takes what the query takes; memory for its answer. Needs a database.
///
/// Use it where people know what to label: the newest, those of one camera, those of which a join finds too few. Say
/// `ORDER BY` with `id` as its last key, or the order is whatever SQLite finds convenient; and ask for no time of day,
/// because such a batch cannot be derived again.
pub(super) struct Query {
    sql: String,
}

impl Query {
    pub(super) fn new(spec: &StrategySpec) -> Self {
        Self { sql: spec.text("sql").unwrap_or_default().to_owned() }
    }
}

impl Strategy for Query {
    fn needs(&self) -> Needs {
        Needs { queries: true, ..Needs::nothing() }
    }

    fn plan<'v>(&'v self, view: &'v View<'v>, count: usize) -> Result<Plan<'v>, SelectorError> {
        let (found, text) = answer(view, &self.sql)?;
        let taken = count.min(found.len());
        let ranks = (1..=taken).rev().map(rank);
        let chosen = found.into_iter().zip(ranks).map(|(index, score)| Chosen {
            index,
            score,
            probability: None,
        });
        let mut picks = Picks { chosen: chosen.collect(), ..Picks::default() };
        remark(&mut picks.remarks, "query", text);
        Ok(Plan::Picks(picks))
    }
}

/// `where(inner, sql="SELECT id FROM samples WHERE ...")`: the inner strategy picks among the samples that the query
/// answers, as if there were no others. The order of the answer does not matter.
///
/// Source: ours. Takes what the query takes, and the inner strategy on what it answers; memory for the answer. Needs a
/// database, and what the inner strategy needs. See [`Query`] for what to ask and what not.
pub(super) struct Where {
    inner: Inner,
    sql: String,
}

impl Where {
    pub(super) fn new(spec: &StrategySpec) -> Result<Self, SelectorError> {
        let sql = spec.text("sql").unwrap_or_default().to_owned();
        Ok(Self { inner: Inner::of(spec, 0, "margin")?, sql })
    }
}

impl Strategy for Where {
    fn version(&self) -> u32 {
        self.inner.version()
    }

    fn needs(&self) -> Needs {
        Needs { queries: true, ..self.inner.needs() }
    }

    fn plan<'v>(&'v self, view: &'v View<'v>, count: usize) -> Result<Plan<'v>, SelectorError> {
        let (mut found, text) = answer(view, &self.sql)?;
        found.sort_unstable();
        let kept: Runs = found.into_iter().collect();
        let mut picks = self.inner.pick_among(view, &kept, count)?;
        remark(&mut picks.remarks, "where", text);
        Ok(Plan::Picks(picks))
    }
}

/// The candidates of this view that a query answers, in its order; at least one. And what to remark.
fn answer(view: &View<'_>, sql: &str) -> Result<(Vec<usize>, String), SelectorError> {
    let queries = view.queries.ok_or(SelectorError::Missing {
        what: "a database to query",
        way_out: "build with `--features sql`",
    })?;
    let answer = queries.answer(sql)?;
    let all = answer.candidates.len();
    let found: Vec<usize> =
        answer.candidates.into_iter().filter_map(|place| view.at_place(place)).collect();
    let text = format!(
        "the query answers {} of {} candidates, beside {} samples with a label and {} out of reach",
        found.len(),
        view.len(),
        answer.labelled,
        all - found.len()
    );
    if found.is_empty() {
        return Err(SelectorError::Query {
            query: sql.to_owned(),
            problem: format!("{text}; it must answer at least one candidate"),
        });
    }
    Ok((found, text))
}

#[expect(clippy::cast_precision_loss, reason = "a rank in a batch is far below 2^53")]
const fn rank(rank: usize) -> f64 {
    rank as f64
}

#[cfg(test)]
mod tests {
    use crate::data_selector::test_support::{distributions, ids, picks, probabilities, select_by};
    use crate::data_selector::{Answer, Queries, SelectorError};

    /// Answers numbers written as text.
    struct Numbers;

    impl Queries for Numbers {
        fn answer(&self, sql: &str) -> Result<Answer, SelectorError> {
            let candidates = sql.split_whitespace().filter_map(|n| n.parse().ok()).collect();
            Ok(Answer { candidates, labelled: 2 })
        }
    }

    #[test]
    fn a_query_picks_in_its_order_and_where_restricts() {
        let bytes: Vec<_> = (0..9_u8).map(|i| (i * 5 % 7, i, 9)).collect();
        let (candidates, p) = (ids(9), distributions(&bytes));
        let mut view = probabilities(&candidates, &p);
        view.queries = Some(&Numbers);
        assert_eq!(picks("query(sql=\"7 2 5 0\")", &view, 3), [7, 2, 5]);
        let (found, _) = select_by("query(sql=\"7 2 5 0\")", &view, 3, 0).unwrap();
        assert_eq!(
            found.picks.iter().map(|p| p.score.unwrap()).collect::<Vec<_>>(),
            [3.0, 2.0, 1.0]
        );
        let margin = picks("margin", &view, 9);
        let expected: Vec<usize> =
            margin.into_iter().filter(|i| [7, 2, 5, 0].contains(i)).take(3).collect();
        assert_eq!(picks("where(margin, sql=\"7 2 5 0\")", &view, 3), expected);
        let short = select_by("where(margin, sql=\"4\")", &view, 3, 0).unwrap().0;
        assert_eq!(short.parameters["short"], "1 picks where 3 were asked for");
        let empty = select_by("query(sql=\"none\")", &view, 3, 0).unwrap_err().to_string();
        assert!(empty.contains("at least one candidate"), "{empty}");
    }

    #[test]
    fn answers_keep_their_places_where_candidates_are_hidden() {
        let bytes: Vec<_> = (0..9_u8).map(|i| (i * 5 % 7, i, 9)).collect();
        let (candidates, p) = (ids(9), distributions(&bytes));
        let mut view = probabilities(&candidates, &p);
        view.queries = Some(&Numbers);
        for strategy in [
            "query(sql=\"8 7 6 5 4\")",
            "where(query(sql=\"8 7 6 5 4\"), sql=\"4 5 6 7 8\")",
            "prefilter(query(sql=\"8 7 6 5 4\"), keep=7)",
        ] {
            let (found, _) = select_by(strategy, &view, 6, 2).unwrap();
            let (audit, picked): (Vec<_>, Vec<_>) =
                found.picks.iter().partition(|pick| pick.score.is_none());
            let audit: Vec<&str> = audit.iter().map(|pick| pick.sample.as_str()).collect();
            let expected: Vec<String> = [8, 7, 6, 5, 4]
                .iter()
                .map(|i| format!("s{i:03}"))
                .filter(|id| !audit.contains(&id.as_str()))
                .take(4)
                .collect();
            let picked: Vec<&str> = picked.iter().map(|pick| pick.sample.as_str()).collect();
            assert_eq!(picked, expected, "{strategy}");
        }
        view.queries = None;
        let missing = select_by("query(sql=\"1\")", &view, 1, 0).unwrap_err().to_string();
        assert!(missing.contains("--features sql"), "{missing}");
    }
}
