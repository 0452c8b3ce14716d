//! The kinds of Knative, whose types no crate has: their objects are JSON.

use kube::{
    Api,
    core::{ApiResource, DynamicObject, GroupVersionKind},
};
use lithops_kubernetes::Cluster;

/// The group of the kinds.
pub(crate) const GROUP: &str = "serving.knative.dev";

/// Services, each of which has a URL and a Revision with pods.
pub(crate) fn services(cluster: &Cluster) -> Api<DynamicObject> {
    let resource =
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(GROUP, "v1", "Service"), "services");
    Api::namespaced_with(cluster.client.clone(), &cluster.namespace, &resource)
}
