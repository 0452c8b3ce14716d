//! Credentials and policies, on a service that looks at them.

use std::process::Command;

use crate::e2e::{
    peers::{BUCKET, SECRET, Server, ministack_python},
    program::Programs,
};

/// What an account is made ready with, as its root: `ready` makes the bucket and the role, `role` lets the role do what
/// a policy says, and `user` makes a user who may do that and nothing else, and prints the user's access key.
const ROOT: &str = r#"
import sys, json
import botocore.session
endpoint, what, policy, name = sys.argv[1:5]
def client(service):
    return botocore.session.get_session().create_client(service, region_name='us-east-1', endpoint_url=endpoint,
        aws_access_key_id='test', aws_secret_access_key='test')
iam = client('iam')
if what == 'ready':
    client('s3').create_bucket(Bucket=name)
    trust = {'Version': '2012-10-17', 'Statement': [{'Effect': 'Allow', 'Action': 'sts:AssumeRole',
        'Principal': {'Service': 'lambda.amazonaws.com'}}]}
    iam.create_role(RoleName='lithops', AssumeRolePolicyDocument=json.dumps(trust))
elif what == 'role':
    iam.put_role_policy(RoleName='lithops', PolicyName='least', PolicyDocument=policy)
else:
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName='least', PolicyDocument=policy)
    key = iam.create_access_key(UserName=name)['AccessKey']
    print(key['AccessKeyId'], key['SecretAccessKey'])
"#;

/// ministack does not find the function's name in the body of `CreateFunction`, and takes it for one of all.
const CREATES: &str = r#"{"Effect":"Allow","Action":"lambda:CreateFunction","Resource":"*"}"#;

/// A user with the policy that the doctor prints can run jobs; with less, or with wrong credentials, it is said why not.
pub(super) fn are_enough(programs: &Programs, server: &Server) -> Result<(), String> {
    let root = super::programs::config(server, "");
    programs.write("root.yaml", root.as_bytes())?;
    as_root(server, "ready", "", BUCKET)?;
    let checks = programs.lithops(&["doctor", "--json", "--config", "root.yaml"])?.json()?;
    let policy = |of: &str| {
        let findings = checks.as_array().into_iter().flatten().filter_map(|check| check["finding"].as_str());
        findings
            .filter(|finding| finding.starts_with(of))
            .find_map(|finding| Some(finding.split_once("policy: ")?.1.to_owned()))
            .ok_or(format!("the doctor prints no policy for {of}"))
    };
    as_root(server, "role", &policy("the role of the functions")?, "")?;
    let policy =
        policy("whoever runs jobs")?.replacen("\"Statement\":[", &format!("\"Statement\":[{CREATES},"), 1);
    let as_user = |name: &str, policy: &str| -> Result<String, String> {
        let keys = as_root(server, "user", policy, name)?;
        let (id, secret) = keys.trim().split_once(' ').ok_or("no access key was made")?;
        let yaml = root.replacen("access_key_id: test", &format!("access_key_id: {id}"), 1);
        Ok(yaml.replacen("secret_access_key: test", &format!("secret_access_key: {secret}"), 1))
    };
    let granularity = |yaml: &str| {
        programs.write("user.yaml", yaml.as_bytes())?;
        programs.example_with("granularity", &[], "user.yaml")
    };
    let enough = as_user("enough", &policy)?;
    granularity(&enough)?.ends_with(0)?;
    let less = as_user("less", &policy.replace("lambda:InvokeFunction", "lambda:GetFunction"))?;
    let said = granularity(&less)?;
    said.ends_with(1)?.wants("what is not allowed", said.stderr.contains("lambda:InvokeFunction"))?;
    let said =
        granularity(&enough.replacen("secret_access_key: ", &format!("secret_access_key: {SECRET}"), 1))?;
    said.ends_with(1)?.wants("wrong credentials", said.stderr.contains("credentials are wrong"))?;
    said.wants("no secret", !said.stderr.contains(SECRET))?;
    Ok(())
}

/// Runs a command of the script as the root of the account.
pub(super) fn as_root(server: &Server, what: &str, policy: &str, name: &str) -> Result<String, String> {
    let endpoint = format!("http://127.0.0.1:{}", server.port);
    let mut python = Command::new(ministack_python()?);
    let done = python.args(["-c", ROOT, &endpoint, what, policy, name]).output();
    let done = done.map_err(|error| error.to_string())?;
    match done.status.success() {
        true => Ok(String::from_utf8_lossy(&done.stdout).into_owned()),
        false => Err(format!("`{what}` failed: {}", String::from_utf8_lossy(&done.stderr))),
    }
}
