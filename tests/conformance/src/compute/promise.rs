//! [`Promise`]: a trial, and the backends that it is for.

use std::{future::Future, panic::AssertUnwindSafe, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use lithops_core::compute::Capabilities;

use super::{
    Subject,
    trials::{
        calls, causes, control, environment, fed, fleets, granularity, lasting, limits, outcomes, standing,
    },
};

/// What a trial does.
type Play = fn(Subject) -> BoxFuture<'static, ()>;

/// A promise of the trait's documentation, and how it is tried.
#[derive(Debug, Clone, Copy)]
pub struct Promise {
    /// Its name there.
    pub name: &'static str,
    applies: fn(&Capabilities) -> bool,
    play: Play,
}

impl Promise {
    /// Whether a backend with these capabilities makes it.
    #[must_use]
    pub fn applies(&self, capabilities: &Capabilities) -> bool {
        (self.applies)(capabilities)
    }
}

/// For every backend.
fn always(_: &Capabilities) -> bool {
    true
}

/// Where chunks are handed over, not fetched.
fn pushes(capabilities: &Capabilities) -> bool {
    capabilities.pull.is_none()
}

/// All promises.
#[must_use]
pub fn promises() -> Vec<Promise> {
    macro_rules! list {
        ($($module:ident::$trial:ident if $applies:expr,)*) => {
            vec![$(Promise {
                name: stringify!($trial),
                applies: $applies,
                play: |subject| boxed($module::$trial(subject)),
            }),*]
        };
    }
    list![
        standing::it_is_registered_under_its_one_word if always,
        standing::what_it_cannot_do_is_unsupported if always,
        standing::check_says_what_it_found if always,
        standing::deploying_twice_changes_nothing if |capabilities| capabilities.runtimes,
        outcomes::results_come_back_in_order if always,
        outcomes::failures_and_panics_come_back_as_they_are if always,
        outcomes::many_chunks_are_done_by_few_workers if always,
        calls::every_call_is_reported_and_reported_once if pushes,
        calls::a_call_runs_once_when_nothing_goes_wrong if always,
        calls::events_name_their_activation if pushes,
        calls::reports_come_as_declared if pushes,
        calls::dropping_an_invocation_does_not_cancel_it if pushes,
        calls::calls_past_the_deadline_come_back_unstarted if |capabilities| {
            pushes(capabilities) && capabilities.timeout_limit.is_some_and(|limit| limit <= limits::SHORT)
        },
        limits::values_up_to_the_limit_come_back if always,
        limits::values_beyond_the_limit_come_back if |capabilities| capabilities.payload_limit.is_some(),
        limits::more_workers_than_may_live_are_refused_for_now if pushes,
        fed::a_fed_worker_takes_more_until_it_is_drained if |capabilities| capabilities.feed && pushes(capabilities),
        control::cancel_ends_what_runs if control::can_cancel,
        control::cancelling_what_has_ended_is_no_error if |capabilities| {
            pushes(capabilities) && control::can_cancel(capabilities)
        },
        lasting::an_outcome_is_stored_before_it_is_reported if pushes,
        lasting::close_leaves_no_process_behind if lasting::runs_here,
        granularity::calls_run_in_processes_of_their_own if always,
        granularity::no_more_calls_run_at_once_than_worker_processes if always,
        causes::what_a_call_prints_is_its_own if always,
        causes::a_call_that_exits_or_dies_fails_alone if always,
        causes::a_call_that_is_killed_is_tried_again if always,
        causes::a_call_past_its_timeout_fails_alone if always,
        causes::a_lost_worker_loses_no_call if always,
        environment::variables_are_set_for_their_job_alone if pushes,
        environment::secrets_are_in_no_argument_and_no_variable if always,
        fleets::scaling_twice_starts_nothing_twice if fleets::pulls,
        fleets::a_closed_fleet_ends if fleets::pulls,
        fleets::a_fleet_whose_client_is_gone_ends if fleets::pulls,
        fleets::what_waits_says_why if fleets::pulls,
        fleets::a_worker_that_must_leave_hands_back if fleets::can_be_told,
        fleets::a_worker_that_cannot_serve_ends_the_job_with_its_words if fleets::pulls,
        fleets::launching_takes_no_secret if fleets::pulls,
        fleets::what_a_client_has_left_is_listed_and_removed if fleets::pulls,
    ]
}

/// Puts a backend to a promise; anything that is to happen may take as long as `patience`.
///
/// # Errors
/// Why it does not keep it, or that it does not make it.
pub async fn put_to(promise: &Promise, scheme: &str, yaml: &str, patience: Duration) -> Result<(), String> {
    let subject = Subject::connect(scheme, yaml, patience).await;
    let subject = subject.map_err(|error| format!("cannot connect: {error:?}"))?;
    if !promise.applies(subject.capabilities()) {
        return Err("it does not promise that".to_owned());
    }
    let whole = tokio::time::timeout(patience * 2, (promise.play)(subject.clone()));
    let played = AssertUnwindSafe(whole).catch_unwind().await;
    // Also after a failure: the storage may be somebody's.
    let cleared = subject.clear().await;
    match played {
        Ok(Ok(())) => {}
        Ok(Err(_)) => return Err(format!("it takes longer than {:?}", patience * 2)),
        Err(panic) => return Err(message(&*panic)),
    }
    cleared.map_err(|error| format!("the marks cannot be removed: {error:?}"))
}

fn boxed(played: impl Future<Output = ()> + Send + 'static) -> BoxFuture<'static, ()> {
    played.boxed()
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without words").to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_promise_of_the_documentation_has_its_trial_and_no_trial_is_without() {
        let source = include_str!("../../../../lithops-core/src/compute/backend.rs");
        let documented = source.lines().skip_while(|line| *line != "/// # Promises");
        let documented: String = documented.take_while(|line| line.starts_with("///")).collect();
        let words = documented.split('`').skip(1).step_by(2);
        let documented: BTreeSet<_> =
            words.filter(|word| word.contains('_') && !word.contains(['-', ':'])).collect();
        let tried: BTreeSet<_> = promises().iter().map(|promise| promise.name).collect();
        let methods = BTreeSet::from(["deploy_runtime", "remove_leftover"]);
        assert_eq!(documented.difference(&methods).copied().collect::<BTreeSet<_>>(), tried);
    }
}
