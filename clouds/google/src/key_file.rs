//! [`KeyFile`]: a JSON file of credentials, as Google's console and `gcloud` write it.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use lithops_core::error::{Error, ErrorKind, Result};
use serde::Deserialize;

/// The longest file that is read. Key files have about 2 KB.
const LONGEST: u64 = 1 << 20;

/// A file of credentials.
#[derive(Clone)]
pub struct KeyFile {
    /// Where it is.
    pub path: PathBuf,
    /// What it has.
    pub kind: KeyKind,
    /// The service account that it is for, if it says so.
    pub client_email: Option<String>,
    /// The project that it belongs to, if it says so.
    pub project: Option<String>,
    content: String,
}

/// What a file of credentials has, by its `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyKind {
    /// The key of a service account.
    ServiceAccount,
    /// The login of a user, by `gcloud auth application-default login`.
    AuthorizedUser,
    /// An identity of another cloud or provider.
    ExternalAccount,
    /// Another identity that acts as a service account.
    ImpersonatedServiceAccount,
    /// A type that this version does not know.
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Content {
    r#type: Option<KeyKind>,
    client_email: Option<String>,
    project_id: Option<String>,
    quota_project_id: Option<String>,
}

impl KeyFile {
    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, or has no credentials of Google.
    pub fn read(path: &Path) -> Result<Self> {
        let invalid = |what: &str| {
            Error::new(
                ErrorKind::ConfigInvalid,
                format!("cannot read the credentials `{}`, {what}", path.display()),
            )
            .with_hint(
                "name the JSON key of a service account in `credentials_path`, or run `gcloud auth \
                     application-default login` and leave it out",
            )
        };
        let meta = fs::metadata(path).map_err(|error| invalid(&error.to_string()))?;
        if !meta.is_file() || meta.len() > LONGEST {
            return Err(invalid("it is no file of credentials"));
        }
        let content = fs::read_to_string(path).map_err(|error| invalid(&error.to_string()))?;
        // The error of the parser would quote a part of the file, which may be the key.
        let read: Content =
            serde_json::from_str(&content).map_err(|_| invalid("it is no JSON of credentials"))?;
        let kind = read.r#type.ok_or_else(|| invalid("it has no `type`"))?;
        if kind == KeyKind::ServiceAccount && read.client_email.is_none() {
            return Err(invalid("it has no `client_email`"));
        }
        Ok(Self {
            path: path.to_owned(),
            kind,
            client_email: read.client_email,
            project: read.project_id.or(read.quota_project_id),
            content,
        })
    }

    /// The content of the file, for the code that signs with it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.content
    }
}

impl fmt::Debug for KeyFile {
    /// Leaves out the content.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyFile").field("path", &self.path).field("kind", &self.kind).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: &str) -> (tempfile::TempDir, Result<KeyFile>) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key.json");
        fs::write(&path, content).expect("a file");
        let read = KeyFile::read(&path);
        (folder, read)
    }

    #[test]
    fn the_key_is_not_shown() {
        let json =
            r#"{"type":"service_account","client_email":"a@p.iam","project_id":"p","private_key":"hunter2"}"#;
        let (_folder, read) = file(json);
        let read = read.expect("a key");
        assert_eq!((read.kind, read.project.as_deref()), (KeyKind::ServiceAccount, Some("p")));
        assert!(!format!("{read:?}").contains("hunter2"));
        for broken in
            [r#"{"type":"service_account","private_key":"hunter2"}"#, r#"{"private_key":"hunter2""#, "[]"]
        {
            let error = file(broken).1.expect_err(broken).to_string();
            assert!(error.contains("key.json") && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn kinds_are_told_by_type() {
        for (name, kind) in [
            ("authorized_user", KeyKind::AuthorizedUser),
            ("external_account", KeyKind::ExternalAccount),
            ("impersonated_service_account", KeyKind::ImpersonatedServiceAccount),
            ("new_kind", KeyKind::Other),
        ] {
            let (_folder, read) = file(&format!(r#"{{"type":"{name}","quota_project_id":"q"}}"#));
            let read = read.expect("credentials");
            assert_eq!((read.kind, read.project.as_deref()), (kind, Some("q")));
        }
    }
}
