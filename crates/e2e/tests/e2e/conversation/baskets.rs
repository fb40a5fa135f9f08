//! Baskets, and what is taken out of them.

use serde_json::json;

use super::script::{By, Script, profile};

/// What is put into baskets and taken out, and every way to ask for it.
pub(super) fn baskets(script: &mut Script) {
    const NAMES: [&str; 7] =
        ["cart.added", "cart.added", "cart.added", "cart.removed", "cart.updated", "order.completed", "cart.cleared"];
    for n in 0..60_usize {
        script.later(7 * 3_600);
        let properties = json!({"product_id": (["p1", "=p2", "p3"][n % 3]), "quantity": n % 4, "price": n as f64 * 0.1,
            "currency": (["EUR", "USD"][n % 2]), "name": format!("P {}", n % 5), "order_id": n,
            "products": (if n % 2 == 0 { json!([{"product_id": "p1"}]) } else { json!(null) })});
        let body = json!({"name": NAMES[(n + n / 7) % 7], "id": format!("b{n}"), "properties": properties});
        script.post(format!("/api/profiles/{}/events", profile(n % 4)), body);
    }
    script.post(format!("/api/profiles/{}/events", profile(1)), json!({"name": "cart.added", "id": "none"}));
    for n in [0, 1, 2, 3, 8, 99] {
        script.get(format!("/api/profiles/{}/basket", profile(n)));
    }
    let list = "/api/baskets/removed-items";
    for query in [
        "",
        "status=draft",
        "status=checked_out",
        "product_id=%3Dp2",
        "profile_id=00000000-0000-4000-8000-000000000002",
    ] {
        script.get(format!("{list}?{query}"));
        script.get(format!("{list}?{query}&limit=2")).keep("cursor", "/next_cursor");
        script.get(format!("{list}?{query}&limit=2&cursor={{cursor}}"));
        script.get(format!("{list}?{query}")).header("accept", "text/csv");
        script.get(format!("{list}?{query}")).header("accept", "application/x-ndjson");
    }
    for query in [
        "sort=times",
        "sort=profiles&status=draft",
        "sort=value",
        "from=2026-11-22&to=2026-11-30",
        "from=2026-11-22T03:00:00Z",
    ] {
        script.get(format!("{list}/summary?{query}"));
        script.get(format!("{list}/summary?{query}&limit=1")).keep("cursor", "/next_cursor");
        script.get(format!("{list}/summary?{query}&limit=1&cursor={{cursor}}"));
        script.get(format!("{list}/summary?{query}")).header("accept", "text/csv");
    }
    script.get("/api/segments/abandoned-cart?include=basket");
    for path in
        ["/api/segments/abandoned-cart?include=baskets", "/api/profiles/user:nobody/basket", "/api/profiles/x/basket"]
    {
        script.get(path);
    }
    for query in ["status=x", "from=yesterday", "profile_id=x", "limit=0", "cursor=x", "sort=times", "to=2026-11-20T"] {
        script.get(format!("{list}?{query}"));
        script.get(format!("{list}/summary?{query}"));
    }
    for by in [By::Write, By::Operator, By::Nobody] {
        script.ask(by, "GET", list, None);
        script.ask(by, "GET", format!("{list}/summary"), None);
        script.ask(by, "GET", format!("/api/profiles/{}/basket", profile(1)), None);
    }
}
