//! [`Wanted`]: the service as it is to be deployed, and its name.

use lithops_core::digest::Digest;
use serde_json::{Value, json};

use crate::config::GcpCloudRunConfig;

/// The annotation with the digest of everything that the service consists of.
pub(crate) const DIGEST: &str = "lithops.digest";
/// The label that marks services of lithops.
const LABEL: &str = "lithops";
/// What names of all services begin with.
pub(crate) const FAMILY: &str = "lithops-";
/// The port that instances listen at.
const PORT: u16 = 8080;

/// What instances are made of.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    /// The image, by its digest.
    pub(crate) image: String,
    /// The digest of the program, where it is in the image.
    pub(crate) program: Option<Digest>,
    /// The arguments of the program.
    pub(crate) arguments: Vec<String>,
    /// The service account that instances run as.
    pub(crate) account: String,
    pub(crate) cpus: f64,
    /// MiB.
    pub(crate) memory: u64,
    /// Seconds.
    pub(crate) timeout: u64,
    pub(crate) max_workers: usize,
}

/// A service as it is to be deployed.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) name: String,
    pub(crate) digest: String,
    pub(crate) max_workers: usize,
    pub(crate) document: Value,
}

impl Wanted {
    /// The service of these parts. Its name is a digest of all of them but the number of workers, so that a changed
    /// configuration never changes a service that runs.
    pub(crate) fn of(config: &GcpCloudRunConfig, parts: &Parts) -> Self {
        let mut variables = vec![json!({"name": "LITHOPS_TRANSPORT", "value": "http"})];
        if let Some(program) = &parts.program {
            variables.push(json!({"name": "LITHOPS_PROGRAM", "value": program.to_string()}));
        }
        variables.extend(config.env_vars.iter().map(|(name, value)| json!({"name": name, "value": value})));
        let mut template = json!({
            "serviceAccount": parts.account,
            "timeout": format!("{}s", parts.timeout),
            // One activation owns an instance.
            "maxInstanceRequestConcurrency": 1,
            "executionEnvironment": "EXECUTION_ENVIRONMENT_GEN2",
            "containers": [{
                "name": "worker",
                "image": parts.image,
                "args": parts.arguments,
                "env": variables,
                // HTTP/2 to the instance, so that it learns of a client that goes.
                "ports": [{"name": "h2c", "containerPort": PORT}],
                "resources": {
                    "limits": {"cpu": cpus(parts.cpus), "memory": format!("{}Mi", parts.memory)},
                    "cpuIdle": true,
                    "startupCpuBoost": true,
                },
            }],
        });
        if let Some(connector) = &config.network.connector {
            template["vpcAccess"] = json!({"connector": connector, "egress": "PRIVATE_RANGES_ONLY"});
        } else if config.network.network.is_some() || config.network.subnet.is_some() {
            let mut interface = json!({});
            for (key, value) in [("network", &config.network.network), ("subnetwork", &config.network.subnet)]
            {
                if let Some(value) = value {
                    interface[key] = json!(value);
                }
            }
            template["vpcAccess"] =
                json!({"networkInterfaces": [interface], "egress": "PRIVATE_RANGES_ONLY"});
        }
        let digest = Digest::of(format!("{template} {}", config.min_workers).as_bytes()).to_string();
        template["scaling"] =
            json!({"minInstanceCount": config.min_workers, "maxInstanceCount": parts.max_workers});
        let version = env!("CARGO_PKG_VERSION").replace('.', "-");
        let document = json!({
            "description": "workers of lithops",
            "labels": {LABEL: "1", "lithops-version": version},
            "annotations": {DIGEST: digest},
            "ingress": "INGRESS_TRAFFIC_ALL",
            "template": template,
        });
        Self { name: format!("{FAMILY}{}", &digest[..20]), digest, max_workers: parts.max_workers, document }
    }
}

fn cpus(cpus: f64) -> String {
    format!("{}", cpus.round() as u64)
}

#[cfg(test)]
mod tests {
    use lithops_core::config::{Config, Environment, Sources};

    use super::*;

    fn config(more: &str) -> GcpCloudRunConfig {
        let yaml = Some(format!("gcp_cloudrun: {{endpoint: 'http://127.0.0.1:1'{more}}}"));
        let config = Config::load(&Sources { yaml, file: None }, &Environment::new(".")).expect("YAML");
        GcpCloudRunConfig::read(&config).expect("it is right")
    }

    fn parts() -> Parts {
        Parts {
            image: "us-east1-docker.pkg.dev/p/lithops/lithops-runtime@sha256:00".to_owned(),
            program: Some(Digest::of(b"program")),
            arguments: Vec::new(),
            account: "a@p.iam.gserviceaccount.com".to_owned(),
            cpus: 4.0,
            memory: 2048,
            timeout: 300,
            max_workers: 100,
        }
    }

    #[test]
    fn a_name_is_a_digest_of_all_parts_but_the_number_of_workers() {
        let wanted = Wanted::of(&config(""), &parts());
        assert_eq!((wanted.name.len(), &wanted.name[..8]), (28, "lithops-"));
        let same = |config: &GcpCloudRunConfig, parts: &Parts| Wanted::of(config, parts).name == wanted.name;
        assert!(same(&config(""), &Parts { max_workers: 7, ..parts() }));
        for other in [
            Parts { image: "other".to_owned(), ..parts() },
            Parts { cpus: 2.0, ..parts() },
            Parts { memory: 4096, ..parts() },
            Parts { timeout: 60, ..parts() },
            Parts { account: "b@p.iam.gserviceaccount.com".to_owned(), ..parts() },
            Parts { program: None, ..parts() },
            Parts { arguments: vec!["http".to_owned()], ..parts() },
        ] {
            assert!(!same(&config(""), &other), "{other:?}");
        }
        for more in
            [", env_vars: {A: b}", ", vpc_connector: c", ", network: n, subnet: s", ", min_workers: 1"]
        {
            assert!(!same(&config(more), &parts()), "{more}");
        }
    }

    #[test]
    fn the_document_says_what_instances_are() {
        let wanted = Wanted::of(&config(", env_vars: {A: b}, min_workers: 2"), &parts());
        let template = &wanted.document["template"];
        let container = &template["containers"][0];
        assert_eq!(template["maxInstanceRequestConcurrency"], 1);
        assert_eq!(template["timeout"], "300s");
        assert_eq!(template["scaling"], json!({"minInstanceCount": 2, "maxInstanceCount": 100}));
        assert_eq!(container["resources"]["limits"], json!({"cpu": "4", "memory": "2048Mi"}));
        assert_eq!(container["ports"], json!([{"name": "h2c", "containerPort": 8080}]));
        let names: Vec<_> =
            container["env"].as_array().expect("a list").iter().map(|one| &one["name"]).collect();
        assert_eq!(names, ["LITHOPS_TRANSPORT", "LITHOPS_PROGRAM", "A"]);
        assert_eq!(wanted.document["annotations"][DIGEST], wanted.digest.as_str());
        // Only who is allowed may invoke it.
        assert!(wanted.document.get("invokerIamDisabled").is_none());
    }
}
