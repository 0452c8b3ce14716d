//! The kinds of Knative, whose types no crate has: their objects are JSON.

use kube::{
    Api,
    core::{ApiResource, DynamicObject, GroupVersionKind},
};
use lithops_kubernetes::Cluster;

/// The group of the kinds.
pub(crate) const GROUP: &str = "serving.knative.dev";

/// Services, each of which has a URL and Revisions.
pub(crate) fn services(cluster: &Cluster) -> Api<DynamicObject> {
    of(cluster, "Service", "services")
}

/// Revisions, each of which has pods.
pub(crate) fn revisions(cluster: &Cluster) -> Api<DynamicObject> {
    of(cluster, "Revision", "revisions")
}

fn of(cluster: &Cluster, kind: &str, plural: &str) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(GROUP, "v1", kind), plural);
    Api::namespaced_with(cluster.client.clone(), &cluster.namespace, &resource)
}
