//! [`Ec2`]: the actions of EC2 that are needed.

use lithops_cloud_aws::{Form, Service, ServiceError, region_of};
use lithops_core::error::Result;
use serde_json::{Value, json};

use crate::{
    SCHEME,
    api::answers::{
        Console, Done, FleetAnswer, Group, Groups, ImageInfo, Images, Instance, Instances, NamedTemplate,
        Prices, RouteTable, RouteTables, SpotPrice, Subnet, Subnets, Templates, TypeInfo, Types,
    },
    config::Ec2Config,
    template::FLEET,
};

/// The version of the API of EC2.
const VERSION: &str = "2016-11-15";
/// The most instances that one request ends.
const TERMINATED_AT_ONCE: usize = 1000;

/// EC2 in a region.
#[derive(Debug, Clone)]
pub(crate) struct Ec2(Service);

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

    /// Ends instances; gives those that EC2 does not know: it has forgotten them, or has not heard of them yet.
    pub(crate) async fn terminate(&self, instances: &[String]) -> Answer<Vec<String>> {
        let mut left: Vec<&[String]> = instances.chunks(TERMINATED_AT_ONCE).collect();
        let (mut unknown, mut failed) = (Vec::new(), None);
        while let Some(some) = left.pop() {
            match self.call::<Done>("TerminateInstances", &json!({"InstanceId": some})).await {
                Ok(_) => {}
                // One that is not known keeps all others of the request alive.
                Err(error) if error.code == "InvalidInstanceID.NotFound" => match some {
                    [one] => unknown.push(one.clone()),
                    some => left.extend(some.chunks(some.len().div_ceil(2).max(1))),
                },
                // The others are ended all the same: they cost.
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(unknown), Err)
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

    /// The route tables of a network.
    pub(crate) async fn route_tables(&self, vpc: &str) -> Answer<Vec<RouteTable>> {
        let request = json!({"Filter": [{"Name": "vpc-id", "Value": [vpc]}]});
        Ok(self.call::<RouteTables>("DescribeRouteTables", &request).await?.route_table_set.item)
    }

    /// Asks whether an action would be allowed, and does nothing.
    pub(crate) async fn try_dry(&self, action: &str, request: &Value) -> Answer<()> {
        let mut request = request.clone();
        request["DryRun"] = true.into();
        match self.call::<Done>(action, &request).await {
            Ok(_) => Ok(()),
            Err(error) if error.code == "DryRunOperation" => Ok(()),
            Err(error) => Err(error),
        }
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

    /// What is known of an image.
    pub(crate) async fn image(&self, id: &str) -> Answer<ImageInfo> {
        let images: Images = self.call("DescribeImages", &json!({"ImageId": [id]})).await?;
        let unknown = || ServiceError::said("InvalidAMIID.NotFound", &format!("there is no image `{id}`"));
        images.images_set.item.into_iter().next().ok_or_else(unknown)
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
