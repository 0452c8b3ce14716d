//! The programs of Knative: how each is started, and when it is ready.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use rustix::process::Signal;

use super::manifests::{AUTOSCALER, NAMESPACE, QUEUE, apply_settings, apply_webhooks};
use crate::cluster::{
    build,
    network::{ACTIVATOR_HTTP1, CONTROLLER, REGISTRY, SERVER, server},
    parts::Parts,
    system::request,
};

/// The part that all requests go through.
pub(crate) const ACTIVATOR: &str = "activator";
const CONTROLLER_NETWORK: &str = "knative-controller";
/// The user of the image that stands in each pod: pods may not run as root.
const USER: u32 = 65_532;
/// Each program wants two ports of its own, beside those of its work.
const METRICS: u16 = 9_101;
const PROFILING: u16 = 8_101;

/// Starts Knative. `bin` is the folder of its programs, with its manifests beside it.
pub(crate) fn start_knative(parts: &Parts, bin: &Path) -> Result<(), String> {
    let files = bin.with_file_name("files");
    let link = parts.folder.join("knative");
    std::os::unix::fs::symlink(bin, &link).map_err(|error| format!("cannot make `knative`: {error}"))?;
    answer_names(parts)?;
    push_queue(parts, bin)?;
    apply_settings(parts, &files)?;
    spawn(parts, "webhook", 0, &[("WEBHOOK_NAME", "webhook"), ("WEBHOOK_PORT", "8443")], None)?;
    spawn(parts, "autoscaler", 1, &[], None)?;
    start_activator(parts)?;
    let (here, there) = CONTROLLER;
    let commands = [
        format!("netns add {CONTROLLER_NETWORK}"),
        format!("link add knative0 type veth peer name knative1 netns {CONTROLLER_NETWORK}"),
        format!("address add {here}/30 dev knative0"),
        "link set knative0 up".to_owned(),
        format!("-n {CONTROLLER_NETWORK} link set lo up"),
        format!("-n {CONTROLLER_NETWORK} address add {there}/30 dev knative1"),
        format!("-n {CONTROLLER_NETWORK} link set knative1 up"),
        format!("-n {CONTROLLER_NETWORK} route add default via {here}"),
    ];
    for command in commands {
        parts.sandbox.run("ip", command.split(' '))?;
    }
    spawn(parts, "controller", 3, &[], Some(CONTROLLER_NETWORK))?;
    apply_webhooks(parts, &files)?;
    for (kind, name) in [
        ("mutatingwebhookconfiguration", "webhook.serving.knative.dev"),
        ("validatingwebhookconfiguration", "validation.webhook.serving.knative.dev"),
        ("validatingwebhookconfiguration", "config.webhook.serving.knative.dev"),
    ] {
        let authority = "jsonpath={.webhooks[0].clientConfig.caBundle}";
        parts.until("webhook", || {
            parts.asks(&["get", kind, name, "-o", authority], |said| !said.is_empty())
        })?;
    }
    let answers = |port| parts.sandbox.within(|| request(server(port), "GET", "/", "")).unwrap_or(false);
    parts.until("autoscaler", || answers(AUTOSCALER))?;
    wait_for_activator(parts)
}

/// Kills the activator, and starts it again.
pub(crate) fn restart_activator(parts: &Parts) -> Result<(), String> {
    parts.process(ACTIVATOR)?.end(Signal::KILL)?;
    start_activator(parts)?;
    wait_for_activator(parts)
}

fn start_activator(parts: &Parts) -> Result<(), String> {
    spawn(parts, ACTIVATOR, 2, &[("GOGC", "500")], None)
}

fn wait_for_activator(parts: &Parts) -> Result<(), String> {
    let answers =
        || parts.sandbox.within(|| request(server(ACTIVATOR_HTTP1), "GET", "/", "")).unwrap_or(false);
    parts.until(ACTIVATOR, answers)
}

/// Lets the programs of the cluster find names of Services.
fn answer_names(parts: &Parts) -> Result<(), String> {
    let file = parts.folder.write("resolv.conf", &format!("nameserver {SERVER}\n"))?;
    parts.sandbox.run("mount", [Path::new("--bind"), &file, Path::new("/etc/resolv.conf")])?;
    // A program of its own: what `cargo` builds meanwhile must not be in its place.
    let own = std::env::current_exe().map_err(|error| format!("this program is not found: {error}"))?;
    let copy = parts.folder.join("service-names");
    fs::copy(&own, &copy).map_err(|error| format!("cannot copy `{}`: {error}", own.display()))?;
    parts.spawn("service-names", &copy, ["cluster", "service-names"]).map(drop)
}

/// Puts the image with what stands in each pod before the program into the registry.
fn push_queue(parts: &Parts, bin: &Path) -> Result<(), String> {
    let archive = parts.folder.join("queue.tar");
    build::program_image(&bin.join("queue"), "queue", "localhost/knative-queue:1", Some(USER), &archive)?;
    let from = format!("docker-archive:{}", archive.display());
    let to = format!("docker://{REGISTRY}/{QUEUE}");
    parts
        .sandbox
        .run("skopeo", ["copy", "--insecure-policy", "--dest-tls-verify=false", &from, &to])
        .map(drop)
}

/// Starts a program; `number` tells its ports from those of the others.
fn spawn(
    parts: &Parts,
    name: &str,
    number: u16,
    variables: &[(&str, &str)],
    network: Option<&str>,
) -> Result<(), String> {
    let program = parts.folder.join("knative").join(name);
    let mut arguments = Vec::<OsString>::new();
    let mut set = |name: &str, value: &str| arguments.push(format!("{name}={value}").into());
    for (name, value) in [
        ("SYSTEM_NAMESPACE", NAMESPACE),
        ("CONFIG_LOGGING_NAME", "config-logging"),
        ("CONFIG_OBSERVABILITY_NAME", "config-observability"),
        ("CONFIG_LEADERELECTION_NAME", "config-leader-election"),
        ("METRICS_DOMAIN", "knative.dev/serving"),
        ("POD_NAME", &format!("{name}-1")),
        ("POD_IP", &SERVER.to_string()),
        ("METRICS_PROMETHEUS_PORT", &(METRICS + number).to_string()),
        ("PROFILING_PORT", &(PROFILING + number).to_string()),
    ] {
        set(name, value);
    }
    for (name, value) in variables {
        set(name, value);
    }
    arguments.extend([program.into_os_string(), "--kubeconfig".into(), parts.kubeconfig().into_os_string()]);
    match network {
        None => parts.spawn(name, Path::new("env"), arguments),
        Some(network) => {
            let enter = PathBuf::from(format!("--net=/run/netns/{network}"));
            let arguments = [enter.into_os_string(), "--".into(), "env".into()].into_iter().chain(arguments);
            parts.spawn(name, Path::new("nsenter"), arguments)
        }
    }
    .map(drop)
}
