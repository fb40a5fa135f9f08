//! Keys and workspaces, and what they open.

use serde_json::json;

use super::script::{By, Script, profile};

pub(super) fn keys(script: &mut Script) {
    script
        .ask(By::Admin, "POST", "/api/keys", Some(json!({"role": "read", "name": "mine"}).to_string()))
        .keep("made", "/key")
        .keep("id", "/id");
    script.ask(By::Admin, "GET", "/api/keys", None);
    script.ask(By::Made("made"), "GET", "/api/segments/gb", None);
    script.ask(By::Made("made"), "POST", "/api/events", Some("[]".to_owned()));
    for role in ["operator", "king", ""] {
        script.ask(By::Admin, "POST", "/api/keys", Some(json!({ "role": role }).to_string()));
    }
    script
        .ask(By::Operator, "POST", "/api/workspaces", Some(json!({"slug": "second"}).to_string()))
        .keep("other", "/admin");
    script.ask(By::Operator, "POST", "/api/workspaces", Some(json!({"slug": "second"}).to_string()));
    for path in ["/api/segments", "/api/segments/gb", "/api/status", "/api/keys"] {
        script.ask(By::Made("other"), "GET", path, None);
    }
    script.ask(By::Made("other"), "GET", format!("/api/profiles/{}", profile(1)), None);
    script.ask(By::Admin, "DELETE", "/api/keys/{id}", None);
    script.ask(By::Admin, "DELETE", "/api/keys/{id}", None);
    script.ask(By::Admin, "GET", "/api/keys", None);
}
