//! [`Ec2`]: the actions of EC2 that are needed, and what they answer.

use lithops_cloud_aws::{Form, Service, ServiceError, region_of};
use lithops_core::error::Result;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{SCHEME, config::Ec2Config, template::FLEET};

/// The version of the API of EC2.
const VERSION: &str = "2016-11-15";
/// The most instances that one request ends.
const TERMINATED_AT_ONCE: usize = 1000;

/// EC2 in a region.
#[derive(Debug, Clone)]
pub(crate) struct Ec2(Service);

/// A list of things.
#[derive(Debug, Deserialize)]
#[serde(default)]
struct Items<T> {
    #[serde(bound(deserialize = "T: Deserialize<'de>"))]
    item: Vec<T>,
}

impl<T> Default for Items<T> {
    fn default() -> Self {
        Self { item: Vec::new() }
    }
}

/// An answer that says nothing more.
#[derive(Debug, Deserialize)]
struct Done {}

/// What CreateFleet has started, and why not more.
#[derive(Debug, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct FleetAnswer {
    error_set: Items<FleetError>,
    fleet_instance_set: Items<FleetInstances>,
}

/// Why one pool gave no instance.
#[derive(Debug, Deserialize, Default, Clone)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct FleetError {
    pub(crate) error_code: String,
    pub(crate) error_message: String,
    launch_template_and_overrides: TemplateAndOverrides,
}

#[derive(Debug, Deserialize, Default, Clone)]
#[serde(rename_all = "camelCase", default)]
struct TemplateAndOverrides {
    overrides: Pool,
}

/// A pool of capacity: a type in a subnet, which is in one zone.
#[derive(Debug, Deserialize, Default, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Pool {
    pub(crate) instance_type: String,
    pub(crate) subnet_id: String,
}

#[derive(Debug, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct FleetInstances {
    instance_ids: Items<String>,
}

impl FleetAnswer {
    /// The ids of the instances that were started.
    pub(crate) fn started(&self) -> impl Iterator<Item = &String> {
        self.fleet_instance_set.item.iter().flat_map(|group| &group.instance_ids.item)
    }

    /// Why not more were started.
    pub(crate) fn errors(&self) -> &[FleetError] {
        &self.error_set.item
    }
}

impl FleetError {
    /// One as EC2 would say it.
    #[cfg(test)]
    pub(crate) fn said(code: &str, message: &str, pool: Option<(&str, &str)>) -> Self {
        let mut error =
            Self { error_code: code.to_owned(), error_message: message.to_owned(), ..Self::default() };
        if let Some((instance_type, subnet)) = pool {
            error.launch_template_and_overrides.overrides =
                Pool { instance_type: instance_type.to_owned(), subnet_id: subnet.to_owned() };
        }
        error
    }

    /// The pool that gave none, where it is named.
    pub(crate) fn pool(&self) -> Option<&Pool> {
        let pool = &self.launch_template_and_overrides.overrides;
        (!pool.instance_type.is_empty()).then_some(pool)
    }
}

#[derive(Debug, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Instances {
    reservation_set: Items<Reservation>,
    next_token: String,
}

#[derive(Debug, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Reservation {
    instances_set: Items<Instance>,
}

/// An instance, as EC2 describes it.
#[derive(Debug, Deserialize, Default, Clone)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Instance {
    pub(crate) instance_id: String,
    pub(crate) instance_type: String,
    instance_state: State,
    state_reason: Reason,
    pub(crate) launch_time: String,
    instance_lifecycle: String,
    tag_set: Items<Tag>,
}

#[derive(Debug, Deserialize, Default, Clone)]
#[serde(default)]
struct State {
    name: String,
}

#[derive(Debug, Deserialize, Default, Clone)]
#[serde(default)]
struct Reason {
    code: String,
    message: String,
}

#[derive(Debug, Deserialize, Default, Clone)]
#[serde(default)]
struct Tag {
    key: String,
    value: String,
}

impl<T: Clone> Clone for Items<T> {
    fn clone(&self) -> Self {
        Self { item: self.item.clone() }
    }
}

impl Instance {
    /// `pending`, `running`, `shutting-down`, `terminated`, `stopping` or `stopped`.
    pub(crate) fn state(&self) -> &str {
        &self.instance_state.name
    }

    /// Why it is in its state: a code, and words.
    pub(crate) fn reason(&self) -> (&str, &str) {
        (&self.state_reason.code, &self.state_reason.message)
    }

    /// One as EC2 would describe it.
    #[cfg(test)]
    pub(crate) fn described(id: &str, state: &str, code: &str, message: &str) -> Self {
        Self {
            instance_id: id.to_owned(),
            instance_state: State { name: state.to_owned() },
            state_reason: Reason { code: code.to_owned(), message: message.to_owned() },
            ..Self::default()
        }
    }

    pub(crate) fn is_spot(&self) -> bool {
        self.instance_lifecycle == "spot"
    }

    /// The value of a tag.
    pub(crate) fn tag(&self, key: &str) -> Option<&str> {
        self.tag_set.item.iter().find(|tag| tag.key == key).map(|tag| tag.value.as_str())
    }
}

#[derive(Debug, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Console {
    output: String,
}

#[derive(Debug, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Subnets {
    subnet_set: Items<Subnet>,
}

/// A subnet.
#[derive(Debug, Deserialize, Default, Clone)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Subnet {
    pub(crate) subnet_id: String,
    pub(crate) vpc_id: String,
    pub(crate) availability_zone: String,
    pub(crate) map_public_ip_on_launch: bool,
}

#[derive(Debug, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Groups {
    security_group_info: Items<Group>,
}

#[derive(Debug, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Group {
    group_id: String,
}

#[derive(Debug, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Templates {
    launch_templates: Items<NamedTemplate>,
}

/// A launch template.
#[derive(Debug, Deserialize, Default, Clone)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct NamedTemplate {
    pub(crate) launch_template_name: String,
    pub(crate) create_time: String,
}

#[derive(Debug, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Types {
    instance_type_set: Items<TypeInfo>,
}

/// What a type of instance has.
#[derive(Debug, Deserialize, Default, Clone)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct TypeInfo {
    pub(crate) instance_type: String,
    v_cpu_info: CpuInfo,
}

#[derive(Debug, Deserialize, Default, Clone)]
#[serde(rename_all = "camelCase", default)]
struct CpuInfo {
    default_v_cpus: usize,
}

impl TypeInfo {
    pub(crate) fn vcpus(&self) -> usize {
        self.v_cpu_info.default_v_cpus
    }
}

#[derive(Debug, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Prices {
    spot_price_history_set: Items<SpotPrice>,
}

/// What a spot instance of a type costs in a zone.
#[derive(Debug, Deserialize, Default, Clone)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct SpotPrice {
    pub(crate) instance_type: String,
    pub(crate) spot_price: String,
    pub(crate) availability_zone: String,
}

type Answer<T> = Result<T, ServiceError>;

impl Ec2 {
    /// EC2 in the region of the configuration. Nothing is asked yet, except where the region is not known.
    ///
    /// # Errors
    /// No region is known.
    pub(crate) async fn connect(config: &Ec2Config) -> Result<Self> {
        let region = region_of(&config.access, SCHEME).await?;
        Ok(Self(Service::new("ec2", VERSION, &region, &config.access)?))
    }

    pub(crate) fn region(&self) -> &str {
        self.0.region()
    }

    async fn call<T: serde::de::DeserializeOwned>(&self, action: &str, parameters: &Value) -> Answer<T> {
        self.0.call(action, &Form::of(parameters)).await
    }

    /// Creates a launch template. One of this name that is there is another try of this one.
    pub(crate) async fn create_template(&self, request: &Value) -> Answer<()> {
        match self.call::<Done>("CreateLaunchTemplate", request).await {
            Ok(_) => Ok(()),
            Err(error) if error.code.starts_with("InvalidLaunchTemplateName.AlreadyExists") => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Deletes a launch template. One that is gone already is no error.
    pub(crate) async fn delete_template(&self, name: &str) -> Answer<()> {
        match self.call::<Done>("DeleteLaunchTemplate", &json!({"LaunchTemplateName": name})).await {
            Ok(_) => Ok(()),
            Err(error) if error.code.contains("NotFound") => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The templates of fleets of this and other clients.
    pub(crate) async fn templates(&self) -> Answer<Vec<NamedTemplate>> {
        let ours = json!({"Filter": [{"Name": "tag-key", "Value": [FLEET]}]});
        Ok(self.call::<Templates>("DescribeLaunchTemplates", &ours).await?.launch_templates.item)
    }

    pub(crate) async fn create_fleet(&self, request: &Value) -> Answer<FleetAnswer> {
        self.call("CreateFleet", request).await
    }

    /// The instances of a fleet; without one, those of all fleets.
    pub(crate) async fn instances(&self, fleet: Option<&str>) -> Answer<Vec<Instance>> {
        let filter = match fleet {
            Some(fleet) => json!({"Name": format!("tag:{FLEET}"), "Value": [fleet]}),
            None => json!({"Name": "tag-key", "Value": [FLEET]}),
        };
        let (mut all, mut token) = (Vec::new(), Value::Null);
        loop {
            let page = json!({"Filter": [filter], "MaxResults": 1000, "NextToken": token});
            let page: Instances = self.call("DescribeInstances", &page).await?;
            all.extend(
                page.reservation_set.item.into_iter().flat_map(|reservation| reservation.instances_set.item),
            );
            if page.next_token.is_empty() {
                return Ok(all);
            }
            token = page.next_token.into();
        }
    }

    /// Ends instances. Those that have ended already are no error.
    pub(crate) async fn terminate(&self, instances: &[String]) -> Answer<()> {
        for some in instances.chunks(TERMINATED_AT_ONCE) {
            match self.call::<Done>("TerminateInstances", &json!({"InstanceId": some})).await {
                Ok(_) => {}
                Err(error) if error.code == "InvalidInstanceID.NotFound" => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// What an instance has written to its console, encoded.
    pub(crate) async fn console(&self, instance: &str) -> Answer<String> {
        let of = json!({"InstanceId": instance, "Latest": true});
        match self.call::<Console>("GetConsoleOutput", &of).await {
            Ok(console) => Ok(console.output),
            // Types before Nitro have only what was there some minutes ago.
            Err(error) if error.code == "UnsupportedOperation" => {
                Ok(self.call::<Console>("GetConsoleOutput", &json!({"InstanceId": instance})).await?.output)
            }
            Err(error) => Err(error),
        }
    }

    /// Subnets: these, those of a network, or those of the account's default network.
    pub(crate) async fn subnets(&self, ids: &[String], vpc: Option<&str>) -> Answer<Vec<Subnet>> {
        let request = match (ids, vpc) {
            ([], Some(vpc)) => json!({"Filter": [{"Name": "vpc-id", "Value": [vpc]}]}),
            ([], None) => json!({"Filter": [{"Name": "default-for-az", "Value": ["true"]}]}),
            (ids, _) => json!({"SubnetId": ids}),
        };
        Ok(self.call::<Subnets>("DescribeSubnets", &request).await?.subnet_set.item)
    }

    /// The security group of this name in a network.
    pub(crate) async fn security_group(&self, name: &str, vpc: &str) -> Answer<Option<String>> {
        let filter =
            [json!({"Name": "group-name", "Value": [name]}), json!({"Name": "vpc-id", "Value": [vpc]})];
        let groups: Groups = self.call("DescribeSecurityGroups", &json!({"Filter": filter})).await?;
        Ok(groups.security_group_info.item.into_iter().next().map(|group| group.group_id))
    }

    /// Makes a security group, which lets everything out and nothing in.
    pub(crate) async fn create_security_group(&self, name: &str, vpc: &str) -> Answer<String> {
        let request = json!({
            "GroupName": name,
            "GroupDescription": "lithops: instances that fetch their work. Nothing is let in.",
            "VpcId": vpc,
        });
        Ok(self.call::<Group>("CreateSecurityGroup", &request).await?.group_id)
    }

    pub(crate) async fn types(&self, names: &[String]) -> Answer<Vec<TypeInfo>> {
        let types: Types = self.call("DescribeInstanceTypes", &json!({"InstanceType": names})).await?;
        Ok(types.instance_type_set.item)
    }

    /// What spot instances of these types cost now.
    pub(crate) async fn spot_prices(&self, types: &[String], now: &str) -> Answer<Vec<SpotPrice>> {
        let request = json!({
            "InstanceType": types,
            "ProductDescription": ["Linux/UNIX"],
            "StartTime": now,
        });
        Ok(self.call::<Prices>("DescribeSpotPriceHistory", &request).await?.spot_price_history_set.item)
    }
}
