//! The declaration of a setting: one row says its flag, its variable, its key in the file, and its help.

/// One setting of a program. Flag, variable and file key follow from its name; either can be set apart.
///
/// ```
/// use weir_lifecycle::Setting;
/// const CLOCK: Setting = Setting::switch("test_clock", "hold the clock over HTTP");
/// assert_eq!((CLOCK.flag().as_str(), CLOCK.variable().as_str()), ("--test-clock", "WEIR_TEST_CLOCK"));
/// const LOG: Setting = Setting::value("log_url", "URL", "where the log is").flagged("--log");
/// assert_eq!((LOG.flag().as_str(), LOG.variable().as_str()), ("--log", "WEIR_LOG_URL"));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    pub(crate) name: &'static str,
    /// The word for the value in the help; `None` for a switch.
    pub(crate) value: Option<&'static str>,
    pub(crate) help: &'static str,
    pub(crate) secret: bool,
    flag: Option<&'static str>,
    variable: Option<&'static str>,
}

impl Setting {
    /// A setting with a value. `name` is the key in the file, in snake_case; `value` the word for it in the help.
    pub const fn value(name: &'static str, value: &'static str, help: &'static str) -> Self {
        Self { name, value: Some(value), help, secret: false, flag: None, variable: None }
    }

    /// A setting that is on or off, and off unless set.
    pub const fn switch(name: &'static str, help: &'static str) -> Self {
        Self { name, value: None, help, secret: false, flag: None, variable: None }
    }

    /// Gives it another flag than its name says, such as `--log`.
    #[must_use]
    pub const fn flagged(mut self, flag: &'static str) -> Self {
        self.flag = Some(flag);
        self
    }

    /// Gives it another variable than its name says.
    #[must_use]
    pub const fn from_variable(mut self, variable: &'static str) -> Self {
        self.variable = Some(variable);
        self
    }

    /// Keeps its value out of every message (a URL with a password, for example).
    #[must_use]
    pub const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    /// Its flag.
    pub fn flag(&self) -> String {
        self.flag.map_or_else(|| format!("--{}", self.name.replace('_', "-")), str::to_owned)
    }

    /// Its environment variable.
    pub fn variable(&self) -> String {
        self.variable.map_or_else(|| format!("WEIR_{}", self.name.to_uppercase()), str::to_owned)
    }

    /// Its key in the file.
    pub fn key(&self) -> &'static str {
        self.name
    }
}
