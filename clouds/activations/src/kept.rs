//! Workers that a platform keeps, and bills, without requests (`min_workers`): whether anybody still uses them.
//!
//! A client that begins activations notes at the service, from time to time, that it does so. A service that was noted at
//! last long ago is not used any more: its clients are gone, however they ended.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::time::Instant;

/// How often a client notes that it uses a service.
const NOTE: Duration = Duration::from_secs(600);
/// A service is unused when it was not noted for so long, and for the longest activation beyond that.
const UNUSED: Duration = Duration::from_secs(2 * 3600);

/// The services with kept workers that this client uses, by the memory of their workers, and when it has noted that.
#[derive(Debug, Default)]
pub struct KeptUse(Mutex<HashMap<u64, Service>>);

#[derive(Debug)]
struct Service {
    name: String,
    noted: Option<Instant>,
}

impl KeptUse {
    /// The client uses this service from now on.
    pub fn begin(&self, memory: u64, name: &str) {
        self.services().insert(memory, Service { name: name.to_owned(), noted: None });
    }

    /// The service at which the use is to be noted now; it counts as noted then. `None` when it is too early for that, or
    /// no workers are kept.
    pub fn due(&self, memory: u64) -> Option<String> {
        let mut services = self.services();
        let service = services.get_mut(&memory)?;
        let is_due = service.noted.is_none_or(|noted| noted.elapsed() >= NOTE);
        is_due.then(|| {
            service.noted = Some(Instant::now());
            service.name.clone()
        })
    }

    fn services(&self) -> MutexGuard<'_, HashMap<u64, Service>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The text that is noted: the seconds since 1970.
    #[must_use]
    pub fn text() -> String {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs().to_string()
    }

    /// How long a service was not used, by the text that was noted at it last, if that means that no client uses it.
    /// Without a text nothing is known.
    #[must_use]
    pub fn unused_for(noted: Option<&str>, longest: Duration) -> Option<Duration> {
        let noted = UNIX_EPOCH.checked_add(Duration::from_secs(noted?.parse().ok()?))?;
        SystemTime::now().duration_since(noted).ok().filter(|unused| *unused > UNUSED + longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_use_is_noted_at_once_and_then_from_time_to_time() {
        let used = KeptUse::default();
        assert_eq!(used.due(512), None, "nothing is kept");
        used.begin(512, "small");
        used.begin(1024, "large");
        let due = || [used.due(512), used.due(512), used.due(1024)];
        let wanted = [Some("small".to_owned()), None, Some("large".to_owned())];
        assert_eq!(due(), wanted);
        tokio::time::advance(NOTE).await;
        assert_eq!(due(), wanted);
    }

    #[test]
    fn what_was_used_lately_or_is_not_known_is_not_unused() {
        let ago = |hours: u64| {
            let now: u64 = KeptUse::text().parse().expect("a number");
            (now - hours * 3600).to_string()
        };
        let unused = |noted: Option<&str>, hours: u64| {
            KeptUse::unused_for(noted, Duration::from_secs(hours * 3600))
                .map(|unused| unused.as_secs() / 3600)
        };
        assert_eq!(unused(Some(&ago(1)), 0), None);
        assert_eq!(unused(Some(&ago(3)), 0), Some(3));
        assert_eq!(unused(Some(&ago(3)), 2), None, "an activation may still run");
        assert_eq!(unused(None, 0), None);
        assert_eq!(unused(Some("yesterday"), 0), None);
        assert_eq!(unused(Some("99999999999"), 0), None, "another clock is ahead");
    }
}
