//! Trials as a test harness runs them.

use std::{future::Future, process::ExitCode, sync::Arc};

use futures_util::{FutureExt, future::BoxFuture};
use libtest_mimic::{Arguments, Failed, Trial};
use lithops_core::{error::Result, storage::Storage};

use super::{Subject, keys, objects, ranges, streams, writers};

/// Opens the storage, and names a bucket of it that exists.
pub trait Factory: Fn() -> Result<(Arc<dyn Storage>, String)> + Clone + Send + 'static {}

impl<F: Fn() -> Result<(Arc<dyn Storage>, String)> + Clone + Send + 'static> Factory for F {}

/// What a trial does.
type Play = fn(Subject) -> BoxFuture<'static, ()>;

/// Puts one storage to all trials, as the `main` of a test target.
pub fn run(name: &str, factory: impl Factory) -> ExitCode {
    libtest_mimic::run(&Arguments::from_args(), trials(name, factory)).exit_code()
}

/// The trials, each named by what a storage promises.
pub fn trials(name: &str, factory: impl Factory) -> Vec<Trial> {
    fn all() -> Vec<(&'static str, Play)> {
        macro_rules! list {
            ($($module:ident::$trial:ident,)*) => {
                vec![$((stringify!($trial), |subject| boxed($module::$trial(subject)))),*]
            };
        }
        list![
            objects::objects_come_back_as_they_were_put,
            objects::a_put_replaces_and_a_head_describes,
            objects::what_is_missing_is_not_found,
            objects::what_is_longer_than_asked_for_is_refused,
            objects::a_folder_is_looked_over_and_removed_whole,
            objects::deletes_may_be_repeated,
            objects::the_client_does_all_of_it,
            ranges::ranges_are_exact_or_refused,
            keys::listings_are_in_key_order_by_string_prefix,
            keys::folder_markers_are_not_listed,
            keys::more_than_a_thousand_keys_are_listed_and_deleted,
            keys::odd_keys_come_back_or_are_refused,
            keys::keys_with_backslashes_come_back_or_are_refused,
            streams::large_objects_come_back_whole_and_by_range,
            streams::a_stream_that_fails_stores_nothing,
            streams::a_large_object_replaces_a_small_one,
            writers::if_absent_lets_exactly_one_writer_win,
            writers::readers_see_the_whole_of_an_object_or_nothing,
            writers::puts_and_deletes_in_one_folder_do_not_disturb_each_other,
        ]
    }
    let trial = |(trial, play): (&'static str, Play)| {
        let factory = factory.clone();
        Trial::test(format!("{name}::{trial}"), move || {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build()?;
            runtime.block_on(async move {
                let (storage, bucket) = factory().map_err(failed)?;
                let subject = Subject::new(storage, bucket, trial);
                subject.clean().await.map_err(failed)?;
                let played = std::panic::AssertUnwindSafe(play(subject.clone())).catch_unwind().await;
                // Also after a failure: the bucket may be somebody's.
                subject.clean().await.map_err(failed)?;
                played.map_err(|panic| Failed::from(message(&*panic)))
            })
        })
    };
    all().into_iter().map(trial).collect()
}

fn boxed(played: impl Future<Output = ()> + Send + 'static) -> BoxFuture<'static, ()> {
    played.boxed()
}

fn failed(error: lithops_core::error::Error) -> Failed {
    Failed::from(format!("{error:?}"))
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without words").to_owned()
}
