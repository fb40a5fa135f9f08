//! `keys.json`: the first keys, as text. The log keeps only their hashes.
//!
//! The file is on disk before the record that makes the keys valid, and one found at a first start is used: so a crash
//! in between locks nobody out.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use weir_control::{Role, Secret, key_hash};
use weir_ingest::bootstrap::FirstKeys;

/// The keys of the first workspace, and the deployment's.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct KeysFile {
    pub(crate) workspace: String,
    pub(crate) write: String,
    pub(crate) read: String,
    pub(crate) admin: String,
    pub(crate) operator: String,
}

impl KeysFile {
    /// Reads the file, if it is there.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Option<Self>> {
        match std::fs::read_to_string(path) {
            Ok(text) => serde_json::from_str(&text)
                .map(Some)
                .with_context(|| format!("{} is not the keys file that weir wrote; move it away", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("can't read {}", path.display())),
        }
    }

    /// The keys in the file; makes them, and the file, where there is none.
    pub(crate) fn read_or_make(path: &Path, workspace: &str) -> anyhow::Result<Self> {
        if let Some(found) = Self::read(path)? {
            return Ok(found);
        }
        let secret = |role| Secret::new(role, &rand::random()).expose().to_owned();
        let keys = Self {
            workspace: workspace.to_owned(),
            write: secret(Role::Write),
            read: secret(Role::Read),
            admin: secret(Role::Admin),
            operator: secret(Role::Operator),
        };
        keys.write_to(path).with_context(|| format!("can't write {}", path.display()))?;
        Ok(keys)
    }

    /// Under another name first, so that a file of this name is always whole.
    fn write_to(&self, path: &Path) -> anyhow::Result<()> {
        let partial = path.with_extension("json.partial");
        match std::fs::remove_file(&partial) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial)?;
        file.write_all(serde_json::to_string_pretty(self)?.as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        std::fs::rename(&partial, path)?;
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::File::open(directory)?.sync_all()?;
        Ok(())
    }

    /// What the log keeps of them.
    pub(crate) fn hashes(&self) -> FirstKeys {
        FirstKeys {
            write: key_hash(&self.write),
            read: key_hash(&self.read),
            admin: key_hash(&self.admin),
            operator: Some(key_hash(&self.operator)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn keys_are_made_once_and_for_the_owner_only() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("keys.json");
        let made = KeysFile::read_or_make(&path, "default").unwrap();
        let found = KeysFile::read_or_make(&path, "default").unwrap();
        assert_eq!(made.hashes(), found.hashes());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
