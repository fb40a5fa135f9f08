//! What is asked of everything that was told.

use super::definitions::SEGMENTS;
use super::script::{By, Script, profile};

/// Lists through all pages, counts, explanations.
pub(super) fn reads(script: &mut Script, at: &str) {
    let all = SEGMENTS.iter().map(|(slug, _)| *slug).chain([
        "abandoned-cart",
        "abandoned-cart-never-ordered",
        "removed-before-checkout",
        "nowhere",
    ]);
    for slug in all {
        script.get(format!("/api/segments/{slug}/count?{at}"));
        script.get(format!("/api/segments/{slug}?{at}"));
        script.get(format!("/api/segments/{slug}?limit=4&{at}")).keep("cursor", "/next_cursor");
        script.get(format!("/api/segments/{slug}?limit=4&cursor={{cursor}}&{at}")).keep("cursor", "/next_cursor");
        script.get(format!("/api/segments/{slug}?limit=4&cursor={{cursor}}&{at}"));
        for n in [0, 3, 7, 99] {
            script.get(format!("/api/segments/{slug}/members/{}?{at}", profile(n)));
        }
    }
    for n in 0..10 {
        script.get(format!("/api/profiles/{}/segments?{at}", profile(n)));
        script.get(format!("/api/profiles/{}", profile(n)));
        script.get(format!("/api/profiles/{}/events?limit=3", profile(n))).keep("cursor", "/next_cursor");
        script.get(format!("/api/profiles/{}/events?limit=3&cursor={{cursor}}", profile(n)));
    }
    for path in [
        "/api/profiles/user:keyed/events",
        "/api/profiles/user:nd",
        "/api/profiles?user_id=1",
        "/api/profiles?email=no@body",
    ] {
        script.get(path);
    }
    for path in ["/v1/users/events?user_id=70", "/v1/users/events/?user_id=71&limit=1", "/v1/users/events?user_id=none"]
    {
        script.get(path);
    }
    script.get("/api/scores/clicks/profiles?limit=5").keep("cursor", "/next_cursor");
    script.get("/api/scores/clicks/profiles?limit=1000&cursor={cursor}");
    for query in ["limit=0", "limit=1001", "limit=x", "cursor=x", "as_of=yesterday", "as_of=2026-11-20", "what=1"] {
        script.get(format!("/api/segments/viewed?{query}"));
    }
    for by in [By::Read, By::Operator] {
        script.ask(by, "GET", "/api/status", None);
    }
    script.ask(By::Nobody, "GET", "/version", None);
}
