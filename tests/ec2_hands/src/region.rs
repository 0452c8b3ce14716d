//! [`Region`]: the instances of moto's region, and their machines.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU16, Ordering},
    },
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    answer,
    faults::Faults,
    fleet::Answered,
    form::Form,
    instance::{Cause, Described, Instance, Life},
    machine::{Machine, Tools},
    moto::{Answer, Moto},
};

/// The time from a notice to the end of a spot instance.
const NOTICE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(20);

/// The instances, and what serves them.
#[derive(Debug)]
pub(crate) struct Region {
    pub(crate) moto: Moto,
    pub(crate) answered: tokio::sync::Mutex<Answered>,
    tools: Tools,
    port: AtomicU16,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    instances: BTreeMap<String, Instance>,
    faults: Faults,
    /// All requests to EC2: the headers that are signed, and the body.
    requests: Vec<Value>,
}

impl Region {
    pub(crate) fn new(moto: Moto, tools: Tools) -> Self {
        let (answered, state) = (tokio::sync::Mutex::default(), Mutex::default());
        Self { moto, answered, tools, port: AtomicU16::new(0), state }
    }

    pub(crate) fn set_port(&self, port: u16) {
        self.port.store(port, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_faults(&self, faults: Faults) {
        self.lock().faults = faults;
    }

    /// How many instances of a market may start, and the code of the errors of the others.
    pub(crate) fn room(&self, is_spot: bool) -> (usize, String) {
        let state = self.lock();
        let live = state.instances.values().filter(|one| one.is_live() && one.is_spot == is_spot).count();
        let code = state.faults.code.clone();
        (state.faults.room(is_spot, live), code.unwrap_or_else(|| "InsufficientInstanceCapacity".to_owned()))
    }

    pub(crate) fn takes_answer(&self, action: &str) -> bool {
        self.lock().faults.takes_answer(action)
    }

    pub(crate) fn refusal(&self, action: &str) -> Option<String> {
        self.lock().faults.refused.get(action).cloned()
    }

    pub(crate) fn note_request(&self, request: Value) {
        self.lock().requests.push(request);
    }

    pub(crate) fn requests(&self) -> Value {
        self.lock().requests.clone().into()
    }

    /// The launch templates that there are, as moto tells them.
    pub(crate) async fn templates(&self) -> Answer {
        let form = Form::of(&[("Action", "DescribeLaunchTemplates"), ("Version", "2016-11-15")]);
        let (status, text) = self.moto.ec2(&form).await;
        let names = answer::between(&text, "<launchTemplateName>", "</launchTemplateName>");
        (status, Value::from(names).to_string())
    }

    pub(crate) fn quota(&self) -> f64 {
        self.lock().faults.quota.unwrap_or(640.0)
    }

    /// What is told of an instance; `None` of one that EC2 has not heard of yet.
    pub(crate) fn described(&self, id: &str) -> Option<Described> {
        if !self.knows(id) {
            return None;
        }
        let mut state = self.lock();
        let instance = state.instances.get_mut(id)?;
        if instance.life == Life::Running {
            instance.told.get_or_insert_with(Instant::now);
        }
        Some(instance.described())
    }

    /// Whether EC2 has heard of an instance: that takes as long as a test wants.
    pub(crate) fn knows(&self, id: &str) -> bool {
        let state = self.lock();
        let unknown = Duration::from_millis(state.faults.unknown_ms);
        state.instances.get(id).is_some_and(|instance| instance.begun.elapsed() >= unknown)
    }

    /// The state of all instances, for tests, in the order in which they were started.
    pub(crate) fn json(&self) -> Value {
        let state = self.lock();
        let mut all: Vec<_> = state.instances.iter().collect();
        all.sort_by_key(|(_, instance)| instance.number);
        all.into_iter().map(|(id, instance)| instance.json(id)).collect()
    }

    /// What an instance has on its console, as EC2 encodes it.
    pub(crate) fn console(&self, id: &str) -> String {
        let state = self.lock();
        let Some(instance) = state.instances.get(id) else { return String::new() };
        instance
            .machine
            .as_ref()
            .map_or_else(|| instance.console.clone(), |machine| STANDARD.encode(machine.console()))
    }

    /// Begins the life of an instance that moto has on record, the next one after `before` others of its request.
    pub(crate) fn begin(self: &Arc<Self>, id: &str, is_spot: bool, before: u32) {
        {
            let instances = &mut self.lock().instances;
            let number = instances.len();
            instances.insert(id.to_owned(), Instance::new(number, is_spot));
        }
        let (region, id) = (Arc::clone(self), id.to_owned());
        tokio::spawn(async move { region.boot(&id, before).await });
    }

    async fn boot(self: Arc<Self>, id: &str, before: u32) {
        let (pending, refuses) = {
            let faults = &self.lock().faults;
            let pending =
                Duration::from_millis(faults.pending_ms) + Duration::from_millis(faults.apart_ms) * before;
            (pending, faults.s3_refuses.clone())
        };
        let form = Form::of(&[
            ("Action", "DescribeInstanceAttribute"),
            ("Version", "2016-11-15"),
            ("InstanceId", id),
            ("Attribute", "userData"),
        ]);
        let (_, answer) = self.moto.ec2(&form).await;
        let encoded = answer::between(&answer, "<value>", "</value>").first().copied().unwrap_or_default();
        let user_data = STANDARD.decode(encoded.trim()).unwrap_or_default();
        sleep(pending).await;
        if !self.lock().instances.get(id).is_some_and(Instance::is_live) {
            return;
        }
        let hands = format!("http://127.0.0.1:{}", self.port.load(Ordering::Relaxed));
        let booted = Machine::boot(&self.tools, id, &user_data, &hands, refuses.as_deref()).await;
        let machine = booted.map_err(|error| report(&format!("{id} does not boot: {error}"))).ok();
        let too_late = {
            let mut state = self.lock();
            match state.instances.get_mut(id).filter(|instance| instance.is_live()) {
                Some(instance) => {
                    (instance.life, instance.running) = (Life::Running, Some(Instant::now()));
                    instance.machine = machine;
                    None
                }
                None => machine,
            }
        };
        if let Some(machine) = too_late {
            machine.end(true).await;
        }
    }

    /// Ends an instance, if it lives.
    pub(crate) fn end(self: &Arc<Self>, id: &str, cause: Cause) {
        let machine = {
            let mut state = self.lock();
            let Some(instance) = state.instances.get_mut(id).filter(|instance| instance.is_live()) else {
                return;
            };
            instance.life = Life::Ending(cause);
            // What is shutting down costs nothing any more.
            instance.ended = Some(Instant::now());
            instance.machine.take()
        };
        let (region, id) = (Arc::clone(self), id.to_owned());
        tokio::spawn(async move {
            let mut console = String::new();
            if let Some(machine) = machine {
                let output = machine.console();
                console = STANDARD.encode(&output);
                machine.end(cause == Cause::Spot).await;
            }
            let form = Form::of(&[
                ("Action", "TerminateInstances"),
                ("Version", "2016-11-15"),
                ("InstanceId.1", &id),
            ]);
            region.moto.ec2(&form).await;
            if let Some(instance) = region.lock().instances.get_mut(&id) {
                (instance.life, instance.console) = (Life::Ended(cause), console);
            }
        });
    }

    /// Ends an instance at a time that it has set itself, unless it has ended before.
    pub(crate) fn end_later(self: &Arc<Self>, id: &str, after: Duration, cause: Cause) {
        let (region, id) = (Arc::clone(self), id.to_owned());
        tokio::spawn(async move {
            sleep(after).await;
            region.end(&id, cause);
        });
    }

    /// Tells a spot instance that it ends in two minutes.
    pub(crate) async fn interrupt(self: &Arc<Self>, id: &str) -> bool {
        let machine = self.lock().instances.get_mut(id).and_then(|instance| instance.machine.take());
        let Some(mut machine) = machine else { return false };
        if let Err(error) = machine.interrupt(&self.tools).await {
            report(&format!("{id} is not interrupted: {error}"));
        }
        let left = {
            let mut state = self.lock();
            match state.instances.get_mut(id).filter(|instance| instance.is_live()) {
                Some(instance) => {
                    instance.machine = Some(machine);
                    None
                }
                None => Some(machine),
            }
        };
        match left {
            Some(machine) => machine.end(true).await,
            None => self.end_later(id, NOTICE, Cause::Spot),
        }
        true
    }

    /// Ends all instances, and waits for that.
    pub(crate) async fn end_all(self: &Arc<Self>) {
        let all: Vec<String> = self.lock().instances.keys().cloned().collect();
        all.iter().for_each(|id| self.end(id, Cause::Spot));
        let is_over = |instance: &Instance| matches!(instance.life, Life::Ended(_));
        while !self.lock().instances.values().all(is_over) {
            sleep(PAUSE).await;
        }
    }

    /// A short word on what there is, for whom it concerns.
    pub(crate) fn summary(&self) -> Value {
        let state = self.lock();
        let live = state.instances.values().filter(|instance| instance.is_live()).count();
        json!({"live": live, "all": state.instances.len()})
    }
}

#[expect(clippy::print_stderr, reason = "the log of a program for tests")]
fn report(words: &str) {
    eprintln!("ec2-hands: {words}");
}
