//! Stored jobs of which something is damaged, left behind or not what it should be: another client goes on, a listing
//! goes on, and nothing is removed that belongs to another user or lies elsewhere.

mod common;

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::Duration,
};

use common::wait_for;
use lithops::JobId;

lithops::test_worker!();

const FOLDER: &str = "LITHOPS_TEST_DAMAGED";
const PULL: &str = "LITHOPS_TEST_DAMAGED_PULL";
const CALLS: u64 = 120;
const CHUNK: usize = 5;

/// Half of the calls, whichever come first, end at once, and the others when they may.
#[lithops::function]
fn tripled(x: u64, folder: PathBuf) -> u64 {
    let tickets = fs::File::options().create(true).append(true).open(folder.join("tickets"));
    let mut tickets = tickets.expect("a file");
    tickets.write_all(b".").expect("written");
    if tickets.metadata().expect("its length").len() > CALLS / 2 {
        while !folder.join("go").exists() {
            thread::sleep(Duration::from_millis(1));
        }
    }
    x * 3
}

fn executor(folder: &Path, pull: bool) -> lithops::blocking::FunctionExecutor {
    let builder = lithops::blocking::FunctionExecutor::builder()
        .set("storage_root", folder.to_str().expect("UTF-8"))
        .worker_processes(2)
        .max_workers(2);
    let builder = if pull { builder.set("dispatch", "pull").set("lease", "2s") } else { builder };
    builder.build().expect("an executor")
}

/// The client of the tests below, in a process of its own; in an ordinary run it has nothing to do.
#[test]
fn the_client_in_a_process_of_its_own() {
    let Ok(folder) = std::env::var(FOLDER).map(PathBuf::from) else { return };
    let fexec = executor(&folder, std::env::var_os(PULL).is_some());
    let inputs = (0..CALLS).map(|x| (x, folder.clone())).collect::<Vec<_>>();
    let futures = fexec.map(tripled, inputs).chunksize(CHUNK).durable().run().expect("a job");
    fs::write(folder.join("unfinished"), futures.job_id().to_string()).expect("written");
    fs::rename(folder.join("unfinished"), folder.join("job")).expect("renamed");
    futures.get_result().expect("results");
}

struct Client(Child);

impl Drop for Client {
    fn drop(&mut self) {
        // It may have ended as it should.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A job whose client lives, with some chunks committed and others not.
fn running(folder: &Path, pull: bool) -> (Client, JobId) {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["the_client_in_a_process_of_its_own", "--exact", "--nocapture"]).env(FOLDER, folder);
    if pull {
        command.env(PULL, "yes");
    }
    let client = Client(command.stdout(Stdio::null()).spawn().expect("a client"));
    wait_for("the job", || folder.join("job").exists());
    let job: JobId = fs::read_to_string(folder.join("job")).expect("reads").parse().expect("an id");
    wait_for("commits", || commits(folder, job).len() >= 4);
    (client, job)
}

/// The same when its client was killed.
fn interrupted(folder: &Path, pull: bool) -> JobId {
    let (client, job) = running(folder, pull);
    drop(client);
    job
}

fn stored(folder: &Path, job: JobId) -> PathBuf {
    folder.join(format!("storage/lithops.jobs/{job}"))
}

/// The files of the commits.
fn commits(folder: &Path, job: JobId) -> Vec<PathBuf> {
    let entries = fs::read_dir(stored(folder, job).join("commit")).into_iter().flatten().flatten();
    let committed = entries.map(|entry| entry.path());
    committed.filter(|path| path.file_name().is_some_and(|name| name.len() == 12)).collect()
}

fn lithops(folder: &Path, arguments: &[&str]) -> Output {
    let config = folder.join("config.yaml");
    fs::write(&config, format!("localhost: {{storage_root: '{}'}}", folder.display())).expect("written");
    Command::new(env!("CARGO_BIN_EXE_lithops"))
        .args(arguments)
        .arg("--config")
        .arg(config)
        .env("HOME", folder)
        .output()
        .expect("it runs")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn damage(number: usize, path: &Path) {
    let mut bytes = fs::read(path).expect("reads");
    let last = bytes.len() - 1;
    match number % 5 {
        0 => bytes[last] ^= 1,
        1 => bytes[last / 2] ^= 1,
        2 => bytes.truncate(last / 2),
        3 => bytes.clear(),
        _ => bytes.push(0),
    }
    fs::write(path, bytes).expect("written");
}

#[test]
fn damaged_outcomes_are_run_again_however_the_job_is_dispatched() {
    for pull in [false, true] {
        let root = tempfile::tempdir().expect("a folder");
        let folder = root.path();
        let job = interrupted(folder, pull);
        let committed = commits(folder, job);
        committed.iter().enumerate().for_each(|(number, path)| damage(number, path));
        fs::write(folder.join("go"), "").expect("written");
        let fexec = executor(folder, pull);
        let futures = fexec.attach::<u64>(job).expect("attaches");
        assert_eq!(futures.get_result().expect("results"), (0..CALLS).map(|x| x * 3).collect::<Vec<_>>());
        // Its workers may have committed more before they saw that their client was gone.
        let damaged = (committed.len() * CHUNK) as u64;
        assert!(
            futures.progress().restored + damaged <= CALLS,
            "what was damaged does not count as restored"
        );
        drop(futures);
        drop(fexec);
        assert!(!stored(folder, job).exists(), "what was damaged goes with the job");
    }
}

#[test]
fn a_damaged_record_or_input_is_told_by_its_name() {
    let root = tempfile::tempdir().expect("a folder");
    let folder = root.path();
    let job = interrupted(folder, false);
    fs::write(folder.join("go"), "").expect("written");
    damage(0, &stored(folder, job).join("inputs/0000000000"));
    let fexec = executor(folder, false);
    let error = fexec.attach::<u64>(job).expect("attaches").get_result().expect_err("an input is damaged");
    assert!(error.to_string().contains("inputs/0000000000"), "{error}");
    let record = stored(folder, job).join("record");
    let whole = fs::read_to_string(&record).expect("reads");
    for (from, to) in [("\"calls\": 120", "\"calls\": 121"), ("{", ""), ("\"digest\"", "\"digset\"")] {
        fs::write(&record, whole.replacen(from, to, 1)).expect("written");
        let error = fexec.attach::<u64>(job).expect_err("the record is damaged");
        assert!(error.to_string().contains(&format!("lithops.jobs/{job}/record")), "{error}");
    }
}

#[test]
fn what_is_wrong_with_one_job_hides_no_other_and_is_told() {
    for wrong in ["damaged", "a folder", "a pipe", "far too large", "empty"] {
        let root = tempfile::tempdir().expect("a folder");
        let folder = root.path();
        let bad = interrupted(folder, false);
        ["job", "tickets"].iter().for_each(|name| fs::remove_file(folder.join(name)).expect("removed"));
        let good = interrupted(folder, false);
        let record = stored(folder, bad).join("record");
        match wrong {
            "damaged" => fs::write(&record, "{\"form\":2\n").expect("written"),
            "empty" => fs::write(&record, "").expect("written"),
            "far too large" => {
                fs::File::options()
                    .write(true)
                    .open(&record)
                    .and_then(|file| file.set_len(1 << 40))
                    .expect("long");
            }
            _ => {
                fs::remove_file(&record).expect("removed");
                if wrong == "a folder" {
                    fs::create_dir(&record).expect("created");
                } else {
                    let made = Command::new("mkfifo").arg(&record).status().expect("it runs");
                    assert!(made.success());
                }
            }
        }
        let listed = lithops(folder, &["job", "list"]);
        assert!(
            String::from_utf8_lossy(&listed.stdout).contains(&good.to_string()),
            "{wrong}: {}",
            said(&listed)
        );
        assert!(said(&listed).contains(&bad.to_string()), "{wrong}: {}", said(&listed));
        assert_eq!(listed.status.code(), Some(1), "{wrong}");
        let status = lithops(folder, &["job", "status", &bad.to_string()]);
        assert!(!status.status.success() && said(&status).contains("record"), "{wrong}: {}", said(&status));
        let cleaned = lithops(folder, &["clean", "--older-than", "0s"]);
        assert!(!stored(folder, good).exists(), "{wrong}: {}", said(&cleaned));
        assert!(said(&cleaned).contains(&bad.to_string()), "{wrong}: {}", said(&cleaned));
        assert!(stored(folder, bad).exists(), "nobody knows whose it is");
        assert_eq!(cleaned.status.code(), Some(1), "{wrong}");
    }
}

#[test]
fn a_job_whose_client_lives_is_not_removed_and_what_links_lead_to_never() {
    for pull in [false, true] {
        let root = tempfile::tempdir().expect("a folder");
        let (folder, precious) = (root.path().join("root"), root.path().join("precious"));
        fs::create_dir(&folder).expect("created");
        let (client, job) = running(&folder, pull);
        // Whatever clock says so: nothing was written of it for two days.
        for path in [&stored(&folder, job).join("record"), &stored(&folder, job).join("inputs/0000000000")] {
            let long_ago = std::time::SystemTime::now() - Duration::from_secs(2 * 24 * 3600);
            fs::File::options()
                .append(true)
                .open(path)
                .and_then(|file| file.set_modified(long_ago))
                .expect("set");
        }
        let cleaned = lithops(&folder, &["clean", "--older-than", "0s"]);
        assert!(stored(&folder, job).join("record").exists(), "{}", said(&cleaned));
        assert!(
            cleaned.status.success() && said(&cleaned).contains("nothing to remove"),
            "{}",
            said(&cleaned)
        );
        drop(client);

        for name in ["a", "b"] {
            fs::create_dir_all(precious.join(name)).expect("created");
            fs::write(precious.join(name).join("keep"), "x").expect("written");
        }
        symlink(precious.join("a"), stored(&folder, job).join("inputs/link")).expect("linked");
        symlink(precious.join("b"), stored(&folder, job).join("more")).expect("linked");
        fs::write(stored(&folder, job).join("inputs/0000000009#1"), "left by a killed writer")
            .expect("written");
        let cleaned = lithops(&folder, &["clean", "--older-than", "0s"]);
        assert!(!stored(&folder, job).exists(), "{}", said(&cleaned));
        assert!(precious.join("a/keep").exists() && precious.join("b/keep").exists(), "{}", said(&cleaned));
    }
}

#[test]
fn what_killed_writers_have_left_is_removed_and_what_is_being_written_is_not() {
    let root = tempfile::tempdir().expect("a folder");
    let folder = root.path();
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(2 * 24 * 3600);
    let leave = |name: &str| {
        let path = folder.join("storage").join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("created");
        let file = fs::File::create(&path).expect("created");
        file.set_modified(long_ago).expect("set");
        (path, file)
    };
    let job = JobId::from_bytes([7; 16]);
    let left = [
        leave(&format!("lithops.jobs/{job}/lease/0000000001#1")).0,
        leave("lithops.history/app/f/localhost-0#2").0,
        leave(&format!("lithops.fleets/f/jobs/{job}#1")).0,
    ];
    let (open, _writer) = leave(&format!("lithops.jobs/{job}/inputs/0000000000#1"));
    let (others, _) = leave("data/report#1");
    let cleaned = lithops(folder, &["clean"]);
    assert!(left.iter().all(|path| !path.exists()), "{}", said(&cleaned));
    assert!(open.exists(), "its writer lives");
    assert!(others.exists(), "it is the user's own");
}

#[test]
fn a_bucket_in_a_folder_that_is_there_is_for_this_user_alone() {
    let root = tempfile::tempdir().expect("a folder");
    let folder = root.path();
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).expect("set");
    let (_client, _) = running(folder, false);
    let mode = fs::metadata(folder.join("storage")).expect("a bucket").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}
