//! What every answer has.

#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::extract::{Path, Request};
use axum::http::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde_json::Value;
use tower::ServiceExt as _;
use weir_http::{BodyLimits, FieldError, Problem, RequestId, WrapOptions, bearer, read_body, wrap};

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn header(&self, name: impl axum::http::header::AsHeaderName) -> &str {
        self.headers[name].to_str().unwrap()
    }
}

fn router() -> Router {
    Router::new()
        .route("/ok", get(async || "fine"))
        .route("/made", post(async || (StatusCode::CREATED, Json(Value::Null))))
        .route("/id", get(async |Extension(id): Extension<RequestId>| id.as_str().to_owned()))
        .route("/panic", get(async || -> &'static str { panic!("secret@example.com") }))
        .route("/number/{n}", get(async |Path(n): Path<u32>| n.to_string()))
        .route("/key", get(async |headers: HeaderMap| bearer(&headers).map(str::to_owned)))
        .route("/busy", get(async || Problem::unavailable("rebuilding", "the tables are being rebuilt", 2)))
        .route("/broken", get(async || Problem::internal(&std::io::Error::other("secret@example.com"))))
        .route("/two", get(async || Problem::invalid("x", vec![FieldError::new("/a", "b"), FieldError::new("", "c")])))
        .route(
            "/big",
            post(async |headers: HeaderMap, body: Body| {
                read_body(&headers, body, &BodyLimits::default()).await.map(|body| body.len().to_string())
            }),
        )
}

async fn ask(options: WrapOptions, request: Request) -> Answer {
    let response = wrap(router(), options).oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    Answer { status: parts.status.as_u16(), headers: parts.headers, body }
}

async fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    ask(WrapOptions::default(), request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn every_answer_names_its_request() {
    let answer = request("GET", "/id", &[]).await;
    let made = answer.header("x-request-id");
    assert!(uuid::Uuid::parse_str(made).is_ok());
    assert_eq!(answer.body, made);
    assert_ne!(request("GET", "/id", &[]).await.body, answer.body);
    assert_eq!(request("GET", "/id", &[("x-request-id", "shop-42:a.b")]).await.header("x-request-id"), "shop-42:a.b");
    for odd in ["", "a b", "<script>", "a\"b", &"x".repeat(101)] {
        assert_ne!(request("GET", "/ok", &[("x-request-id", odd)]).await.header("x-request-id"), odd);
    }
}

#[tokio::test]
async fn errors_are_problems_whoever_makes_them() {
    for (method, path, status, code) in [
        ("GET", "/nowhere", 404, "route_unknown"),
        ("GET", "/ok/", 404, "route_unknown"),
        ("POST", "/ok", 405, "method_not_allowed"),
        ("BREW", "/ok", 405, "method_not_allowed"),
        ("GET", "/panic", 500, "internal_error"),
        ("GET", "/number/x", 400, "path_invalid"),
        ("GET", "/number/%ff", 400, "path_invalid"),
        ("GET", "/key", 401, "key_missing"),
        ("GET", "/busy", 503, "rebuilding"),
        ("GET", "/broken", 500, "internal_error"),
    ] {
        let answer = request(method, path, &[("x-request-id", "r-1")]).await;
        assert_eq!((answer.status, answer.header(CONTENT_TYPE)), (status, "application/problem+json"), "{path}");
        let problem = answer.json();
        assert_eq!(problem["code"], code, "{path}");
        assert_eq!(problem["type"], format!("/errors/{code}"));
        assert_eq!((&problem["status"], &problem["request_id"]), (&Value::from(status), &Value::from("r-1")));
        assert!(problem["title"].is_string() && problem["detail"].is_string() && problem.get("errors").is_none());
        assert!(!String::from_utf8_lossy(&answer.body).contains("secret"), "{path}");
    }
}

#[tokio::test]
async fn headers_that_belong_to_a_problem_are_kept() {
    let allow = request("DELETE", "/ok", &[]).await;
    assert_eq!(allow.header(ALLOW), "GET,HEAD");
    assert_eq!(request("GET", "/key", &[]).await.header(WWW_AUTHENTICATE), "Bearer realm=\"weir\"");
    assert_eq!(request("GET", "/busy", &[]).await.header(RETRY_AFTER), "2");
    let errors = request("GET", "/two", &[]).await.json()["errors"].clone();
    assert_eq!(errors, serde_json::json!([{"pointer": "/a", "message": "b"}, {"pointer": "", "message": "c"}]));
}

#[tokio::test]
async fn good_answers_are_left_alone() {
    let answer = request("GET", "/ok", &[]).await;
    assert_eq!((answer.status, &answer.body[..]), (200, &b"fine"[..]));
    assert_eq!((answer.header("x-content-type-options"), answer.header("cache-control")), ("nosniff", "no-store"));
    assert_eq!(request("POST", "/made", &[]).await.status, 201);
    assert_eq!(request("HEAD", "/ok", &[]).await.status, 200);
}

#[tokio::test]
async fn an_open_door_is_open_to_this_machine_only() {
    let options = WrapOptions {
        open: true,
        headers: vec![(HeaderName::from_static("weir-clock"), HeaderValue::from_static("test"))],
    };
    let ask = |host, origin: Option<&'static str>| {
        let request = Request::builder().uri("/ok").header("host", host);
        let request = origin.into_iter().fold(request, |request, origin| request.header("origin", origin));
        ask(options.clone(), request.body(Body::empty()).unwrap())
    };
    assert_eq!(ask("127.0.0.1:8080", None).await.status, 200);
    assert_eq!(ask("localhost", Some("http://localhost:8080")).await.status, 200);
    let refused = ask("evil.example", None).await;
    assert_eq!((refused.status, &refused.json()["code"]), (403, &Value::from("host_refused")));
    assert_eq!(refused.header("weir-clock"), "test");
    let refused = ask("localhost", Some("http://evil.example")).await;
    assert_eq!((refused.status, &refused.json()["code"]), (403, &Value::from("origin_refused")));
}

#[tokio::test]
async fn a_refused_body_is_read_on_so_that_the_sender_gets_the_answer() {
    let left = Arc::new(Mutex::new(8_000_000_usize));
    struct Upload(Arc<Mutex<usize>>);
    impl hyper::body::Body for Upload {
        type Data = Bytes;
        type Error = std::convert::Infallible;
        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
            let mut left = self.0.lock().unwrap();
            let piece = 100_000.min(*left);
            *left -= piece;
            let frame = (piece > 0).then(|| Ok(hyper::body::Frame::data(Bytes::from(vec![b'x'; piece]))));
            std::task::Poll::Ready(frame)
        }
    }
    for (path, status) in [("/big", 413), ("/made/nowhere", 404)] {
        *left.lock().unwrap() = 8_000_000;
        let request = Request::post(path).body(Body::new(Upload(left.clone()))).unwrap();
        assert_eq!(ask(WrapOptions::default(), request).await.status, status);
        assert_eq!(*left.lock().unwrap(), 0);
    }
    // Who asked whether to send at all is told not to.
    *left.lock().unwrap() = 1_000;
    let request = Request::post("/made/nowhere").header("expect", "100-continue");
    assert_eq!(ask(WrapOptions::default(), request.body(Body::new(Upload(left.clone()))).unwrap()).await.status, 404);
    assert_eq!(*left.lock().unwrap(), 1_000);
}
