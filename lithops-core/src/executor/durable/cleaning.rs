//! [`Cleaning`]: finds stored data that is no longer needed, without comparing the clocks of two machines.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use futures_util::{StreamExt, stream};
use tokio::time::sleep;
use uuid::Uuid;

use super::stored_jobs::{AT_ONCE, StoredJob, StoredJobs, look};
use crate::{
    error::{Error, ErrorKind, Result},
    fleet::{AllManifests, JobManifest, all_manifests},
    id::JobId,
    journal::{BEAT, Journal, LEASE, LeaseWatch, Owner, Survey, Traces, Watched},
    protocol::{MAX_FRAME, unchecked},
    runtime,
    storage::{
        ObjectMeta, PutMode, StorageClient, insist,
        own_keys::{CLOCK, HISTORY, PROGRAMS},
    },
};

/// Folders of Lithops outside of jobs, where unfinished puts may have left objects.
const FOLDERS: [&str; 4] = [CLOCK, HISTORY, PROGRAMS, "cloudobjects/"];
/// A client or reader that is at work writes at least once within this time: a lease plus a heartbeat. A
/// shorter watch could remove a job that is still driven.
const WATCHED: Duration = Duration::from_secs(LEASE.as_secs() + BEAT.as_secs());
/// Fleets with a longer lease configuration are still watched only this long, so that cleaning ends.
const LONGEST: Duration = Duration::from_secs(120);
/// An unfinished put younger than this is watched before it is removed: it may still be in progress.
const FRESH: Duration = Duration::from_secs(60);

/// The stored data that may be removed, and the errors of what cannot be read.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Cleaning {
    /// The jobs that may be removed.
    pub expired: Vec<Expired>,
    /// Objects outside of these jobs that unfinished puts have left.
    pub unfinished: Vec<Unfinished>,
    /// One error for each object or job that cannot be read; these are not removed.
    pub unreadable: Vec<Error>,
}

/// The stored data of a job that is no longer needed.
#[derive(Debug)]
#[non_exhaustive]
pub struct Expired {
    /// The id of the job.
    pub job: JobId,
    /// The job, as stored; `None` when its program ended before the job was stored completely.
    pub stored: Option<StoredJob>,
    journal: Journal,
    /// The keys of the manifests that announce the job to fleets.
    manifests: Vec<String>,
}

impl Expired {
    /// Removes the job's stored data.
    ///
    /// # Errors
    /// When the storage does not allow the removal.
    pub fn remove(&self) -> Result<()> {
        runtime::driver().block_on(async {
            // The manifests go first, so that no worker starts on a job that is half removed.
            for manifest in &self.manifests {
                self.journal.remove(manifest).await?;
            }
            self.journal.delete().await
        })
    }
}

/// An object that a put has left which was killed before it was finished.
#[derive(Debug)]
#[non_exhaustive]
pub struct Unfinished {
    /// The object's name in the storage.
    pub name: String,
    storage: StorageClient,
}

impl Unfinished {
    /// Removes the object, unless a process has it open. Returns whether it was removed.
    ///
    /// # Errors
    /// When the storage does not allow the removal.
    pub fn remove(&self) -> Result<bool> {
        let (storage, bucket) = (self.storage.storage(), self.storage.bucket());
        runtime::driver().block_on(storage.remove_unfinished(bucket, &self.name))
    }
}

impl StoredJobs {
    /// The jobs of this user on this machine that no client drives or reads, and whose data was not written
    /// to for at least `age`; and objects that unfinished puts have left for at least `age`.
    ///
    /// Ages are taken from the storage's own clock. Where the end of a process cannot be verified, all such
    /// jobs are watched together for writes: for 12 s, or longer for jobs of fleets with a longer lease.
    ///
    /// # Errors
    /// When the clock of the storage cannot be read.
    pub fn expired(&self, age: Duration) -> Result<Cleaning> {
        runtime::driver().block_on(self.clean(age))
    }

    async fn clean(&self, age: Duration) -> Result<Cleaning> {
        // Manifests are listed before the jobs: a manifest is put after its job is stored, so that every
        // manifest in this list belongs to a job in the survey, unless that job was removed.
        let AllManifests { mut manifests, unfinished, unreadable } = all_manifests(&self.storage).await;
        let survey = Survey::of(&self.storage).await;
        let mut cleaning = Cleaning { unreadable, ..Cleaning::default() };
        cleaning.unreadable.extend(survey.unreadable);
        let mut left = [unfinished, survey.unfinished].concat();
        left.extend(self.unfinished_elsewhere().await);
        // The time is read after the listings, so that no object can be newer than `now`.
        let now = self.storage_time().await?;
        let since = |changed: SystemTime| now.duration_since(changed).ok();
        let is_old = |changed: SystemTime| since(changed).is_some_and(|since| since >= age);

        let mut found: Vec<(Expired, BeatObserver)> = Vec::new();
        let mut watched = WATCHED;
        let candidates = survey.jobs.iter().filter(|(_, traces)| traces.is_whole && is_old(traces.changed));
        let looked = stream::iter(candidates).map(|(job, traces)| {
            let manifests = manifests.get(job).cloned().unwrap_or_default();
            self.judge(*job, traces, manifests)
        });
        let mut looked = looked.buffered(AT_ONCE);
        while let Some(judged) = looked.next().await {
            match judged {
                Ok(Some((expired, observer, lease_config))) => {
                    watched = watched.max(lease_config.min(LONGEST));
                    found.push((expired, observer));
                }
                Ok(None) => {}
                Err(error) => cleaning.unreadable.push(error),
            }
        }
        drop(looked);
        manifests.retain(|job, _| !survey.jobs.contains_key(job));
        for (job, manifests) in manifests {
            if let Some(manifests) = self.without_job(&manifests, is_old, &mut cleaning.unreadable).await {
                found.push((
                    Expired { job, stored: None, journal: self.journal(job), manifests },
                    BeatObserver::None,
                ));
            }
        }
        left.retain(|object| is_old(object.modified));
        let is_fresh = |object: &ObjectMeta| since(object.modified).is_none_or(|since| since < FRESH);
        if found.iter().any(|(_, observer)| *observer == BeatObserver::Unknown) || left.iter().any(is_fresh) {
            sleep(watched).await;
            let again = Survey::of(&self.storage).await;
            let mark = |jobs: &BTreeMap<JobId, Traces>, job| jobs.get(&job).map(|traces| traces.mark);
            found.retain(|(expired, observer)| {
                let same = mark(&survey.jobs, expired.job) == mark(&again.jobs, expired.job);
                *observer == BeatObserver::None || same
            });
            let again = [
                again.unfinished,
                self.unfinished_elsewhere().await,
                all_manifests(&self.storage).await.unfinished,
            ];
            left.retain(|object| !is_fresh(object) || again.iter().flatten().any(|other| other == object));
        }
        cleaning.expired = found.into_iter().map(|(expired, _)| expired).collect();
        // Objects in the folder of an expired job are removed with the job.
        let goes = |name: &str| cleaning.expired.iter().any(|job| name.starts_with(job.journal.folder()));
        let left = left.into_iter().filter(|object| !goes(&object.key));
        cleaning.unfinished =
            left.map(|object| Unfinished { name: object.key, storage: self.storage.clone() }).collect();
        Ok(cleaning)
    }

    /// Whether a job that was not written to for long enough may be removed (`None` if not), whether it must
    /// be watched first, and for how long at least.
    async fn judge(
        &self,
        job: JobId,
        traces: &Traces,
        manifests: Vec<ObjectMeta>,
    ) -> Result<Option<(Expired, BeatObserver, Duration)>> {
        let journal = self.journal(job);
        let (stored, owner) = match look(journal.clone()).await {
            Ok(stored) => {
                let owner = stored.record.owner.clone();
                (Some(stored), Some(owner))
            }
            // The program ended before the job was stored completely; or the job is not durable, and its
            // payloads were too large for a message.
            Err(error) if error.kind() == ErrorKind::NotDurable => (None, journal.lease(1).await?),
            Err(error) => return Err(error),
        };
        if !owner.as_ref().is_some_and(Owner::is_this_user) {
            return Ok(None);
        }
        let mut observer = BeatObserver::None;
        if stored.is_none() && owner.as_ref().is_some_and(Owner::lives) {
            return Ok(None);
        }
        if let Watched::Driven { owner, .. } = LeaseWatch::default().look(&journal).await? {
            if owner.as_ref().is_some_and(Owner::lives) {
                return Ok(None);
            }
            observer = BeatObserver::Unknown;
        }
        for reader in journal.readers().await? {
            match reader {
                Some(reader) if reader.lives() => return Ok(None),
                Some(reader) if reader.is_gone() => {}
                _ => observer = BeatObserver::Unknown,
            }
        }
        let mut lease_config = Duration::ZERO;
        // Workers that pull their chunks may outlive their client.
        if traces.has_board && !stored.as_ref().is_some_and(StoredJob::is_finished) {
            observer = BeatObserver::Unknown;
            for manifest in &manifests {
                if let Ok(Some(manifest)) = self.manifest(&manifest.key).await {
                    lease_config = lease_config.max(manifest.lease_config.beat.saturating_mul(2));
                }
            }
        }
        let manifests = manifests.into_iter().map(|manifest| manifest.key).collect();
        Ok(Some((Expired { job, stored, journal, manifests }, observer, lease_config)))
    }

    /// The keys of the manifests of a job whose stored data is gone, so that no worker can run it. Only
    /// manifests that are old enough, belong to this user, and whose client has not been seen alive are
    /// returned; `None` if there are none.
    async fn without_job(
        &self,
        manifests: &[ObjectMeta],
        is_old: impl Fn(SystemTime) -> bool,
        unreadable: &mut Vec<Error>,
    ) -> Option<Vec<String>> {
        let mut keys = Vec::new();
        for manifest in manifests.iter().filter(|manifest| is_old(manifest.modified)) {
            match self.manifest(&manifest.key).await {
                Ok(Some(read)) if read.owner.is_this_user() && !read.owner.lives() => {
                    keys.push(manifest.key.clone())
                }
                Ok(_) => {}
                Err(error) => unreadable.push(error),
            }
        }
        (!keys.is_empty()).then_some(keys)
    }

    /// A manifest as it is written, without a check of its signature; `None` if it does not exist.
    async fn manifest(&self, key: &str) -> Result<Option<JobManifest>> {
        let (storage, bucket) = (self.storage.storage(), self.storage.bucket());
        let signed = match insist(|| storage.get_within(bucket, key, MAX_FRAME as u64)).await {
            Ok(signed) => signed,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let body = unchecked(&signed).unwrap_or_default();
        JobManifest::decode(&body).map(Some).map_err(|error| {
            Error::new(error.kind(), format!("`{key}` cannot be read: {}", error.message()))
                .with_source(error)
        })
    }

    /// The objects outside of jobs that unfinished puts have left.
    async fn unfinished_elsewhere(&self) -> Vec<ObjectMeta> {
        let mut left = Vec::new();
        for folder in FOLDERS {
            let found = self.storage.storage().survey(self.storage.bucket(), folder);
            // Objects that cannot be listed are skipped: a later cleaning finds them.
            let objects = found.filter_map(|object| std::future::ready(object.ok()));
            let staged = |object: &ObjectMeta| self.storage.storage().is_unfinished(&object.key);
            left.extend(objects.collect::<Vec<_>>().await.into_iter().filter(staged));
        }
        left
    }

    /// The present time by the storage's own clock, which is read from an object that is put for this
    /// purpose.
    pub(super) async fn storage_time(&self) -> Result<SystemTime> {
        let (storage, bucket) = (self.storage.storage(), self.storage.bucket());
        let key = format!("{CLOCK}{}", Uuid::now_v7());
        insist(|| storage.put(bucket, &key, "now".into(), PutMode::Overwrite)).await?;
        let now = insist(|| storage.head(bucket, &key)).await.map(|meta| meta.modified);
        let now = now?;
        // The same delete removes clock objects of other processes that were killed before their own delete.
        let mut done = vec![key];
        let is_left =
            |object: &ObjectMeta| now.duration_since(object.modified).is_ok_and(|since| since > FRESH);
        if let Ok(found) = self.storage.list_objects(bucket, CLOCK).await {
            done.extend(found.into_iter().filter(is_left).map(|object| object.key));
        }
        // If this fails, the next call of this function removes them.
        let _ = insist(|| storage.delete_many(bucket, done.clone())).await;
        Ok(now)
    }
}

/// Whether a client, reader or worker may still be at work on a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BeatObserver {
    /// None is at work.
    None,
    /// That cannot be told without watching the job for writes.
    Unknown,
}

#[cfg(test)]
mod tests {
    use std::{ops::Range, sync::Arc};

    use async_trait::async_trait;
    use futures_util::stream::BoxStream;

    use super::*;
    use crate::{
        bytes::Bytes,
        digest::Digest,
        journal::{JobRecord, Lease, Segment},
        storage::{MemoryStorage, Storage, StorageCapabilities, StorageInfo},
        tracker::Policy,
    };

    const DAY: Duration = Duration::from_secs(24 * 3600);

    /// A storage whose clock is two days behind or ahead of this machine's, and follows the virtual time of
    /// the test.
    #[derive(Debug)]
    struct Skewed {
        objects: MemoryStorage,
        begun: tokio::time::Instant,
        ahead: bool,
        times: std::sync::Mutex<BTreeMap<String, SystemTime>>,
    }

    impl Skewed {
        fn now(&self) -> SystemTime {
            let skew = 2 * DAY;
            let start = SystemTime::UNIX_EPOCH + 20_000 * DAY;
            let start = if self.ahead { start + skew } else { start - skew };
            start + self.begun.elapsed()
        }

        fn seen(&self, mut meta: ObjectMeta) -> ObjectMeta {
            let times = self.times.lock().expect("a lock");
            meta.modified = times[&meta.key];
            meta
        }
    }

    #[async_trait]
    impl Storage for Skewed {
        fn info(&self) -> StorageInfo {
            self.objects.info()
        }

        fn capabilities(&self) -> StorageCapabilities {
            self.objects.capabilities()
        }

        async fn put(&self, bucket: &str, key: &str, bytes: Bytes, mode: PutMode) -> Result<()> {
            self.objects.put(bucket, key, bytes, mode).await?;
            self.times.lock().expect("a lock").insert(key.to_owned(), self.now());
            Ok(())
        }

        async fn get(&self, bucket: &str, key: &str) -> Result<Bytes> {
            self.objects.get(bucket, key).await
        }

        async fn get_range(&self, bucket: &str, key: &str, range: Range<u64>) -> Result<Bytes> {
            self.objects.get_range(bucket, key, range).await
        }

        async fn head(&self, bucket: &str, key: &str) -> Result<ObjectMeta> {
            Ok(self.seen(self.objects.head(bucket, key).await?))
        }

        fn list(&self, bucket: &str, prefix: &str) -> BoxStream<'static, Result<ObjectMeta>> {
            let listed = self.objects.list(bucket, prefix);
            let times = self.times.lock().expect("a lock").clone();
            let seen = listed.map(move |object| {
                object.map(|mut object| {
                    object.modified = times[&object.key];
                    object
                })
            });
            seen.boxed()
        }

        async fn delete(&self, bucket: &str, key: &str) -> Result<()> {
            self.objects.delete(bucket, key).await
        }

        async fn delete_many(&self, bucket: &str, keys: Vec<String>) -> Result<()> {
            self.objects.delete_many(bucket, keys).await
        }
    }

    async fn unused(jobs: &StoredJobs, age: Duration) -> Vec<String> {
        jobs.not_used_for(age).await.expect("looks").into_iter().map(|unused| unused.name).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn programs_and_histories_are_unused_by_the_clock_of_the_storage_since_the_last_note() {
        for ahead in [false, true] {
            let jobs = stored_jobs(ahead);
            let put = async |key: &str| jobs.storage.put_object("bucket", key, "x").await.expect("stored");
            put("lithops.programs/a.zst").await;
            put("lithops.programs/b.zst").await;
            put("lithops.history/p/f/localhost-0").await;
            put("data/a.zst").await;
            assert!(unused(&jobs, DAY).await.is_empty());
            sleep(DAY).await;
            put("lithops.programs/b.used").await;
            sleep(DAY / 2).await;
            assert_eq!(unused(&jobs, DAY).await, ["lithops.history/p/f/localhost-0", "lithops.programs/a"]);
            sleep(DAY).await;
            assert_eq!(unused(&jobs, DAY).await.len(), 3, "ahead {ahead}");
        }
    }

    fn stored_jobs(ahead: bool) -> StoredJobs {
        let begun = tokio::time::Instant::now();
        let objects = MemoryStorage::default();
        let storage = Arc::new(Skewed { objects, begun, ahead, times: std::sync::Mutex::default() });
        StoredJobs { storage: StorageClient::new(storage, "bucket") }
    }

    /// A process of this user whose end cannot be verified from this machine.
    fn somewhere() -> Owner {
        Owner { machine: None, ..Owner::this_process() }
    }

    async fn store(jobs: &StoredJobs, owner: &Owner) -> (Journal, Lease) {
        let journal = jobs.journal(JobId::generate());
        let lease = Lease::take(&journal, 1, owner).await.expect("asks").expect("the first");
        let record = JobRecord {
            form: JobRecord::FORM,
            job: journal.job(),
            function: "f".into(),
            function_name: "f".into(),
            calls: 1,
            chunksize: 1,
            worker_processes: 1,
            segments: vec![Segment { calls: 1, len: 12, digest: Digest::of(b"an input") }],
            shared: Vec::new(),
            policy: Policy::default(),
            timeout: None,
            env: Vec::new(),
            backend: "localhost".into(),
            owner: owner.clone(),
            memory: None,
            created: 0,
        };
        journal.put_record(&record).await.expect("stored");
        (journal, lease)
    }

    async fn found(jobs: &StoredJobs, age: Duration) -> Vec<JobId> {
        let cleaning = jobs.clean(age).await.expect("looks");
        assert!(cleaning.unreadable.is_empty(), "{:?}", cleaning.unreadable);
        cleaning.expired.iter().map(|expired| expired.job).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_that_is_driven_stays_whatever_the_clocks_say_and_goes_when_nobody_does() {
        for ahead in [false, true] {
            let jobs = stored_jobs(ahead);
            let (journal, mut lease) = store(&jobs, &somewhere()).await;
            let driving = tokio::spawn(async move {
                loop {
                    lease.beat().await.expect("beats");
                    sleep(BEAT).await;
                }
            });
            for age in [Duration::ZERO, Duration::from_secs(1), DAY] {
                assert!(found(&jobs, age).await.is_empty(), "ahead {ahead}, {age:?}");
            }
            driving.abort();
            sleep(Duration::from_secs(31)).await;
            assert!(found(&jobs, DAY).await.is_empty(), "it was written to half a minute ago");
            let begun = tokio::time::Instant::now();
            assert_eq!(found(&jobs, Duration::from_secs(30)).await, [journal.job()], "ahead {ahead}");
            assert!(begun.elapsed() >= LEASE, "it was watched: nobody knows whether its process lives");
            sleep(DAY).await;
            assert_eq!(found(&jobs, DAY).await, [journal.job()]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_lives_here_protects_its_job_and_what_it_reads_without_a_beat() {
        let jobs = stored_jobs(true);
        let (_, _lease) = store(&jobs, &Owner::this_process()).await;
        let gone = Owner { started: Some(1), ..Owner::this_process() };
        let (left, _) = store(&jobs, &gone).await;
        let (read, _) = store(&jobs, &gone).await;
        read.put_reader(&Owner::this_process()).await.expect("marked");
        let (was_read, _) = store(&jobs, &gone).await;
        was_read.put_reader(&Owner { started: Some(1), ..Owner::this_process() }).await.expect("marked");
        sleep(2 * DAY).await;
        let begun = tokio::time::Instant::now();
        assert_eq!(found(&jobs, DAY).await, [left.job(), was_read.job()]);
        assert_eq!(begun.elapsed(), Duration::ZERO, "there is nothing to watch");
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_elsewhere_and_workers_that_nobody_feeds_are_seen_by_what_they_write() {
        let jobs = stored_jobs(false);
        let gone = Owner { started: Some(1), ..Owner::this_process() };
        let (read, _) = store(&jobs, &gone).await;
        let (worked_at, _) = store(&jobs, &gone).await;
        let beat = format!("{}board/beat/w", worked_at.folder());
        let storage = jobs.storage.clone();
        let put_beat = move |count: u64| {
            let (storage, beat) = (storage.clone(), beat.clone());
            async move { storage.put_object("bucket", &beat, count.to_string()).await.expect("beats") }
        };
        put_beat(0).await;
        let (reader, marked) = (somewhere(), read.clone());
        marked.put_reader(&reader).await.expect("marked");
        sleep(DAY).await;
        let writing = tokio::spawn(async move {
            for count in 1.. {
                sleep(LEASE / 2).await;
                marked.put_reader(&reader).await.expect("marked");
                put_beat(count).await;
            }
        });
        for age in [Duration::from_secs(60), Duration::ZERO] {
            assert!(found(&jobs, age).await.is_empty(), "{age:?}");
        }
        writing.abort();
        sleep(DAY).await;
        assert_eq!(found(&jobs, DAY).await, [read.job(), worked_at.job()]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_belongs_to_others_stays() {
        let jobs = stored_jobs(true);
        let gone = Owner { started: Some(1), ..Owner::this_process() };
        for other in [
            Owner { host: Some("another".into()), machine: Some("another".into()), ..gone.clone() },
            Owner { host: None, ..gone.clone() },
            Owner { user: "another".into(), ..gone.clone() },
        ] {
            store(&jobs, &other).await;
            // Only the mark of a job that is not stored completely.
            Lease::take(&jobs.journal(JobId::generate()), 1, &other).await.expect("asks").expect("the first");
        }
        let half = jobs.journal(JobId::generate());
        Lease::take(&half, 1, &gone).await.expect("asks").expect("the first");
        sleep(2 * DAY).await;
        assert_eq!(found(&jobs, DAY).await, [half.job()]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_read_is_told_and_hides_nothing_else() {
        let jobs = stored_jobs(true);
        let gone = Owner { started: Some(1), ..Owner::this_process() };
        let (bad, _) = store(&jobs, &gone).await;
        let (good, _) = store(&jobs, &gone).await;
        let (unowned, _) = store(&jobs, &gone).await;
        let storage = jobs.storage.storage();
        let record = format!("{}record", bad.folder());
        storage.put("bucket", &record, "{\"form\":3".into(), PutMode::Overwrite).await.expect("stored");
        let lease = format!("{}lease/0000000001", unowned.folder());
        storage.put("bucket", &lease, "nonsense".into(), PutMode::Overwrite).await.expect("stored");
        sleep(2 * DAY).await;
        let cleaning = jobs.clean(DAY).await.expect("looks");
        let expired: Vec<_> = cleaning.expired.iter().map(|expired| expired.job).collect();
        assert_eq!(expired, [good.job(), unowned.job()]);
        let [error] = &cleaning.unreadable[..] else { panic!("{:?}", cleaning.unreadable) };
        assert!(error.to_string().contains(&record), "{error}");
    }
}
