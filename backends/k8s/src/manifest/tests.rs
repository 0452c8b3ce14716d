//! The manifests are those that clusters are to see, and hold no secret.

use k8s_openapi::api::{batch::v1::Job, core::v1::Secret as KubernetesSecret};
use lithops_core::{
    config::{Config, Environment, Sources},
    protocol::SignKey,
    storage::Locator,
};

use super::*;

/// The Job of a wave as it is created. What changes here is seen by every cluster.
const GOLDEN: &str = include_str!("job.golden.json");

const SECTION: &str = "k8s:
  runtime_cpu: 4
  runtime_memory: 4096
  namespace: batch
";

fn config(yaml: &str) -> K8sConfig {
    let sources = Sources { yaml: Some(yaml.to_owned()), file: None };
    K8sConfig::read(&Config::load(&sources, &Environment::new(".")).expect("YAML")).expect("it is right")
}

fn launch() -> Launch {
    let verify = SignKey::generate().expect("a key").verify_key();
    let mut launch = Launch::new("0197b1c0-fleet", verify, Locator::new("minio", "bucket"));
    launch.grace = Duration::from_secs(25);
    launch
}

fn image(is_program: bool) -> WorkerImage {
    let name = "registry.test/lithops-runtime:0123@sha256:4567".into();
    WorkerImage { name, is_program, arguments: Vec::new() }
}

fn secrets() -> Secrets {
    Secrets {
        storage: Locator::new("minio", "bucket"),
        secrets: vec![("secret_access_key".to_owned(), "hunter2".to_owned())],
    }
}

fn job_of(config: &K8sConfig, image: &WorkerImage, secrets: Option<&Secrets>) -> Value {
    let launch = launch();
    wave(config, &launch, image, secrets).job().expect("a manifest")
}

fn wave<'a>(
    config: &'a K8sConfig,
    launch: &'a Launch,
    image: &'a WorkerImage,
    secrets: Option<&'a Secrets>,
) -> Wave<'a> {
    let (client, transport) = ("host 1", Transport::Pull);
    Wave { config, launch, number: 3, workers: 25, image, secrets, client, transport }
}

/// The manifest without the launch document, which has a key that is never the same.
fn stable(mut job: Value) -> Value {
    let launch = job["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"].take();
    let launch: Launch = Launch::from_json(launch.as_str().expect("text")).expect("a launch document");
    assert_eq!((launch.fleet.as_str(), launch.worker), ("0197b1c0-fleet", None));
    job
}

#[test]
fn the_job_is_the_golden_one() {
    let secrets = secrets();
    let job = stable(job_of(&config(SECTION), &image(true), Some(&secrets)));
    let text = serde_json::to_string_pretty(&job).expect("text") + "\n";
    if std::env::var_os("WRITE_GOLDEN").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/src/manifest/job.golden.json"), &text)
            .expect("written");
    }
    assert_eq!(text, GOLDEN, "run it with WRITE_GOLDEN=1, and look at the difference");
}

#[test]
fn manifests_are_what_kubernetes_knows_and_nothing_is_lost_in_its_types() {
    let secrets = secrets();
    let all = "k8s:
  gpu: {resource: nvidia.com/gpu, count: 2}
  queue: team
  priority_class: low
  service_account: worker
  node_selector: {disk: ssd}
  tolerations: [{key: dedicated, operator: Exists}]
  image_pull_secrets: [regcred]
  labels: {team: data}
  annotations: {note: x}
  env_vars: {RUST_LOG: debug}
  pod_template: {hostNetwork: true}
";
    for (yaml, is_program) in [(SECTION, true), (all, false)] {
        let manifest = job_of(&config(yaml), &image(is_program), Some(&secrets));
        let job: Job = serde_json::from_value(manifest.clone()).expect("a Job");
        assert_eq!(serde_json::to_value(&job).expect("JSON"), manifest);
    }
    let job = job_of(&config(all), &image(false), None);
    let pod = &job["spec"]["template"]["spec"];
    assert_eq!(job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"], "team");
    assert_eq!(job["spec"]["suspend"], true);
    assert_eq!(pod["containers"][0]["args"], json!(["pull"]));
    assert_eq!(pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"], "2");
    assert_eq!((&pod["hostNetwork"], &pod["automountServiceAccountToken"]), (&json!(true), &json!(true)));
}

#[test]
fn secrets_are_in_the_secret_alone() {
    let (secrets, config, image, launch) = (secrets(), config(SECTION), image(true), launch());
    let job = job_of(&config, &image, Some(&secrets)).to_string();
    assert!(!job.contains("hunter2"), "{job}");
    let wave = wave(&config, &launch, &image, Some(&secrets));
    let [secret] = &wave.secret_manifests("uid-of-the-job").expect("manifests")[..] else {
        panic!("one Secret")
    };
    assert!(secret["stringData"]["storage.json"].as_str().is_some_and(|text| text.contains("hunter2")));
    assert_eq!(secret["metadata"]["ownerReferences"][0]["uid"], "uid-of-the-job");
    let typed: KubernetesSecret = serde_json::from_value(secret.clone()).expect("a Secret");
    assert_eq!(serde_json::to_value(&typed).expect("JSON"), *secret);
}

#[test]
fn the_password_that_an_image_is_pushed_with_pulls_it_too_unless_a_secret_is_named() {
    let section =
        "k8s:\n  docker_server: registry.test/team\n  docker_user: me\n  docker_password: hunter2\n";
    let (config, image, launch) = (config(section), image(true), launch());
    let wave = wave(&config, &launch, &image, None);
    let job = wave.job().expect("a manifest");
    assert!(!job.to_string().contains("hunter2") && job["spec"]["suspend"] == json!(true), "{job}");
    let [secret] = &wave.secret_manifests("uid").expect("manifests")[..] else { panic!("one Secret") };
    assert_eq!(
        job["spec"]["template"]["spec"]["imagePullSecrets"],
        json!([{"name": secret["metadata"]["name"]}])
    );
    let login = secret["stringData"][".dockerconfigjson"].as_str().expect("text");
    let login: Value = serde_json::from_str(login).expect("JSON");
    assert_eq!(login, json!({"auths": {"registry.test": {"username": "me", "password": "hunter2"}}}));
    assert_eq!(secret["type"], "kubernetes.io/dockerconfigjson");
    let named = self::config(&format!("{section}  image_pull_secrets: [mine]\n"));
    assert!(!Wave { config: &named, ..wave }.has_secrets());
}

#[test]
fn a_worker_that_is_fed_is_told_to_listen_and_which_program_it_is_to_fetch() {
    let (config, launch) = (config(SECTION), launch());
    let digest = lithops_core::digest::Digest::of(b"program");
    let program = ProgramId { digest, len: 7, arguments: Vec::new() };
    let container = |is_program: bool, program: Option<&ProgramId>| {
        let image = image(is_program);
        let job = Wave { transport: Transport::Serve(program), ..wave(&config, &launch, &image, None) }.job();
        job.expect("a manifest")["spec"]["template"]["spec"]["containers"][0].clone()
    };
    let has = |container: &Value, name: &str| {
        let variables = container["env"].as_array().expect("variables").iter();
        variables.filter(|variable| variable["name"] == name).map(|variable| variable["value"].clone()).next()
    };
    let own = container(true, None);
    assert_eq!(has(&own, TRANSPORT_VARIABLE), Some("serve".into()));
    assert_eq!((&own["args"], has(&own, PROGRAM_VARIABLE)), (&Value::Null, None));
    let fetching = container(false, Some(&program));
    assert_eq!(fetching["args"], json!(["serve"]));
    let named = has(&fetching, PROGRAM_VARIABLE).expect("a program");
    let named: ProgramId = serde_json::from_str(named.as_str().expect("text")).expect("JSON");
    assert_eq!(named, program);
}

#[test]
fn names_and_labels_are_such_that_kubernetes_takes_them() {
    for fleet in ["0197b1c0-fleet", "Ümläut / fleet", ""] {
        let (name, value) = (format!("{}{}", prefix(fleet), u64::MAX), label(fleet));
        // A pod adds `-` and an index to its Job's name, and a label has 63 characters at most.
        assert!(name.len() <= 50, "{name}");
        assert!(value.len() <= 63 && value.bytes().all(|byte| byte.is_ascii_hexdigit()), "{value}");
    }
}

#[test]
fn a_template_is_laid_over_as_a_merge_patch() {
    let mut below = json!({"a": {"b": 1, "c": 2}, "containers": [{"name": "lithops", "env": [{"name": "A", "value": "1"}]}], "d": [1]});
    let other = json!({"name": "lithops", "env": [{"name": "B"}]});
    merge(&mut below, &json!({"a": {"b": null, "e": 3}, "containers": [other, {"name": "other"}], "d": [2]}));
    let wanted = json!({"a": {"c": 2, "e": 3}, "containers": [{"name": "lithops", "env": [{"name": "A", "value": "1"}, {"name": "B"}]}, {"name": "other"}], "d": [2]});
    assert_eq!(below, wanted);
}
