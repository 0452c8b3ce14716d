//! Programs on a storage, and their errors when something is wrong with it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use crate::e2e::{
    peers::{BUCKET, ID, SECRET, Server},
    program::{Programs, Said},
};

type Trial = fn(&Programs, &Server) -> Result<(), String>;

pub(super) const TRIALS: &[(&str, Trial)] = &[
    ("objects go and come through the command line", command_line),
    ("a program and its workers use the storage, and its secret is nowhere", objects),
    ("words of real text are those that wc counts", words),
    ("a fleet finds jobs and chunks there", fleet),
    ("what is wrong is said", mistakes),
];

/// The pause between two looks at processes.
const LOOK: Duration = Duration::from_millis(2);

fn command_line(programs: &Programs, server: &Server) -> Result<(), String> {
    programs.write("config.yaml", server.yaml.replace("MORE", "").as_bytes())?;
    let content: Vec<u8> = (0..20_000_000u32).map(|number| (number % 253) as u8).collect();
    programs.write("up.bin", &content)?;
    let storage = |arguments: &[&str]| {
        programs.lithops(&[&["storage"], arguments, &["--config", "config.yaml"]].concat())
    };
    storage(&["put", "up.bin", BUCKET, "--key", "cli/a b/ü.bin"])?.ends_with(0)?;
    storage(&["put", "up.bin", BUCKET])?.ends_with(0)?;
    let listed = storage(&["list", BUCKET, "--prefix", "cli/", "--json"])?.json()?;
    let expected = serde_json::json!([{"key": "cli/a b/ü.bin", "size": content.len()}]);
    if listed != expected {
        return Err(format!("the listing is {listed}"));
    }
    storage(&["get", BUCKET, "cli/a b/ü.bin", "--out", "down.bin"])?.ends_with(0)?;
    if programs.read("down.bin")? != content {
        return Err("what comes back is not what went".to_owned());
    }
    storage(&["delete", BUCKET, "up.bin"])?.ends_with(0)?;
    storage(&["delete", BUCKET, "--prefix", "cli/"])?.ends_with(0)?;
    storage(&["get", BUCKET, "up.bin"])?.ends_with(3)?.refuses("there is no object `up.bin`")?;
    storage(&["delete", BUCKET, "up.bin"])?.ends_with(3)?.refuses("there is no object `up.bin`")?;
    Ok(())
}

/// Runs the example, looks at all processes meanwhile, and at everything that is stored afterwards.
fn objects(programs: &Programs, server: &Server) -> Result<(), String> {
    programs.write("config.yaml", server.yaml.replace("MORE", "").as_bytes())?;
    let mut command = programs.command("examples/objects");
    command.env("LITHOPS_CONFIG_FILE", "config.yaml").stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = command.spawn().map_err(|error| format!("cannot start the example: {error}"))?;
    let mut looked = 0;
    let begun = Instant::now();
    while running.try_wait().map_err(|error| error.to_string())?.is_none() {
        if let Some(place) = secret_in_processes() {
            // The command ends with an error in any case.
            let _ = running.kill();
            return Err(format!("the secret stands in `{place}`"));
        }
        looked += 1;
        if begun.elapsed() > Duration::from_secs(120) {
            let _ = running.kill();
            return Err("the example does not end".to_owned());
        }
        std::thread::sleep(LOOK);
    }
    let output = running.wait_with_output().map_err(|error| error.to_string())?;
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if !output.status.success() || !stdout.contains("every outcome was right") {
        return Err(format!("the example failed\nstdout:\n{stdout}\nstderr:\n{stderr}"));
    }
    if looked < 3 || [&stdout, &stderr].iter().any(|text| text.contains(SECRET)) {
        return Err("the secret was printed, or nobody looked".to_owned());
    }
    server.flush()?;
    if let Some(data) = &server.data {
        let mut read = 0;
        search(data, &mut read)?;
        if read == 0 {
            return Err(format!("nothing was stored in `{}`", data.display()));
        }
    }
    Ok(())
}

/// The folder with the sources of the crates that this project is built from: text of many sorts.
pub(in crate::e2e) fn words(programs: &Programs, server: &Server) -> Result<(), String> {
    programs.write("config.yaml", server.yaml.replace("MORE", ", max_workers: 16").as_bytes())?;
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let mut folders = vec![home.ok_or("there is no folder of cargo")?.join("registry/src")];
    let (mut files, mut bytes) = (0, 0);
    while let Some(folder) = folders.pop().filter(|_| files < 150 && bytes < 4 << 20) {
        let mut entries: Vec<_> = fs::read_dir(folder).into_iter().flatten().flatten().collect();
        entries.sort_by_key(fs::DirEntry::path);
        for entry in entries {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else if let Ok(text) = fs::read(entry.path()) {
                programs.write(&format!("texts/{files}"), &text)?;
                (files, bytes) = (files + 1, bytes + text.len());
            }
        }
    }
    let count = "total=0; for f in texts/*; do total=$((total + $(wc -w < $f))); done; echo $total";
    let wc = programs.shell(count)?;
    let expected = wc.ends_with(0)?.stdout.trim();
    if files < 100 || expected.parse::<u64>().is_ok_and(|words| words < 50_000) {
        return Err(format!("{files} files with {expected} words are hardly a text"));
    }
    let said = programs.example_with("words", &["texts"], "config.yaml")?;
    let lines = ["3 KiB", "50 KiB", "1 MiB"].map(|size| format!("{expected} words in parts of {size}\n"));
    said.ends_with(0)?.wants(&format!("{expected} words three times"), said.stdout == lines.concat())?;
    Ok(())
}

/// Workers that no client feeds: what they are to do, and what they have done, is in the storage alone.
fn fleet(programs: &Programs, server: &Server) -> Result<(), String> {
    let pulled = "localhost: {dispatch: pull, max_workers: 2, lease: 5s}";
    programs.write("fleet.yaml", format!("{}\n{pulled}\n", server.yaml).as_bytes())?;
    for file in 0..4u32 {
        let lines = (0..2_000u32).map(|line| format!("file {file} line {line}\n"));
        programs.write(&format!("few/{file}"), lines.collect::<String>().as_bytes())?;
    }
    // Objects of the trials before count as well.
    let lithops = |arguments: &[&str]| programs.lithops(&[arguments, &["--config", "fleet.yaml"]].concat());
    lithops(&["storage", "delete", BUCKET, "--prefix", "words-example/"])?;
    lithops(&["clean", "--older-than", "0s"])?.ends_with(0)?;
    let said = programs.example_with("words", &["few"], "fleet.yaml")?;
    let lines = ["3 KiB", "50 KiB", "1 MiB"].map(|size| format!("32000 words in parts of {size}\n"));
    said.ends_with(0)?.wants("32000 words three times", said.stdout == lines.concat())?;
    for left in ["lithops.jobs/", "lithops.fleets/"] {
        let listed = lithops(&["storage", "list", BUCKET, "--prefix", left, "--json"])?.json()?;
        if listed != serde_json::json!([]) {
            return Err(format!("left in the storage: {listed}"));
        }
    }
    Ok(())
}

fn mistakes(programs: &Programs, server: &Server) -> Result<(), String> {
    let list = |yaml: String, bucket: &str| {
        programs.write("wrong.yaml", yaml.as_bytes())?;
        programs.lithops(&["storage", "list", bucket, "--config", "wrong.yaml"])
    };
    if server.name == "redis" {
        server.fill()?;
        let full = put_too_much(programs, server)?;
        server.empty()?;
        full.ends_with(1)?.refuses("the server's memory is full")?;
        list(server.yaml.replace(SECRET, "wrong"), BUCKET)?
            .ends_with(4)?
            .refuses("does not accept user and password")?;
        list(server.yaml.replace(&format!(", password: {SECRET}"), ""), BUCKET)?.ends_with(4)?;
    } else {
        // moto takes any signature.
        if server.name == "seaweedfs" {
            let secret = list(server.yaml.replace(SECRET, "wrong"), BUCKET)?;
            secret.ends_with(4)?.refuses("does not accept the credentials")?;
            let id = list(server.yaml.replace(ID, "wrong"), BUCKET)?;
            id.ends_with(4)?.refuses("does not accept the credentials")?;
        }
        list(server.yaml.clone(), "lithops-none")?
            .ends_with(3)?
            .refuses("there is no bucket `lithops-none`")?;
        if server.name == "gcs" {
            let unsigned: Vec<_> =
                server.yaml.lines().filter(|line| !line.contains("credentials_path")).collect();
            list(unsigned.join("\n"), BUCKET)?.ends_with(4)?.refuses("no credentials that are accepted")?;
            list(server.yaml.replace("gcs-key.json", "none.json"), BUCKET)?
                .ends_with(2)?
                .refuses("cannot read the credentials")?;
        } else {
            let half = server.yaml.replace(&format!("secret_access_key: {SECRET}"), "session_token: x");
            list(half, BUCKET)?.ends_with(2)?.refuses("`secret_access_key` is missing")?;
        }
        let port = format!("127.0.0.1:{}", server.port);
        list(server.yaml.replace(&port, "127.0.0.1"), BUCKET)?.ends_with(1)?.refuses("cannot list")?;
    }
    // No server listens at port 1.
    let nobody = server.yaml.replace(&server.port.to_string(), "1");
    let said = list(nobody, BUCKET)?;
    said.ends_with(1)?.refuses("cannot list")?.wants("the reason", said.stderr.contains("onnect"))?;
    Ok(())
}

/// Puts an object that does not fit.
fn put_too_much(programs: &Programs, server: &Server) -> Result<Said, String> {
    programs.write("config.yaml", server.yaml.replace("MORE", "").as_bytes())?;
    programs.write("up.bin", &[7; 4 << 20])?;
    programs.lithops(&["storage", "put", "up.bin", BUCKET, "--config", "config.yaml"])
}

/// The file below `/proc` in which the secret stands, if there is one.
fn secret_in_processes() -> Option<String> {
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        for name in ["cmdline", "environ"] {
            let path = process.path().join(name);
            // Most entries are no processes, and processes end while they are looked at.
            if fs::read(&path).is_ok_and(|text| contains_secret(&text)) {
                return Some(path.display().to_string());
            }
        }
    }
    None
}

/// Looks for the secret in every file below a folder.
fn search(folder: &Path, read: &mut u64) -> Result<(), String> {
    for entry in fs::read_dir(folder).map_err(|error| format!("`{}`: {error}", folder.display()))?.flatten() {
        let path = entry.path();
        if path.is_dir() {
            search(&path, read)?;
        } else if let Ok(content) = fs::read(&path) {
            *read += content.len() as u64;
            if contains_secret(&content) {
                return Err(format!("the secret is stored in `{}`", path.display()));
            }
        }
    }
    Ok(())
}

fn contains_secret(text: &[u8]) -> bool {
    text.windows(SECRET.len()).any(|part| part == SECRET.as_bytes())
}
