//! The topics: made with the settings that Weir needs, and checked for them whenever a log is opened.
//!
//! Invariant: a topic that would lose records, or that acknowledges what it may lose, isn't opened. Checking only what one
//! has made oneself was rejected: settings are changed by others, years later.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use weir_event::Stream;

use super::context::Quiet;
use super::settings::{Clients, PATIENCE};
use crate::ends::MAX_PARTITIONS;
use crate::{OpenError, OpenOptions, Record};

/// Partitions of `events.v1` if nobody says how many.
const PARTITIONS: u32 = 8;
/// Copies of each record, where there are as many brokers.
const REPLICATION: usize = 3;
/// A record of [`Record::MAX_BYTES`] with what Kafka puts around it.
const MESSAGE_BYTES: u64 = 16 * 1024 * 1024;
/// What Kafka puts around a record, at most.
const AROUND: usize = 1_024;
/// The least that a topic must take: Kafka's own default.
const LEAST_MESSAGE_BYTES: u64 = 1_048_588;
/// How long a new topic may take until every broker knows it.
const APPEARANCE: Duration = Duration::from_secs(30);

/// The topics of a log, once they are found in order.
#[derive(Debug)]
pub(super) struct Topics {
    events: Topic,
    control: Topic,
}

#[derive(Debug)]
struct Topic {
    name: String,
    partitions: u32,
    record_limit: usize,
}

impl Topics {
    /// Topics that nobody has looked at.
    #[cfg(test)]
    pub(super) fn named(prefix: &str, partitions: u32) -> Self {
        let topic =
            |stream: &str, partitions| Topic { name: format!("{prefix}.{stream}"), partitions, record_limit: 0 };
        Self { events: topic("events.v1", partitions), control: topic("control.v1", 1) }
    }

    fn of(&self, stream: Stream) -> &Topic {
        match stream {
            Stream::Events => &self.events,
            Stream::Control => &self.control,
        }
    }

    /// The name of the stream's topic.
    pub(super) fn name(&self, stream: Stream) -> &str {
        &self.of(stream).name
    }

    /// How many partitions `events.v1` has.
    pub(super) fn partitions(&self) -> u32 {
        self.events.partitions
    }

    /// The most bytes that a record's key and value may have together.
    pub(super) fn record_limit(&self, stream: Stream) -> usize {
        self.of(stream).record_limit
    }
}

/// What the cluster says of a topic.
#[derive(Debug, Clone)]
struct Found {
    partitions: u32,
    settings: BTreeMap<String, String>,
}

/// What is asked of the cluster. Every call waits for an answer, some on a thread for what blocks.
pub(super) struct Registry {
    clients: Clients,
    prefix: String,
    asker: Arc<BaseConsumer<Quiet>>,
    admin: AdminClient<Quiet>,
}

/// Finds the topics of a log in order, and makes those that are missing if the options say so.
///
/// # Errors
/// See [`OpenError`].
pub(super) async fn open(clients: &Clients, prefix: &str, options: &OpenOptions) -> Result<Topics, OpenError> {
    if let Some(asked) = options.partitions
        && !(1..=MAX_PARTITIONS).contains(&asked)
    {
        return Err(OpenError::BadPartitions { asked, limit: MAX_PARTITIONS });
    }
    let registry = Registry::new(clients, prefix)?;
    let (brokers, mut counts) = registry.survey().await?;
    if options.create && counts.len() < Stream::ALL.len() {
        registry.create(brokers, &counts, options).await?;
        counts = registry.appeared().await?;
    }
    let mut topics = Vec::new();
    for stream in Stream::ALL {
        let name = registry.name(stream);
        let Some(&partitions) = counts.get(&name) else { return Err(OpenError::TopicMissing { topic: name }) };
        let found = Found { partitions, settings: registry.settings(&name).await? };
        let asked = if stream == Stream::Control { Some(1) } else { options.partitions };
        topics.push(Check { clients, topic: &name, brokers, found: &found }.run(asked, options.accept_weak_acks)?);
    }
    let [events, control] =
        <[Topic; 2]>::try_from(topics).map_err(|_| registry.failed("counting the topics")(KafkaError::Canceled))?;
    Ok(Topics { events, control })
}

impl Registry {
    fn new(clients: &Clients, prefix: &str) -> Result<Self, OpenError> {
        let failed = failed(clients, "starting the client");
        let asker = BaseConsumer::from_config_and_context(&clients.asker(), Quiet).map_err(&failed)?;
        let admin = AdminClient::from_config_and_context(&clients.admin(), Quiet).map_err(&failed)?;
        Ok(Self { clients: clients.clone(), prefix: prefix.to_owned(), asker: Arc::new(asker), admin })
    }

    fn failed(&self, what: &'static str) -> impl Fn(KafkaError) -> OpenError + use<> {
        failed(&self.clients, what)
    }

    fn name(&self, stream: Stream) -> String {
        format!("{}.{}", self.prefix, stream.name())
    }

    /// How many brokers there are, and how many partitions the topics have that exist.
    async fn survey(&self) -> Result<(usize, BTreeMap<String, u32>), OpenError> {
        let names = Stream::ALL.map(|stream| self.name(stream));
        let asker = Arc::clone(&self.asker);
        let asked = tokio::task::spawn_blocking(move || survey(&asker, names)).await;
        asked.unwrap_or(Err(KafkaError::Canceled)).map_err(self.failed("asking for the topics"))
    }

    async fn create(
        &self,
        brokers: usize,
        there: &BTreeMap<String, u32>,
        options: &OpenOptions,
    ) -> Result<(), OpenError> {
        let failed = self.failed("making the topics");
        let (replicas, in_sync) = if brokers >= REPLICATION { (REPLICATION, "2") } else { (brokers.max(1), "1") };
        let bytes = MESSAGE_BYTES.to_string();
        for stream in Stream::ALL {
            let name = self.name(stream);
            if there.contains_key(&name) {
                continue;
            }
            let partitions = match stream {
                Stream::Events => options.partitions.unwrap_or(PARTITIONS),
                Stream::Control => 1,
            };
            let topic = NewTopic::new(&name, partitions as i32, TopicReplication::Fixed(replicas as i32))
                .set("cleanup.policy", "delete")
                .set("retention.ms", "-1")
                .set("retention.bytes", "-1")
                .set("message.timestamp.type", "LogAppendTime")
                .set("min.insync.replicas", in_sync)
                .set("unclean.leader.election.enable", "false")
                .set("max.message.bytes", &bytes);
            let made = self.admin.create_topics([&topic], &patient()).await.map_err(&failed)?;
            match made.into_iter().next() {
                // Another process of the deployment was first.
                Some(Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => {}
                Some(Err((_, code))) => return Err(failed(KafkaError::AdminOp(code))),
                None => return Err(failed(KafkaError::Canceled)),
            }
        }
        Ok(())
    }

    /// Waits until the topics just made are known: a broker answers before it has told the others.
    async fn appeared(&self) -> Result<BTreeMap<String, u32>, OpenError> {
        let deadline = Instant::now() + APPEARANCE;
        loop {
            let (_, counts) = self.survey().await?;
            if counts.len() == Stream::ALL.len() || Instant::now() > deadline {
                return Ok(counts);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn settings(&self, topic: &str) -> Result<BTreeMap<String, String>, OpenError> {
        let failed = self.failed("asking for a topic's settings");
        let asked = self.admin.describe_configs([&ResourceSpecifier::Topic(topic)], &patient()).await;
        match asked.map_err(&failed)?.into_iter().next() {
            Some(Ok(resource)) => {
                Ok(resource.entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?))).collect())
            }
            Some(Err(code)) => Err(failed(KafkaError::AdminOp(code))),
            None => Err(failed(KafkaError::Canceled)),
        }
    }
}

/// An error of the layer below, as one of opening.
pub(super) fn failed(clients: &Clients, what: &'static str) -> impl Fn(KafkaError) -> OpenError + use<> {
    let brokers = clients.brokers().to_owned();
    move |error| OpenError::Kafka { brokers: brokers.clone(), what, source: Arc::new(error) }
}

fn patient() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(PATIENCE))
}

fn survey(asker: &BaseConsumer<Quiet>, names: [String; 2]) -> KafkaResult<(usize, BTreeMap<String, u32>)> {
    let mut counts = BTreeMap::new();
    let mut brokers = 0;
    for name in names {
        let metadata = asker.fetch_metadata(Some(&name), PATIENCE)?;
        brokers = metadata.brokers().len();
        let Some(topic) = metadata.topics().iter().find(|topic| topic.name() == name) else { continue };
        match topic.error() {
            None => {}
            Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) => continue,
            Some(error) => return Err(KafkaError::MetadataFetch(error.into())),
        }
        // A partition without a leader is one that is still being made.
        if !topic.partitions().is_empty() && topic.partitions().iter().all(|partition| partition.leader() >= 0) {
            counts.insert(name, topic.partitions().len() as u32);
        }
    }
    Ok((brokers, counts))
}

/// A topic that is looked at.
struct Check<'a> {
    clients: &'a Clients,
    topic: &'a str,
    brokers: usize,
    found: &'a Found,
}

impl Check<'_> {
    fn run(&self, asked: Option<u32>, accept_weak_acks: bool) -> Result<Topic, OpenError> {
        self.forgets_nothing()?;
        self.has_partitions(asked)?;
        if !accept_weak_acks {
            self.acknowledges_firmly()?;
        }
        let message = self.takes_enough()?;
        let record_limit = Record::MAX_BYTES.min(usize::try_from(message).unwrap_or(usize::MAX) - AROUND);
        Ok(Topic { name: self.topic.to_owned(), partitions: self.found.partitions, record_limit })
    }

    fn setting(&self, name: &str) -> &str {
        self.found.settings.get(name).map_or("", String::as_str)
    }

    fn remedy(&self, setting: &str, value: &str) -> String {
        format!(
            "run kafka-configs.sh --bootstrap-server {} --alter --entity-type topics --entity-name {} --add-config \
             {setting}={value}",
            self.clients.brokers(),
            self.topic
        )
    }

    fn forgets_nothing(&self) -> Result<(), OpenError> {
        let needed = [
            ("cleanup.policy", "delete", "compacts its records"),
            ("retention.ms", "-1", "lets its records expire"),
            ("retention.bytes", "-1", "drops its oldest records"),
        ];
        for (setting, value, loses) in needed {
            let found = self.setting(setting);
            if found != value {
                let remedy = self.remedy(setting, value);
                return Err(OpenError::TopicForgets {
                    topic: self.topic.to_owned(),
                    loses,
                    setting,
                    found: found.to_owned(),
                    remedy,
                });
            }
        }
        Ok(())
    }

    fn has_partitions(&self, asked: Option<u32>) -> Result<(), OpenError> {
        let made = self.found.partitions;
        match asked {
            Some(asked) if asked != made => {
                let remedy = if self.topic.ends_with(Stream::Control.name()) {
                    "its records have one order; copy the log to another prefix (`weir log copy`)"
                } else {
                    "leave the number out, or copy the log to another prefix (`weir log copy --partitions`)"
                };
                let topic = self.topic.to_owned();
                Err(OpenError::TopicPartitionsDiffer { topic, made, asked, remedy: remedy.to_owned() })
            }
            _ if made > MAX_PARTITIONS => Err(OpenError::BadPartitions { asked: made, limit: MAX_PARTITIONS }),
            _ => Ok(()),
        }
    }

    /// One or two brokers can't do better, and whoever runs them knows.
    fn acknowledges_firmly(&self) -> Result<(), OpenError> {
        if self.brokers < REPLICATION {
            return Ok(());
        }
        let in_sync = self.setting("min.insync.replicas");
        let weakly = |setting, found: &str, value| {
            let (topic, found) = (self.topic.to_owned(), found.to_owned());
            Err(OpenError::TopicAcknowledgesWeakly { topic, setting, found, remedy: self.remedy(setting, value) })
        };
        if in_sync.parse::<u32>().is_ok_and(|count| count < 2) {
            return weakly("min.insync.replicas", in_sync, "2");
        }
        match self.setting("unclean.leader.election.enable") {
            "true" => weakly("unclean.leader.election.enable", "true", "false"),
            _ => Ok(()),
        }
    }

    fn takes_enough(&self) -> Result<u64, OpenError> {
        // A broker that doesn't tell has the default.
        let found = self.setting("max.message.bytes").parse().unwrap_or(LEAST_MESSAGE_BYTES);
        if found >= LEAST_MESSAGE_BYTES {
            return Ok(found);
        }
        let remedy = self.remedy("max.message.bytes", &MESSAGE_BYTES.to_string());
        Err(OpenError::TopicTakesLittle { topic: self.topic.to_owned(), found, least: LEAST_MESSAGE_BYTES, remedy })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ClientSettings;

    const GOOD: [(&str, &str); 6] = [
        ("cleanup.policy", "delete"),
        ("retention.ms", "-1"),
        ("retention.bytes", "-1"),
        ("min.insync.replicas", "2"),
        ("unclean.leader.election.enable", "false"),
        ("max.message.bytes", "16777216"),
    ];

    /// The check of a topic on three brokers that differs from a good one in a setting.
    fn checked(setting: &str, value: &str, accept_weak_acks: bool) -> Result<Topic, OpenError> {
        let clients = Clients::new(&["a:1".to_owned()], "w", ClientSettings::default());
        let mut settings: BTreeMap<String, String> =
            GOOD.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        settings.insert(setting.to_owned(), value.to_owned());
        let found = Found { partitions: 8, settings };
        Check { clients: &clients, topic: "w.events.v1", brokers: 3, found: &found }.run(None, accept_weak_acks)
    }

    #[test]
    fn a_topic_as_weir_makes_it_passes() {
        let topic = checked("retention.ms", "-1", false).unwrap();
        assert_eq!((topic.partitions, topic.record_limit), (8, Record::MAX_BYTES));
        assert_eq!(checked("max.message.bytes", "1048588", false).unwrap().record_limit, 1_048_588 - AROUND);
    }

    #[test]
    fn what_would_lose_records_is_refused_with_the_remedy() {
        for (setting, value, mended) in [
            ("cleanup.policy", "compact", "delete"),
            ("cleanup.policy", "compact,delete", "delete"),
            ("retention.ms", "604800000", "-1"),
            ("retention.bytes", "1000", "-1"),
            ("min.insync.replicas", "1", "2"),
            ("unclean.leader.election.enable", "true", "false"),
            ("max.message.bytes", "1000", "16777216"),
        ] {
            let text = checked(setting, value, false).unwrap_err().to_string();
            assert!(text.contains("w.events.v1") && text.contains(value), "{text}");
            let remedy = format!("--entity-name w.events.v1 --add-config {setting}={mended}");
            assert!(text.contains(&remedy), "{text}");
        }
    }

    #[test]
    fn weak_acknowledgements_can_be_accepted_and_nothing_else() {
        assert!(checked("min.insync.replicas", "1", true).is_ok());
        assert!(checked("unclean.leader.election.enable", "true", true).is_ok());
        assert!(matches!(checked("retention.ms", "1", true), Err(OpenError::TopicForgets { .. })));
    }
}
