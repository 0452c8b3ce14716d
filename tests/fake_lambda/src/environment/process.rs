//! How the process of an environment is started, and how it ends.

use std::{
    io,
    os::{fd::OwnedFd, unix::process::ExitStatusExt as _},
    process::{ExitStatus, Stdio},
};

use tokio::process::{Child, Command};

use crate::function::Function;

/// Starts `bootstrap` in a process group of its own, with the variables that environments have.
pub(super) fn spawn(
    function: &Function,
    region: &str,
    runtime_api: &str,
    stream: &str,
    output: OwnedFd,
) -> io::Result<Child> {
    let root = &function.package.root;
    let mut command = Command::new(root.join("bootstrap"));
    command
        .current_dir(root)
        .env_clear()
        .envs([
            ("AWS_LAMBDA_RUNTIME_API", runtime_api),
            ("AWS_LAMBDA_FUNCTION_NAME", &function.name),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", &function.spec.memory.to_string()),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
            ("AWS_LAMBDA_LOG_GROUP_NAME", &format!("/aws/lambda/{}", function.name)),
            ("AWS_LAMBDA_LOG_STREAM_NAME", stream),
            ("AWS_REGION", region),
            ("AWS_DEFAULT_REGION", region),
            ("AWS_ACCESS_KEY_ID", "ASIAFAKEFAKEFAKEFAKE"),
            ("AWS_SECRET_ACCESS_KEY", "fake"),
            ("AWS_SESSION_TOKEN", "fake"),
            ("_HANDLER", &function.spec.handler),
            ("TZ", ":UTC"),
            ("LANG", "en_US.UTF-8"),
            ("PATH", "/usr/local/bin:/usr/bin/:/bin:/opt/bin"),
        ])
        .env("LAMBDA_TASK_ROOT", root)
        .envs(&function.spec.variables)
        .stdin(Stdio::null())
        .stdout(Stdio::from(output.try_clone()?))
        .stderr(Stdio::from(output))
        .process_group(0)
        .kill_on_drop(true);
    command.spawn()
}

/// The error of a process that could not be started, as the service words it.
pub(super) fn describe_start(error: &io::Error) -> String {
    let why = match error.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
        Some(rustix::io::Errno::ACCESS) => "permission denied".to_owned(),
        Some(rustix::io::Errno::NOEXEC) => "exec format error".to_owned(),
        Some(rustix::io::Errno::NOENT) => "no such file or directory".to_owned(),
        _ => error.to_string(),
    };
    format!("fork/exec /var/task/bootstrap: {why}")
}

/// The error of a process that has ended, as the service words it.
pub(super) fn describe_end(status: ExitStatus) -> String {
    let Some(signal) = status.signal() else {
        return match status.code() {
            Some(0) | None => "Runtime exited without providing a reason".to_owned(),
            Some(code) => format!("Runtime exited with error: exit status {code}"),
        };
    };
    let name = match signal {
        4 => "illegal instruction".to_owned(),
        6 => "aborted".to_owned(),
        7 => "bus error".to_owned(),
        8 => "floating point exception".to_owned(),
        9 => "killed".to_owned(),
        11 => "segmentation fault".to_owned(),
        13 => "broken pipe".to_owned(),
        15 => "terminated".to_owned(),
        other => format!("signal {other}"),
    };
    let dumped = if status.core_dumped() { " (core dumped)" } else { "" };
    format!("Runtime exited with error: signal: {name}{dumped}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_told_as_the_service_tells_them() {
        let told = |raw| describe_end(ExitStatus::from_raw(raw));
        assert_eq!(told(3 << 8), "Runtime exited with error: exit status 3");
        assert_eq!(told(0), "Runtime exited without providing a reason");
        assert_eq!(told(9), "Runtime exited with error: signal: killed");
        assert_eq!(told(6 | 0x80), "Runtime exited with error: signal: aborted (core dumped)");
    }
}
