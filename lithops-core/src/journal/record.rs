//! [`JobRecord`]: the stored description of a durable job.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    Journal, Owner, Segment,
    sealed::{self, damaged},
};
use crate::{
    error::{Error, ErrorKind, Result},
    id::JobId,
    storage::{BlobRef, insist},
    tracker::Policy,
};

/// The version of the record's form. This build writes and reads only this one.
const FORM: u32 = 3;
/// The most bytes of a record, which has an entry for each segment of the inputs.
const LONGEST: u64 = 64 << 20;

/// The description of a durable job: everything that another process needs to drive it, but the
/// function itself and the values of environment variables, which are not stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobRecord {
    /// The version of the record's form.
    pub form: u32,
    /// The id of the job.
    pub job: JobId,
    /// The registered name of its function.
    pub function: String,
    /// The name of its function as it is shown to people.
    pub function_name: String,
    /// The number of calls of the job.
    pub calls: u64,
    /// Calls per chunk. A chunk is committed as a whole.
    pub chunksize: u64,
    /// The number of calls that one worker runs at once.
    pub worker_processes: u64,
    /// The objects with the inputs, in order.
    pub segments: Vec<Segment>,
    /// The objects with the shared values.
    pub shared: Vec<BlobRef>,
    /// The retry policy of the job's calls.
    pub policy: Policy,
    /// How long a call may run; `None` means without a limit.
    pub timeout: Option<Duration>,
    /// The names of its environment variables, without their values.
    pub env: Vec<String>,
    /// The name of the backend that it was started on.
    pub backend: String,
    /// The memory of its workers in MB, where the job names it.
    #[serde(default)]
    pub memory: Option<u64>,
    /// The process that started it.
    pub owner: Owner,
    /// When it was started, in seconds since the Unix epoch. Only shown to people.
    pub created: u64,
}

impl JobRecord {
    /// The version of the form that this build writes.
    pub const FORM: u32 = FORM;
    /// The most bytes that are read of a record.
    pub(super) const LONGEST: u64 = LONGEST;

    /// The number of chunks of the job.
    #[must_use]
    pub fn chunks(&self) -> u64 {
        self.calls.div_ceil(self.chunksize.max(1))
    }

    /// The first call of a chunk, and the call after its last.
    #[must_use]
    pub fn calls_of(&self, chunk: u64) -> (u64, u64) {
        let first = chunk.saturating_mul(self.chunksize);
        (first.min(self.calls), first.saturating_add(self.chunksize).min(self.calls))
    }

    /// Encodes the record for the journal of its job.
    ///
    /// # Errors
    /// When it cannot be encoded, or is too large.
    pub fn encode(&self, journal: &Journal) -> Result<Vec<u8>> {
        let key = journal.record_key();
        let encoded = sealed::to_json(journal.name(&key), self)?;
        if encoded.len() as u64 <= LONGEST {
            return Ok(encoded);
        }
        let problem =
            format!("the record of a job of {} calls would have {} bytes", self.calls, encoded.len());
        Err(Error::new(ErrorKind::PayloadTooLarge, problem).with_hint("make several jobs of it"))
    }

    /// Decodes the record in the journal of a job.
    ///
    /// # Errors
    /// When the bytes are not a record, or one of another form, or damaged.
    pub fn decode(bytes: &[u8], journal: &Journal) -> Result<Self> {
        #[derive(Deserialize)]
        struct Form {
            form: u32,
        }
        let key = &journal.record_key();
        let Form { form } = serde_json::from_slice(bytes)
            .map_err(|error| damaged(key, format_args!("it is not a job record: {error}")))?;
        if form != FORM {
            return Err(Error::new(
                ErrorKind::VersionMismatch,
                format!("`{key}` has form {form}, and this build of lithops reads form {FORM}"),
            )
            .with_hint("attach with the version of lithops that started the job"));
        }
        let record: Self = sealed::from_json(journal.name(key), bytes, key)?;
        match record.contradiction(journal) {
            None => Ok(record),
            Some(how) => Err(damaged(key, how)),
        }
    }

    /// A contradiction in the record, as the text of an error; `None` when there is none.
    fn contradiction(&self, journal: &Journal) -> Option<String> {
        if self.job != journal.job() {
            return Some(format!("it is the record of job {}", self.job));
        }
        if self.chunksize == 0 || self.worker_processes == 0 {
            return Some("a granularity is 0".to_owned());
        }
        if let Some(segment) = self.segments.iter().find(|segment| !segment.is_possible()) {
            return Some(format!(
                "{} calls cannot have their inputs in {} bytes",
                segment.calls, segment.len
            ));
        }
        let inputs = self.segments.iter().try_fold(0u64, |sum, segment| sum.checked_add(segment.calls));
        if inputs != Some(self.calls) {
            let inputs = inputs.map_or("too many".to_owned(), |inputs| inputs.to_string());
            return Some(format!("it has {} calls and the inputs of {inputs}", self.calls));
        }
        let elsewhere = |blob: &&BlobRef| !blob.is_possible() || !blob.key().starts_with(journal.folder());
        self.shared.iter().find(elsewhere).map(|blob| format!("a shared value cannot be `{}`", blob.key()))
    }
}

impl Journal {
    /// Reads the description of the job.
    ///
    /// # Errors
    /// `NotDurable` when the job has no record.
    pub async fn record(&self) -> Result<JobRecord> {
        let key = self.keys.record();
        match self.get(&key, JobRecord::LONGEST).await? {
            Some(bytes) => JobRecord::decode(&bytes, self),
            None => Err(Error::new(ErrorKind::NotDurable, format!("nothing is stored of job {}", self.job)).with_hint(
                "only a job that was started with `.durable()` survives its client, until it is finished and its \
                 handles are dropped; is this the storage it was started with?",
            )),
        }
    }

    /// Whether the job has a record.
    ///
    /// # Errors
    /// When the storage cannot be read.
    pub async fn has_record(&self) -> Result<bool> {
        let key = self.keys.record();
        match insist(|| self.storage.head(&self.bucket, &key)).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Stores the description of the job. From now on other clients see the job.
    ///
    /// # Errors
    /// When the storage refuses the record, or the record is too large.
    pub async fn put_record(&self, record: &JobRecord) -> Result<()> {
        self.put(&self.keys.record(), record.encode(self)?.into()).await
    }

    pub(super) fn record_key(&self) -> String {
        self.keys.record()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::digest::Digest;
    use crate::storage::{MemoryStorage, StorageClient};

    fn journal() -> Journal {
        let storage = StorageClient::new(Arc::new(MemoryStorage::default()), "bucket");
        Journal::new(&storage, JobId::from_bytes([9; 16]))
    }

    fn record(journal: &Journal) -> JobRecord {
        let segment = |calls| Segment { calls, len: 8 + calls * 4, digest: Digest::of(b"inputs") };
        JobRecord {
            form: FORM,
            job: journal.job(),
            function: "f".into(),
            function_name: "f".into(),
            calls: 10,
            chunksize: 4,
            worker_processes: 1,
            segments: vec![segment(7), segment(3)],
            shared: Vec::new(),
            policy: Policy::default(),
            timeout: Some(Duration::from_millis(1500)),
            env: vec!["A".into()],
            backend: "localhost".into(),
            owner: Owner::this_process(),
            memory: None,
            created: 7,
        }
    }

    #[test]
    fn a_record_is_read_back_and_any_changed_byte_is_noticed_by_key() {
        let journal = journal();
        let record = record(&journal);
        let (bytes, key) = (record.encode(&journal).expect("encodes"), journal.record_key());
        assert_eq!(JobRecord::decode(&bytes, &journal).expect("reads"), record);
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            match JobRecord::decode(&changed, &journal) {
                Ok(read) => assert_eq!(read, record, "only what means nothing may change: byte {at}"),
                Err(error) => assert!(error.to_string().contains(&key), "{error}"),
            }
        }
        for len in 0..bytes.len() {
            let error = JobRecord::decode(&bytes[..len], &journal).expect_err("it is cut");
            assert!(error.to_string().contains(&key), "{error}");
        }
    }

    #[test]
    fn a_record_that_contradicts_itself_is_not_believed() {
        let journal = journal();
        let key = journal.record_key();
        let edits: [fn(&mut JobRecord); 11] = [
            |record| record.segments.clear(),
            |record| record.segments.truncate(1),
            |record| record.calls = 11,
            |record| record.calls = u64::MAX,
            |record| record.chunksize = 0,
            |record| record.worker_processes = 0,
            |record| record.segments[0].calls = u64::MAX,
            |record| record.segments[0].len = 5,
            |record| record.segments.iter_mut().for_each(|segment| segment.calls = 1 << 63),
            |record| record.job = JobId::from_bytes([8; 16]),
            |record| record.segments[1].calls = 0,
        ];
        for (number, edit) in edits.into_iter().enumerate() {
            let mut record = record(&journal);
            edit(&mut record);
            // The digest is right, so that only the contradiction can be found.
            let bytes = record.encode(&journal).expect("encodes");
            let error = JobRecord::decode(&bytes, &journal).expect_err("it contradicts itself");
            assert_eq!(error.kind(), ErrorKind::Damaged, "edit {number}");
            assert!(error.to_string().contains(&key), "{error}");
        }
    }
}
