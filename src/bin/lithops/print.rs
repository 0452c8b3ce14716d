//! Output: data go to stdout, everything else goes to stderr.

use std::io::{self, Write};

use serde::Serialize;

/// Writes a line of data to stdout.
pub(crate) fn line(text: impl std::fmt::Display) -> lithops::Result<()> {
    Ok(writeln!(io::stdout().lock(), "{text}")?)
}

/// Writes data to stdout as JSON.
pub(crate) fn json(data: &impl Serialize) -> lithops::Result<()> {
    let text = serde_json::to_string_pretty(data).map_err(io::Error::from)?;
    line(text)
}

/// Writes a remark to stderr. An error is ignored, because there is no other place to report it.
pub(crate) fn remark(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
