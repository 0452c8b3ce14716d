//! A simulated worker: takes calls, lets virtual time pass, reports, and goes wrong as the scenario says.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use lithops_core::{
    compute::{Event, EventKind, ExitReason, FeedCommand},
    error::{CallError, CallErrorKind, Error, ErrorKind, Result},
    journal::{ChunkOutcomes, Journal, Stored},
    protocol::{Calls, Cancel, HEADER_LEN, Report, ReportBuilder, ReportHeader, Run, Tag},
    tracker::Ranges,
};
use tokio::{sync::mpsc, time::sleep};

use super::{
    Shape,
    backend::{Live, World},
    random::Random,
};

/// The channel up to the driver.
pub(super) type Events = mpsc::UnboundedSender<Result<Event>>;

/// A worker from its start to its end.
pub(super) struct SimulatedWorker {
    /// Unlike any other worker's.
    pub(super) number: u64,
    pub(super) world: Arc<World>,
    pub(super) random: Random,
    pub(super) events: Events,
    pub(super) commands: mpsc::UnboundedReceiver<FeedCommand>,
    /// A report that will be sent after the next one.
    pub(super) held_back: Option<Event>,
}

enum End {
    /// It has ended in good order.
    Finished,
    /// It has died; the platform may know.
    Died,
}

impl SimulatedWorker {
    /// Runs the calls it is given; the world counts it as live until it returns.
    pub(super) async fn live(mut self, calls: Calls, live: Live) {
        let activation = calls.run.activation;
        let shape = self.world.scenario.shape;
        let slow = if self.random.happens(self.world.scenario.slow) { 50 } else { 1 };
        self.send(Event { activation, kind: EventKind::Started });
        let end = match shape {
            Shape::Fed => self.fed(calls, slow).await,
            Shape::Streamed => self.streamed(calls, slow).await,
            Shape::Buffered => self.buffered(calls, slow).await,
        };
        if let Some(event) = self.held_back.take().filter(|_| matches!(end, End::Finished)) {
            self.send(event);
        }
        drop(live);
        match (end, shape) {
            (End::Finished, _) => {
                self.send(Event { activation, kind: EventKind::Exited(ExitReason::Finished) })
            }
            // The platform tells of it; elsewhere nothing is heard any more.
            (End::Died, Shape::Fed) => {
                self.send(Event { activation, kind: EventKind::Exited(ExitReason::Lost("it died".into())) });
            }
            (End::Died, Shape::Streamed | Shape::Buffered) => {
                self.events.closed().await;
            }
        }
    }

    async fn fed(&mut self, first: Calls, slow: u64) -> End {
        let mut queue = VecDeque::from([first]);
        let mut draining = false;
        loop {
            while let Ok(command) = self.commands.try_recv() {
                draining |= self.take(command, &mut queue);
            }
            let Some(mut calls) = queue.pop_front() else {
                if draining {
                    return End::Finished;
                }
                // No further report will follow it.
                if let Some(event) = self.held_back.take() {
                    self.send(event);
                }
                let Some(command) = self.commands.recv().await else { return End::Finished };
                draining |= self.take(command, &mut queue);
                continue;
            };
            let count = 1 + u32::try_from(self.random.below(u64::from(calls.run.count))).unwrap_or(0);
            let now = calls.take_front(count);
            if calls.run.count > 0 {
                queue.push_front(calls);
            }
            match self.run(&now, slow).await {
                Some(report) if self.random.happens(self.world.scenario.dies_before_report) => {
                    drop(report);
                    return End::Died;
                }
                Some(report) => self.report(report).await,
                None => return End::Died,
            }
            if self.random.happens(self.world.scenario.dies_after_report) {
                return End::Died;
            }
        }
    }

    /// Takes in a command; says whether nothing more will come.
    fn take(&mut self, command: FeedCommand, queue: &mut VecDeque<Calls>) -> bool {
        match command {
            FeedCommand::Chunk(calls) => queue.push_back(calls),
            FeedCommand::CancelCalls(cancel) => {
                let waiting: Vec<_> = queue.drain(..).collect();
                queue.extend(waiting.iter().flat_map(|calls| left_of(calls, &cancel)));
            }
            FeedCommand::Drain => return true,
            _ => {}
        }
        false
    }

    async fn streamed(&mut self, mut calls: Calls, slow: u64) -> End {
        while calls.run.count > 0 {
            let count = 1 + u32::try_from(self.random.below(u64::from(calls.run.count))).unwrap_or(0);
            let now = calls.take_front(count);
            let Some(report) = self.run(&now, slow).await else { return End::Died };
            if self.random.happens(self.world.scenario.dies_before_report) {
                return End::Died;
            }
            self.report(report).await;
            if self.random.happens(self.world.scenario.dies_after_report) {
                return End::Died;
            }
        }
        End::Finished
    }

    async fn buffered(&mut self, calls: Calls, slow: u64) -> End {
        let Some(report) = self.run(&calls, slow).await else { return End::Died };
        if self.random.happens(self.world.scenario.dies_before_report) {
            return End::Died;
        }
        self.report(report).await;
        End::Finished
    }

    fn journal(&self) -> Journal {
        self.world.journal.clone().expect("the job is durable")
    }

    /// Stores the outcomes of a whole chunk, if these are; gives what is stored then, and whether anything is.
    async fn keep(&self, report: Report) -> (Report, bool) {
        let (run, scenario) = (report.header.run, &self.world.scenario);
        let chunksize = scenario.chunksize as u64;
        let chunk = run.first / chunksize;
        let calls = (chunk * chunksize, ((chunk + 1) * chunksize).min(scenario.calls));
        let is_final =
            (0..report.len()).all(|index| report.tag(index) == Tag::Ok || scenario.policy.retries == 0);
        if (run.first, run.end()) != calls || !is_final {
            return (report, false);
        }
        let bundle = ChunkOutcomes { logs: Vec::new(), reports: vec![report.clone()] };
        match self.journal().commit(chunk, calls, &bundle).await {
            Ok(Stored::Ours) => (report, true),
            // A worker's chunk is one report, the client's may be several: then it reads them for itself.
            Ok(Stored::Theirs(theirs)) if theirs.reports.len() == 1 => {
                (theirs.reports.into_iter().next().expect("there is one"), true)
            }
            Ok(Stored::Theirs(_)) | Err(_) => (report, false),
        }
    }

    /// Lets calls run; `None` when one of them kills the worker.
    async fn run(&mut self, calls: &Calls, slow: u64) -> Option<Report> {
        let mut builder = ReportBuilder::default();
        for index in 0..calls.run.count {
            let call = calls.run.first + u64::from(index);
            let takes = Duration::from_millis((1 + self.random.below(40)) * slow);
            sleep(takes).await;
            self.world.executed(call, calls.run.attempt);
            if self.world.scenario.is_poisonous(call) {
                return None;
            }
            let failures = self.world.scenario.failures_of(call);
            let tag = if failures > 0 && self.world.tries(call) <= failures {
                let error = CallError::new(CallErrorKind::Failed, "it fails");
                builder.value().extend_from_slice(&rmp_serde::to_vec_named(&error).ok()?);
                Tag::Failed
            } else {
                builder.value().extend_from_slice(calls.arguments.get(index as usize));
                Tag::Ok
            };
            let time = 200_000u64.saturating_add_signed(self.world.scenario.skew) * 1_000_000_000;
            builder.end_call(tag, time, time + u64::try_from(takes.as_nanos()).unwrap_or(0));
        }
        let pid = u32::try_from(self.number).unwrap_or(u32::MAX);
        Some(finish(&mut builder, calls.run, calls.queued_at, pid))
    }

    async fn report(&mut self, report: Report) {
        let (mut report, is_stored) =
            if self.world.journal.is_some() { self.keep(report).await } else { (report, false) };
        report.header.stored = is_stored;
        // A fed worker's channel loses nothing; elsewhere the end of the worker is told of.
        if self.world.scenario.shape != Shape::Fed && self.random.happens(self.world.scenario.lost) {
            return;
        }
        let event =
            Event { activation: report.header.run.activation, kind: EventKind::Report(Box::new(report)) };
        if self.random.happens(self.world.scenario.delayed) {
            // Up to far beyond any lease; meanwhile not a word is heard of the worker.
            sleep(Duration::from_secs(self.random.below(150))).await;
        }
        if self.random.happens(self.world.scenario.repeated) {
            self.send(event.clone());
        }
        if self.held_back.is_none() && self.random.happens(self.world.scenario.reordered) {
            self.held_back = Some(event);
            return;
        }
        self.send(event);
        if let Some(held_back) = self.held_back.take() {
            self.send(held_back);
        }
    }

    fn send(&self, event: Event) {
        // The driver stops listening when the job has ended.
        let _ = self.events.send(Ok(event));
    }
}

/// What is left of calls when some are cancelled.
fn left_of(calls: &Calls, cancel: &Cancel) -> Vec<Calls> {
    let run = calls.run;
    let mut left = Ranges::default();
    left.insert(run.first, run.end());
    cancel.calls.iter().for_each(|(first, end)| {
        left.remove(*first, *end);
    });
    let narrow = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    left.iter().map(|(first, end)| calls.slice(narrow(first - run.first), narrow(end - first))).collect()
}

fn finish(builder: &mut ReportBuilder, run: Run, queued_at: u64, pid: u32) -> Report {
    let header = ReportHeader {
        run,
        batch: 0,
        batch_done: true,
        stored: false,
        pid,
        queued_at,
        cpu: Duration::ZERO,
        peak_memory: 0,
        delay: Duration::ZERO,
    };
    let mut frame = Vec::new();
    builder.drain_into(&header, &mut frame);
    Report::read(&bytes::Bytes::from(frame).slice(HEADER_LEN..)).expect("it was just written")
}

/// The platform's word for "not now".
pub(super) fn throttled() -> Error {
    Error::new(ErrorKind::RateLimited, "the simulated platform asks to slow down")
}
