//! The promises of the board, over many seeds; and that breaking them is noticed.

use std::{collections::HashSet, time::Duration};

use lithops_conformance::simulator::{
    BoardJob, PullSabotage, PullScenario, Violation, board_cost, run_pull, run_pull_with,
};

#[test]
fn three_hundred_seeds_break_no_promise() {
    let (mut perfect, mut orderly) = (0, 0);
    for seed in 0..300 {
        let verdict = run_pull(seed);
        let scenario = PullScenario::of(seed);
        assert!(verdict.violation.is_none(), "seed {seed}: {:?}\n{scenario:#?}", verdict.violation);
        orderly += u32::from(scenario.is_orderly());
        if scenario.is_perfect() {
            perfect += 1;
            assert_eq!(verdict.executions, scenario.calls, "seed {seed}");
        }
    }
    assert!(
        orderly >= 75 && perfect >= 40,
        "{orderly} of 300 without faults, {perfect} also without notices"
    );
}

#[test]
fn the_board_of_a_large_fleet_costs_what_it_may() {
    let (workers, calls, chunksize) = (400, 400_000, 100);
    let (chunk_time, request_time) = (Duration::from_secs(1), Duration::from_millis(20));
    let cost = board_cost(BoardJob { workers, calls, chunksize, chunk_time, request_time });
    assert!(cost.per_chunk() <= 3.3, "{cost}");
    assert!(cost.hearts_usd() < cost.usd() / 10.0, "{cost}");
    assert!(cost.latest <= Duration::from_secs(2), "{cost}");
}

#[test]
fn a_seed_gives_the_same_run() {
    for seed in 0..60 {
        let (one, other) = (run_pull(seed), run_pull(seed));
        assert_eq!(one.executions, other.executions, "seed {seed}");
    }
}

#[test]
fn a_broken_board_is_caught_by_name() {
    for sabotage in PullSabotage::ALL {
        let expected = match sabotage {
            PullSabotage::CommitsByOverwrite => Violation::CommittedTwice,
            PullSabotage::NeverReclaims => Violation::Hang,
            PullSabotage::ReclaimsAtOnce => Violation::TakenTooEarly,
            PullSabotage::TakesEveryClaim => Violation::OverBudget,
            PullSabotage::LosesReports | PullSabotage::PretendsToCancel => Violation::WrongOutcome,
            PullSabotage::LeavesAndRunsOn => Violation::RunsAfterLeaving,
            PullSabotage::IgnoresHandBack => Violation::WaitedForLease,
        };
        let mut seen = HashSet::new();
        let caught = (0..60).any(|seed| {
            let mut scenario = PullScenario::of(seed * 4);
            // The faults that bring the sabotage to light, and none that would excuse it.
            scenario.calls = scenario.calls.clamp(40, 400);
            scenario.max_workers = scenario.max_workers.max(3);
            match sabotage {
                PullSabotage::CommitsByOverwrite => scenario.pauses = 10,
                PullSabotage::NeverReclaims => scenario.dies_at_call = 20,
                PullSabotage::LosesReports => scenario.poisonous = 200,
                PullSabotage::PretendsToCancel => scenario.cancelled_after = Some(Duration::from_millis(500)),
                PullSabotage::LeavesAndRunsOn | PullSabotage::IgnoresHandBack => scenario.told_to_leave = 20,
                PullSabotage::ReclaimsAtOnce | PullSabotage::TakesEveryClaim => {}
            }
            assert_eq!(run_pull_with(&scenario, None).violation, None, "{sabotage:?}: the scenario itself");
            let violation =
                run_pull_with(&scenario, Some(sabotage)).violation.map(|(violation, _)| violation);
            seen.extend(violation);
            violation == Some(expected)
        });
        assert!(caught, "{sabotage:?} looks like {seen:?}");
    }
}
