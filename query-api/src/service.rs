//! The service: what it is made of, and its routes.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use tokio_util::sync::CancellationToken;
use weir_event::Clock;
use weir_lifecycle::Component;
use weir_store::Store;

use crate::failure::StartError;
use crate::pace::Pace;
use crate::tables::Tables;
use crate::wait::Acknowledged;
use crate::{answer, explain, keys, profiles, quarantine, rebuilds, scores, segments, status, timeline, users};

/// How a query API is set up.
#[derive(Clone)]
pub struct Settings {
    /// The clock of the process.
    pub clock: Clock,
    /// Whether nobody is asked for a key: everybody is admin of the workspace `default`, and operator.
    pub open: bool,
    /// What had been acknowledged, where this process knows: then a read without token waits for it.
    pub acknowledged: Option<Arc<dyn Acknowledged>>,
}

impl Settings {
    /// A query API that asks for keys and knows the tables only.
    pub fn new(clock: Clock) -> Self {
        Self { clock, open: false, acknowledged: None }
    }
}

/// The query API over a store.
#[derive(Clone)]
pub struct QueryApi(Arc<Api>);

/// What the routes share.
pub(crate) struct Api {
    pub(crate) tables: Tables,
    pub(crate) settings: Settings,
    pub(crate) pace: Pace,
}

/// How often [`QueryApi::watch`] looks at the store at most.
const WATCH_PAUSE: Duration = Duration::from_millis(500);

impl QueryApi {
    /// A query API that answers from the store. It needs no complete generation to start.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn start(store: Arc<dyn Store>, settings: Settings) -> Result<Self, StartError> {
        let api = Api { tables: Tables::new(store), settings, pace: Pace::default() };
        api.tables.live().await.map_err(StartError)?;
        Ok(Self(Arc::new(api)))
    }

    /// The routes, and nothing else: whoever serves them merges them with others and wraps them by
    /// [`weir_http::wrap`].
    pub fn router(&self) -> Router {
        Router::new()
            .route("/api/profiles", get(profiles::find))
            .route("/api/profiles/{id}", get(profiles::show))
            .route("/api/profiles/{id}/events", get(timeline::list))
            .route("/api/profiles/{id}/segments", get(profiles::segments))
            .route("/api/segments", get(segments::list))
            .route("/api/segments/{slug}", get(segments::members))
            .route("/api/segments/{slug}/count", get(segments::count))
            .route("/api/segments/{slug}/definition", get(segments::definition))
            .route("/api/segments/{slug}/members/{profile_id}", get(explain::show))
            .route("/api/scores/{slug}", get(scores::definition))
            .route("/api/scores/{slug}/profiles", get(scores::profiles))
            .route("/api/keys", get(keys::list))
            .route("/api/status", get(status::show))
            .route("/api/quarantine", get(quarantine::list))
            .route("/api/quarantine/{stream}/{partition}/{offset}", get(quarantine::show))
            .route("/api/rebuilds", get(rebuilds::list).post(rebuilds::start))
            .route("/api/rebuilds/{id}", get(rebuilds::show))
            .route("/api/rebuilds/{id}/verify", post(rebuilds::verify))
            .route("/api/rebuilds/{id}/promote", post(rebuilds::promote))
            .route("/api/rebuilds/{id}/rollback", post(rebuilds::roll_back))
            .route("/api/rebuilds/{id}/abort", post(rebuilds::abort))
            .route("/v1/users/events", get(users::events))
            .route("/v1/users/events/", get(users::events))
            .layer(from_fn_with_state(self.0.settings.clock.is_test(), answer::stamp))
            .route("/version", get(|| async { "v1" }))
            .with_state(self.0.clone())
    }

    /// Why the tables can't be read now; `None` if they can. What `/readyz` needs to know.
    pub async fn not_ready(&self) -> Option<String> {
        match self.0.tables.live().await {
            Ok(Some(_)) => None,
            Ok(None) => Some("rebuilding: the tables are being filled from the log".to_owned()),
            Err(error) => Some(format!("the tables can't be read: {error}")),
        }
    }

    /// Keeps a component of the process's health, until the shutdown; also measures how fast a generation fills, for
    /// the ETA in the status.
    pub async fn watch(&self, component: Component, shutdown: CancellationToken) {
        let mut changes = self.0.tables.store.changes();
        loop {
            changes.mark_unchanged();
            match self.not_ready().await {
                None => component.ready(),
                Some(reason) => component.not_ready(reason),
            }
            if let Err(error) = self.0.look().await {
                tracing::debug!(%error, "can't see how far generations are");
            }
            let pause = async {
                let changed = changes.changed().await;
                tokio::time::sleep(WATCH_PAUSE).await;
                changed
            };
            tokio::select! {
                () = shutdown.cancelled() => return,
                changed = pause => if changed.is_err() { return },
            }
        }
    }
}
