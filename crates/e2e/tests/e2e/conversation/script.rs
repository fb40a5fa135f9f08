//! What a conversation is written in.

use serde_json::Value;

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(super) enum By {
    Write,
    Read,
    Admin,
    Operator,
    Nobody,
    /// A key that was never made.
    Stranger,
    /// One that was made in this conversation, by the name of its variable.
    Made(&'static str),
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Time goes on, by seconds.
    Later(i64),
    /// Until all segments are filled.
    Filled,
    Ask(Request),
}

/// A request. `{name}` in path and body stands for what an earlier answer had.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) by: By,
    pub(super) method: &'static str,
    pub(super) path: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Option<String>,
    /// What to keep of the answer: a name, and where in the body it is.
    pub(super) keep: Vec<(&'static str, &'static str)>,
}

/// The conversation, as it is written down.
///
/// Events without an id of the producer's get one that nobody can foresee, and of several at one instant the id says which
/// is the latest: so there is only one of them at a time.
#[derive(Default)]
pub(super) struct Script(pub(super) Vec<Step>);

impl Script {
    pub(super) fn ask(
        &mut self,
        by: By,
        method: &'static str,
        path: impl Into<String>,
        body: Option<String>,
    ) -> &mut Request {
        let headers = body.iter().map(|_| ("content-type", "application/json".to_owned())).collect();
        self.0.push(Step::Ask(Request { by, method, path: path.into(), headers, body, keep: Vec::new() }));
        match self.0.last_mut() {
            Some(Step::Ask(request)) => request,
            _ => unreachable!("a request was just pushed"),
        }
    }

    pub(super) fn get(&mut self, path: impl Into<String>) -> &mut Request {
        self.ask(By::Read, "GET", path, None)
    }

    pub(super) fn post(&mut self, path: impl Into<String>, body: Value) -> &mut Request {
        self.ask(By::Write, "POST", path, Some(body.to_string()))
    }

    pub(super) fn put(&mut self, path: impl Into<String>, body: &str) -> &mut Request {
        self.ask(By::Admin, "PUT", path, Some(body.to_owned()))
    }

    pub(super) fn later(&mut self, seconds: i64) {
        self.0.push(Step::Later(seconds));
    }

    pub(super) fn filled(&mut self) {
        self.0.push(Step::Filled);
    }
}

impl Request {
    pub(super) fn keep(&mut self, name: &'static str, pointer: &'static str) -> &mut Self {
        self.keep.push((name, pointer));
        self
    }

    pub(super) fn header(&mut self, name: &'static str, value: &str) -> &mut Self {
        self.headers.retain(|(other, _)| *other != name);
        self.headers.push((name, value.to_owned()));
        self
    }
}

/// A profile's id that is the same everywhere, unlike those made of a name: rows of one instant are in the order of ids.
pub(super) fn profile(n: usize) -> String {
    format!("00000000-0000-4000-8000-{n:012x}")
}
