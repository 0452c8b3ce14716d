//! What the states of an instance mean for its worker.

use std::time::Duration;

use lithops_core::compute::WorkerEnd;

use crate::api::answers::Instance;

/// How long an instance may be pending until it is taken for one that never comes.
pub(crate) const PENDING: Duration = Duration::from_secs(180);

/// What is known of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum InstanceState {
    /// It boots, or is about to.
    Pending,
    /// It runs, and is paid for.
    Running,
    /// It has ended, or is ending.
    Ended(EndCause),
}

/// Why an instance has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EndCause {
    /// It has ended itself: its worker has left, or could not be started.
    Itself,
    /// EC2 has taken a spot instance back.
    Spot,
    /// A user or this client has ended it.
    Terminated(String),
    /// EC2 could not start it, or has lost it.
    Platform(String),
}

impl InstanceState {
    /// The state that EC2 tells.
    pub(crate) fn of(instance: &Instance) -> Self {
        let (code, words) = instance.reason();
        let words = if words.is_empty() { code } else { words };
        match instance.state() {
            "pending" | "" => Self::Pending,
            "running" => Self::Running,
            _ => Self::Ended(match code {
                "Server.SpotInstanceTermination" | "Server.SpotInstanceShutdown" => EndCause::Spot,
                "Client.InstanceInitiatedShutdown" => EndCause::Itself,
                "Client.UserInitiatedShutdown" => EndCause::Terminated(words.to_owned()),
                _ if code.is_empty() => EndCause::Platform("EC2 does not say why".to_owned()),
                _ => EndCause::Platform(words.to_owned()),
            }),
        }
    }
}

impl EndCause {
    /// The end of the worker, where its instance has come as far as to start it; `refusal` is what the worker has said if
    /// it could not serve.
    pub(crate) fn of_worker(&self, refusal: Option<String>) -> WorkerEnd {
        match (self, refusal) {
            (_, Some(words)) => WorkerEnd::Refused(words),
            (Self::Itself, None) => WorkerEnd::Finished,
            (Self::Spot, None) => WorkerEnd::Evicted,
            (Self::Terminated(words), None) => {
                WorkerEnd::Lost(format!("its instance was terminated by a user: {words}"))
            }
            (Self::Platform(words), None) => WorkerEnd::Lost(format!("its instance has ended: {words}")),
        }
    }

    /// Why no worker has started on the instance; `None` where that is no failure of ours.
    pub(crate) fn of_false_start(&self) -> Option<String> {
        match self {
            Self::Itself => Some("it ended itself before its worker was started".to_owned()),
            Self::Spot => None,
            Self::Terminated(words) => Some(format!("it was terminated by a user: {words}")),
            Self::Platform(words) => Some(words.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_is_read_as_what_it_is() {
        let of =
            |state: &str, code: &str| InstanceState::of(&Instance::described("i-1", state, code, "words"));
        assert_eq!(of("pending", ""), InstanceState::Pending);
        assert_eq!(of("running", ""), InstanceState::Running);
        for (code, cause) in [
            ("Server.SpotInstanceTermination", EndCause::Spot),
            ("Client.InstanceInitiatedShutdown", EndCause::Itself),
            ("Client.UserInitiatedShutdown", EndCause::Terminated("words".into())),
            ("Client.InternalError", EndCause::Platform("words".into())),
            ("Server.InternalError", EndCause::Platform("words".into())),
            ("Server.InsufficientInstanceCapacity", EndCause::Platform("words".into())),
        ] {
            for state in ["shutting-down", "terminated", "stopping", "stopped"] {
                assert_eq!(of(state, code), InstanceState::Ended(cause.clone()), "{state} {code}");
            }
        }
    }

    #[test]
    fn the_end_of_a_worker_is_told_for_what_it_is() {
        let lost = |words: &str| WorkerEnd::Lost(words.to_owned());
        assert_eq!(EndCause::Itself.of_worker(None), WorkerEnd::Finished);
        assert_eq!(EndCause::Spot.of_worker(None), WorkerEnd::Evicted);
        let no = "profile may not put".to_owned();
        assert_eq!(EndCause::Itself.of_worker(Some(no.clone())), WorkerEnd::Refused(no));
        let by_user = EndCause::Terminated("User initiated".into());
        assert_eq!(by_user.of_worker(None), lost("its instance was terminated by a user: User initiated"));
        let failed = EndCause::Platform("EBS".into());
        assert_eq!(failed.of_worker(None), lost("its instance has ended: EBS"));
        assert_eq!(failed.of_false_start().as_deref(), Some("EBS"));
        assert_eq!(EndCause::Spot.of_false_start(), None, "the market is no fault of the user data");
    }
}
