//! The configuration of Python Lithops 3.8.0: each key of the sections that have a counterpart here, in the form that
//! it takes there, with what becomes of it here. No value that works there is an error here, unless what it asks for
//! cannot be had.

use lithops::{
    check_config,
    config::{Config, Environment, FindingSeverity, Sources},
};

lithops::test_worker!();

/// What becomes of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// It is read.
    Read,
    /// It has no effect, and a note says why.
    Noted,
    /// It is an error that says what to write instead.
    Refused,
}
use Verdict::{Noted, Read, Refused};

/// A key, a value in YAML, and what becomes of them.
type Key = (&'static str, &'static str, Verdict);

const LITHOPS: &[Key] = &[
    ("mode", "localhost", Noted),
    ("monitoring", "storage", Noted),
    ("monitoring", "rabbitmq", Noted),
    ("monitoring_interval", "2", Noted),
    ("telemetry", "false", Noted),
    ("telemetry_interval", "10", Noted),
    ("execution_timeout", "1800", Read),
    ("chunksize", "8", Read),
    ("data_cleaner", "true", Noted),
    ("data_limit", "4", Noted),
    ("data_limit", "false", Noted),
    ("include_modules", "[mymodule]", Noted),
    ("exclude_modules", "null", Noted),
    ("customized_runtime", "false", Noted),
    ("retries", "0", Noted),
    ("log_level", "INFO", Noted),
    ("log_format", "\"%(asctime)s [%(levelname)s] %(message)s\"", Noted),
    ("log_stream", "ext://sys.stdout", Noted),
    ("log_filename", "/tmp/lithops.log", Noted),
    // Python Lithops 3.8.0 takes it here for backward compatibility; two places for one number are an error here.
    ("worker_processes", "4", Refused),
];

const LOCALHOST: &[Key] = &[
    ("runtime", "python3", Noted),
    ("runtime", "python3.12", Noted),
    ("runtime", "/usr/bin/python3", Noted),
    ("runtime", "lithopscloud/ibmcf-python-v312:2025", Noted),
    ("runtime", "/no/such/lithops-worker", Refused),
    ("worker_processes", "4", Read),
    ("max_workers", "1", Read),
    ("runtime_memory", "null", Noted),
    ("runtime_memory", "2048", Noted),
    ("runtime_timeout", "600", Noted),
    ("use_gpu", "true", Noted),
    ("pull_runtime", "true", Noted),
    ("version", "1", Noted),
];

const AWS_LAMBDA: &[Key] = &[
    ("execution_role", "arn:aws:iam::123456789012:role/lithops", Read),
    ("region", "eu-west-1", Read),
    ("region_name", "eu-west-1", Read),
    ("access_key_id", "AKIAEXAMPLE, secret_access_key: \"0\"", Read),
    ("session_token", "token", Read),
    ("account_id", "123456789012", Noted),
    ("namespace", "mine", Read),
    ("runtime", "default-v312", Read),
    ("runtime", "python3.12", Noted),
    ("runtime", "lithops_v3/python:3.12", Noted),
    ("runtime_timeout", "180", Read),
    ("runtime_memory", "256", Read),
    ("max_workers", "1000", Read),
    ("worker_processes", "1", Read),
    ("invoke_pool_threads", "64", Noted),
    ("remote_invoker", "false", Noted),
    ("architecture", "x86_64", Read),
    ("ephemeral_storage", "512", Read),
    ("env_vars", "[{name: A, value: b}, {name: N, value: 3}]", Read),
    ("env_vars", "[]", Read),
    ("env_vars", "[{name: A}]", Refused),
    ("user_tags", "{team: data}", Read),
    ("vpc", "{subnets: [subnet-1], security_groups: [sg-1]}", Read),
    ("vpc", "{subnets: [], security_groups: []}", Read),
    (
        "efs",
        "[{access_point: 'arn:aws:elasticfilesystem:eu-west-1:1:access-point/a', mount_path: /mnt/a}]",
        Read,
    ),
    ("efs", "[]", Read),
];

const AWS_S3: &[Key] = &[
    ("region", "eu-west-1", Read),
    ("region_name", "eu-west-1", Read),
    ("endpoint", "https://s3.eu-west-1.amazonaws.com", Read),
    ("access_key_id", "AKIAEXAMPLE, secret_access_key: \"0\"", Read),
    ("session_token", "token", Read),
];

const MINIO: &[Key] = &[
    ("access_key_id", "a, secret_access_key: b", Read),
    ("session_token", "token", Read),
    ("private_endpoint", "http://10.0.0.1:9000", Noted),
];

const CEPH: &[Key] = &[
    ("access_key_id", "a, secret_access_key: b", Read),
    ("session_token", "token", Read),
    ("region", "default", Read),
    ("private_endpoint", "http://10.0.0.1:9000", Noted),
];

/// The section is handed on to the Python client of Redis, whose settings of the connection are among its keys.
const GCP_STORAGE: &[Key] = &[
    ("storage_bucket", "my-bucket", Read),
    ("region", "us-east1", Read),
    ("region", "US East", Refused),
    ("endpoint", "http://127.0.0.1:4443", Read),
    ("credentials_path", "/none/key.json", Refused),
];

/// The keys that both services of Google have.
const GCP: &[Key] = &[
    ("region", "us-east1", Read),
    ("region", "US East", Refused),
    ("project", "my-project", Read),
    ("credentials_path", "/none/key.json", Refused),
];

const GCP_CLOUDRUN: &[Key] = &[
    ("region", "us-east1", Read),
    ("region", "US East", Refused),
    ("credentials_path", "/none/key.json", Refused),
    ("min_workers", "0", Read),
    ("max_workers", "1000", Read),
    ("worker_processes", "1", Read),
    ("runtime", "us-east1-docker.pkg.dev/my-project/lithops/worker:1", Read),
    ("runtime", "lithops-cloudrun-v312", Noted),
    ("runtime", "gcr.io/my-project/lithops-python:3.12", Noted),
    ("runtime_cpu", "2", Read),
    // The default of Python Lithops, and less than a vCPU is sold without HTTP/2 to the instance.
    ("runtime_cpu", "0.25", Refused),
    ("runtime_cpu", "4, runtime_memory: 4096", Read),
    ("runtime_memory", "512", Read),
    // The default of Python Lithops, which Cloud Run does not sell with a whole vCPU.
    ("runtime_memory", "256", Refused),
    ("runtime_timeout", "300", Read),
    ("trigger", "https", Read),
    ("trigger", "pub/sub", Refused),
    ("invoke_pool_threads", "100", Noted),
    ("docker_server", "us-east1-docker.pkg.dev", Read),
    ("docker_user", "me, docker_password: secret", Read),
    ("artifact_registry_repository", "lithops", Read),
    ("runtime_include_function", "false", Noted),
];

const REDIS: &[Key] = &[
    ("port", "6379", Read),
    ("db", "0", Read),
    ("username", "default", Read),
    ("password", "secret", Read),
    ("ssl", "false", Read),
    ("ssl", "true", Refused),
    ("ssl_cert_reqs", "none", Noted),
    ("ssl_ca_certs", "/etc/ssl/ca.pem", Noted),
    ("socket_timeout", "5", Noted),
    ("socket_connect_timeout", "5", Noted),
    ("socket_keepalive", "true", Noted),
    ("retry_on_timeout", "true", Noted),
    ("health_check_interval", "30", Noted),
    ("max_connections", "10", Noted),
    ("client_name", "me", Noted),
    ("encoding", "utf-8", Noted),
    ("decode_responses", "false", Noted),
];

/// The rest of each section, so that it is complete.
const SECTIONS: &[(&str, &[Key], &str)] = &[
    ("lithops", LITHOPS, ""),
    ("localhost", LOCALHOST, ""),
    ("aws_lambda", AWS_LAMBDA, "region: us-east-1"),
    ("aws_s3", AWS_S3, "storage_bucket: my-bucket, region: us-east-1"),
    ("minio", MINIO, "storage_bucket: my-bucket, endpoint: 'http://127.0.0.1:9000'"),
    ("ceph", CEPH, "storage_bucket: my-bucket, endpoint: 'http://127.0.0.1:7480'"),
    ("gcp_storage", GCP_STORAGE, "storage_bucket: my-bucket"),
    ("gcp", GCP, "region: us-east1"),
    ("gcp_cloudrun", GCP_CLOUDRUN, "region: us-east1, endpoint: 'http://127.0.0.1:1'"),
    ("redis", REDIS, "storage_bucket: my-bucket, host: 127.0.0.1"),
];

fn config(yaml: &str) -> Config {
    Config::load(&Sources { yaml: Some(yaml.to_owned()), file: None }, &Environment::new(".")).expect("YAML")
}

#[test]
fn every_key_is_read_or_noted_with_the_reason() {
    for (section, keys, rest) in SECTIONS {
        for (key, value, expected) in *keys {
            let rest: Vec<_> =
                rest.split(", ").filter(|pair| !pair.starts_with(&format!("{key}:"))).collect();
            let pair = format!("{key}: {value}");
            let own = std::iter::once(pair.as_str()).chain(rest.into_iter().filter(|pair| !pair.is_empty()));
            let own = format!("{section}: {{{}}}", own.collect::<Vec<_>>().join(", "));
            let storage = "aws_s3: {storage_bucket: my-bucket, region: us-east-1}";
            let yaml = match *section {
                "lithops" => own,
                "aws_lambda" => {
                    format!("lithops: {{backend: aws_lambda, storage: aws_s3}}\n{own}\n{storage}")
                }
                "localhost" => own,
                "gcp_cloudrun" => {
                    let storage = "gcp_storage: {storage_bucket: my-bucket, endpoint: 'http://127.0.0.1:1'}";
                    format!("lithops: {{backend: gcp_cloudrun, storage: gcp_storage}}\n{own}\n{storage}")
                }
                "gcp" => format!(
                    "lithops: {{storage: gcp_storage}}\n{own}\ngcp_storage: {{storage_bucket: my-bucket}}"
                ),
                storage => format!("lithops: {{storage: {storage}}}\n{own}"),
            };
            let found = check_config(&config(&yaml));
            let errors = found.iter().filter(|finding| finding.severity == FindingSeverity::Error).count();
            let notes = found.iter().filter(|finding| finding.message.contains(&format!("`{key}`"))).count();
            let verdict = match (errors, notes) {
                (0, 0) => Read,
                (0, _) => Noted,
                _ => Refused,
            };
            assert_eq!(verdict, *expected, "{section}.{key}: {value}: {found:?}");
            for finding in &found {
                assert!(finding.hint.is_some(), "{section}.{key} says what to do, or why: {finding:?}");
            }
        }
    }
}

#[test]
fn all_that_is_wrong_is_said_at_once_with_its_line() {
    let yaml = "lithops:\n  backend: aws_lambda\n  storage: aws_s3\n  chunksize: many\n  execution_timeout: never\n\
                aws_lambda:\n  region: eu-west-1\n  runtime_memory: 1\n  ephemeral_storage: 3\n  \
                execution_role: admin\n  env_vars: [A]\n  architecture: mips\naws_s3:\n  region: eu-west-1\n  storage_bucket: a/b\n";
    let found = check_config(&config(yaml));
    for key in [
        "chunksize",
        "execution_timeout",
        "runtime_memory",
        "ephemeral_storage",
        "execution_role",
        "env_vars",
        "architecture",
    ] {
        let about: Vec<_> = found.iter().filter(|finding| finding.message.contains(key)).collect();
        let [finding] = about.as_slice() else { panic!("{key}: {found:#?}") };
        assert!(finding.origin.to_string().contains("line "), "{finding:?}");
    }
    assert!(found.iter().any(|finding| finding.message.contains("a/b")), "{found:#?}");
}

#[test]
fn the_rest_is_checked_where_the_backend_does_not_exist() {
    let found = check_config(&config("lithops: {backend: k8s, chunksiz: 3}\nlocalhos: {}\n"));
    for words in ["has no backend `k8s`", "`chunksiz`", "`localhos`"] {
        assert!(found.iter().any(|finding| finding.message.contains(words)), "{words}: {found:#?}");
    }
}

#[tokio::test]
async fn what_the_check_accepts_builds() {
    for yaml in ["localhost: {runtime: python3}", "localhost: {runtime: 'python:3.12', use_gpu: false}"] {
        let built = lithops::FunctionExecutor::builder().config_yaml(yaml).build().await;
        assert!(built.is_ok(), "{yaml}: {:?}", built.err());
    }
    let found = check_config(&config("localhost: {runtime: /no/such/program, worker_processes: 1000000}"));
    assert_eq!(found.len(), 2, "{found:#?}");
}
