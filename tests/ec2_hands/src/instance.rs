//! [`Instance`]: what the hands know of an instance.

use std::time::Instant;

use serde_json::{Value, json};

use crate::machine::Machine;

/// An instance that was started.
#[derive(Debug)]
pub(crate) struct Instance {
    /// How many were started before it.
    pub(crate) number: usize,
    pub(crate) is_spot: bool,
    /// When it was asked for.
    pub(crate) begun: Instant,
    pub(crate) life: Life,
    /// When it began to run, which is when it begins to cost.
    pub(crate) running: Option<Instant>,
    /// When a client was first told that it runs.
    pub(crate) told: Option<Instant>,
    pub(crate) ended: Option<Instant>,
    pub(crate) machine: Option<Machine>,
    /// What was on the console when its machine was gone.
    pub(crate) console: String,
}

/// Where an instance is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Life {
    Pending,
    Running,
    /// Its processes are being ended, by this cause.
    Ending(Cause),
    Ended(Cause),
}

/// Why an instance ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    Itself,
    User,
    Spot,
}

/// A state, as EC2 tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Described {
    pub(crate) name: String,
    pub(crate) code: String,
    pub(crate) message: String,
}

impl Instance {
    pub(crate) fn new(number: usize, is_spot: bool) -> Self {
        Self {
            number,
            is_spot,
            begun: Instant::now(),
            life: Life::Pending,
            running: None,
            told: None,
            ended: None,
            machine: None,
            console: String::new(),
        }
    }

    pub(crate) fn is_live(&self) -> bool {
        matches!(self.life, Life::Pending | Life::Running)
    }

    pub(crate) fn described(&self) -> Described {
        let (name, cause) = match &self.life {
            Life::Pending => ("pending", None),
            Life::Running => ("running", None),
            Life::Ending(cause) => ("shutting-down", Some(cause)),
            Life::Ended(cause) => ("terminated", Some(cause)),
        };
        let (code, message) = match cause {
            None => ("", ""),
            Some(Cause::Itself) => (
                "Client.InstanceInitiatedShutdown",
                "Client.InstanceInitiatedShutdown: Instance initiated shutdown",
            ),
            Some(Cause::User) => {
                ("Client.UserInitiatedShutdown", "Client.UserInitiatedShutdown: User initiated shutdown")
            }
            Some(Cause::Spot) => (
                "Server.SpotInstanceTermination",
                "Server.SpotInstanceTermination: Spot instance termination",
            ),
        };
        Described { name: name.to_owned(), code: code.to_owned(), message: message.to_owned() }
    }

    /// The instance for tests: its state, how many seconds it has run, and how many of them since a client could know it.
    pub(crate) fn json(&self, id: &str) -> Value {
        let until = self.ended.unwrap_or_else(Instant::now);
        let since = |since: Option<Instant>| {
            since.map_or(0.0, |since| until.saturating_duration_since(since).as_secs_f64())
        };
        let (seconds, told) = (since(self.running), since(self.told));
        let Described { name, code, .. } = self.described();
        json!({"id": id, "state": name, "cause": code, "spot": self.is_spot, "seconds": seconds, "told_seconds": told})
    }
}
