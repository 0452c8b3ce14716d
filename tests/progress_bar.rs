//! The progress bar: shown at a terminal, and nowhere else.

use std::{
    fs::File,
    io::Read,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use rustix::{
    fs::OFlags,
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
};

lithops::test_worker!();

const PART: &str = "LITHOPS_TEST_PROGRESS";

#[lithops::function]
fn nap(x: u64) -> u64 {
    thread::sleep(Duration::from_millis(150));
    x
}

/// The client of the tests below, in a process of its own; in an ordinary run it has nothing to do.
#[test]
fn the_client_in_a_process_of_its_own() {
    let Ok(part) = std::env::var(PART) else { return };
    let builder = lithops::blocking::FunctionExecutor::builder().worker_processes(2);
    let fexec = builder.progress(part == "shown").build().expect("an executor");
    fexec.map(nap, 0..16).run().expect("a job").get_result().expect("results");
}

fn client(part: &str) -> Command {
    let mut client = Command::new(std::env::current_exe().expect("this program"));
    client
        .args(["the_client_in_a_process_of_its_own", "--exact", "--nocapture"])
        .env(PART, part)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    client
}

/// What a client writes to a terminal.
fn at_a_terminal(part: &str) -> String {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&terminal).expect("granted");
    unlockpt(&terminal).expect("unlocked");
    let name = ptsname(&terminal, Vec::new()).expect("a name");
    let other =
        rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, rustix::fs::Mode::empty()).expect("opens");
    let mut child = client(part).stderr(Stdio::from(other)).spawn().expect("starts");
    let reader = thread::spawn(move || {
        let (mut text, mut part) = (Vec::new(), [0; 4096]);
        let mut terminal = File::from(terminal);
        // The end of the other side is an error here.
        while let Ok(count @ 1..) = terminal.read(&mut part) {
            text.extend_from_slice(&part[..count]);
        }
        String::from_utf8_lossy(&text).into_owned()
    });
    assert!(child.wait().expect("ends").success());
    reader.join().expect("reads")
}

#[test]
fn it_is_shown_at_a_terminal_and_says_how_far_the_job_is() {
    let text = at_a_terminal("shown");
    assert!(text.contains("progress_bar::nap") && text.contains("/16"), "{text:?}");
}

#[test]
fn it_is_not_shown_where_the_program_says_so() {
    assert_eq!(at_a_terminal("hidden"), "");
}

#[test]
fn nothing_is_written_where_there_is_no_terminal() {
    let output = client("shown").stderr(Stdio::piped()).output().expect("runs");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
