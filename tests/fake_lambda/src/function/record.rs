//! [`Function`]: a function as it is between two changes.

use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Package, Spec, timestamp::timestamp};
use crate::api::ApiError;

/// A function as it is between two changes; each change makes another, whose environments are others.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) arn: String,
    pub(crate) spec: Spec,
    pub(crate) package: Package,
    revision: Uuid,
    modified: SystemTime,
    /// Until when it is pending, or its update in progress.
    settles: Instant,
    pending: Duration,
    is_new: bool,
}

impl Function {
    pub(crate) fn new(name: String, arn: String, spec: Spec, package: Package, pending: Duration) -> Self {
        let (revision, modified) = (Uuid::new_v4(), SystemTime::now());
        let settles = Instant::now() + pending;
        Self { name, arn, spec, package, revision, modified, settles, pending, is_new: true }
    }

    pub(crate) fn with_package(&self, package: Package) -> Self {
        self.next(self.spec.clone(), package)
    }

    pub(crate) fn with_spec(&self, spec: Spec) -> Self {
        self.next(spec, self.package.clone())
    }

    /// Whether it can be invoked.
    ///
    /// # Errors
    /// It is pending. A function whose update is in progress can be invoked.
    pub(crate) fn active(&self) -> Result<(), ApiError> {
        if self.is_new { self.settled() } else { Ok(()) }
    }

    /// Whether it can be changed.
    ///
    /// # Errors
    /// It is pending, or an update is in progress.
    pub(crate) fn settled(&self) -> Result<(), ApiError> {
        if !self.is_settling() {
            return Ok(());
        }
        let why = if self.is_new {
            "The function is currently in the following state: Pending".to_owned()
        } else {
            format!("An update is in progress for resource: {}", self.arn)
        };
        Err(ApiError::conflict(format!("The operation cannot be performed at this time. {why}")))
    }

    /// The function as the service describes it.
    pub(crate) fn configuration(&self) -> Value {
        let mut configuration = self.spec.echoed.clone();
        let is_pending = self.is_settling() && self.is_new;
        let is_updating = self.is_settling() && !self.is_new;
        let own = json!({
            "FunctionName": self.name,
            "FunctionArn": self.arn,
            "Runtime": "provided.al2023",
            "Role": self.spec.role,
            "Handler": self.spec.handler,
            "CodeSize": self.package.size,
            "CodeSha256": self.package.sha256,
            "Timeout": self.spec.timeout,
            "MemorySize": self.spec.memory,
            "LastModified": timestamp(self.modified),
            "Version": "$LATEST",
            "TracingConfig": { "Mode": "PassThrough" },
            "RevisionId": self.revision.to_string(),
            "PackageType": "Zip",
            "State": if is_pending { "Pending" } else { "Active" },
            "LastUpdateStatus": if is_updating { "InProgress" } else { "Successful" },
        });
        if let Value::Object(own) = own {
            configuration.extend(own);
        }
        if is_pending {
            configuration.insert("StateReason".to_owned(), json!("The function is being created."));
            configuration.insert("StateReasonCode".to_owned(), json!("Creating"));
        }
        if !self.spec.variables.is_empty() {
            configuration.insert("Environment".to_owned(), json!({ "Variables": self.spec.variables }));
        }
        Value::Object(configuration)
    }

    fn is_settling(&self) -> bool {
        Instant::now() < self.settles
    }

    fn next(&self, spec: Spec, package: Package) -> Self {
        let new = Self::new(self.name.clone(), self.arn.clone(), spec, package, self.pending);
        Self { is_new: false, ..new }
    }
}
