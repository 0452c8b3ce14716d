//! [`Inputs`]: the arguments of a job's calls, one argument or a tuple per call, consumed lazily.

use std::{fmt, sync::Arc};

use serde::Serialize;

use super::{CallSources, JobState};
use crate::{
    error::{Error, ErrorKind, Result},
    function::{Argument, Entry},
    partition::{DataSource, ObjectOptions, ResolveContext, ResolvedObjects, Wanted, resolve},
    value,
};

/// The inputs of a job. Another thread consumes them as calls are dispatched.
pub struct Inputs<T> {
    pub(crate) source: InputSource<T>,
}

/// The source of the inputs of a job.
pub(crate) enum InputSource<T> {
    /// The user's iterator.
    Values(Box<dyn Iterator<Item = T> + Send>),
    /// The calls of another job: the value of each call is the argument of the call with the same number.
    Outcomes(Arc<JobState>),
    /// Objects that were not looked up in the storage yet, and the encoded arguments that every call gets
    /// besides.
    Wanted(Vec<Wanted>, Result<Vec<u8>>),
    /// Objects that were looked up and cut into parts, one part per call.
    Objects(Objects),
}

/// Parts of objects, one per call, and the arguments that every call gets besides.
pub(crate) struct Objects {
    pub(crate) prepared: Arc<ResolvedObjects>,
    /// The further arguments, encoded; they follow the encoded part in each call's argument.
    pub(crate) with: Vec<u8>,
}

impl<T> Inputs<T> {
    /// Inputs that are the outcomes of another job.
    pub(crate) fn outcomes(job: Arc<JobState>) -> Self {
        Self { source: InputSource::Outcomes(job) }
    }

    /// Inputs that are parts of objects; every call gets the arguments in `with` besides.
    pub(crate) fn objects(wanted: Vec<Wanted>, with: &T) -> Self
    where
        T: Serialize,
    {
        let with = value::encode(with).map_err(|error| {
            let message = format!("what the data source is given with cannot be encoded: {error}");
            Error::new(ErrorKind::InvalidInput, message).with_source(error)
        });
        Self { source: InputSource::Wanted(wanted, with) }
    }

    /// Looks up the objects and cuts them into parts; inputs of another kind are returned unchanged.
    ///
    /// # Errors
    /// An object does not exist or cannot be read, an option does not fit, or the further arguments do not
    /// encode.
    pub(crate) async fn found(self, options: &ObjectOptions, around: &ResolveContext) -> Result<Self> {
        let InputSource::Wanted(wanted, with) = self.source else { return Ok(self) };
        let with = with?;
        let prepared = Arc::new(resolve(wanted, options.clone(), around).await?);
        Ok(Self { source: InputSource::Objects(Objects { prepared, with }) })
    }

    /// The number of parts (calls) of each object; `None` where the inputs are not objects that were looked
    /// up.
    pub(crate) fn parts_by_object(&self) -> Option<Vec<u64>> {
        match &self.source {
            InputSource::Objects(objects) => Some(objects.prepared.parts_by_object()),
            _ => None,
        }
    }

    /// What the calls are given, as their user would name it.
    pub(crate) fn sources(&self) -> CallSources {
        match &self.source {
            InputSource::Objects(objects) => CallSources::Objects(Arc::clone(&objects.prepared)),
            _ => CallSources::Inputs,
        }
    }

    /// Whether the inputs are objects.
    pub(crate) fn are_objects(&self) -> bool {
        matches!(self.source, InputSource::Wanted(..) | InputSource::Objects(_))
    }

    /// Whether the inputs are objects that must still be looked up in the storage.
    pub(crate) fn are_wanted(&self) -> bool {
        matches!(self.source, InputSource::Wanted(..))
    }

    /// Checks that the inputs are objects exactly when the function takes a `DataObject`.
    ///
    /// # Errors
    /// `InvalidInput` if they do not match, or if an option about objects was set for other inputs.
    pub(crate) fn check(&self, entry: &Entry, options: &ObjectOptions) -> Result<()> {
        let function = entry.display_name();
        let wrong =
            |message: String, hint: &str| Err(Error::new(ErrorKind::InvalidInput, message).with_hint(hint));
        match (entry.takes_object, self.are_objects()) {
            (true, false) => wrong(
                format!("`{function}` takes a `DataObject`, and its inputs are no data source"),
                "give it for example `DataSource::prefix(\"bucket/logs/\")`",
            ),
            (false, true) => wrong(
                format!("`{function}` takes no `DataObject`, and its inputs are a data source"),
                "add a parameter `object: DataObject`",
            ),
            (false, false) if options.any().is_some() => wrong(
                format!("`{}` is about objects, and the inputs are none", options.any().unwrap_or_default()),
                "leave it out; `.chunksize(..)` says how many calls a worker is given",
            ),
            _ => Ok(()),
        }
    }

    /// The number of inputs; `None` when it is not known before they are consumed.
    #[must_use]
    pub fn exact_len(&self) -> Option<u64> {
        match &self.source {
            InputSource::Values(iterator) => {
                let (low, high) = iterator.size_hint();
                (high == Some(low)).then_some(low as u64)
            }
            InputSource::Wanted(..) => None,
            InputSource::Objects(objects) => Some(objects.prepared.len()),
            InputSource::Outcomes(job) => {
                let progress = job.progress();
                progress.complete.then_some(progress.known)
            }
        }
    }
}

impl<T> fmt::Debug for Inputs<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inputs").field("exact_len", &self.exact_len()).finish()
    }
}

/// What can be given to `map`: anything that iterates over the function's argument; a [`DataSource`]; or the
/// futures of another map, whose values become the arguments in their order, as soon as they are there.
///
/// Another thread consumes the iterator as calls are dispatched, so the iterator must be `Send + 'static`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not give the inputs of this function",
    label = "not an iterator over `{T}`",
    note = "several arguments are given as a tuple per call; the iterator must be `Send + 'static`"
)]
pub trait IntoInputs<T> {
    /// Converts the value into the inputs of a job, without consuming the iterator.
    fn into_inputs(self) -> Inputs<T>;
}

impl<T, I> IntoInputs<T> for I
where
    I: IntoIterator<Item = T>,
    I::IntoIter: Send + 'static,
{
    fn into_inputs(self) -> Inputs<T> {
        Inputs { source: InputSource::Values(Box::new(self.into_iter())) }
    }
}

impl<A: Argument> IntoInputs<A> for DataSource<A> {
    fn into_inputs(self) -> Inputs<A> {
        Inputs::objects(self.wanted, &self.with)
    }
}
