//! What failures of EC2 mean: for a request, and for the instances that a wave has not got.

use std::collections::BTreeMap;

use lithops_cloud_aws::{ServiceError, of_code};
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
    "MaxFleetCountExceeded",
    "ReservationCapacityExceeded",
    "Unsupported",
    "UnsupportedOperation",
    "InvalidFleetConfiguration",
];
/// Those of them that say that a pool never has the type: another zone may.
const NEVER: &[&str] = &["Unsupported", "UnsupportedOperation", "InvalidFleetConfiguration"];
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
    ("InvalidParameterCombination", "worker_instance_type"),
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
        Class::NotEligible => Error::new(ErrorKind::ConfigInvalid, message)
            .with_hint(format!(
                "an account of the free plan may have small types alone: `worker_instance_type: {ELIGIBLE}`, or upgrade it"
            ))
            .with_context("key", "aws_ec2.worker_instance_type"),
        Class::NoSpotRole => Error::new(ErrorKind::PermissionDenied, message).with_hint(format!(
            "an account needs a role for spot instances, made once: `{MAKE_SPOT_ROLE}`; or write `request_spot_instances: false`"
        )),
        Class::TemplateNotYet => Error::new(ErrorKind::Io, message)
            .with_hint("it was created a moment ago, and EC2 does not know it everywhere yet")
            .with_retry(Retry::Later),
        Class::Denied => denied(message),
        Class::Account => Error::new(ErrorKind::PermissionDenied, message)
            .with_hint("the account itself is not ready for EC2: AWS has sent a mail about it, or its support knows why"),
        // Other requests of the same form are refused as well.
        Class::Other if (400..500).contains(&error.status) && !error.may_pass() && !is_known(&error.code) => {
            Error::new(ErrorKind::InvalidInput, message)
                .with_hint("look at section `aws_ec2`; `lithops doctor` tries what a job asks for")
        }
        Class::Other => error.into_error(what),
    }
}

/// The error of a right that is missing. What EC2 encodes of it is long, and for those alone who may decode it.
fn denied(message: String) -> Error {
    const ENCODED: &str = " Encoded authorization failure message: ";
    let hint = "`lithops doctor` prints the policy that the credentials need";
    let Some((words, rest)) = message.split_once(ENCODED) else {
        return Error::new(ErrorKind::PermissionDenied, message).with_hint(hint);
    };
    let (encoded, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    Error::new(ErrorKind::PermissionDenied, format!("{words} {rest}").trim_end().to_owned())
        .with_hint(hint)
        .with_context("encoded", encoded.to_owned())
}

/// Whether the code is one of those that all services have in common.
fn is_known(code: &str) -> bool {
    of_code(code, String::new()).kind() != ErrorKind::Io
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
    /// The instance profile is not known, or not everywhere yet.
    NotYet,
    /// The launch template is not known everywhere yet.
    TemplateNotYet,
    /// An account of the free plan may not have the type.
    NotEligible,
    /// The account has no role for spot instances yet, and the credentials may not make it.
    NoSpotRole,
    Denied,
    /// AWS keeps the account from EC2.
    Account,
    Other,
}

/// Types that accounts of the free plan may have, with as many vCPUs each.
const ELIGIBLE: &str = "[c7i-flex.large, m7i-flex.large, t3.small, t3.micro]";
/// The command that makes the role for spot instances.
pub(crate) const MAKE_SPOT_ROLE: &str =
    "aws iam create-service-linked-role --aws-service-name spot.amazonaws.com";

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
    } else if code.starts_with("InvalidLaunchTemplate") && code.contains("NotFound") {
        Class::TemplateNotYet
    } else if message.contains("not eligible for Free Tier") {
        Class::NotEligible
    } else if code == "AuthFailure.ServiceLinkedRoleCreationNotPermitted" {
        Class::NoSpotRole
    } else if matches!(code, "UnauthorizedOperation" | "AccessDenied" | "AccessDeniedException") {
        Class::Denied
    } else if matches!(code, "OptInRequired" | "Blocked" | "PendingVerification") {
        Class::Account
    } else if code == "InvalidParameterValue" && !message.to_lowercase().contains("profile") {
        Class::Other
    } else {
        of(NAMED).map_or(Class::Other, Class::Named)
    }
}

/// Whether a request has named a launch template that EC2 does not know everywhere yet.
pub(crate) fn is_young_template(error: &ServiceError) -> bool {
    class(&error.code, &error.message) == Class::TemplateNotYet
}

/// Whether the account has no role for spot instances.
pub(crate) fn lacks_spot_role(error: &ServiceError) -> bool {
    class(&error.code, &error.message) == Class::NoSpotRole
}

/// What a wave that was not wholly fulfilled says.
#[derive(Debug, Default)]
pub(crate) struct Shortfall {
    /// Pools that have nothing to give.
    pub(crate) empty: Vec<Pool>,
    /// Why, each reason once, in the platform's words.
    pub(crate) why: Vec<String>,
    /// Whether waiting for minutes will not help: a quota of the account is the reason, or no reason has to do with how much
    /// there is.
    pub(crate) is_lasting: bool,
    /// Whether the instance profile is not known, or not yet.
    pub(crate) is_unknown_profile: bool,
    /// What spot instances need and the account has not.
    pub(crate) no_spot_role: Option<Error>,
    /// What no further try can help.
    pub(crate) fatal: Option<Error>,
}

impl Shortfall {
    /// What the errors of a wave of spot instances, or of instances on demand, amount to.
    pub(crate) fn of(errors: &[FleetError], is_spot: bool) -> Self {
        let market = if is_spot { "spot" } else { "on demand" };
        let (mut found, mut is_quota, mut may_pass) = (Self::default(), false, errors.is_empty());
        // A reason comes once for each pool: the words that name the pool differ, and the code does not.
        let mut reasons: BTreeMap<String, (String, usize)> = BTreeMap::new();
        for error in errors {
            let (code, message) = (error.error_code.as_str(), error.error_message.as_str());
            let as_error = || of(ServiceError::said(code, message), "start instances");
            let why = match class(code, message) {
                Class::NoCapacity => {
                    found.empty.extend(error.pool().cloned());
                    may_pass |= !NEVER.contains(&code);
                    format!("{code}: {message}")
                }
                Class::Quota(quota) => {
                    is_quota = true;
                    format!("{code} (quota {quota}): {message}")
                }
                Class::NotYet => {
                    (found.is_unknown_profile, may_pass) = (true, true);
                    format!("{code}: {message}; look at `instance_role`")
                }
                Class::TemplateNotYet => {
                    may_pass = true;
                    format!("{code}: {message}")
                }
                Class::NoSpotRole => {
                    found.no_spot_role.get_or_insert_with(as_error);
                    format!("{code}: {message}; make it once: `{MAKE_SPOT_ROLE}`")
                }
                Class::NotEligible => {
                    found.empty.extend(error.pool().cloned());
                    found.fatal.get_or_insert_with(as_error);
                    format!("{code}: {message}")
                }
                Class::Named(_) | Class::Denied | Class::Account => {
                    found.fatal.get_or_insert_with(as_error);
                    continue;
                }
                Class::Other => format!("{code}: {message}"),
            };
            reasons.entry(code.to_owned()).or_insert((why, 0)).1 += 1;
        }
        found.is_lasting = is_quota || !may_pass;
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
        assert!(found.fatal.is_none() && !found.is_lasting);
    }

    #[test]
    fn a_quota_is_named() {
        for (code, quota) in [
            ("VcpuLimitExceeded", "L-1216C47A"),
            ("InstanceLimitExceeded", "L-1216C47A"),
            ("MaxSpotInstanceCountExceeded", "L-34B43A08"),
        ] {
            let found = Shortfall::of(&[error(code, "you have 5", None)], false);
            assert!(found.is_lasting && found.fatal.is_none(), "{code}");
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

    #[test]
    fn a_zone_that_never_has_a_type_is_left_out_and_is_no_hope_alone() {
        let message = "Your requested instance type (c7a.large) is not supported in your requested Availability Zone (us-east-1e).";
        let never = ["Unsupported", "InvalidFleetConfiguration"]
            .map(|code| error(code, message, Some(("c7a.large", "subnet-e"))));
        let found = Shortfall::of(&never, false);
        assert!(found.is_lasting && found.fatal.is_none() && found.empty.len() == 2, "{found:?}");
        let full =
            error("InsufficientInstanceCapacity", "no c7i.large in a", Some(("c7i.large", "subnet-a")));
        let found = Shortfall::of(&[never[0].clone(), full], false);
        assert!(!found.is_lasting, "another pool may have some later: {found:?}");
        let unknown = Shortfall::of(&[error("SomethingNew", "no words", None)], false);
        assert!(unknown.is_lasting && unknown.fatal.is_none(), "{unknown:?}");
    }

    #[test]
    fn an_account_of_the_free_plan_is_told_which_types_it_may_have() {
        let message = "The specified instance type is not eligible for Free Tier. For a list of Free Tier instance types, run 'describe-instance-types' with the filter 'free-tier-eligible=true'.";
        let found = Shortfall::of(
            &[error("InvalidParameterCombination", message, Some(("c7i.large", "subnet-a")))],
            false,
        );
        assert_eq!(found.empty.len(), 1, "other types may be eligible");
        let fatal = found.fatal.expect("where none is");
        assert_eq!(fatal.kind(), ErrorKind::ConfigInvalid);
        assert!(fatal.hint().is_some_and(|hint| hint.contains("c7i-flex.large")), "{fatal:?}");
    }

    #[test]
    fn an_account_without_the_role_of_spot_is_told_how_to_make_it() {
        let message = "The provided credentials do not have permission to create the service-linked role for EC2 Spot Instances.";
        let found =
            Shortfall::of(&[error("AuthFailure.ServiceLinkedRoleCreationNotPermitted", message, None)], true);
        assert!(found.fatal.is_none() && found.why[0].contains(MAKE_SPOT_ROLE), "{found:?}");
        let alone = found.no_spot_role.expect("it is noted");
        assert_eq!(alone.kind(), ErrorKind::PermissionDenied);
        assert!(alone.hint().is_some_and(|hint| hint.contains(MAKE_SPOT_ROLE)), "{alone:?}");
    }

    #[test]
    fn what_is_encoded_of_a_missing_right_is_no_part_of_the_message() {
        let words = "You are not authorized to perform this operation. User: arn:aws:iam::1:user/x is not authorized to perform: ec2:CreateFleet";
        let message = format!("{words}. Encoded authorization failure message: AbC-_12");
        let error = ServiceError { status: 403, ..ServiceError::said("UnauthorizedOperation", &message) };
        let error = of(error, "start instances");
        assert_eq!(
            error.message(),
            format!("cannot start instances: {words}. (UnauthorizedOperation, status 403)")
        );
        assert!(format!("{error:?}").contains("AbC-_12"), "{error:?}");
    }

    #[test]
    fn a_request_that_ec2_does_not_understand_is_no_fault_of_the_network() {
        let error = of(ServiceError::said("MissingParameter", "no size"), "start instances");
        assert_eq!((error.kind(), error.retry()), (ErrorKind::InvalidInput, Retry::Never));
        let young = ServiceError::said("InvalidLaunchTemplateName.NotFoundException", "unknown");
        assert!(is_young_template(&young));
        assert_eq!(of(young, "start instances").retry(), Retry::Later);
    }
}
