//! The keys of the section `aws_ec2`. Those of Python Lithops keep their names. None of them may be set by a file that was
//! only found: instances cost money.

use lithops_cloud_aws::{ACCESS_KEY_ID, REGION_NAME, SECRET_ACCESS_KEY, SESSION_TOKEN};
use lithops_core::config::Key;

const NO_MASTER: &str = "there is no master: workers share their work over the storage";
const NO_SSH: &str = "no instance is reached from outside";
const NO_NETWORK: &str = "no network is made: instances are in a subnet that there is";
const NO_PYTHON: &str = "the program is compiled, and all that runs on an instance";

/// The keys, beside those of every backend.
pub(crate) const KEYS: &[Key] = &[
    Key::used("instance_role", "the name or ARN of the instance profile that workers open S3 with; needed"),
    Key::used("iam_role", "another name of `instance_role`"),
    Key::used(
        "region",
        "the region, such as us-east-1; else that of the section `aws` or of the environment",
    ),
    Key::used("endpoint", "another address of the service, such as http://127.0.0.1:5000"),
    REGION_NAME,
    ACCESS_KEY_ID,
    SECRET_ACCESS_KEY,
    SESSION_TOKEN,
    Key::used(
        "worker_instance_type",
        "a type, or a list of types with as many vCPUs each; by default [c7i.large, c7a.large, c6i.large, m7i.large]",
    ),
    Key::used(
        "request_spot_instances",
        "`true`: spot, and on demand for what is refused; `only`: spot alone; `false`: on demand; by default true",
    ),
    Key::used("spot_patience", "how long spot may be refused until the rest is on demand; by default 60 s"),
    Key::used("soft_dismantle_timeout", "how long an instance without a job stays; by default 300 s"),
    Key::used("hard_dismantle_timeout", "how long an instance may live at all; by default 12 h"),
    Key::used("start_timeout", "how long an instance may take to start its worker; by default 180 s"),
    Key::used("orphan", "how long the client may be silent until its instances end; by default 600 s"),
    Key::used("lease", "how long a silent worker keeps its chunk; by default 30 s"),
    Key::used("auto_dismantle", "`true`: instances end themselves. It cannot be turned off"),
    Key::used(
        "exec_mode",
        "`reuse`: instances stay for the next job; `create`: they do not; `consume`: none is started, and the job says how \
         to start workers on your own; by default `reuse`",
    ),
    Key::used(
        "target_ami",
        "an image with systemd, `aws` and a C library that is new enough; by default the newest Amazon Linux 2023",
    ),
    Key::used(
        "root_device",
        "the name of the image's first disk, to encrypt it; by default what EC2 says of `target_ami`, else /dev/xvda",
    ),
    Key::used("root_disk", "GiB of the first disk; by default as large as the image has it"),
    Key::used(
        "vpc_id",
        "the network whose subnets instances are in; by default the account's default network",
    ),
    Key::used("public_subnet_id", "the subnet of the instances; by default all subnets of the network"),
    Key::used("subnet_ids", "the subnets of the instances: [..]"),
    Key::used(
        "security_group_id",
        "the security group; by default `lithops`, which is made and lets nothing in",
    ),
    Key::used("key_name", "a key pair to log in with, for looking for faults: nothing here needs it"),
    Key::used("tags", "more tags of instances"),
    Key::used("artifact", "the path of the program that has the functions, when it is not the one that runs"),
    Key::used(
        "use_gpu",
        "`true`: an image with the drivers of GPUs, for types that have some; by default false",
    ),
    Key::used(
        "ebs_volumes",
        "further disks, in the form of boto3: [{DeviceName: /dev/xvdb, Ebs: {VolumeSize: 100}}]; encrypted, attached and \
         not mounted, and gone with their instance",
    ),
    Key::used(
        "spot_share",
        "what a spot instance costs beside one on demand, for plans: from 0 to 1; by default 0.4. Bills take the market's \
         price",
    ),
    Key::accepted(
        "instance_id",
        "no instance is logged in to: with `exec_mode: consume` the job says how to start workers there",
        "the instance of the mode `consume`",
    ),
    Key::accepted("master_instance_type", NO_MASTER, "the type of the master"),
    Key::accepted("ssh_key_name", "write `key_name` to log in", "the key pair of the instances"),
    Key::accepted("ssh_username", NO_SSH, "the user of the instances"),
    Key::accepted("ssh_password", NO_SSH, "the password of that user"),
    Key::accepted("ssh_key_filename", NO_SSH, "the key of that user"),
    Key::accepted("public_subnet_cidr_block", NO_NETWORK, "the addresses of a subnet"),
    Key::accepted("private_subnet_id", "write `subnet_ids`", "the subnet of workers"),
    Key::accepted("private_subnet_cidr_block", NO_NETWORK, "the addresses of a subnet"),
    Key::accepted("extra_apt_packages", NO_PYTHON, "packages of Debian"),
    Key::accepted("extra_python_packages", NO_PYTHON, "packages of Python"),
    Key::accepted("runtime", NO_PYTHON, "an interpreter or an image"),
    Key::accepted("runtime_memory", "the type of the instance says it", "the memory of a worker"),
    Key::accepted(
        "runtime_timeout",
        "an instance has no limit but `hard_dismantle_timeout`",
        "a limit of calls",
    ),
    Key::accepted("delete_on_dismantle", "an instance that ends is terminated", "whether it is deleted"),
    Key::accepted("worker_create_retries", "what is missing is asked for again", "how often"),
];
