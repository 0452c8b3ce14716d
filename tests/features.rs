//! What a feature adds is there, and what no feature has added is not, with any set of features.

use std::collections::BTreeSet;

use lithops::{Registry, config::Config};

fn chosen(all: &[(&'static str, bool)]) -> BTreeSet<&'static str> {
    all.iter().filter(|(_, is_chosen)| *is_chosen).map(|(name, _)| *name).collect()
}

#[test]
fn every_backend_of_a_feature_is_registered_and_no_other() {
    let registry = Registry::builtin().expect("no two claim one scheme");
    let registered: BTreeSet<_> = registry.iter().map(|backend| backend.scheme).collect();
    let backends = [
        ("aws_ec2", cfg!(feature = "aws_ec2")),
        ("aws_lambda", cfg!(feature = "aws_lambda")),
        ("gcp_cloudrun", cfg!(feature = "gcp_cloudrun")),
        ("k8s", cfg!(feature = "k8s")),
        ("knative", cfg!(feature = "knative")),
        ("localhost", cfg!(feature = "localhost")),
    ];
    assert_eq!(registered, chosen(&backends));
    for backend in registry.iter() {
        backend.capabilities(&Config::default()).expect("its defaults fit together");
        assert_eq!(backend.source().to_string(), "built in");
    }
    for (name, is_chosen) in backends {
        let found = registry.find(name);
        let hint = format!("enable feature `{name}` of `lithops`");
        assert_eq!(found.is_ok(), is_chosen);
        assert!(is_chosen || found.expect_err("it is not there").to_string().contains(&hint));
    }
}

#[test]
fn every_storage_of_a_feature_is_registered_and_no_other() {
    let storages = [
        ("aws_s3", cfg!(feature = "aws_s3") || cfg!(feature = "minio") || cfg!(feature = "ceph")),
        ("ceph", cfg!(feature = "aws_s3") || cfg!(feature = "minio") || cfg!(feature = "ceph")),
        ("gcp_storage", cfg!(feature = "gcp_storage") || cfg!(feature = "gcp_cloudrun")),
        ("localhost", true),
        ("memory", true),
        ("minio", cfg!(feature = "aws_s3") || cfg!(feature = "minio") || cfg!(feature = "ceph")),
        ("redis", cfg!(feature = "redis")),
    ];
    let registered = lithops::storages().expect("no two claim one scheme");
    let registered: BTreeSet<_> = registered.iter().map(|storage| storage.scheme).collect();
    assert_eq!(registered, chosen(&storages));
}

#[test]
fn a_plugin_that_is_named_needs_the_feature() {
    let error = Registry::load("no/such/plugin.so".as_ref()).expect_err("it is not there");
    let words = if cfg!(feature = "plugins") { "cannot be found" } else { "enable feature `plugins`" };
    assert!(error.to_string().contains(words), "{error}");
}
