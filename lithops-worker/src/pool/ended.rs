//! What the end of a sub-worker means for the calls that it had.

use lithops_core::{
    error::{Error, Result},
    protocol::Tag,
};

use super::{
    Pool,
    exit_cause::{self, Evidence, Exit},
    slots::{LIMIT_WITHOUT_JOB, Usage, log_entry},
};
use crate::clock;

impl Pool {
    /// A sub-worker has ended: the running call gets the cause, calls that were begun are reported as lost, and the
    /// others go back to the queue.
    pub(super) fn exited(
        &mut self,
        number: u64,
        exit: Exit,
        usage: Usage,
        broken: Option<&Error>,
    ) -> Result<()> {
        let Some(mut slot) = self.slots.remove(&number) else { return Ok(()) };
        let job_id = slot.job();
        let limit =
            job_id.and_then(|id| self.jobs.get(&id)).map_or(LIMIT_WITHOUT_JOB, |job| job.spec.log_limit);
        let rest = slot.log.take_rest(limit);
        let logs = slot.take_logs();
        self.send_logs(logs)?;
        if !slot.ready {
            let others_are_up = self.slots.values().any(|slot| slot.ready);
            self.starts.ended_early(exit, &rest, others_are_up)?;
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
        // Of each batch: how many calls were begun, and how many of these have ended.
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
        // What was not reported was used by the call that ran last.
        let usage = Usage { cpu: usage.cpu.saturating_sub(slot.reported_cpu), ..usage };
        let unknown = Usage::default();
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
                    // The sub-worker was asked to end because of another call, which has ended meanwhile.
                    (Some(_), _) if blamed.is_none() => (Tag::Lost, exit_cause::unreported()),
                    (None, Some(error)) => exit_cause::unheard(error),
                    (None, None) if slot.ledger.is_cut_off() => exit_cause::judge(Exit::Silent, evidence),
                    _ => exit_cause::judge(exit, evidence),
                };
                // Where more than one call may have been running, it is not known which has caused the end.
                let is_alone = begun - finished == 1;
                let (tag, error) = if is_alone { (tag, error) } else { (Tag::Lost, exit_cause::untold()) };
                if let Some(text) = rest.take().filter(|text| !text.is_empty()) {
                    self.send_logs(vec![(calls.run.job, log_entry(&calls, 0, text))])?;
                }
                let used = if is_alone { usage } else { unknown };
                self.outcome(&calls, (slot.pid, used), tag, &error, begun_at)?;
            }
            // More than one only where the ledger is damaged.
            for index in finished + 1..begun {
                let call = batch.calls.slice(index, 1);
                self.outcome(&call, (slot.pid, unknown), Tag::Lost, &exit_cause::untold(), begun_at)?;
            }
            // Calls that have ended, and whose outcomes were not sent yet.
            let lost = batch.calls.slice(batch.reported, finished - batch.reported);
            for index in 0..lost.run.count {
                self.outcome(
                    &lost.slice(index, 1),
                    (slot.pid, unknown),
                    Tag::Lost,
                    &exit_cause::unreported(),
                    begun_at,
                )?;
            }
        }
        self.end_nested(number)
    }
}
