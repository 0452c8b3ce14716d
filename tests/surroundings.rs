//! Programs whose environment is hostile or missing: folders and files that cannot be written, read or trusted.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown, symlink},
    path::Path,
    process::{Command, Output, Stdio},
};

lithops::test_worker!();

const DURABLE: &str = "LITHOPS_TEST_DURABLE";

#[lithops::function]
fn add(x: u64) -> u64 {
    x + 7
}

/// The client of the tests below, in a process of its own; in an ordinary run it has nothing to do.
#[test]
fn the_client_in_a_process_of_its_own() {
    let Ok(durable) = std::env::var(DURABLE) else { return };
    let built = lithops::blocking::FunctionExecutor::builder().worker_processes(1).max_workers(1).build();
    let run = built.and_then(|fexec| {
        let map = fexec.map(add, 0..10u64);
        let map = if durable == "yes" { map.durable() } else { map };
        map.run()?.get_result()
    });
    match run {
        Ok(results) => println!("right: {}", results == (7..17).collect::<Vec<_>>()),
        Err(error) => println!("error: {error}"),
    }
}

/// What the client says in a folder, with these variables and no others that matter.
fn client(folder: &Path, durable: bool, variables: &[(&str, &str)]) -> String {
    let mut command = Command::new(std::env::current_exe().expect("this test"));
    command
        .args(["the_client_in_a_process_of_its_own", "--exact", "--nocapture", "--test-threads=1"])
        .env(DURABLE, if durable { "yes" } else { "no" })
        .env("HOME", folder)
        .current_dir(folder)
        .stdin(Stdio::null());
    for name in ["TMPDIR", "USER", "LOGNAME", "LITHOPS_CONFIG", "LITHOPS_CONFIG_FILE"] {
        command.env_remove(name);
    }
    let Output { stdout, stderr, .. } =
        command.envs(variables.iter().copied()).output().expect("it is started");
    let said = String::from_utf8_lossy(&stdout).into_owned();
    let line = said.lines().find_map(|line| line.split_once("right: ").or(line.split_once("error: ")));
    let Some((_, line)) = line else { panic!("{said}{}", String::from_utf8_lossy(&stderr)) };
    line.to_owned()
}

#[test]
fn a_map_that_stores_nothing_needs_no_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    for variables in [&[("TMPDIR", "/proc")][..], &[("TMPDIR", "/dev/null")], &[("TMPDIR", "nowhere/at/all")]]
    {
        assert_eq!(client(folder.path(), false, variables), "true", "{variables:?}");
    }
    // What is stored says where it cannot be.
    let said = client(folder.path(), true, &[("TMPDIR", "/proc")]);
    assert!(said.contains("the storage folder") && said.contains("set `storage_root`"), "{said}");
}

#[test]
fn the_folder_of_temporary_data_is_checked_however_it_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let own = folder.path().join(format!("t/lithops-{}", rustix::process::geteuid().as_raw()));
    fs::create_dir_all(&own).expect("created");
    let absolute = folder.path().join("t").display().to_string();
    for temporary in ["t", "./t", "../t", &absolute] {
        let place = if temporary == "../t" { folder.path().join("t") } else { folder.path().to_owned() };
        let durable = || client(&place, true, &[("TMPDIR", temporary)]);
        fs::set_permissions(&own, fs::Permissions::from_mode(0o777)).expect("open to all");
        let said = durable();
        assert!(said.contains("can be written to by other users"), "{temporary}: {said}");
        fs::set_permissions(&own, fs::Permissions::from_mode(0o700)).expect("one's own");
        assert_eq!(durable(), "true", "{temporary}");
        if rustix::process::geteuid().is_root() {
            chown(&own, Some(4242), Some(4242)).expect("another's");
            assert!(durable().contains("belongs to another user"), "{temporary}");
            chown(&own, Some(0), Some(0)).expect("one's own");
        }
    }
    fs::remove_dir_all(&own).expect("removed");
    symlink(folder.path(), &own).expect("a link");
    let said = client(folder.path(), true, &[("TMPDIR", "t"), ("USER", "me")]);
    assert!(said.contains("not a folder") || said.contains("belongs to another user"), "{said}");
    // An empty one counts as not set.
    assert_eq!(client(folder.path(), false, &[("TMPDIR", "")]), "true");
    let left: Vec<_> = fs::read_dir(folder.path()).expect("a folder").flatten().collect();
    assert_eq!(left.len(), 1, "nothing but `t`: {left:?}");
}

#[test]
fn a_configuration_that_only_lies_there_stops_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join(".lithops_config");
    let pipe = |path: &Path| {
        let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU);
        rustix::fs::mknodat(rustix::fs::CWD, path, kind, mode, 0).expect("a pipe");
    };
    pipe(&config);
    assert_eq!(client(folder.path(), false, &[]), "true");
    fs::remove_file(&config).expect("removed");
    symlink("/dev/zero", &config).expect("a link");
    assert_eq!(client(folder.path(), false, &[]), "true");
    fs::remove_file(&config).expect("removed");
    // At home there may be anything.
    fs::write(folder.path().join(".lithops"), "").expect("written");
    assert_eq!(client(folder.path(), false, &[]), "true");
    // What is named is an error, and waits for nobody either.
    let named = folder.path().join("named");
    pipe(&named);
    let said = client(folder.path(), false, &[("LITHOPS_CONFIG_FILE", "named")]);
    assert!(said.contains("named` cannot be read, it is a pipe and no file"), "{said}");
}
