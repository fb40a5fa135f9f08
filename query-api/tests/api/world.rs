//! A store that a test fills as the projector would, and a query API over it.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower::ServiceExt as _;
use uuid::Uuid;
use weir_control::{
    Command, DefinitionDeleted, DefinitionPut, KeyId, LogOpened, NewDefinition, NewKey, Role, State as Control,
    WorkspaceCreated, builtin, encode, key_hash,
};
use weir_event::{Clock, Envelope, Event, Identifier, IdentifierKind, Position, ProfileId, Stream, Timestamp};
use weir_query_api::{Acknowledged, QueryApi, Settings};
use weir_segment::{OpenSpans, State, StoredSpan, advance, fold, membership};
use weir_store::{
    Card, Count, CountRow, Fence, Generation, MembershipBatch, ProfileKey, Quarantined, ScoreRow, SpanKey, SpanRow,
    SqliteStore, Store, TimelineBatch, TimelineRow, place, serving_catalog, tree,
};

mod baskets;

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

/// A generation on its way along the log.
pub struct Tables {
    pub generation: Arc<dyn Generation>,
    state: Control,
    control_next: usize,
    membership_next: usize,
    timeline_next: usize,
    folded: HashMap<ProfileKey, (State, OpenSpans)>,
}

fn key(role: Role, secret: &str, n: u128) -> NewKey {
    NewKey {
        id: KeyId(Uuid::from_u128(n)),
        role,
        name: Some(format!("{secret} of the test")),
        sha256: key_hash(secret),
    }
}

pub fn workspace(slug: &str, space: Uuid, keys: &[(Role, &str)], first: u128) -> Command {
    let keys = keys.iter().zip(first..).map(|((role, secret), n)| key(*role, secret, n)).collect();
    Command::WorkspaceCreated(WorkspaceCreated {
        slug: slug.to_owned(),
        namespace: space,
        keys,
        segments: builtin::segments(),
        scores: builtin::scores(),
        by: "test".to_owned(),
        at: Timestamp::from_micros(TEN - 24 * HOUR),
    })
}

pub fn put_segment(slug: &str, body: &str) -> Command {
    Command::SegmentPut(put(slug, body))
}

pub fn put_score(slug: &str, body: &str) -> Command {
    Command::ScorePut(put(slug, body))
}

fn put(slug: &str, body: &str) -> DefinitionPut {
    DefinitionPut {
        workspace: "default".to_owned(),
        definition: NewDefinition::plain(slug, body),
        if_version: None,
        by: "test".to_owned(),
        at: Timestamp::from_micros(TEN),
    }
}

pub fn delete(slug: &str) -> DefinitionDeleted {
    let (workspace, by) = ("default".to_owned(), "test".to_owned());
    DefinitionDeleted { workspace, slug: slug.to_owned(), if_version: None, by, at: Timestamp::from_micros(TEN) }
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

impl Tables {
    pub async fn create(store: &SqliteStore, bound: u64) -> Self {
        let created = store.create(bound, TEN, weir_store::Purpose::Switch).await.unwrap();
        Self::of(store.generation(created).await.unwrap())
    }

    /// A generation that somebody has made.
    pub fn of(generation: Arc<dyn Generation>) -> Self {
        Self {
            generation,
            state: Control::default(),
            control_next: 0,
            membership_next: 0,
            timeline_next: 0,
            folded: HashMap::new(),
        }
    }

    pub async fn catch_up(&mut self, control: &[Vec<u8>], events: &[Vec<u8>]) {
        self.take_control(control).await;
        self.take_membership(events).await;
        self.take_timeline(events).await;
    }

    pub async fn take_control(&mut self, control: &[Vec<u8>]) {
        let bound = self.generation.bound();
        let new = control.iter().enumerate().skip(self.control_next);
        let records: Vec<(u64, Vec<u8>)> = new.map(|(offset, record)| (offset as u64, record.clone())).collect();
        for (offset, record) in &records {
            self.state.evolve_bound(*offset, record, bound);
        }
        let fence = fence(self.control_next, control.len(), None);
        self.generation.commit_control(fence, &records, &[]).await.unwrap();
        self.control_next = control.len();
    }

    pub async fn take_membership(&mut self, events: &[Vec<u8>]) {
        while self.membership_next < events.len() {
            let offset = self.membership_next;
            let (received, batch) = self.batch(offset as u64, &events[offset]);
            self.generation.commit_membership(fence(offset, offset + 1, received), &batch).await.unwrap();
            self.membership_next += 1;
        }
    }

    /// What one record does to the tables. What is no event is set aside; nothing repeats here.
    fn batch(&mut self, offset: u64, record: &[u8]) -> (Option<i64>, MembershipBatch) {
        let mut batch = MembershipBatch::default();
        let envelope = match Envelope::parse(record) {
            Ok(envelope) => envelope,
            Err(poison) => {
                let (stream, partition, reason) = (Stream::Events, 0, poison.0);
                batch.quarantine.push(Quarantined { stream, partition, offset, reason, record: record.to_vec() });
                batch.counts.push(CountRow { workspace: None, what: Count::Quarantined, n: 1 });
                batch.not_admitted.push(offset);
                return (None, batch);
            }
        };
        let workspace = self.state.workspace(&envelope.workspace).unwrap();
        let catalog = serving_catalog(workspace);
        let key = ProfileKey { workspace: workspace.no, profile: envelope.subject };
        let (state, open) = self.folded.entry(key).or_default();
        let touched = fold(&catalog, state, &Event::of(&envelope)).unwrap();
        let horizon = state.horizon.unwrap();
        let mut gone = Vec::new();
        for index in touched.segments {
            let segment = &catalog.segments()[index];
            let change = advance(open.0.entry(segment.id).or_default(), membership(segment, state).unwrap(), horizon);
            let row = |stored: &StoredSpan| SpanRow {
                key: SpanKey {
                    segment: segment.id,
                    past: stored.past,
                    enters: stored.span.enters,
                    profile: key.profile,
                },
                leaves: stored.span.leaves,
            };
            gone.extend(change.removed.iter().map(row));
            batch.spans.extend(change.added.iter().map(row));
        }
        open.prune(horizon);
        batch.tree = tree::rows(gone.iter().copied(), batch.spans.iter().copied());
        batch.removed_spans = gone.iter().map(|row| row.key).collect();
        for change in touched.scores {
            let row = |points: weir_event::Decimal| ScoreRow {
                score: catalog.scores()[change.score].id,
                points: points.billionths(),
                profile: key.profile,
            };
            batch.removed_scores.extend(change.before.map(row));
            batch.scores.extend(change.after.map(row));
        }
        batch.cards.push(Card { key, card: state.card(&catalog).encode() });
        (Some(envelope.received.micros()), batch)
    }

    pub async fn take_timeline(&mut self, events: &[Vec<u8>]) {
        let new = events.iter().enumerate().skip(self.timeline_next);
        let new: Vec<_> =
            new.filter_map(|(offset, record)| Some((offset, record, Envelope::parse(record).ok()?))).collect();
        let (mut rows, mut taken) = (Vec::new(), Vec::new());
        for (offset, record, envelope) in &new {
            let workspace = self.state.workspace(&envelope.workspace).unwrap().no;
            let key = ProfileKey { workspace, profile: envelope.subject };
            let event = Event::of(envelope);
            let (place, offset, record) = (place::of_event(&event.key), *offset as u64, record.to_vec());
            rows.push(TimelineRow { key, place, partition: 0, offset, record });
            taken.push((key, event));
        }
        let baskets = baskets::batch(self.generation.as_ref(), &taken).await;
        let fence = fence(self.timeline_next, events.len(), None);
        self.generation.commit_timeline(fence, &TimelineBatch { rows, baskets }).await.unwrap();
        self.timeline_next = events.len();
    }
}

fn fence(expected: usize, next: usize, newest_receipt: Option<i64>) -> Fence {
    Fence { partition: 0, owner: uuid::Uuid::nil(), expected: expected as u64, next: next as u64, newest_receipt }
}

/// Asks a query API.
#[derive(Clone)]
pub struct Client(Router);

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Client {
    pub fn of(api: &QueryApi) -> Self {
        Self(weir_http::wrap(api.router(), weir_http::WrapOptions::default()))
    }

    /// With the read key.
    pub async fn get(&self, path: &str) -> Answer {
        self.ask(path, &[("authorization", "Bearer read")]).await
    }

    pub async fn get_as(&self, key: &str, path: &str) -> Answer {
        self.ask(path, &[("authorization", &format!("Bearer {key}"))]).await
    }

    pub async fn get_after(&self, token: &Position, wait: &str, path: &str) -> Answer {
        let token = token.to_string();
        self.ask(path, &[("authorization", "Bearer read"), ("weir-after", &token), ("prefer", wait)]).await
    }

    pub async fn ask(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let request = headers.iter().fold(Request::get(path), |request, (name, value)| request.header(*name, *value));
        self.send(request.body(Body::empty()).unwrap()).await
    }

    pub async fn post_as(&self, key: &str, path: &str, body: &str) -> Answer {
        let request = Request::post(path).header("authorization", format!("Bearer {key}"));
        self.send(request.body(Body::from(body.to_owned())).unwrap()).await
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.0.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        Answer { status: parts.status, headers: parts.headers, text }
    }

    /// All rows of a list, page by page.
    pub async fn pages(&self, path: &str, rows: &str) -> Vec<Value> {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self.get(&format!("{path}{cursor}")).await.ok();
            all.extend(page[rows].as_array().unwrap().iter().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return all,
            }
        }
    }
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The body of a 200.
    #[track_caller]
    pub fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text);
        self.json()
    }

    /// The status and code of a problem.
    #[track_caller]
    pub fn problem(&self) -> (u16, String) {
        let json = self.json();
        assert_eq!(self.headers["content-type"], "application/problem+json", "{json}");
        assert!(json["request_id"].is_string() && json["detail"].is_string(), "{json}");
        (self.status.as_u16(), json["code"].as_str().unwrap().to_owned())
    }

    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) {
        assert_eq!(self.problem(), (status, code.to_owned()), "{}", self.text);
    }

    pub fn generation(&self) -> Option<u64> {
        self.headers.get("weir-generation").map(|value| value.to_str().unwrap().parse().unwrap())
    }
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
