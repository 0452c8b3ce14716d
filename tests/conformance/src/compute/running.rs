//! [`Running`]: an invocation, and what was heard of it.

use std::{collections::BTreeMap, time::Duration};

use futures_util::StreamExt;
use lithops_core::{
    compute::{Event, EventKind, ExitReason, Feed, FeedCommand, Invocation, InvocationId},
    error::CallError,
    id::ActivationId,
    protocol::{Report, Run, Tag},
};
use serde::de::DeserializeOwned;

/// An invocation, and what was heard of it.
pub(super) struct Running {
    pub(super) id: InvocationId,
    pub(super) feed: Option<Feed>,
    events: futures_util::stream::BoxStream<'static, lithops_core::error::Result<Event>>,
    runs: Vec<Run>,
    pub(super) heard: Heard,
    patience: Duration,
}

/// What was heard of an invocation.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// By call, every outcome that was reported, in that order.
    pub(super) outcomes: BTreeMap<u64, Vec<(Tag, Vec<u8>)>>,
    /// The reports as they came.
    pub(super) reports: Vec<Report>,
    pub(super) activations: Vec<ActivationId>,
    pub(super) exit: Option<ExitReason>,
    pub(super) throttled: bool,
}

impl Running {
    pub(super) fn new(invocation: Invocation, run: Run, patience: Duration) -> Self {
        let Invocation { id, events, feed } = invocation;
        Self { id, feed, events, runs: vec![run], heard: Heard::default(), patience }
    }

    /// Further calls were fed to it.
    pub(super) fn expect(&mut self, run: Run) {
        self.runs.push(run);
    }

    /// Waits for the next event; says whether there was one.
    pub(super) async fn next(&mut self) -> bool {
        let next = tokio::time::timeout(self.patience, self.events.next()).await;
        let next = next.unwrap_or_else(|_| {
            let calls = self.runs.iter().flat_map(|run| run.first..run.end());
            let missing: Vec<_> = calls.filter(|call| !self.heard.outcomes.contains_key(call)).collect();
            panic!("nothing was heard for {:?}; not reported are calls {missing:?}", self.patience)
        });
        let Some(event) = next else { return false };
        let Event { activation, kind } = event.unwrap_or_else(|error| panic!("an event: {error:?}"));
        assert!(self.heard.exit.is_none(), "{kind:?} after the exit event");
        match kind {
            EventKind::Report(report) => {
                self.heard.activations.push(activation);
                let run = report.header.run;
                for (index, call) in (run.first..run.end()).enumerate() {
                    let outcome = (report.tag(index), report.value(index).to_vec());
                    self.heard.outcomes.entry(call).or_default().push(outcome);
                }
                self.heard.reports.push(*report);
            }
            EventKind::Exited(reason) => self.heard.exit = Some(reason),
            EventKind::Throttled(_) => self.heard.throttled = true,
            EventKind::Started => self.heard.activations.push(activation),
            _ => {}
        }
        true
    }

    /// Whether every call has an outcome.
    pub(super) fn is_reported(&self) -> bool {
        let mut calls = self.runs.iter().flat_map(|run| run.first..run.end());
        calls.all(|call| self.heard.outcomes.contains_key(&call))
    }

    /// Waits until every call is reported, or nothing more comes.
    pub(super) async fn report(&mut self) {
        while !self.is_reported() && self.heard.exit.is_none() && self.next().await {}
    }

    /// Waits for all reports, lets the worker go where that is asked of the client, and waits for the end.
    pub(super) async fn end(&mut self) -> &Heard {
        self.report().await;
        if let Some(feed) = &self.feed {
            feed.send(FeedCommand::Drain);
        }
        while self.next().await {}
        assert!(self.heard.exit.is_some(), "the events ended without an exit event");
        &self.heard
    }
}

impl Heard {
    /// The value of a call that was reported once.
    pub(super) fn value<T: DeserializeOwned>(&self, call: u64) -> T {
        match self.outcomes.get(&call).map(Vec::as_slice) {
            Some([(Tag::Ok, value)]) => lithops_core::value::decode(value)
                .unwrap_or_else(|error| panic!("the value of call {call}: {error}")),
            Some([(tag, value)]) => {
                let error = rmp_serde::from_slice::<CallError>(value);
                panic!("call {call} is {tag:?}: {error:?}")
            }
            Some(several) => panic!("call {call} was reported {} times", several.len()),
            None => panic!("call {call} was not reported"),
        }
    }
}
