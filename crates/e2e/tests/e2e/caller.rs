//! HTTP as a client of Weir speaks it.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use weir_e2e::oracle::instant;

/// Where a deployment is asked: what the front door of a real one does.
#[derive(Clone, Default)]
pub struct Doors(Arc<RwLock<Addresses>>);

#[derive(Default)]
struct Addresses {
    /// Of ingests; each request goes to the next one.
    writes: Vec<String>,
    reads: String,
    requests: usize,
}

impl Doors {
    /// Of one process that is everything.
    pub fn one(base: &str) -> Self {
        let doors = Self::default();
        doors.set(vec![base.to_owned()], base.to_owned());
        doors
    }

    /// Ingests and a query API.
    pub fn set(&self, writes: Vec<String>, reads: String) {
        let mut addresses = self.0.write().unwrap_or_else(PoisonError::into_inner);
        (addresses.writes, addresses.reads) = (writes, reads);
    }

    /// GET and HEAD are answered by the query API, and rebuilds are its business.
    fn base(&self, method: &Method, path: &str) -> String {
        let mut addresses = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if matches!(*method, Method::GET | Method::HEAD) || path.starts_with("/api/rebuilds") {
            return addresses.reads.clone();
        }
        addresses.requests += 1;
        let writes = &addresses.writes;
        writes.get(addresses.requests % writes.len().max(1)).cloned().unwrap_or_default()
    }
}

/// One that asks with a key.
#[derive(Clone)]
pub struct Caller {
    client: Client,
    doors: Doors,
    key: String,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// The token in `Weir-Position`.
    pub position: Option<String>,
    /// After how many seconds to come again.
    pub retry_after: Option<String>,
    pub text: String,
    asked: String,
}

impl Answer {
    /// The body, if the status is this one.
    pub fn expect(&self, status: u16) -> Result<Value> {
        ensure!(self.status == status, "{}: {} instead of {status}: {}", self.asked, self.status, self.text);
        self.json()
    }

    /// The body; null if it is empty.
    pub fn json(&self) -> Result<Value> {
        if self.text.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&self.text).with_context(|| format!("{}: {}", self.asked, self.text))
    }
}

impl Caller {
    pub fn new(doors: &Doors, key: &str) -> Result<Self> {
        let client = Client::builder().no_proxy().timeout(Duration::from_secs(60)).build()?;
        Ok(Self { client, doors: doors.clone(), key: key.to_owned() })
    }

    /// The same client with another key.
    pub fn with_key(&self, key: &str) -> Self {
        Self { key: key.to_owned(), ..self.clone() }
    }

    /// Sends a request. An answer is an answer, whatever its status; an error is that of the connection.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
        headers: &[(&str, &str)],
    ) -> reqwest::Result<Answer> {
        let asked = format!("{method} {path}");
        let base = self.doors.base(&method, path);
        let mut request = self.client.request(method, format!("{base}{path}"));
        if !self.key.is_empty() {
            request = request.bearer_auth(&self.key);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.header("Content-Type", "application/json").body(body);
        }
        let answer = request.send().await?;
        let header = |name| answer.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let (position, retry_after) = (header("weir-position"), header("retry-after"));
        Ok(Answer { status: answer.status().as_u16(), position, retry_after, text: answer.text().await?, asked })
    }

    pub async fn get(&self, path: &str) -> Result<Answer> {
        Ok(self.send(Method::GET, path, None, &[]).await?)
    }

    /// The body of a 200.
    pub async fn read(&self, path: &str) -> Result<Value> {
        self.get(path).await?.expect(200)
    }

    pub async fn post(&self, path: &str, body: impl ToString) -> Result<Answer> {
        Ok(self.send(Method::POST, path, Some(body.to_string()), &[]).await?)
    }

    pub async fn put(&self, path: &str, body: impl ToString) -> Result<Answer> {
        Ok(self.send(Method::PUT, path, Some(body.to_string()), &[]).await?)
    }
}

/// A workspace, with its keys.
#[derive(Clone)]
pub struct Shop {
    pub slug: String,
    pub write: Caller,
    pub read: Caller,
    pub admin: Caller,
}

impl Shop {
    /// From what names the keys: `keys.json`, or the answer of `POST /api/workspaces`.
    pub fn new(doors: &Doors, keys: &Value) -> Result<Self> {
        let text = |name: &str| keys[name].as_str().with_context(|| format!("no {name} in {keys}"));
        let admin = Caller::new(doors, text("admin")?)?;
        Ok(Self {
            slug: text("workspace")?.to_owned(),
            write: admin.with_key(text("write")?),
            read: admin.with_key(text("read")?),
            admin,
        })
    }

    /// Answers the token of the write.
    pub async fn put_segment(&self, slug: &str, definition: &str) -> Result<String> {
        let answer = self.admin.put(&format!("/api/segments/{slug}"), definition).await?;
        ensure!(matches!(answer.status, 200 | 201), "{slug} {definition}: {} {}", answer.status, answer.text);
        answer.position.context("no Weir-Position")
    }

    pub async fn put_score(&self, slug: &str, definition: &str) -> Result<()> {
        let answer = self.admin.put(&format!("/api/scores/{slug}"), definition).await?;
        ensure!(matches!(answer.status, 200 | 201), "{slug} {definition}: {} {}", answer.status, answer.text);
        Ok(())
    }

    /// Waits until every segment is read in its newest version. A score put before the last segment then is, too.
    pub async fn filled(&self) -> Result<()> {
        eventually("every segment is filled", async || {
            let answer = self.read.get("/api/segments").await?;
            if answer.status == 503 {
                return Ok(None);
            }
            let body = answer.expect(200)?;
            let segments = body["segments"].as_array().cloned().unwrap_or_default();
            if let Some(failed) = segments.iter().find(|s| s["state"] == "failed") {
                bail!("{failed} failed");
            }
            let ready = segments.iter().all(|s| s["state"] == "ready" && s["serving"] == s["version"]);
            Ok(ready.then_some(()))
        })
        .await
    }

    /// The same once the tables have the definition whose token this is: who doesn't know of it can't wait for it.
    pub async fn filled_after(&self, position: &str) -> Result<()> {
        eventually("the definition is in the tables", async || {
            let after = [("Weir-After", position)];
            let answer = self.read.send(Method::GET, "/api/segments", None, &after).await?;
            Ok((answer.status == 200).then_some(()))
        })
        .await?;
        self.filled().await
    }

    /// Waits until the tables have everything that is on the log.
    pub async fn caught_up(&self) -> Result<()> {
        let mut last = String::new();
        let caught_up = eventually("the tables have reached the end of the log", async || {
            let answer = self.read.get("/api/status").await?;
            last.clone_from(&answer.text);
            Ok((answer.status == 200 && answer.json()?["lag"] == json!(0)).then_some(()))
        });
        caught_up.await.with_context(|| format!("the last status: {last}"))
    }
}

/// Asks until there is an answer; not for ever.
pub async fn eventually<T>(what: &str, ask: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    eventually_within(Duration::from_secs(60), what, ask).await
}

/// Asks until there is an answer; not for longer than said.
pub async fn eventually_within<T>(
    limit: Duration,
    what: &str,
    mut ask: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let begun = std::time::Instant::now();
    loop {
        if let Some(answer) = ask().await? {
            return Ok(answer);
        }
        ensure!(begun.elapsed() < limit, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Holds the test clock.
pub async fn hold(operator: &Caller, now: i64) -> Result<()> {
    let body = json!({ "now": instant::format(now) });
    operator.put("/test/clock", body).await?.expect(204)?;
    Ok(())
}
