//! What the end of a sub-worker means for the calls it had.

use lithops_core::{
    error::{Error, ErrorKind, Result},
    protocol::Tag,
};
use rustix::process::Signal;

use super::{
    Pool,
    cause::{self, Evidence, Exit},
    log_pipe::Text,
    state::{FALSE_STARTS, KILLED_STARTS, entry, logs_of, unexpected},
};
use crate::clock;

impl Pool {
    /// A sub-worker has ended: the running call gets its cause, what was begun and lost is said to be, and the rest
    /// goes back unharmed.
    pub(super) fn exited(&mut self, number: u64, exit: Exit, broken: Option<&Error>) -> Result<()> {
        let Some(mut slot) = self.slots.remove(&number) else { return Ok(()) };
        let job_id = slot.job();
        let limit = job_id.and_then(|id| self.jobs.get(&id)).map_or(1 << 20, |job| job.spec.log_limit);
        let rest = slot.log.take_rest(limit);
        let logs = logs_of(&mut slot);
        self.send_logs(logs)?;
        if !slot.ready {
            self.false_start(exit, &rest)?;
        }
        let killed = self.memory.has_killed();
        let out_of_memory = killed || self.memory.is_near_limit(slot.resident.0);
        let mut rest = Some(rest);
        if let Some(job) = job_id.and_then(|id| self.jobs.get_mut(&id)) {
            job.slots -= 1;
        }
        if slot.disowned {
            return self.end_nested(number);
        }
        // What is known of each batch: how many were begun, and how many of them have ended.
        let known: Vec<_> = slot.batches.iter().map(|batch| slot.known(batch)).collect();
        for (batch, (begun, _)) in slot.batches.iter().zip(&known).rev() {
            let unbegun = batch.calls.slice(*begun, batch.calls.run.count - begun);
            if let Some(job) = self.jobs.get_mut(&batch.calls.run.job)
                && unbegun.run.count > 0
            {
                job.push_front(unbegun);
            }
        }
        let begun_at = slot.begun_at(clock::monotonic());
        for (batch, (begun, finished)) in slot.batches.iter().zip(known) {
            if finished < begun {
                let calls = batch.calls.slice(finished, 1);
                let blamed =
                    slot.ending.filter(|(_, number, index)| (*number, *index) == (batch.number, finished));
                let evidence = Evidence {
                    ending: blamed.map(|(ending, ..)| ending),
                    out_of_memory,
                    resident: slot.resident.0,
                };
                let (tag, error) = match (slot.ending, broken) {
                    // It was asked to end because of another call, which has ended meanwhile.
                    (Some(_), _) if blamed.is_none() => (Tag::Lost, cause::unreported()),
                    (None, Some(error)) => cause::unheard(error),
                    (None, None) if slot.ledger.is_cut_off() => cause::judge(Exit::Silent, evidence),
                    _ => cause::judge(exit, evidence),
                };
                // With others that may have run, nobody knows which of them it was.
                let is_alone = begun - finished == 1;
                let (tag, error) = if is_alone { (tag, error) } else { (Tag::Lost, cause::untold()) };
                if let Some(text) = rest.take().filter(|text| !text.is_empty()) {
                    self.send_logs(vec![(calls.run.job, entry(&calls, 0, text))])?;
                }
                self.outcome(&calls, slot.pid, tag, &error, begun_at)?;
            }
            for index in finished + 1..begun {
                let call = batch.calls.slice(index, 1);
                self.outcome(&call, slot.pid, Tag::Lost, &cause::untold(), begun_at)?;
            }
            let lost = batch.calls.slice(batch.reported, finished - batch.reported);
            for index in 0..lost.run.count {
                self.outcome(&lost.slice(index, 1), slot.pid, Tag::Lost, &cause::unreported(), begun_at)?;
            }
        }
        self.end_nested(number)
    }

    fn false_start(&mut self, exit: Exit, output: &Text) -> Result<()> {
        if self.slots.values().any(|slot| slot.ready) {
            // Others are up: what this one lacked is no fault of the program.
            return self.shortage.begins(unexpected("no more sub-workers"), 1);
        }
        let killed = matches!(exit, Exit::Signal(signal) if signal == Signal::KILL.as_raw());
        self.false_starts += if killed { 1 } else { KILLED_STARTS };
        if !killed {
            self.shortage.begins(unexpected("no sub-worker"), 1)?;
        }
        if self.false_starts < FALSE_STARTS * KILLED_STARTS {
            return Ok(());
        }
        let how = match exit {
            Exit::Code(code) => format!("exited with code {code}"),
            Exit::Signal(signal) => format!("died of signal {signal}"),
            Exit::Silent => "closed its channel and went on".to_owned(),
            Exit::Unknown => "ended, and how is not known".to_owned(),
        };
        let words = output.last_words();
        let words = if words.is_empty() { String::new() } else { format!(", saying: {words}") };
        Err(Error::new(
            ErrorKind::WorkerLost,
            format!("sub-workers end before they are up; the last {how}{words}"),
        )
        .with_hint("the program must reach `lithops::init()` first thing in `main`"))
    }
}
