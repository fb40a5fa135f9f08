//! Segments and scores, made and changed.

use super::script::{By, Script};

pub(super) const SEGMENTS: [(&str, &str); 6] = [
    ("viewed", r#"{"name":"Viewed","when":{"event":"product.viewed","at_least":3,"within":"7d"}}"#),
    ("quiet", r#"{"when":{"not":{"event":"order.completed","within":"30d"}}}"#),
    ("hour", r#"{"when":{"event":"cart.added","not_followed_by":{"event":"order.completed"},"for":"1h"}}"#),
    ("gb", r#"{"when":{"all":[{"trait":"country","in":["GB","IE"]},{"score":"points","at_least":1}]}}"#),
    ("both", r#"{"when":{"any":[{"in_segment":"viewed"},{"in_segment":"gb"}]}}"#),
    ("dear", r#"{"when":{"event":"cart.added","where":{"price":{"gte":50}},"first":true}}"#),
];
const REFUSED: [&str; 8] = [
    r#"{"when":{"event":"x","within":"7 days"}}"#,
    r#"{"when":{"evnt":"x"}}"#,
    r#"{"when":{"in_segment":"nowhere"}}"#,
    r#"{"when":{"all":[]}}"#,
    r#"{"when":{"event":"x","at_least":-1}}"#,
    r#"{"when":null}"#,
    r#"{"name":"no when"}"#,
    r#"{"when":"#,
];

pub(super) fn definitions(script: &mut Script) {
    // Before the last segment, which is waited for.
    script.put(
        "/api/scores/clicks",
        r#"{"rules":[{"event":"product.viewed","points":0.1},{"event":"*","points":0.001}]}"#,
    );
    for (slug, body) in SEGMENTS {
        script.put(format!("/api/segments/{slug}"), body);
        script.put(format!("/api/segments/{slug}"), body);
    }
    for body in REFUSED {
        script.put("/api/segments/refused", body);
    }
    script.put("/api/segments/Not_A_Slug", SEGMENTS[0].1);
    script.put("/api/segments/gb", r#"{"when":{"in_segment":"both"}}"#);
    script.put("/api/scores/clicks", r#"{"rules":[{"event":"x"}]}"#);
    script.ask(By::Write, "PUT", "/api/segments/viewed", Some(SEGMENTS[0].1.to_owned()));
    script.ask(By::Operator, "PUT", "/api/segments/viewed", Some(SEGMENTS[0].1.to_owned()));
    script.filled();
    for path in
        ["/api/segments", "/api/segments/both/definition", "/api/segments/refused", "/api/scores", "/api/scores/clicks"]
    {
        script.get(path);
    }
}

pub(super) fn changes(script: &mut Script) {
    script.get("/api/segments/viewed?limit=1").keep("old", "/next_cursor");
    script.put("/api/segments/viewed", r#"{"when":{"event":"product.viewed","at_least":2,"within":"30d"}}"#);
    script.filled();
    script.get("/api/segments/viewed");
    script.get("/api/segments/both/count");
    script.get("/api/segments/viewed?limit=1&cursor={old}");
    for slug in ["viewed", "both", "viewed", "viewed"] {
        script.ask(By::Admin, "DELETE", format!("/api/segments/{slug}"), None);
    }
    script.put("/api/segments/viewed", SEGMENTS[0].1);
    script.ask(By::Admin, "DELETE", "/api/segments/nowhere", None);
    script.filled();
    script.get("/api/segments");
    script.get("/api/segments/both");
    script.put("/api/scores/clicks", r#"{"rules":[{"event":"LOGIN","points":-2.5}]}"#);
    script.ask(By::Admin, "DELETE", "/api/scores/points", None);
    script.put("/api/segments/after", r#"{"when":{"score":"clicks","at_most":-5}}"#);
    script.filled();
    script.ask(By::Admin, "DELETE", "/api/scores/clicks", None);
    script.get("/api/segments/after");
}
