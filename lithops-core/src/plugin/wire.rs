//! The types that cross between a program and a plugin as MessagePack.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    compute::{Capabilities, CloseMode},
    config::{Config, Key, KeyStatus, Origin, Value},
    error::{Error, ErrorKind, Result, Retry},
    protocol::{Launch, Program, Secrets},
};

/// The operations of an instance. Their numbers are part of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Operation {
    Invoke = 1,
    Cancel = 3,
    Check = 4,
    Close = 5,
    Build = 6,
    Deploy = 7,
    List = 8,
    Delete = 9,
    Sized = 10,
    Scale = 11,
    FleetEnded = 12,
    Leftovers = 13,
    RemoveLeftover = 14,
    Awaited = 15,
    Withdraw = 16,
    Discard = 17,
    CheckLive = 18,
}

impl Operation {
    pub(super) fn of(number: u32) -> Option<Self> {
        Some(match number {
            1 => Self::Invoke,
            3 => Self::Cancel,
            4 => Self::Check,
            5 => Self::Close,
            6 => Self::Build,
            7 => Self::Deploy,
            8 => Self::List,
            9 => Self::Delete,
            10 => Self::Sized,
            11 => Self::Scale,
            12 => Self::FleetEnded,
            13 => Self::Leftovers,
            14 => Self::RemoveLeftover,
            15 => Self::Awaited,
            16 => Self::Withdraw,
            17 => Self::Discard,
            18 => Self::CheckLive,
            _ => return None,
        })
    }
}

/// The part of a configuration that a plugin needs: the sections `lithops` and its own.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WireConfig(Vec<(String, String, Value, String)>);

impl WireConfig {
    #[cfg(feature = "plugins")]
    pub(super) fn of(config: &Config, own: &str) -> Self {
        let values = |name: &'static str| -> Vec<_> {
            let section = config.section(name);
            let values = section.iter();
            values
                .map(|(key, located)| {
                    (name.to_owned(), key.to_owned(), located.value.clone(), located.origin.to_string())
                })
                .collect()
        };
        let mut all = values("lithops");
        let section = config.section(own);
        all.extend(section.iter().map(|(key, located)| {
            (own.to_owned(), key.to_owned(), located.value.clone(), located.origin.to_string())
        }));
        Self(all)
    }

    pub(super) fn read(self) -> Config {
        let mut config = Config::default();
        for (section, key, value, origin) in self.0 {
            config.set(&section, &key, value, Origin::Host(origin));
        }
        config
    }
}

/// The options of a new backend.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WireOptions {
    pub(super) config: WireConfig,
    pub(super) program: Program,
    pub(super) worker_processes: usize,
    pub(super) max_workers: usize,
    pub(super) secrets: Option<Secrets>,
    /// The number of the finest level that the host logs.
    pub(super) level: u32,
}

/// The description of a plugin's backend.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct DescribedBackend {
    pub(super) scheme: String,
    pub(super) summary: String,
    pub(super) package: String,
    pub(super) version: String,
    pub(super) keys: Vec<WireKey>,
    pub(super) capabilities: Result<Capabilities, WireError>,
}

/// The description of an opened backend.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Opened {
    pub(super) region: Option<String>,
    pub(super) location: String,
    pub(super) capabilities: Capabilities,
}

/// An invocation, with the number by which the plugin knows it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Invoked {
    pub(super) number: u64,
    pub(super) id: String,
    pub(super) feed: bool,
}

/// The request of [`Operation::Scale`].
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Scale {
    pub(super) launch: Launch,
    pub(super) workers: usize,
}

/// A key of a section: its name and meaning, and its status with the note or reason of that status.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WireKey {
    name: String,
    doc: String,
    status: u8,
    note: String,
    found_file_may_set: bool,
}

impl WireKey {
    pub(super) fn of(key: &Key) -> Self {
        let (status, note) = match key.status {
            KeyStatus::Used | KeyStatus::UsedExcept { .. } => (0, ""),
            KeyStatus::Accepted(note) => (1, note),
            KeyStatus::Refused(reason) => (2, reason),
        };
        let (name, doc, note) = (key.name.into(), key.doc.into(), note.into());
        Self { name, doc, status, note, found_file_may_set: key.found_file_may_set }
    }

    #[cfg(feature = "plugins")]
    /// The key with texts that are never freed: plugins are never unloaded.
    pub(super) fn leak(self) -> Key {
        let Self { name, doc, status, note, found_file_may_set } = self;
        let [name, doc, note] = [name, doc, note].map(|text| &*text.leak());
        let status = match status {
            0 => KeyStatus::Used,
            1 => KeyStatus::Accepted(note),
            _ => KeyStatus::Refused(note),
        };
        Key { name, status, doc, found_file_may_set }
    }
}

/// An error, without its context and source.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WireError {
    kind: ErrorKind,
    later: bool,
    message: String,
    hint: Option<String>,
}

impl WireError {
    pub(super) fn of(error: &Error) -> Self {
        Self {
            kind: error.kind(),
            later: error.retry() == Retry::Later,
            message: error.message().to_owned(),
            hint: error.hint().map(str::to_owned),
        }
    }

    #[cfg(feature = "plugins")]
    pub(super) fn read(self) -> Error {
        let error = Error::new(self.kind, self.message);
        let error = if let Some(hint) = self.hint { error.with_hint(hint) } else { error };
        if self.later { error.with_retry(Retry::Later) } else { error }
    }
}

pub(super) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    rmp_serde::to_vec_named(value)
        .map_err(|error| Error::new(ErrorKind::Unexpected, format!("cannot encode for a plugin: {error}")))
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    rmp_serde::from_slice(bytes).map_err(|error| {
        Error::new(ErrorKind::VersionMismatch, format!("a plugin and its program do not agree: {error}"))
            .with_hint("build both with the same version of lithops")
    })
}

/// Decodes the request of [`Operation::Close`].
pub(super) fn close_mode(bytes: &[u8]) -> Result<CloseMode> {
    Ok(if decode(bytes)? { CloseMode::Now } else { CloseMode::Drain })
}
