//! [`resolve`]: finds the objects of a data source, and cuts them into parts.

use std::path::{Path, PathBuf};

use futures_util::{StreamExt, TryStreamExt, stream};
use glob::{MatchOptions, Pattern};

use super::{ObjectOptions, Partition, location::ObjectLocation, resolved::ResolvedObject, source::Wanted};
use crate::{
    error::{Error, ErrorKind, Result},
    storage::{ObjectMeta, StorageClient, own_keys},
};

/// How many objects are looked up at once.
const AT_ONCE: usize = 32;

/// The surroundings of a job that decide what it can read.
#[derive(Debug, Clone)]
pub(crate) struct ResolveContext {
    pub(crate) storage: StorageClient,
    /// Whether workers can read the files of this machine.
    pub(crate) workers_are_here: bool,
    /// Whether workers can read the objects of the storage.
    pub(crate) storage_is_shared: bool,
}

/// The objects of a job, and how they are cut. Parts are made one by one, when they are asked for.
#[derive(Debug, Clone)]
pub(crate) struct ResolvedObjects {
    objects: Vec<ResolvedObject>,
    options: ObjectOptions,
    /// For each object, how many parts it and those before it have together.
    ends: Vec<u64>,
}

impl ResolvedObjects {
    pub(crate) fn new(objects: Vec<ResolvedObject>, options: ObjectOptions) -> Self {
        let parts =
            |object: &ResolvedObject| if object.can_be_cut() { options.parts(object.size) } else { 1 };
        let ends = objects.iter().scan(0, |end, object| {
            *end += parts(object);
            Some(*end)
        });
        Self { ends: ends.collect(), objects, options }
    }

    /// The name of the object that part `number` of all parts belongs to, the number of the part within it,
    /// and how many parts it has.
    pub(crate) fn name_of(&self, number: u64) -> Option<(String, u64, u64)> {
        let index = self.ends.partition_point(|end| *end <= number);
        let first = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        Some((self.objects.get(index)?.place.to_string(), number - first, self.ends[index] - first))
    }

    /// How many parts all objects have together.
    pub(crate) fn len(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// How many parts each object has, in order.
    pub(crate) fn parts_by_object(&self) -> Vec<u64> {
        let firsts = std::iter::once(0).chain(self.ends.iter().copied());
        self.ends.iter().zip(firsts).map(|(end, first)| end - first).collect()
    }

    /// All parts, by object and by place within it.
    pub(crate) fn parts(&self) -> impl Iterator<Item = Partition> + '_ {
        self.objects.iter().zip(self.parts_by_object()).flat_map(move |(object, total)| {
            (0..total).map(move |part| Partition {
                place: object.place.clone(),
                size: object.size,
                mark: object.mark.clone(),
                range: if total == 1 { (0, object.size) } else { self.options.range(object.size, part) },
                part,
                total,
                newline: self.options.separator(),
                compression: object.compression(),
            })
        })
    }
}

/// Finds every object of a data source. A missing object is an error that names it: nothing is left out.
pub(crate) async fn resolve(
    wanted: Vec<Wanted>,
    options: ObjectOptions,
    around: &ResolveContext,
) -> Result<ResolvedObjects> {
    options.check()?;
    let groups = stream::iter(wanted).map(|wanted| find(wanted, around)).buffered(AT_ONCE);
    let objects: Vec<ResolvedObject> = groups.try_concat().await?;
    if objects.is_empty() {
        return Err(Error::new(ErrorKind::InvalidInput, "the data source names nothing")
            .with_hint("name at least one object, prefix, URL or path"));
    }
    objects.iter().try_for_each(|object| object.compression().check(&object.place))?;
    Ok(ResolvedObjects::new(objects, options))
}

async fn find(wanted: Wanted, around: &ResolveContext) -> Result<Vec<ResolvedObject>> {
    match wanted {
        Wanted::Object(name) => {
            let (bucket, key) = in_bucket(&name, around)?;
            if key.is_empty() || key.ends_with('/') {
                return Err(Error::new(ErrorKind::InvalidInput, format!("`{name}` names no object"))
                    .with_hint(
                        "write `bucket/key`, or `DataSource::prefix(..)` for all objects that start so",
                    ));
            }
            let meta = around.storage.head_object(bucket, key).await?;
            Ok(vec![object(bucket, meta)])
        }
        Wanted::Prefix(name) => {
            let (bucket, prefix) = in_bucket(&name, around)?;
            let listed = listed(bucket, prefix, around).await?;
            check(bucket, &listed, around).await?;
            some(listed.into_iter().map(|meta| object(bucket, meta)).collect(), || {
                format!("no object of storage `{}` starts with `{bucket}/{prefix}`", scheme(around))
            })
        }
        Wanted::Glob(name) => {
            let (bucket, pattern) = in_bucket(&name, around)?;
            let matching = Pattern::new(pattern).map_err(|error| {
                Error::new(ErrorKind::InvalidInput, format!("the pattern `{pattern}` is wrong, {error}"))
                    .with_hint("`*`, `?`, `**` and `[a-z]` have a meaning; write `[*]` for a star")
            })?;
            let prefix = pattern.split(['*', '?', '[']).next().unwrap_or_default();
            let options = MatchOptions { require_literal_separator: true, ..MatchOptions::new() };
            let listed = listed(bucket, prefix, around).await?;
            let matches = |meta: &ObjectMeta| matching.matches_with(&meta.key, options);
            let matched: Vec<ObjectMeta> = listed.into_iter().filter(matches).collect();
            check(bucket, &matched, around).await?;
            some(matched.into_iter().map(|meta| object(bucket, meta)).collect(), || {
                format!("no object of storage `{}` matches `{bucket}/{pattern}`", scheme(around))
            })
        }
        Wanted::Path(path) => files(path, around).await,
        Wanted::Url(url) => described(url).await.map(|found| vec![found]),
    }
}

/// The objects whose keys start with `prefix`, without Lithops' own objects: the data may be in the bucket of
/// the jobs.
async fn listed(bucket: &str, prefix: &str, around: &ResolveContext) -> Result<Vec<ObjectMeta>> {
    let mut listed = around.storage.list_objects(bucket, prefix).await?;
    if !own_keys::is_own(prefix) {
        listed.retain(|object| !own_keys::is_own(&object.key));
    }
    Ok(listed)
}

/// Looks up the objects whose keys the storage may list but cannot name, so that the error comes before the
/// job starts.
async fn check(bucket: &str, listed: &[ObjectMeta], around: &ResolveContext) -> Result<()> {
    let is_odd = |key: &str| {
        key.contains('#')
            || key.chars().any(char::is_control)
            || key.split('/').any(|part| matches!(part, "" | "." | ".."))
    };
    for object in listed.iter().filter(|object| is_odd(&object.key)) {
        around.storage.head_object(bucket, &object.key).await?;
    }
    Ok(())
}

fn some(found: Vec<ResolvedObject>, none: impl Fn() -> String) -> Result<Vec<ResolvedObject>> {
    if found.is_empty() {
        return Err(Error::new(ErrorKind::NotFound, none())
            .with_hint("look with `lithops storage list BUCKET --prefix ..`"));
    }
    Ok(found)
}

fn scheme(around: &ResolveContext) -> &'static str {
    around.storage.info().scheme
}

fn object(bucket: &str, meta: ObjectMeta) -> ResolvedObject {
    let place = ObjectLocation::Object { bucket: bucket.to_owned(), key: meta.key };
    ResolvedObject { place, size: meta.size, mark: meta.etag }
}

/// Splits a name into bucket and key. The name may begin with the scheme of the storage.
fn in_bucket<'a>(name: &'a str, around: &ResolveContext) -> Result<(&'a str, &'a str)> {
    let own = scheme(around);
    if !around.storage_is_shared {
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!("workers cannot read objects of storage `{own}`"),
        )
        .with_hint("use a storage that other processes can reach, such as `localhost` or `aws_s3`"));
    }
    let rest = match name.split_once("://") {
        None => name,
        Some((said, rest)) => {
            let is_own = said == own
                || said == "s3" && ["aws_s3", "minio", "ceph"].contains(&own)
                || said == "gs" && own == "gcp_storage";
            if !is_own {
                let message =
                    format!("`{name}` lies in another storage than `{own}`, which this executor uses");
                return Err(Error::new(ErrorKind::InvalidInput, message).with_hint(
                    "choose the storage with `.storage(..)`, or leave out what stands before `://`",
                ));
            }
            rest
        }
    };
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.is_empty() {
        return Err(Error::new(ErrorKind::InvalidInput, format!("`{name}` names no bucket"))
            .with_hint("write `bucket/key`; a path of this machine is `DataSource::path(..)`"));
    }
    Ok((bucket, key))
}

async fn files(path: PathBuf, around: &ResolveContext) -> Result<Vec<ResolvedObject>> {
    if !around.workers_are_here {
        let message = format!("workers elsewhere cannot read `{}`", path.display());
        return Err(Error::new(ErrorKind::Unsupported, message)
            .with_hint("put it into the storage: `lithops storage put FILE BUCKET`"));
    }
    // The path becomes absolute, because workers may run in another folder.
    let path = std::path::absolute(&path)?;
    let walked = tokio::task::spawn_blocking(move || {
        let mut found = Vec::new();
        walk(&path, &mut found)?;
        if found.is_empty() {
            return Err(Error::new(ErrorKind::NotFound, format!("there is no file in `{}`", path.display())));
        }
        found.sort_unstable();
        Ok(found)
    });
    let paths = walked.await.map_err(|error| Error::new(ErrorKind::Unexpected, error.to_string()))??;
    let look = |path: PathBuf| async move {
        if path.to_str().is_none() {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("the path `{}` is not UTF-8", path.display()),
            ));
        }
        let place = ObjectLocation::Path(path);
        let (size, mark) = place.look(None).await?;
        Ok(ResolvedObject { place, size, mark })
    };
    stream::iter(paths).map(look).buffered(AT_ONCE).try_collect().await
}

fn walk(path: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let cannot = |error: std::io::Error| {
        let kind = Error::from(std::io::Error::from(error.kind())).kind();
        Error::new(kind, format!("cannot look at `{}`, {error}", path.display())).with_source(error)
    };
    let metadata = std::fs::metadata(path).map_err(cannot)?;
    if !metadata.is_dir() {
        if !metadata.is_file() {
            let message = format!("`{}` is neither a file nor a folder", path.display());
            return Err(Error::new(ErrorKind::InvalidInput, message)
                .with_hint("pipes and devices have no size, and cannot be read in parts"));
        }
        if metadata.len() == 0 && has_content(path).map_err(cannot)? {
            let message = format!("`{}` has no size, and is not empty", path.display());
            return Err(Error::new(ErrorKind::InvalidInput, message)
                .with_hint("the system makes it up when it is read: copy it to a file first"));
        }
        found.push(path.to_owned());
        return Ok(());
    }
    for entry in std::fs::read_dir(path).map_err(cannot)? {
        let entry = entry.map_err(cannot)?;
        let is_link = entry.file_type().map_err(cannot)?.is_symlink();
        // A link to a folder is passed over, because it could lead back here. A link to nothing is an error,
        // as everything is that cannot be read.
        if !(is_link && entry.path().is_dir()) {
            walk(&entry.path(), found)?;
        }
    }
    Ok(())
}

/// Whether a file has content although its size is 0, as most files in `/proc` have.
fn has_content(path: &Path) -> std::io::Result<bool> {
    use std::{io::Read, os::unix::fs::OpenOptionsExt};

    // Without this flag, opening or reading a special file may wait for ever.
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    let read = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path).and_then(|file| {
        let mut byte = Vec::with_capacity(1);
        file.take(1).read_to_end(&mut byte)
    });
    match read {
        Ok(read) => Ok(read > 0),
        // The file has content, but later.
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(true),
        // A reader of the file gets this error too, and reports it.
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(feature = "http")]
async fn described(url: String) -> Result<ResolvedObject> {
    let found = super::http::look(&url).await?;
    Ok(ResolvedObject {
        place: ObjectLocation::Url { url, ranges: found.ranges },
        size: found.size,
        mark: found.mark,
    })
}

#[cfg(not(feature = "http"))]
async fn described(_: String) -> Result<ResolvedObject> {
    Err(super::location::no_http())
}
