//! A configuration that was only found in the working directory: what it may set, of everything that there is.

use std::{collections::BTreeSet, fs};

use lithops::{
    Registry,
    config::{Config, Environment, Sources, keys},
};

/// What a file may set that the user has not named: nothing that runs code, costs money, or says where data go.
const HARMLESS: &[(&str, &str)] = &[
    ("aws_ec2", "max_workers"),
    ("aws_ec2", "worker_processes"),
    ("aws_lambda", "architecture"),
    ("aws_lambda", "ephemeral_storage"),
    ("aws_lambda", "invoke_pool_threads"),
    ("aws_lambda", "max_workers"),
    ("aws_lambda", "remote_invoker"),
    ("aws_lambda", "response_streaming"),
    ("aws_lambda", "runtime_memory"),
    ("aws_lambda", "runtime_timeout"),
    ("aws_lambda", "worker_processes"),
    ("lithops", "backend"),
    ("lithops", "chunksize"),
    ("lithops", "data_cleaner"),
    ("lithops", "data_limit"),
    ("lithops", "execution_timeout"),
    ("lithops", "history"),
    ("lithops", "log_format"),
    ("lithops", "log_level"),
    ("lithops", "mode"),
    ("lithops", "monitoring"),
    ("lithops", "monitoring_interval"),
    ("lithops", "objective"),
    ("lithops", "retries"),
    ("lithops", "storage"),
    ("lithops", "telemetry_interval"),
    ("localhost", "dispatch"),
    ("localhost", "lease"),
    ("localhost", "max_workers"),
    ("localhost", "pull_runtime"),
    ("localhost", "runtime_cpu"),
    ("localhost", "runtime_memory"),
    ("localhost", "runtime_timeout"),
    ("localhost", "use_gpu"),
    ("localhost", "version"),
    ("localhost", "worker_processes"),
];

#[test]
fn every_key_that_is_not_on_the_list_is_refused() {
    let registry = Registry::builtin().expect("backends of different names");
    let mut all: BTreeSet<(&str, &str)> = keys::LITHOPS.iter().map(|key| ("lithops", key.name)).collect();
    for backend in registry.iter() {
        all.extend(backend.section_keys().iter().map(|key| (backend.scheme, key.name)));
    }
    for storage in lithops::storages().expect("storages of different names") {
        all.extend(storage.keys.iter().map(|key| (storage.scheme, key.name)));
    }
    // What several sections share, and what only other programs read.
    all.extend(["access_key_id", "secret_access_key", "session_token", "region"].map(|key| ("aws", key)));
    all.extend([("k8s", "kubecfg_path"), ("ibm_cos", "private_endpoint")]);
    assert!(all.len() > 40, "{all:?}");

    let folder = tempfile::tempdir().expect("a folder");
    for (section, key) in all {
        let value = if key == "backend" || key == "storage" { "localhost" } else { "1" };
        fs::write(folder.path().join(".lithops_config"), format!("{section}:\n  {key}: {value}\n"))
            .expect("written");
        let environment = Environment::new(folder.path());
        let found = Config::load(&Sources::default(), &environment);
        if HARMLESS.contains(&(section, key)) {
            found.unwrap_or_else(|error| panic!("{section}.{key}: {error}"));
            continue;
        }
        let error = found.err().unwrap_or_else(|| panic!("{section}.{key} is accepted")).to_string();
        assert!(
            error.starts_with(&format!("`{key}` in section `{section}` at .lithops_config:2 is ")),
            "{error}"
        );
        let named = environment.with_variable("LITHOPS_CONFIG_FILE", ".lithops_config");
        Config::load(&Sources::default(), &named).unwrap_or_else(|error| panic!("{section}.{key}: {error}"));
    }
}

#[test]
fn a_typing_error_is_told_as_one() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join(".lithops_config"), "localhost:\n  worker_proceses: 2\n").expect("written");
    let config =
        Config::load(&Sources::default(), &Environment::new(folder.path())).expect("it is never read");
    let found = lithops::check_config(&config);
    let [finding] = found.as_slice() else { panic!("{found:?}") };
    assert!(finding.message.starts_with("unknown key `worker_proceses`"), "{finding:?}");
    assert_eq!(finding.hint.as_deref(), Some("did you mean `worker_processes`?"));
}
