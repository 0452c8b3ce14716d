//! The least permissions of the client and of the function, as policies of IAM.

use serde_json::{Value, json};

use crate::{config::AwsLambdaConfig, deploy::family};

/// The permissions of a user who deploys and invokes functions.
#[must_use]
pub fn client_policy(config: &AwsLambdaConfig, region: &str, account: &str, bucket: Option<&str>) -> Value {
    let functions = format!("arn:aws:lambda:{region}:{account}:function:{}*", family(config));
    let role = config.execution_role.clone().unwrap_or_else(|| format!("arn:aws:iam::{account}:role/NAME"));
    let mut statements = vec![
        json!({
            "Sid": "Functions",
            "Effect": "Allow",
            "Action": [
                "lambda:CreateFunction",
                "lambda:DeleteFunction",
                "lambda:GetFunctionConfiguration",
                "lambda:InvokeFunction",
                "lambda:TagResource"
            ],
            "Resource": functions
        }),
        json!({
            "Sid": "Account",
            "Effect": "Allow",
            "Action": ["lambda:ListFunctions", "lambda:GetAccountSettings"],
            "Resource": "*"
        }),
        json!({
            "Sid": "Role",
            "Effect": "Allow",
            "Action": "iam:PassRole",
            "Resource": role,
            "Condition": {"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}}
        }),
    ];
    statements.extend(bucket.map(storage).into_iter().flatten());
    json!({"Version": "2012-10-17", "Statement": statements})
}

/// The permissions of the role of the functions.
#[must_use]
pub fn role_policy(config: &AwsLambdaConfig, region: &str, account: &str, bucket: Option<&str>) -> Value {
    let mut statements = vec![json!({
        "Sid": "Logs",
        "Effect": "Allow",
        "Action": ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"],
        "Resource": format!("arn:aws:logs:{region}:{account}:*")
    })];
    if config.vpc.is_some() {
        statements.push(json!({
            "Sid": "Network",
            "Effect": "Allow",
            "Action": [
                "ec2:CreateNetworkInterface",
                "ec2:DeleteNetworkInterface",
                "ec2:DescribeNetworkInterfaces",
                "ec2:DescribeSubnets",
                "ec2:AssignPrivateIpAddresses",
                "ec2:UnassignPrivateIpAddresses"
            ],
            "Resource": "*"
        }));
    }
    let mounted: Vec<_> = config.efs.iter().map(|(access_point, _)| access_point).collect();
    if !mounted.is_empty() {
        statements.push(json!({
            "Sid": "Files",
            "Effect": "Allow",
            "Action": ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"],
            "Resource": "*",
            "Condition": {"StringEquals": {"elasticfilesystem:AccessPointArn": mounted}}
        }));
    }
    statements.extend(bucket.map(storage).into_iter().flatten());
    json!({"Version": "2012-10-17", "Statement": statements})
}

/// The permissions for the data of jobs in the bucket.
fn storage(bucket: &str) -> Vec<Value> {
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
