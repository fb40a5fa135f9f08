//! What only a log over Kafka has to do: refuse topics, be one log for several processes, read at many positions.
#![allow(clippy::unwrap_used)]

mod kafka;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use weir_event::Stream::{Control, Events};
use weir_event_log::conformance::{numbered, read_all};
use weir_event_log::{EventLog, OpenError, OpenOptions, ReadError, Record, Share, open, partition_of};

use self::kafka::{brokers, open_new, prefix, url};

fn client() -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers());
    config
}

/// Makes a topic as Weir does, but for these settings.
async fn make(topic: &str, partitions: i32, settings: &[(&str, &str)]) {
    let admin: AdminClient<DefaultClientContext> = client().create().unwrap();
    let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    for (setting, value) in [("retention.ms", "-1")].iter().chain(settings) {
        new = new.set(setting, value);
    }
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(10)));
    admin.create_topics([&new], &options).await.unwrap().remove(0).unwrap();
}

async fn refusal(prefix: &str, partitions: Option<u32>) -> OpenError {
    let options = OpenOptions { partitions, create: true, ..OpenOptions::default() };
    open(&url(prefix), options).await.err().expect("it is refused")
}

#[tokio::test]
async fn missing_topics_are_refused_unless_they_may_be_made() {
    let prefix = prefix();
    let only_open = OpenOptions { create: false, ..OpenOptions::default() };
    let error = open(&url(&prefix), only_open.clone()).await.err().unwrap();
    assert!(matches!(&error, OpenError::TopicMissing { topic } if *topic == format!("{prefix}.events.v1")), "{error}");
    assert!(error.to_string().contains("weir init"), "{error}");
    // Half of them is not enough either, and what is there already stays.
    make(&format!("{prefix}.events.v1"), 5, &[]).await;
    let error = open(&url(&prefix), only_open.clone()).await.err().unwrap();
    assert!(matches!(&error, OpenError::TopicMissing { topic } if topic.ends_with("control.v1")), "{error}");
    let made = open(&url(&prefix), OpenOptions::default()).await.unwrap();
    assert_eq!((made.partitions(Events), made.partitions(Control)), (5, 1));
    assert_eq!(open(&url(&prefix), only_open).await.unwrap().partitions(Events), 5);
}

#[tokio::test]
async fn a_new_log_has_eight_partitions() {
    assert_eq!(open(&url(&prefix()), OpenOptions::default()).await.unwrap().partitions(Events), 8);
}

#[tokio::test]
async fn topics_that_forget_are_refused_with_the_remedy() {
    for (settings, says) in [
        ([("cleanup.policy", "compact")], "cleanup.policy=delete"),
        ([("cleanup.policy", "compact,delete")], "cleanup.policy=delete"),
        ([("retention.ms", "604800000")], "retention.ms=-1"),
        ([("retention.bytes", "1000000")], "retention.bytes=-1"),
    ] {
        let prefix = prefix();
        make(&format!("{prefix}.events.v1"), 2, &settings).await;
        let error = refusal(&prefix, None).await;
        assert!(matches!(error, OpenError::TopicForgets { .. }), "{error}");
        let remedy = format!("--entity-name {prefix}.events.v1 --add-config {says}");
        assert!(error.to_string().contains(&remedy), "{error}");
    }
}

#[tokio::test]
async fn other_partition_counts_are_refused() {
    let prefix = prefix();
    make(&format!("{prefix}.events.v1"), 4, &[]).await;
    make(&format!("{prefix}.control.v1"), 2, &[]).await;
    let error = refusal(&prefix, Some(3)).await;
    assert!(matches!(error, OpenError::TopicPartitionsDiffer { made: 4, asked: 3, .. }), "{error}");
    let error = refusal(&prefix, Some(4)).await;
    assert!(matches!(error, OpenError::TopicPartitionsDiffer { made: 2, asked: 1, .. }), "{error}");
    assert!(matches!(refusal(&prefix, Some(0)).await, OpenError::BadPartitions { asked: 0, .. }));
}

#[tokio::test]
async fn topics_that_take_little_are_refused_and_their_limit_is_kept() {
    let small = prefix();
    make(&format!("{small}.events.v1"), 1, &[("max.message.bytes", "100000")]).await;
    let error = refusal(&small, None).await;
    assert!(matches!(error, OpenError::TopicTakesLittle { found: 100_000, .. }), "{error}");
    // Kafka's default is enough, but holds no record as large as the log may have.
    let usual = prefix();
    make(&format!("{usual}.events.v1"), 1, &[]).await;
    let log = open(&url(&usual), OpenOptions::default()).await.unwrap();
    let error = log.append(Events, vec![Record::new("k", vec![0; 1_048_588])]).await.unwrap_err();
    assert!(error.is_determinate(), "{error:?}");
    log.append(Events, vec![Record::new("k", vec![0; 1_040_000])]).await.unwrap();
    log.append(Control, vec![Record::new("", vec![0; Record::MAX_BYTES])]).await.unwrap();
    assert_eq!(log.read(Control, 0, 0, 1).await.unwrap().records[0].value.len(), Record::MAX_BYTES);
}

#[tokio::test]
async fn brokers_that_do_not_answer_are_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let url = format!("kafka://127.0.0.1:{port}/w").parse().unwrap();
    let error = open(&url, OpenOptions::default()).await.err().unwrap();
    assert!(matches!(error, OpenError::Kafka { .. }) && error.to_string().contains(&port.to_string()), "{error}");
}

/// A producer of another make puts keys where we look for them.
#[tokio::test]
async fn keys_lie_where_kafkas_own_partitioner_puts_them() {
    let prefix = prefix();
    let log = open(&url(&prefix), OpenOptions { partitions: Some(7), ..OpenOptions::default() }).await.unwrap();
    let producer: BaseProducer = client().set("partitioner", "murmur2_random").create().unwrap();
    let topic = format!("{prefix}.events.v1");
    for i in 0..500 {
        let key = format!("default/{i}{}", "é".repeat(i % 9));
        let record = BaseRecord::to(&topic).key(&key).payload("theirs");
        producer.send(record).map_err(|(error, _)| error).unwrap();
        log.append(Events, vec![Record::new(key, "ours")]).await.unwrap();
    }
    producer.flush(Duration::from_secs(10)).unwrap();
    let mut theirs = 0;
    for partition in 0..7 {
        for record in read_all(&*log, Events, partition, 1 << 20).await {
            assert_eq!(partition_of(&record.key, 7), partition);
            theirs += usize::from(record.value == "theirs");
        }
    }
    assert_eq!(theirs, 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_process_acknowledged_the_other_sees_at_once() {
    let prefix = prefix();
    let writer = open(&url(&prefix), OpenOptions { partitions: Some(2), ..OpenOptions::default() }).await.unwrap();
    let reader = open(&url(&prefix), OpenOptions { create: false, ..OpenOptions::default() }).await.unwrap();
    for i in 0..200 {
        let (partition, next) = writer.append(Events, numbered(i, 1)).await.unwrap()[0];
        assert_eq!(reader.bounds(Events, partition).await.unwrap().end, next);
        let chunk = reader.read(Events, partition, next - 1, 1).await.unwrap();
        assert_eq!(chunk.records[0].value, numbered(i, 1)[0].value);
        assert!(reader.read(Events, partition, next, 1).await.unwrap().records.is_empty());
    }
    // And who waits is told.
    let waiting = reader.wait_beyond(Control, 0, 2);
    let write = async {
        writer.append(Control, vec![Record::new("k", "v")]).await.unwrap();
        writer.append(Control, vec![Record::new("k", "v"), Record::new("k", "v")]).await.unwrap();
    };
    let (waited, ()) =
        tokio::time::timeout(Duration::from_secs(10), async { tokio::join!(waiting, write) }).await.unwrap();
    waited.unwrap();
}

/// More positions on each partition than there are consumers, all at a time, some of them slow.
#[tokio::test(flavor = "multi_thread")]
async fn many_readers_of_a_partition_lose_nothing_and_repeat_nothing() {
    const RECORDS: usize = 20_000;
    let log = open_new(2).await;
    for first in (0..RECORDS).step_by(1_000) {
        log.append(Events, numbered(first, 1_000)).await.unwrap();
    }
    let readers = (0..20).map(|reader: u64| {
        let log = Arc::clone(&log);
        tokio::spawn(async move {
            let partition = (reader % 2) as u32;
            let end = log.bounds(Events, partition).await.unwrap().end;
            let mut at = reader * 100;
            let mut last = None;
            while at < end {
                let chunk = log.read(Events, partition, at, 2_000 * (reader as usize + 1)).await.unwrap();
                assert_eq!((chunk.first, chunk.records[0].offset), (at, at));
                assert!((at..).zip(&chunk.records).all(|(offset, record)| record.offset == offset));
                for record in chunk.records {
                    let number: usize = std::str::from_utf8(&record.value[..8]).unwrap().parse().unwrap();
                    assert!(last.is_none_or(|last| last < number));
                    last = Some(number);
                }
                at = chunk.next;
                if reader > 15 {
                    tokio::task::yield_now().await;
                }
            }
            at
        })
    });
    let reached: BTreeSet<u64> = join_all(readers).await.into_iter().map(|reader| reader.unwrap()).collect();
    let total: u64 = reached.iter().sum();
    assert!(reached.len() == 2 && total == RECORDS as u64, "{reached:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn records_taken_away_are_a_named_stop() {
    let prefix = prefix();
    let log = open(&url(&prefix), OpenOptions { partitions: Some(1), ..OpenOptions::default() }).await.unwrap();
    log.append(Events, numbered(0, 100)).await.unwrap();
    let admin: AdminClient<DefaultClientContext> = client().create().unwrap();
    let mut before = rdkafka::TopicPartitionList::new();
    before.add_partition_offset(&format!("{prefix}.events.v1"), 0, rdkafka::Offset::Offset(40)).unwrap();
    admin.delete_records(&before, &AdminOptions::new()).await.unwrap();
    let other = open(&url(&prefix), OpenOptions::default()).await.unwrap();
    for log in [&log, &other] {
        let error = log.read(Events, 0, 10, 1_000).await.unwrap_err();
        assert!(matches!(error, ReadError::OutOfRange { from: 10, first: 40, end: 100, .. }), "{error}");
        let error = log.read(Events, 0, 101, 1_000).await.unwrap_err();
        assert!(matches!(error, ReadError::OutOfRange { from: 101, first: 40, end: 100, .. }), "{error}");
        assert_eq!(log.read(Events, 0, 40, 1).await.unwrap().first, 40);
        assert_eq!(log.bounds(Events, 0).await.unwrap().first, 40);
    }
}

#[tokio::test]
async fn a_record_that_another_writer_put_without_a_value_is_read() {
    let prefix = prefix();
    let log = open(&url(&prefix), OpenOptions { partitions: Some(1), ..OpenOptions::default() }).await.unwrap();
    let producer: BaseProducer = client().create().unwrap();
    let topic = format!("{prefix}.events.v1");
    producer.send(BaseRecord::<(), ()>::to(&topic).partition(0)).map_err(|(error, _)| error).unwrap();
    producer.flush(Duration::from_secs(10)).unwrap();
    let read = read_all(&*log, Events, 0, 1).await;
    assert!(read.len() == 1 && read[0].key.is_empty() && read[0].value.is_empty());
}

/// Waits until these own what is given, each some of it.
async fn shared_out(among: &[&Arc<dyn Share>], partitions: u32) {
    let all: BTreeSet<u32> = (0..partitions).collect();
    let shared = async {
        loop {
            let owned: Vec<BTreeSet<u32>> = among.iter().map(|share| share.owned().borrow().clone()).collect();
            let total: usize = owned.iter().map(BTreeSet::len).sum();
            let union: BTreeSet<u32> = owned.iter().flatten().copied().collect();
            if total == union.len() && union == all && owned.iter().all(|owned| !owned.is_empty()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), shared).await.expect("the partitions are not shared out");
}

#[tokio::test(flavor = "multi_thread")]
async fn members_share_and_take_over_from_who_leaves() {
    let prefix = prefix();
    let options = OpenOptions { partitions: Some(4), ..OpenOptions::default() };
    let (one, two) = (open(&url(&prefix), options.clone()).await.unwrap(), open(&url(&prefix), options).await.unwrap());
    let first = one.join().await.unwrap();
    shared_out(&[&first], 4).await;
    let second = two.join().await.unwrap();
    shared_out(&[&first, &second], 4).await;
    assert!(first.confirm().await && second.confirm().await);
    // What is fetched by neither can still be read by both.
    one.append(Events, numbered(0, 100)).await.unwrap();
    for log in [&one, &two] {
        let mut read = 0;
        for partition in 0..4 {
            read += read_all(&**log, Events, partition, 1 << 20).await.len();
        }
        assert_eq!(read, 100);
    }
    first.leave().await;
    assert!(first.owned().borrow().is_empty());
    shared_out(&[&second], 4).await;
    assert!(second.confirm().await);
    // Dropped is left, too.
    let third = one.join().await.unwrap();
    shared_out(&[&second, &third], 4).await;
    drop(second);
    shared_out(&[&third], 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notes_become_the_groups_offsets() {
    use rdkafka::consumer::{BaseConsumer, Consumer as _};
    let prefix = prefix();
    let log: Arc<dyn EventLog> =
        open(&url(&prefix), OpenOptions { partitions: Some(2), ..OpenOptions::default() }).await.unwrap();
    let share = log.join().await.unwrap();
    shared_out(&[&share], 2).await;
    share.note(1, 17);
    share.note(1, 19);
    share.leave().await;
    let asker: BaseConsumer = client().set("group.id", format!("{prefix}.projector")).create().unwrap();
    let committed = tokio::task::spawn_blocking(move || {
        let mut list = rdkafka::TopicPartitionList::new();
        list.add_partition(&format!("{prefix}.events.v1"), 1);
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        loop {
            let committed = asker.committed_offsets(list.clone(), Duration::from_secs(5)).unwrap();
            let offset = committed.elements()[0].offset();
            if offset == rdkafka::Offset::Offset(19) || std::time::Instant::now() > deadline {
                return offset;
            }
        }
    });
    assert_eq!(committed.await.unwrap(), rdkafka::Offset::Offset(19));
}
