//! [`AwsEc2Backend`]: the [`ComputeBackend`] of EC2.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use lithops_core::{
    compute::{
        BackendDescriptor, BackendInfo, BackendOptions, Capabilities, Check, CloseMode, ComputeBackend,
        Invocation, InvocationId, InvokeRequest, Leftover, Package, Runtime, RuntimeId, RuntimeSpec, Scaled,
        WaitingWorkers,
    },
    error::{Error, ErrorKind, Result},
    process::PULL,
    protocol::{Launch, Program},
    storage::{Locator, StorageClient},
};
use tokio::sync::{Mutex, OnceCell};

use crate::{
    SCHEME,
    api::{ec2::Ec2, failure},
    by_hand,
    config::{Ec2Config, keys},
    doctor,
    fleet::{self, Ec2Fleet, Place, Start},
    image, leftovers,
    program::{self, FleetProgram},
};

/// The security group that is made where none is named.
pub(crate) const SECURITY_GROUP: &str = "lithops";

/// The descriptor that this crate registers.
pub(crate) const DESCRIPTOR: BackendDescriptor = BackendDescriptor {
    scheme: SCHEME,
    summary: "virtual machines of AWS EC2",
    package: env!("CARGO_PKG_NAME"),
    version: env!("CARGO_PKG_VERSION"),
    keys: keys::KEYS,
    capabilities: |config| Ok(Ec2Config::read(config)?.capabilities),
    connect: |options| {
        Box::pin(async move {
            let backend: Arc<dyn ComputeBackend> = Arc::new(AwsEc2Backend::new(options)?);
            Ok(backend)
        })
    },
};

/// Runs calls on instances of EC2.
#[derive(Debug)]
pub struct AwsEc2Backend {
    pub(crate) config: Ec2Config,
    pub(crate) program: Program,
    pub(crate) max_workers: usize,
    pub(crate) storage: Option<(StorageClient, Locator)>,
    ec2: OnceCell<Ec2>,
    place: OnceCell<Place>,
    stored: OnceCell<FleetProgram>,
    fleets: Mutex<HashMap<String, Ec2Fleet>>,
}

impl AwsEc2Backend {
    /// The backend under a configuration. EC2 is not asked for anything yet.
    ///
    /// # Errors
    /// When the configuration is wrong.
    pub fn new(options: BackendOptions) -> Result<Self> {
        Ok(Self {
            config: Ec2Config::read(&options.config)?,
            program: options.program,
            max_workers: options.max_workers,
            storage: options.storage,
            ec2: OnceCell::new(),
            place: OnceCell::new(),
            stored: OnceCell::new(),
            fleets: Mutex::default(),
        })
    }

    pub(crate) async fn ec2(&self) -> Result<&Ec2> {
        self.ec2.get_or_try_init(|| Ec2::connect(&self.config)).await
    }

    /// Where instances are. A security group is made the first time, where none is named and none is there.
    pub(crate) async fn place(&self) -> Result<&Place> {
        self.place.get_or_try_init(|| async { place(self.ec2().await?, &self.config).await }).await
    }

    fn storage(&self) -> Result<&StorageClient> {
        let none = || {
            Error::new(
                ErrorKind::ConfigInvalid,
                "workers of EC2 share their work over a storage, and there is none",
            )
        };
        self.storage.as_ref().map(|(storage, _)| storage).ok_or_else(none)
    }

    /// The program, stored for the instances the first time.
    pub(crate) async fn stored(&self) -> Result<&FleetProgram> {
        self.stored
            .get_or_try_init(|| async { program::store(&self.config, &self.program, self.storage()?).await })
            .await
    }
}

/// The subnets of the configuration, or those of the network, with their security group.
pub(crate) async fn place(ec2: &Ec2, config: &Ec2Config) -> Result<Place> {
    let subnets = ec2.subnets(&config.subnets, config.vpc.as_deref()).await;
    let subnets = subnets.map_err(|error| failure::of(error, "look at the subnets"))?;
    let Some(vpc) = subnets.first().map(|subnet| subnet.vpc_id.clone()) else {
        let problem = format!("there is no subnet for instances in {}", ec2.region());
        return Err(Error::new(ErrorKind::ConfigInvalid, problem)
            .with_hint("name some: `aws_ec2: {subnet_ids: [subnet-..]}`, or make the default network: `aws ec2 create-default-vpc`"));
    };
    if let Some(other) = subnets.iter().find(|subnet| subnet.vpc_id != vpc) {
        let problem = format!("the subnets are in two networks, {vpc} and {}", other.vpc_id);
        return Err(Error::new(ErrorKind::ConfigInvalid, problem).with_hint("name subnets of one network"));
    }
    let security_group = match &config.security_group {
        Some(group) => group.clone(),
        None => security_group(ec2, &vpc).await?,
    };
    let root_device = match config.asks_root {
        true => image::of(config, ec2).await?.root_device_name,
        false => config.root_device.clone(),
    };
    Ok(Place {
        subnets: subnets.into_iter().map(|subnet| subnet.subnet_id).collect(),
        security_group,
        root_device,
    })
}

async fn security_group(ec2: &Ec2, vpc: &str) -> Result<String> {
    let look = || async {
        let found = ec2.security_group(SECURITY_GROUP, vpc).await;
        found.map_err(|error| failure::of(error, "look for the security group `lithops`"))
    };
    if let Some(group) = look().await? {
        return Ok(group);
    }
    match ec2.create_security_group(SECURITY_GROUP, vpc).await {
        Ok(group) => Ok(group),
        // Another client has made it meanwhile.
        Err(error) if error.code == "InvalidGroup.Duplicate" => {
            look().await?.ok_or_else(|| failure::of(error, "make the security group `lithops`"))
        }
        Err(error) => Err(failure::of(error, "make the security group `lithops`")),
    }
}

#[async_trait]
impl ComputeBackend for AwsEc2Backend {
    fn info(&self) -> BackendInfo {
        let region = self.config.access.region.clone();
        let location = region
            .as_ref()
            .map_or_else(|| "the region of the profile".to_owned(), |region| format!("the region {region}"));
        BackendInfo { scheme: SCHEME, region, location }
    }

    fn capabilities(&self) -> &Capabilities {
        &self.config.capabilities
    }

    async fn scale(&self, launch: &Launch, workers: usize) -> Result<Scaled> {
        let most = workers.min(self.max_workers);
        if self.config.is_consuming {
            let region = self.ec2().await?.region();
            return by_hand::scaled((launch, self.stored().await?, region), most, self.storage()?).await;
        }
        if self.config.instance_role.is_none() {
            return Err(fleet::no_role());
        }
        let client = client_name();
        let start = Start {
            ec2: self.ec2().await?,
            config: &self.config,
            program: self.stored().await?,
            storage: self.storage()?,
            place: self.place().await?,
            client: &client,
            transport: PULL,
        };
        let mut fleets = self.fleets.lock().await;
        let new = || Ec2Fleet::new(launch, &self.config, start.place);
        let mut scaled = fleets.entry(launch.fleet.clone()).or_insert_with(new).scale(most, start).await?;
        if workers > most {
            let why = format!("at most {most} workers may run at once (`max_workers`)");
            scaled.waiting.push(WaitingWorkers { count: workers - most, why, is_hopeless: false });
        }
        Ok(scaled)
    }

    async fn fleet_ended(&self, launch: &Launch) -> Result<()> {
        let mut fleets = self.fleets.lock().await;
        match fleets.get_mut(&launch.fleet) {
            Some(fleet) => fleet.end(self.ec2().await?).await?,
            None if self.config.is_consuming => {}
            None => return Ok(()),
        }
        fleets.remove(&launch.fleet);
        let (storage, prefix) = (self.storage()?, fleet::started_prefix(&launch.fleet));
        let marks = storage.list_keys(storage.bucket(), &prefix).await?;
        if !marks.is_empty() {
            storage.delete_objects(storage.bucket(), marks).await?;
        }
        Ok(())
    }

    async fn cancel(&self, _: &InvocationId) -> Result<()> {
        Ok(())
    }

    async fn check(&self) -> Vec<Check> {
        doctor::check(self).await
    }

    async fn leftovers(&self) -> Result<Vec<Leftover>> {
        leftovers::find(self, self.ec2().await?).await
    }

    async fn remove_leftover(&self, leftover: &Leftover) -> Result<()> {
        leftovers::remove(self.ec2().await?, leftover).await
    }

    async fn check_live(&self) -> Vec<Check> {
        doctor::check_live(self).await
    }

    async fn close(&self, mode: CloseMode) -> Result<()> {
        // Workers read in the storage that their fleet is closed, and end with their instances.
        if mode == CloseMode::Drain {
            return Ok(());
        }
        let mut fleets = self.fleets.lock().await;
        let mut failed = None;
        for fleet in fleets.values_mut() {
            if let Err(error) = fleet.end(self.ec2().await?).await {
                failed.get_or_insert(error);
            }
        }
        fleets.clear();
        failed.map_or(Ok(()), Err)
    }

    async fn invoke(&self, _: InvokeRequest) -> Result<Invocation> {
        Err(unsupported("hands nothing over: its workers pull"))
    }

    async fn build_runtime(&self, _: &RuntimeSpec) -> Result<Package> {
        Err(unsupported("has no runtimes: instances fetch the program"))
    }

    async fn deploy_runtime(&self, _: &RuntimeSpec) -> Result<Runtime> {
        Err(unsupported("has no runtimes: instances fetch the program"))
    }

    async fn list_runtimes(&self) -> Result<Vec<Runtime>> {
        Ok(Vec::new())
    }

    async fn delete_runtime(&self, _: &RuntimeId) -> Result<()> {
        Err(unsupported("has no runtimes: instances fetch the program"))
    }
}

fn unsupported(what: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("{SCHEME} {what}"))
}

/// Who asks for instances, for people that look at them.
pub(crate) fn client_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{} {}", host.trim(), std::process::id())
}
