//! The storages of this project, put to the trials of the conformance suite: `memory` and `localhost`, or the one of the
//! configuration that `LITHOPS_TEST_STORAGE` names, which then also meets faults of the network.

mod faults;

use std::{path::PathBuf, process::ExitCode};

use libtest_mimic::Arguments;
use lithops_conformance::storage::trials;
use lithops_core::{
    config::{Config, Environment, Sources},
    storage::{FileStorage, MemoryStorage, StorageClient},
};
// They register themselves.
use faults::faults;
use lithops_storage_aws_s3 as _;
use lithops_storage_gcp_storage as _;
use lithops_storage_redis as _;

fn main() -> ExitCode {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().to_owned();
    let memory = std::sync::Arc::new(MemoryStorage::default());
    let mut all =
        trials("memory", move || Ok((std::sync::Arc::<MemoryStorage>::clone(&memory), "bucket".to_owned())));
    all.extend(trials("localhost", move || {
        Ok((std::sync::Arc::new(FileStorage::new(&root)?), "bucket".to_owned()))
    }));
    if let Some(file) = std::env::var_os("LITHOPS_TEST_STORAGE").map(PathBuf::from) {
        let config = Config::load(&Sources { file: Some(file), yaml: None }, &Environment::new("."));
        let config = config.expect("the configuration of the storage");
        all = faults(&config);
        all.extend(trials(config.storage().to_owned().leak(), move || {
            let (client, locator) = StorageClient::open(&config)?;
            Ok((std::sync::Arc::clone(client.storage()), locator.bucket))
        }));
    }
    let done = libtest_mimic::run(&Arguments::from_args(), all);
    drop(folder);
    done.exit_code()
}
