//! The data directory: made where there is none, and used by one process at a time.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// A directory that this process has for itself, as long as this lives.
pub(crate) struct Directory {
    path: PathBuf,
    _lock: File,
}

impl Directory {
    /// Takes the directory.
    ///
    /// # Errors
    /// It can't be made, or another process has it: the message names that process.
    pub(crate) fn take(path: &Path) -> anyhow::Result<Self> {
        // The log holds what customers did: it is nobody else's business.
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.with_context(|| format!("can't make the data directory {}", path.display()))?;
        let file = path.join("lock");
        let mut options = OpenOptions::new();
        let lock = options.read(true).write(true).create(true).truncate(false).open(&file);
        let mut lock = lock.with_context(|| format!("can't open {}", file.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // The holder may be about to write its pid: then there is none to tell.
                lock.read_to_string(&mut holder).with_context(|| format!("can't read {}", file.display()))?;
                let holder = holder.trim();
                bail!(
                    "{} is in use by a running weir (pid {}); stop it, or use another directory",
                    path.display(),
                    if holder.is_empty() { "unknown" } else { holder }
                );
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("can't lock {}", file.display()));
            }
        }
        lock.set_len(0)?;
        lock.rewind()?;
        lock.write_all(format!("{}\n", std::process::id()).as_bytes())?;
        lock.flush()?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// A file in it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_user_is_told_the_first_ones_pid() {
        let place = tempfile::tempdir().unwrap();
        let first = Directory::take(&place.path().join("data")).unwrap();
        let refused = Directory::take(&place.path().join("data")).err().unwrap().to_string();
        assert!(refused.contains(&std::process::id().to_string()), "{refused}");
        drop(first);
        assert!(Directory::take(&place.path().join("data")).is_ok());
    }
}
