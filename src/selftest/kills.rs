//! SIGKILL at random instants, in the middle of opening too.

use super::child::{Program, Role};
use super::facts::Facts;
use super::violations::Violations;
use super::{Ground, SelftestError, workload};
use serde::Serialize;
use std::time::Duration;

/// Kills that one folder survives before the next one begins.
const KILLS_PER_FOLDER: u64 = 40;

/// Every other kill comes within the time that opening takes.
const WHILE_OPENING: Duration = Duration::from_millis(40);
const AT_WORK: Duration = Duration::from_millis(250);

/// What was tried.
#[derive(Debug, Default, Clone, Serialize)]
pub struct Kills {
    /// Children killed.
    pub kills: u64,
    /// Of these, before their stores were open.
    pub while_opening: u64,
    /// Facts that were acknowledged and found again.
    pub facts: u64,
}

/// Kills children until there were `wanted` kills or the time is over.
pub(super) fn kills(
    ground: &Ground,
    program: &Program,
    wanted: u64,
    violations: &mut Violations,
) -> Result<Kills, SelftestError> {
    let mut tally = Kills::default();
    while tally.kills < wanted && !ground.is_over() {
        let folder = ground.folder()?;
        workload::write_pool(folder.path())?;
        let mut facts = Facts::default();
        for life in 0..KILLS_PER_FOLDER {
            if tally.kills >= wanted || ground.is_over() {
                break;
            }
            let chance = ground.chance("kill", tally.kills);
            let longest = if life % 2 == 0 { WHILE_OPENING } else { AT_WORK };
            let delay = longest.mul_f64(chance);
            violations.at = format!("kill {}", tally.kills + 1);
            let child = program.start(Role::Everything, folder.path(), None)?;
            child.work_for(delay);
            let ended = child.kill()?;
            if !ended.was_killed() || ended.crashed() {
                violations.add(format!("a child ended by itself: {}", ended.errors.trim()));
            }
            tally.kills += 1;
            tally.while_opening += u64::from(!ended.was_open());
            for line in &ended.lines {
                if !facts.note(line) {
                    violations.add(format!("a child said {line:?}"));
                }
            }
            ground.block_on(facts.check(folder.path(), violations))?;
            ground.tell("kills", tally.kills, wanted);
        }
        tally.facts += facts.len();
    }
    Ok(tally)
}
