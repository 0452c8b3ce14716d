//! The parts of policies of IAM that backends print: who may do what, for users that give their accounts no more.

use serde_json::{Value, json};

/// A policy of these statements.
#[must_use]
pub fn policy(statements: Vec<Value>) -> Value {
    json!({"Version": "2012-10-17", "Statement": statements})
}

/// A statement that allows actions on resources.
#[must_use]
pub fn allow(name: &str, actions: &[&str], resources: impl Into<Value>) -> Value {
    json!({"Sid": name, "Effect": "Allow", "Action": actions, "Resource": resources.into()})
}

/// A statement that allows to give a role to a service.
#[must_use]
pub fn pass_role(role: &str, service: &str) -> Value {
    json!({
        "Sid": "Role",
        "Effect": "Allow",
        "Action": "iam:PassRole",
        "Resource": role,
        "Condition": {"StringEquals": {"iam:PassedToService": service}}
    })
}

/// The statements for the data of jobs in a bucket.
#[must_use]
pub fn bucket_access(bucket: &str) -> Vec<Value> {
    vec![
        json!({
            "Sid": "Bucket",
            "Effect": "Allow",
            "Action": "s3:ListBucket",
            "Resource": format!("arn:aws:s3:::{bucket}")
        }),
        json!({
            "Sid": "Objects",
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"],
            "Resource": format!("arn:aws:s3:::{bucket}/*")
        }),
    ]
}
