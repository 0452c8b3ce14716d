//! [`RedisStorage`]: the object `key` of a bucket is the string `bucket/key`.
//!
//! Redis keeps no times: the hash `lithops.modified/<bucket>` holds when each object was stored, by the server's clock.

use std::{
    fmt,
    ops::Range,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use async_trait::async_trait;
use futures_util::{StreamExt, future::BoxFuture, stream, stream::BoxStream};
use lithops_core::{
    bytes::Bytes,
    error::{Error, ErrorKind, Result},
    storage::{
        Credentials, Locator, ObjectMeta, PutMode, Storage, StorageCapabilities, StorageInfo,
        StorageRetryPolicy, check_bucket, exists_already, no_such_object, out_of_bounds, too_large,
        wrong_length,
    },
};
use redis::{RedisResult, aio::MultiplexedConnection, cmd, pipe};

use crate::{SCHEME, connection::Connections, faults};

/// The most bytes of a string of Redis.
const LONGEST: usize = 512 << 20;
/// How many keys are asked for or described at once.
const PAGE: usize = 1000;

/// The time of the server: seconds, and microseconds of the current second.
type Time = (u64, u64);

/// When objects were stored, in milliseconds since the Unix epoch, and the time of the server.
type Times = (Vec<Option<u64>>, Time);

/// An answer of the server.
type Answer<T> = BoxFuture<'static, RedisResult<T>>;

/// Opens what a locator names.
pub(crate) fn connect(locator: &Locator, credentials: &Credentials) -> Result<Arc<dyn Storage>> {
    Ok(Arc::new(RedisStorage::new(locator, credentials)?))
}

/// Objects as strings of a Redis server.
#[derive(Clone)]
pub struct RedisStorage {
    location: String,
    connections: Arc<Connections>,
    patience: StorageRetryPolicy,
}

impl RedisStorage {
    /// The storage of a server. The connection is made with the first request.
    ///
    /// # Errors
    /// The locator has no address.
    pub fn new(locator: &Locator, credentials: &Credentials) -> Result<Self> {
        Ok(Self {
            location: locator.endpoint.clone().unwrap_or_default(),
            connections: Arc::new(Connections::new(locator, credentials)?),
            patience: StorageRetryPolicy::network().of(locator.endpoint.clone().unwrap_or_default()),
        })
    }

    /// Makes a request, again while that may help. `request` is told whether an earlier try may have had its effect.
    async fn ask<T>(
        &self,
        doing: &'static str,
        bucket: &str,
        key: &str,
        request: impl Fn(MultiplexedConnection, bool) -> Answer<T>,
    ) -> Result<T> {
        let asked = |again| {
            let request = &request;
            async move {
                let answer = async { request(self.connections.get().await?, again).await }.await;
                answer.map_err(|error| {
                    if error.is_io_error() || error.is_timeout() || error.is_connection_dropped() {
                        self.connections.forget();
                    }
                    faults::translate(&error, doing, &object(doing, bucket, key))
                        .with_context("operation", doing)
                        .with_context("bucket", bucket)
                        .with_context("key", key)
                })
            }
        };
        self.patience.run(asked).await
    }

    async fn listed(&self, bucket: &str, prefix: &str) -> Result<Vec<ObjectMeta>> {
        check_bucket(bucket)?;
        let pattern = format!("{}*", escape(&format!("{bucket}/{prefix}")));
        let mut names: Vec<String> = Vec::new();
        let mut cursor = 0u64;
        loop {
            let pattern = pattern.clone();
            let scan = move |mut connection: MultiplexedConnection, _| {
                let mut scan = cmd("SCAN");
                scan.arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(PAGE).arg("TYPE").arg("string");
                let page: Answer<(u64, Vec<Vec<u8>>)> =
                    Box::pin(async move { scan.query_async(&mut connection).await });
                page
            };
            let (next, page) = self.ask("list", bucket, prefix, scan).await?;
            // A name that is not UTF-8 is no key.
            names.extend(page.into_iter().filter_map(|name| String::from_utf8(name).ok()));
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
        names.sort_unstable();
        // A scan may tell the same name twice.
        names.dedup();
        let mut objects = Vec::with_capacity(names.len());
        for page in names.chunks(PAGE) {
            objects.extend(self.described(bucket, page.to_vec()).await?.into_iter().flatten());
        }
        // Consoles and file browsers create these markers to show folders.
        objects.retain(|object| object.size > 0 || !object.key.ends_with('/'));
        Ok(objects)
    }

    /// Size and time of each of some objects; `None` for those that are gone.
    async fn described(&self, bucket: &str, names: Vec<String>) -> Result<Vec<Option<ObjectMeta>>> {
        let keys: Vec<String> = names.iter().map(|name| name[bucket.len() + 1..].to_owned()).collect();
        let (times, own) = (times_of(bucket), keys.clone());
        let request = move |mut connection: MultiplexedConnection, _| {
            let mut asked = pipe();
            for name in &names {
                asked.cmd("EXISTS").arg(name).cmd("STRLEN").arg(name);
            }
            let mut hashed = pipe();
            hashed.cmd("HMGET").arg(&times).arg(&own).cmd("TIME");
            let answer: Answer<(Vec<u64>, Times)> = Box::pin(async move {
                let sizes = asked.query_async(&mut connection).await?;
                Ok((sizes, hashed.query_async(&mut connection).await?))
            });
            answer
        };
        let (sizes, (times, now)) = self.ask("look at", bucket, "", request).await?;
        let described = keys.into_iter().zip(sizes.chunks(2)).zip(times).map(|((key, size), time)| {
            // The object was put just now, and its time is not noted yet.
            let modified = UNIX_EPOCH + Duration::from_millis(time.unwrap_or_else(|| millis(now)));
            (size[0] == 1).then(|| ObjectMeta { key, size: size[1], modified, etag: None })
        });
        Ok(described.collect())
    }
}

#[async_trait]
impl Storage for RedisStorage {
    fn info(&self) -> StorageInfo {
        StorageInfo { scheme: SCHEME, location: self.location.clone() }
    }

    fn capabilities(&self) -> StorageCapabilities {
        StorageCapabilities { shared_between_processes: true }
    }

    async fn put(&self, bucket: &str, key: &str, bytes: Bytes, mode: PutMode) -> Result<()> {
        let name = name(bucket, key)?;
        if bytes.len() > LONGEST {
            let message =
                format!("object `{key}` has {} bytes, and a string of Redis holds {LONGEST}", bytes.len());
            return Err(
                Error::new(ErrorKind::PayloadTooLarge, message).with_hint("store it in several objects")
            );
        }
        let (times, field) = (times_of(bucket), key.to_owned());
        let request = move |mut connection: MultiplexedConnection, again: bool| {
            let mut set = pipe();
            set.cmd("SET").arg(&name).arg(&*bytes);
            if mode == PutMode::IfAbsent {
                set.arg("NX");
            }
            set.cmd("TIME");
            let mut note = cmd("HSET");
            note.arg(&times).arg(&field);
            let mut get = cmd("GET");
            get.arg(&name);
            let bytes = bytes.clone();
            let answer: Answer<bool> = Box::pin(async move {
                let (set, now): (Option<String>, Time) = set.query_async(&mut connection).await?;
                let mut done = set.is_some();
                if !done && again {
                    // An earlier try may have put the object.
                    let found: Option<Vec<u8>> = get.query_async(&mut connection).await?;
                    done = found.as_deref() == Some(&*bytes);
                }
                if done {
                    note.arg(millis(now)).query_async::<()>(&mut connection).await?;
                }
                Ok(done)
            });
            answer
        };
        match self.ask("store", bucket, key, request).await? {
            true => Ok(()),
            false => Err(exists_already(bucket, key)),
        }
    }

    async fn get(&self, bucket: &str, key: &str) -> Result<Bytes> {
        let name = name(bucket, key)?;
        let request = move |mut connection: MultiplexedConnection, _| {
            let mut get = cmd("GET");
            get.arg(&name);
            let answer: Answer<Option<Vec<u8>>> =
                Box::pin(async move { get.query_async(&mut connection).await });
            answer
        };
        let found = self.ask("read", bucket, key, request).await?;
        found.map(Bytes::from).ok_or_else(|| no_such_object(bucket, key, "read"))
    }

    async fn get_within(&self, bucket: &str, key: &str, limit: u64) -> Result<Bytes> {
        let name = name(bucket, key)?;
        let request = move |mut connection: MultiplexedConnection, _| {
            let mut asked = pipe();
            asked.atomic().cmd("EXISTS").arg(&name).cmd("STRLEN").arg(&name);
            // No string is longer than 63 bits can say.
            asked.cmd("GETRANGE").arg(&name).arg(0).arg(i64::try_from(limit).unwrap_or(i64::MAX));
            let answer: Answer<(u64, u64, Vec<u8>)> =
                Box::pin(async move { asked.query_async(&mut connection).await });
            answer
        };
        let (exists, size, bytes) = self.ask("read", bucket, key, request).await?;
        match (exists, bytes.len() as u64) {
            (0, _) => Err(no_such_object(bucket, key, "read")),
            _ if size > limit => Err(too_large(bucket, key, size, limit)),
            (_, came) if came != size => Err(wrong_length(bucket, key, size, came)),
            _ => Ok(Bytes::from(bytes)),
        }
    }

    async fn get_range(&self, bucket: &str, key: &str, range: Range<u64>) -> Result<Bytes> {
        let name = name(bucket, key)?;
        let wanted = range.clone();
        let request = move |mut connection: MultiplexedConnection, _| {
            let mut asked = pipe();
            // One transaction: the object may be replaced between two commands.
            asked.atomic().cmd("EXISTS").arg(&name).cmd("STRLEN").arg(&name);
            asked.cmd("GETRANGE").arg(&name).arg(wanted.start).arg(wanted.end.saturating_sub(1));
            let answer: Answer<(u64, u64, Vec<u8>)> =
                Box::pin(async move { asked.query_async(&mut connection).await });
            answer
        };
        // The server counts from the end where a number is below 0, and has no numbers beyond 63 bits.
        let empty = range.start >= range.end || i64::try_from(range.end).is_err();
        let (exists, size, bytes) = if empty {
            let meta = self.head(bucket, key).await?;
            (1, meta.size, Vec::new())
        } else {
            self.ask("read", bucket, key, request).await?
        };
        if exists == 0 {
            return Err(no_such_object(bucket, key, "read"));
        }
        if range.start > range.end || range.end > size {
            return Err(out_of_bounds(bucket, key, &range, size));
        }
        let (wanted, came) = (range.end - range.start, bytes.len() as u64);
        if came == wanted { Ok(Bytes::from(bytes)) } else { Err(wrong_length(bucket, key, wanted, came)) }
    }

    async fn head(&self, bucket: &str, key: &str) -> Result<ObjectMeta> {
        let described = self.described(bucket, vec![name(bucket, key)?]).await?;
        described.into_iter().next().flatten().ok_or_else(|| no_such_object(bucket, key, "look at"))
    }

    fn list(&self, bucket: &str, prefix: &str) -> BoxStream<'static, Result<ObjectMeta>> {
        let (this, bucket, prefix) = (self.clone(), bucket.to_owned(), prefix.to_owned());
        let listed = async move {
            match this.listed(&bucket, &prefix).await {
                Ok(objects) => stream::iter(objects.into_iter().map(Ok).collect::<Vec<_>>()),
                Err(error) => stream::iter(vec![Err(error)]),
            }
        };
        stream::once(listed).flatten().boxed()
    }

    async fn delete(&self, bucket: &str, key: &str) -> Result<()> {
        self.delete_many(bucket, vec![key.to_owned()]).await
    }

    async fn delete_many(&self, bucket: &str, keys: Vec<String>) -> Result<()> {
        let names = keys.iter().map(|key| name(bucket, key)).collect::<Result<Vec<_>>>()?;
        for (names, keys) in names.chunks(PAGE).zip(keys.chunks(PAGE)) {
            let mut asked = pipe();
            asked
                .atomic()
                .cmd("DEL")
                .arg(names)
                .ignore()
                .cmd("HDEL")
                .arg(times_of(bucket))
                .arg(keys)
                .ignore();
            let request = move |mut connection: MultiplexedConnection, _| {
                let asked = asked.clone();
                let answer: Answer<()> = Box::pin(async move { asked.query_async(&mut connection).await });
                answer
            };
            let key = if keys.len() == 1 { keys[0].as_str() } else { "(one of several)" };
            self.ask("delete", bucket, key, request).await?;
        }
        Ok(())
    }
}

impl fmt::Debug for RedisStorage {
    /// Shows where the storage is, and leaves out the client, which holds credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStorage").field("location", &self.location).finish_non_exhaustive()
    }
}

fn millis((seconds, micros): Time) -> u64 {
    seconds.saturating_mul(1000).saturating_add(micros / 1000)
}

fn name(bucket: &str, key: &str) -> Result<String> {
    check_bucket(bucket)?;
    if key.is_empty() {
        return Err(
            Error::new(ErrorKind::InvalidInput, "the key `` is empty").with_hint("give the object a name")
        );
    }
    Ok(format!("{bucket}/{key}"))
}

fn object(doing: &str, bucket: &str, key: &str) -> String {
    match doing {
        "list" if key.is_empty() => format!("bucket `{bucket}`"),
        "list" => format!("what starts with `{key}` in bucket `{bucket}`"),
        _ => format!("object `{key}` in bucket `{bucket}`"),
    }
}

fn times_of(bucket: &str) -> String {
    format!("lithops.modified/{bucket}")
}

/// The text as a pattern that matches nothing else.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        if "*?[]\\^-".contains(letter) {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}
