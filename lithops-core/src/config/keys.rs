//! The keys of the configuration, as data: those of the section `lithops` and of every backend, and the names of all
//! sections.

use super::Value;

/// A key that a section may have.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// The name of the key.
    pub name: &'static str,
    /// Whether the key is read, ignored or refused.
    pub status: KeyStatus,
    /// The meaning of the key, in one line.
    pub doc: &'static str,
    /// Whether a file may set the key that was found only because it lies in the working directory. Another
    /// user may have put that file there, and must gain nothing: no code that runs, no place that data or
    /// credentials go to, no right, no path.
    pub found_file_may_set: bool,
}

/// How a key is treated.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum KeyStatus {
    /// The key is read.
    Used,
    /// The key is read, but for values that only mean something to Python Lithops: they have no effect, and the
    /// note says why.
    UsedExcept {
        /// Whether a value is such a one.
        is_foreign: fn(&Value) -> bool,
        /// Why it has no effect.
        note: &'static str,
    },
    /// The key has no effect. It may stand there so that one file serves Python Lithops too; the note says
    /// why.
    Accepted(&'static str),
    /// The key is an error, because ignoring it would change the results; the reason says what to write
    /// instead.
    Refused(&'static str),
}

impl Key {
    /// A key that is read.
    #[must_use]
    pub const fn used(name: &'static str, doc: &'static str) -> Self {
        Self { name, status: KeyStatus::Used, doc, found_file_may_set: false }
    }

    /// A key that is read, but for values that only mean something to Python Lithops.
    #[must_use]
    pub const fn used_except(
        name: &'static str,
        doc: &'static str,
        is_foreign: fn(&Value) -> bool,
        note: &'static str,
    ) -> Self {
        Self { name, status: KeyStatus::UsedExcept { is_foreign, note }, doc, found_file_may_set: false }
    }

    /// A key that has no effect, with the note that says why.
    #[must_use]
    pub const fn accepted(name: &'static str, note: &'static str, doc: &'static str) -> Self {
        Self { name, status: KeyStatus::Accepted(note), doc, found_file_may_set: false }
    }

    /// A key that is refused, with what to write instead.
    #[must_use]
    pub const fn refused(name: &'static str, reason: &'static str, doc: &'static str) -> Self {
        Self { name, status: KeyStatus::Refused(reason), doc, found_file_may_set: false }
    }

    /// The same key, which a configuration file may set that was found only because of the working directory:
    /// see [`found_file_may_set`](Self::found_file_may_set).
    #[must_use]
    pub const fn harmless(self) -> Self {
        Self { found_file_may_set: true, ..self }
    }
}

const NO_MODULES: &str = "a compiled program is shipped whole";
const NO_POLLING: &str = "results ride back on the response, nothing is polled";
const NO_LOG: &str = "this version writes no log of its own";
const IN_BACKEND: &str = "write it in the section of the backend, for example `localhost:`";
const IN_STORAGE: &str = "write it in the section of the storage, for example `localhost:`";

/// The keys of the section `lithops`.
pub const LITHOPS: &[Key] = &[
    Key::used("backend", "the backend that runs the calls").harmless(),
    Key::used("storage", "the storage that holds the data").harmless(),
    Key::used("plugins", "libraries to load that have further backends in them"),
    Key::used("chunksize", "how many calls a worker is handed at once, or AUTO").harmless(),
    Key::used("objective", "what AUTO is to make small: time, cost or balanced").harmless(),
    Key::used("history", "whether it is remembered how long calls took, for planning; by default true")
        .harmless(),
    Key::used("execution_timeout", "how long one call may run").harmless(),
    Key::accepted("mode", "the backend decides it", "localhost, serverless or standalone").harmless(),
    Key::accepted("monitoring", NO_POLLING, "how Python Lithops learns of results").harmless(),
    Key::accepted("monitoring_interval", NO_POLLING, "how often Python Lithops asks for results").harmless(),
    Key::accepted("data_cleaner", "data of a job go with its last handle", "whether job data are deleted")
        .harmless(),
    Key::accepted(
        "data_limit",
        "inputs are read as they are sent, there is no total",
        "MB of input a map may have",
    )
    .harmless(),
    Key::accepted("include_modules", NO_MODULES, "Python modules to ship"),
    Key::accepted("exclude_modules", NO_MODULES, "Python modules not to ship"),
    Key::accepted("customized_runtime", NO_MODULES, "whether an image is built with the function in it"),
    Key::accepted("retries", "ask for it per map: `.retries(3)`", "how often a failed call is tried again")
        .harmless(),
    Key::accepted("telemetry_interval", "this version sends no metrics", "how often metrics are sent")
        .harmless(),
    Key::accepted("telemetry", "this version sends no metrics", "whether metrics are sent"),
    Key::accepted("log_level", NO_LOG, "the level of log messages").harmless(),
    Key::accepted("log_format", NO_LOG, "the format of log messages").harmless(),
    Key::accepted("log_stream", NO_LOG, "the stream of log messages"),
    Key::accepted("log_filename", NO_LOG, "the file of log messages"),
    Key::refused("worker_processes", IN_BACKEND, "how many calls run at once in a worker"),
    Key::refused("max_workers", IN_BACKEND, "how many workers may run at once"),
    Key::refused("runtime", IN_BACKEND, "where the calls run"),
    Key::refused("runtime_memory", IN_BACKEND, "the memory of a worker"),
    Key::refused("runtime_timeout", IN_BACKEND, "how long a worker may run"),
    Key::refused("runtime_cpu", IN_BACKEND, "the CPUs of a worker"),
    Key::refused("storage_bucket", IN_STORAGE, "the bucket that holds the data"),
    Key::refused("storage_backend", "write `storage`", "the older name of `storage`"),
    Key::refused("compute_backend", "write `backend`", "the older name of `backend`"),
];

/// The keys of the section of every backend. The core reads them, and a backend does not list them.
pub const BACKEND: &[Key] = &[
    Key::used("worker_processes", "how many calls may run at once in one worker").harmless(),
    Key::used("max_workers", "how many workers may live at once").harmless(),
    Key::used("capabilities", "what is known otherwise of the platform: limits, starting times, prices"),
];

/// Every section that a configuration of Python Lithops may have. Sections of backends and storages that are
/// not selected, or that this program lacks, are ignored.
pub const SECTIONS: &[&str] = &[
    "lithops",
    "aliyun",
    "aliyun_fc",
    "aliyun_oss",
    "aws",
    "aws_batch",
    "aws_ec2",
    "aws_lambda",
    "aws_s3",
    "azure",
    "azure_containers",
    "azure_functions",
    "azure_storage",
    "azure_vms",
    "ceph",
    "code_engine",
    "gcp",
    "gcp_cloudrun",
    "gcp_compute_engine",
    "gcp_functions",
    "gcp_storage",
    "ibm",
    "ibm_cf",
    "ibm_cos",
    "ibm_vpc",
    "infinispan",
    "infinispan_hotrod",
    "k8s",
    "knative",
    "localhost",
    "minio",
    "multiprocessing",
    "one",
    "openwhisk",
    "oracle",
    "oracle_f",
    "oracle_oss",
    "rabbitmq",
    "redis",
    "serverless",
    "singularity",
    "standalone",
    "swift",
    "vm",
];
