//! Output: data go to stdout, everything else goes to stderr.

use std::{
    env,
    io::{self, IsTerminal, Write},
};

use serde::Serialize;

/// Writes a line of data to stdout.
pub(crate) fn line(text: impl std::fmt::Display) -> lithops::Result<()> {
    Ok(writeln!(io::stdout().lock(), "{text}")?)
}

/// Writes bytes to stdout.
pub(crate) fn bytes(bytes: &[u8]) -> lithops::Result<()> {
    Ok(io::stdout().lock().write_all(bytes)?)
}

/// Writes data to stdout as JSON.
pub(crate) fn json(data: &impl Serialize) -> lithops::Result<()> {
    let text = serde_json::to_string_pretty(data).map_err(io::Error::from)?;
    line(text)
}

/// Writes the message of an error to stderr: `error` is red at a terminal.
pub(crate) fn error(text: &str) {
    remark(&format!("{} {text}", paint("error:", "31;1")));
}

/// Writes a warning to stderr: `warning` is yellow at a terminal.
pub(crate) fn warning(text: &str) {
    remark(&format!("{} {text}", paint("warning:", "33;1")));
}

/// The text in a colour, where stderr shows colours and they are wanted.
fn paint(text: &str, colour: &str) -> String {
    let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = env::var_os("TERM").is_some_and(|name| name == "dumb");
    if io::stderr().is_terminal() && !is_set("NO_COLOR") && !is_dumb {
        format!("\x1b[{colour}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

/// Writes a remark to stderr. An error is ignored, because there is no other place to report it.
pub(crate) fn remark(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
