//! Encoding of inputs: from the user's iterator to the queue of encoded arguments, on a thread of its own.

use std::{
    any::Any,
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use super::{InputQueue, InputSource, Inputs, JobState, Objects};
use crate::{
    error::{CallError, Error, ErrorKind, Result},
    function::Argument,
    protocol::{MAX_VALUE, Tag},
    runtime, threads, value,
};

/// Which user code the producing thread runs, so that a panic can be blamed on it.
#[derive(Debug, Clone, Copy)]
enum At {
    Iterator,
    Serialize(usize),
}

/// Consumes and encodes `inputs` on another thread, as fast as the driver empties the queue.
pub(crate) fn produce<T: Argument>(inputs: Inputs<T>, function: &'static str, queue: &Arc<InputQueue>) {
    let producing = Arc::clone(queue);
    let spawned = threads::spawn(move || {
        let at = Cell::new(At::Iterator);
        let produced = catch_unwind(AssertUnwindSafe(|| consume(inputs, function, &producing, &at)));
        let error = match produced {
            Ok(result) => result.err(),
            Err(panic) => {
                let what = match at.get() {
                    At::Iterator => "the inputs' iterator".to_owned(),
                    At::Serialize(call) => format!(
                        "the `Serialize` (or the `Deserialize` or `Drop`) of the argument of call {call} of `{function}`"
                    ),
                };
                let problem = format!("{what} panicked: {}", panic_text(&*panic));
                Some(
                    Error::new(ErrorKind::InvalidInput, problem)
                        .with_hint("the calls made so far keep their outcomes"),
                )
            }
        };
        producing.end(error);
    });
    if let Err(error) = spawned {
        queue.end(Some(threads::refused(error)));
    }
}

/// Encodes and queues a single input, on the calling thread.
pub(crate) fn produce_one<T: Argument>(input: &T, function: &'static str, queue: &InputQueue) -> Result<()> {
    let mut encoded = Vec::new();
    encode(input, 0, function, &mut encoded)?;
    check_decodes::<T>(&encoded, function)?;
    queue.push(&encoded);
    queue.end(None);
    Ok(())
}

fn consume<T: Argument>(
    inputs: Inputs<T>,
    function: &'static str,
    queue: &InputQueue,
    at: &Cell<At>,
) -> Result<()> {
    let iterator = match inputs.source {
        InputSource::Values(iterator) => iterator,
        InputSource::Outcomes(job) => return chain(&job, queue),
        InputSource::Objects(objects) => return parts::<T>(&objects, function, queue),
        InputSource::Wanted(..) => {
            return Err(Error::new(ErrorKind::Unexpected, "the objects were not looked for"));
        }
    };
    let mut encoded = Vec::new();
    for (number, input) in iterator.enumerate() {
        encoded.clear();
        at.set(At::Serialize(number));
        encode(&input, number, function, &mut encoded)?;
        // Decoding the first argument finds a type whose `Serialize` and `Deserialize` disagree, before
        // anything is run. Once per job is enough.
        if number == 0 {
            check_decodes::<T>(&encoded, function)?;
        }
        drop(input);
        at.set(At::Iterator);
        if !queue.push(&encoded) {
            break;
        }
    }
    Ok(())
}

/// Queues the parts of objects. The further arguments follow each part.
fn parts<T: Argument>(objects: &Objects, function: &'static str, queue: &InputQueue) -> Result<()> {
    check_decodes::<T>(&objects.with, function)?;
    let mut encoded = Vec::new();
    for partition in objects.prepared.parts() {
        encoded.clear();
        partition.write(&mut encoded)?;
        encoded.extend_from_slice(&objects.with);
        if !queue.push(&encoded) {
            break;
        }
    }
    Ok(())
}

/// Queues the values of another job's calls, in their order and without decoding them. A call whose input
/// failed ends with that failure; the other calls go on.
fn chain(job: &JobState, queue: &InputQueue) -> Result<()> {
    let mut next = 0;
    loop {
        let waited = runtime::driver().block_on(job.wait_for(|outcomes, progress| {
            outcomes.done().contains(next) || progress.complete && next >= progress.known
        }));
        waited.map_err(|error| {
            let problem = format!("the job that gives the inputs cannot go on: {error}");
            Error::new(error.kind(), problem).with_source(error)
        })?;
        let Some((report, index)) =
            job.read(|outcomes| outcomes.get(next).map(|(report, index)| (report.into_owned(), index)))
        else {
            return Ok(());
        };
        for index in index..report.len() {
            let wanted = if report.tag(index) == Tag::Ok {
                queue.push(report.value(index))
            } else {
                queue
                    .push_failed(input_failed(&job.read(|outcomes| job.call_error(outcomes, &report, index))))
            };
            if !wanted {
                return Ok(());
            }
            next += 1;
        }
    }
}

/// The encoded error of a call whose input is the outcome of a failed call.
pub(crate) fn input_failed(cause: &CallError) -> Vec<u8> {
    CallError::new(cause.kind().clone(), format!("its input failed: {cause}"))
        .with_chain(cause.chain().iter().map(ToString::to_string).collect())
        .encode()
}

fn encode<T: Argument>(input: &T, number: usize, function: &str, out: &mut Vec<u8>) -> Result<()> {
    value::encode_into(input, out).map_err(|error| {
        Error::new(
            ErrorKind::InvalidInput,
            format!("the argument of call {number} of `{function}` cannot be encoded: {error}"),
        )
        .with_hint(if error.is_too_deep() { TOO_DEEP } else { "the type's own `Serialize` says so" })
        .with_source(error)
    })?;
    let bytes = out.len();
    if bytes > MAX_VALUE {
        return Err(Error::new(
            ErrorKind::PayloadTooLarge,
            format!("the argument of call {number} of `{function}` has {bytes} bytes, and the limit is {MAX_VALUE}"),
        )
        .with_hint("put it into the storage and pass its name"));
    }
    Ok(())
}

fn check_decodes<T: Argument>(encoded: &[u8], function: &str) -> Result<()> {
    value::decode::<T>(encoded).map(drop).map_err(|error| {
        Error::new(
            ErrorKind::InvalidInput,
            format!("the argument of call 0 of `{function}` does not decode again: {error}"),
        )
        .with_hint(match error.is_too_deep() {
            true => TOO_DEEP.to_owned(),
            false => format!(
                "the `Deserialize` of `{}` does not read what its `Serialize` writes; values travel as MessagePack with \
                 field names",
                std::any::type_name::<T>()
            ),
        })
        .with_source(error)
    })
}

/// The hint for values that nest more deeply than the encoding allows.
const TOO_DEEP: &str = "send it as a flat list whose elements name each other by their place";

/// The message of a panic, if it is text.
fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("it did not say why")
}
