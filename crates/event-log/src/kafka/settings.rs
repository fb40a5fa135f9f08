//! The settings of Kafka's client: those that are passed through, and ours.
//!
//! Invariant: what a log promises rests on settings (`acks`, idempotence, no reset of positions), so nobody else sets
//! them. A list of what may be passed on was preferred to one of what may not: the client has 150 settings, and what one
//! of them breaks is found out late.

use std::fmt;
use std::time::Duration;

use rdkafka::ClientConfig;

/// The variables' names begin with this.
const VARIABLES: &str = "WEIR_KAFKA_";

/// Settings that are passed on, but for `ssl.*` and `sasl.*`.
const PASSED: [&str; 17] = [
    "broker.address.family",
    "broker.address.ttl",
    "client.dns.lookup",
    "client.id",
    "client.rack",
    "compression.codec",
    "compression.level",
    "connections.max.idle.ms",
    "debug",
    "enable.ssl.certificate.verification",
    "metadata.max.age.ms",
    "reconnect.backoff.max.ms",
    "reconnect.backoff.ms",
    "security.protocol",
    "socket.connection.setup.timeout.ms",
    "socket.receive.buffer.bytes",
    "socket.send.buffer.bytes",
];

/// What a user may say about the connection to Kafka: TLS, SASL, names, time-outs. Properties of librdkafka.
///
/// ```
/// use weir_event_log::ClientSettings;
/// let environment = [("WEIR_KAFKA_SECURITY_PROTOCOL", "SASL_SSL"), ("WEIR_KAFKA_SASL_USERNAME", "weir"), ("HOME", "/")];
/// let settings = ClientSettings::from_env(environment).unwrap();
/// assert_eq!(settings.names().collect::<Vec<_>>(), ["security.protocol", "sasl.username"]);
/// assert!(ClientSettings::from_env([("WEIR_KAFKA_ACKS", "1")]).is_err());
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ClientSettings(Vec<(String, String)>);

/// Settings that are not passed on: every one of them, with why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct ClientSettingsRefused(pub Vec<String>);

impl ClientSettings {
    /// Takes properties by librdkafka's names.
    ///
    /// # Errors
    /// Names every property that isn't passed on.
    pub fn new<N: Into<String>, V: Into<String>>(
        properties: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, ClientSettingsRefused> {
        let properties: Vec<(String, String)> =
            properties.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        let refused: Vec<String> = properties.iter().filter_map(|(name, _)| refusal(name)).collect();
        if refused.is_empty() { Ok(Self(properties)) } else { Err(ClientSettingsRefused(refused)) }
    }

    /// Takes the variables `WEIR_KAFKA_…` out of an environment and leaves all others: `WEIR_KAFKA_SSL_CA_LOCATION` is
    /// `ssl.ca.location`.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn from_env<N: AsRef<str>, V: Into<String>>(
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, ClientSettingsRefused> {
        Self::new(variables.into_iter().filter_map(|(name, value)| {
            let rest = name.as_ref().strip_prefix(VARIABLES)?;
            Some((rest.to_ascii_lowercase().replace('_', "."), value))
        }))
    }

    /// The names of the properties, in the order given.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }
}

/// Names only: some values are passwords.
impl fmt::Debug for ClientSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

/// Why a property isn't passed on, if it isn't.
fn refusal(name: &str) -> Option<String> {
    let passed = name.starts_with("ssl.") || name.starts_with("sasl.") || PASSED.contains(&name);
    if passed {
        return None;
    }
    let ours = OURS.iter().any(|set| set.iter().any(|(ours, _)| *ours == name)) || name == "bootstrap.servers";
    Some(if ours {
        format!("{name} can't be set: Weir sets it itself, since what the log promises depends on it")
    } else {
        format!("{name} isn't passed on to Kafka's client; ssl.*, sasl.* are, and {}", PASSED.join(", "))
    })
}

const OURS: [&[(&str, &str)]; 4] = [EVERYBODY, PRODUCER, FETCHER, MEMBER];

/// Better than the client's own where nobody says otherwise.
const BETTER: [(&str, &str); 3] = [
    ("client.id", "weir"),
    ("reconnect.backoff.ms", "50"),
    // The default of 10 s would be waited out after a broker is back.
    ("reconnect.backoff.max.ms", "1000"),
];

const EVERYBODY: &[(&str, &str)] = &[
    // A NAT or a balancer forgets connections that are quiet.
    ("socket.keepalive.enable", "true"),
    ("allow.auto.create.topics", "false"),
    // Closing a connection that nobody uses is no news.
    ("log.connection.close", "false"),
];

const PRODUCER: &[(&str, &str)] = &[
    ("enable.idempotence", "true"),
    ("acks", "all"),
    // Measured best with single records and with a hundred: company gathers while three requests are on their way.
    ("linger.ms", "0"),
    ("max.in.flight", "3"),
    // Never asked: the partition is chosen before. Said for whoever reads the configuration.
    ("partitioner", "murmur2_random"),
    // The bound on what waits is ours, in bytes and for whole appends; these must never be reached.
    ("queue.buffering.max.messages", "0"),
    ("queue.buffering.max.kbytes", "2147483647"),
    ("message.timeout.ms", "10000"),
    ("message.max.bytes", "16777216"),
];

const FETCHER: &[(&str, &str)] = &[
    // A position that isn't there is an error to be named, never a reason to read elsewhere.
    ("auto.offset.reset", "error"),
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("check.crcs", "true"),
    // The default of a second halves a consumer that does anything with what it reads.
    ("fetch.queue.backoff.ms", "20"),
    ("fetch.wait.max.ms", "50"),
    ("fetch.error.backoff.ms", "100"),
    ("fetch.message.max.bytes", "1048576"),
    ("fetch.max.bytes", "16777216"),
    ("receive.message.max.bytes", "50331648"),
    ("message.max.bytes", "16777216"),
    ("queued.min.messages", "1000000"),
    ("queued.max.messages.kbytes", ""),
    ("group.id", ""),
];

const MEMBER: &[(&str, &str)] = &[
    ("auto.offset.reset", "error"),
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("partition.assignment.strategy", "cooperative-sticky"),
    ("session.timeout.ms", "6000"),
    ("heartbeat.interval.ms", "2000"),
    // Its thread does nothing but ask, so a pause this long is a machine that stood still.
    ("max.poll.interval.ms", "300000"),
    // Its partitions are paused; should a fetch get ahead of that, it is a small one.
    ("fetch.message.max.bytes", "1024"),
    ("queued.min.messages", "1"),
    ("group.id", ""),
];

/// Makes the configurations of the clients of one log.
#[derive(Clone, Debug)]
pub(super) struct Clients {
    brokers: String,
    prefix: String,
    passed: ClientSettings,
}

/// How long to wait for an answer of a broker before a call fails.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

impl Clients {
    pub(super) fn new(brokers: &[String], prefix: &str, passed: ClientSettings) -> Self {
        Self { brokers: brokers.join(","), prefix: prefix.to_owned(), passed }
    }

    /// `host:port,…`, for messages.
    pub(super) fn brokers(&self) -> &str {
        &self.brokers
    }

    fn config(&self, ours: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (name, value) in BETTER {
            config.set(name, value);
        }
        for (name, value) in &self.passed.0 {
            config.set(name, value);
        }
        config.set("bootstrap.servers", &self.brokers);
        for (name, value) in EVERYBODY.iter().chain(ours) {
            config.set(*name, *value);
        }
        config
    }

    /// For what asks about topics and ends: no group, nothing consumed.
    pub(super) fn asker(&self) -> ClientConfig {
        self.config(&[])
    }

    /// For what changes topics. (It is a producer to the client, which then doesn't know the consumers' settings.)
    pub(super) fn admin(&self) -> ClientConfig {
        let mut config = self.config(&[]);
        config.remove("allow.auto.create.topics");
        config
    }

    pub(super) fn producer(&self) -> ClientConfig {
        let mut config = self.config(PRODUCER);
        config.remove("allow.auto.create.topics");
        config
    }

    /// `kbytes` of records wait on each partition, and as much may be on its way.
    pub(super) fn fetcher(&self, kbytes: usize) -> ClientConfig {
        let mut config = self.config(FETCHER);
        // Assigning takes a group's name, though nobody joins it.
        config.set("group.id", format!("{}.reader", self.prefix));
        config.set("queued.max.messages.kbytes", kbytes.to_string());
        config
    }

    pub(super) fn member(&self) -> ClientConfig {
        let mut config = self.config(MEMBER);
        config.set("group.id", format!("{}.projector", self.prefix));
        config
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::consumer::BaseConsumer;
    use rdkafka::producer::BaseProducer;

    use super::*;

    #[test]
    fn variables_become_properties() {
        let environment = [
            ("PATH", "/bin"),
            ("WEIR_LOG_URL", "kafka://a:1/w"),
            ("WEIR_KAFKA_SECURITY_PROTOCOL", "SASL_SSL"),
            ("WEIR_KAFKA_SASL_PASSWORD", "secret"),
            ("WEIR_KAFKA_ENABLE_SSL_CERTIFICATE_VERIFICATION", "true"),
            ("WEIR_KAFKA_SASL_OAUTHBEARER_CLIENT_ID", "x"),
        ];
        let settings = ClientSettings::from_env(environment).unwrap();
        let names: Vec<_> = settings.names().collect();
        assert_eq!(
            names,
            ["security.protocol", "sasl.password", "enable.ssl.certificate.verification", "sasl.oauthbearer.client.id"]
        );
        assert!(!format!("{settings:?}").contains("secret"));
        let config = Clients::new(&["a:1".to_owned()], "w", settings).producer();
        assert_eq!((config.get("sasl.password"), config.get("acks")), (Some("secret"), Some("all")));
    }

    /// The client refuses mechanisms that it was built without when it is made, before it connects.
    #[test]
    fn tls_and_scram_are_built_in() {
        for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
            let environment = [
                ("WEIR_KAFKA_SECURITY_PROTOCOL", "SASL_SSL"),
                ("WEIR_KAFKA_SASL_MECHANISMS", mechanism),
                ("WEIR_KAFKA_SASL_USERNAME", "weir"),
                ("WEIR_KAFKA_SASL_PASSWORD", "secret"),
                ("WEIR_KAFKA_COMPRESSION_CODEC", "zstd"),
            ];
            let settings = ClientSettings::from_env(environment).unwrap();
            let clients = Clients::new(&["127.0.0.1:1".to_owned()], "w", settings);
            clients.asker().create::<BaseConsumer>().unwrap();
            clients.producer().create::<BaseProducer>().unwrap();
        }
    }

    #[test]
    fn ours_and_unknown_ones_are_refused_all_at_once() {
        let environment =
            [("WEIR_KAFKA_ACKS", "1"), ("WEIR_KAFKA_CLIENT_ID", "x"), ("WEIR_KAFKA_STATISTICS_INTERVAL_MS", "1")];
        let refused = ClientSettings::from_env(environment).unwrap_err();
        assert_eq!(refused.0.len(), 2);
        assert!(refused.0[0].starts_with("acks can't be set"), "{refused}");
        assert!(refused.0[1].starts_with("statistics.interval.ms isn't passed on"), "{refused}");
        for name in ["enable.idempotence", "group.id", "auto.offset.reset", "bootstrap.servers", "session.timeout.ms"] {
            let refused = ClientSettings::new([(name, "x")]).unwrap_err();
            assert!(refused.0[0].contains("Weir sets it itself"), "{refused}");
        }
    }

    #[test]
    fn the_client_knows_every_setting() {
        let clients = Clients::new(&["a:1".to_owned()], "w", ClientSettings::default());
        for config in [clients.asker(), clients.admin(), clients.producer(), clients.fetcher(1_024), clients.member()] {
            config.create_native_config().unwrap();
        }
        for name in PASSED {
            // An empty value may be wrong, the name may not.
            if let Err(error) = ClientConfig::new().set(name, "").create_native_config() {
                assert!(!error.to_string().contains("No such configuration property"), "{error}");
            }
        }
    }
}
