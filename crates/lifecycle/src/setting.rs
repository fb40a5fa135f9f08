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
    family: bool,
    pub(crate) flag_only: bool,
    flag: Option<&'static str>,
    variable: Option<&'static str>,
}

impl Setting {
    /// A setting with a value. `name` is the key in the file, in snake_case; `value` the word for it in the help.
    pub const fn value(name: &'static str, value: &'static str, help: &'static str) -> Self {
        Self {
            name,
            value: Some(value),
            help,
            secret: false,
            family: false,
            flag_only: false,
            flag: None,
            variable: None,
        }
    }

    /// A setting that is on or off, and off unless set.
    pub const fn switch(name: &'static str, help: &'static str) -> Self {
        Self { name, value: None, help, secret: false, family: false, flag_only: false, flag: None, variable: None }
    }

    /// Settings that are passed on to somebody else's program, whose names aren't known here. Of the family `kafka` the
    /// property `security.protocol` is `--kafka-security-protocol`, `WEIR_KAFKA_SECURITY_PROTOCOL` and the key
    /// `kafka_security_protocol`: a dot for each dash or underscore, in small letters.
    pub const fn family(name: &'static str, help: &'static str) -> Self {
        Self {
            name,
            value: Some("VALUE"),
            help,
            secret: true,
            family: true,
            flag_only: false,
            flag: None,
            variable: None,
        }
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

    /// Leaves it to the flag alone: it says how to do one thing once, not how a deployment is.
    #[must_use]
    pub const fn flag_only(mut self) -> Self {
        self.flag_only = true;
        self
    }

    /// Keeps its value out of every message (a URL with a password, for example).
    #[must_use]
    pub const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    /// Its flag; of a family, what all of them begin with and a star.
    pub fn flag(&self) -> String {
        if self.family {
            return format!("--{}-*", self.name);
        }
        self.flag.map_or_else(|| format!("--{}", self.name.replace('_', "-")), str::to_owned)
    }

    /// Its environment variable; of a family, what all of them begin with and a star.
    pub fn variable(&self) -> String {
        if self.family {
            return format!("WEIR_{}_*", self.name.to_uppercase());
        }
        self.variable.map_or_else(|| format!("WEIR_{}", self.name.to_uppercase()), str::to_owned)
    }

    /// Its key in the file; of a family, what all of them begin with.
    pub fn key(&self) -> &'static str {
        self.name
    }

    /// What a flag, variable or key of this setting is called inside: its name, of a family with the property behind.
    /// `None` if `word` isn't this setting's.
    pub(crate) fn met_as(&self, word: &str, origin: Origin) -> Option<String> {
        if self.flag_only && origin != Origin::Flag {
            return None;
        }
        if !self.family {
            let own = match origin {
                Origin::Flag => self.flag(),
                Origin::Variable => self.variable(),
                Origin::Key => self.name.to_owned(),
            };
            return (own == word).then(|| self.name.to_owned());
        }
        let property = match origin {
            Origin::Flag => word.strip_prefix("--")?.strip_prefix(self.name)?.strip_prefix('-')?,
            Origin::Variable => {
                word.strip_prefix("WEIR_")?.strip_prefix(&self.name.to_uppercase())?.strip_prefix('_')?
            }
            Origin::Key => word.strip_prefix(self.name)?.strip_prefix('_')?,
        };
        let property = property.to_ascii_lowercase().replace(['-', '_'], ".");
        (!property.is_empty()).then(|| format!("{}:{property}", self.name))
    }
}

/// Where a setting was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Flag,
    Variable,
    Key,
}
