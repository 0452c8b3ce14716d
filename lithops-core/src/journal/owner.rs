//! [`Owner`]: the process that a lease belongs to, so that a process of the same machine notices
//! its end at once.

use std::fs;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::host::{host, machine, outer_user};

/// The process that drives a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// A random name, unique even within one process.
    pub name: String,
    /// The user id of the process, as the machine knows it outside of user namespaces.
    pub user: String,
    /// The identity of the machine. `user` is meaningful only there; `None` if the identity cannot be read.
    pub host: Option<String>,
    /// The boot of the machine and its namespace of process ids. `pid` is meaningful only there;
    /// `None` if they cannot be read.
    pub machine: Option<String>,
    /// The process id, within `machine`.
    pub pid: u32,
    /// When the process was started, in clock ticks since the boot: process ids are used again.
    /// `None` if unknown.
    pub started: Option<u64>,
}

impl Owner {
    /// This process, under a new random name.
    #[must_use]
    pub fn this_process() -> Self {
        let pid = std::process::id();
        Self {
            name: Uuid::new_v4().simple().to_string(),
            user: this_user(),
            host: host().map(str::to_owned),
            machine: machine(),
            pid,
            started: started(pid),
        }
    }

    /// Whether the process has certainly ended. `false` does not prove that it still lives.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        let here = self.machine.is_some() && self.machine == machine();
        here && self.started.is_some() && started(self.pid) != self.started
    }

    /// Whether the process certainly lives. `false` does not prove that it has ended.
    #[must_use]
    pub fn lives(&self) -> bool {
        let here = self.machine.is_some() && self.machine == machine();
        here && self.started.is_some() && started(self.pid) == self.started
    }

    /// The most bytes that are read of an encoded owner.
    pub(super) const LONGEST: u64 = 64 << 10;

    /// Whether the process certainly belongs to the user of this process, on this machine. The same
    /// user id on another machine is another user.
    #[must_use]
    pub fn is_this_user(&self) -> bool {
        self.host.is_some() && self.host.as_deref() == host() && self.user == this_user()
    }

    /// Where the process runs, as a text for people.
    #[must_use]
    pub fn place(&self) -> String {
        let here = self.machine.is_some() && self.machine == machine();
        let machine = if here { "this machine" } else { "another machine" };
        format!("process {} of {machine}", self.pid)
    }
}

/// The user id of this process outside of its user namespace, or `unknown`.
fn this_user() -> String {
    let status = fs::read_to_string("/proc/self/status").ok();
    let user = status.as_deref().and_then(|status| {
        status.lines().find_map(|line| line.strip_prefix("Uid:")?.split_whitespace().next()?.parse().ok())
    });
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    user.map_or_else(|| "unknown".to_owned(), |user| outer_user(user, &map).to_string())
}

/// When a process was started, in clock ticks since the boot; `None` if it does not run.
fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program is in parentheses and may hold anything, spaces included.
    let mut fields = stat.rsplit(')').next()?.split_whitespace();
    // A zombie that waits to be reaped no longer runs.
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_is_gone_once_it_has_ended() {
        let this = Owner::this_process();
        assert!(!this.is_gone() && this.lives() && this.is_this_user());
        let mut child = Command::new("sleep").arg("600").spawn().expect("starts");
        let owner = Owner { pid: child.id(), started: started(child.id()), ..this.clone() };
        assert!(!owner.is_gone());
        child.kill().expect("ends");
        child.wait().expect("has ended");
        assert!(owner.is_gone() && !owner.lives());
        let foreign = |owner: Owner| !owner.is_this_user();
        assert!(
            foreign(Owner { host: Some("another".into()), ..this.clone() }),
            "the number is another's there"
        );
        assert!(foreign(Owner { host: None, ..this.clone() }), "nobody knows where that was");
        assert!(foreign(Owner { user: "another".into(), ..this.clone() }));
        assert!(Owner { machine: None, ..this.clone() }.is_this_user(), "the machine was started anew");
        let elsewhere = Owner { machine: Some("another".into()), ..owner };
        assert!(!elsewhere.is_gone(), "nothing is known of processes of another machine");
        assert!(Owner { started: Some(1), ..this }.is_gone(), "the number belongs to another process now");
    }
}
