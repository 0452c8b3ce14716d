//! The identity of this machine. It is needed because a user id means nothing on another machine.

use std::{fs, path::Path, sync::LazyLock};

use crate::digest::Digest;

/// A name that no other machine has, and that stays the same after a restart of the machine; `None`
/// where the identity cannot be read.
///
/// Every container counts as a machine of its own, because many containers share the machine id of
/// their image.
pub(super) fn host() -> Option<&'static str> {
    static HOST: LazyLock<Option<String>> = LazyLock::new(|| {
        let known = if is_container() { machine() } else { stable() };
        identity(read("/proc/sys/kernel/hostname"), known)
    });
    HOST.as_deref()
}

/// The boot id of the machine and its namespace of process ids. A process id is meaningful only within both.
pub(super) fn machine() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let numbers = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {}", boot.trim(), numbers.display()))
}

/// The machine id, which stays the same after a restart.
fn stable() -> Option<String> {
    ["/etc/machine-id", "/var/lib/dbus/machine-id"].into_iter().find_map(read)
}

/// The identity as a digest, because the machine id is confidential.
fn identity(name: Option<String>, known: Option<String>) -> Option<String> {
    let (name, known) = (name.unwrap_or_default(), known?);
    Some(Digest::of(format!("lithops {known} {name}").as_bytes()).to_string()[..32].to_owned())
}

fn read(file: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let text = text.trim();
    // systemd writes this into images whose machine id is not set yet.
    (!text.is_empty() && text != "uninitialized").then(|| text.to_owned())
}

/// Whether this process runs in a container, as far as its marks tell.
fn is_container() -> bool {
    let marked = ["/.dockerenv", "/run/.containerenv"].iter().any(|mark| Path::new(mark).exists());
    marked || std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() || std::env::var_os("container").is_some()
}

/// The user id outside of the user namespace. Inside of a container most users are user 0.
pub(super) fn outer_user(user: u32, map: &str) -> u64 {
    let ranges = map.lines().filter_map(|line| {
        let mut numbers = line.split_whitespace().map(|number| number.parse::<u64>().ok());
        Some((numbers.next()??, numbers.next()??, numbers.next()??))
    });
    let user = u64::from(user);
    let outer = ranges.into_iter().find_map(|(inner, outer, count)| {
        let within = user.checked_sub(inner).filter(|within| *within < count)?;
        outer.checked_add(within)
    });
    outer.unwrap_or(user)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_one_identity_and_others_have_others() {
        assert_eq!(host(), host());
        let of = |name: &str, known: &str| identity(Some(name.to_owned()), Some(known.to_owned()));
        assert_ne!(of("laptop", "a"), of("laptop", "b"));
        assert_ne!(of("one", "a"), of("other", "a"), "containers share the file of their image");
        assert_eq!(of("laptop", "a"), of("laptop", "a"));
        assert_eq!(identity(Some("laptop".to_owned()), None), None, "a name alone is not enough");
    }

    #[test]
    fn a_user_is_known_by_the_number_outside_of_a_namespace() {
        assert_eq!(outer_user(0, "         0          0 4294967295\n"), 0);
        assert_eq!(outer_user(0, "0 1000 1\n"), 1000);
        assert_eq!(outer_user(5, "0 1000 1\n1 100000 65536\n"), 100_004);
        assert_eq!(outer_user(7, ""), 7);
    }
}
