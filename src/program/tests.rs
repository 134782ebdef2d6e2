//! Stories about programs, told by shell scripts. What must not happen here is waiting for ever.

use super::*;

/// Far more than any of these programs needs, and a bound for the tests themselves.
const AMPLE: Duration = Duration::from_secs(120);

/// A script of the shell, whose `$1` is the argument.
fn script(text: &str) -> Vec<String> {
    ["sh", "-c", text, "sh"].map(str::to_owned).to_vec()
}

fn program(words: &[String]) -> Program<'_> {
    Program { words, argument: Path::new("/"), folder: None, time_max: AMPLE, memory_max: None }
}

/// Runs a script to its end, and answers its lines too.
fn told(text: &str) -> (Outcome, Vec<String>) {
    let words = script(text);
    let mut lines = Vec::new();
    let outcome = run(&program(&words), &mut |line| {
        lines.extend(line.map(str::to_owned));
        ControlFlow::Continue(())
    });
    (outcome.unwrap(), lines)
}

fn exit_code(outcome: &Outcome) -> Option<i32> {
    match outcome.ended {
        Ended::Exit(status) => status.code(),
        Ended::Time | Ended::Memory { .. } | Ended::Stopped => None,
    }
}

/// Whether a process with this number goes on living: one that was killed may take a moment to be gone.
#[cfg(target_os = "linux")]
fn lives(pid: &str) -> bool {
    let (_open, nothing) = std::sync::mpsc::channel::<()>();
    (0..400).all(|_| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let state = stat.rsplit_once(')').map(|(_, rest)| rest.trim_start());
        let is_there = state.is_some_and(|state| !state.starts_with(['Z', 'X']));
        is_there && nothing.recv_timeout(Duration::from_millis(25)).is_err()
    })
}

#[test]
fn each_line_is_heard_and_both_outputs_keep_their_end() {
    let (outcome, lines) = told("echo one; echo; printf 'two\\r\\nthree'; echo oh >&2; exit 4");
    assert_eq!(lines, ["one", "", "two", "three"]);
    assert_eq!(exit_code(&outcome), Some(4));
    assert_eq!(outcome.output, "one\n\ntwo\nthree");
    assert_eq!(outcome.complaints, "oh");
}

#[test]
fn the_argument_comes_last_and_the_program_runs_in_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().canonicalize().unwrap();
    let words = script("pwd; echo $1; cat");
    let here = Program { folder: Some(&place), argument: Path::new("x"), ..program(&words) };
    let mut lines = Vec::new();
    run(&here, &mut |line| {
        lines.extend(line.map(str::to_owned));
        ControlFlow::Continue(())
    })
    .unwrap();
    let argument = std::env::current_dir().unwrap().join("x");
    assert_eq!(lines, [place.to_str().unwrap(), argument.to_str().unwrap()]);
}

#[test]
fn a_program_that_dies_by_a_signal_says_by_which() {
    let (outcome, _) = told("kill -TERM $$");
    let Ended::Exit(status) = outcome.ended else { panic!("{outcome:?}") };
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(15));
}

#[test]
fn a_program_that_hangs_is_ended_at_its_limit() {
    let words = script("echo begin; sleep 600");
    let short = Program { time_max: Duration::from_millis(300), ..program(&words) };
    let outcome = run(&short, &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!((outcome.ended, outcome.output.as_str()), (Ended::Time, "begin"));
}

#[test]
#[cfg(target_os = "linux")]
fn what_a_program_leaves_running_is_ended_with_it_and_keeps_nobody_waiting() {
    // The child holds both pipes for longer than any test may take.
    let (outcome, lines) = told("sleep 600 & echo $!");
    assert_eq!(exit_code(&outcome), Some(0));
    assert!(!lives(&lines[0]), "{} is still there", lines[0]);
    let (outcome, lines) = told("(trap '' TERM HUP; sleep 600) & echo $!; kill -KILL $$");
    assert_eq!(exit_code(&outcome), None);
    assert!(!lives(&lines[0]), "{} is still there", lines[0]);
}

#[test]
#[cfg(target_os = "linux")]
fn a_process_that_left_the_group_keeps_nobody_waiting_either() {
    let (outcome, lines) = told("setsid sh -c 'echo $$; exec sleep 600' & sleep 0.2; exit 3");
    assert_eq!(exit_code(&outcome), Some(3));
    assert!(outcome.output.is_empty(), "its pipe is still open: nobody knows the end of it");
    end(lines[0].parse().unwrap()).unwrap();
}

#[test]
#[cfg(target_os = "linux")]
fn a_listener_that_breaks_off_ends_the_whole_group() {
    for text in ["sleep 600 & echo $!; wait", "trap '' TERM; echo $$; while :; do echo; done"] {
        let (words, mut pid) = (script(text), None);
        let outcome = run(&program(&words), &mut |line| {
            pid = pid.take().or(line.map(str::to_owned));
            if pid.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert_eq!(outcome.unwrap().ended, Ended::Stopped, "{text}");
        assert!(!lives(&pid.unwrap()), "{text}");
    }
}

#[test]
fn a_silent_program_can_be_ended() {
    let (words, mut asked) = (script("exec sleep 600"), 0);
    let outcome = run(&program(&words), &mut |line| {
        assert_eq!(line, None);
        asked += 1;
        if asked > 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!(outcome.unwrap().ended, Ended::Stopped);
}

#[test]
fn a_line_without_end_is_cut_and_its_program_still_ends() {
    // 8 MB in one line, and then a line as usual.
    let (outcome, lines) = told("head -c 8000000 /dev/zero | tr '\\0' x; echo; echo last");
    assert_eq!(exit_code(&outcome), Some(0));
    assert_eq!(lines.iter().map(String::len).collect::<Vec<_>>(), [LINE_BYTES_MAX, 4]);
    assert_eq!(outcome.output, "last");
    let words = script("exec cat /dev/zero");
    let short = Program { time_max: Duration::from_millis(300), ..program(&words) };
    let outcome = run(&short, &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(outcome.ended, Ended::Time);
    assert!(outcome.output.len() <= TAIL_BYTES);
}

#[test]
fn only_the_end_of_what_a_program_says_is_kept() {
    let (outcome, lines) = told("seq 1 20000; seq 1 20000 >&2");
    assert_eq!(lines.len(), 20000);
    for text in [&outcome.output, &outcome.complaints] {
        assert!(text.len() <= TAIL_BYTES && text.ends_with("19999\n20000"));
        assert_eq!(text.split('\n').next().unwrap().len(), 5, "the first line is a whole one");
    }
    let (outcome, _) = told("printf '\\377\\n'");
    assert_eq!(outcome.output, "\u{fffd}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_group_that_holds_too_much_memory_is_ended() {
    // The child holds it, not the program itself.
    let words = script(
        "(tail -c 200000000 /dev/zero; sleep 600) & (dd if=/dev/zero bs=200M count=1 | sleep 600) & wait",
    );
    let small = Program { memory_max: Some(50 << 20), ..program(&words) };
    let outcome = run(&small, &mut |_| ControlFlow::Continue(())).unwrap();
    let Ended::Memory { bytes } = outcome.ended else { panic!("{:?}", outcome.ended) };
    assert!(bytes > 50 << 20);
}

#[test]
fn what_is_no_program_is_told_apart_from_a_machine_without_room() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("plain"), "echo").unwrap();
    for name in ["no-such-program-anywhere", "/no/such/program", "./plain", "./", "", "a\0b"] {
        let words = [name.to_owned()];
        let here = Program { folder: Some(folder.path()), ..program(&words) };
        let error = run(&here, &mut |_| ControlFlow::Continue(())).unwrap_err();
        assert!(matches!(error, StartError::NoProgram { .. }), "{name:?}: {error:?}");
    }
    let again = start_error("x", &io::Error::from(ErrorKind::OutOfMemory));
    assert!(matches!(again, StartError::Machine { .. }));
}
