//! Settings from flags, variables and a file, in this order of precedence, with every problem named at once.
//!
//! Invariant: nothing given is ignored. What isn't known, is given twice, can't be read or contradicts something else
//! is a problem, and all problems are told together, so that a deployment is mended in one go. That is why the flags
//! are read here: clap, which prints the help, stops at the first one that it doesn't know.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::net::SocketAddr;
use std::path::Path;
use std::str::FromStr;

use crate::setting::Origin;
use crate::{Setting, Source, listen_address};

/// Variables that are known everywhere: those of the commands that talk to a running Weir, and those that say where the
/// tests find real servers (`deploy/services.sh`), since whoever works on Weir starts it from the same shell.
const FOREIGN_VARIABLES: [&str; 5] =
    ["WEIR_URL", "WEIR_KEY", "WEIR_TEST_KAFKA", "WEIR_TEST_POSTGRES", "WEIR_SERVICES_CACHE"];

const CONFIG: Setting = Setting::value("config", "FILE", "a TOML file with settings; flags and variables go before it");

/// What a program can be told.
#[derive(Clone, Copy, Debug)]
pub struct Program<'a> {
    /// How it is called, such as `weir up`.
    pub name: &'static str,
    /// What it does, in a sentence.
    pub about: &'static str,
    /// Its settings, in groups.
    pub settings: &'a [&'a [Setting]],
    /// Settings of Weir's other programs: their variables and file keys may be there and mean nothing here, because
    /// all programs read the same file. Their flags are unknown.
    pub elsewhere: &'a [&'a [Setting]],
}

/// The help was asked for; this is it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Help(pub String);

/// The configuration can't be used: every problem there is, a line each. The exit code for it is 64.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// What is wrong.
    pub problems: Vec<String>,
}

impl ConfigError {
    /// The exit code of a program that can't use its configuration (`EX_USAGE`).
    pub const EXIT_CODE: u8 = 64;
}

impl Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration can't be used:")?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

#[derive(Clone, Debug)]
struct Given {
    text: String,
    /// The flag, variable or key as the user wrote it.
    origin: String,
    secret: bool,
}

/// The settings that were given, and the problems found so far.
///
/// ```
/// use weir_lifecycle::{Config, Program, Setting, Source};
/// const SETTINGS: &[Setting] = &[Setting::value("partitions", "N", "partitions of a new log")];
/// let program = Program { name: "weir up", about: "", settings: &[SETTINGS], elsewhere: &[] };
/// let source = Source::of(["--partitions", "many", "--fast"], [("WEIR_PARTITION", "2")]);
/// let mut config = Config::load(&program, &source).unwrap();
/// let _ = config.get_or("partitions", 1_u32);
/// let problems = config.finish().unwrap_err().problems;
/// assert_eq!(problems, [
///     "--fast: no such flag",
///     "WEIR_PARTITION: no such variable; did you mean WEIR_PARTITIONS?",
///     "--partitions: `many` can't be used: invalid digit found in string",
/// ]);
/// ```
#[derive(Debug)]
pub struct Config {
    declared: Vec<Setting>,
    given: BTreeMap<String, Given>,
    problems: Vec<String>,
}

impl Config {
    /// Collects what `source` says. Never fails for a problem: those are kept for [`finish`](Self::finish).
    ///
    /// # Errors
    /// [`Help`], if `--help` or `-h` is among the arguments.
    pub fn load(program: &Program<'_>, source: &Source) -> Result<Self, Help> {
        if source.arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
            return Err(Help(command(program).render_help().to_string()));
        }
        let declared: Vec<Setting> = program.settings.iter().copied().flatten().copied().chain([CONFIG]).collect();
        let elsewhere: Vec<Setting> = program.elsewhere.iter().copied().flatten().copied().collect();
        let mut config = Self { declared, given: BTreeMap::new(), problems: source.problems.clone() };
        config.take_arguments(&source.arguments);
        config.take_variables(&source.variables, &elsewhere);
        if let Some(path) = config.given.get(CONFIG.name).map(|given| given.text.clone()) {
            config.take_file(Path::new(&path), source, &elsewhere);
        }
        Ok(config)
    }

    fn take_arguments(&mut self, arguments: &[String]) {
        let mut rest = arguments.iter().peekable();
        while let Some(argument) = rest.next() {
            if !argument.starts_with("--") {
                self.problems.push(format!("{argument}: not expected here; settings are given as --flag value"));
                continue;
            }
            let (flag, inline) = match argument.split_once('=') {
                Some((flag, value)) => (flag, Some(value.to_owned())),
                None => (argument.as_str(), None),
            };
            let Some((name, setting)) = met(&self.declared, flag, Origin::Flag) else {
                let flags = self.declared.iter().map(Setting::flag);
                self.problems.push(unknown(flag, "flag", flags));
                // What follows an unknown flag is most likely its value.
                if inline.is_none() {
                    rest.next_if(|next| !next.starts_with("--"));
                }
                continue;
            };
            let value = match (setting.value, inline) {
                (_, Some(value)) => Some(value),
                (None, None) => Some("true".to_owned()),
                (Some(_), None) => rest.next_if(|next| !next.starts_with("--")).cloned(),
            };
            match value {
                None => self.problems.push(format!("{flag}: needs a value, {}", setting.value.unwrap_or_default())),
                Some(_) if self.given.contains_key(&name) => self.problems.push(format!("{flag}: given twice")),
                Some(text) => self.take(name, setting, text, flag),
            }
        }
    }

    fn take_variables(&mut self, variables: &[(String, String)], elsewhere: &[Setting]) {
        for (name, text) in variables.iter().filter(|(name, _)| name.starts_with("WEIR_")) {
            if let Some((given, setting)) = met(&self.declared, name, Origin::Variable) {
                // Compose files pass on variables that aren't set as empty ones.
                if !text.is_empty() && !self.given.contains_key(&given) {
                    self.take(given, setting, text.clone(), name);
                }
            } else if met(elsewhere, name, Origin::Variable).is_none() && !FOREIGN_VARIABLES.contains(&name.as_str()) {
                let known = self.declared.iter().chain(elsewhere).filter(|s| !s.flag_only).map(Setting::variable);
                let known = known.chain(FOREIGN_VARIABLES.map(str::to_owned));
                self.problems.push(unknown(name, "variable", known));
            }
        }
    }

    fn take_file(&mut self, path: &Path, source: &Source, elsewhere: &[Setting]) {
        let shown = path.display();
        let text = match source.read(path) {
            Ok(text) => text,
            Err(error) => return self.problems.push(format!("{shown}: can't be read: {error}")),
        };
        let table: toml::Table = match text.parse() {
            Ok(table) => table,
            Err(error) => return self.problems.push(format!("{shown}: not TOML: {}", error.to_string().trim_end())),
        };
        for (key, value) in table {
            let origin = format!("{shown}: {key}");
            // A file that names another file would be read after the flags that it must not overrule.
            let known = met(&self.declared, &key, Origin::Key).filter(|(_, setting)| setting.name != CONFIG.name);
            let Some((name, setting)) = known else {
                if met(elsewhere, &key, Origin::Key).is_none() {
                    let keys = self.declared.iter().filter(|s| s.name != CONFIG.name && !s.flag_only);
                    let keys = keys.chain(elsewhere).map(|s| s.key());
                    self.problems.push(format!("{shown}: {}", unknown(&key, "key", keys.map(str::to_owned))));
                }
                continue;
            };
            match scalar(value) {
                Some(_) if self.given.contains_key(&name) => {}
                Some(text) => self.take(name, setting, text, &origin),
                None => self.problems.push(format!("{origin}: must be a text, a number, true or false")),
            }
        }
    }

    fn take(&mut self, name: String, setting: Setting, text: String, origin: &str) {
        self.given.insert(name, Given { text, origin: origin.to_owned(), secret: setting.secret });
    }

    /// The value of a setting, if it was given. One that can't be read is a problem and `None`.
    pub fn get<T>(&mut self, name: &str) -> Option<T>
    where
        T: FromStr<Err: Display>,
    {
        self.get_with(name, |text| text.parse::<T>().map_err(|error| error.to_string()))
    }

    /// The value of a setting, or `default`.
    pub fn get_or<T>(&mut self, name: &str, default: T) -> T
    where
        T: FromStr<Err: Display>,
    {
        self.get(name).unwrap_or(default)
    }

    /// The value of a setting, read by `read`, whose error says why a text can't be used.
    pub fn get_with<T>(&mut self, name: &str, read: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        debug_assert!(self.declared.iter().any(|setting| setting.name == name), "`{name}` is not declared");
        let given = self.given.get(name)?;
        match read(&given.text) {
            Ok(value) => Some(value),
            Err(why) => {
                let shown = if given.secret { "the value".to_owned() } else { format!("`{}`", given.text) };
                self.problems.push(format!("{}: {shown} can't be used: {why}", given.origin));
                None
            }
        }
    }

    /// Whether a switch is on.
    pub fn switch(&mut self, name: &str) -> bool {
        let on = self.get_with(name, |text| match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            _ => Err("it is true or false".to_owned()),
        });
        on.unwrap_or(false)
    }

    /// The address of the setting [`LISTEN`](crate::settings::LISTEN), or else this port of loopback.
    pub fn listen(&mut self, default_port: u16) -> SocketAddr {
        let default = SocketAddr::from(([127, 0, 0, 1], default_port));
        self.get_with("listen", listen_address).unwrap_or(default)
    }

    /// What `read` makes of the properties given of a family (see [`Setting::family`]), by their names; its error says
    /// which can't be used.
    pub fn family<T: Default, E: Display>(
        &mut self,
        name: &str,
        read: impl FnOnce(BTreeMap<String, String>) -> Result<T, E>,
    ) -> T {
        let of = |(given, value): (&String, &Given)| {
            let property = given.strip_prefix(name)?.strip_prefix(':')?;
            Some((property.to_owned(), value.text.clone()))
        };
        let refused = match read(self.given.iter().filter_map(of).collect()) {
            Ok(value) => return value,
            Err(error) => error,
        };
        self.problems.push(format!("WEIR_{}_*: {refused}", name.to_uppercase()));
        T::default()
    }

    /// Refuses a configuration that doesn't give a setting; `why` says what it is needed for, and what to do instead.
    pub fn require(&mut self, name: &str, why: &str) {
        if self.given.contains_key(name) {
            return;
        }
        let variable = self.declared.iter().find(|setting| setting.name == name).map(Setting::variable);
        self.problems.push(format!("{}: not given; {why}", variable.as_deref().unwrap_or(name)));
    }

    /// The flag, variable or file key by which a setting was given, for messages; `None` if it wasn't.
    pub fn origin(&self, name: &str) -> Option<&str> {
        self.given.get(name).map(|given| given.origin.as_str())
    }

    /// Adds a problem: a contradiction, or a value that only its user can judge.
    pub fn refuse(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// Every problem found.
    pub fn finish(self) -> Result<(), ConfigError> {
        if self.problems.is_empty() { Ok(()) } else { Err(ConfigError { problems: self.problems }) }
    }
}

/// The setting that a word belongs to, and what it is called inside.
fn met(settings: &[Setting], word: &str, origin: Origin) -> Option<(String, Setting)> {
    settings.iter().find_map(|setting| setting.met_as(word, origin).map(|name| (name, *setting)))
}

/// The variables of this process that no program of Weir knows, told as [`Config`] tells them: for programs that read
/// their arguments otherwise.
pub fn unknown_variables(known: &[&[Setting]], source: &Source) -> Vec<String> {
    let declared: Vec<Setting> = known.iter().copied().flatten().copied().chain([CONFIG]).collect();
    let mut config = Config { declared, given: BTreeMap::new(), problems: Vec::new() };
    config.take_variables(&source.variables, &[]);
    config.problems
}

fn scalar(value: toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Boolean(on) => Some(on.to_string()),
        _ => None,
    }
}

fn unknown(word: &str, what: &str, known: impl Iterator<Item = String>) -> String {
    let near = known
        .map(|candidate| (strsim::osa_distance(word, &candidate), candidate))
        .filter(|(distance, _)| *distance <= 2)
        .min();
    match near {
        Some((_, candidate)) => format!("{word}: no such {what}; did you mean {candidate}?"),
        None => format!("{word}: no such {what}"),
    }
}

/// The program for clap, which prints its help.
fn command(program: &Program<'_>) -> clap::Command {
    let settings = program.settings.iter().copied().flatten().chain([&CONFIG]);
    let arguments = settings.map(|setting| {
        let flag = setting.flag().trim_start_matches("--").to_owned();
        let help = match setting.flag_only {
            true => setting.help.to_owned(),
            false => format!("{} [{}]", setting.help, setting.variable()),
        };
        let argument = clap::Arg::new(setting.name).long(flag).help(help);
        match setting.value {
            Some(value) => argument.value_name(value),
            None => argument.action(clap::ArgAction::SetTrue),
        }
    });
    clap::Command::new(program.name).about(program.about).args(arguments)
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
