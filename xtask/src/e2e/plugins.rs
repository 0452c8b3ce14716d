//! Backends that are loaded at run time: one that keeps all promises, ones that panic, and files that are no plugins.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    program::{Programs, Said},
    third_party::cargo_of,
};
use crate::{
    steps,
    workspace::{built, cargo, root},
};

/// The arguments of Cargo that build a plugin of a crate that is otherwise linked into programs.
pub(crate) const PLUGIN: &[&str] = &["rustc", "--lib", "--crate-type", "cdylib", "--features", "plugin"];

/// The file of a plugin that was built.
pub(crate) fn library(profile: &str, name: &str) -> Result<PathBuf, String> {
    Ok(built(profile)?.join(format!("lib{}.so", name.replace('-', "_"))))
}

pub(super) fn run() -> Result<(), String> {
    let fixtures = root().join("tests/fixtures");
    // Each in a workspace of its own, as strangers build them: with other features than the program.
    let build = |name: &str, arguments: &[&str]| steps::run(&mut cargo_of(&fixtures.join(name), arguments)?);
    build("lithops-backend-launcher", PLUGIN)?;
    build("lithops-backend-panics", &["build"])?;
    build("host", &["build"])?;
    let lithops = ["build", "--quiet", "-p", "lithops", "--bins", "--features", "cli,plugins"];
    steps::run(cargo().args(lithops))?;
    let programs = Programs::new(built("debug")?)?;

    promises(&programs)?;
    eprintln!("   a plugin keeps the promises of a backend: passed");
    panics(&programs)?;
    eprintln!("   a program outlives the panics of a plugin: passed");
    command_line(&programs)?;
    eprintln!("   the command line loads what it is told to: passed");
    refused(&programs)?;
    eprintln!("   files that are no plugins are refused: passed");
    Ok(())
}

fn promises(programs: &Programs) -> Result<(), String> {
    let plugin = library("debug", "lithops-backend-launcher")?;
    let yaml =
        format!("lithops: {{plugins: ['{}']}}\nlauncher: {{command: 'nice -n 1'}}\n", plugin.display());
    let config = programs.write("plugin.yaml", yaml.as_bytes())?;
    let mut suite = cargo();
    suite.args([
        "run",
        "--quiet",
        "-p",
        "lithops-conformance",
        "--features",
        "plugins",
        "--bin",
        "try-backend",
    ]);
    steps::run(suite.env("LITHOPS_TRY_BACKEND", "launcher").env("LITHOPS_TRY_CONFIG", config))
}

fn panics(programs: &Programs) -> Result<(), String> {
    let plugin = library("debug", "lithops-backend-panics")?.display().to_string();
    let said = programs.run("host", &["panics", &plugin], &[])?;
    said.ends_with(0)?;
    for words in [
        "create: the plugin has panicked: as it was told to, when it was made",
        "invoke: the plugin has panicked: as it was told to, when it was invoked",
        "task: its task has ended",
        "it lives: [0, 1, 4, 9]",
        "logged WARN: message=it will panic place=\"create\"",
    ] {
        said.wants(words, said.stdout.contains(words))?;
    }
    Ok(())
}

fn command_line(programs: &Programs) -> Result<(), String> {
    let plugin = library("debug", "lithops-backend-launcher")?.display().to_string();
    let listed = programs.lithops(&["backends", "--json"])?.json()?;
    if listed.to_string().contains("launcher") {
        return Err(format!("a plugin that nobody has named is there: {listed}"));
    }
    let listed = programs.lithops(&["--plugin", &plugin, "backends", "--json"])?.json()?;
    let names: Vec<_> = listed.as_array().into_iter().flatten().map(|one| &one["name"]).collect();
    if names != ["launcher", "localhost"] || listed[0]["source"] != format!("plugin {plugin}") {
        return Err(format!("the backends are {listed}"));
    }
    let said = programs.lithops(&["--plugin", &plugin, "hello", "-b", "launcher", "-m", "8"])?;
    said.ends_with(0)?.wants("eight greetings", said.stdout.lines().count() == 8)?;
    // A user who unpacks an archive has not named the configuration in it.
    let yaml = format!("lithops: {{backend: launcher, plugins: ['{plugin}']}}\n");
    programs.write(".lithops_config", yaml.as_bytes())?;
    let said = programs.lithops(&["hello"])?;
    said.ends_with(2)?.refuses("`plugins` in section `lithops`")?;
    programs.remove(".lithops_config")
}

/// A library in C, and the error that names its defect.
const LIBRARIES: &[(&str, &str, &str)] = &[
    ("symbol", "int something_else = 1;", "it has no `LITHOPS_PLUGIN`"),
    ("magic", "const char LITHOPS_PLUGIN[128] = \"SOMETHING ELSE\";", "that is no header of a plugin"),
    ("short", "const char LITHOPS_PLUGIN[1] = \"x\";", "that is no header of a plugin"),
    ("abi", "const char LITHOPS_PLUGIN[128] = \"LITHOPSP\\x63\";", "speaks version 99.0 of the interface"),
    (
        "size",
        "const char LITHOPS_PLUGIN[128] = \"LITHOPSP\\0\\0\\x1\\0\\x10\";",
        "has a header of 16 bytes, and this program reads",
    ),
    (
        "core",
        "struct text { const char *data; unsigned long len; };
         const struct { char magic[8]; unsigned short major, minor; unsigned size; struct text texts[3]; void *f[7]; }
         LITHOPS_PLUGIN = {{'L','I','T','H','O','P','S','P'}, 0, 1, 120, {{\"x\", 1}, {\"1.0\", 3}, {\"9.9.9\", 5}}};",
        "was built with lithops-core 9.9.9, and this program with",
    ),
    (
        "null",
        "struct text { const char *data; unsigned long len; };
         const struct { char magic[8]; unsigned short major, minor; unsigned size; struct text texts[3]; void *f[7]; }
         LITHOPS_PLUGIN = {{'L','I','T','H','O','P','S','P'}, 0, 1, 120, {{\"x\", 1}, {\"1.0\", 3}, {\"0.1.0\", 5}}};",
        "has a header without the function `describe`",
    ),
    ("missing", "extern int nowhere; int *LITHOPS_PLUGIN = &nowhere;", "undefined symbol: nowhere"),
];

fn refused(programs: &Programs) -> Result<(), String> {
    let refused = |file: &Path, words: &str| -> Result<Said, String> {
        let said = programs.lithops(&["--plugin", &file.display().to_string(), "backends"])?;
        said.wants("an error and no end by a signal", said.code.is_some_and(|code| code != 0))?
            .refuses(words)?;
        Ok(said)
    };
    for (name, source, words) in LIBRARIES {
        let source = programs.write(&format!("{name}.c"), source.as_bytes())?;
        let library = source.with_extension("so");
        let mut cc = Command::new("cc");
        steps::run(cc.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source))?;
        refused(&library, words)?;
    }
    let text = programs.write("text.so", b"this is no library\n")?;
    refused(&text, "cannot be loaded")?;
    let empty = programs.write("empty.so", b"")?;
    refused(&empty, "cannot be loaded")?;
    refused(&text.with_file_name("nothing.so"), "cannot be found")?;
    fs::remove_file(&text).map_err(|error| error.to_string())
}
