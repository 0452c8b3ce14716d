//! [`Programs`] that were built, and what they [`Said`].

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

/// A trial: it drives programs, and its error says what was wrong.
pub(super) type Trial = fn(&Programs) -> Result<(), String>;

/// The built programs, and an empty folder to run them in, where no configuration of this machine is found.
#[derive(Debug)]
pub(super) struct Programs {
    built: PathBuf,
    folder: PathBuf,
}

impl Programs {
    pub(super) fn new(built: PathBuf) -> Result<Self, String> {
        let folder = built.join("e2e").join(std::process::id().to_string());
        fs::create_dir_all(&folder)
            .map_err(|error| format!("cannot make `{}`: {error}", folder.display()))?;
        Ok(Self { built, folder })
    }

    /// The same programs, in another empty folder.
    pub(super) fn again(&self, name: &str) -> Result<Self, String> {
        let folder = self.folder.with_extension(name);
        fs::create_dir_all(&folder)
            .map_err(|error| format!("cannot make `{}`: {error}", folder.display()))?;
        Ok(Self { built: self.built.clone(), folder })
    }

    /// The folder of the programs.
    pub(super) fn built(&self) -> &Path {
        &self.built
    }

    /// Runs the program `lithops`.
    pub(super) fn lithops(&self, arguments: &[&str]) -> Result<Said, String> {
        Said::of(self.command("lithops").args(arguments))
    }

    /// Runs an example.
    pub(super) fn example(&self, name: &str, arguments: &[&str]) -> Result<Said, String> {
        Said::of(self.command(&format!("examples/{name}")).args(arguments))
    }

    /// Runs an example, with a configuration that was written before.
    pub(super) fn example_with(&self, name: &str, arguments: &[&str], config: &str) -> Result<Said, String> {
        Said::of(self.command(&format!("examples/{name}")).args(arguments).env("LITHOPS_CONFIG_FILE", config))
    }

    /// Runs a program that was built, with these arguments and variables.
    pub(super) fn run(
        &self,
        name: &str,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> Result<Said, String> {
        Said::of(self.command(name).args(arguments).envs(variables.iter().copied()))
    }

    /// Runs a line of a shell in the C locale, where each byte is a character.
    pub(super) fn shell(&self, line: &str) -> Result<Said, String> {
        let mut shell = Command::new("sh");
        Said::of(shell.args(["-c", line]).current_dir(&self.folder).env("LC_ALL", "C").stdin(Stdio::null()))
    }

    /// A program that is not started yet.
    pub(super) fn command(&self, name: &str) -> Command {
        self.prepared(self.built.join(name))
    }

    /// A program of this machine that is not started yet, in the same folder and with the same variables.
    pub(super) fn prepared(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.folder).env("HOME", &self.folder).stdin(Stdio::null());
        for name in ["LITHOPS_CONFIG", "LITHOPS_CONFIG_FILE", "LITHOPS_BACKEND", "LITHOPS_STORAGE"] {
            command.env_remove(name);
        }
        command
    }

    /// Reads a file of the folder that programs run in.
    pub(super) fn read(&self, name: &str) -> Result<Vec<u8>, String> {
        let path = self.folder.join(name);
        fs::read(&path).map_err(|error| format!("cannot read `{}`: {error}", path.display()))
    }

    /// Removes a file of the folder that programs run in.
    pub(super) fn remove(&self, name: &str) -> Result<(), String> {
        fs::remove_file(self.folder.join(name)).map_err(|error| format!("cannot remove `{name}`: {error}"))
    }

    /// Writes a file into the folder that programs run in; gives its path.
    pub(super) fn write(&self, name: &str, text: &[u8]) -> Result<PathBuf, String> {
        let path = self.folder.join(name);
        let folder = path.parent().unwrap_or(&self.folder);
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&path, text))
            .map_err(|error| format!("cannot write `{}`: {error}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        // The folder is below the target folder: `cargo clean` removes it where this fails.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// What a program printed, and how it ended.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) line: String,
    pub(super) code: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Said {
    fn of(command: &mut Command) -> Result<Self, String> {
        let line = crate::steps::line(command);
        let output = command.output().map_err(|error| format!("cannot start `{line}`: {error}"))?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Self {
            line,
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        })
    }

    /// Fails unless this is true; `what` names the expectation.
    pub(super) fn wants(&self, wish: &str, is_so: bool) -> Result<&Self, String> {
        let Self { line, code, stdout, stderr } = self;
        if is_so {
            return Ok(self);
        }
        Err(format!("`{line}`: wanted {wish}\nexit code {code:?}\nstdout:\n{stdout}\nstderr:\n{stderr}"))
    }

    /// Fails unless this is the exit code.
    pub(super) fn ends_with(&self, code: i32) -> Result<&Self, String> {
        self.wants(&format!("exit code {code}"), self.code == Some(code))
    }

    /// Fails unless stderr is one line with this text, and stdout is empty.
    pub(super) fn refuses(&self, words: &str) -> Result<&Self, String> {
        self.wants("nothing on stdout", self.stdout.is_empty())?
            .wants("one line on stderr", self.stderr.lines().count() == 1)?
            .wants(
                &format!("`{words}` on stderr"),
                self.stderr.starts_with("error: ") && self.stderr.contains(words),
            )
    }

    /// The output as JSON.
    pub(super) fn json(&self) -> Result<Value, String> {
        self.ends_with(0)?;
        serde_json::from_str(&self.stdout)
            .map_err(|error| format!("`{}` printed no JSON: {error}", self.line))
    }
}
