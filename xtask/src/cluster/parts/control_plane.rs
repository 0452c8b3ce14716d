//! etcd, the API server, the controllers and the scheduler.

use std::{fs::File, io::Read, net::Ipv4Addr, process::Command};

use rustix::process::Signal;

use super::{Parts, filled};
use crate::{
    cluster::{
        build::hex,
        folder::Folder,
        network::{API_SERVER, ETCD, SERVER},
    },
    steps,
};

const KUBECONFIG: &str = include_str!("../../../cluster/templates/kubeconfig.in");
/// Which requests are logged: those of service accounts, and not those of the cluster's own parts, once they are answered.
const AUDIT_POLICY: &str = r#"{"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived", "ResponseStarted"],
"rules": [{"level": "None", "namespaces": ["kube-system"]}, {"level": "None", "userGroups": ["system:serviceaccounts:kube-system"]},
{"level": "Metadata", "userGroups": ["system:serviceaccounts"]}, {"level": "None"}]}"#;
/// The log of these requests.
pub(in crate::cluster) const AUDIT: &str = "audit.log";
const LOOPBACK: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// The certificate that the API server makes for itself, and that clients trust.
const CERTIFICATE: &str = "certificates/apiserver.crt";

/// Writes what the API server knows its clients by, and what each of them has.
pub(in crate::cluster) fn write_credentials(folder: &Folder, nodes: u8) -> Result<(), String> {
    let kubeconfig = |token: &str| {
        let authority = folder.join(CERTIFICATE);
        let server = format!("{SERVER}:{API_SERVER}");
        let authority = authority.to_string_lossy();
        filled(KUBECONFIG, &[("SERVER", &server), ("AUTHORITY", &authority), ("TOKEN", token)])
    };
    let token = random()?;
    let mut tokens = format!("{token},admin,1,system:masters\n");
    folder.write("kubeconfig", &kubeconfig(&token))?;
    for node in 1..=nodes {
        let token = random()?;
        tokens += &format!("{token},system:node:node{node},node{node},system:nodes\n");
        folder.write(format!("node{node}/kubeconfig"), &kubeconfig(&token))?;
    }
    folder.write("tokens.csv", &tokens)?;
    let mut openssl = Command::new("openssl");
    openssl.args(["ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out"]);
    steps::run(openssl.arg(folder.join("accounts.key")))
}

/// Starts etcd and the API server.
pub(in crate::cluster) fn start_api_server(parts: &Parts) -> Result<(), String> {
    let folder = &parts.folder;
    let (etcd, peers) = (format!("http://{LOOPBACK}:{ETCD}"), format!("http://{LOOPBACK}:{}", ETCD + 1));
    parts.spawn(
        "etcd",
        &parts.program("etcd"),
        [
            // What is lost with the machine is not missed.
            "--unsafe-no-fsync".to_owned(),
            format!("--data-dir={}", folder.join("etcd").display()),
            format!("--listen-client-urls={etcd}"),
            format!("--advertise-client-urls={etcd}"),
            format!("--listen-peer-urls={peers}"),
            format!("--initial-advertise-peer-urls={peers}"),
            format!("--initial-cluster=default={peers}"),
        ],
    )?;
    spawn_api_server(parts)
}

/// Kills the API server, which cuts every connection to it, and starts it again.
pub(in crate::cluster) fn restart_api_server(parts: &Parts) -> Result<(), String> {
    parts.process("kube-apiserver")?.end(Signal::KILL)?;
    spawn_api_server(parts)?;
    wait_for_api_server(parts)
}

fn spawn_api_server(parts: &Parts) -> Result<(), String> {
    let (folder, etcd) = (&parts.folder, format!("http://{LOOPBACK}:{ETCD}"));
    let key = folder.join("accounts.key");
    let policy = folder.write("audit-policy.json", AUDIT_POLICY)?;
    parts.spawn(
        "kube-apiserver",
        &parts.program("kube-apiserver"),
        [
            format!("--etcd-servers={etcd}"),
            format!("--bind-address={SERVER}"),
            format!("--advertise-address={SERVER}"),
            format!("--secure-port={API_SERVER}"),
            format!("--cert-dir={}", folder.join("certificates").display()),
            "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
            "--authorization-mode=Node,RBAC".to_owned(),
            "--enable-admission-plugins=NodeRestriction".to_owned(),
            format!("--token-auth-file={}", folder.join("tokens.csv").display()),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            format!("--service-account-signing-key-file={}", key.display()),
            format!("--service-account-key-file={}", key.display()),
            "--kubelet-preferred-address-types=InternalIP".to_owned(),
            "--endpoint-reconciler-type=none".to_owned(),
            // Services have no addresses, because there is no kube-proxy: webhooks are found by their endpoints.
            "--enable-aggregator-routing=true".to_owned(),
            "--allow-privileged=true".to_owned(),
            format!("--audit-policy-file={}", policy.display()),
            format!("--audit-log-path={}", folder.join(AUDIT).display()),
        ],
    )?;
    Ok(())
}

/// Waits for the API server, and starts what works by it.
pub(in crate::cluster) fn start_controllers(parts: &Parts) -> Result<(), String> {
    let folder = &parts.folder;
    let certificate = folder.join(CERTIFICATE);
    wait_for_api_server(parts)?;
    for (part, port, more) in [
        (
            "kube-controller-manager",
            API_SERVER + 1,
            vec![
                format!("--service-account-private-key-file={}", folder.join("accounts.key").display()),
                format!("--root-ca-file={}", certificate.display()),
                // A node is given up as soon as tests can wait for it.
                "--node-monitor-period=1s".to_owned(),
                "--node-monitor-grace-period=9s".to_owned(),
            ],
        ),
        ("kube-scheduler", API_SERVER + 2, Vec::new()),
    ] {
        let kubeconfig = parts.kubeconfig();
        let kubeconfig = kubeconfig.display();
        let common = [
            format!("--kubeconfig={kubeconfig}"),
            format!("--authentication-kubeconfig={kubeconfig}"),
            format!("--authorization-kubeconfig={kubeconfig}"),
            "--leader-elect=false".to_owned(),
            format!("--bind-address={LOOPBACK}"),
            format!("--secure-port={port}"),
            format!("--cert-dir={}", folder.join(format!("certificates-{part}")).display()),
            // The default is 20 requests in a second, and so 20 pods.
            "--kube-api-qps=500".to_owned(),
            "--kube-api-burst=1000".to_owned(),
        ];
        parts.spawn(part, &parts.program(part), common.into_iter().chain(more))?;
    }
    Ok(())
}

fn wait_for_api_server(parts: &Parts) -> Result<(), String> {
    let certificate = parts.folder.join(CERTIFICATE);
    parts.until("kube-apiserver", || {
        certificate.exists() && parts.asks(&["get", "--raw", "/readyz"], |said| said == "ok")
    })
}

fn random() -> Result<String, String> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(|error| format!("cannot read `/dev/urandom`: {error}"))?;
    Ok(hex(&bytes))
}
