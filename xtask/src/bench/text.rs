//! Real text for `wordcount`: the sources of the crates that this workspace is built from.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The bytes of text in one file.
const FILE: usize = 16 << 20;

/// A folder with this many MiB of text; where the machine has less, it is repeated.
pub(super) fn folder(below: &Path, mib: u64) -> Result<PathBuf, String> {
    let folder = below.join(format!("text-{mib}"));
    let mark = below.join(format!("text-{mib}-is-there"));
    if mark.exists() {
        return Ok(folder);
    }
    let cannot = |error: std::io::Error| format!("cannot prepare `{}`: {error}", folder.display());
    fs::create_dir_all(&folder).map_err(cannot)?;
    let sources = sources()?;
    let (mut text, mut number, files) = (Vec::new(), 0, (mib << 20) as usize / FILE);
    for source in sources.iter().cycle() {
        text.extend(fs::read(source).map_err(cannot)?);
        while text.len() >= FILE && number < files {
            fs::write(folder.join(format!("{number:04}.txt")), &text[..FILE]).map_err(cannot)?;
            text.drain(..FILE);
            number += 1;
        }
        if number == files {
            break;
        }
    }
    fs::write(mark, "").map_err(cannot)?;
    Ok(folder)
}

fn sources() -> Result<Vec<PathBuf>, String> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let home = home.ok_or("neither CARGO_HOME nor HOME is set")?;
    let output = Command::new("find")
        .arg(home.join("registry/src"))
        .args(["-type", "f", "-name", "*.rs"])
        .output()
        .map_err(|error| format!("cannot look for text: {error}"))?;
    let mut found: Vec<PathBuf> =
        String::from_utf8_lossy(&output.stdout).lines().map(PathBuf::from).collect();
    found.sort();
    if found.is_empty() { Err("there are no sources of crates on this machine".into()) } else { Ok(found) }
}
