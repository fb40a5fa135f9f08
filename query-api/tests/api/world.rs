//! A store that a test fills as the projector would, and a query API over it.

mod baskets;
mod client;
mod commands;
mod tables;

use std::sync::Arc;

use uuid::Uuid;
use weir_control::{Command, LogOpened, Role, encode};
use weir_event::{Clock, Envelope, Identifier, IdentifierKind, Position, ProfileId, Stream, Timestamp};
use weir_query_api::{Acknowledged, QueryApi, Settings};
use weir_store::{SqliteStore, Store};

pub use client::{Answer, Client};
pub use commands::{delete, put_score, put_segment, workspace};
pub use tables::Tables;

pub const LINEAGE: Uuid = Uuid::from_u128(0x1111);
pub const SPACE: Uuid = Uuid::from_u128(0x2222);
/// 2026-11-20T10:00:00Z.
pub const TEN: i64 = 1_795_168_800_000_000;
pub const SECOND: i64 = 1_000_000;
pub const HOUR: i64 = 3_600 * SECOND;

/// The log of a test, and the tables made of it.
pub struct World {
    _dir: tempfile::TempDir,
    pub store: Arc<SqliteStore>,
    pub clock: Clock,
    pub control: Vec<Vec<u8>>,
    pub events: Vec<Vec<u8>>,
    pub tables: Tables,
}

pub fn user(value: &str) -> Identifier {
    Identifier::new(IdentifierKind::User, value).unwrap()
}

pub fn email(value: &str) -> Identifier {
    Identifier::new(IdentifierKind::Email, value).unwrap()
}

/// The id in the workspace `default`.
pub fn id(who: &Identifier) -> ProfileId {
    who.profile_id(SPACE)
}

impl World {
    /// A log with the workspaces `default` and `other`, and a live generation that has taken it in.
    pub async fn new() -> Self {
        let mut world = Self::unfilled().await;
        world.tables.catch_up(&world.control, &world.events).await;
        world.store.promote(world.tables.generation.id(), None).await.unwrap();
        world
    }

    /// The same, with no live generation.
    pub async fn unfilled() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(SqliteStore::open(&dir.path().join("store.db")).await.unwrap());
        store.bind(LINEAGE).await.unwrap();
        let opened = Command::LogOpened(LogOpened {
            lineage: LINEAGE,
            events_partitions: 1,
            dedup_window_micros: weir_event::limits::DEDUP_WINDOW_MICROS,
            test_clock: true,
            at: Timestamp::from_micros(TEN - 24 * HOUR),
            copied_from: None,
        });
        let keys = [(Role::Write, "write"), (Role::Read, "read"), (Role::Admin, "admin"), (Role::Operator, "operator")];
        let others = [(Role::Read, "other-read"), (Role::Admin, "other-admin")];
        let control = vec![
            encode(&opened),
            encode(&workspace("default", SPACE, &keys, 1)),
            encode(&workspace("other", Uuid::from_u128(0x3333), &others, 10)),
        ];
        let clock = Clock::test();
        clock.hold(Some(Timestamp::from_micros(TEN))).unwrap();
        let tables = Tables::create(&store, control.len() as u64).await;
        Self { _dir: dir, store, clock, control, events: Vec::new(), tables }
    }

    pub fn at(&self, micros: i64) {
        self.clock.hold(Some(Timestamp::from_micros(micros))).unwrap();
    }

    /// Appends to `control.v1`; answers the token.
    pub fn command(&mut self, command: &Command) -> Position {
        self.control.push(encode(command));
        position(Stream::Control, self.control.len())
    }

    /// Appends an event of the workspace `default`, received when it happened; answers the token.
    pub fn event(&mut self, who: &Identifier, name: &str, at: i64, data: &str) -> Position {
        self.received(who, name, at, at, data)
    }

    /// Appends an event that was received at another instant.
    pub fn received(&mut self, who: &Identifier, name: &str, at: i64, received: i64, data: &str) -> Position {
        let record = self.record("default", id(who), Some(who.clone()), name, (at, received), data);
        self.append(record)
    }

    pub fn record(
        &self,
        workspace: &str,
        profile: ProfileId,
        who: Option<Identifier>,
        name: &str,
        (at, received): (i64, i64),
        data: &str,
    ) -> Vec<u8> {
        let data: Option<Box<serde_json::value::RawValue>> =
            (!data.is_empty()).then(|| serde_json::from_str(data).unwrap());
        let envelope = Envelope {
            id: format!("e{}", self.events.len()).into(),
            workspace: workspace.into(),
            name: name.into(),
            subject: profile,
            time: Timestamp::from_micros(at),
            received: Timestamp::from_micros(received),
            arrived: None,
            identifier: who,
            data: data.as_deref(),
        };
        let mut record = Vec::new();
        envelope.write(&mut record);
        record
    }

    pub fn append(&mut self, record: Vec<u8>) -> Position {
        self.events.push(record);
        position(Stream::Events, self.events.len())
    }

    /// Takes everything on the log into the live tables.
    pub async fn fold(&mut self) {
        self.tables.catch_up(&self.control, &self.events).await;
    }

    /// Fills a generation with all definitions on the log; it isn't live yet.
    pub async fn fill(&self) -> Tables {
        let mut tables = Tables::create(&self.store, self.control.len() as u64).await;
        tables.catch_up(&self.control, &self.events).await;
        tables
    }

    /// Makes a filled generation the one that is read.
    pub async fn switch(&mut self) {
        let tables = self.fill().await;
        self.promote(tables).await;
    }

    pub async fn promote(&mut self, tables: Tables) {
        self.store.promote(tables.generation.id(), Some(self.tables.generation.id())).await.unwrap();
        let left = std::mem::replace(&mut self.tables, tables);
        self.store.remove(left.generation.id()).await.unwrap();
    }

    pub fn settings(&self) -> Settings {
        Settings::new(self.clock.clone())
    }

    pub async fn api(&self) -> Client {
        self.api_with(self.settings()).await
    }

    pub async fn api_with(&self, settings: Settings) -> Client {
        let store: Arc<dyn Store> = self.store.clone();
        Client::of(&QueryApi::new(store, settings))
    }
}

pub fn position(stream: Stream, next: usize) -> Position {
    let mut position = Position::new(LINEAGE);
    position.raise(stream, 0, next as u64);
    position
}

/// What an ingest in the same process would say; held by the test.
#[derive(Clone)]
pub struct Told(pub Arc<std::sync::Mutex<Option<Position>>>);

impl Told {
    pub fn new(position: Option<Position>) -> Self {
        Self(Arc::new(std::sync::Mutex::new(position)))
    }
}

impl Acknowledged for Told {
    fn position(&self, _: Option<&str>) -> Option<Position> {
        self.0.lock().unwrap().clone()
    }
}
