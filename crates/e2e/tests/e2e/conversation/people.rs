//! Profiles by every name that they have.

use serde_json::json;

use super::script::{By, Script, profile};

pub(super) fn people(script: &mut Script) {
    for n in 0..12 {
        script.later(1);
        let mail = format!("P{n}@Example.com ");
        let body = json!({"email": mail, "name": format!("P {n}"), "traits": {"country": (["GB", "IE", "DE"][n % 3]), "n": n}});
        script.post("/api/profiles", body);
        script.later(1);
        script
            .post("/api/profiles", json!({"email": mail.trim().to_lowercase(), "traits": {"again": true, "né": null}}));
        script.get(format!("/api/profiles?email=p{n}@example.com"));
    }
    for n in 0..6 {
        script.later(1);
        script.post("/api/profiles", json!({"user_id": n.to_string(), "name": "User"}));
        script.later(1);
        script.ask(
            By::Write,
            "PATCH",
            format!("/api/profiles/user:{n}"),
            Some(json!({"name": format!("U{n}")}).to_string()),
        );
        script.later(1);
        script.ask(
            By::Write,
            "PATCH",
            format!("/api/profiles/{}", profile(n)),
            Some(json!({"traits": {"country": "GB"}}).to_string()),
        );
        script.get(format!("/api/profiles/user:{n}"));
        script.get(format!("/api/profiles/{}", profile(n)));
    }
    script.ask(By::Write, "PATCH", "/api/profiles/user:1", Some("{}".to_owned()));
    for body in
        [json!({}), json!({"email": "a@b.c", "user_id": "1"}), json!({"email": 7}), json!({"user_id": ""}), json!([])]
    {
        script.post("/api/profiles", body);
    }
}
