//! `lithops storage put|get|list|delete`: objects of the configured storage.

use std::{
    io::{IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use clap::{Args, Subcommand};
use futures_util::{Stream, StreamExt, TryStreamExt};
use lithops::Bytes;
use serde::Serialize;

use crate::{place::Place, print};

/// Puts, reads, lists and deletes objects of the configured storage.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  lithops storage put data.csv my-bucket                    under the name of the file
  lithops storage put data.csv my-bucket --key in/1.csv
  lithops storage list my-bucket --prefix in/
  lithops storage get my-bucket in/1.csv --out copy.csv
  lithops storage delete my-bucket in/1.csv")]
pub(crate) enum Storage {
    /// Stores a file as an object; an existing object is replaced once the whole file has arrived.
    Put(Put),
    /// Writes an object to a file. The file appears complete or not at all.
    Get(Get),
    /// Lists objects, sorted by key: size in bytes and key.
    List(List),
    /// Deletes one object, or all whose keys start with a prefix.
    Delete(Delete),
}

#[derive(Debug, Args)]
pub(crate) struct Put {
    /// The file to store.
    file: PathBuf,
    /// The bucket.
    bucket: String,
    /// The object's key, by default the name of the file.
    #[arg(long)]
    key: Option<String>,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct Get {
    /// The bucket.
    bucket: String,
    /// The object's key.
    key: String,
    /// The file to write, by default the last part of the key in this folder; `-` is stdout.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// The bucket.
    bucket: String,
    /// Lists only objects whose keys start with this.
    #[arg(long, default_value = "")]
    prefix: String,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// The bucket.
    bucket: String,
    /// The object's key.
    #[arg(required_unless_present = "prefix", conflicts_with = "prefix")]
    key: Option<String>,
    /// Deletes all objects whose keys start with this.
    #[arg(long)]
    prefix: Option<String>,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Serialize)]
struct Listed {
    key: String,
    size: u64,
}

impl Storage {
    pub(crate) fn run(self) -> lithops::Result<ExitCode> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            match self {
                Self::Put(put) => put.run().await,
                Self::Get(get) => get.run().await,
                Self::List(list) => list.run().await,
                Self::Delete(delete) => delete.run().await,
            }
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Put {
    async fn run(self) -> lithops::Result<()> {
        let name = self.file.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let key = self.key.unwrap_or(name);
        let client = self.place.storage()?;
        let size = std::fs::metadata(&self.file).map_or(0, |file| file.len());
        let progress = Progress::new(&key, size);
        let pieces = lithops::file_pieces(&self.file).await?;
        client.put_stream(&self.bucket, &key, progress.watch(pieces)).await?;
        progress.done("stored", &format!("{}/{key}", self.bucket));
        Ok(())
    }
}

impl Get {
    async fn run(self) -> lithops::Result<()> {
        let Self { bucket, key, out, place } = self;
        let client = place.storage()?;
        if out.as_ref().is_some_and(|out| out.as_os_str() == "-") {
            let (_, mut pieces) = client.get_stream(&bucket, &key).await?;
            let mut stdout = std::io::stdout().lock();
            while let Some(piece) = pieces.try_next().await? {
                stdout.write_all(&piece)?;
            }
            return Ok(stdout.flush()?);
        }
        let out = out.unwrap_or_else(|| key.rsplit('/').next().unwrap_or(&key).into());
        let (meta, pieces) = client.get_stream(&bucket, &key).await?;
        let progress = Progress::new(&key, meta.size);
        lithops::write_pieces(&out, progress.watch(pieces)).await?;
        progress.done("wrote", &out.display().to_string());
        Ok(())
    }
}

impl List {
    async fn run(self) -> lithops::Result<()> {
        let objects = self.place.storage()?.list_objects(&self.bucket, &self.prefix).await?;
        if self.json {
            let listed: Vec<_> =
                objects.into_iter().map(|object| Listed { key: object.key, size: object.size }).collect();
            return print::json(&listed);
        }
        for object in &objects {
            print::line(format_args!("{:>14}  {}", object.size, object.key))?;
        }
        if objects.is_empty() {
            print::remark(&format!("no object in bucket `{}` starts with `{}`", self.bucket, self.prefix));
        }
        Ok(())
    }
}

impl Delete {
    async fn run(self) -> lithops::Result<()> {
        let client = self.place.storage()?;
        let keys = match (self.key, self.prefix) {
            (Some(key), _) => {
                // Deleting a missing object succeeds in the storage, so a named object is checked first: a
                // mistyped key is then an error.
                client.head_object(&self.bucket, &key).await?;
                vec![key]
            }
            (None, prefix) => client.list_keys(&self.bucket, &prefix.unwrap_or_default()).await?,
        };
        let count = keys.len();
        client.delete_objects(&self.bucket, keys).await?;
        print::remark(&format!("deleted {count} objects"));
        Ok(())
    }
}

/// The progress of a transfer, shown at a terminal.
#[derive(Debug, Clone)]
struct Progress {
    key: String,
    size: u64,
    moved: Arc<AtomicU64>,
    begun: Instant,
    shown: bool,
}

impl Progress {
    fn new(key: &str, size: u64) -> Self {
        // Small objects are moved too quickly for a progress line.
        let shown = size > 16 << 20 && std::io::stderr().is_terminal();
        Self { key: key.to_owned(), size, moved: Arc::default(), begun: Instant::now(), shown }
    }

    fn watch(
        &self,
        pieces: impl Stream<Item = lithops::Result<Bytes>> + Send + 'static,
    ) -> impl Stream<Item = lithops::Result<Bytes>> + Send + 'static {
        let this = self.clone();
        pieces.inspect(move |piece| {
            if let Ok(piece) = piece {
                let moved = this.moved.fetch_add(piece.len() as u64, Ordering::Relaxed) + piece.len() as u64;
                if this.shown {
                    let percent = moved * 100 / this.size.max(1);
                    let _ =
                        write!(std::io::stderr().lock(), "\r{}: {percent} %, {}", this.key, this.rate(moved));
                }
            }
        })
    }

    fn done(&self, verb: &str, what: &str) {
        let moved = self.moved.load(Ordering::Relaxed);
        let start = if self.shown { "\r\x1b[K" } else { "" };
        print::remark(&format!("{start}{verb} {what}: {moved} bytes, {}", self.rate(moved)));
    }

    fn rate(&self, moved: u64) -> String {
        format!("{:.1} MiB/s", moved as f64 / (1 << 20) as f64 / self.begun.elapsed().as_secs_f64().max(1e-6))
    }
}
