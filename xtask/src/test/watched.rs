//! A command whose output is shown and kept, and which is ended when it says nothing for too long.

use std::{
    fs,
    io::{self, BufRead as _, BufReader, Write as _},
    process::Command,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use super::rerun::Ran;
use crate::steps::line;

/// Written after the command has ended. The end of the pipe would not do: processes that a test left behind may hold it.
const END: &[u8] = b"\0the command has ended\0\n";

enum Said {
    Line(Vec<u8>),
    End(bool),
}

/// Runs the command; standard output and error go one way, so that their order is kept.
///
/// # Errors
/// The command cannot be started, or was silent for so long: it and what it has started were ended then.
pub(super) fn run(command: &mut Command, silence: Duration) -> Result<Ran, String> {
    let name = line(command);
    let failed = |error: io::Error| format!("cannot run `{name}`: {error}");
    let (reader, writer) = io::pipe().map_err(failed)?;
    command.stdout(writer.try_clone().map_err(failed)?).stderr(writer.try_clone().map_err(failed)?);
    let mut child = command.spawn().map_err(failed)?;
    let pid = child.id();
    let (said, lines) = mpsc::channel();
    let waiting = thread::spawn(move || {
        let was_success = child.wait().is_ok_and(|status| status.success());
        let mut writer = writer;
        // Nothing reads any more where the command was ended from here.
        drop(writer.write_all(END));
        was_success
    });
    thread::spawn(move || {
        let mut reader = BufReader::new(reader);
        loop {
            let mut line = Vec::new();
            let read = reader.read_until(b'\n', &mut line).unwrap_or(0);
            let is_end = line.ends_with(END);
            line.truncate(line.len() - if is_end { END.len() } else { 0 });
            if said.send(Said::Line(line)).is_err() {
                return;
            }
            if read == 0 || is_end {
                drop(said.send(Said::End(waiting.join().unwrap_or(false))));
                return;
            }
        }
    });
    let mut output = Vec::new();
    loop {
        match lines.recv_timeout(silence) {
            Ok(Said::Line(line)) => {
                // It is kept whether or not it can be shown.
                drop(io::stdout().write_all(&line));
                output.extend(line);
            }
            Ok(Said::End(was_success)) => {
                return Ok(Ran { was_success, output: String::from_utf8_lossy(&output).into_owned() });
            }
            Err(RecvTimeoutError::Timeout) => {
                end(pid);
                return Err(format!("`{name}` said nothing for {} s: something hangs", silence.as_secs()));
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(format!("what `{name}` said cannot be read"));
            }
        }
    }
}

/// Ends a process and all that descend from it.
fn end(pid: u32) {
    let signal = |signal| {
        if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
            // It may have ended by itself.
            let _ = kill_process(pid, signal);
        }
    };
    // A process that is stopped starts no further child while its children are looked for.
    signal(Signal::STOP);
    parents().into_iter().filter(|(_, parent)| *parent == pid).for_each(|(child, _)| end(child));
    signal(Signal::KILL);
}

/// All processes with their parents.
fn parents() -> Vec<(u32, u32)> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|entry| {
            let process = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            // The name in parentheses may hold anything: what follows the last one is `STATE PARENT ..`.
            let parent = stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()?;
            Some((process, parent))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::{
        io::Read as _,
        os::{fd::OwnedFd, unix::net::UnixStream},
    };

    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    fn shell(script: &str) -> Ran {
        run(Command::new("sh").args(["-c", script]), LONG).unwrap()
    }

    /// A shell, and what is at its end when no process of it lives any more.
    fn with_a_socket(script: &str) -> (Command, UnixStream) {
        let (theirs, ours) = UnixStream::pair().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(OwnedFd::from(theirs));
        (command, ours)
    }

    #[test]
    fn the_output_is_kept_in_order() {
        let ran = shell("echo a; echo b >&2; printf c; exit 3");
        assert_eq!((ran.output.as_str(), ran.was_success), ("a\nb\nc", false));
        assert!(shell("true").was_success);
    }

    #[test]
    fn a_process_that_is_left_behind_is_not_waited_for() {
        let (mut command, ours) = with_a_socket("exec 3<&0; cat <&3 & echo done");
        let ran = run(&mut command, LONG).unwrap();
        assert_eq!((ran.output.as_str(), ran.was_success), ("done\n", true));
        drop(ours);
    }

    #[test]
    fn a_command_that_hangs_is_ended_with_all_that_it_started() {
        let (mut command, mut ours) = with_a_socket("exec 3<&0; (sh -c 'cat <&3; true') & wait");
        let problem = run(&mut command, Duration::from_millis(200)).map(|_| ()).unwrap_err();
        assert!(problem.contains("something hangs"), "{problem}");
        drop(command);
        assert_eq!(ours.read(&mut [0]).unwrap(), 0, "no process holds the other end");
    }
}
