//! The least permissions of the client and of the function, as policies of IAM.

use lithops_cloud_aws::{allow, bucket_access, pass_role, policy};
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
        allow("Account", &["lambda:ListFunctions", "lambda:GetAccountSettings"], "*"),
        pass_role(&role, "lambda.amazonaws.com"),
    ];
    statements.extend(bucket.map(bucket_access).into_iter().flatten());
    policy(statements)
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
    statements.extend(bucket.map(bucket_access).into_iter().flatten());
    policy(statements)
}
