//! The lease protocol, explored to the last state.

use gleaner_model::protocol::Rules;
use gleaner_model::{Budget, Leases};
use stateright::{Checker, HasDiscoveries, Model};

const RULES: Rules =
    Rules { attempts: 2, crashes_max: 2, lease: 2, wait: 1, at_once: 3, fencing: true };

const BUDGET: Budget = Budget { reopenings: 2, cancellations: 1, releases: 1, revivals: 1 };

fn explore(name: &str, rules: Rules, budget: Budget) -> impl Checker<Leases> {
    let leases = Leases { rules, budget };
    let checker = leases.checker().threads(2).finish_when(HasDiscoveries::AnyFailures);
    let checker = checker.spawn_bfs().join();
    println!("{name}: {} states, depth {}", checker.unique_state_count(), checker.max_depth());
    checker
}

#[test]
fn three_workers_and_three_jobs_in_every_order() {
    explore("the protocol", RULES, BUDGET).assert_properties();
}

#[test]
fn where_two_jobs_may_be_held_at_once_the_third_worker_waits() {
    explore("two at once", Rules { at_once: 2, ..RULES }, BUDGET).assert_properties();
}

#[test]
fn a_queue_without_fencing_is_found_out() {
    let nothing_else = Budget { reopenings: 0, cancellations: 0, releases: 0, revivals: 0 };
    let rules = Rules { fencing: false, ..RULES };
    let checker = explore("without fencing", rules, nothing_else);
    let path = checker.discovery("nothing happens that must not");
    println!("{}", path.expect("a counterexample"));
}
