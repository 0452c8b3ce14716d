//! [`Ec2Fleet`]: the instances of one fleet: how many there are, and what keeps the others from starting.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant, SystemTime},
};

use lithops_core::{
    compute::{FleetMark, Scaled, WaitingWorkers, WorkerEnd},
    error::{Error, ErrorKind, Result, Retry},
    fleet::Fleet,
    protocol::Launch,
    storage::StorageClient,
};
use tokio::time::sleep;

use crate::{
    api::{
        answers::Instance,
        ec2::Ec2,
        failure::{self, Shortfall},
        time,
    },
    config::{Ec2Config, Spot, prices::SpotMarket},
    console,
    instance::{EndCause, InstanceState, PENDING},
    program::FleetProgram,
    template::{self, Template},
    user_data,
    waves::{Pools, WAVE, Wave},
};

/// The shortest time between two waves.
const BETWEEN_WAVES: Duration = Duration::from_secs(5);
/// The same after one that was not wholly fulfilled.
const AFTER_SHORTFALL: Duration = Duration::from_secs(10);
/// The time between two looks at the instances, while some are on their way, and later.
const LOOK: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));
/// How long an instance that was just started may be in no description.
const UNSEEN: Duration = Duration::from_secs(60);
/// How often EC2 is asked, once a second, to end instances that it does not know yet.
const HEARS: usize = 10;
/// How long an unknown instance profile may be one that was just made.
const YOUNG: Duration = Duration::from_secs(30);
/// How long the fleet may be without any instance for reasons that waiting does not mend, such as a quota.
const LASTING: Duration = Duration::from_secs(300);
/// After this many instances in a row that did not start their workers, while none has, no further one is started.
const FALSE_STARTS: usize = 3;

/// What the instances of a fleet are started from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start<'a> {
    pub(crate) ec2: &'a Ec2,
    pub(crate) config: &'a Ec2Config,
    pub(crate) program: &'a FleetProgram,
    pub(crate) storage: &'a StorageClient,
    pub(crate) place: &'a Place,
    pub(crate) client: &'a str,
    /// What the program is on the instance: a worker, or one that only tries the storage.
    pub(crate) transport: &'static str,
}

/// Where instances are, and what only EC2 knows of their image.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) subnets: Vec<String>,
    pub(crate) security_group: String,
    /// How the image calls its first disk.
    pub(crate) root_device: String,
}

/// The instances of one fleet.
#[derive(Debug)]
pub(crate) struct Ec2Fleet {
    launch: Launch,
    pools: Pools,
    instances: BTreeMap<String, Seen>,
    next: u64,
    /// The wave whose answer has not come yet.
    begun: Option<Wave>,
    /// The templates that may be there.
    templates: BTreeSet<String>,
    looked: Option<Instant>,
    next_wave: Option<Instant>,
    shortfall: Option<Waits>,
    /// Since when spot instances are refused.
    spot_refused: Option<Instant>,
    unknown_profile: Option<Instant>,
    lasting: Option<Instant>,
    /// Whether the account has no role for spot instances: all are on demand then.
    has_no_spot: bool,
    false_starts: usize,
    has_started: bool,
    /// What spot instances cost, once there are any; nothing where EC2 does not say it.
    market: Option<SpotMarket>,
    /// The workers whose ends are to be told.
    ended: Vec<(String, WorkerEnd)>,
}

/// What keeps instances from starting.
#[derive(Debug)]
struct Waits {
    why: Vec<String>,
}

#[derive(Debug)]
struct Seen {
    state: InstanceState,
    since: Instant,
    is_described: bool,
    /// Whether its worker was started.
    has_started: bool,
    is_told: bool,
    /// What an hour of it costs, in US dollars, once it was described.
    hour_usd: Option<f64>,
}

impl Seen {
    /// One that was asked for just now.
    fn new() -> Self {
        Self {
            state: InstanceState::Pending,
            since: Instant::now(),
            is_described: false,
            has_started: false,
            is_told: false,
            hour_usd: None,
        }
    }
}

impl Ec2Fleet {
    /// A fleet without instances.
    pub(crate) fn new(launch: &Launch, config: &Ec2Config, place: &Place) -> Self {
        Self {
            launch: launch.clone(),
            pools: Pools::of(&config.types, &place.subnets),
            instances: BTreeMap::new(),
            next: 1,
            begun: None,
            templates: BTreeSet::new(),
            looked: None,
            next_wave: None,
            shortfall: None,
            spot_refused: None,
            unknown_profile: None,
            lasting: None,
            has_no_spot: false,
            false_starts: 0,
            has_started: false,
            market: None,
            ended: Vec::new(),
        }
    }

    /// Asks for instances until `wanted` of them run or are coming; gives the state of the fleet.
    ///
    /// # Errors
    /// When workers can never run, or EC2 does not say what there is.
    pub(crate) async fn scale(&mut self, wanted: usize, start: Start<'_>) -> Result<Scaled> {
        self.look(start).await?;
        self.note_ends(start).await?;
        let missing = wanted.saturating_sub(self.at_hand());
        if self.begun.is_some() || missing > 0 {
            self.ask(missing, start).await?;
        } else {
            self.shortfall = None;
        }
        let missing = wanted.saturating_sub(self.at_hand());
        Ok(self.scaled(missing))
    }

    /// Ends all instances and deletes the templates. The workers would read in the storage that their fleet has ended, and
    /// end with their instances: some seconds later, which cost.
    ///
    /// # Errors
    /// When EC2 does not answer, or refuses.
    pub(crate) async fn end(&mut self, ec2: &Ec2) -> Result<()> {
        // Those that are known first: until then they cost.
        let mut failed = self.end_live_ones(ec2).await.err();
        // What a wave without an answer has started is in no list but that of EC2.
        match ec2.instances(Some(&self.launch.fleet)).await {
            Ok(described) => {
                for instance in &described {
                    self.note(&instance.instance_id, InstanceState::of(instance));
                }
                failed = failed.or(self.end_young_ones(ec2).await.err());
                failed = failed.or(end_stopped_ones(ec2, &described).await.err());
            }
            Err(error) => {
                failed.get_or_insert(failure::of(error, "list the instances of the fleet"));
            }
        }
        for name in std::mem::take(&mut self.templates) {
            if let Err(error) = ec2.delete_template(&name).await {
                failed.get_or_insert(failure::of(error, &format!("delete the launch template `{name}`")));
                self.templates.insert(name);
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Ends what lives, also what EC2 hears of only some seconds after it has started it.
    async fn end_young_ones(&mut self, ec2: &Ec2) -> Result<()> {
        for _ in 0..HEARS {
            if self.end_live_ones(ec2).await? == 0 {
                return Ok(());
            }
            sleep(LOOK.0).await;
        }
        let left = self.end_live_ones(ec2).await?;
        if left > 0 {
            tracing::warn!(
                left,
                "EC2 does not know instances that it has started: they end when they see that their fleet is closed"
            );
        }
        Ok(())
    }

    /// Ends what lives; gives how many instances EC2 has not heard of yet.
    async fn end_live_ones(&mut self, ec2: &Ec2) -> Result<usize> {
        let lives = |seen: &Seen| !matches!(seen.state, InstanceState::Ended(_));
        let ids: Vec<String> =
            self.instances.iter().filter(|(_, seen)| lives(seen)).map(|(id, _)| id.clone()).collect();
        if ids.is_empty() {
            return Ok(0);
        }
        let unknown = ec2.terminate(&ids).await;
        let unknown = unknown.map_err(|error| failure::of(error, "end the instances of the fleet"))?;
        let mut young = 0;
        for id in ids {
            let Some(seen) = self.instances.get_mut(&id) else { continue };
            if unknown.contains(&id) && !seen.is_described && seen.since.elapsed() < UNSEEN {
                young += 1;
            } else {
                seen.state = InstanceState::Ended(EndCause::Terminated("its fleet has ended".to_owned()));
            }
        }
        Ok(young)
    }

    /// How many instances run or are coming.
    fn at_hand(&self) -> usize {
        self.instances.values().filter(|seen| !matches!(seen.state, InstanceState::Ended(_))).count()
    }

    fn note(&mut self, id: &str, state: InstanceState) {
        let seen = self.instances.entry(id.to_owned()).or_insert_with(Seen::new);
        seen.is_described = true;
        if seen.state != state {
            (seen.state, seen.since) = (state, Instant::now());
        }
    }

    /// Looks at the instances, and at which workers were started.
    async fn look(&mut self, start: Start<'_>) -> Result<()> {
        let is_starting = |seen: &Seen| match seen.state {
            InstanceState::Pending => true,
            InstanceState::Running => !seen.has_started,
            InstanceState::Ended(_) => false,
        };
        let pause = if self.instances.values().any(is_starting) { LOOK.0 } else { LOOK.1 };
        if self.instances.is_empty() || self.looked.is_some_and(|at| at.elapsed() < pause) {
            return Ok(());
        }
        let described = start.ec2.instances(Some(&self.launch.fleet)).await;
        let described = described.map_err(|error| failure::of(error, "list the instances of the fleet"))?;
        self.looked = Some(Instant::now());
        let has_spot = described.iter().any(Instance::is_spot);
        if has_spot && self.market.is_none() && !start.config.is_priced {
            self.market = Some(market(start).await);
        }
        for instance in &described {
            self.note(&instance.instance_id, InstanceState::of(instance));
            if let Some(seen) = self.instances.get_mut(&instance.instance_id) {
                seen.hour_usd = Some(start.config.hour_usd(instance, self.market.as_ref()));
            }
        }
        for seen in self.instances.values_mut() {
            if !seen.is_described && seen.since.elapsed() > UNSEEN && seen.state == InstanceState::Pending {
                seen.state = InstanceState::Ended(EndCause::Platform("EC2 does not know it any more".into()));
            }
        }
        // Also those that have ended since: whether they had started says how they ended.
        if self.instances.values().any(|seen| !seen.has_started && !seen.is_told) {
            let prefix = started_prefix(&self.launch.fleet);
            for key in start.storage.list_keys(start.storage.bucket(), &prefix).await? {
                if let Some(seen) = key.strip_prefix(&prefix).and_then(|id| self.instances.get_mut(id)) {
                    seen.has_started = true;
                    (self.has_started, self.false_starts) = (true, 0);
                }
            }
        }
        end_stopped_ones(start.ec2, &described).await?;
        self.end_late_ones(start).await
    }

    /// Ends instances that do not get on.
    async fn end_late_ones(&mut self, start: Start<'_>) -> Result<()> {
        let mut late = Vec::new();
        for (id, seen) in &mut self.instances {
            let words = match seen.state {
                InstanceState::Pending if seen.since.elapsed() > PENDING => {
                    format!("it was pending for {} s", PENDING.as_secs())
                }
                InstanceState::Running
                    if !seen.has_started && seen.since.elapsed() > start.config.start_timeout =>
                {
                    format!("it has started no worker in {} s", start.config.start_timeout.as_secs())
                }
                _ => continue,
            };
            seen.state = InstanceState::Ended(EndCause::Platform(words));
            late.push(id.clone());
        }
        if late.is_empty() {
            return Ok(());
        }
        let ended = start.ec2.terminate(&late).await.map(drop);
        ended.map_err(|error| failure::of(error, "end instances that have started no worker"))
    }

    /// Notes the workers that have ended since the last time, and how.
    async fn note_ends(&mut self, start: Start<'_>) -> Result<()> {
        let fleet = Fleet::new(start.storage, &self.launch.fleet, self.launch.verify);
        let mut false_start = None;
        for (id, seen) in &mut self.instances {
            let InstanceState::Ended(cause) = &seen.state else { continue };
            if seen.is_told {
                continue;
            }
            let refusal = fleet.ended(id).await?;
            seen.is_told = true;
            if !seen.has_started
                && refusal.is_none()
                && let Some(words) = cause.of_false_start()
            {
                self.false_starts += 1;
                self.ended.push((id.clone(), WorkerEnd::Lost(words.clone())));
                false_start = Some((id.clone(), words));
                continue;
            }
            self.ended.push((id.clone(), cause.of_worker(refusal)));
        }
        match false_start {
            Some((id, words)) if self.false_starts >= FALSE_STARTS && !self.has_started => {
                Err(console::in_vain(start.ec2, self.false_starts, (&id, &words)).await)
            }
            _ => Ok(()),
        }
    }

    /// Asks for a wave of the missing instances, or again for one that has had no answer.
    async fn ask(&mut self, missing: usize, start: Start<'_>) -> Result<()> {
        if self.begun.is_none() && self.next_wave.is_some_and(|at| Instant::now() < at) {
            return Ok(());
        }
        let wave = match &self.begun {
            Some(wave) => wave.clone(),
            None => {
                let is_spot = self.is_spot(start.config);
                let pools = self.pools.to_ask(is_spot);
                let wave = Wave { number: self.next, instances: missing.min(WAVE), is_spot, pools };
                self.next += 1;
                // Also one whose request fails half-way, or is not waited for any more, is to be ended in the end.
                self.begun = Some(wave.clone());
                wave
            }
        };
        let name = template::name(&self.launch.fleet, wave.number);
        self.templates.insert(name.clone());
        let script = user_data::script(start, &self.launch)?;
        let role = start.config.instance_role.as_deref().ok_or_else(no_role)?;
        let mark = FleetMark::of(&self.launch);
        let template = Template {
            config: start.config,
            fleet: &mark,
            role,
            security_group: &start.place.security_group,
            root_device: &start.place.root_device,
            script: &script,
            client: start.client,
        };
        let created = start.ec2.create_template(&template.request(wave.number)).await;
        created.map_err(|error| failure::of(error, &format!("create the launch template `{name}`")))?;
        let answer = match start.ec2.create_fleet(&wave.request(&mark)).await {
            Ok(answer) => answer,
            // It is asked for again, by the same template.
            Err(error) if error.may_pass() || failure::is_young_template(&error) => {
                return Err(failure::of(error, "start instances"));
            }
            Err(error) => {
                // A refusal is an answer: there is nothing to be asked for again.
                self.begun = None;
                if wave.is_spot && start.config.spot == Spot::First && failure::lacks_spot_role(&error) {
                    self.has_no_spot = true;
                    return Ok(());
                }
                return Err(failure::of(error, "start instances"));
            }
        };
        self.begun = None;
        let started: Vec<String> = answer.started().cloned().collect();
        for id in &started {
            self.instances.entry(id.clone()).or_insert_with(Seen::new);
        }
        self.answered(&wave, started.len(), Shortfall::of(answer.errors(), wave.is_spot), start.config.spot)?;
        // Instances need it no more, and a client that is killed leaves none.
        match start.ec2.delete_template(&name).await {
            Ok(()) => drop(self.templates.remove(&name)),
            Err(error) => tracing::warn!(name, error = error.words(), "the launch template is still there"),
        }
        Ok(())
    }

    /// Notes what a wave has come to.
    fn answered(&mut self, wave: &Wave, started: usize, shortfall: Shortfall, spot: Spot) -> Result<()> {
        let now = Instant::now();
        let is_whole = started >= wave.instances;
        self.next_wave = Some(now + if is_whole { BETWEEN_WAVES } else { AFTER_SHORTFALL });
        if let Some(fatal) = shortfall.fatal
            && self.at_hand() == 0
        {
            return Err(fatal);
        }
        if let Some(error) = shortfall.no_spot_role {
            match spot {
                Spot::First => (self.has_no_spot, self.next_wave) = (true, None),
                _ if self.at_hand() == 0 => return Err(error),
                _ => {}
            }
        }
        if is_whole {
            (self.shortfall, self.unknown_profile, self.lasting) = (None, None, None);
            if wave.is_spot {
                self.spot_refused = None;
            }
            return Ok(());
        }
        self.pools.note_empty(wave.is_spot, &shortfall.empty);
        if wave.is_spot {
            self.spot_refused.get_or_insert(now);
        }
        let since = |is_so: bool, since: Option<Instant>| is_so.then(|| since.unwrap_or(now));
        self.unknown_profile = since(shortfall.is_unknown_profile, self.unknown_profile);
        self.lasting = since(shortfall.is_lasting, self.lasting);
        let mut why = shortfall.why;
        if why.is_empty() {
            why.push(format!(
                "EC2 has started {started} of {} instances, and says no reason",
                wave.instances
            ));
        }
        self.shortfall = Some(Waits { why });
        Ok(())
    }

    /// Whether the next wave is one of spot instances.
    fn is_spot(&self, config: &Ec2Config) -> bool {
        match config.spot {
            Spot::Never => false,
            Spot::Only => true,
            Spot::First if self.has_no_spot => false,
            Spot::First => self.spot_refused.is_none_or(|since| since.elapsed() < config.spot_patience),
        }
    }

    fn scaled(&mut self, missing: usize) -> Scaled {
        let mut scaled = Scaled { ended: std::mem::take(&mut self.ended), ..Scaled::default() };
        for (id, seen) in &self.instances {
            match seen.state {
                InstanceState::Pending => scaled.coming += 1,
                InstanceState::Running => {
                    scaled.live.push(id.clone());
                    scaled.hour_usd.extend(seen.hour_usd.map(|usd| (id.clone(), usd)));
                }
                InstanceState::Ended(_) => {}
            }
        }
        let is_over =
            |since: Option<Instant>, limit: Duration| since.is_some_and(|since| since.elapsed() > limit);
        let is_hopeless =
            self.at_hand() == 0 && (is_over(self.unknown_profile, YOUNG) || is_over(self.lasting, LASTING));
        if missing > 0 {
            let why = match &self.shortfall {
                Some(waits) => waits.why.join("; "),
                None => "they are asked for in a moment".to_owned(),
            };
            match &self.shortfall {
                Some(_) => scaled.waiting.push(WaitingWorkers { count: missing, why, is_hopeless }),
                // The next wave is only some seconds away.
                None => scaled.coming += missing,
            }
        }
        scaled
    }
}

/// Ends instances that a user has stopped: nothing starts them again, and their disks cost.
async fn end_stopped_ones(ec2: &Ec2, described: &[Instance]) -> Result<()> {
    let stopped = described.iter().filter(|one| one.is_stopped());
    let stopped: Vec<String> = stopped.map(|one| one.instance_id.clone()).collect();
    if stopped.is_empty() {
        return Ok(());
    }
    let ended = ec2.terminate(&stopped).await.map(drop);
    ended.map_err(|error| failure::of(error, "end instances that were stopped"))
}

/// What spot instances cost now. It is asked once for a fleet.
async fn market(start: Start<'_>) -> SpotMarket {
    match start.ec2.spot_prices(&start.config.types, &time::timestamp(SystemTime::now())).await {
        Ok(prices) => SpotMarket::of(&prices),
        Err(error) => {
            tracing::warn!(
                error = error.words(),
                "cannot ask what spot instances cost: an estimate is counted"
            );
            SpotMarket::default()
        }
    }
}

/// The folder of the marks that instances put when they start their workers.
pub(crate) fn started_prefix(fleet: &str) -> String {
    format!("lithops.fleets/{fleet}/started/")
}

/// The error of a configuration without an instance profile.
pub(crate) fn no_role() -> Error {
    Error::new(
        ErrorKind::ConfigInvalid,
        "`instance_role` is missing in section `aws_ec2`: workers open S3 as that role",
    )
    .with_hint("name an instance profile, which is made by four commands: they stand in the README below `EC2`; `lithops doctor` prints the policy that its role needs")
    .with_context("key", "aws_ec2.instance_role")
    .with_retry(Retry::Never)
}
