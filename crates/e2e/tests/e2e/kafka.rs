//! The log on Kafka, read and written behind the program's back by a plain client that shares nothing with it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};

use crate::place::Place;

const PATIENCE: Duration = Duration::from_secs(60);

fn events(place: &Place) -> String {
    format!("{}.events.v1", place.name)
}

fn consumer(place: &Place) -> Result<BaseConsumer> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &place.servers.kafka).set("group.id", "nobody");
    config.set("enable.auto.commit", "false").set("auto.offset.reset", "error");
    config.set("check.crcs", "true").set("isolation.level", "read_uncommitted");
    Ok(config.create()?)
}

/// The offset behind the last record of each partition of `events.v1`.
pub fn ends(place: &Place) -> Result<Vec<u64>> {
    ends_by(&consumer(place)?, &events(place))
}

fn ends_by(consumer: &BaseConsumer, topic: &str) -> Result<Vec<u64>> {
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE)?;
    let found = metadata.topics().first().context("no topic")?;
    let end = |partition: usize| {
        let (first, end) = consumer.fetch_watermarks(topic, i32::try_from(partition)?, PATIENCE)?;
        ensure!(first == 0, "partition {partition} begins at {first}");
        Ok(u64::try_from(end)?)
    };
    (0..found.partitions().len()).map(end).collect()
}

/// All records of `events.v1`, by partition and offset, up to the ends that it has now.
pub fn read(place: &Place) -> Result<Vec<Vec<Vec<u8>>>> {
    let (consumer, topic) = (consumer(place)?, events(place));
    let ends = ends_by(&consumer, &topic)?;
    let mut list = TopicPartitionList::new();
    for partition in 0..ends.len() {
        list.add_partition_offset(&topic, i32::try_from(partition)?, Offset::Offset(0))?;
    }
    consumer.assign(&list)?;
    let mut found: Vec<BTreeMap<u64, Vec<u8>>> = ends.iter().map(|_| BTreeMap::new()).collect();
    let (wanted, begun) = (ends.iter().sum::<u64>(), Instant::now());
    let mut count = 0;
    while count < wanted {
        ensure!(begun.elapsed() < PATIENCE, "{count} of {wanted} records after {PATIENCE:?}");
        let Some(record) = consumer.poll(Duration::from_millis(100)) else { continue };
        // The client goes on by itself; if it doesn't, time runs out.
        let Ok(record) = record else { continue };
        let (partition, offset) = (usize::try_from(record.partition())?, u64::try_from(record.offset())?);
        if offset < ends[partition] {
            let twice = found[partition].insert(offset, record.payload().unwrap_or_default().to_vec());
            ensure!(twice.is_none(), "offset {offset} of partition {partition} was read twice");
            count += 1;
        }
    }
    // As many as there are offsets, and each below the end: none is missing.
    Ok(found.into_iter().map(|records| records.into_values().collect()).collect())
}

/// Puts records (key and value) onto partitions of `events.v1` as they are.
pub fn put(place: &Place, records: &[(i32, String, Vec<u8>)]) -> Result<()> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &place.servers.kafka).set("acks", "all").set("enable.idempotence", "true");
    config.set("message.max.bytes", "20000000").set("delivery.timeout.ms", "60000");
    let producer: BaseProducer = config.create()?;
    let topic = events(place);
    let before = ends(place)?.iter().sum::<u64>();
    for (partition, key, value) in records {
        let record = BaseRecord::to(&topic).partition(*partition).key(key.as_bytes()).payload(value);
        producer.send(record).map_err(|(error, _)| error)?;
    }
    producer.flush(PATIENCE)?;
    // Others may write too; what this one wrote is there in any case.
    let after = ends(place)?.iter().sum::<u64>();
    ensure!(after >= before + records.len() as u64, "{} records put, {} came", records.len(), after - before);
    Ok(())
}
