//! A warm call through a service, beside a bare invocation of an empty function through the same.

use std::{io::Write, time::Instant};

use aws_sdk_lambda::{
    Client, Config,
    config::{BehaviorVersion, Credentials, Region},
    primitives::Blob,
    types::{FunctionCode, Runtime},
};
use lithops_core::executor::FunctionExecutor;
use lithops_macros::function;
use serde_json::{Value, json};

use super::{Done, print, yaml};

const TRIPS: usize = 200;
const WARM: usize = 20;
const EMPTY: &str = "empty";

#[function(crate = "lithops_conformance")]
fn nothing(x: u64) -> u64 {
    x
}

/// Whether this process was started as the empty function.
pub(super) fn is_empty_function() -> bool {
    std::env::var_os("_HANDLER").is_some_and(|handler| handler == EMPTY)
}

/// Answers nothing, for as long as it is asked.
pub(super) async fn empty_function() -> Done {
    let handler = async |_: lambda_runtime::LambdaEvent<Value>| Ok::<_, lambda_runtime::Error>(json!({}));
    let served = lambda_runtime::run(lambda_runtime::service_fn(handler)).await;
    served.map_err(|error| error.to_string().into())
}

pub(super) async fn trip(address: &str, worker: &str) -> Done {
    let folder = tempfile::tempdir()?;
    let more = format!(", worker: '{worker}', max_workers: 1");
    let builder = FunctionExecutor::builder().config_yaml(yaml(address, folder.path(), &more));
    let fexec = builder.progress(false).build().await?;
    let client = deployed(address).await?;
    let (mut calls, mut invocations) = (Vec::new(), Vec::new());
    for trip in 0..TRIPS + WARM {
        // In turns, so that whatever else the machine does hits both.
        let begun = Instant::now();
        let answer = client.invoke().function_name(EMPTY).payload(Blob::new(b"{}".to_vec())).send().await?;
        let bare = begun.elapsed().as_secs_f64() * 1e3;
        if let Some(error) = answer.function_error() {
            return Err(format!("the empty function failed: {error}: {:?}", answer.payload()).into());
        }
        let begun = Instant::now();
        let value = fexec.call_async(nothing, trip as u64).await?.result().await?;
        let call = begun.elapsed().as_secs_f64() * 1e3;
        assert_eq!(value, trip as u64);
        if trip >= WARM {
            invocations.push(bare);
            calls.push(call);
        }
    }
    let median = |values: &[f64]| {
        let mut values = values.to_vec();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let (bare, call) = (median(&invocations), median(&calls));
    print("lambda_bare_invoke", "ms", invocations, &json!({}));
    print("lambda_call", "ms", calls, &json!({"more_than_bare": call - bare}));
    Ok(())
}

/// The client of the empty function, which is ready.
async fn deployed(address: &str) -> Result<Client, Box<dyn std::error::Error>> {
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "bench"))
        .http_client(lithops_cloud_aws::http_client()?)
        .endpoint_url(address)
        .build();
    let client = Client::from_conf(config);
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.start_file("bootstrap", zip::write::SimpleFileOptions::default().unix_permissions(0o755))?;
    zip.write_all(&std::fs::read("/proc/self/exe")?)?;
    let zip = Blob::new(zip.finish()?.into_inner());
    client
        .create_function()
        .function_name(EMPTY)
        .runtime(Runtime::from("provided.al2023"))
        .handler(EMPTY)
        .role("arn:aws:iam::000000000000:role/lithops")
        .memory_size(256)
        .code(FunctionCode::builder().zip_file(zip).build())
        .send()
        .await?;
    loop {
        let state = client.get_function_configuration().function_name(EMPTY).send().await?;
        if state.state().is_none_or(|state| state.as_str() == "Active") {
            return Ok(client);
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
