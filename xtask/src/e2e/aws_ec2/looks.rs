//! What the command `lithops` sees of instances before, beside and after jobs.

use std::process::Command;

use serde_json::json;

use super::{place::Place, run::Trial};
use crate::{
    e2e::peers::{ID, SECRET, moto_python},
    steps,
};

pub(super) const TRIALS: &[(&str, Trial)] = &[
    ("the doctor finds nothing wrong, and says what is", doctor),
    ("clean_lists_a_leftover: an instance with its price, and ends it", clean),
    ("the doctor starts an instance that tries the storage", live),
];

/// What a killed client has left is listed with its price, and removed; what another client uses is not.
fn clean(place: &Place) -> Result<(), String> {
    let more = "max_workers: 2, worker_processes: 1, orphan: 600s";
    let mut gone = place.start(&["map", "4000", "100"], more)?;
    place.until_running(&mut gone, 2)?;
    gone.signal("KILL")?;
    gone.ends_with(None)?;
    let mut living = place.start(&["map", "4000", "100"], more)?;
    place.until_running(&mut living, 4)?;
    let clean =
        |more: &[&str]| place.programs.lithops(&[&["clean", "--config", "config.yaml"], more].concat());
    let said = clean(&["--dry-run"])?;
    let listed = |stdout: &str| {
        let is_one = |line: &&str| {
            line.contains("spot instance c7i.large, running") && line.contains(", $0.03 an hour")
        };
        stdout.lines().filter(is_one).count()
    };
    said.ends_with(0)?.wants("two instances with their price", listed(&said.stdout) == 2)?;
    said.wants("their sum", said.stderr.contains("together this costs $0.06 an hour"))?;
    said.wants("nothing ended", place.running()?.len() == 4)?;
    let said = clean(&[])?;
    said.ends_with(0)?.wants("two instances ended", listed(&said.stdout) == 2)?;
    place.until("two instances are left", || Ok(place.running()?.len() == 2))?;
    living.lives()?;
    living.signal("INT")?;
    living.ends_with(Some(130)).map(drop)
}

/// What an account has: moto looks for the instance profile only where instances are started one by one.
const PROFILE: &str = "
import boto3, sys
iam = boto3.client('iam', region_name='us-east-1', endpoint_url=sys.argv[1], aws_access_key_id='x', aws_secret_access_key='x')
if not any(one['InstanceProfileName'] == 'workers' for one in iam.list_instance_profiles()['InstanceProfiles']):
    iam.create_instance_profile(InstanceProfileName='workers')
";

/// moto's default network has no way out: this makes one, as an account has it.
const WAY_OUT: &str = "
import boto3, sys
ec2 = boto3.client('ec2', region_name='us-east-1', endpoint_url=sys.argv[1], aws_access_key_id='x', aws_secret_access_key='x')
gateway = ec2.create_internet_gateway()['InternetGateway']['InternetGatewayId']
for table in ec2.describe_route_tables()['RouteTables']:
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=table['VpcId'])
    ec2.create_route(RouteTableId=table['RouteTableId'], DestinationCidrBlock='0.0.0.0/0', GatewayId=gateway)
";

/// An image of Ubuntu, which calls its first disk in its own way.
const IMAGE: &str = "
import boto3, sys
ec2 = boto3.client('ec2', region_name='us-east-1', endpoint_url=sys.argv[1], aws_access_key_id='x', aws_secret_access_key='x')
images = [one for one in ec2.describe_images()['Images'] if one['Name'].startswith('ubuntu/') and one['Architecture'] == 'x86_64']
print(next(one['ImageId'] for one in images if one['RootDeviceName'] == '/dev/sda1'))
";

/// Runs lines of Python at moto; gives what they print.
fn moto(place: &Place, lines: &str) -> Result<String, String> {
    let mut python = Command::new(moto_python()?);
    let python = python.args(["-c", lines, &format!("http://127.0.0.1:{}", place.moto.port)]);
    let output = python.output().map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// Runs lines of Python at moto.
fn prepare(place: &Place, lines: &str) -> Result<(), String> {
    let mut python = Command::new(moto_python()?);
    steps::run(python.args(["-c", lines, &format!("http://127.0.0.1:{}", place.moto.port)]))
}

fn doctor(place: &Place) -> Result<(), String> {
    prepare(place, PROFILE)?;
    place.programs.write("config.yaml", place.yaml("").as_bytes())?;
    let look = || place.programs.lithops(&["doctor", "--config", "config.yaml"]);
    let said = look()?;
    said.ends_with(0)?;
    let words = "has no route to S3: no internet gateway, no NAT gateway and no gateway endpoint";
    said.wants(words, said.stdout.contains(words))?;
    prepare(place, WAY_OUT)?;
    let said = look()?;
    said.ends_with(0)?;
    for finding in [
        "instances open S3 as the instance profile `workers`",
        "the credentials are of account",
        "the image is ami-",
        "with 2 vCPUs",
        "instances are in",
        "a route leads to S3 from each subnet",
        "dry runs are allowed: CreateLaunchTemplate, CreateFleet, TerminateInstances, RunInstances of c7i.large",
        "the quota L-34B43A08 allows 640 vCPUs of spot instances, and 20 workers have 40",
        "a spot instance costs 0.03 USD an hour now",
        "no instance of a fleet runs",
        "no launch template is left",
        "\"ec2:CreateFleet\"",
    ] {
        said.wants(finding, said.stdout.contains(finding))?;
    }
    said.wants("no secret", !said.stdout.contains(SECRET) && !said.stderr.contains(SECRET))?;
    place.hands.faults(&json!({"quota": 8, "refused": {"RunInstances": "UnauthorizedOperation"}}))?;
    let said = look()?;
    said.ends_with(1)?;
    for finding in [
        "warning  the quota L-34B43A08 allows 8 vCPUs of spot instances, and 20 workers have 40",
        "write `max_workers: 4`, or ask for more",
        "error    cannot RunInstances of c7i.large, as a dry run says",
        "prints the policy that the credentials need",
    ] {
        said.wants(finding, said.stdout.contains(finding))?;
    }
    place.hands.faults(&json!({}))?;
    other_image(place)?;
    login(place)?;
    let wrong = place.yaml("subnet_ids: [subnet-0]").replace("instance_role: workers", "max_workers: 3");
    place.programs.write("wrong.yaml", wrong.as_bytes())?;
    let said = place.programs.lithops(&["doctor", "--config", "wrong.yaml"])?;
    said.ends_with(1)?;
    for finding in ["`instance_role` is missing", "subnet-0"] {
        said.wants(finding, said.stdout.contains(finding))?;
    }
    Ok(())
}

/// The first disk of another image has the name that EC2 says.
fn other_image(place: &Place) -> Result<(), String> {
    let before = place.hands.requests()?.len();
    let image = moto(place, IMAGE)?;
    place.programs.write("image.yaml", place.yaml(&format!("target_ami: {image}")).as_bytes())?;
    let said = place.programs.lithops(&["doctor", "--config", "image.yaml"])?;
    said.ends_with(0)?;
    for words in [&format!("the image is {image} (ubuntu/"), ", x86_64, boots from /dev/sda1)"] {
        said.wants(words, said.stdout.contains(words))?;
    }
    let said = place.programs.example_with("fleet", &["map", "2", "0"], "image.yaml")?;
    said.ends_with(0)?;
    let created = |request: &serde_json::Value| {
        request["action"] == "CreateLaunchTemplate"
            && request["body"].as_str().is_some_and(|body| {
                body.contains("BlockDeviceMapping.1.DeviceName=%2Fdev%2Fsda1") && !body.contains("xvda")
            })
    };
    said.wants("a template with its disk", place.hands.requests()?.iter().skip(before).any(created)).map(drop)
}

/// A login that the SDK's parts here do not read is told with what to do.
fn login(place: &Place) -> Result<(), String> {
    let sso = "[default]\nregion = us-east-1\nsso_session = work\nsso_account_id = 123456789012\nsso_role_name = x\n[sso-session work]\nsso_region = us-east-1\nsso_start_url = http://127.0.0.1:1\n";
    let file = place.programs.write("sso", sso.as_bytes())?;
    let keys = format!("access_key_id: {ID}, secret_access_key: {SECRET}, ");
    place.programs.write("login.yaml", place.yaml("").replace(&keys, "").as_bytes())?;
    let variables =
        [("AWS_CONFIG_FILE", file.to_str().unwrap_or_default()), ("AWS_EC2_METADATA_DISABLED", "true")];
    let said = place.programs.run("lithops", &["doctor", "--config", "login.yaml"], &variables)?;
    said.ends_with(1)?;
    let words = "credential_process = aws configure export-credentials";
    said.wants(words, said.stdout.contains(words)).map(drop)
}

fn live(place: &Place) -> Result<(), String> {
    prepare(place, PROFILE)?;
    place.programs.write("config.yaml", place.yaml("").as_bytes())?;
    let before = place.hands.instances()?.len();
    let look = || place.programs.lithops(&["doctor", "--live", "--config", "config.yaml"]);
    let said = look()?;
    let words = "has opened the bucket, and put, read, listed and deleted an object";
    said.ends_with(0)?
        .wants(words, said.stdout.contains(words))?
        .wants("its C library", said.stdout.contains("glibc"))?;
    let words = "has ended itself for good: Client.InstanceInitiatedShutdown";
    said.wants(words, said.stdout.contains(words))?;
    said.wants("one instance", place.since(before)?.len() == 1)?;
    place.nothing_is_left()?;
    place.hands.faults(&json!({"s3_refuses": "PutObject"}))?;
    let said = look()?;
    said.ends_with(1)?;
    for words in
        ["ended without an answer", "(403) when calling the PutObject operation", "may the instance profile"]
    {
        said.wants(words, said.stdout.contains(words))?;
    }
    said.wants("one more instance", place.since(before)?.len() == 2).map(drop)
}
