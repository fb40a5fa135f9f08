//! Which log: the value of `--log`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Names a log.
///
/// ```
/// use weir_event_log::LogUrl;
/// let url: LogUrl = "kafka://broker-1:9092,broker-2:9092/weir".parse().unwrap();
/// assert_eq!(url.to_string(), "kafka://broker-1:9092,broker-2:9092/weir");
/// assert!("mysql://somewhere".parse::<LogUrl>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogUrl {
    /// `memory:`, gone with the process: for tests.
    Memory,
    /// `sqlite:PATH`, a file on this machine.
    Sqlite(PathBuf),
    /// `kafka://host:port[,…]/PREFIX`, topics `PREFIX.events.v1` and so on.
    Kafka {
        /// `host:port` of each broker named.
        brokers: Vec<String>,
        /// What the topics' names begin with.
        prefix: String,
    },
}

impl LogUrl {
    /// Reads the URL of a log that several processes can use at once.
    ///
    /// # Errors
    /// The text names no log, or one for a process alone.
    pub fn shared(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(url @ Self::Kafka { .. }) => Ok(url),
            Ok(_) => Err("only one process can use it, which is `weir up`; a service by itself needs a log on Kafka, \
                          kafka://HOST:PORT[,HOST:PORT…]/PREFIX"
                .to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// The text names no log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{url:?} names no log: {reason}; expected sqlite:PATH, kafka://HOST:PORT[,HOST:PORT…]/PREFIX or memory:")]
pub struct LogUrlMalformed {
    url: String,
    reason: String,
}

impl FromStr for LogUrl {
    type Err = LogUrlMalformed;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).map_err(|reason| LogUrlMalformed { url: text.to_owned(), reason })
    }
}

fn parse(text: &str) -> Result<LogUrl, String> {
    let (scheme, rest) = text.split_once(':').ok_or("it has no scheme")?;
    match scheme {
        "memory" if rest.is_empty() => Ok(LogUrl::Memory),
        "memory" => Err("nothing follows memory:".to_owned()),
        "sqlite" if rest.is_empty() => Err("the path is missing".to_owned()),
        // To SQLite itself these would mean a database without a file, which keeps no promise of a log.
        "sqlite" if rest.contains(":memory:") || rest.contains('\0') => Err("not a path of a file".to_owned()),
        "sqlite" => Ok(LogUrl::Sqlite(PathBuf::from(path_of(rest)?))),
        "kafka" => kafka(rest),
        other => Err(format!("there is no {other:?} log")),
    }
}

/// Both `sqlite:PATH` and the form with an empty authority, `sqlite:///PATH`.
fn path_of(rest: &str) -> Result<&str, String> {
    match rest.strip_prefix("//") {
        None => Ok(rest),
        Some(path) if path.starts_with('/') => Ok(path),
        Some(_) => Err("write sqlite:PATH, without //".to_owned()),
    }
}

fn kafka(rest: &str) -> Result<LogUrl, String> {
    let rest = rest.strip_prefix("//").ok_or("// is missing after kafka:")?;
    let (brokers, prefix) = rest.split_once('/').ok_or("the prefix of the topics is missing")?;
    let brokers: Vec<String> = brokers.split(',').map(str::to_owned).collect();
    if let Some(bad) = brokers.iter().find(|broker| !is_broker(broker)) {
        return Err(format!("{bad:?} is not host:port"));
    }
    // What Kafka allows in the name of a topic; the longest stream name still has to fit behind it.
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if prefix.is_empty() || prefix.len() > 200 || !prefix.bytes().all(allowed) {
        return Err("the prefix must be 1 to 200 letters, digits, dots, dashes or underscores".to_owned());
    }
    Ok(LogUrl::Kafka { brokers, prefix: prefix.to_owned() })
}

fn is_broker(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let bracketed = host.starts_with('[') && host.ends_with(']') && host.len() > 2;
    let plain = !host.is_empty() && !host.contains([':', '@', '[', ']']) && !host.contains(char::is_whitespace);
    (bracketed || plain) && port.parse::<u16>().is_ok_and(|port| port > 0)
}

impl fmt::Display for LogUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory:"),
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Kafka { brokers, prefix } => write!(f, "kafka://{}/{prefix}", brokers.join(",")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_prints() {
        for text in ["memory:", "sqlite:weir-data/log.db", "sqlite:/var/lib/weir/log.db", "kafka://a:1,[::1]:9092/w.x"]
        {
            assert_eq!(text.parse::<LogUrl>().unwrap().to_string(), text);
        }
        assert_eq!("sqlite:///a/b".parse(), Ok(LogUrl::Sqlite(PathBuf::from("/a/b"))));
    }

    #[test]
    fn only_kafka_is_shared() {
        assert!(LogUrl::shared("kafka://a:1/w").is_ok());
        assert!(LogUrl::shared("sqlite:log.db").unwrap_err().contains("weir up"));
        assert!(LogUrl::shared("kafka:a").unwrap_err().contains("names no log"));
    }

    #[test]
    fn refuses_the_rest_and_says_why() {
        for (text, reason) in [
            ("", "no scheme"),
            ("log.db", "no scheme"),
            ("memory:x", "nothing follows"),
            ("sqlite:", "path is missing"),
            ("sqlite::memory:", "not a path"),
            ("sqlite://host/path", "without //"),
            ("postgres://x/y", "no \"postgres\" log"),
            ("kafka:a:1/w", "// is missing"),
            ("kafka://a:1", "prefix"),
            ("kafka://a:1/", "prefix"),
            ("kafka://a:1/w/x", "prefix"),
            ("kafka://a/w", "host:port"),
            ("kafka://a:1,/w", "host:port"),
            ("kafka://a:0/w", "host:port"),
            ("kafka://user@a:1/w", "host:port"),
        ] {
            let error = text.parse::<LogUrl>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
