use std::sync::Arc;
use axum::body::Body;
use axum::http::Request;
use tower::ServiceExt;
use weir_event::{Clock, Stream};
use weir_event_log::*;
use weir_ingest::bootstrap::*;
use weir_ingest::{Ingest, Settings};
struct Sink(Arc<dyn EventLog>);
#[async_trait::async_trait]
impl LogAppender for Sink {
    async fn append(&self, s: Stream, r: Vec<Record>) -> Result<Vec<(u32, u64)>, AppendError> {
        if s == Stream::Control { return self.0.append(s, r).await; }
        std::hint::black_box(&r);
        Ok(vec![(0, r.len() as u64)])
    }
}
#[async_trait::async_trait]
impl LogReader for Sink {
    fn partitions(&self, s: Stream) -> u32 { self.0.partitions(s) }
    async fn bounds(&self, s: Stream, p: u32) -> Result<Bounds, ReadError> { self.0.bounds(s, p).await }
    async fn read(&self, s: Stream, p: u32, f: u64, m: usize) -> Result<Chunk, ReadError> { self.0.read(s, p, f, m).await }
    async fn wait_beyond(&self, s: Stream, p: u32, o: u64) -> Result<(), ReadError> { self.0.wait_beyond(s, p, o).await }
}
#[tokio::main(flavor = "current_thread")]
async fn main() {
    let log: Arc<dyn EventLog> = Arc::new(Sink(Arc::new(MemoryLog::new(1).unwrap())));
    let clock = Clock::system();
    open_log(&*log, &OpenSettings::default(), &clock).await.unwrap();
    make_workspace(&*log, "default", &FirstKeys { write: [1; 32], read: [2; 32], admin: [3; 32], operator: None }, "x", &clock).await.unwrap();
    let mut settings = Settings::new(clock);
    settings.open = true;
    let (ingest, _f) = Ingest::start(log, settings).await.unwrap();
    let router = ingest.router();
    let items: Vec<String> = (0..100).map(|n| match n % 2 {
        0 => format!(r#"{{"name":"product.viewed","user_id":"user-{n}","timestamp":"2026-11-20T10:00:{:02}Z","properties":{{"product_id":"sku-{n}","category":"women's shoes","price":19.90,"quantity":1,"currency":"EUR"}}}}"#, n % 60),
        _ => format!(r#"{{"name":"cart.added","email":"User{n}@Example.com","timestamp":"2026-11-20T10:00:{:02}.123Z","id":"event-{n}","properties":{{"product_id":"sku-{n}","tags":["a","b","c"],"price":19.90,"nested":{{"a":1,"b":true}}}}}}"#, n % 60),
    }).collect();
    let body = bytes::Bytes::from(format!("[{}]", items.join(",")));
    println!("{} bytes an item", body.len() / 100);
    for (name, path, body, per) in [("batch", "/api/events", body.clone(), 100), ("single", "/api/profiles/user:13/events", bytes::Bytes::from(r#"{"name":"cart.added","properties":{"product_id":"sku-1","price":19.90}}"#), 1)] {
        for _ in 0..3 {
            let rounds = 200_000 / per;
            let begun = std::time::Instant::now();
            for _ in 0..rounds {
                let request = Request::post(path).body(Body::from(body.clone())).unwrap();
                let answer = router.clone().oneshot(request).await.unwrap();
                assert!(answer.status().is_success());
            }
            println!("{name}: {:.2} µs an event", begun.elapsed().as_secs_f64() * 1e6 / f64::from(rounds as u32 * per as u32));
        }
    }
}
