//! The part of `lithops clean` that looks at the platform: what it still runs for clients that are gone.

use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

use lithops_core::{compute::Leftover, fleet::Leftovers, registry::Connected};
use tokio::runtime::{Builder, Runtime};

use crate::{print, runtime};

/// What a platform still has of clients that are gone, and how it is removed.
pub(crate) struct AtPlatform {
    connected: Connected,
    found: Leftovers,
    /// Connections that were made in it end with it.
    runtime: Runtime,
}

impl AtPlatform {
    /// Asks the backend of a configuration. Clients that do not say that they have ended are watched.
    pub(crate) fn find(
        config: Option<PathBuf>,
        backend: Option<String>,
        storage: Option<String>,
    ) -> lithops::Result<Self> {
        let driver = Builder::new_current_thread().enable_all().build()?;
        let (connected, found) = driver.block_on(async {
            let connected = runtime::connected_with(config, backend, storage).await?;
            let found = Leftovers::find(&*connected.backend, connected.storage()?, Leftovers::WATCH).await?;
            Ok::<_, lithops::Error>((connected, found))
        })?;
        Ok(Self { connected, found, runtime: driver })
    }

    /// Whether there is nothing to remove.
    pub(crate) fn is_empty(&self) -> bool {
        self.found.gone.is_empty()
    }

    /// Prints what is there, and removes it unless this is a rehearsal; gives what could not be removed.
    pub(crate) fn remove(&self, verb: &str, is_dry_run: bool) -> lithops::Result<Vec<lithops::Error>> {
        let mut failed = Vec::new();
        for left in &self.found.gone {
            print::line(format_args!("{verb} {}", line(left)))?;
            if !is_dry_run {
                failed.extend(self.runtime.block_on(self.connected.backend.remove_leftover(left)).err());
            }
        }
        let cost: f64 = self.found.gone.iter().filter_map(|left| left.usd_per_hour).sum();
        if cost > 0.0 {
            let tense = if is_dry_run { "costs" } else { "cost" };
            print::remark(&format!("together this {tense} ${} an hour", dollars(cost)));
        }
        if let [one, ..] = &self.found.elsewhere[..] {
            print::remark(&format!(
                "{} of fleets in other storages stay, such as {}: `lithops clean` with the configuration of their storage can \
                 tell whether their clients live",
                self.found.elsewhere.len(),
                line(one)
            ));
        }
        Ok(failed)
    }
}

/// A line that says what it is, how old, and what it costs.
fn line(left: &Leftover) -> String {
    let age = left.since.and_then(|since| SystemTime::now().duration_since(since).ok());
    let age = age.map_or_else(String::new, |age| {
        format!(", since {} ago", humantime::format_duration(Duration::from_secs(age.as_secs())))
    });
    let cost = match left.usd_per_hour {
        None => ", at a price that is not known".to_owned(),
        Some(free) if free <= 0.0 => String::new(),
        Some(cost) => format!(", ${} an hour", dollars(cost)),
    };
    format!("{}  {}{age}{cost}", left.id, left.what)
}

/// Dollars with as many digits as say something.
fn dollars(cost: f64) -> String {
    if cost < 0.01 { format!("{cost:.5}") } else { format!("{cost:.2}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_it_is_and_what_it_costs() {
        let left = |usd_per_hour| Leftover {
            id: "lithops-0a-1".into(),
            what: "3 pods of 1 vCPU and 2048 MB".into(),
            fleet: None,
            since: None,
            usd_per_hour,
        };
        assert_eq!(line(&left(Some(0.0))), "lithops-0a-1  3 pods of 1 vCPU and 2048 MB");
        assert!(line(&left(Some(0.1256))).ends_with(", $0.13 an hour"));
        assert!(line(&left(Some(0.0042))).ends_with(", $0.00420 an hour"));
        assert!(line(&left(None)).ends_with(", at a price that is not known"));
        let since = Some(SystemTime::now() - Duration::from_secs(7200));
        let aged = line(&Leftover { since, ..left(Some(0.0)) });
        assert!(aged.contains(", since 2h"), "{aged}");
    }
}
