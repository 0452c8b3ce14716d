//! [`Warning`]: advice on a plan that works, but not well.

use std::{fmt, time::Duration};

use super::seconds;

/// Advice on a plan. Its `Display` says what the problem is, and what to write instead.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Warning {
    /// Sub-workers will compete for vCPUs.
    MoreProcessesThanCpus {
        /// The number of sub-workers in one worker.
        worker_processes: usize,
        /// The number of vCPUs of one worker.
        cpus: f64,
        /// The number of sub-workers that would be enough.
        enough: usize,
    },
    /// vCPUs are paid for and not used.
    FewerProcessesThanCpus {
        /// The number of sub-workers in one worker.
        worker_processes: usize,
        /// The number of vCPUs of one worker.
        cpus: f64,
    },
    /// The job has fewer calls than one chunk.
    ChunkBeyondCalls {
        /// How many calls the job has.
        calls: u64,
        /// How many calls one worker was to be given.
        chunksize: usize,
    },
    /// Some sub-workers will have nothing to do.
    ChunkBelowProcesses {
        /// How many calls one worker is given.
        chunksize: usize,
        /// The number of sub-workers in one worker.
        worker_processes: usize,
    },
    /// Most sub-workers will have nothing to do in the last round of every chunk.
    UnevenChunk {
        /// How many calls one worker is given.
        chunksize: usize,
        /// The number of sub-workers in one worker.
        worker_processes: usize,
    },
    /// One worker gets all calls although more workers may live.
    OneWorker {
        /// How many calls the job has.
        calls: u64,
        /// How many calls one worker is given.
        chunksize: usize,
        /// The most workers that live at once.
        max_workers: usize,
    },
    /// A whole wave is started for few workers.
    LastWaveNearlyEmpty {
        /// How many waves there are.
        waves: u64,
        /// How many workers the last wave has.
        last: u64,
        /// How many workers each of the other waves has.
        max_workers: usize,
        /// The chunksize with which the last wave is not needed.
        better: u64,
    },
    /// A chunk is too large for a message, so that its arguments become a blob.
    PayloadOverLimit {
        /// The length of a chunk's arguments in bytes.
        bytes: u64,
        /// The most bytes of arguments in one message.
        limit: u64,
        /// The largest chunksize that fits into a message; `None` when not even a single call does.
        fitting: Option<u64>,
    },
    /// A chunk is expected to take longer than a worker may run.
    ChunkOverTimeout {
        /// How long a chunk is expected to take.
        chunk: Duration,
        /// How long a worker may run.
        limit: Duration,
        /// The largest chunksize that fits; `None` when not even a single call does.
        fitting: Option<u64>,
    },
    /// Chunks of a fleet are so short that the storage cannot take the writes of all workers.
    ChunkBelowBoard {
        /// How many workers live at once.
        workers: u64,
        /// How long a chunk is expected to take.
        chunk: Duration,
        /// How long it should take at least.
        least: Duration,
        /// The chunksize with which it does.
        better: u64,
    },
    /// Workers take longer to start than to run their chunk.
    StartupDominates {
        /// How long a worker takes to start.
        startup: Duration,
        /// How long a chunk is expected to take.
        chunk: Duration,
        /// The chunksize with which a chunk takes as long as the start.
        better: u64,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let span = |duration: &Duration| seconds(duration.as_secs_f64());
        match self {
            Self::MoreProcessesThanCpus { worker_processes, cpus, enough } => write!(
                f,
                "{worker_processes} sub-workers share {} of a worker: busy calls will slow each other; set \
                 worker_processes to {enough} unless calls mostly wait",
                vcpus(*cpus)
            ),
            Self::FewerProcessesThanCpus { worker_processes, cpus } => write!(
                f,
                "a worker has {} and worker_processes is {worker_processes}: the others are paid for and idle; set \
                 worker_processes to {}, or buy less",
                vcpus(*cpus),
                cpus.round().max(1.0)
            ),
            Self::ChunkBeyondCalls { calls, chunksize } => {
                write!(
                    f,
                    "chunksize {chunksize} is beyond the {calls} calls of the job: they are a single chunk"
                )
            }
            Self::ChunkBelowProcesses { chunksize, worker_processes } => write!(
                f,
                "chunksize {chunksize} is below worker_processes {worker_processes}: {} sub-workers of each worker \
                 will have nothing to do; set chunksize to {worker_processes} or more",
                worker_processes - chunksize
            ),
            Self::UnevenChunk { chunksize, worker_processes } => write!(
                f,
                "chunksize {chunksize} is no multiple of worker_processes {worker_processes}: in the last round of \
                 each worker {} of them have nothing to do; set chunksize to {}",
                worker_processes - chunksize % worker_processes,
                chunksize.next_multiple_of(*worker_processes)
            ),
            Self::OneWorker { calls, chunksize, max_workers } => write!(
                f,
                "chunksize {chunksize} gives all {calls} calls to one worker although {max_workers} may live: \
                 set chunksize to {} to use them",
                calls.div_ceil(*max_workers as u64).max(1)
            ),
            Self::LastWaveNearlyEmpty { waves, last, max_workers, better } => write!(
                f,
                "the last of {waves} waves has {last} of {max_workers} workers: set chunksize to {better} to save it"
            ),
            Self::PayloadOverLimit { bytes, limit, fitting } => {
                write!(f, "a chunk of {bytes} bytes is over the {limit} that travel with a hand-over: ")?;
                match fitting {
                    Some(fitting) => {
                        write!(f, "chunks go through the storage; set chunksize to {fitting} to avoid it")
                    }
                    None => f.write_str(
                        "every call goes through the storage; pass less, or names of stored objects",
                    ),
                }
            }
            Self::ChunkOverTimeout { chunk, limit, fitting } => {
                write!(
                    f,
                    "a chunk is expected to take {} and a worker may run for {}: ",
                    span(chunk),
                    span(limit)
                )?;
                match fitting {
                    Some(fitting) => write!(f, "set chunksize to {fitting} or less"),
                    None => f.write_str(
                        "a single call is too long for this backend; choose another, or split the call",
                    ),
                }
            }
            Self::ChunkBelowBoard { workers, chunk, least, better } => write!(
                f,
                "{workers} workers that do a chunk in {} each write more than the storage takes below one prefix, 3,000 \
                 times a second: a chunk should take {} at least; set chunksize to {better} or more",
                span(chunk),
                span(least)
            ),
            Self::StartupDominates { startup, chunk, better } => write!(
                f,
                "a worker takes {} to start and {} to do its chunk: set chunksize to {better} or more",
                span(startup),
                span(chunk)
            ),
        }
    }
}

fn vcpus(cpus: f64) -> String {
    let number = format!("{cpus:.2}");
    let number = number.trim_end_matches('0').trim_end_matches('.');
    format!("{number} vCPU{}", if number == "1" { "" } else { "s" })
}
