//! The subnets, how instances in them reach S3, and the security group.

use lithops_core::compute::{Check, Severity};

use super::findings::{bad, fine, problem};
use crate::{
    api::{
        answers::{RouteTable, Subnet},
        ec2::Ec2,
        failure,
    },
    backend::SECURITY_GROUP,
    config::Ec2Config,
};

/// All findings about the network.
pub(super) async fn network(config: &Ec2Config, ec2: &Ec2) -> Vec<Check> {
    let subnets = match ec2.subnets(&config.subnets, config.vpc.as_deref()).await {
        Ok(subnets) => subnets,
        Err(error) => return vec![bad(&failure::of(error, "look at the subnets"))],
    };
    let Some(Subnet { vpc_id, .. }) = subnets.first() else {
        return vec![problem(
            format!("there is no subnet for instances in {}", ec2.region()),
            Severity::Error,
            "name some in `subnet_ids`, or make the default network: `aws ec2 create-default-vpc`",
        )];
    };
    let zones: Vec<_> = subnets.iter().map(|subnet| subnet.availability_zone.as_str()).collect();
    let mut found =
        vec![fine(format!("instances are in {} subnets of {vpc_id}: {}", zones.len(), zones.join(", ")))];
    match ec2.route_tables(vpc_id).await {
        Ok(tables) => found.extend(subnets.iter().filter_map(|subnet| route(subnet, &tables))),
        Err(error) => found.push(problem(
            failure::of(error, "look at the routes of the subnets").message().to_owned(),
            Severity::Warning,
            "instances must reach S3: by an internet gateway, a NAT gateway or a gateway endpoint",
        )),
    }
    if found.len() == 1 {
        found.push(fine("a route leads to S3 from each subnet".into()));
    }
    if config.security_group.is_none() {
        found.push(match ec2.security_group(SECURITY_GROUP, vpc_id).await {
            Ok(Some(group)) => fine(format!("the security group `{SECURITY_GROUP}` is {group}")),
            Ok(None) => fine(format!(
                "the security group `{SECURITY_GROUP}` is made with the first job: nothing is let in"
            )),
            Err(error) => bad(&failure::of(error, "look for the security group")),
        });
    }
    found
}

/// What is wrong with the route from a subnet to S3.
fn route(subnet: &Subnet, tables: &[RouteTable]) -> Option<Check> {
    let own = tables.iter().find(|table| table.is_of(&subnet.subnet_id));
    let Some(table) = own.or_else(|| tables.iter().find(|table| table.is_main())) else {
        let finding = format!("the subnet {} has no route table that can be seen", subnet.subnet_id);
        return Some(problem(finding, Severity::Warning, "look at the routes of its network"));
    };
    let is_open = table.has_internet_gateway() && subnet.map_public_ip_on_launch;
    if is_open || table.has_way_out() || table.has_endpoint() {
        return None;
    }
    let (why, remedy) = if table.has_internet_gateway() {
        (
            "gives instances no public address, and its internet gateway serves only those that have one",
            "let it give addresses, or make a gateway endpoint of S3, which is free: `aws ec2 create-vpc-endpoint`",
        )
    } else {
        (
            "has no route to S3: no internet gateway, no NAT gateway and no gateway endpoint",
            "make a gateway endpoint of S3, which is free: `aws ec2 create-vpc-endpoint`",
        )
    };
    // Nothing is known of gateways that other accounts share, or of networks within networks.
    Some(problem(format!("the subnet {} {why}", subnet.subnet_id), Severity::Warning, remedy))
}
