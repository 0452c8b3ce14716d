//! Docker's `config.json`, and Podman's `auth.json`, which is the same: logins, and programs that keep logins.

use std::{collections::BTreeMap, io, path::Path, process::Stdio, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use lithops_core::{
    error::{Error, ErrorKind, Result},
    regular,
};
use serde::Deserialize;
use tokio::{io::AsyncWriteExt, process::Command};

use super::login::Login;

const LARGEST: u64 = 4 << 20;
/// How long a program that keeps logins may take: it may ask the user.
const HELPER: Duration = Duration::from_secs(60);
/// How Docker Hub is named in the file.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";
/// The user with which programs mark a token that is to be exchanged.
const TOKEN_USER: &str = "<token>";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    #[serde(default)]
    cred_helpers: BTreeMap<String, String>,
    #[serde(default)]
    creds_store: String,
}

#[derive(Deserialize, Default)]
struct Entry {
    #[serde(default)]
    auth: String,
    #[serde(default)]
    identitytoken: String,
    #[serde(default)]
    registrytoken: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Kept {
    username: String,
    secret: String,
}

/// The login of the file for a repository; `None` if the file does not exist or has none.
///
/// # Errors
/// The file or a login in it cannot be understood, or the program that keeps the logins fails.
pub(crate) async fn find(path: &Path, registry: &str, repository: &str) -> Result<Option<Login>> {
    let shown = path.display();
    let text = match regular::read(path, LARGEST) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(Error::new(ErrorKind::ConfigInvalid, format!("`{shown}` cannot be read: {error}"))
                .with_hint("may this user read it? It has the logins for registries"));
        }
    };
    // The message of the parser could show a piece of a secret.
    let file: File = serde_json::from_slice(&text).map_err(|error| {
        Error::new(
            ErrorKind::ConfigInvalid,
            format!("`{shown}` is no file of logins, see line {}", error.line()),
        )
        .with_hint("correct it, or log in again with `docker login`")
    })?;
    let server = if registry == "docker.io" { DOCKER_HUB } else { registry };
    let own = file.cred_helpers.get(registry).or_else(|| file.cred_helpers.get(server));
    let store = Some(&file.creds_store).filter(|store| !store.is_empty());
    for helper in own.into_iter().chain(store) {
        if let Some(login) = ask(helper, server).await? {
            return Ok(Some(login));
        }
    }
    let Some(entry) = entry(&file.auths, registry, server, repository) else { return Ok(None) };
    if !entry.registrytoken.is_empty() {
        return Ok(Some(Login::bearer(&entry.registrytoken)));
    }
    if !entry.identitytoken.is_empty() {
        return Ok(Some(Login::identity(&entry.identitytoken)));
    }
    if entry.auth.is_empty() {
        return Ok(None);
    }
    let decoded = STANDARD.decode(entry.auth.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let parts = decoded.as_deref().and_then(|text| text.split_once(':'));
    let (user, password) = parts.ok_or_else(|| {
        Error::new(
            ErrorKind::ConfigInvalid,
            format!("the login for `{registry}` in `{shown}` cannot be read"),
        )
        .with_hint(format!("log in again with `docker login {registry}`"))
    })?;
    Ok(Some(Login::password(user, password.trim_end_matches('\0'))))
}

/// The entry for a repository: the longest beginning of its name that has one. Docker also writes whole addresses.
fn entry<'a>(
    auths: &'a BTreeMap<String, Entry>,
    registry: &str,
    server: &str,
    repository: &str,
) -> Option<&'a Entry> {
    let full = format!("{registry}/{repository}");
    let mut name = full.as_str();
    while let Some((shorter, _)) = name.rsplit_once('/') {
        if let Some(entry) = auths.get(name) {
            return Some(entry);
        }
        name = shorter;
    }
    let is_it = |key: &str| {
        let bare = key.trim_start_matches("https://").trim_start_matches("http://");
        key == server || bare.split('/').next() == Some(registry) && key.contains("://")
    };
    auths.get(registry).or_else(|| auths.iter().find(|(key, _)| is_it(key)).map(|(_, entry)| entry))
}

/// Asks the program `docker-credential-NAME`.
async fn ask(helper: &str, server: &str) -> Result<Option<Login>> {
    let program = format!("docker-credential-{helper}");
    let failed = |why: &str| {
        Error::new(ErrorKind::PermissionDenied, format!("`{program}` gave no login for `{server}`: {why}"))
            .with_hint(format!("try `echo {server} | {program} get`, or log in again with `docker login`"))
    };
    if helper.contains('/') {
        return Err(failed("its name has a `/`"));
    }
    let run = async {
        let mut child = Command::new(&program)
            .arg("get")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(server.as_bytes()).await?;
        }
        child.wait_with_output().await
    };
    let output = match tokio::time::timeout(HELPER, run).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => return Err(failed(&error.to_string())),
        Err(_) => return Err(failed("it did not end")),
    };
    answer(output.status.success(), &output.stdout).map_err(|why| failed(&why))
}

/// Reads what such a program has answered.
fn answer(is_success: bool, stdout: &[u8]) -> Result<Option<Login>, String> {
    if !is_success {
        return match String::from_utf8_lossy(stdout).contains("credentials not found") {
            true => Ok(None),
            // What it says could be of any kind, and may hold a secret.
            false => Err("it has failed".to_owned()),
        };
    }
    let kept: Kept = serde_json::from_slice(stdout).map_err(|_| "its answer is no login".to_owned())?;
    Ok(Some(match kept.username == TOKEN_USER {
        true => Login::identity(kept.secret),
        false => Login::password(kept.username, kept.secret),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn find_in(json: &str, registry: &str, repository: &str) -> Result<Option<Login>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        std::fs::write(&path, json).unwrap();
        find(&path, registry, repository).await
    }

    #[tokio::test]
    async fn the_login_for_the_longest_name_is_taken() {
        // `a:hunter2` and `b:hunter3:x`.
        let json = r#"{"auths": {"r.test": {"auth": "YTpodW50ZXIy"}, "r.test/team": {"auth": "YjpodW50ZXIzOng="},
            "https://index.docker.io/v1/": {"identitytoken": "t"}, "https://old.test/v2/": {"registrytoken": "s"},
            "empty.test": {}}, "unknown": 1}"#;
        let found = |registry, repository| find_in(json, registry, repository);
        let login = found("r.test", "app").await.unwrap().unwrap();
        assert_eq!(login, Login::password("a", "hunter2"));
        assert!(!format!("{login:?}").contains("hunter2"), "{login:?}");
        assert_eq!(found("r.test", "team/app").await.unwrap(), Some(Login::password("b", "hunter3:x")));
        assert_eq!(found("docker.io", "x/y").await.unwrap(), Some(Login::identity("t")));
        assert_eq!(found("old.test", "x").await.unwrap(), Some(Login::bearer("s")));
        assert_eq!(found("empty.test", "x").await.unwrap(), None);
        assert_eq!(found("other.test", "x").await.unwrap(), None);
        assert_eq!(find(Path::new("/none/config.json"), "r.test", "x").await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_broken_file_is_named_and_shows_no_secret() {
        for json in [
            r#"{"auths": {"r.test": {"auth": "hunter2!"}}}"#,
            r#"{"auths": {"r.test": "hunter2"}}"#,
            "hunter2",
        ] {
            let error = find_in(json, "r.test", "x").await.unwrap_err();
            assert!(error.to_string().contains("config.json"), "{error}");
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }

    #[tokio::test]
    async fn a_program_that_is_missing_is_named() {
        let json = r#"{"credHelpers": {"r.test": "lithops-none"}}"#;
        let error = find_in(json, "r.test", "x").await.unwrap_err().to_string();
        assert!(error.starts_with("`docker-credential-lithops-none` gave no login for `r.test`"), "{error}");
    }

    #[test]
    fn what_programs_answer_is_read() {
        let json =
            |user: &str| format!(r#"{{"ServerURL": "r.test", "Username": "{user}", "Secret": "hunter2"}}"#);
        assert_eq!(answer(true, json("ann").as_bytes()), Ok(Some(Login::password("ann", "hunter2"))));
        assert_eq!(answer(true, json(TOKEN_USER).as_bytes()), Ok(Some(Login::identity("hunter2"))));
        assert_eq!(answer(false, b"credentials not found in native keychain\n"), Ok(None));
        for (is_success, stdout) in [(false, "hunter2"), (true, "hunter2"), (true, "{}")] {
            let why = answer(is_success, stdout.as_bytes()).unwrap_err();
            assert!(!why.contains("hunter2"), "{why}");
        }
    }
}
