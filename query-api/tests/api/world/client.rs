//! Asking, and what is answered.

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower::ServiceExt as _;
use weir_event::Position;
use weir_query_api::QueryApi;

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
