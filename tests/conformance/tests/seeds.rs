//! The promises of driver and tracker, over many seeds; and that breaking them is noticed.

use std::{collections::HashSet, time::Duration};

use lithops_conformance::simulator::{Fate, Sabotage, Scenario, Shape, Violation, run};

#[test]
fn five_hundred_seeds_break_no_promise() {
    let mut shapes = HashSet::new();
    for seed in 0..500 {
        let scenario = Scenario::of(seed);
        shapes.insert(scenario.shape);
        let verdict = run(&scenario, None);
        assert!(verdict.violation.is_none(), "seed {seed}: {:?}\n{scenario:#?}", verdict.violation);
    }
    assert_eq!(shapes.len(), 3);
}

#[test]
fn a_seed_gives_the_same_run() {
    for seed in 0..60 {
        let scenario = Scenario::of(seed);
        assert_eq!(run(&scenario, None).executions, run(&scenario, None).executions, "seed {seed}");
    }
}

#[test]
fn a_run_without_faults_runs_each_call_once() {
    for seed in 0..60 {
        let mut scenario = Scenario::of(seed);
        scenario.spare();
        let verdict = run(&scenario, None);
        assert!(verdict.violation.is_none(), "seed {seed}: {:?}", verdict.violation);
        assert_eq!(verdict.executions, scenario.calls, "seed {seed}");
    }
}

#[test]
fn a_broken_tracker_is_caught_by_name() {
    for sabotage in Sabotage::ALL {
        let expected = match sabotage {
            Sabotage::CommitsTwice => Violation::CommittedTwice,
            // The driver no longer has the call's argument: it must not go on.
            Sabotage::RerunsACommittedCall => Violation::JobFailed,
            Sabotage::DropsAReport
            | Sabotage::ForgetsALease
            | Sabotage::IgnoresCancel
            | Sabotage::LeaksASlot => Violation::Hang,
        };
        let mut seen = HashSet::new();
        let caught = (0..60).any(|seed| {
            let mut scenario = Scenario::of(seed);
            // The faults that bring the sabotage to light, and none that would excuse it.
            scenario.calls = scenario.calls.max(40);
            scenario.durable = None;
            scenario.shape =
                [Shape::Fed, Shape::Streamed, Shape::Buffered][usize::try_from(seed % 3).expect("small")];
            scenario.throttled = 300;
            scenario.cancelled_after =
                (sabotage == Sabotage::IgnoresCancel).then(|| Duration::from_millis(5));
            let violation = run(&scenario, Some(sabotage)).violation.map(|(violation, _)| violation);
            seen.extend(violation);
            violation == Some(expected)
        });
        assert!(caught, "{sabotage:?} looks like {seen:?}");
    }
}

#[test]
fn a_storage_that_replaces_what_is_stored_is_noticed() {
    let noticed = (0..200).any(|seed| {
        let mut scenario = Scenario::of(seed);
        scenario.overwrites = true;
        // Late outcomes of chunks that others have run meanwhile, and two clients to compare.
        (scenario.delayed, scenario.cancelled_after) = (200, None);
        scenario.durable = Some(Fate::Watched(Duration::from_secs(5)));
        run(&scenario, None).violation.is_some_and(|(violation, _)| violation == Violation::CommittedTwice)
    });
    assert!(noticed);
}
