//! Builds the programs, and runs every trial on a moto with hands. Trials mostly wait, so some run at a time, each on a
//! moto of its own.

use std::{
    path::Path,
    process::Command,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Instant,
};

use super::{faults, hands::Hands, jobs, looks, market, place::Place};
use crate::{
    cluster::aws_programs,
    e2e::{
        peers::{Server, shellcheck},
        program::Programs,
    },
    steps,
    workspace::{built, cargo, root},
};

/// A trial: its error says what was wrong.
pub(super) type Trial = fn(&Place) -> Result<(), String>;

/// How many trials run at a time.
const LANES: usize = 3;
const BUILD: &[&str] = &[
    "build",
    "--quiet",
    "--package=lithops",
    "--package=lithops-ec2-hands",
    "--features=lithops/aws_ec2,lithops/cli",
    "--bins",
    "--example=failures",
    "--example=fleet",
    "--example=granularity",
    "--example=words",
];
const SUITE: &[&str] =
    &["test", "--quiet", "-p", "lithops-conformance", "--features", "instances", "--test", "aws_ec2"];
/// The conformance suite is a trial too.
const CONFORMANCE: (&str, Trial) = ("the conformance suite", conformance);

/// Runs the trials whose names have these words: all, where there are none.
pub(in crate::e2e) fn run(words: &str) -> Result<(), String> {
    let mut shellcheck = Command::new(shellcheck()?);
    let scripts = ["backends/aws_ec2/src/user_data.golden.sh", "tests/ec2_hands/shims/aws"];
    let shims = ["curl", "gzip", "shutdown", "systemctl", "systemd-run"]
        .map(|name| format!("tests/ec2_hands/shims/{name}"));
    steps::run(shellcheck.args(scripts).args(shims).current_dir(root()))?;
    let metadata = aws_programs()?.join("ec2-metadata-mock");
    // Long ones begin first, so that no lane waits for them in the end. The suite does not begin beside the boot of the job with the most instances.
    let (first, others) = jobs::TRIALS.split_at(LANES);
    let all = first.iter().copied().chain([CONFORMANCE]).chain(others.iter().copied());
    let all = all.chain(faults::TRIALS.iter().copied()).chain(market::TRIALS.iter().copied());
    let all = all.chain(looks::TRIALS.iter().copied());
    let chosen: Vec<_> = all.filter(|(name, _)| name.contains(words)).collect();
    if chosen.is_empty() {
        return Err(format!("no trial of aws_ec2 has `{words}` in its name"));
    }
    steps::run(cargo().args(BUILD))?;
    if chosen.iter().any(|(name, _)| *name == CONFORMANCE.0) {
        steps::run(cargo().args(SUITE).arg("--no-run"))?;
    }
    let folder = built("peers")?.join(format!("ec2-{}", std::process::id()));
    let programs = Programs::new(built("debug")?)?;
    let lanes =
        Lanes { folder: &folder, programs: &programs, metadata: &metadata, is_whole: words.is_empty() };
    lanes.run(&chosen)?;
    // After a failure the files stay: they explain it.
    std::fs::remove_dir_all(&folder).map_err(|error| error.to_string())
}

/// What all lanes share.
struct Lanes<'a> {
    folder: &'a Path,
    programs: &'a Programs,
    metadata: &'a Path,
    /// Whether all trials run, so that each kind of request was made.
    is_whole: bool,
}

impl Lanes<'_> {
    fn run(&self, trials: &[(&str, Trial)]) -> Result<(), String> {
        let (left, has_failed) = (Mutex::new(trials.iter()), AtomicBool::new(false));
        let next = || {
            let next = left.lock().unwrap_or_else(PoisonError::into_inner).next();
            next.filter(|_| !has_failed.load(Ordering::Relaxed))
        };
        let lane = |number: usize| {
            let done = self.lane(number, next);
            if done.is_err() {
                has_failed.store(true, Ordering::Relaxed);
            }
            done
        };
        let compared = thread::scope(|scope| {
            let lanes: Vec<_> =
                (0..LANES.min(trials.len())).map(|number| scope.spawn(move || lane(number))).collect();
            let ends = lanes
                .into_iter()
                .map(|lane| lane.join().unwrap_or_else(|_| Err("a lane has panicked".into())));
            ends.collect::<Vec<_>>()
        });
        let compared: Vec<String> = compared.into_iter().collect::<Result<_, _>>()?;
        if self.is_whole { jobs::all_are_compared(&compared.join(" ")) } else { Ok(()) }
    }

    /// Runs trials one after another until there is no next one; gives the actions that were compared with botocore's.
    fn lane<'t>(
        &self,
        number: usize,
        next: impl Fn() -> Option<&'t (&'t str, Trial)>,
    ) -> Result<String, String> {
        let folder = self.folder.join(number.to_string());
        std::fs::create_dir_all(&folder)
            .map_err(|error| format!("cannot make `{}`: {error}", folder.display()))?;
        let programs = self.programs.again(&format!("lane-{number}"))?;
        let moto = Server::moto(&folder)?;
        let hands = Hands::start(&programs.built().join("ec2-hands"), moto.port, &folder, self.metadata)?;
        let place = Place { programs, hands, moto, folder };
        while let Some((name, trial)) = next() {
            let begun = Instant::now();
            let tried = trial(&place).and_then(|()| place.nothing_is_left());
            tried.map_err(|problem| format!("e2e aws_ec2: {name}: {problem}"))?;
            place.hands.faults(&serde_json::json!({}))?;
            eprintln!("   {name}: passed in {:.1} s", begun.elapsed().as_secs_f64());
        }
        jobs::no_secret_was_told(&place)?;
        jobs::requests_are_those_of_botocore(&place)
    }
}

/// All promises of the conformance suite.
fn conformance(place: &Place) -> Result<(), String> {
    let config = place.programs.write("conformance.yaml", place.yaml("lease: 4s, orphan: 60s").as_bytes())?;
    let mut trials = cargo();
    trials.args(SUITE).args(["--", "--test-threads=3"]).env("LITHOPS_TEST_EC2", config);
    steps::run(&mut trials)
}
