//! Where output goes: data to stdout, the rest to stderr.

use std::io::{self, Write};

use serde::Serialize;

/// Writes a line of data.
pub(crate) fn line(text: impl std::fmt::Display) -> lithops::Result<()> {
    Ok(writeln!(io::stdout().lock(), "{text}")?)
}

/// Writes data for programs.
pub(crate) fn json(data: &impl Serialize) -> lithops::Result<()> {
    let text = serde_json::to_string_pretty(data).map_err(io::Error::from)?;
    line(text)
}

/// Writes what is not data. A failure of that is ignored: there is no other place to report it.
pub(crate) fn remark(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
