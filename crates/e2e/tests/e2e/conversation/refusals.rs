//! What is refused, and to whom.

use serde_json::json;

use super::script::{By, Script, profile};

pub(super) fn bad_input(script: &mut Script) {
    for body in ["", "{", "[]", "null", "[{]", "{\"name\":\"x\",\"name\":\"y\"}", "\"\\ud800\"", "[1e999]"] {
        script.ask(By::Write, "POST", "/api/events", Some(body.to_owned()));
        script.ask(By::Write, "POST", format!("/api/profiles/{}/events", profile(1)), Some(body.to_owned()));
        script.ask(By::Write, "POST", "/api/profiles", Some(body.to_owned()));
        script.ask(By::Admin, "POST", "/api/keys", Some(body.to_owned()));
    }
    script.post("/api/events", json!([])).header("content-type", "text/csv");
    script.post("/api/events", json!([])).header("content-encoding", "br");
    script.post("/api/events", json!([])).header("content-encoding", "gzip");
    script.ask(By::Write, "POST", "/api/events", Some("x".repeat(5_000_001)));
    for path in ["/api/nowhere", "/", "/api/profiles/not-a-uuid", "/api/profiles/email:", "/api/profiles/fax:1"] {
        script.get(path);
    }
    for (method, path) in
        [("DELETE", "/api/events"), ("POST", "/api/segments"), ("PUT", "/api/profiles"), ("PATCH", "/api/status")]
    {
        script.ask(By::Admin, method, path, None);
    }
    for by in [By::Nobody, By::Stranger, By::Write, By::Operator] {
        for path in ["/api/segments", "/api/status", "/api/profiles/user:1", "/api/keys"] {
            script.ask(by, "GET", path, None);
        }
        script.ask(by, "POST", "/api/workspaces", Some(json!({"slug": "Bad Slug"}).to_string()));
    }
    script.ask(By::Read, "POST", "/api/events", Some("[]".to_owned()));
}
