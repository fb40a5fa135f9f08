//! Asking a running service.

use std::io::Read as _;

use anyhow::{Context as _, bail};
use reqwest::{Method, Url};
use serde_json::Value;

use super::Service;
use crate::keys_file::KeysFile;

/// Which of the first keys a command needs.
#[derive(Clone, Copy)]
pub(super) enum Fitting {
    Read,
    Admin,
    Operator,
}

/// What was given on the line can't be used: nothing was done.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unusable(String);

/// A service and the key to ask it with.
pub(super) struct Client {
    http: reqwest::Client,
    base: Url,
    key: Option<String>,
}

impl Client {
    pub(super) fn new(service: &Service, fitting: Fitting) -> anyhow::Result<Self> {
        let listen = || std::env::var("WEIR_LISTEN").unwrap_or_else(|_| "127.0.0.1:8080".to_owned());
        let base = service.url.clone().unwrap_or_else(|| format!("http://{}", listen()));
        let unusable = || Unusable(format!("--url {base} is no URL, such as http://127.0.0.1:8080"));
        let base = Url::parse(&base).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let base = base.filter(Url::has_host).ok_or_else(unusable)?;
        let key = match &service.key {
            Some(key) => Some(key.clone()),
            None => KeysFile::read(&service.data.join("keys.json"))?.map(|keys| match fitting {
                Fitting::Read => keys.read,
                Fitting::Admin => keys.admin,
                Fitting::Operator => keys.operator,
            }),
        };
        Ok(Self { http: reqwest::Client::builder().no_proxy().build()?, base, key })
    }

    pub(super) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.ask(Method::GET, self.base.join(path)?, None).await
    }

    pub(super) async fn get_part(&self, path: &[&str], query: &[(&str, String)]) -> anyhow::Result<Value> {
        let mut url = self.url(path)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.ask(Method::GET, url, None).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.ask(Method::POST, self.base.join(path)?, Some(body.to_string())).await
    }

    pub(super) async fn put(&self, path: &[&str], body: String) -> anyhow::Result<Value> {
        self.ask(Method::PUT, self.url(path)?, Some(body)).await
    }

    pub(super) async fn delete(&self, path: &[&str]) -> anyhow::Result<Value> {
        self.ask(Method::DELETE, self.url(path)?, None).await
    }

    /// The parts may hold anything; each is one step of the path.
    fn url(&self, path: &[&str]) -> anyhow::Result<Url> {
        let mut url = self.base.clone();
        match url.path_segments_mut() {
            Ok(mut steps) => drop(steps.pop_if_empty().extend(path)),
            Err(()) => bail!("--url {} can't have a path", self.base),
        }
        Ok(url)
    }

    async fn ask(&self, method: Method, url: Url, body: Option<String>) -> anyhow::Result<Value> {
        let mut request = self.http.request(method, url);
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        let answer = request.send().await.with_context(|| format!("can't reach a running weir at {}", self.base))?;
        let status = answer.status();
        let text = answer.text().await.context("the answer broke off")?;
        if status.is_success() {
            return if text.is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_str(&text)?) };
        }
        bail!("{}", refusal(status.as_u16(), &text));
    }
}

/// A problem's sentence, with every part that is wrong.
fn refusal(status: u16, text: &str) -> String {
    let problem: Value = serde_json::from_str(text).unwrap_or_default();
    let Some(detail) = problem["detail"].as_str() else { return format!("refused with status {status}") };
    let parts = problem["errors"].as_array().into_iter().flatten();
    let parts = parts.filter_map(|e| Some(format!("\n  {}: {}", e["pointer"].as_str()?, e["message"].as_str()?)));
    format!("{detail} ({}){}", problem["code"].as_str().unwrap_or("refused"), parts.collect::<String>())
}

/// A file's text; of `-` standard input's.
pub(super) fn read(file: &str) -> anyhow::Result<String> {
    if file != "-" {
        return std::fs::read_to_string(file).with_context(|| format!("can't read {file}"));
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).context("can't read standard input")?;
    Ok(text)
}
