//! Jobs for AWS Lambda: planned and priced, and refused before anything is spent. That they run is shown by the
//! conformance suite and by `cargo xtask e2e aws_lambda`.

use std::time::Duration;

use lithops::{ErrorKind, Warning, prelude::*};

lithops::test_worker!();

#[lithops::function]
fn second(x: u64) -> u64 {
    x
}

async fn executor(yaml: &str) -> FunctionExecutor {
    let yaml = format!(
        "lithops:\n  backend: aws_lambda\n  history: false\naws_lambda:\n  region: us-east-1\n{yaml}aws_s3: {{storage_bucket: my-bucket, region: us-east-1}}\n"
    );
    FunctionExecutor::builder().config_yaml(yaml).build().await.expect("an executor")
}

#[tokio::test]
async fn a_job_is_planned_and_priced_by_its_memory() {
    let fexec = executor("").await;
    let plan = |memory| {
        fexec.map(second, 0..1000).runtime_memory(memory).expected_duration(Duration::from_secs(1)).plan()
    };
    let small = plan(1769).await.expect("a plan");
    assert_eq!((small.worker_processes(), small.chunksize(), small.workers()), (1, 1, 1000));
    // 1.73 GB for a good second each, and the time of starting.
    let usd = small.cost().usd.expect("priced");
    let least = 1000.0 * (2e-7 + 1769.0 / 1024.0 * 0.000_016_666_7);
    assert!(usd > least && usd < least * 1.35, "{usd} {least}");
    let large = plan(10_240).await.expect("a plan");
    assert!(large.cost().usd > small.cost().usd);
    assert!(matches!(large.warnings(), [Warning::FewerProcessesThanCpus { .. }]), "{:?}", large.warnings());
    let refused = plan(64).await.expect_err("not sold").to_string();
    assert!(refused.contains("`runtime_memory` is 64 MB") && refused.contains("128 to 10240"), "{refused}");
}

#[tokio::test]
async fn a_job_that_is_too_dear_is_refused() {
    let fexec = executor("  runtime_memory: 1769\n").await;
    let map = || fexec.map(second, 0..1000).expected_duration(Duration::from_secs(1));
    let error = map().max_cost(0.01).await.expect_err("it costs three cents");
    assert_eq!(error.kind(), ErrorKind::TooExpensive);
    map().max_cost(1.0).plan().await.expect("it is cheap enough");
}

#[tokio::test]
async fn a_storage_that_instances_cannot_open_is_refused_at_once() {
    let refused = async |yaml: &str| {
        let yaml = format!("aws_lambda: {{region: us-east-1}}\n{yaml}");
        let error = FunctionExecutor::builder().config_yaml(yaml).build().await.expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::ConfigInvalid);
        error.to_string()
    };
    let named = refused("lithops: {backend: aws_lambda, storage: localhost}\n").await;
    assert!(named.contains("nothing that opens the storage `localhost`"), "{named}");
    assert!(named.contains("write `storage: aws_s3` in section `lithops`"), "{named}");
    // Without a name it is the one that they can open.
    let unnamed = refused("lithops: {backend: aws_lambda}\n").await;
    assert!(unnamed.contains("`storage_bucket` is missing in section `aws_s3`"), "{unnamed}");
}
