//! What failures of EC2 mean: for a request, and for the instances that a wave has not got.

use std::collections::BTreeMap;

use lithops_cloud_aws::ServiceError;
use lithops_core::error::{Error, ErrorKind, Retry};

use crate::api::answers::{FleetError, Pool};

/// Codes of pools that have nothing to give for now.
const NO_CAPACITY: &[&str] = &[
    "InsufficientInstanceCapacity",
    "InsufficientHostCapacity",
    "InsufficientReservedInstanceCapacity",
    "InsufficientCapacityOnHost",
    "UnfulfillableCapacity",
    "SpotMaxPriceTooLow",
    "Unsupported",
];
/// Codes of quotas that are used up, with the quota's name.
const QUOTAS: &[(&str, &str)] = &[
    ("VcpuLimitExceeded", "L-1216C47A, vCPUs of instances on demand"),
    ("InstanceLimitExceeded", "L-1216C47A, vCPUs of instances on demand"),
    ("MaxSpotInstanceCountExceeded", "L-34B43A08, vCPUs of spot instances"),
    ("SpotInstanceCountExceeded", "L-34B43A08, vCPUs of spot instances"),
    ("InsufficientFreeAddressesInSubnet", "the addresses of the subnet"),
    ("VolumeLimitExceeded", "L-7A658B76, storage of gp3 volumes"),
];
/// Codes of what the configuration names, with its key.
const NAMED: &[(&str, &str)] = &[
    ("InvalidAMIID", "target_ami"),
    ("InvalidSubnetID", "subnet_ids"),
    ("InvalidSubnet", "subnet_ids"),
    ("InvalidVpcID", "vpc_id"),
    ("InvalidGroup", "security_group_id"),
    ("InvalidSecurityGroupID", "security_group_id"),
    ("InvalidKeyPair", "key_name"),
    ("InvalidInstanceType", "worker_instance_type"),
    ("InvalidIamInstanceProfile", "instance_role"),
    ("InvalidBlockDeviceMapping", "root_device"),
    ("InvalidParameterValue", "instance_role"),
];

/// The error of a request; `what` completes "cannot ..".
pub(crate) fn of(error: ServiceError, what: &str) -> Error {
    let message = format!("cannot {what}: {}", error.words());
    match class(&error.code, &error.message) {
        Class::NoCapacity | Class::Quota(_) => {
            Error::new(ErrorKind::RateLimited, message).with_retry(Retry::Later)
        }
        Class::Named(key) => Error::new(ErrorKind::ConfigInvalid, message)
            .with_hint(format!("look at `{key}` in section `aws_ec2`, and at the region"))
            .with_context("key", format!("aws_ec2.{key}")),
        Class::NotYet => Error::new(ErrorKind::Io, message)
            .with_hint("an instance profile that was just made takes some seconds until EC2 knows it")
            .with_retry(Retry::Later),
        Class::Denied => Error::new(ErrorKind::PermissionDenied, message)
            .with_hint("`lithops doctor` prints the policy that the credentials need"),
        Class::Other => error.into_error(what),
    }
}

/// What a failure says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// A pool has nothing to give; another one, or another time, may.
    NoCapacity,
    /// A quota of the account is used up: its name.
    Quota(&'static str),
    /// What a key of the configuration names is not there.
    Named(&'static str),
    /// What was just made is not known everywhere yet.
    NotYet,
    Denied,
    Other,
}

fn class(code: &str, message: &str) -> Class {
    let of = |table: &[(&str, &'static str)]| {
        // `InvalidAMIID.NotFound`, `InvalidAMIID.Malformed`
        let family = code.split('.').next().unwrap_or(code);
        table.iter().find(|(known, _)| *known == family).map(|(_, name)| *name)
    };
    if NO_CAPACITY.contains(&code) {
        Class::NoCapacity
    } else if let Some(quota) = of(QUOTAS) {
        Class::Quota(quota)
    } else if code == "InvalidParameterValue" && message.contains("iamInstanceProfile") {
        Class::NotYet
    } else if matches!(code, "UnauthorizedOperation" | "AccessDenied" | "AccessDeniedException") {
        Class::Denied
    } else if code == "InvalidParameterValue" && !message.to_lowercase().contains("profile") {
        Class::Other
    } else {
        of(NAMED).map_or(Class::Other, Class::Named)
    }
}

/// What a wave that was not wholly fulfilled says.
#[derive(Debug, Default)]
pub(crate) struct Shortfall {
    /// Pools that have nothing to give.
    pub(crate) empty: Vec<Pool>,
    /// Why, each reason once, in the platform's words.
    pub(crate) why: Vec<String>,
    /// Whether a quota of the account is the reason.
    pub(crate) is_quota: bool,
    /// Whether the instance profile is not known, or not yet.
    pub(crate) is_unknown_profile: bool,
    /// What no further try can help.
    pub(crate) fatal: Option<Error>,
}

impl Shortfall {
    /// What the errors of a wave of spot instances, or of instances on demand, amount to.
    pub(crate) fn of(errors: &[FleetError], is_spot: bool) -> Self {
        let market = if is_spot { "spot" } else { "on demand" };
        let mut found = Self::default();
        // A reason comes once for each pool: the words that name the pool differ, and the code does not.
        let mut reasons: BTreeMap<String, (String, usize)> = BTreeMap::new();
        for error in errors {
            let (code, message) = (error.error_code.as_str(), error.error_message.as_str());
            let why = match class(code, message) {
                Class::NoCapacity => {
                    found.empty.extend(error.pool().cloned());
                    format!("{code}: {message}")
                }
                Class::Quota(quota) => {
                    found.is_quota = true;
                    format!("{code} (quota {quota}): {message}")
                }
                Class::NotYet => {
                    found.is_unknown_profile = true;
                    format!("{code}: {message}; look at `instance_role`")
                }
                Class::Named(_) | Class::Denied => {
                    let error = ServiceError::said(code, message);
                    found.fatal.get_or_insert(of(error, "start instances"));
                    continue;
                }
                Class::Other => format!("{code}: {message}"),
            };
            reasons.entry(code.to_owned()).or_insert((why, 0)).1 += 1;
        }
        found.why = reasons
            .into_values()
            .map(|(why, pools)| match pools {
                1 => format!("{market}: {why}"),
                pools => format!("{market}, {pools} pools: {why}"),
            })
            .collect();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: &str, message: &str, pool: Option<(&str, &str)>) -> FleetError {
        FleetError::said(code, message, pool)
    }

    #[test]
    fn a_pool_that_is_empty_is_named_and_the_reason_is_said_once() {
        let errors = [
            error("InsufficientInstanceCapacity", "no c7i.large in a", Some(("c7i.large", "subnet-a"))),
            error("InsufficientInstanceCapacity", "no c7i.large in b", Some(("c7i.large", "subnet-b"))),
            error("SpotMaxPriceTooLow", "too low", None),
        ];
        let found = Shortfall::of(&errors, true);
        assert_eq!(found.empty.len(), 2);
        assert_eq!(found.empty[0].subnet_id, "subnet-a");
        assert_eq!(
            found.why,
            [
                "spot, 2 pools: InsufficientInstanceCapacity: no c7i.large in a",
                "spot: SpotMaxPriceTooLow: too low"
            ]
        );
        assert!(found.fatal.is_none() && !found.is_quota);
    }

    #[test]
    fn a_quota_is_named() {
        for (code, quota) in [
            ("VcpuLimitExceeded", "L-1216C47A"),
            ("InstanceLimitExceeded", "L-1216C47A"),
            ("MaxSpotInstanceCountExceeded", "L-34B43A08"),
        ] {
            let found = Shortfall::of(&[error(code, "you have 5", None)], false);
            assert!(found.is_quota && found.fatal.is_none(), "{code}");
            assert!(
                found.why[0].starts_with(&format!("on demand: {code} (quota {quota}")),
                "{:?}",
                found.why
            );
        }
    }

    #[test]
    fn what_no_further_try_helps_ends_the_job_with_the_key() {
        for (code, key) in [
            ("InvalidAMIID.NotFound", "target_ami"),
            ("InvalidAMIID.Malformed", "target_ami"),
            ("InvalidSubnetID.NotFound", "subnet_ids"),
            ("InvalidGroup.NotFound", "security_group_id"),
            ("InvalidKeyPair.NotFound", "key_name"),
        ] {
            let fatal = Shortfall::of(&[error(code, "x", None)], false).fatal.expect(code);
            assert_eq!(fatal.kind(), ErrorKind::ConfigInvalid, "{code}");
            assert!(fatal.hint().is_some_and(|hint| hint.contains(key)), "{fatal:?}");
        }
        let denied =
            Shortfall::of(&[error("UnauthorizedOperation", "no", None)], false).fatal.expect("denied");
        assert_eq!(denied.kind(), ErrorKind::PermissionDenied);
        let young = error(
            "InvalidParameterValue",
            "Value (x) for parameter iamInstanceProfile.name is invalid",
            None,
        );
        let found = Shortfall::of(&[young], false);
        assert!(found.fatal.is_none() && found.is_unknown_profile && found.why.len() == 1, "{found:?}");
    }

    #[test]
    fn requests_that_fail_say_whether_to_wait() {
        for (code, status, kind, later) in [
            ("RequestLimitExceeded", 503, ErrorKind::RateLimited, true),
            ("InsufficientInstanceCapacity", 500, ErrorKind::RateLimited, true),
            ("UnauthorizedOperation", 403, ErrorKind::PermissionDenied, false),
            ("InvalidSubnetID.NotFound", 400, ErrorKind::ConfigInvalid, false),
            ("InternalError", 500, ErrorKind::Io, true),
        ] {
            let error = ServiceError { status, ..ServiceError::said(code, "words") };
            let error = of(error, "start instances");
            assert_eq!(error.kind(), kind, "{code}");
            assert_eq!(error.retry() == Retry::Later, later, "{code}");
            assert!(error.message().starts_with("cannot start instances: words"), "{error}");
        }
    }
}
