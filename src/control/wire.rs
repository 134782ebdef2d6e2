//! What goes over the socket: requests one way, responses the other, each a line of JSON.
//!
//! Pure: bytes in, values out. The bytes may be anything.

use crate::audit::explanation::{BatchExplanation, Explanation};
use crate::audit::inferred::Inferred;
use crate::audit::replay::{Difference, Snapshot};
use crate::audit::report::value::Report;
use crate::audit::retention::{Models, Plan};
use crate::audit::selection::{Reselected, WhatIf};
use crate::domain::definition::ProviderChoice;
use crate::domain::event::Event;
use crate::domain::ids::Name;
use crate::engine::label_report::LabelReport;
use crate::engine::status::{JobSummary, ModelSummary, RunStatus};
use crate::store::Recorded;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The longest request that is read; ids and a reason are far shorter.
pub(super) const REQUEST_BYTES_MAX: u64 = 64 * 1024;

/// The longest response that is read: a page of records, each with thousands of labels, is shorter.
pub(super) const RESPONSE_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Reads a request or a response.
///
/// # Errors
/// Whatever does not fit, for people.
pub(super) fn read<T: DeserializeOwned>(line: &[u8]) -> serde_json::Result<T> {
    serde_json::from_slice(line)
}

/// A request or a response as a line.
///
/// # Errors
/// None for the two of them.
pub(super) fn line<T: Serialize>(message: &T) -> serde_json::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(message)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// The state of every run.
    Runs,
    /// The state of one run.
    Status {
        /// Which; the newest if none is named.
        run: Option<String>,
    },
    /// Records of a run.
    Log {
        /// Which run; the newest if none is named.
        run: Option<String>,
        /// Of this cycle only.
        cycle: Option<u32>,
        /// From here on.
        from: Cursor,
        /// Whether to wait a moment if there are none.
        wait: bool,
    },
    /// Records of a run, as they are stored.
    Records {
        /// Which run.
        run: String,
        /// From here on.
        from: Cursor,
    },
    /// Every unfinished job.
    Jobs,
    /// New tries for a dead job.
    RetryJob {
        /// Which.
        job: String,
    },
    /// Remove a job.
    CancelJob {
        /// Which.
        job: String,
    },
    /// End a run.
    Cancel {
        /// Which run; the newest unfinished one if none is named.
        run: Option<String>,
        /// Why, for the log.
        reason: String,
    },
    /// Hold a run's jobs back.
    Pause {
        /// Which run; the newest unfinished one if none is named.
        run: Option<String>,
    },
    /// Let a run go on.
    Resume {
        /// Which run; the newest unfinished one if none is named.
        run: Option<String>,
    },
    /// Every model that was in production in a run.
    Models {
        /// Which run; the newest if none is named.
        run: Option<String>,
    },
    /// A run as it was.
    Replay {
        /// Which run; the newest if none is named.
        run: Option<String>,
        /// When: `CYCLE` or `CYCLE:REVISION`; now, if nothing is said.
        to: Option<String>,
    },
    /// How two points differ.
    Diff {
        /// The one: `RUN`, or `RUN@CYCLE:REVISION`.
        a: String,
        /// The other.
        b: String,
    },
    /// Why a sample was picked, or not.
    Explain {
        /// Which run; the newest if none is named.
        run: Option<String>,
        /// Which sample.
        sample: String,
    },
    /// Why each pick of a cycle is one.
    ExplainBatch {
        /// Which run; the newest if none is named.
        run: Option<String>,
        /// Which cycle.
        cycle: u32,
    },
    /// The batch of a cycle, picked again.
    Reselect {
        /// Which run; the newest if none is named.
        run: Option<String>,
        /// Which cycle.
        cycle: u32,
    },
    /// The batch of a cycle, picked once more with its model run again.
    Reinfer {
        /// Which run; the newest if none is named.
        run: Option<String>,
        /// Which cycle.
        cycle: u32,
        /// What is to run the model; what the workflow names, if nothing is said.
        provider: Option<ProviderChoice>,
    },
    /// The batch of a cycle, picked otherwise.
    WhatIf {
        /// Which run; the newest if none is named.
        run: Option<String>,
        /// Which cycle.
        cycle: u32,
        /// By which strategy, as workflows write it.
        strategy: String,
        /// How many by the strategy; as many as then, if nothing is said.
        batch: Option<usize>,
    },
    /// A verified copy of the state directory.
    BackUp {
        /// Where: a folder that is not there yet, or is empty.
        to: PathBuf,
    },
    /// A run as a report.
    Report {
        /// Which run; the newest if none is named.
        run: Option<String>,
        /// How many picks it shows, the newest.
        picks: usize,
    },
    /// What may go of what is kept.
    Collect {
        /// Of how many cycles at the end of each run scores and evidence are kept.
        cycles: u32,
        /// Which models are kept.
        models: Models,
        /// Runs of which everything is kept.
        keep: Vec<String>,
        /// Whether it shall go.
        confirmed: bool,
    },
    /// How good a run's labels are.
    Labels {
        /// Which run; the newest if none is named.
        run: Option<String>,
    },
    /// Put an earlier model back into production.
    RollBack {
        /// Which run; the newest if none is named.
        run: Option<String>,
        /// The beginning of the model's digest.
        model: String,
        /// Why, for the log.
        reason: String,
    },
    /// Pin the production model, or set it free.
    Pin {
        /// Which run; the newest if none is named.
        run: Option<String>,
        /// Which of both.
        pinned: bool,
        /// Why, for the log.
        reason: String,
    },
}

/// A place in a run's logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The cycle, from 1.
    pub cycle: u32,
    /// The revision in its log.
    pub revision: u64,
}

impl Cursor {
    /// The beginning.
    pub const START: Self = Self { cycle: 1, revision: 0 };
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "answers are few and short-lived")]
pub enum Response {
    /// To [`Request::Runs`].
    Runs(Vec<RunStatus>),
    /// To [`Request::Status`].
    Status(RunStatus),
    /// To [`Request::Log`].
    Log {
        /// In order.
        records: Vec<LogRecord>,
        /// Where to go on.
        next: Cursor,
        /// Nothing will follow: the run is over, or the one cycle asked for is.
        over: bool,
    },
    /// To [`Request::Records`].
    Records {
        /// In order; none where the log ends. Each as the store encodes it, in base64.
        records: Vec<String>,
        /// Where to go on.
        next: Cursor,
    },
    /// To [`Request::Jobs`].
    Jobs(Vec<JobSummary>),
    /// To [`Request::Models`].
    Models(Vec<ModelSummary>),
    /// To [`Request::Labels`].
    Labels(LabelReport),
    /// To [`Request::Collect`].
    Collected(Plan),
    /// To [`Request::Explain`].
    Explained(Explanation),
    /// To [`Request::ExplainBatch`].
    ExplainedBatch(BatchExplanation),
    /// To [`Request::Reselect`].
    Reselected(Reselected),
    /// To [`Request::Reinfer`].
    Inferred(Inferred),
    /// To [`Request::WhatIf`].
    WhatIf(WhatIf),
    /// To [`Request::Report`].
    Report(Report),
    /// To [`Request::Replay`].
    Replayed(Snapshot),
    /// To [`Request::Diff`].
    Difference(Difference),
    /// To [`Request::BackUp`].
    BackedUp(BackedUp),
    /// To what changes something: what happened.
    Done(String),
    /// It was refused.
    Refused(String),
}

/// A copy of a state directory that was found whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackedUp {
    /// Where it is.
    pub path: PathBuf,
    /// How many events it holds.
    pub events: u64,
    /// Of how many runs.
    pub runs: u64,
    /// How many artifacts these name.
    pub artifacts: u64,
}

/// A record as `gleaner log --json` prints it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogRecord {
    /// Its place in the store, from 1.
    pub position: u64,
    /// Its id.
    pub id: String,
    /// Its run.
    pub run: String,
    /// Its cycle.
    pub cycle: u32,
    /// Its place in the cycle's log, from 0.
    pub revision: u64,
    /// When it happened, RFC 3339 in UTC.
    pub recorded: String,
    /// The job whose result it is.
    pub causation: Option<String>,
    /// Who caused it.
    pub actor: Name,
    /// The version it was written in.
    pub version: u16,
    /// The workflow digest.
    pub workflow: String,
    /// The hash of the record before it.
    pub previous: String,
    /// Its hash.
    pub hash: String,
    /// The digest of the payload that the hash covers, where it was rewritten because a sample was erased.
    #[serde(default)]
    pub original: Option<String>,
    /// What happened.
    pub name: String,
    /// What happened, in full.
    pub event: Event,
}

impl From<Recorded> for LogRecord {
    fn from(recorded: Recorded) -> Self {
        Self {
            position: recorded.position.0,
            id: recorded.id.to_string(),
            run: recorded.cycle.run.to_string(),
            cycle: recorded.cycle.cycle.0,
            revision: recorded.revision.0,
            recorded: rfc3339(recorded.recorded.0),
            causation: recorded.causation.map(|job| job.to_string()),
            actor: recorded.actor,
            version: recorded.version,
            workflow: recorded.workflow.to_string(),
            previous: recorded.previous.to_string(),
            hash: recorded.hash.to_string(),
            original: recorded.original.map(|original| original.to_string()),
            name: recorded.event.name().to_owned(),
            event: recorded.event,
        }
    }
}

fn rfc3339(micros: i64) -> String {
    chrono::DateTime::from_timestamp_micros(micros).map_or_else(
        || format!("{micros} us since 1970"),
        |time| time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
    )
}
