//! A thousand small cycles of the real engine, whose process is killed again and again; and as many in one process that
//! lives on. How memory, disk and opening grow, and what a cycle costs.
//!
//! `cargo bench --bench soak`; `-- 200` makes 200 cycles each, too few for the verdict on the log's growth, because the log
//! is then little more than sled's segments of 512 KiB. Training takes no time here, so what is left is the engine and
//! its store. At a checkpoint the child is stopped and its state directory copied, which is what a kill at this very instant
//! would leave behind; the copy is opened and read. It ends with a verdict on each promise, and with 1 where one is broken.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a bench prints what it measured with the real clock, and stops where something fails"
)]

use gleaner::domain::chance::Chance;
use gleaner::domain::digest::Digest;
use gleaner::domain::ids::CycleNumber;
use gleaner::selftest::{self, CAMPAIGN, Say};
use gleaner::store::codec::{Payload, QueuedJob, encode_job, encode_record};
use gleaner::store::sled::{SledOptions, SledStore};
use gleaner::store::{EventLog, JobQueue, read_run};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const CHILD: &str = "GLEANER_BENCH_CHILD";

/// What a child says when its store is open.
const OPENED: &str = "opened";

const CHECKPOINTS: usize = 16;

/// A campaign of 100 cycles with 4 labels each.
const WORKFLOW: [(&str, &str); 3] =
    [("selector.batch", "4"), ("selector.seed_per_class", "2"), ("stop.max_cycles", "100")];

/// A process is killed after 20 to 60 cycles at work, and every third one while it opens its store.
const CYCLES_PER_LIFE_MIN: u64 = 20;
const CYCLES_PER_LIFE_SPAN: u64 = 41;

/// No child is silent for so long.
const HANGS_AFTER: Duration = Duration::from_secs(60);

/// sled cleans a segment of its log when half of it is dead: twice the live data and some on the way, beside a few segments
/// of 512 KiB.
const LOG_TO_LIVE_MAX: u64 = 3;
const LOG_BESIDE: u64 = 4 * 512 * 1024;

/// The log's part in memory. Full after a few hundred cycles, so that what grows afterwards shows.
const CACHE: u64 = 512 * 1024;

/// How much more than with a quarter, or in a young process, is still noise.
const NOISE: f64 = 1.25;

fn main() {
    let runtime = Runtime::new().unwrap();
    if let Some(folder) = std::env::var_os(CHILD) {
        return runtime.block_on(work(PathBuf::from(folder)));
    }
    let cycles: usize = std::env::args().find_map(|text| text.parse().ok()).unwrap_or(1000);
    let mut promises = Promises::default();
    let killed = Soak::run(&runtime, cycles, true);
    killed.print("killed again and again");
    let smooth = Soak::run(&runtime, cycles, false);
    smooth.print("in one process");
    println!();
    for (soak, how) in [(&killed, "killed"), (&smooth, "in one process")] {
        soak.judge(how, &mut promises);
    }
    let ends = [killed.ends.as_slice(), &smooth.ends].concat();
    promises.say(
        ends.len() > 1 && ends.windows(2).all(|two| two[0] == two[1]),
        &format!("killed or not, {} campaigns ended with one and the same history", ends.len()),
    );
    if promises.broken {
        std::process::exit(1);
    }
}

/// The child: campaigns for ever.
async fn work(folder: PathBuf) {
    let say: Say = Arc::new(|line: &str| {
        // Nobody listens any more.
        if writeln!(std::io::stdout().lock(), "{line}").is_err() {
            std::process::abort();
        }
    });
    let overrides = WORKFLOW.map(|(key, value)| (key.to_owned(), value.to_owned()));
    selftest::campaigns(&folder, &overrides, CACHE, say).await.unwrap();
}

#[derive(Default)]
struct Promises {
    broken: bool,
}

impl Promises {
    fn say(&mut self, kept: bool, promise: &str) {
        println!("{} {promise}", if kept { "kept  " } else { "BROKEN" });
        self.broken |= !kept;
    }
}

/// What was seen at a checkpoint.
struct Sample {
    cycles: usize,
    events: usize,
    /// In MiB.
    memory: f64,
    live: Live,
    log: Disk,
    artifacts: Disk,
    /// How long opening the copy took, in milliseconds.
    opening: f64,
}

impl Sample {
    fn log_to_live(&self) -> f64 {
        self.log.allocated as f64 / self.live.log as f64
    }

    fn memory(&self) -> f64 {
        self.memory
    }

    /// How long opening took for 1,000 events.
    fn opening_per_thousand(&self) -> f64 {
        self.opening * 1000.0 / self.events as f64
    }
}

/// Bytes that are needed: encoded records and jobs, and the artifacts that records name.
#[derive(Default, Clone, Copy)]
struct Live {
    log: u64,
    artifacts: u64,
}

/// Bytes in a folder: what the disk gave away for it, and what its files say.
#[derive(Default, Clone, Copy)]
struct Disk {
    allocated: u64,
    apparent: u64,
}

#[derive(Default)]
struct Soak {
    samples: Vec<Sample>,
    /// Acknowledged events, as the children said them.
    events: BTreeSet<String>,
    /// Run and cycle of each.
    cycles: BTreeSet<String>,
    /// The semantic digests of ended campaigns.
    ends: Vec<Digest>,
    kills: u64,
    kills_while_opening: u64,
    /// From starting a process until its store was open, in milliseconds.
    openings: Vec<f64>,
    /// The most memory that any process had.
    peak: f64,
    written: u64,
    working: Duration,
    lost: usize,
}

impl Soak {
    fn run(runtime: &Runtime, cycles: usize, kills: bool) -> Self {
        let base = Path::new(env!("CARGO_TARGET_TMPDIR"));
        std::fs::create_dir_all(base).unwrap();
        let folder = tempfile::tempdir_in(base).unwrap();
        selftest::write_pool(folder.path()).unwrap();
        let chance = Chance { seed: 1, cycle: CycleNumber(0), purpose: "kill" };
        let mut soak = Self::default();
        for life in 0_u64.. {
            if soak.samples.len() == CHECKPOINTS {
                break;
            }
            let part = chance.unit(&format!("instant {life}"));
            let more =
                CYCLES_PER_LIFE_MIN + chance.draw(&format!("cycles {life}")) % CYCLES_PER_LIFE_SPAN;
            let until = match kills {
                true => soak.done() + usize::try_from(more).unwrap(),
                false => usize::MAX,
            };
            let mut process = Process::start(folder.path());
            if kills && life % 3 == 2 {
                let typical = soak.openings.iter().sum::<f64>() / soak.openings.len() as f64;
                std::thread::sleep(Duration::from_secs_f64(typical / 1000.0 * part));
                while let Ok(line) = process.lines.try_recv() {
                    soak.hear(&mut process, &line);
                }
            } else {
                soak.follow(&mut process, runtime, until, cycles);
                // Not just after an acknowledgement but at any instant of a cycle.
                let cycle = soak.working.as_secs_f64() / soak.done().max(1) as f64;
                std::thread::sleep(Duration::from_secs_f64(cycle.min(1.0) * part));
            }
            soak.kill(process, kills);
        }
        let found = runtime.block_on(inspect(&folder.path().join(CAMPAIGN)));
        soak.lost = soak.events.difference(&found).count();
        soak
    }

    /// How many cycles have ended: each one but the last.
    fn done(&self) -> usize {
        self.cycles.len().saturating_sub(1)
    }

    /// Listens to a process until so many cycles are done, or all; looks at it at the checkpoints on the way.
    fn follow(&mut self, process: &mut Process, runtime: &Runtime, until: usize, cycles: usize) {
        while self.done() < until && self.samples.len() < CHECKPOINTS {
            let line = process.lines.recv_timeout(HANGS_AFTER).unwrap();
            self.hear(process, &line);
            if self.done() * CHECKPOINTS / cycles > self.samples.len() {
                let began = Instant::now();
                process.stop();
                self.look(process, runtime);
                process.signal(Signal::CONT);
                process.aside += began.elapsed();
            }
        }
    }

    /// Takes in a line at the moment in which it is said.
    fn hear(&mut self, process: &mut Process, line: &str) {
        if line == OPENED {
            process.opened = true;
            self.openings.push(process.started.elapsed().as_secs_f64() * 1000.0);
        }
        self.note(line);
    }

    fn note(&mut self, line: &str) {
        if let Some(digest) = line.strip_prefix("ended ") {
            self.ends.push(digest.parse().unwrap());
        } else if let Some(event) = line.strip_prefix("event ") {
            let words: Vec<&str> = event.split(' ').collect();
            self.cycles.insert(words[..2].join(" "));
            self.events.insert(line.to_owned());
        }
    }

    /// Looks at what a stopped process holds, and would leave behind.
    fn look(&mut self, process: &Process, runtime: &Runtime) {
        let state = process.folder.join(CAMPAIGN);
        let copy = tempfile::tempdir_in(state.parent().unwrap()).unwrap();
        selftest::copy_folder(&state, copy.path()).unwrap();
        let (live, opening) = runtime.block_on(live(&copy));
        self.samples.push(Sample {
            cycles: self.done(),
            events: self.events.len(),
            memory: process.memory("VmRSS:"),
            live,
            log: disk(&state.join("log")),
            artifacts: disk(&state.join("artifacts")),
            opening,
        });
    }

    /// Kills a process, and takes in what it had said by then.
    fn kill(&mut self, mut process: Process, counts: bool) {
        process.stop();
        self.peak = self.peak.max(process.memory("VmHWM:"));
        self.written += process.written();
        self.working += process.started.elapsed() - process.aside;
        process.child.kill().unwrap();
        process.child.wait().unwrap();
        while let Ok(line) = process.lines.recv() {
            process.opened |= line == OPENED;
            self.note(&line);
        }
        self.kills += u64::from(counts);
        self.kills_while_opening += u64::from(counts && !process.opened);
    }

    /// The mean over a quarter of the checkpoints, 1 to 4.
    fn mean(&self, quarter: usize, of: impl Fn(&Sample) -> f64) -> f64 {
        let part = &self.samples[CHECKPOINTS * (quarter - 1) / 4..CHECKPOINTS * quarter / 4];
        part.iter().map(of).sum::<f64>() / part.len() as f64
    }

    /// How much `y` grows with `x`: the slope of the line of least squares.
    fn growth(&self, x: impl Fn(&Sample) -> f64, y: impl Fn(&Sample) -> f64) -> f64 {
        let count = self.samples.len() as f64;
        let mean = |of: &dyn Fn(&Sample) -> f64| self.samples.iter().map(of).sum::<f64>() / count;
        let (x_mean, y_mean) = (mean(&x), mean(&y));
        mean(&|sample| (x(sample) - x_mean) * (y(sample) - y_mean))
            / mean(&|sample| (x(sample) - x_mean).powi(2))
    }

    fn print(&self, how: &str) {
        println!("\n{} cycles, {how}", self.done());
        println!(
            "cycles events |  live log   on disk apparent ratio | artifacts   on disk | memory | open ms | log: # live, - on disk"
        );
        let widest = self.samples.iter().map(|sample| sample.log.allocated).max().unwrap_or(1);
        for sample in &self.samples {
            let bar = |bytes: u64| usize::try_from(bytes * 40 / widest).unwrap();
            let (live, log) = (bar(sample.live.log), bar(sample.log.allocated));
            println!(
                "{:>6} {:>6} | {:>9} {:>9} {:>8} {:>5.2} | {:>9} {:>9} | {:>6.1} | {:>7.1} | {}{}",
                sample.cycles,
                sample.events,
                kib(sample.live.log),
                kib(sample.log.allocated),
                kib(sample.log.apparent),
                sample.log_to_live(),
                kib(sample.live.artifacts),
                kib(sample.artifacts.allocated),
                sample.memory,
                sample.opening,
                "#".repeat(live),
                "-".repeat(log.saturating_sub(live)),
            );
        }
        let done = self.done() as f64;
        let last = &self.samples[self.samples.len() - 1];
        let live = last.live.log + last.live.artifacts;
        println!(
            "cost: {:.1} s, {:.1} ms and {:.1} KiB written a cycle, {:.1} bytes written for each live one; memory at most {:.1} MiB",
            self.working.as_secs_f64(),
            self.working.as_secs_f64() * 1000.0 / done,
            self.written as f64 / 1024.0 / done,
            self.written as f64 / live as f64,
            self.peak,
        );
        let live = |sample: &Sample| sample.live.log as f64;
        println!(
            "growth: {:.1} bytes of log on disk and {:.1} of memory with each live one, {:.1} ms of opening with 1,000 events",
            self.growth(live, |sample| sample.log.allocated as f64),
            self.growth(live, |sample| sample.memory * 1024.0 * 1024.0),
            self.growth(|sample| sample.events as f64 / 1000.0, |sample| sample.opening),
        );
        if self.kills > 0 {
            println!(
                "{} kills, {} of them while opening; from starting a process to an open store {:.0} ms at first, {:.0} ms at last",
                self.kills,
                self.kills_while_opening,
                self.openings[0],
                self.openings[self.openings.len() - 1],
            );
        }
    }

    fn judge(&self, how: &str, promises: &mut Promises) {
        let at = |quarter: usize| &self.samples[CHECKPOINTS * quarter / 4 - 1];
        let (quarter, half, end) = (at(1), at(2), at(4));
        let bounded = |sample: &Sample| {
            sample.log.allocated <= LOG_TO_LIVE_MAX * sample.live.log + LOG_BESIDE
        };
        promises.say(
            self.samples.iter().all(bounded) && end.log_to_live() <= half.log_to_live() * NOISE,
            &format!(
                "{how}: the log stays proportional to live data: {:.2} times at {} cycles, {:.2} at {}, {:.2} at {}",
                quarter.log_to_live(),
                quarter.cycles,
                half.log_to_live(),
                half.cycles,
                end.log_to_live(),
                end.cycles
            ),
        );
        let [first, second, last] =
            [1, 2, 4].map(|quarter| self.mean(quarter, Sample::opening_per_thousand));
        promises.say(
            last <= second * NOISE,
            &format!(
                "{how}: opening grows no faster than events: {first:.1} ms for 1,000 in the first quarter, {second:.1} in the second, {last:.1} in the last"
            ),
        );
        let [second, last] = [2, 4].map(|quarter| self.mean(quarter, Sample::memory));
        promises.say(
            last <= second * NOISE,
            &format!(
                "{how}: memory grows by less than a quarter while data double: {second:.1} MiB in the second quarter, {last:.1} MiB in the last"
            ),
        );
        promises.say(
            self.lost == 0,
            &format!("{how}: {} acknowledged events, {} lost", self.events.len(), self.lost),
        );
    }
}

/// A child at work.
struct Process {
    child: Child,
    lines: mpsc::Receiver<String>,
    folder: PathBuf,
    started: Instant,
    /// Whether it said that its store is open.
    opened: bool,
    /// How long it was stopped for looking at it.
    aside: Duration,
}

impl Process {
    fn start(folder: &Path) -> Self {
        let started = Instant::now();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .env(CHILD, folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            selftest::said_lines(stdout).try_for_each(|line| sender.send(line))
        });
        Self {
            child,
            lines,
            folder: folder.to_owned(),
            started,
            opened: false,
            aside: Duration::ZERO,
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Stops all its threads where they are.
    fn stop(&self) {
        self.signal(Signal::STOP);
        let (_, status) =
            waitpid(Some(Pid::from_child(&self.child)), WaitOptions::UNTRACED).unwrap().unwrap();
        assert!(status.stopped(), "the child ended by itself: {status:?}");
    }

    /// A line of its status, in MiB.
    fn memory(&self, name: &str) -> f64 {
        self.number("status", name) as f64 / 1024.0
    }

    /// Bytes that it gave away to be written. Not `write_bytes`: that counts whole folios of the page cache, of which the
    /// disk then gets a few blocks, and says 20 times as much.
    fn written(&self) -> u64 {
        self.number("io", "wchar:")
    }

    fn number(&self, file: &str, name: &str) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }
}

/// Opens a copy and adds up what is live in it; how long opening took, in milliseconds.
async fn live(copy: &TempDir) -> (Live, f64) {
    let began = Instant::now();
    let store = SledStore::open(copy.path(), SledOptions::default()).unwrap();
    let opening = began.elapsed().as_secs_f64() * 1000.0;
    let (mut live, mut artifacts) = (Live::default(), BTreeMap::new());
    for (run, _) in store.runs().await.unwrap() {
        for mut recorded in read_run(&store, run).await.unwrap() {
            let payload = Payload::of(&recorded.event).unwrap();
            let record = encode_record(&mut recorded, &payload, payload.is_large()).unwrap();
            live.log += record.len() as u64;
            let large = payload.is_large().then(|| payload.digest());
            for digest in recorded.event.artifacts().into_iter().chain(large) {
                let bytes = store.artifacts().get(&digest).unwrap();
                artifacts.insert(digest, bytes.len() as u64);
            }
        }
    }
    for job in store.jobs().await.unwrap() {
        live.log += encode_job(&QueuedJob { sequence: 0, job }).unwrap().len() as u64;
    }
    live.artifacts = artifacts.values().sum();
    (live, opening)
}

/// Every event of a state directory that is sound in all its bytes, as a child says it.
async fn inspect(state: &Path) -> BTreeSet<String> {
    let found = Arc::new(Mutex::new(BTreeSet::new()));
    let lines = Arc::clone(&found);
    let say: Say = Arc::new(move |line: &str| {
        lines.lock().unwrap().insert(line.to_owned());
    });
    selftest::inspect(state, say).await.unwrap();
    std::mem::take(&mut found.lock().unwrap())
}

fn kib(bytes: u64) -> String {
    format!("{} KiB", bytes / 1024)
}

fn disk(folder: &Path) -> Disk {
    let own = std::fs::metadata(folder).unwrap();
    let mut sum = Disk { allocated: own.blocks() * 512, apparent: 0 };
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let found = entry.metadata().unwrap();
        let part = match found.is_dir() {
            true => disk(&entry.path()),
            false => Disk { allocated: found.blocks() * 512, apparent: found.len() },
        };
        sum.allocated += part.allocated;
        sum.apparent += part.apparent;
    }
    sum
}
