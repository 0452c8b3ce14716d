//! What EC2 answers, as far as it is looked at.

use serde::Deserialize;

/// A list of things.
#[derive(Debug, Deserialize)]
#[serde(default)]
pub(crate) struct Items<T> {
    #[serde(bound(deserialize = "T: Deserialize<'de>"))]
    pub(crate) item: Vec<T>,
}

impl<T> Default for Items<T> {
    fn default() -> Self {
        Self { item: Vec::new() }
    }
}

/// An answer that says nothing more.
#[derive(Debug, Deserialize)]
pub(crate) struct Done {}

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
pub(crate) struct Instances {
    pub(crate) reservation_set: Items<Reservation>,
    pub(crate) next_token: String,
}

#[derive(Debug, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Reservation {
    pub(crate) instances_set: Items<Instance>,
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
    /// Its public address, where it has one.
    ip_address: String,
    placement: Placement,
    tag_set: Items<Tag>,
}

#[derive(Debug, Deserialize, Default, Clone)]
#[serde(rename_all = "camelCase", default)]
struct Placement {
    availability_zone: String,
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

impl Items<Tag> {
    fn tag(&self, key: &str) -> Option<&str> {
        self.item.iter().find(|tag| tag.key == key).map(|tag| tag.value.as_str())
    }
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

    /// A running one of this type, which was bought in this way in this zone.
    #[cfg(test)]
    pub(crate) fn running(instance_type: &str, lifecycle: &str, zone: &str, address: &str) -> Self {
        Self {
            instance_type: instance_type.to_owned(),
            instance_lifecycle: lifecycle.to_owned(),
            ip_address: address.to_owned(),
            placement: Placement { availability_zone: zone.to_owned() },
            ..Self::described("i-1", "running", "", "")
        }
    }

    /// Whether it runs, or is about to.
    pub(crate) fn is_live(&self) -> bool {
        matches!(self.state(), "pending" | "running")
    }

    /// Whether it runs no more and is still there: its disks cost.
    pub(crate) fn is_stopped(&self) -> bool {
        matches!(self.state(), "stopping" | "stopped")
    }

    /// How it was bought, for people.
    pub(crate) fn market(&self) -> &'static str {
        if self.is_spot() { "spot" } else { "on-demand" }
    }

    pub(crate) fn is_spot(&self) -> bool {
        self.instance_lifecycle == "spot"
    }

    pub(crate) fn has_address(&self) -> bool {
        !self.ip_address.is_empty()
    }

    pub(crate) fn zone(&self) -> &str {
        &self.placement.availability_zone
    }

    /// The value of a tag.
    pub(crate) fn tag(&self, key: &str) -> Option<&str> {
        self.tag_set.tag(key)
    }
}

#[derive(Debug, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Console {
    pub(crate) output: String,
}

#[derive(Debug, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Subnets {
    pub(crate) subnet_set: Items<Subnet>,
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
pub(crate) struct RouteTables {
    pub(crate) route_table_set: Items<RouteTable>,
}

/// A route table, and the subnets that it is for.
#[derive(Debug, Deserialize, Default, Clone)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct RouteTable {
    association_set: Items<Association>,
    route_set: Items<Route>,
}

#[derive(Debug, Deserialize, Default, Clone)]
#[serde(rename_all = "camelCase", default)]
struct Association {
    subnet_id: String,
    main: bool,
}

#[derive(Debug, Deserialize, Default, Clone)]
#[serde(rename_all = "camelCase", default)]
struct Route {
    destination_cidr_block: String,
    gateway_id: String,
    nat_gateway_id: String,
    transit_gateway_id: String,
    network_interface_id: String,
    instance_id: String,
    state: String,
}

impl RouteTable {
    pub(crate) fn is_of(&self, subnet: &str) -> bool {
        self.association_set.item.iter().any(|one| one.subnet_id == subnet)
    }

    /// Whether it is for the subnets that have no table of their own.
    pub(crate) fn is_main(&self) -> bool {
        self.association_set.item.iter().any(|one| one.main)
    }

    fn routes(&self) -> impl Iterator<Item = &Route> {
        self.route_set.item.iter().filter(|route| route.state != "blackhole")
    }

    /// Whether instances with a public address reach everything.
    pub(crate) fn has_internet_gateway(&self) -> bool {
        self.routes().any(|route| route.is_default() && route.gateway_id.starts_with("igw-"))
    }

    /// Whether instances without a public address reach everything, through something of the network.
    pub(crate) fn has_way_out(&self) -> bool {
        let others = |route: &Route| {
            [
                &route.nat_gateway_id,
                &route.transit_gateway_id,
                &route.network_interface_id,
                &route.instance_id,
            ]
            .into_iter()
            .any(|id| !id.is_empty())
        };
        self.routes().any(|route| route.is_default() && others(route))
    }

    /// Whether a gateway endpoint leads to a service such as S3: its route is one to a list of addresses.
    pub(crate) fn has_endpoint(&self) -> bool {
        self.routes().any(|route| route.gateway_id.starts_with("vpce-"))
    }
}

impl Route {
    fn is_default(&self) -> bool {
        self.destination_cidr_block == "0.0.0.0/0"
    }
}

#[derive(Debug, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Groups {
    pub(crate) security_group_info: Items<Group>,
}

#[derive(Debug, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Group {
    pub(crate) group_id: String,
}

#[derive(Debug, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Templates {
    pub(crate) launch_templates: Items<NamedTemplate>,
}

/// A launch template.
#[derive(Debug, Deserialize, Default, Clone)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct NamedTemplate {
    pub(crate) launch_template_name: String,
    pub(crate) create_time: String,
    tag_set: Items<Tag>,
}

impl NamedTemplate {
    /// The value of a tag.
    pub(crate) fn tag(&self, key: &str) -> Option<&str> {
        self.tag_set.tag(key)
    }
}

#[derive(Debug, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Images {
    pub(crate) images_set: Items<ImageInfo>,
}

/// What an image is for, and which disk it boots from.
#[derive(Debug, Deserialize, Default, Clone)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ImageInfo {
    pub(crate) image_id: String,
    pub(crate) name: String,
    /// `x86_64` or `arm64`.
    pub(crate) architecture: String,
    /// Such as `/dev/xvda`.
    pub(crate) root_device_name: String,
}

#[derive(Debug, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Types {
    pub(crate) instance_type_set: Items<TypeInfo>,
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
pub(crate) struct Prices {
    pub(crate) spot_price_history_set: Items<SpotPrice>,
}

/// What a spot instance of a type costs in a zone.
#[derive(Debug, Deserialize, Default, Clone)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct SpotPrice {
    pub(crate) instance_type: String,
    pub(crate) spot_price: String,
    pub(crate) availability_zone: String,
}
