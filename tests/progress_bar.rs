//! The progress bar: shown at a terminal, and nowhere else.

#[path = "common/screen.rs"]
mod screen;

use std::{
    fs::File,
    io::{Read, Write},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use rustix::{
    fs::OFlags,
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};
use screen::Screen;

lithops::test_worker!();

const PART: &str = "LITHOPS_TEST_PROGRESS";

#[expect(clippy::print_stdout, reason = "the bar must leave it whole")]
#[lithops::function]
fn nap(x: u64) -> u64 {
    thread::sleep(Duration::from_millis(150));
    if x.is_multiple_of(4) {
        println!("{x} has slept");
    }
    x
}

fn total(values: Vec<u64>) -> u64 {
    values.iter().sum()
}

/// The client of the tests below, in a process of its own; in an ordinary run it has nothing to do.
#[test]
fn the_client_in_a_process_of_its_own() {
    let Ok(part) = std::env::var(PART) else { return };
    let builder = lithops::blocking::FunctionExecutor::builder().worker_processes(2);
    let fexec = builder.progress(part != "hidden").show_logs(part == "logging").build().expect("an executor");
    println!("{FIRST}");
    match part.as_str() {
        "printing" => {
            let futures = fexec.map(nap, 0..16).run().expect("a job");
            let mut ended = 0;
            print!("half a line, ");
            std::io::stdout().flush().expect("a terminal");
            for _ in futures.as_completed() {
                ended += 1;
                if ended % 4 == 0 {
                    println!("{ended} have ended");
                    println!("and another line");
                }
            }
        }
        "logging" => {
            fexec.map(nap, 0..16).run().expect("a job").get_result().expect("results");
        }
        "reducing" => {
            let sum = fexec.map_reduce(nap, 0..16, total).run().expect("a job").result();
            println!("the sum is {}", sum.expect("a value"));
        }
        _ => {
            fexec.map(nap, 0..16).run().expect("a job").get_result().expect("results");
            for line in 1..=4 {
                println!("line {line}");
            }
        }
    }
    println!("{LAST}");
}

fn client(part: &str) -> Command {
    let mut client = Command::new(std::env::current_exe().expect("this program"));
    client
        .args(["the_client_in_a_process_of_its_own", "--exact", "--nocapture", "--quiet"])
        .env(PART, part)
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    client
}

/// What a client writes to a terminal of this width.
fn at_a_terminal(part: &str, columns: u16) -> String {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&terminal).expect("granted");
    unlockpt(&terminal).expect("unlocked");
    let size = Winsize { ws_col: columns, ws_row: ROWS, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&terminal, size).expect("a size");
    let name = ptsname(&terminal, Vec::new()).expect("a name");
    let other =
        rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, rustix::fs::Mode::empty()).expect("opens");
    let output = other.try_clone().expect("another descriptor");
    let mut child =
        client(part).stderr(Stdio::from(other)).stdout(Stdio::from(output)).spawn().expect("starts");
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

/// What is on the screen when the client has ended, from its first line to its last: the test harness prints too.
fn on_the_screen(text: &str, columns: u16) -> Vec<String> {
    let mut screen = Screen::new(columns.into(), ROWS.into());
    screen.write(text);
    let lines = screen.lines().into_iter().skip_while(|line| line != FIRST).skip(1);
    lines.take_while(|line| line != LAST).collect()
}

const FIRST: &str = "<<<";
const LAST: &str = ">>>";
const ROWS: u16 = 12;
const WIDTHS: [u16; 6] = [40, 50, 60, 80, 120, 200];

#[test]
fn nothing_of_it_is_left_and_nothing_is_missing_in_any_width() {
    let clients = WIDTHS.map(|columns| (columns, thread::spawn(move || at_a_terminal("shown", columns))));
    for (columns, client) in clients {
        let text = client.join().expect("a client");
        assert!(text.contains("/16"), "a bar was shown: {text:?}");
        let lines = on_the_screen(&text, columns);
        assert_eq!(lines, ["line 1", "line 2", "line 3", "line 4"], "{columns}: {text:?}");
    }
}

#[test]
fn lines_that_are_printed_meanwhile_stay() {
    let clients = WIDTHS.map(|columns| (columns, thread::spawn(move || at_a_terminal("printing", columns))));
    for (columns, client) in clients {
        let text = client.join().expect("a client");
        let lines = on_the_screen(&text, columns);
        let expected = [
            "half a line, 4 have ended",
            "and another line",
            "8 have ended",
            "and another line",
            "12 have ended",
            "and another line",
            "16 have ended",
            "and another line",
        ];
        assert_eq!(lines.len(), expected.len(), "{columns}: {lines:?} {text:?}");
        for (line, expected) in lines.iter().zip(expected) {
            assert!(line.starts_with(expected), "{columns}: {line:?} is not {expected:?}: {text:?}");
        }
    }
}

#[test]
fn the_output_of_calls_is_above_it_and_whole() {
    let clients = WIDTHS.map(|columns| (columns, thread::spawn(move || at_a_terminal("logging", columns))));
    for (columns, client) in clients {
        let text = client.join().expect("a client");
        assert!(text.contains("/16"), "a bar was shown: {text:?}");
        let mut lines = on_the_screen(&text, columns);
        lines.sort_unstable();
        let expected = [0, 12, 4, 8].map(|call| format!("[call {call}, worker 0] {call} has slept"));
        assert_eq!(lines, expected, "{columns}: {text:?}");
    }
}

#[test]
fn a_reduction_shows_its_maps() {
    let text = at_a_terminal("reducing", 80);
    assert!(text.contains("progress_bar::nap") && text.contains("/16, "), "{text:?}");
    assert_eq!(on_the_screen(&text, 80), ["the sum is 120"], "{text:?}");
}

#[test]
fn it_is_shown_at_a_terminal_and_says_how_far_the_job_is() {
    let text = at_a_terminal("shown", 80);
    assert!(text.contains("progress_bar::nap [") && text.contains("/16, "), "{text:?}");
    assert!(text.contains("/s") && text.contains(" left"), "{text:?}");
}

#[test]
fn it_is_not_shown_where_the_program_says_so() {
    let text = at_a_terminal("hidden", 80);
    assert!(!text.contains('\x1b') && !text.contains("/16"), "{text:?}");
}

#[test]
fn nothing_is_written_where_there_is_no_terminal() {
    let output = client("shown").stderr(Stdio::piped()).output().expect("runs");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
