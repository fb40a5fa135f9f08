//! Where configuration comes from, as a value: nothing else in this crate reads the process's arguments or variables.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

/// The arguments, the variables and the files that a configuration is read from.
#[derive(Clone, Debug, Default)]
pub struct Source {
    pub(crate) arguments: Vec<String>,
    pub(crate) variables: Vec<(String, String)>,
    /// What can't be read at all, found while collecting.
    pub(crate) problems: Vec<String>,
    files: Option<BTreeMap<PathBuf, String>>,
}

impl Source {
    /// Of this process: the arguments after the first `skip` (1 for a program, 2 for a subcommand of it), all
    /// variables, and the file system.
    pub fn process(skip: usize) -> Self {
        let mut source = Self::default();
        for argument in std::env::args_os().skip(skip) {
            match argument.into_string() {
                Ok(text) => source.arguments.push(text),
                Err(_) => source.problems.push("an argument is not UTF-8".to_owned()),
            }
        }
        source.take_variables(std::env::vars_os());
        source
    }

    /// Of texts, without files: for tests, and for who brings arguments of its own.
    pub fn of<'a>(
        arguments: impl IntoIterator<Item = &'a str>,
        variables: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        Self {
            arguments: arguments.into_iter().map(str::to_owned).collect(),
            variables: variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            problems: Vec::new(),
            files: Some(BTreeMap::new()),
        }
    }

    /// Adds a file that exists only here; the file system is not asked any more.
    #[must_use]
    pub fn with_file(mut self, path: &str, text: &str) -> Self {
        self.files.get_or_insert_default().insert(path.into(), text.to_owned());
        self
    }

    fn take_variables(&mut self, variables: impl Iterator<Item = (OsString, OsString)>) {
        for (name, value) in variables {
            let Ok(name) = name.into_string() else { continue };
            if !name.starts_with("WEIR_") {
                continue;
            }
            match value.into_string() {
                Ok(value) => self.variables.push((name, value)),
                Err(_) => self.problems.push(format!("{name}: the value is not UTF-8")),
            }
        }
        // The environment has no order of its own; messages should.
        self.variables.sort();
    }

    pub(crate) fn read(&self, path: &Path) -> io::Result<String> {
        match &self.files {
            None => std::fs::read_to_string(path),
            Some(files) => files.get(path).cloned().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound)),
        }
    }
}
