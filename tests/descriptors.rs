//! What a call does to descriptors, processes and signals harms neither it, nor others, nor what is known of it.

#![expect(unsafe_code, reason = "these calls do what C does")]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "these calls misbehave on purpose, and what they print is looked at"
)]

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    os::{
        fd::{AsRawFd, FromRawFd, IntoRawFd},
        unix::process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use lithops::prelude::*;

lithops::test_worker!();

/// One sub-worker, which runs all calls.
async fn executor() -> FunctionExecutor {
    FunctionExecutor::builder().worker_processes(1).set("max_workers", 1).build().await.expect("an executor")
}

/// Prints, does something to standard output, prints again, and leaves a file open.
#[lithops::function]
fn meddle(how: String, path: PathBuf) -> String {
    println!("before");
    let open = || OpenOptions::new().read(true).append(true).open(&path).expect("it is there");
    // SAFETY: these are the descriptors of standard output and standard error, and of a file that is opened here.
    unsafe {
        match how.as_str() {
            "close" => {
                libc::close(1);
            }
            "close both" => {
                libc::close(1);
                libc::close(2);
            }
            "close and open" => {
                libc::close(1);
                assert_eq!(open().into_raw_fd(), 1);
            }
            "close both and open" => {
                libc::close(1);
                libc::close(2);
                assert_eq!((open().into_raw_fd(), open().into_raw_fd()), (1, 2));
            }
            "file over it" => {
                libc::dup2(open().as_raw_fd(), 1);
            }
            "file over error" => {
                libc::dup2(open().as_raw_fd(), 2);
            }
            "pipe over it" => {
                let (mut reader, writer) = std::io::pipe().expect("a pipe");
                libc::dup2(writer.as_raw_fd(), 1);
                drop(writer);
                println!("for the child");
                let mut child = [0; 14];
                reader.read_exact(&mut child).expect("it was printed");
                std::mem::forget(reader);
                return String::from_utf8_lossy(&child).into_owned();
            }
            "and back" => {
                let saved = libc::dup(1);
                libc::dup2(open().as_raw_fd(), 1);
                println!("into the file");
                libc::dup2(saved, 1);
                libc::close(saved);
            }
            "full of holes" => {
                libc::fcntl(1, libc::F_SETFL, libc::O_NONBLOCK | libc::O_WRONLY);
            }
            other => panic!("what is {other}?"),
        }
    }
    println!("after");
    how
}

#[lithops::function]
fn say(text: String) -> u32 {
    println!("{text}");
    eprintln!("{text}!");
    std::process::id()
}

#[tokio::test]
async fn what_a_call_does_to_standard_output_harms_neither_its_files_nor_later_logs() {
    let folder = tempfile::tempdir().expect("a folder");
    let fexec = executor().await;
    for (number, (how, file, log)) in [
        ("close", "", "before\n"),
        ("close both", "", "before\n"),
        ("close and open", "after\n", "before\n"),
        ("close both and open", "after\n", "before\n"),
        ("file over it", "after\n", "before\n"),
        ("file over error", "", "before\nafter\n"),
        ("pipe over it", "", "before\n"),
        ("and back", "into the file\n", "before\nafter\n"),
        ("full of holes", "", "before\nafter\n"),
    ]
    .into_iter()
    .enumerate()
    {
        let path = folder.path().join(number.to_string());
        fs::write(&path, "as it was\n").expect("written");
        let call = fexec.call_async(meddle, (how.to_owned(), path.clone())).await.expect("a call");
        let value = call.result().await.expect("a value");
        assert_eq!(value, if how == "pipe over it" { "for the child\n" } else { how });
        assert_eq!(call.logs().await.expect("a log"), log, "{how}");
        for text in ["one", "two"] {
            let later = fexec.call_async(say, text.to_owned()).await.expect("a call");
            later.result().await.expect("a value");
            assert_eq!(later.logs().await.expect("a log"), format!("{text}\n{text}!\n"), "after: {how}");
        }
        assert_eq!(fs::read_to_string(&path).expect("a file"), format!("as it was\n{file}"), "{how}");
    }
}

/// Every tenth call puts a file in the place of standard output, and stays short.
#[lithops::function]
fn sometimes_meddle(id: CallId, path: PathBuf) -> u64 {
    println!("call {id}");
    if u64::from(id) % 10 == 3 {
        let file = OpenOptions::new().append(true).open(&path).expect("it is there");
        // SAFETY: these are the descriptors of standard output and of a file that is open.
        unsafe { libc::dup2(file.as_raw_fd(), 1) };
    }
    u64::from(id)
}

#[tokio::test]
async fn calls_that_travel_together_keep_their_logs_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("file");
    fs::write(&path, "").expect("written");
    let fexec = executor().await;
    let futures = fexec.map(sometimes_meddle, vec![path.clone(); 200]).await.expect("a job");
    assert_eq!(futures.get_result().await.expect("results"), (0..200).collect::<Vec<_>>());
    for (number, call) in futures.iter().enumerate() {
        assert_eq!(call.logs().await.expect("a log"), format!("call {number}\n"));
    }
    assert_eq!(fs::read_to_string(&path).expect("a file"), "");
}

/// Breaks the channel of its own process; says in a file that it has run.
#[lithops::function]
fn break_off(how: String, path: PathBuf) -> u64 {
    OpenOptions::new()
        .append(true)
        .create(true)
        .open(&path)
        .and_then(|mut file| file.write_all(b"ran\n"))
        .expect("written");
    // SAFETY: none: closing what others own is the fault that this is about.
    unsafe {
        match how.as_str() {
            "close all" => (3..1024).for_each(|descriptor| {
                libc::close(descriptor);
            }),
            "close all and open" => {
                (3..1024).for_each(|descriptor| {
                    libc::close(descriptor);
                });
                for _ in 0..64 {
                    let file = OpenOptions::new().append(true).open(&path).expect("it is there");
                    std::mem::forget(file);
                }
            }
            "become another" => {
                libc::execl(
                    c"/bin/sleep".as_ptr(),
                    c"sleep".as_ptr(),
                    c"1000".as_ptr(),
                    std::ptr::null::<libc::c_char>(),
                );
            }
            other => panic!("what is {other}?"),
        }
    }
    7
}

#[tokio::test]
async fn a_call_that_breaks_its_own_channel_runs_once_and_is_told_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let fexec = executor().await;
    for how in ["close all", "close all and open", "become another"] {
        let path = folder.path().join(how);
        let call = fexec.call_async(break_off, (how.to_owned(), path.clone())).await.expect("a call");
        let error = call.outcome().await.expect("an outcome").expect_err("it cannot report");
        assert_eq!(error.kind(), &CallErrorKind::Crashed { signal: None, exit_code: None }, "{how}: {error}");
        assert!(error.message().contains("closed the descriptors"), "{how}: {error}");
        assert_eq!(
            fs::read_to_string(&path).expect("a file"),
            "ran\n",
            "{how}: it runs once, and nothing is written into its file"
        );
        fexec.call_async(say, "next".to_owned()).await.expect("a call").result().await.expect("a value");
    }
}

/// Makes a copy of its process, which leaves the call in one of the ways there are, and waits for it.
#[lithops::function]
fn fork(how: String) -> (u32, i32) {
    // SAFETY: the copy only does what a single thread may do.
    let child = unsafe { libc::fork() };
    if child == 0 {
        match how.as_str() {
            "panic" => panic!("only in the copy"),
            "exit" => std::process::exit(3),
            "return" => return (0, 0),
            other => panic!("what is {other}?"),
        }
    }
    let mut status = 0;
    // SAFETY: the child is this call's own, and the pointer is to a number.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    (std::process::id(), libc::WEXITSTATUS(status))
}

/// The same by way of the system call itself, in an async function.
#[lithops::function]
async fn fork_async(how: String) -> (u32, i32) {
    // SAFETY: as above.
    let child = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
    if child == 0 {
        assert_eq!(how, "return", "only in the copy");
        return (0, 0);
    }
    let mut status = 0;
    let child = i32::try_from(child).expect("a process");
    // SAFETY: as above.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    (std::process::id(), libc::WEXITSTATUS(status))
}

#[tokio::test]
async fn a_copy_of_its_process_that_a_call_makes_tells_nothing() {
    let fexec = executor().await;
    let process =
        fexec.call_async(say, String::new()).await.expect("a call").result().await.expect("a value");
    for (how, code) in [("panic", 101), ("exit", 3), ("return", 0), ("panic", 101), ("return", 0)] {
        let call = fexec.call_async(fork, how.to_owned()).await.expect("a call");
        assert_eq!(call.result().await.expect("the parent's value"), (process, code), "{how}");
        if how != "exit" {
            let call = fexec.call_async(fork_async, how.to_owned()).await.expect("a call");
            assert_eq!(call.result().await.expect("the parent's value"), (process, code), "{how}");
        }
    }
    let after = fexec.map(say, vec![String::from("x"); 50]).await.expect("a job").get_result().await;
    assert_eq!(after.expect("values"), [process; 50]);
}

/// Leaves a copy of its process behind, which has its end of the channel, and dies.
#[lithops::function]
fn leave_a_copy_and_die(_x: u32) {
    // SAFETY: the copy only sleeps.
    unsafe {
        if libc::fork() == 0 {
            libc::sleep(1000);
            libc::_exit(0);
        }
    }
    std::process::abort();
}

#[tokio::test]
async fn a_death_is_noticed_although_a_copy_of_the_process_lives() {
    let fexec = executor().await;
    let call = fexec.call_async(leave_a_copy_and_die, 1).await.expect("a call");
    let error = call.outcome().await.expect("an outcome").expect_err("it died");
    assert_eq!(error.kind(), &CallErrorKind::Crashed { signal: Some(6), exit_code: None });
}

/// Goes into the worker's process group, and does not return.
#[lithops::function(timeout = "200ms")]
fn change_group(_x: u32) {
    // SAFETY: it only moves this process to another group.
    unsafe { libc::setpgid(0, libc::getpgid(libc::getppid())) };
    std::thread::sleep(Duration::from_secs(1000));
}

#[tokio::test]
async fn a_call_that_leaves_its_process_group_is_ended_by_its_timeout() {
    let fexec = executor().await;
    let call = fexec.call_async(change_group, 1).await.expect("a call");
    let error = call.outcome().await.expect("an outcome").expect_err("it timed out");
    assert_eq!(error.kind(), &CallErrorKind::TimedOut);
    fexec.call_async(say, "next".to_owned()).await.expect("a call").result().await.expect("a value");
}

/// Leaves one process with a session of its own, and one whose parent has ended besides, and their numbers.
#[expect(clippy::zombie_processes, reason = "it is to be left behind")]
fn leave_sessions(path: &Path) {
    let apart = || {
        rustix::process::setsid()?;
        Ok(())
    };
    let (mut one, mut other) = (Command::new("sleep"), Command::new("/bin/sh"));
    // SAFETY: between `fork` and `exec` this makes one system call.
    unsafe { one.pre_exec(apart) };
    // SAFETY: as above.
    unsafe { other.pre_exec(apart) };
    let one = one.arg("1000").stdin(Stdio::null()).spawn().expect("a process");
    let other = other.args(["-c", "sleep 1000 >/dev/null 2>&1 & echo $!"]).output().expect("a process");
    let other = String::from_utf8_lossy(&other.stdout).trim().to_owned();
    fs::write(path.with_extension("new"), format!("{} {other}", one.id())).expect("written");
    fs::rename(path.with_extension("new"), path).expect("renamed");
}

#[lithops::function(timeout = "500ms")]
fn leave_sessions_and_hang(path: PathBuf) {
    leave_sessions(&path);
    std::thread::sleep(Duration::from_secs(1000));
}

#[lithops::function]
fn leave_sessions_and_return(path: PathBuf) {
    leave_sessions(&path);
}

fn left(path: &Path) -> Vec<u32> {
    let text = fs::read_to_string(path).expect("numbers");
    text.split(' ').map(|number| number.parse().expect("a number")).collect()
}

fn is_alive(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    status.rsplit(')').next().is_some_and(|rest| !rest.trim().is_empty() && !rest.trim().starts_with('Z'))
}

/// The limit is there to fail instead of hanging, and is not measured.
async fn end(pids: &[u32]) {
    let all_gone = async {
        while pids.iter().any(|pid| is_alive(*pid)) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), all_gone).await.expect("they end");
}

#[tokio::test]
async fn what_a_call_has_started_ends_with_it_whatever_its_session() {
    let folder = tempfile::tempdir().expect("a folder");
    let fexec = executor().await;
    let path = folder.path().join("hangs");
    let call = fexec.call_async(leave_sessions_and_hang, path.clone()).await.expect("a call");
    let error = call.outcome().await.expect("an outcome").expect_err("it timed out");
    assert_eq!(error.kind(), &CallErrorKind::TimedOut);
    end(&left(&path)).await;

    let path = folder.path().join("returns");
    let call = fexec.call_async(leave_sessions_and_return, path.clone()).await.expect("a call");
    call.result().await.expect("a value");
    fexec.call_async(say, "next".to_owned()).await.expect("a call").result().await.expect("a value");
    assert!(left(&path).iter().all(|pid| is_alive(*pid)), "they go on while their sub-worker lives");
    drop(fexec);
    end(&left(&path)).await;
}

#[lithops::function]
fn processes(_x: u32) -> (u32, u32) {
    (std::process::id(), std::os::unix::process::parent_id())
}

/// A client with a copy of itself, which has all its sockets; its worker, a sub-worker and the copy are written down.
#[test]
fn the_client_with_a_copy_in_a_process_of_its_own() {
    let Some(path) = std::env::var_os("LITHOPS_TEST_COPY").map(PathBuf::from) else { return };
    let fexec =
        lithops::blocking::FunctionExecutor::builder().worker_processes(1).build().expect("an executor");
    let call = fexec.call_async(processes, 1).run().expect("a call");
    let (sub_worker, worker) = call.result().expect("a value");
    // SAFETY: the copy only drops what it has and sleeps.
    let copy = unsafe { libc::fork() };
    if copy == 0 {
        drop((call, fexec));
    } else {
        fs::write(path.with_extension("new"), format!("{sub_worker} {worker} {copy}")).expect("written");
        fs::rename(path.with_extension("new"), path).expect("renamed");
    }
    std::thread::sleep(Duration::from_secs(1000));
}

#[tokio::test]
async fn workers_end_with_their_client_although_a_copy_of_it_lives_and_not_with_the_copy() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("pids");
    let mut client = Command::new(std::env::current_exe().expect("this program"))
        .args(["the_client_with_a_copy_in_a_process_of_its_own", "--exact", "--nocapture"])
        .env("LITHOPS_TEST_COPY", &path)
        .stdout(Stdio::null())
        .spawn()
        .expect("a client");
    while !path.exists() {
        assert!(client.try_wait().expect("a client").is_none(), "it goes on");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let pids = left(&path);
    client.kill().expect("killed");
    client.wait().expect("ended");
    end(&pids[..2]).await;
    assert!(is_alive(pids[2]), "the copy has nothing to do with that");
    let copy = i32::try_from(pids[2]).ok().and_then(rustix::process::Pid::from_raw).expect("a number");
    rustix::process::kill_process(copy, rustix::process::Signal::KILL).expect("killed");
}

#[lithops::function]
fn catch_a_panic(_x: u32) -> bool {
    std::panic::catch_unwind(|| panic!("harmless")).is_err()
}

#[lithops::function]
fn pass_a_panic_on(_x: u32) {
    let fails = |reason: &'static str| panic!("the {reason} reason");
    if let Err(panic) = std::thread::spawn(move || -> u32 { fails("real") }).join() {
        std::panic::resume_unwind(panic);
    }
}

#[tokio::test]
async fn a_panic_that_is_passed_on_is_told_with_its_own_words() {
    let fexec = executor().await;
    assert!(fexec.call_async(catch_a_panic, 1).await.expect("a call").result().await.expect("a value"));
    let call = fexec.call_async(pass_a_panic_on, 1).await.expect("a call");
    let error = call.outcome().await.expect("an outcome").expect_err("it panicked");
    assert_eq!((error.kind(), error.message()), (&CallErrorKind::Panicked, "the real reason"));
}

/// Writes over the memory that its sub-worker shares with the worker, and returns or goes on.
#[lithops::function(timeout = "2s")]
fn scribble(id: CallId, (victim, byte, goes_on): (u64, u8, bool)) -> u64 {
    if u64::from(id) == victim {
        for line in fs::read_to_string("/proc/self/maps").expect("maps").lines() {
            if line.contains("lithops-ledger") {
                let place = line.split('-').next().and_then(|place| usize::from_str_radix(place, 16).ok());
                let page = std::ptr::with_exposed_provenance_mut::<u8>(place.expect("an address"));
                // SAFETY: none: this is the fault that the test is about.
                unsafe { page.write_bytes(byte, 4096) };
            }
        }
        if goes_on {
            std::thread::sleep(Duration::from_secs(1000));
        }
    }
    u64::from(id)
}

#[tokio::test]
async fn a_stray_pointer_costs_its_own_call_and_no_other() {
    let fexec = FunctionExecutor::builder().worker_processes(2).build().await.expect("an executor");
    for (byte, goes_on) in [(0, false), (0xff, false), (0xaa, false), (0, true), (0x55, true)] {
        let inputs = vec![(10, byte, goes_on); 50];
        let outcomes = fexec.map(scribble, inputs).await.expect("a job").outcomes().await.expect("outcomes");
        for (number, outcome) in outcomes.iter().enumerate().filter(|(number, _)| *number != 10) {
            assert_eq!(outcome.as_ref().ok(), Some(&(number as u64)), "{byte} {goes_on}: {outcome:?}");
        }
        // One that returns at once is believed, unless the damage has been seen before.
        assert!(outcomes[10].is_err() || !goes_on, "{:?}", outcomes[10]);
    }
}

/// A file of the program under a limit; what is lent between processes counts as one.
#[test]
fn the_client_with_limits_in_a_process_of_its_own() {
    let Ok(limit) = std::env::var("LITHOPS_TEST_LIMIT") else { return };
    let (resource, limit) = limit.split_once('=').expect("a limit");
    let value = limit.parse().expect("a number");
    let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
    let resource = if resource == "fsize" { libc::RLIMIT_FSIZE } else { libc::RLIMIT_NOFILE };
    // SAFETY: the pointer is to a whole structure.
    assert_eq!(unsafe { libc::setrlimit(resource, &raw const limit) }, 0);
    if resource == libc::RLIMIT_FSIZE {
        let fexec =
            lithops::blocking::FunctionExecutor::builder().worker_processes(2).build().expect("an executor");
        let values =
            fexec.map(there_and_back, (0..8).map(|_| Bytes::from(vec![1u8; 1 << 20]))).run().expect("a job");
        assert!(values.get_result().expect("values").iter().all(|value| value.len() == 1 << 20));
    } else {
        let fexec =
            lithops::blocking::FunctionExecutor::builder().worker_processes(60).build().expect("an executor");
        let values = fexec.map(rest, 0..200).run().expect("a job");
        assert_eq!(values.get_result().expect("values").len(), 200);
    }
}

#[lithops::function]
fn there_and_back(value: Bytes) -> Bytes {
    value
}

#[lithops::function]
fn rest(number: u64) -> u64 {
    std::thread::sleep(Duration::from_millis(2));
    number
}

fn with_limit(limit: &str) {
    let client = Command::new(std::env::current_exe().expect("this program"))
        .args(["the_client_with_limits_in_a_process_of_its_own", "--exact", "--nocapture"])
        .env("LITHOPS_TEST_LIMIT", limit)
        .output()
        .expect("a client");
    assert!(client.status.success(), "{limit}: {client:?}");
}

#[test]
fn long_values_go_through_sockets_where_files_may_not_be_as_long() {
    with_limit("fsize=1048576");
    with_limit("fsize=4096");
}

#[test]
fn sub_workers_that_descriptors_do_not_suffice_for_are_done_without() {
    with_limit("nofile=128");
}

#[lithops::function]
fn exit_with(code: i32) {
    std::process::exit(code);
}

/// A client whose parent ignores SIGCHLD, as this one does.
#[test]
fn the_client_that_ignores_the_ends_of_its_children() {
    if std::env::var_os("LITHOPS_TEST_IGNORES").is_none() {
        return;
    }
    // SAFETY: ignoring runs no code of this process.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    let fexec =
        lithops::blocking::FunctionExecutor::builder().worker_processes(1).build().expect("an executor");
    let call = fexec.call_async(exit_with, 3).run().expect("a call");
    let error = call.outcome().expect("an outcome").expect_err("it ended its process");
    assert_eq!(error.kind(), &CallErrorKind::Crashed { signal: None, exit_code: Some(3) });
}

#[test]
fn how_a_sub_worker_ends_is_known_although_the_client_ignores_the_ends_of_its_children() {
    let client = Command::new(std::env::current_exe().expect("this program"))
        .args(["the_client_that_ignores_the_ends_of_its_children", "--exact", "--nocapture"])
        .env("LITHOPS_TEST_IGNORES", "1")
        .output()
        .expect("a client");
    assert!(client.status.success(), "{client:?}");
}

/// What is kept to the end of the process, so that its number stays taken.
#[lithops::function]
fn is_open(descriptor: i32) -> bool {
    // SAFETY: the file is forgotten again, so that nothing is closed.
    let file = unsafe { File::from_raw_fd(descriptor) };
    let is_open = file.metadata().is_ok();
    std::mem::forget(file);
    is_open
}

#[tokio::test]
async fn standard_output_is_there_for_a_call_whose_predecessor_has_closed_it() {
    let fexec = executor().await;
    let call = fexec.call_async(meddle, ("close both".to_owned(), PathBuf::new())).await.expect("a call");
    call.result().await.expect("a value");
    for descriptor in [1, 2] {
        let open = fexec.call_async(is_open, descriptor).await.expect("a call").result().await;
        assert!(open.expect("a value"));
    }
}
