//! `lithops completions` and `lithops man`: what a shell and the reader of manuals need to know of this command.

use std::{io, path::PathBuf, process::ExitCode};

use clap::{Args, Command};
use clap_complete::Shell;

use crate::print;

/// Prints the completions of this command for a shell.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lithops completions bash > ~/.local/share/bash-completion/completions/lithops
  lithops completions zsh > ~/.zfunc/_lithops
  lithops completions fish > ~/.config/fish/completions/lithops.fish")]
pub(crate) struct Completions {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// Writes the manual pages of this command, one file for each of its commands.
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// The folder that they are written to, such as `~/.local/share/man/man1`.
    folder: PathBuf,
}

impl Completions {
    pub(crate) fn run(self, command: &Command) -> lithops::Result<ExitCode> {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut command.clone(), "lithops", &mut text);
        print::bytes(&text)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Man {
    pub(crate) fn run(self, command: &Command) -> lithops::Result<ExitCode> {
        let told = |error: io::Error| {
            let problem =
                format!("the manual pages cannot be written to `{}`, {error}", self.folder.display());
            lithops::Error::new(lithops::ErrorKind::Io, problem).with_source(error)
        };
        std::fs::create_dir_all(&self.folder).map_err(told)?;
        clap_mangen::generate_to(command.clone().name("lithops"), &self.folder).map_err(told)?;
        Ok(ExitCode::SUCCESS)
    }
}
