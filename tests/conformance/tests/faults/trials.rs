//! The trials: each with a proxy of its own between the storage and its server.

use std::{future::Future, net::SocketAddr, time::Duration};

use futures_util::{StreamExt, stream};
use libtest_mimic::{Failed, Trial};
use lithops_core::{
    bytes::Bytes,
    config::{Config, Origin, Value},
    error::ErrorKind,
    storage::{PutMode, Storage, StorageClient},
};
use lithops_fault_proxy::{Fault, FaultProxy, Rule};

/// The trials of a storage that has an endpoint; none for others.
pub(crate) fn faults(config: &Config) -> Vec<Trial> {
    let scheme = config.storage().to_owned();
    let endpoint = config.section(&scheme).string("endpoint").expect("an address").map(str::to_owned);
    let Some(server) = endpoint.and_then(|endpoint| endpoint.strip_prefix("http://")?.parse().ok()) else {
        return Vec::new();
    };
    let all = [
        trial("a_store_that_is_busy_for_five_seconds_is_waited_for", config, server, busy),
        trial("answers_that_are_cut_short_are_asked_for_again", config, server, cut_short),
        trial("connections_that_are_reset_lose_nothing", config, server, resets),
        trial("a_put_if_absent_whose_answer_was_lost_is_known_to_be_ones_own", config, server, lost_answer),
        trial("an_upload_that_fails_half_way_is_not_visible", config, server, half_way),
        trial("a_small_stream_is_one_request", config, server, small_stream),
        trial("many_ranges_beyond_the_end_do_not_wait_for_one_another", config, server, beyond),
        trial("another_region_is_said", config, server, another_region),
        trial("no_more_requests_than_agreed_are_made_at_once", config, server, at_once),
    ];
    all.into()
}

/// The storage behind the proxy, and the bucket.
struct Behind {
    proxy: FaultProxy,
    client: StorageClient,
    bucket: String,
}

impl Behind {
    fn storage(&self) -> &dyn Storage {
        &**self.client.storage()
    }
}

fn trial<F>(name: &str, config: &Config, server: SocketAddr, play: fn(Behind) -> F) -> Trial
where
    F: Future<Output = ()> + Send + 'static,
{
    let (mut config, scheme) = (config.clone(), config.storage().to_owned());
    Trial::test(format!("{scheme}::{name}"), move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build()?;
        runtime.block_on(async move {
            let proxy = FaultProxy::start(server).await?;
            config.set(&scheme, "endpoint", Value::from(proxy.endpoint()), Origin::Builder("endpoint"));
            let (client, locator) =
                StorageClient::open(&config).map_err(|error| Failed::from(format!("{error:?}")))?;
            play(Behind { proxy, client, bucket: locator.bucket }).await;
            Ok(())
        })
    })
}

async fn busy(behind: Behind) {
    let (storage, bucket) = (behind.storage(), &behind.bucket);
    behind.proxy.add(Rule::new(Fault::Status(503)).lasting(Duration::from_secs(5)));
    storage.put(bucket, "faults/busy", "x".into(), PutMode::Overwrite).await.expect("put");
    assert!(behind.proxy.counts().faults > 1, "it was asked more than once: {:?}", behind.proxy.counts());
    behind.proxy.add(Rule::new(Fault::Status(429)).every(2));
    for _ in 0..5 {
        assert_eq!(*storage.get(bucket, "faults/busy").await.expect("get"), *b"x");
    }
    storage.delete(bucket, "faults/busy").await.expect("delete");
}

async fn cut_short(behind: Behind) {
    let (storage, bucket) = (behind.storage(), &behind.bucket);
    let content = Bytes::from((0..1_000_000u32).map(|number| (number % 241) as u8).collect::<Vec<_>>());
    storage.put(bucket, "faults/cut", content.clone(), PutMode::Overwrite).await.expect("put");
    behind.proxy.add(Rule::new(Fault::Truncate(1000)).method("GET").times(3));
    assert!(storage.get(bucket, "faults/cut").await.expect("get") == content, "the whole object");
    assert_eq!(behind.proxy.counts().faults, 3);
    behind.proxy.add(Rule::new(Fault::Truncate(10)).method("GET").times(2));
    let range = storage.get_range(bucket, "faults/cut", 5..500_000).await.expect("range");
    assert!(*range == content[5..500_000], "the whole range");
    storage.delete(bucket, "faults/cut").await.expect("delete");
}

async fn resets(behind: Behind) {
    let (storage, bucket) = (behind.storage(), &behind.bucket);
    behind.proxy.add(Rule::new(Fault::Reset).every(3));
    behind.proxy.add(Rule::new(Fault::ResetAfter).every(4));
    stream::iter(0..60u32)
        .for_each_concurrent(8, |number| async move {
            let key = format!("faults/reset/{number}");
            let content = Bytes::from(format!("{number}"));
            storage.put(bucket, &key, content.clone(), PutMode::IfAbsent).await.expect(&key);
            assert_eq!(storage.get(bucket, &key).await.expect(&key), content);
            storage.delete(bucket, &key).await.expect(&key);
        })
        .await;
    assert!(behind.proxy.counts().faults > 60, "{:?}", behind.proxy.counts());
}

async fn lost_answer(behind: Behind) {
    let (storage, bucket) = (behind.storage(), &behind.bucket);
    for (key, fault) in [("faults/lost/1", Fault::StatusAfter(500)), ("faults/lost/2", Fault::ResetAfter)] {
        storage.delete(bucket, key).await.expect("delete");
        behind.proxy.add(Rule::new(fault).method("PUT").times(1));
        storage
            .put(bucket, key, "mine".into(), PutMode::IfAbsent)
            .await
            .expect("it was put by the first try");
        // Now it is there, and nobody can put it again.
        let again = storage.put(bucket, key, "mine".into(), PutMode::IfAbsent).await.expect_err("it exists");
        assert_eq!(again.kind(), ErrorKind::AlreadyExists);
        // Whoever finds another's object after a try that failed has not put it.
        behind.proxy.add(Rule::new(Fault::Status(500)).method("PUT").times(1));
        let other = storage.put(bucket, key, "other".into(), PutMode::IfAbsent).await.expect_err("it exists");
        assert_eq!(other.kind(), ErrorKind::AlreadyExists);
        storage.delete(bucket, key).await.expect("delete");
    }
}

async fn half_way(behind: Behind) {
    let (storage, bucket) = (behind.storage(), &behind.bucket);
    storage.put(bucket, "faults/half", "before".into(), PutMode::Overwrite).await.expect("put");
    behind.proxy.add(Rule::new(Fault::Status(403)).method("PUT").path_contains("partNumber=3"));
    let pieces = (0..40).map(|_| Ok(Bytes::from(vec![7; 1 << 20]))).collect::<Vec<_>>();
    let put = storage.put_stream(bucket, "faults/half", stream::iter(pieces).boxed()).await;
    assert_eq!(put.expect_err("a part is refused").kind(), ErrorKind::PermissionDenied);
    assert_eq!(*storage.get(bucket, "faults/half").await.expect("get"), *b"before");
    storage.delete(bucket, "faults/half").await.expect("delete");
}

async fn small_stream(behind: Behind) {
    let (storage, bucket) = (behind.storage(), &behind.bucket);
    let pieces = ["a", "b"].map(|piece| Ok(Bytes::from(piece.to_owned())));
    storage.put_stream(bucket, "faults/small", stream::iter(pieces).boxed()).await.expect("put");
    assert_eq!(behind.proxy.counts().total(), 1, "{:?}", behind.proxy.counts());
    assert_eq!(*storage.get(bucket, "faults/small").await.expect("get"), *b"ab");
    storage.delete(bucket, "faults/small").await.expect("delete");
}

async fn beyond(behind: Behind) {
    let (storage, bucket) = (behind.storage(), &behind.bucket);
    storage.put(bucket, "faults/beyond", "0123456789".into(), PutMode::Overwrite).await.expect("put");
    let asked = stream::iter(0..1000).for_each_concurrent(None, |_| async {
        let error =
            storage.get_range(bucket, "faults/beyond", 20..30).await.expect_err("it ends before that");
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error:?}");
    });
    tokio::time::timeout(Duration::from_secs(60), asked).await.expect("they end");
    storage.delete(bucket, "faults/beyond").await.expect("delete");
}

async fn another_region(behind: Behind) {
    // What S3 answers for a bucket that lies elsewhere.
    behind.proxy.add(Rule::new(Fault::Status(301)));
    let error = behind.storage().get(&behind.bucket, "faults/region").await.expect_err("it is elsewhere");
    assert_eq!(error.kind(), ErrorKind::ConfigInvalid, "{error:?}");
    assert!(error.to_string().contains("set `region` to that of the bucket"), "{error}");
    assert_eq!(behind.proxy.counts().total(), 1, "and it is not asked again");
}

async fn at_once(behind: Behind) {
    let (storage, bucket) = (behind.storage(), &behind.bucket);
    storage.put(bucket, "faults/one", "x".into(), PutMode::Overwrite).await.expect("put");
    behind.proxy.add(Rule::new(Fault::Delay(Duration::from_millis(100))));
    stream::iter(0..1000)
        .for_each_concurrent(None, |_| async {
            storage.get(bucket, "faults/one").await.expect("get");
        })
        .await;
    let most = behind.proxy.counts().most;
    assert!((100..=256).contains(&most), "{most} at once");
    storage.delete(bucket, "faults/one").await.expect("delete");
}
