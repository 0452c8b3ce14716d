//! [`Settings`]: what a fake is like.

use std::{path::PathBuf, time::Duration};

/// What a fake is like. The default is a new account, in which functions are ready sooner than in a real one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The port of loopback to listen at, or 0 for a free one.
    pub port: u16,
    /// The region of names, and of the functions' environments.
    pub region: String,
    /// How many invocations may run at once in the account.
    pub concurrency: usize,
    /// The most bytes of a request, and of a response that is not streamed.
    pub payload_limit: usize,
    /// The most bytes of an asynchronous request.
    pub event_payload_limit: usize,
    /// Whether requests must be JSON.
    pub requires_json: bool,
    /// Whether responses that are not streamed must be JSON.
    pub requires_json_response: bool,
    /// Whether environments are stopped between invocations.
    pub freezes: bool,
    /// How long a function is pending after it was created, and an update is in progress.
    pub pending: Duration,
    /// How often an asynchronous invocation is repeated after an error of the function.
    pub event_retries: u32,
    /// How long the first of these repetitions waits; the second waits twice as long.
    pub event_retry_delay: Duration,
    /// Where packages are unpacked and logs are written, instead of a folder that is removed at the end.
    pub folder: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            port: 0,
            region: "us-east-1".to_owned(),
            concurrency: 1000,
            payload_limit: 6 * 1024 * 1024,
            event_payload_limit: 1024 * 1024,
            requires_json: true,
            requires_json_response: true,
            freezes: true,
            pending: Duration::from_millis(50),
            event_retries: 2,
            event_retry_delay: Duration::from_secs(60),
            folder: None,
        }
    }
}
