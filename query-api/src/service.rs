//! The service: what it is made of, and its routes.

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use tokio_util::sync::CancellationToken;
use weir_event::Clock;
use weir_lifecycle::Component;
use weir_store::Store;

use crate::export::Exports;
use crate::lag::Lags;
use crate::pace::Pace;
use crate::tables::Tables;
use crate::wait::Acknowledged;
use crate::{
    answer, baskets, explain, keys, profiles, quarantine, rebuilds, removals, scores, segments, status, summary,
    timeline, users, watch,
};

/// How a query API is set up.
#[derive(Clone)]
pub struct Settings {
    /// The clock of the process.
    pub clock: Clock,
    /// Whether nobody is asked for a key: everybody is admin of the workspace `default`, and operator.
    pub open: bool,
    /// What had been acknowledged, where this process knows: then a read without token waits for it.
    pub acknowledged: Option<Arc<dyn Acknowledged>>,
    /// Ends what waits: reads that wait for the tables are then refused at once.
    pub shutdown: CancellationToken,
}

impl Settings {
    /// A query API that asks for keys and knows the tables only.
    pub fn new(clock: Clock) -> Self {
        Self { clock, open: false, acknowledged: None, shutdown: CancellationToken::new() }
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
    pub(crate) lags: Lags,
    pub(crate) exports: Exports,
}

impl QueryApi {
    /// A query API that answers from the store. It needs neither a complete generation nor, over a network, the store: reads
    /// are 503 until there are both.
    pub fn new(store: Arc<dyn Store>, settings: Settings) -> Self {
        let (pace, lags) = (Pace::default(), Lags::default());
        let exports = Exports::default();
        Self(Arc::new(Api { tables: Tables::new(store), settings, pace, lags, exports }))
    }

    /// The routes, and nothing else: whoever serves them merges them with others and wraps them by
    /// [`weir_http::wrap`].
    pub fn router(&self) -> Router {
        Router::new()
            .route("/api/profiles", get(profiles::find))
            .route("/api/profiles/{id}", get(profiles::show))
            .route("/api/profiles/{id}/basket", get(baskets::show))
            .route("/api/profiles/{id}/events", get(timeline::list))
            .route("/api/profiles/{id}/segments", get(profiles::segments))
            .route("/api/segments", get(segments::list))
            .route("/api/segments/{slug}", get(segments::members))
            .route("/api/segments/{slug}/count", get(segments::count))
            .route("/api/segments/{slug}/definition", get(segments::definition))
            .route("/api/segments/{slug}/members/{profile_id}", get(explain::show))
            .route("/api/scores/{slug}", get(scores::definition))
            .route("/api/scores/{slug}/profiles", get(scores::profiles))
            .route("/api/baskets/removed-items", get(removals::list))
            .route("/api/baskets/removed-items/summary", get(summary::list))
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
        self.0.readable().await.err()
    }

    /// Keeps a component of the process's health, and the measures of how far the tables are, until the shutdown that the
    /// settings name.
    pub async fn watch(&self, component: Component) {
        watch::run(&self.0, component).await;
    }
}
