//! [`run_pull`]: plays a seed and judges it.

use std::{collections::BTreeMap, time::Duration};

use lithops_core::board::{CommittedChunk, Content, keys};

use super::{
    super::{Verdict, Violation},
    PullSabotage, PullScenario,
    client::SimulatedClient,
    events::{What, Who, World},
    worker::{SimulatedWorker, is_right},
};

/// Longer than any run can take that ends: then it is a hang.
const FOR_EVER: u64 = 60 * 3600 * 1_000_000;

type Broken = (Violation, String);

/// Plays what a seed decides, with a sound board.
#[must_use]
pub fn run_pull(seed: u64) -> Verdict {
    run_pull_with(&PullScenario::of(seed), None)
}

/// Plays a scenario in virtual time, with a sound board or a broken one.
#[must_use]
pub fn run_pull_with(scenario: &PullScenario, sabotage: Option<PullSabotage>) -> Verdict {
    let mut world = World::new(scenario, sabotage);
    let violation = play(&mut world).err();
    let executions = world.runs.values().map(|runs| u64::from(*runs)).sum();
    Verdict { violation, executions }
}

fn play(world: &mut World) -> Result<(), Broken> {
    world.at(0, What::Begins(Who::Client(0), "client-0".into()));
    if let Some(after) = world.scenario.second_client {
        world.after(after, What::Begins(Who::Client(1), "client-1".into()));
    }
    if let Some((after, pause)) = world.scenario.client_dies {
        world.after(after, What::Dies(0));
        world.after(after + pause, What::Begins(Who::Client(2), "client-2".into()));
    }
    if let Some(after) = world.scenario.cancelled_after {
        world.after(after, What::Cancels);
    }
    let mut clients: BTreeMap<usize, SimulatedClient> = BTreeMap::new();
    let mut workers: BTreeMap<usize, SimulatedWorker> = BTreeMap::new();
    while let Some(what) = world.next() {
        if world.now > FOR_EVER {
            let live = workers.values().filter(|worker| worker.is_live()).count();
            return Err((Violation::Hang, format!("{live} workers live on")));
        }
        let who = match &what {
            What::Happens(..) => None,
            What::Cancels => {
                clients.iter().find(|(_, client)| !client.is_dead).map(|(index, _)| Who::Client(*index))
            }
            What::Dies(client) => Some(Who::Client(*client)),
            What::CallEnds(worker, ..) | What::MustLeave(worker) => Some(Who::Worker(*worker)),
            What::Begins(who, _) | What::Answers(who, ..) | What::Wakes(who, _) => Some(*who),
        };
        match (&what, who) {
            (What::Begins(_, name), Some(Who::Client(index))) => {
                clients.insert(index, SimulatedClient::new(index, name, world));
            }
            (What::Begins(_, name), Some(Who::Worker(index))) => {
                workers.insert(index, SimulatedWorker::new(index, name, world));
            }
            // Nobody is there to cancel: the user waits for the next client.
            (What::Cancels, None) => {
                world.after(Duration::from_secs(10), What::Cancels);
                continue;
            }
            _ => {}
        }
        match (what, who) {
            (What::Happens(who, lane, request, told), _) => world.happens(who, lane, request, told),
            (what, Some(Who::Client(index))) => {
                if let Some(client) = clients.get_mut(&index) {
                    client.happens(what, world)?;
                }
            }
            (what, Some(Who::Worker(index))) => {
                if let Some(worker) = workers.get_mut(&index) {
                    worker.happens(what, world);
                }
            }
            (_, None) => {}
        }
        if let Some(violation) = world.store.violation.take() {
            return Err(violation);
        }
    }
    for client in clients.values().filter(|client| !client.is_dead) {
        if !client.is_finished() {
            return Err((Violation::Hang, "nothing happens any more, and the job is not finished".into()));
        }
        judge(world, client)?;
    }
    judge_runs(world)
}

/// Every call has one outcome: the right one, or a failure with its true cause.
fn judge(world: &World, client: &SimulatedClient) -> Result<(), Broken> {
    let scenario = &world.scenario;
    let wrong = |what: String| Err((Violation::WrongOutcome, what));
    let chunks = scenario.chunks();
    for chunk in 0..chunks.count() {
        let (first, end) = chunks.calls_of(chunk);
        let Some(seen) = client.seen.get(&chunk) else {
            return wrong(format!("chunk {chunk} was not seen"));
        };
        if world.store.get(&keys::commit(chunk)) != Some(seen) {
            return Err((Violation::CommittedTwice, format!("the commit of chunk {chunk} has changed")));
        }
        let bundle = CommittedChunk::decode(seen, first, end)
            .map_err(|error| (Violation::WrongOutcome, format!("chunk {chunk}: {error}")))?;
        for part in &bundle.parts {
            for call in part.first..part.end {
                let excused = match &part.content {
                    Content::Reported { first, report, .. } => is_right(scenario, report, *first, call),
                    Content::Lost { .. } => scenario.is_poisonous(call) || scenario.has_bad_luck(),
                    Content::Cancelled => scenario.cancelled_after.is_some(),
                };
                if !excused {
                    return wrong(format!("call {call}: {:?}", part.content));
                }
            }
        }
    }
    Ok(())
}

/// No call is run more often than what went wrong can excuse.
fn judge_runs(world: &World) -> Result<(), Broken> {
    let scenario = &world.scenario;
    let over = |what: String| Err((Violation::OverBudget, what));
    let twice = world.runs.iter().find(|(_, runs)| **runs > 1 && !scenario.is_tampered());
    if let Some(((call, epoch), runs)) = twice {
        return over(format!("call {call} was run {runs} times in epoch {epoch}"));
    }
    let chunks = scenario.chunks();
    if !scenario.has_bad_luck() {
        for chunk in 0..chunks.count() {
            let (first, end) = chunks.calls_of(chunk);
            let poisonous = (first..end).filter(|call| scenario.is_poisonous(*call)).count() as u64;
            // The first epoch ends at one of them; then each ends one more than may be lost.
            let most = 1 + poisonous * (u64::from(scenario.lease_config.losses) + 1) + poisonous.min(1);
            if world.store.epochs(chunk) > most {
                return over(format!("chunk {chunk} has {} epochs of {most}", world.store.epochs(chunk)));
            }
        }
    }
    if scenario.is_perfect() && world.runs.len() as u64 != scenario.calls {
        return over(format!("{} runs of {} calls", world.runs.len(), scenario.calls));
    }
    // A worker that nothing was heard of may live, and another client starts its own.
    let sure = !scenario.has_silence() && !scenario.is_tampered() && scenario.never_starts == 0;
    let alone = scenario.client_dies.is_none() && scenario.second_client.is_none();
    if sure && alone && world.most_live > scenario.max_workers {
        return Err((Violation::TooManyWorkers, format!("{} of {}", world.most_live, scenario.max_workers)));
    }
    Ok(())
}
