//! Tables in SQLite, and the one kind of statement that is answered: a read-only SELECT of ids.
//!
//! The table `samples` has a row for every sample of the pool, labelled or not: its `id`, and whatever columns were given.
//! Other tables stand beside it; a SQLite file of the user's is attached, read-only, as the schema `user`. Nothing is
//! written anywhere but to SQLite's own temporary files, into which a large pool and large sorts overflow.

use super::SelectorError;
use super::view::{Answer, Queries, SampleIds};
use crate::domain::rows::Runs;
use crate::domain::table::{Column, Table};
use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OpenFlags, Statement, ToSql, params_from_iter};
use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Steps of SQLite's machine between two looks at the time limit: well below a millisecond.
const STEPS: i32 = 1000;
/// The longest text or row that a query may build, in bytes, so that no expression takes all memory.
const LENGTH_MAX: i32 = 16 << 20;
/// Functions that answer something else each time, and one that runs foreign code.
const REFUSED: [&str; 6] =
    ["random", "randomblob", "current_time", "current_date", "current_timestamp", "load_extension"];

/// What a query may take.
#[derive(Debug, Clone, Copy)]
pub struct QueryLimits {
    /// How long it may run.
    pub time: Duration,
    /// How many rows it may answer.
    pub rows: usize,
}

impl Default for QueryLimits {
    /// 30 seconds; a hundred million rows.
    fn default() -> Self {
        Self { time: Duration::from_secs(30), rows: 100_000_000 }
    }
}

/// The samples of a pool, as queries see them.
#[derive(Clone, Copy)]
pub struct Samples<'a> {
    /// The ids of all, ascending.
    pub ids: &'a dyn SampleIds,
    /// Which of them are candidates, by their places; the others have a label.
    pub candidates: &'a Runs,
    /// What is known about each: the pool's metadata and the engine's own state (labelled, predicted, score, cycle).
    pub columns: &'a Table,
}

/// Answers queries about samples.
pub struct Database<'a> {
    connection: Mutex<Connection>,
    samples: Samples<'a>,
    limits: QueryLimits,
    /// Each table with its columns, for messages.
    tables: Vec<String>,
    /// The time is up.
    late: Arc<AtomicBool>,
    /// What the statement wanted and may not.
    denied: Arc<Mutex<Option<String>>>,
}

impl<'a> Database<'a> {
    /// Loads the samples and the other tables; attaches `file`, where there is one.
    ///
    /// # Errors
    /// [`SelectorError::Database`]: two columns of one name, a column of another length, a file that is missing or no
    /// database.
    pub fn open(
        samples: Samples<'a>,
        tables: &[(&str, &Table)],
        file: Option<&Path>,
        limits: QueryLimits,
    ) -> Result<Self, SelectorError> {
        let late = Arc::new(AtomicBool::new(false));
        let denied = Arc::new(Mutex::new(None));
        let (connection, tables) =
            load(samples, tables, file, (Arc::clone(&late), Arc::clone(&denied)))?;
        Ok(Self { connection: Mutex::new(connection), samples, limits, tables, late, denied })
    }

    fn refuse(&self, sql: &str, problem: String) -> SelectorError {
        SelectorError::Query { query: sql.to_owned(), problem }
    }

    /// What SQLite says, in our words where it does not know why.
    fn explain(&self, sql: &str, error: &rusqlite::Error) -> SelectorError {
        let denied = self.denied.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.refuse(
            sql,
            if self.late.load(Ordering::Relaxed) {
                format!(
                    "it takes longer than {} s; restrict it, or raise the limit `selector.query_seconds`",
                    self.limits.time.as_secs_f64()
                )
            } else if let Some(wanted) = denied {
                format!("it is refused, because it {wanted}; one read-only SELECT is answered")
            } else if matches!(error, rusqlite::Error::MultipleStatement) {
                "it is more than one statement; one read-only SELECT is answered".to_owned()
            } else if matches!(error, rusqlite::Error::Empty) {
                "it is empty; one read-only SELECT is answered".to_owned()
            } else {
                let text = if let rusqlite::Error::SqlInputError { msg, .. } = error {
                    msg.clone()
                } else {
                    error.to_string()
                };
                format!("{text}; there are {}", self.tables.join(", "))
            },
        )
    }

    /// Whether `sql` could be answered: it is one read-only SELECT of columns that there are. Nothing is run.
    ///
    /// # Errors
    /// [`SelectorError::Query`].
    pub fn check(&self, sql: &str) -> Result<(), SelectorError> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        *self.denied.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.late.store(false, Ordering::Relaxed);
        self.prepare(&connection, sql).map(drop)
    }

    fn prepare<'c>(
        &self,
        connection: &'c Connection,
        sql: &str,
    ) -> Result<Statement<'c>, SelectorError> {
        let statement = connection.prepare(sql).map_err(|error| self.explain(sql, &error))?;
        if statement.is_explain() != 0 || !statement.readonly() || statement.column_count() == 0 {
            let word = sql.split_whitespace().next().unwrap_or_default().to_uppercase();
            let problem = format!("{word} is no SELECT; one read-only SELECT is answered");
            return Err(self.refuse(sql, problem));
        }
        Ok(statement)
    }

    fn rows(&self, statement: &mut Statement<'_>, sql: &str) -> Result<Answer, SelectorError> {
        let mut answer = Answer::default();
        let mut seen = HashSet::new();
        let mut guess = 0;
        let mut count = 0;
        let mut rows = statement.query([]).map_err(|error| self.explain(sql, &error))?;
        while let Some(row) = rows.next().map_err(|error| self.explain(sql, &error))? {
            count += 1;
            if count > self.limits.rows {
                let problem =
                    format!("it answers more than {} rows; restrict it", self.limits.rows);
                return Err(self.refuse(sql, problem));
            }
            let bad = |what: &str| {
                let problem = format!(
                    "row {count} of its answer has {what} where the id of a sample is expected"
                );
                self.refuse(sql, problem)
            };
            let place = match row.get_ref(0).map_err(|error| self.explain(sql, &error))? {
                ValueRef::Text(text) => {
                    let id =
                        std::str::from_utf8(text).map_err(|_| bad("a text that is no UTF-8"))?;
                    // Most answers are in the order of ids.
                    let next = (*self.samples.ids.get(guess) == *id).then_some(guess);
                    next.or_else(|| self.samples.ids.find(id))
                        .ok_or_else(|| bad(&format!("{id:?}, which is not in the pool,")))?
                }
                ValueRef::Integer(number) => self
                    .samples
                    .ids
                    .find(&number.to_string())
                    .ok_or_else(|| bad(&format!("{number}, which is not in the pool,")))?,
                ValueRef::Null => return Err(bad("nothing (NULL)")),
                ValueRef::Real(number) => return Err(bad(&format!("the number {number}"))),
                ValueRef::Blob(_) => return Err(bad("bytes")),
            };
            guess = place + 1;
            if seen.insert(place) {
                match self.samples.candidates.place_of(place) {
                    Some(candidate) => answer.candidates.push(candidate),
                    None => answer.labelled += 1,
                }
            }
        }
        Ok(answer)
    }
}

impl Queries for Database<'_> {
    fn answer(&self, sql: &str) -> Result<Answer, SelectorError> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        *self.denied.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.late.store(false, Ordering::Relaxed);
        std::thread::scope(|scope| {
            let (done, wait) = channel::<()>();
            scope.spawn(move || {
                if wait.recv_timeout(self.limits.time) == Err(RecvTimeoutError::Timeout) {
                    self.late.store(true, Ordering::Relaxed);
                }
            });
            let _done = done; // dropped at the end, which ends the wait
            let mut statement = self.prepare(&connection, sql)?;
            self.rows(&mut statement, sql)
        })
    }
}

type Flags = (Arc<AtomicBool>, Arc<Mutex<Option<String>>>);

fn load(
    samples: Samples<'_>,
    tables: &[(&str, &Table)],
    file: Option<&Path>,
    (late, denied): Flags,
) -> Result<(Connection, Vec<String>), SelectorError> {
    let wrong = |error: rusqlite::Error| SelectorError::Database { problem: error.to_string() };
    // An empty name is a database of our own that stays in memory while it is small.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags("", flags).map_err(wrong)?;
    // A file of the user's is not trusted to call anything, and "id" is a column or an error, never a text.
    for (setting, on) in [
        (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
        (DbConfig::SQLITE_DBCONFIG_DQS_DDL, false),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
    ] {
        connection.set_db_config(setting, on).map_err(wrong)?;
    }
    let mut known = vec![fill(&mut connection, "samples", Some(samples.ids), samples.columns)?];
    for (name, table) in tables {
        known.push(fill(&mut connection, name, None, table)?);
    }
    if let Some(file) = file {
        known.extend(attach(&connection, file)?);
    }
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, LENGTH_MAX).map_err(wrong)?;
    connection
        .progress_handler(STEPS, Some(move || late.load(Ordering::Relaxed)))
        .map_err(wrong)?;
    connection
        .authorizer(Some(move |context: AuthContext<'_>| match wanted(&context.action) {
            None => Authorization::Allow,
            Some(wanted) => {
                *denied.lock().unwrap_or_else(PoisonError::into_inner) = Some(wanted);
                Authorization::Deny
            }
        }))
        .map_err(wrong)?;
    Ok((connection, known))
}

/// What a statement wants and may not; `None` where it may.
#[expect(clippy::wildcard_enum_match_arm, reason = "what is not known to read only is refused")]
fn wanted(action: &AuthAction<'_>) -> Option<String> {
    match action {
        AuthAction::Select | AuthAction::Read { .. } | AuthAction::Recursive => None,
        AuthAction::Function { function_name } => REFUSED
            .iter()
            .any(|refused| refused.eq_ignore_ascii_case(function_name))
            .then(|| format!("calls {function_name}(), which cannot be derived again")),
        other => Some(format!("wants to {other:?}")),
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Creates a table and fills it; answers its name with its columns.
fn fill(
    connection: &mut Connection,
    name: &str,
    ids: Option<&dyn SampleIds>,
    table: &Table,
) -> Result<String, SelectorError> {
    let problem = |problem: String| SelectorError::Database { problem };
    let wrong = |error: rusqlite::Error| problem(format!("the table {name}: {error}"));
    let rows = ids.map_or(table.rows, SampleIds::len);
    let mut definitions: Vec<String> = Vec::new();
    if ids.is_some() {
        definitions.push("id TEXT NOT NULL PRIMARY KEY".to_owned());
    }
    for (column, values) in &table.columns {
        let (kind, len) = match values {
            Column::Text(values) => ("TEXT", values.len()),
            Column::Number(values) => ("REAL", values.len()),
            Column::Whole(values) => ("INTEGER", values.len()),
        };
        if len != rows {
            return Err(problem(format!("{name}.{column} has {len} values for {rows} rows")));
        }
        definitions.push(format!("{} {kind}", quoted(column)));
    }
    // By its key alone, in the order in which ids come anyway.
    let layout = if ids.is_some() { "WITHOUT ROWID" } else { "" };
    let create = format!("CREATE TABLE {} ({}) {layout}", quoted(name), definitions.join(", "));
    let transaction = connection.transaction().map_err(wrong)?;
    transaction.execute(&create, []).map_err(wrong)?;
    let marks = vec!["?"; definitions.len()].join(", ");
    {
        let insert = format!("INSERT INTO {} VALUES ({marks})", quoted(name));
        let mut insert = transaction.prepare(&insert).map_err(wrong)?;
        for row in 0..rows {
            let id = ids.map(|ids| ids.get(row));
            let id = id.as_deref().map(|id| Cell::Text(Some(id)));
            let cells = table.columns.iter().map(|(_, values)| cell(values, row));
            insert.execute(params_from_iter(id.into_iter().chain(cells))).map_err(wrong)?;
        }
    }
    transaction.commit().map_err(wrong)?;
    let mut columns: Vec<&str> = ids.iter().map(|_| "id").collect();
    columns.extend(table.columns.iter().map(|(column, _)| column.as_str()));
    Ok(format!("{name}({})", columns.join(", ")))
}

/// One value on its way into a table.
enum Cell<'a> {
    Text(Option<&'a str>),
    Number(Option<f64>),
    Whole(Option<i64>),
}

impl ToSql for Cell<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            Self::Text(value) => value.to_sql(),
            Self::Number(value) => value.to_sql(),
            Self::Whole(value) => value.to_sql(),
        }
    }
}

fn cell(column: &Column, row: usize) -> Cell<'_> {
    match column {
        Column::Text(values) => Cell::Text(values.get(row).and_then(Option::as_deref)),
        Column::Number(values) => Cell::Number(values.get(row).copied().flatten()),
        Column::Whole(values) => Cell::Whole(values.get(row).copied().flatten()),
    }
}

/// Attaches a file, read-only; answers its tables with their columns.
fn attach(connection: &Connection, file: &Path) -> Result<Vec<String>, SelectorError> {
    let wrong = |error: rusqlite::Error| SelectorError::Database {
        problem: format!("{} cannot be read as a SQLite database: {error}", file.display()),
    };
    let mut uri = "file:".to_owned();
    for byte in file.to_string_lossy().bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            let _ = write!(uri, "%{byte:02X}"); // a String takes everything
        }
    }
    uri.push_str("?mode=ro");
    connection.execute("ATTACH ? AS user", [uri]).map_err(wrong)?;
    let list = "SELECT m.name, group_concat(c.name, ', ') FROM user.sqlite_schema m \
                JOIN pragma_table_info(m.name, 'user') c WHERE m.type IN ('table', 'view') \
                GROUP BY m.name ORDER BY m.name";
    let mut list = connection.prepare(list).map_err(wrong)?;
    let shown = list.query_map([], |row| {
        Ok(format!("user.{}({})", row.get::<_, String>(0)?, row.get::<_, String>(1)?))
    });
    shown.map_err(wrong)?.collect::<Result<_, _>>().map_err(wrong)
}

#[cfg(test)]
#[path = "database/tests.rs"]
mod tests;
