//! The command line. One file per subcommand under `cli/`; nothing in here decides anything about learning.
//!
//! # Exit codes
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | unexpected error |
//! | 2 | wrong usage, workflow, pool, model or id |
//! | 3 | the run failed: a step failed for good; remove the cause and `gleaner resume` |
//! | 4 | another process has the state directory |
//! | 5 | the state directory is damaged, unwritable or of a newer version |
//! | 130 | interrupted |

mod backup;
mod bundle;
mod checkpoint;
mod doctor;
mod erase;
mod error;
mod explanation;
mod export;
mod fork;
mod futures;
mod gc;
mod jobs;
mod labels;
mod leave;
mod log;
mod models;
mod output;
mod repair;
mod replay;
mod report;
mod run;
mod runtime;
mod screen;
mod selection;
mod selftest;
mod session;
mod simulate;
mod status;
mod validate;
mod verify;
mod whole_file;

use crate::audit::export::events::EventForm;
use crate::audit::export::labels::LabelForm;
use crate::audit::replay::Point;
use crate::control::{Request, Response};
use crate::domain::definition::ProviderChoice;
use crate::domain::digest::Digest;
use clap::{Args, Parser, Subcommand};
use error::CliError;
use output::Output;
use session::Session;
use std::path::PathBuf;
use std::process::ExitCode;

const EXIT_CODES: &str = "\
Exit codes: 0 done; 1 unexpected error; 2 wrong usage, workflow, pool, model or id; 3 the run failed, `gleaner resume` \
goes on; 4 another process has the state directory; 5 the state directory is damaged, unwritable or of a newer version; \
130 interrupted.";

/// Active learning that runs itself, survives anything, and can prove what it did.
#[derive(Debug, Parser)]
#[command(name = "gleaner", version, after_help = EXIT_CODES, disable_help_subcommand = true)]
struct Cli {
    /// The directory that keeps runs, jobs and models.
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        default_value = ".gleaner",
        env = "GLEANER_STATE"
    )]
    state: PathBuf,
    /// Print JSON for programs instead of text for people.
    #[arg(long, global = true)]
    json: bool,
    /// Show more of what happens inside (twice: even more); the variable GLEANER_LOG says it in detail.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Show errors only.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a run of a workflow and work on it until it ends.
    Run {
        /// The workflow file.
        workflow: PathBuf,
        #[command(flatten)]
        overrides: Overrides,
        #[command(flatten)]
        install: Install,
    },
    /// Go on with a run that crashed, failed, was interrupted or paused.
    Resume {
        /// The run, by the beginning or the end of its id [default: the newest unfinished one].
        run: Option<String>,
        #[command(flatten)]
        install: Install,
    },
    /// Start a run from where another stood after a cycle, with other values for keys of its workflow, and work on it.
    Fork {
        /// The other run, by the beginning or the end of its id [default: the newest].
        run: Option<String>,
        /// The last cycle that both share; 0 starts from the beginning.
        #[arg(long, value_name = "N")]
        at: u32,
        #[command(flatten)]
        overrides: Overrides,
        #[command(flatten)]
        install: Install,
    },
    /// Show where a run stands, cycle by cycle.
    Status {
        /// The run, by the beginning or the end of its id [default: the newest].
        run: Option<String>,
        /// Every run, one line each.
        #[arg(long, conflicts_with = "run")]
        all: bool,
    },
    /// Show what happened in a run.
    Log {
        /// The run, by the beginning or the end of its id [default: the newest].
        run: Option<String>,
        /// Of this cycle only.
        #[arg(long, value_name = "N")]
        cycle: Option<u32>,
        /// Go on as things happen, until the run ends.
        #[arg(long)]
        follow: bool,
    },
    /// List unfinished jobs, retry dead ones, remove one.
    Jobs {
        #[command(subcommand)]
        action: Option<JobsAction>,
    },
    /// End a run for good.
    Cancel {
        /// The run [default: the newest unfinished one].
        run: Option<String>,
        /// Why; kept in the log.
        #[arg(long, default_value = "cancelled on the command line")]
        reason: String,
    },
    /// Hold a run back after the step under way, until `resume`.
    Pause {
        /// The run [default: the newest unfinished one].
        run: Option<String>,
    },
    /// Show what is and was in production, copy or publish a model, put an earlier one back.
    Models {
        #[command(subcommand)]
        action: ModelsAction,
    },
    /// Show how good the labels are: who answered, how far they agree, which answers differ.
    Labels {
        /// The run [default: the newest].
        run: Option<String>,
    },
    /// Write a run's events or labels to a file that other programs read.
    Export {
        #[command(subcommand)]
        action: ExportAction,
    },
    /// Check a workflow file and show what it asks for.
    Validate {
        /// The workflow file.
        workflow: PathBuf,
        #[command(flatten)]
        overrides: Overrides,
    },
    /// Fold a run's log and show what the run was at a point of it.
    Replay {
        /// The run [default: the newest].
        run: Option<String>,
        /// Up to here: the end of a cycle, or an event of it.
        #[arg(long, value_name = "CYCLE[:REVISION]")]
        to: Option<Point>,
        /// Show each event and what came of it.
        #[arg(long)]
        step: bool,
    },
    /// Compare two points, of one run or of two: labels, and what each cycle bought and brought.
    Diff {
        /// The one: RUN, or RUN@CYCLE[:REVISION]; without a run the newest.
        a: String,
        /// The other.
        b: String,
    },
    /// Why a sample was picked, or how close it came, and what its label changed; or why each pick of a cycle is one.
    Explain {
        /// The sample's id.
        #[arg(required_unless_present = "cycle", conflicts_with = "cycle")]
        sample: Option<String>,
        /// Every pick of this cycle.
        #[arg(long, value_name = "N")]
        cycle: Option<u32>,
        /// The run [default: the newest].
        #[arg(long)]
        run: Option<String>,
    },
    /// Pick the batch of a cycle again from what was kept, without the model, and compare bit by bit.
    Reselect {
        /// The cycle.
        #[arg(long)]
        cycle: u32,
        /// Run the model again as well, and compare what it says within the tolerance.
        #[arg(long)]
        infer: bool,
        /// What runs the model: auto, cuda, tensorrt or cpu [default: as the workflow says].
        #[arg(long, requires = "infer", value_parser = provider)]
        provider: Option<ProviderChoice>,
        /// How far a value may be off: absolutely, or above 1 in proportion.
        #[arg(long, requires = "infer", default_value_t = 1e-4)]
        tolerance: f64,
        /// The run [default: the newest].
        run: Option<String>,
    },
    /// What another strategy would have picked from what a cycle's batch was picked from.
    WhatIf {
        /// The cycle.
        #[arg(long)]
        cycle: u32,
        /// The strategy, as workflows write it.
        #[arg(long)]
        strategy: String,
        /// How many samples [default: as many as then].
        #[arg(long)]
        batch: Option<usize>,
        /// The run [default: the newest].
        run: Option<String>,
    },
    /// Write a run as one page that needs no network: curve, checks, batches, models, picks, and whether its record holds.
    Report(report::Arguments),
    /// Remove artifacts that need not be kept: shows what would go and why the rest stays; `--yes` does it.
    Gc {
        /// Keep the scores and the evidence of so many cycles at the end of each run.
        #[arg(long, value_name = "K", default_value_t = 5)]
        keep_scores: u32,
        /// Which models are kept.
        #[arg(long, value_enum, default_value_t = KeptModels::Production)]
        models: KeptModels,
        /// Keep everything of this run; may be given several times. `models pin` keeps a run for ever.
        #[arg(long, value_name = "RUN")]
        keep: Vec<String>,
        /// Do it. Each removal is recorded in the log before the file goes.
        #[arg(long)]
        yes: bool,
    },
    /// Forget a sample on request: its labels and answers, and every file that holds scores of it. The record stays whole.
    Erase {
        /// The sample's id.
        sample: String,
        /// From this run only [default: every run].
        #[arg(long)]
        run: Option<String>,
        /// Why; kept in the log.
        #[arg(long)]
        reason: String,
        /// Do it; what was erased does not come back.
        #[arg(long)]
        yes: bool,
    },
    /// Hold every event, pick, label and file against each other; write nothing.
    Verify {
        /// The run, or the beginning of its id [default: all]; or a bundle's file, which needs no state directory.
        run: Option<String>,
        /// Of a bundle: the public key that its checkpoint must be signed by, as `key new` printed it.
        #[arg(long)]
        key: Option<String>,
    },
    /// Write a run to one file that `verify` checks anywhere: its log, models and manifests, and the proof that it is the store's.
    Bundle {
        /// The run [default: the newest].
        run: Option<String>,
        /// The file; replaced as a whole if it is there.
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
        /// The private key's file: signs a checkpoint of the store, which the bundle then carries.
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
        /// A checkpoint from before, which the store is proved to continue; may be given several times.
        #[arg(long, value_name = "FILE", requires = "key")]
        checkpoint: Vec<PathBuf>,
        /// Larger artifacts are named by their digests only, in bytes; `--up-to 0` leaves out all that can be.
        #[arg(long, value_name = "BYTES", default_value_t = 16 * 1024 * 1024, conflicts_with = "all")]
        up_to: u64,
        /// Every artifact, however large.
        #[arg(long)]
        all: bool,
    },
    /// Make a key that signs checkpoints, or show its public half.
    Key {
        #[command(subcommand)]
        action: KeyAction,
    },
    /// Sign what the store is now, or hold it against what was signed: a cut or rewritten log shows.
    Checkpoint {
        #[command(subcommand)]
        action: CheckpointAction,
    },
    /// Compare strategies on a fully labelled pool: same workflow, many seeds, learning curves.
    Simulate(simulate::Arguments),
    /// Show what runs models on this machine, and how to get something faster.
    Doctor,
    /// Install or list inference runtimes.
    Runtime {
        #[command(subcommand)]
        action: RuntimeAction,
    },
    /// Make a damaged state directory usable again: keep what is intact, take the rest from a copy. The damaged one is kept.
    Repair {
        /// A copy of the state directory, made earlier.
        #[arg(long, value_name = "DIR")]
        copy: Option<PathBuf>,
    },
    /// Copy the state directory, while runs go on; the copy is verified, and is a state directory itself.
    Backup {
        /// Where to: a folder that is not there yet.
        to: PathBuf,
    },
    /// Make the state directory from a backup, which is verified first. There must be none yet.
    Restore {
        /// What `backup` wrote.
        from: PathBuf,
    },
    /// Find out whether this disk keeps what Gleaner acknowledges: programs are killed, disks made to fail.
    Selftest(selftest::Arguments),
    /// A process that is going to die, for `selftest`.
    #[command(hide = true)]
    SelftestChild(selftest::ChildArguments),
}

/// Which models `gc` keeps.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum KeptModels {
    /// Those that were in production.
    Production,
    /// Every checkpoint.
    All,
}

#[derive(Debug, Args)]
struct Overrides {
    /// Another value for a key of the workflow, for example `selector.strategy=random`.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    set: Vec<(String, String)>,
    /// Another seed: the same as `--set run.seed=N`.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

impl Overrides {
    fn all(&self) -> Vec<(String, String)> {
        let seed = self.seed.map(|seed| ("run.seed".to_owned(), seed.to_string()));
        self.set.iter().cloned().chain(seed).collect()
    }
}

#[derive(Debug, Args)]
struct Install {
    /// Do not install an inference runtime if there is none; fail instead.
    #[arg(long)]
    no_install: bool,
}

#[derive(Debug, Subcommand)]
enum JobsAction {
    /// List unfinished jobs.
    List,
    /// Give a dead job new tries.
    Retry {
        /// The job, by the beginning or the end of its id.
        job: String,
    },
    /// Remove a job; its run stands still until `gleaner resume`.
    Cancel {
        /// The job, by the beginning or the end of its id.
        job: String,
    },
}

#[derive(Debug, Subcommand)]
enum ModelsAction {
    /// List the models that were in production.
    List {
        /// The run, by the beginning or the end of its id [default: the newest].
        run: Option<String>,
    },
    /// Show one of them.
    Show {
        /// The model, by the beginning of its digest.
        model: String,
        /// The run [default: the newest].
        #[arg(long)]
        run: Option<String>,
    },
    /// Copy a model to a file of its own.
    Export {
        /// Where to; replaced as a whole if it is there.
        file: PathBuf,
        /// The model, by the beginning of its digest [default: the one in production].
        #[arg(long)]
        model: Option<String>,
        /// The run [default: the newest].
        #[arg(long)]
        run: Option<String>,
    },
    /// Bring a model to an MLflow model registry, once; the one in production gets the alias `production` there.
    Publish {
        /// The model, by the beginning of its digest [default: the one in production].
        model: Option<String>,
        /// The address of the MLflow server, http://HOST:PORT.
        #[arg(long, value_name = "URL", env = "MLFLOW_TRACKING_URI")]
        mlflow: String,
        /// The name to publish it under [default: the workflow's name].
        #[arg(long)]
        name: Option<String>,
        /// The run, by the beginning or the end of its id [default: the newest].
        #[arg(long)]
        run: Option<String>,
    },
    /// Put a model that was in production before back there.
    Rollback {
        /// The model, by the beginning of its digest.
        model: String,
        /// The run [default: the newest].
        #[arg(long)]
        run: Option<String>,
        /// Why; kept in the log.
        #[arg(long, default_value = "rolled back on the command line")]
        reason: String,
    },
    /// Keep the production model, whatever training finds.
    Pin {
        /// The run [default: the newest].
        run: Option<String>,
        /// Why; kept in the log.
        #[arg(long, default_value = "pinned on the command line")]
        reason: String,
    },
    /// Let training replace the production model again.
    Unpin {
        /// The run [default: the newest].
        run: Option<String>,
        /// Why; kept in the log.
        #[arg(long, default_value = "unpinned on the command line")]
        reason: String,
    },
}

#[derive(Debug, Subcommand)]
enum ExportAction {
    /// Every event: as CloudEvents, a line each (jsonl), as csv or as parquet.
    Events {
        /// The run, by the beginning or the end of its id [default: the newest].
        run: Option<String>,
        /// The file, replaced as a whole if it is there; `-` is standard output.
        #[arg(short, long, value_name = "FILE", default_value = "-")]
        output: PathBuf,
        /// jsonl, csv or parquet [default: what the file's name ends with; jsonl on standard output].
        #[arg(long)]
        format: Option<EventForm>,
    },
    /// Every label, by whom and when: csv, jsonl or, for masks, coco.
    Labels {
        /// The run, by the beginning or the end of its id [default: the newest].
        run: Option<String>,
        /// The file, replaced as a whole if it is there; `-` is standard output.
        #[arg(short, long, value_name = "FILE", default_value = "-")]
        output: PathBuf,
        /// csv, jsonl or coco [default: what the file's name ends with, coco for json; csv on standard output].
        #[arg(long)]
        format: Option<LabelForm>,
        /// As they were here: at the end of a cycle, or after an event of it.
        #[arg(long, value_name = "CYCLE[:REVISION]")]
        to: Option<Point>,
    },
}

#[derive(Debug, Subcommand)]
enum KeyAction {
    /// Make a key; print its public half.
    New {
        /// Whose key it is, for example your.domain/runs; checkpoints carry it.
        name: String,
        /// Where the private half is written, for its owner alone.
        file: PathBuf,
    },
    /// Print the public half of a key.
    Show {
        /// The file that `new` wrote.
        file: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
enum CheckpointAction {
    /// Print a signed checkpoint: how many events there are, and the root of the tree over them. Keep it elsewhere.
    Export {
        /// The private key's file.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
    /// Whether the store still begins with what a checkpoint speaks of.
    Verify {
        /// The checkpoint's file.
        file: PathBuf,
        /// The public key, as `key new` printed it.
        #[arg(long)]
        key: String,
    },
    /// Print the proof that an event is among those of a checkpoint, or that the log only grew from one checkpoint to another.
    Prove {
        /// The event, CYCLE:REVISION.
        #[arg(required_unless_present = "since", conflicts_with = "since")]
        event: Option<Point>,
        /// The checkpoint that the proof leads to.
        #[arg(long, value_name = "FILE")]
        checkpoint: PathBuf,
        /// The checkpoint that it only grew from.
        #[arg(long, value_name = "FILE")]
        since: Option<PathBuf>,
        /// The event's run [default: the newest].
        #[arg(long, conflicts_with = "since")]
        run: Option<String>,
    },
    /// Check a proof, without any state directory.
    Check {
        /// The proof's file.
        proof: PathBuf,
        /// The public key, as `key new` printed it.
        #[arg(long)]
        key: String,
        /// The event that it must prove, by its hash, as `log --json` shows it.
        #[arg(
            long,
            value_name = "HASH",
            required_unless_present = "since",
            conflicts_with = "since"
        )]
        event: Option<Digest>,
        /// The checkpoint that the log must have grown from.
        #[arg(long, value_name = "FILE")]
        since: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
enum RuntimeAction {
    /// Install the pinned onnxruntime into the user's cache folder.
    Install {
        /// The build for NVIDIA GPUs.
        #[arg(long)]
        gpu: bool,
    },
    /// List the runtimes that were found, and why others were not taken.
    List,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            Ok((key.trim().to_owned(), value.trim().to_owned()))
        }
        Some(_) | None => {
            Err("expected KEY=VALUE, for example selector.strategy=random".to_owned())
        }
    }
}

fn provider(text: &str) -> Result<ProviderChoice, String> {
    serde_json::from_value(text.into())
        .map_err(|_| "expected auto, cuda, tensorrt or cpu".to_owned())
}

/// Parses the command line, does what it says, and answers the exit code.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let verbosity = if cli.quiet { -1 } else { i8::try_from(cli.verbose).unwrap_or(i8::MAX) };
    crate::telemetry::init(verbosity, false);
    let output = Output::new(cli.json);
    let result = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(CliError::Io)
        .and_then(|runtime| {
            let result = runtime.block_on(dispatch(&cli, &output));
            // A step that did not stop in time must not hold the process: its job is given back by the next opening.
            runtime.shutdown_background();
            result
        });
    match result {
        Ok(code) => code,
        Err(error) => {
            output.error(&error);
            error.exit_code()
        }
    }
}

async fn dispatch(cli: &Cli, output: &Output) -> Result<ExitCode, CliError> {
    match &cli.command {
        Command::Run { workflow, overrides, install } => {
            run::run(cli, output, workflow, &overrides.all(), install).await
        }
        Command::Resume { run, install } => run::resume(cli, output, run.as_deref(), install).await,
        Command::Fork { run, at, overrides, install } => {
            fork::fork(cli, output, run.as_deref(), *at, &overrides.all(), install).await
        }
        Command::Status { run, all } => status::status(cli, output, run.clone(), *all).await,
        Command::Log { run, cycle, follow } => {
            log::log(cli, output, run.clone(), *cycle, *follow).await
        }
        Command::Jobs { action } => jobs::jobs(cli, output, action.as_ref()).await,
        Command::Cancel { run, reason } => {
            change(cli, output, Request::Cancel { run: run.clone(), reason: reason.clone() }).await
        }
        Command::Pause { run } => change(cli, output, Request::Pause { run: run.clone() }).await,
        Command::Labels { run } => labels::labels(cli, output, run.clone()).await,
        Command::Models { action } => models::models(cli, output, action).await,
        Command::Export { action } => export::export(cli, output, action).await,
        Command::Validate { workflow, overrides } => {
            validate::validate(output, workflow, &overrides.all())
        }
        Command::Replay { run, to, step } => {
            replay::replay(cli, output, run.clone(), *to, *step).await
        }
        Command::Diff { a, b } => replay::diff(cli, output, a, b).await,
        Command::Explain { sample, cycle, run } => {
            let run = run.clone();
            let request = match (sample, cycle) {
                (None, Some(cycle)) => Request::ExplainBatch { run, cycle: *cycle },
                (sample, _) => Request::Explain { run, sample: sample.clone().unwrap_or_default() },
            };
            selection::explain(cli, output, request).await
        }
        Command::Reselect { cycle, infer: true, provider, tolerance, run } => {
            let request = Request::Reinfer { run: run.clone(), cycle: *cycle, provider: *provider };
            selection::reinfer(cli, output, request, *tolerance).await
        }
        Command::Reselect { cycle, run, .. } => {
            selection::reselect(cli, output, *cycle, run.clone()).await
        }
        Command::WhatIf { cycle, strategy, batch, run } => {
            let (run, strategy) = (run.clone(), strategy.clone());
            let request = Request::WhatIf { run, cycle: *cycle, strategy, batch: *batch };
            selection::what_if(cli, output, request).await
        }
        Command::Verify { run, key } => {
            verify::verify(cli, output, run.as_deref(), key.as_deref()).await
        }
        Command::Bundle { run, output: file, key, checkpoint, up_to, all } => {
            let wanted = bundle::Wanted {
                run: run.as_deref(),
                key: key.as_deref(),
                earlier: checkpoint,
                largest: if *all { u64::MAX } else { *up_to },
            };
            bundle::bundle(cli, output, file, &wanted).await
        }
        Command::Report(arguments) => report::report(cli, output, arguments).await,
        Command::Gc { keep_scores, models, keep, yes } => {
            gc::gc(cli, output, *keep_scores, *models, keep, *yes).await
        }
        Command::Erase { sample, run, reason, yes } => {
            erase::erase(cli, output, sample, run.as_deref(), reason, *yes).await
        }
        Command::Key { action } => checkpoint::key(output, action),
        Command::Checkpoint { action } => checkpoint::checkpoint(cli, output, action).await,
        Command::Simulate(arguments) => simulate::simulate(output, arguments).await,
        Command::Doctor => doctor::doctor(output),
        Command::Runtime { action: RuntimeAction::Install { gpu } } => {
            runtime::install(output, *gpu)
        }
        Command::Runtime { action: RuntimeAction::List } => runtime::list(output),
        Command::Repair { copy } => repair::repair(&cli.state, output, copy.as_deref()).await,
        Command::Backup { to } => backup::backup(cli, output, to).await,
        Command::Restore { from } => backup::restore(cli, output, from).await,
        Command::Selftest(arguments) => selftest::selftest(&cli.state, output, arguments).await,
        Command::SelftestChild(arguments) => selftest::child(output, arguments).await,
    }
}

/// Asks for a change and says what happened.
async fn change(cli: &Cli, output: &Output, request: Request) -> Result<ExitCode, CliError> {
    let session = Session::open_to_ask(&cli.state).await?;
    if let Response::Done(text) = session.ask(request).await? {
        output.line(&text)?;
    }
    Ok(ExitCode::SUCCESS)
}
