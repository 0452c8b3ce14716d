//! [`Launch`]: the document that a worker of a fleet is started with.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{PROTOCOL, VerifyKey};
use crate::{
    error::{Error, ErrorKind, Result},
    storage::Locator,
};

/// The version of the document's form. This build reads and writes only this one.
const FORM: u32 = 1;

/// The pause between two looks of a worker without a job: four reads of one short object per second cost less
/// than the machine that waits.
const LOOK: Duration = Duration::from_millis(250);

/// The document that a worker of a fleet is started with: where it finds its jobs, and how it knows that they are its
/// client's. It holds no secret, so that it may stand in an environment variable, a file, or the specification of a pod.
///
/// As text it is JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Launch {
    /// The version of this form. It comes first and is read first.
    pub form: u32,
    /// The version of lithops that has written the document.
    pub lithops: String,
    /// The lowest and the highest version of the protocol that the client speaks.
    pub protocol: (u16, u16),
    /// The name of the fleet, unique in its storage.
    pub fleet: String,
    /// The key that verifies the fleet's job manifests.
    pub verify: VerifyKey,
    /// The storage that holds the job manifests.
    pub storage: Locator,
    /// The worker's own name, which no other worker has ever had: claims and heartbeats bear it. Where it is `None`, the
    /// variable [`WORKER_VARIABLE`](Self::WORKER_VARIABLE) names the worker, or else the worker takes a random name.
    pub worker: Option<String>,
    /// The memory of a worker in MB, where it is not that of the backend's configuration.
    #[serde(default)]
    pub memory: Option<u64>,
    /// The pause between two looks for a job manifest.
    pub look: Duration,
    /// How long the worker stays without a job before it ends.
    pub patience: Duration,
    /// How long the client may be silent until the worker ends.
    pub orphan: Duration,
    /// How long calls may run on once the worker was told to leave by a `SIGTERM`.
    pub grace: Duration,
}

impl Launch {
    /// The variable with the document.
    pub const VARIABLE: &str = "LITHOPS_LAUNCH";
    /// The variable in which a platform names the worker.
    pub const WORKER_VARIABLE: &str = "LITHOPS_WORKER";

    /// A document in this build's form, with the default times.
    #[must_use]
    pub fn new(fleet: &str, verify: VerifyKey, storage: Locator) -> Self {
        Self {
            form: FORM,
            lithops: env!("CARGO_PKG_VERSION").to_owned(),
            protocol: PROTOCOL,
            fleet: fleet.to_owned(),
            verify,
            storage,
            worker: None,
            memory: None,
            look: LOOK,
            patience: Duration::from_secs(300),
            orphan: Duration::from_secs(600),
            grace: Duration::from_secs(25),
        }
    }

    /// The same settings for a worker of this name.
    #[must_use]
    pub fn named(&self, worker: impl Into<String>) -> Self {
        Self { worker: Some(worker.into()), ..self.clone() }
    }

    /// The document as JSON.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|error| {
            Error::new(ErrorKind::Unexpected, format!("cannot encode a launch document: {error}"))
        })
    }

    /// Reads a document.
    ///
    /// # Errors
    /// `VersionMismatch` when it is of another form or protocol, `InvalidInput` when it is no document.
    pub fn from_json(text: &str) -> Result<Self> {
        let malformed = |error: serde_json::Error| {
            Error::new(ErrorKind::InvalidInput, format!("the launch document cannot be read: {error}"))
                .with_hint("it is the JSON text that the client's backend has written, unchanged")
        };
        let document: serde_json::Value = serde_json::from_str(text).map_err(malformed)?;
        let same_version = "client and workers must be of one version of lithops";
        let (form, writer) = (&document["form"], &document["lithops"]);
        if *form != FORM {
            let problem = format!(
                "the launch document has form {form}, written by lithops {writer}, and this worker, lithops {}, reads \
                 form {FORM}",
                env!("CARGO_PKG_VERSION")
            );
            return Err(Error::new(ErrorKind::VersionMismatch, problem).with_hint(same_version));
        }
        let launch: Self = serde_json::from_value(document).map_err(malformed)?;
        let ((from, to), (own_from, own_to)) = (launch.protocol, PROTOCOL);
        if from > own_to || to < own_from {
            let problem = format!(
                "the client, lithops {}, speaks protocol {from} to {to}, and this worker {own_from} to {own_to}",
                launch.lithops
            );
            return Err(Error::new(ErrorKind::VersionMismatch, problem).with_hint(same_version));
        }
        Ok(launch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::SignKey;

    fn launch() -> Launch {
        let verify = SignKey::generate().expect("a key").verify_key();
        Launch::new("fleet", verify, Locator::new("aws_s3", "bucket"))
    }

    #[test]
    fn a_document_is_read_as_it_was_written() {
        let launch = launch().named("i-0123");
        let text = launch.to_json().expect("text");
        assert!(text.starts_with("{\"form\":1,"), "{text}");
        assert_eq!(Launch::from_json(&text).expect("the document"), launch);
    }

    #[test]
    fn documents_of_other_versions_and_other_texts_are_refused_in_words() {
        let text = launch().to_json().expect("text");
        let told = |text: &str| Launch::from_json(text).expect_err("refused");
        let newer = told(&text.replace("\"form\":1", "\"form\":2"));
        assert_eq!(newer.kind(), ErrorKind::VersionMismatch);
        assert!(newer.to_string().contains("has form 2, written by lithops"), "{newer}");
        let (from, to) = PROTOCOL;
        let other = told(&text.replace(&format!("\"protocol\":[{from},{to}]"), "\"protocol\":[900,901]"));
        assert!(other.to_string().contains("speaks protocol 900 to 901"), "{other}");
        for text in ["", "{", "null", "[]", &text.replace("\"fleet\"", "\"flet\"")] {
            assert!(
                matches!(told(text).kind(), ErrorKind::InvalidInput | ErrorKind::VersionMismatch),
                "{text}"
            );
        }
    }
}
