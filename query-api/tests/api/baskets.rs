//! Baskets, and what was taken out of them.

use serde_json::{Value, json};

use crate::world::*;

const LIST: &str = "/api/baskets/removed-items";
const SUMMARY: &str = "/api/baskets/removed-items/summary";
const DAYS: &str = "from=2026-11-18&to=2026-11-20";

/// Two customers and four removals: one of Ada's was checked out; Bob cleared a basket of two products.
async fn shop() -> World {
    let mut world = World::new().await;
    let (ada, bob) = (email("ada@example.com"), user("13"));
    let boots = r#"{"product_id":"sku-2","name":"=Boots","price":79,"currency":"EUR"}"#;
    for (who, hours, name, data) in [
        (&ada, 60, "profile.registered", r#"{"name":"Ada"}"#),
        (
            &ada,
            50,
            "cart.added",
            r#"{"product_id":"sku-1","name":"Flats","quantity":2,"price":59.90,"currency":"EUR"}"#,
        ),
        (&ada, 49, "cart.updated", r#"{"product_id":"sku-1","quantity":1}"#),
        (&ada, 48, "order.completed", r#"{"order_id":1001,"products":[{"product_id":"sku-1"}]}"#),
        (&ada, 26, "cart.added", boots),
        (&ada, 25, "cart.removed", r#"{"product_id":"sku-2","quantity":null}"#),
        (&bob, 24, "cart.added", r#"{"product_id":"sku-2","price":60,"currency":"GBP"}"#),
        (&bob, 24, "cart.added", r#"{"product_id":"sku-1","quantity":3}"#),
        (&bob, 23, "cart.cleared", ""),
        (&ada, 1, "cart.added", r#"{"product_id":7,"quantity":1.5,"price":10}"#),
    ] {
        world.event(who, name, TEN - hours * HOUR, data);
    }
    world.fold().await;
    world
}

/// The product of each row.
fn products(rows: &Value) -> Vec<&str> {
    rows.as_array().unwrap().iter().map(|row| row["product_id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_basket_is_what_lies_in_it() {
    let mut world = shop().await;
    world.event(&user("14"), "product.viewed", TEN - 1, r#"{"product_id":"sku-1"}"#);
    world.fold().await;
    let api = world.api().await;
    let expected = json!({
        "items": [{
            "product_id": "7", "name": null, "quantity": 1.5, "price": 10, "currency": null,
            "added_at": "2026-11-20T09:00:00.000000Z",
        }],
        "value": [{"currency": null, "amount": 15}],
        "updated_at": "2026-11-20T09:00:00.000000Z",
    });
    assert_eq!(api.get("/api/profiles/email:ada@example.com/basket").await.ok(), expected);
    let emptied = api.get("/api/profiles/user:13/basket").await.ok();
    assert_eq!(emptied, json!({"items": [], "value": [], "updated_at": "2026-11-19T11:00:00.000000Z"}));
    let never = api.get("/api/profiles/user:14/basket").await.ok();
    assert_eq!(never, json!({"items": [], "value": [], "updated_at": null}));
    api.get("/api/profiles/user:15/basket").await.refused(404, "profile_not_found");
    api.get("/api/profiles/13/basket").await.refused(422, "profile_id_invalid");
    api.get("/api/profiles/user:13/basket?as_of=2026-11-20T10:00:00Z").await.refused(400, "unknown_parameter");
}

#[tokio::test]
async fn amounts_of_two_currencies_are_two_sums() {
    let mut world = World::new().await;
    for (product, price, currency) in [("a", "2.5", "EUR"), ("b", "4", "GBP"), ("c", "1", "EUR")] {
        let data = format!(r#"{{"product_id":"{product}","quantity":2,"price":{price},"currency":"{currency}"}}"#);
        world.event(&user("13"), "cart.added", TEN - 1, &data);
    }
    world.fold().await;
    let basket = world.api().await.get("/api/profiles/user:13/basket").await.ok();
    assert_eq!(basket["value"], json!([{"currency": "EUR", "amount": 7}, {"currency": "GBP", "amount": 8}]));
}

#[tokio::test]
async fn a_removal_says_who_what_and_what_became_of_it() {
    let world = shop().await;
    let listed = world.api().await.get(LIST).await.ok();
    assert_eq!(products(&listed["items"]), ["sku-2", "sku-1", "sku-2", "sku-1"], "the latest first");
    assert_eq!(listed["next_cursor"], json!(null));
    let (ada, bob) = (id(&email("ada@example.com")), id(&user("13")));
    let checked_out = json!({
        "profile_id": ada, "email": "ada@example.com", "profile_name": "Ada", "product_id": "sku-1", "name": "Flats",
        "quantity": 1, "price": 59.9, "currency": "EUR", "value": 59.9, "added_at": "2026-11-18T08:00:00.000000Z",
        "removed_at": "2026-11-18T09:00:00.000000Z", "event_id": "e2", "is_draft": false, "order_id": "1001",
        "checked_out_at": "2026-11-18T10:00:00.000000Z",
    });
    assert_eq!(listed["items"][3], checked_out);
    let draft = json!({
        "profile_id": bob, "email": null, "profile_name": null, "product_id": "sku-1", "name": null, "quantity": 3,
        "price": null, "currency": null, "value": null, "added_at": "2026-11-19T10:00:00.000000Z",
        "removed_at": "2026-11-19T11:00:00.000000Z", "event_id": "e8", "is_draft": true, "order_id": null,
        "checked_out_at": null,
    });
    assert_eq!(listed["items"][1], draft);
    for row in [2, 3] {
        assert_eq!(listed["items"][row]["email"], "ada@example.com", "in every row");
    }
}

#[tokio::test]
async fn removals_are_listed_by_what_is_asked_for() {
    let world = shop().await;
    let api = world.api().await;
    let bob = id(&user("13"));
    for (query, expected) in [
        ("status=all", &["sku-2", "sku-1", "sku-2", "sku-1"][..]),
        ("status=draft", &["sku-2", "sku-1", "sku-2"]),
        ("status=checked_out", &["sku-1"]),
        ("product_id=sku-1", &["sku-1", "sku-1"]),
        ("product_id=sku-9", &[]),
        ("profile_id=email:ada@example.com", &["sku-2", "sku-1"]),
        (&format!("profile_id={bob}&status=draft&product_id=sku-2"), &["sku-2"]),
        ("profile_id=user:13&status=checked_out", &[]),
        ("profile_id=user:unknown", &[]),
        ("from=2026-11-19", &["sku-2", "sku-1", "sku-2"]),
        ("to=2026-11-19", &["sku-1"]),
        ("from=2026-11-19T09:00:00Z&to=2026-11-19T11:00:00Z", &["sku-2"]),
        ("from=2026-11-19T12:00:00.000001+01:00", &[]),
        ("profile_id=user:13&from=2026-11-19T11:00:00Z&to=2026-11-19T11:00:00.000001Z", &["sku-2", "sku-1"]),
        ("from=2026-11-20&to=2026-11-18", &[]),
    ] {
        assert_eq!(products(&api.get(&format!("{LIST}?{query}")).await.ok()["items"]), expected, "{query}");
    }
}

#[tokio::test]
async fn pages_together_are_the_list_and_cursors_belong_to_it() {
    let world = shop().await;
    let api = world.api().await;
    for (query, limits) in [("status=all", 1..5), ("profile_id=user:13", 1..3), ("product_id=sku-2", 1..3)] {
        let whole = api.get(&format!("{LIST}?{query}")).await.ok();
        for limit in limits {
            let paged = api.pages(&format!("{LIST}?{query}&limit={limit}"), "items").await;
            assert_eq!(&json!(paged), &whole["items"], "{query} limit {limit}");
        }
    }
    for sort in ["times", "profiles", "value"] {
        let whole = api.get(&format!("{SUMMARY}?sort={sort}")).await.ok();
        assert_eq!(json!(api.pages(&format!("{SUMMARY}?sort={sort}&limit=1"), "products").await), whole["products"]);
    }
    let next = async |path: &str| api.get(path).await.ok()["next_cursor"].as_str().unwrap().to_owned();
    let (of_list, of_summary) = (next(&format!("{LIST}?limit=1")).await, next(&format!("{SUMMARY}?limit=1")).await);
    for (path, cursor) in [
        (format!("{LIST}?status=draft"), &of_list),
        (format!("{LIST}?from=2026-11-01"), &of_list),
        (format!("{LIST}?profile_id=user:13"), &of_list),
        (format!("{LIST}?limit=1"), &of_summary),
        (format!("{SUMMARY}?limit=1"), &of_list),
        (format!("{SUMMARY}?sort=value"), &of_summary),
        ("/api/segments/abandoned-cart?limit=1".to_owned(), &of_list),
        (format!("{LIST}?limit=1"), &of_list[..20].to_owned()),
    ] {
        api.get(&format!("{path}&cursor={cursor}")).await.refused(400, "cursor_invalid");
    }
    api.get_as("other-read", &format!("{LIST}?cursor={of_list}")).await.refused(400, "cursor_invalid");
}

#[tokio::test]
async fn what_is_asked_wrongly_is_refused() {
    let world = shop().await;
    let api = world.api().await;
    for (query, status, code) in [
        (format!("{LIST}?from=yesterday"), 400, "instant_invalid"),
        (format!("{LIST}?to=2026-11-31"), 400, "instant_invalid"),
        (format!("{LIST}?to=2026-11-1"), 400, "instant_invalid"),
        (format!("{SUMMARY}?from="), 400, "instant_invalid"),
        (format!("{LIST}?status=open"), 400, "parameter_invalid"),
        (format!("{LIST}?status="), 400, "parameter_invalid"),
        (format!("{SUMMARY}?status=DRAFT"), 400, "parameter_invalid"),
        (format!("{SUMMARY}?sort=price"), 400, "parameter_invalid"),
        ("/api/segments/abandoned-cart?include=profile".to_owned(), 400, "parameter_invalid"),
        (format!("{LIST}?sort=times"), 400, "unknown_parameter"),
        (format!("{SUMMARY}?product_id=sku-1"), 400, "unknown_parameter"),
        (format!("{LIST}?as_of=2026-11-20"), 400, "unknown_parameter"),
        (format!("{LIST}?status=draft&status=all"), 400, "duplicate_parameter"),
        (format!("{LIST}?limit=1001"), 400, "limit_invalid"),
        (format!("{LIST}?profile_id=ada@example.com"), 422, "profile_id_invalid"),
    ] {
        api.get(&query).await.refused(status, code);
        let as_file = [("authorization", "Bearer read"), ("accept", "text/csv")];
        api.ask(&query, &as_file).await.refused(status, code);
    }
}

#[tokio::test]
async fn another_workspace_sees_nothing_of_it() {
    let mut world = shop().await;
    for (n, name) in [(1, "cart.added"), (0, "cart.removed")] {
        let theirs = user("13").profile_id(uuid::Uuid::from_u128(0x3333));
        let data = r#"{"product_id":"theirs"}"#;
        let record = world.record("other", theirs, Some(user("13")), name, (TEN - n, TEN - n), data);
        world.append(record);
    }
    world.fold().await;
    let api = world.api().await;
    for (path, rows) in [(LIST, "items"), (SUMMARY, "products")] {
        let theirs = api.get_as("other-read", path).await.ok();
        assert_eq!(products(&theirs[rows]), ["theirs"]);
        assert!(!products(&api.get(path).await.ok()[rows]).contains(&"theirs"));
        assert_eq!(api.get_as("other-read", &format!("{path}?to=2026-11-20")).await.ok()[rows], json!([]));
        api.get_as("write", path).await.refused(403, "role_insufficient");
    }
    let ada = format!("{LIST}?profile_id={}", id(&email("ada@example.com")));
    assert_eq!(api.get_as("other-read", &ada).await.ok()["items"], json!([]));
    api.get_as("other-read", "/api/profiles/email:ada@example.com/basket").await.refused(404, "profile_not_found");
}

#[tokio::test]
async fn a_list_comes_whole_as_csv() {
    let world = shop().await;
    let api = world.api().await;
    let csv = [("authorization", "Bearer read"), ("accept", "text/csv")];
    let file = api.ask(&format!("{LIST}?{DAYS}&product_id=sku-2&limit=1"), &csv).await;
    assert_eq!(file.status, 200);
    assert_eq!(file.headers["content-type"], "text/csv; charset=utf-8");
    assert_eq!(file.headers["content-disposition"], "attachment; filename=\"removed-items.csv\"");
    let (ada, bob) = (id(&email("ada@example.com")), id(&user("13")));
    let expected = [
        "profile_id,email,profile_name,product_id,name,quantity,price,currency,value,added_at,removed_at,event_id,is_draft,order_id,checked_out_at".to_owned(),
        format!("{bob},,,sku-2,,1,60,GBP,60,2026-11-19T10:00:00.000000Z,2026-11-19T11:00:00.000000Z,e8,true,,"),
        format!("{ada},ada@example.com,Ada,sku-2,'=Boots,1,79,EUR,79,2026-11-19T08:00:00.000000Z,2026-11-19T09:00:00.000000Z,e5,true,,"),
        String::new(),
    ];
    assert_eq!(file.text.split("\r\n").collect::<Vec<_>>(), expected, "a name that is a formula is text");
    let cursor = api.get(&format!("{LIST}?limit=3")).await.ok()["next_cursor"].as_str().unwrap().to_owned();
    let rest = api.ask(&format!("{LIST}?cursor={cursor}"), &csv).await.text;
    assert_eq!(rest.lines().count(), 2, "the header, and what comes after the cursor: {rest}");
    let none = api.ask(&format!("{LIST}?product_id=sku-9"), &csv).await.text;
    assert_eq!(none.lines().collect::<Vec<_>>(), [expected[0].as_str()], "a header without rows");
}

#[tokio::test]
async fn a_list_comes_whole_as_an_object_a_line() {
    let world = shop().await;
    let api = world.api().await;
    for (path, rows, name) in [(LIST, "items", "removed-items"), (SUMMARY, "products", "removed-products")] {
        let headers = [("authorization", "Bearer read"), ("accept", "application/x-ndjson")];
        let file = api.ask(&format!("{path}?limit=1"), &headers).await;
        assert_eq!(file.headers["content-type"], "application/x-ndjson");
        let disposition = file.headers["content-disposition"].to_str().unwrap();
        assert_eq!(disposition, format!("attachment; filename=\"{name}.ndjson\""));
        let lines: Vec<Value> = file.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(json!(lines), api.get(path).await.ok()[rows]);
        assert_eq!(api.ask(&format!("{path}?to=2020-01-01"), &headers).await.text, "");
    }
}

#[tokio::test]
async fn a_file_of_many_pages_has_every_row_once() {
    let mut world = World::new().await;
    for n in 0..1_203_i64 {
        let (who, at) = (user(&(n % 50).to_string()), TEN - HOUR + n);
        world.event(&who, "cart.added", at, &format!(r#"{{"product_id":"{n}"}}"#));
        world.event(&who, "cart.removed", at, &format!(r#"{{"product_id":"{n}"}}"#));
    }
    world.tables.take_timeline(&world.events).await;
    let file = world.api().await.ask(LIST, &[("authorization", "Bearer read"), ("accept", "text/csv")]).await.text;
    let listed: Vec<String> = file.lines().skip(1).map(|row| row.split(',').nth(3).unwrap().to_owned()).collect();
    assert_eq!(listed, (0..1_203).rev().map(|n: i32| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_summary_has_a_row_for_each_product() {
    let world = shop().await;
    let api = world.api().await;
    let boots = json!({
        "product_id": "sku-2", "name": null, "times": 2, "profiles": 2, "quantity": 2,
        "value": [{"currency": "EUR", "amount": 79}, {"currency": "GBP", "amount": 60}], "draft": 2, "checked_out": 0,
        "last_removed_at": "2026-11-19T11:00:00.000000Z",
    });
    let flats = json!({
        "product_id": "sku-1", "name": null, "times": 2, "profiles": 2, "quantity": 4,
        "value": [{"currency": "EUR", "amount": 59.9}], "draft": 1, "checked_out": 1,
        "last_removed_at": "2026-11-19T11:00:00.000000Z",
    });
    let bought = json!({
        "product_id": "sku-1", "name": "Flats", "times": 1, "profiles": 1, "quantity": 1,
        "value": [{"currency": "EUR", "amount": 59.9}], "draft": 0, "checked_out": 1,
        "last_removed_at": "2026-11-18T09:00:00.000000Z",
    });
    let drafts = json!({
        "product_id": "sku-1", "name": null, "times": 1, "profiles": 1, "quantity": 3, "value": [], "draft": 1,
        "checked_out": 0, "last_removed_at": "2026-11-19T11:00:00.000000Z",
    });
    for (query, expected) in [
        ("", json!([flats, boots])),
        ("sort=times", json!([flats, boots])),
        ("sort=profiles", json!([flats, boots])),
        ("sort=value", json!([boots, flats])),
        ("status=checked_out", json!([bought])),
        ("status=draft", json!([boots, drafts])),
        ("to=2026-11-19", json!([bought])),
        ("from=2026-11-20", json!([])),
        ("from=2026-11-20&to=2026-11-18", json!([])),
    ] {
        let listed = api.get(&format!("{SUMMARY}?{query}")).await.ok();
        assert_eq!(listed, json!({"products": expected, "next_cursor": null}), "{query}");
    }
}

#[tokio::test]
async fn bounds_that_are_no_days_answer_the_same() {
    let mut world = shop().await;
    for n in 0..40_i64 {
        let (who, at) = (user(&(n % 3).to_string()), TEN - (100 - 2 * n) * HOUR);
        let product = n % 5;
        let data = format!(
            r#"{{"product_id":"{product}","price":{n},"currency":"{}"}}"#,
            ["EUR", "GBP"][usize::from(n % 7 == 0)]
        );
        world.event(&who, "cart.added", at, &data);
        world.event(&who, "cart.removed", at + 1, &data);
        if n % 11 == 0 {
            world.event(&who, "order.completed", at + 2, "");
        }
    }
    world.fold().await;
    let api = world.api().await;
    for status in ["all", "draft", "checked_out"] {
        for sort in ["times", "profiles", "value"] {
            let asked = async |from: &str, to: &str| {
                api.get(&format!("{SUMMARY}?status={status}&sort={sort}&from={from}&to={to}")).await.ok()
            };
            let by_days = asked("2026-11-17", "2026-11-19").await;
            assert!(!by_days["products"].as_array().unwrap().is_empty());
            // Nothing was removed within the microsecond before either day.
            let one_by_one = asked("2026-11-16T23:59:59.999999Z", "2026-11-18T23:59:59.999999Z").await;
            assert_eq!(one_by_one, by_days, "{status} {sort}");
        }
    }
}

#[tokio::test]
async fn a_summary_as_csv_has_a_column_for_each_currency() {
    let mut world = shop().await;
    world.event(&user("13"), "cart.added", TEN - 2, r#"{"product_id":"+1","name":"@x","price":0.5}"#);
    world.event(&user("13"), "cart.removed", TEN - 1, r#"{"product_id":"+1"}"#);
    world.fold().await;
    let api = world.api().await;
    let csv = [("authorization", "Bearer read"), ("accept", "text/csv")];
    let file = api.ask(&format!("{SUMMARY}?sort=value&limit=1"), &csv).await;
    assert_eq!(file.headers["content-disposition"], "attachment; filename=\"removed-products.csv\"");
    let expected = [
        "product_id,name,times,profiles,quantity,draft,checked_out,last_removed_at,value,value_EUR,value_GBP",
        "sku-2,,2,2,2,2,0,2026-11-19T11:00:00.000000Z,,79,60",
        "sku-1,,2,2,4,1,1,2026-11-19T11:00:00.000000Z,,59.9,",
        "'+1,'@x,1,1,1,1,0,2026-11-20T09:59:59.999999Z,0.5,,",
        "",
    ];
    assert_eq!(file.text.split("\r\n").collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn members_come_with_their_baskets_when_asked() {
    let world = shop().await;
    let api = world.api().await;
    let plain = api.get("/api/segments/abandoned-cart").await.ok();
    let with = api.get("/api/segments/abandoned-cart?include=basket").await.ok();
    assert_eq!(with["profiles"].as_array().unwrap().len(), 2);
    for (plain, with) in plain["profiles"].as_array().unwrap().iter().zip(with["profiles"].as_array().unwrap()) {
        assert!(plain.get("basket").is_none());
        let own = api.get(&format!("/api/profiles/{}/basket", with["id"].as_str().unwrap())).await.ok();
        assert_eq!((&with["id"], &with["basket"]), (&plain["id"], &own));
    }
    let removed = api.get("/api/segments/removed-before-checkout?include=basket").await.ok();
    assert_eq!(removed["profiles"].as_array().unwrap().len(), 1, "who cleared a basket sent no cart.removed");
    assert_eq!(removed["profiles"][0]["basket"]["value"], json!([{"currency": null, "amount": 15}]));
}

#[tokio::test]
async fn a_basket_set_aside_is_refused_and_counted() {
    let mut world = shop().await;
    let name = "x".repeat(30_000);
    for n in 0..40_i64 {
        let data = format!(r#"{{"product_id":"{n}","name":"{name}"}}"#);
        world.event(&user("13"), "cart.added", TEN - 100 + n, &data);
    }
    world.event(&user("13"), "cart.removed", TEN - 1, r#"{"product_id":"1"}"#);
    for wrong in [r#"{"product_id":"1","price":"5"}"#, r#"{"quantity":1}"#, r#"{"product_id":"1","quantity":-1}"#] {
        world.event(&user("14"), "cart.added", TEN - 1, wrong);
    }
    world.fold().await;
    let api = world.api().await;
    api.get("/api/profiles/user:13/basket").await.refused(409, "basket_set_aside");
    assert_eq!(api.get(&format!("{LIST}?profile_id=user:13")).await.ok()["items"], json!([]));
    let listed = api.get(LIST).await.ok();
    assert_eq!(products(&listed["items"]), ["sku-2", "sku-1"], "Ada's alone");
    let summary = api.get(&format!("{SUMMARY}?{DAYS}")).await.ok();
    assert_eq!(summary["products"].as_array().unwrap().iter().map(|row| &row["times"]).collect::<Vec<_>>(), [1, 1]);
    let members = api.get("/api/segments/abandoned-cart?include=basket").await.ok();
    let of = |who: &str| {
        members["profiles"].as_array().unwrap().iter().find(|row| row["id"] == json!(id(&user(who)))).unwrap()
    };
    assert_eq!(of("13")["basket"], json!(null));
    assert_eq!(of("14")["basket"], json!({"items": [], "value": [], "updated_at": null}));
    for (key, counted) in [("read", [3, 1]), ("operator", [3, 1]), ("other-read", [0, 0])] {
        let status = api.get_as(key, "/api/status").await.ok();
        let shown = ["not_basket_events", "baskets_set_aside"].map(|name| status[name].as_i64().unwrap());
        assert_eq!(shown, counted, "{key}");
    }
}

#[tokio::test]
async fn a_late_event_changes_what_came_after_it() {
    let mut world = shop().await;
    // Known only now: Bob ordered sku-2 before he cleared the rest.
    let order = r#"{"order_id":"late","products":[{"product_id":"sku-2"}]}"#;
    world.received(&user("13"), "order.completed", TEN - 23 * HOUR - 1, TEN, order);
    world.fold().await;
    let api = world.api().await;
    assert_eq!(products(&api.get(&format!("{LIST}?status=draft")).await.ok()["items"]), ["sku-1", "sku-2"]);
    let summary = api.get(&format!("{SUMMARY}?status=draft&{DAYS}")).await.ok();
    assert_eq!(summary["products"][1]["value"], json!([{"currency": "EUR", "amount": 79}]));
    world.received(&user("13"), "order.completed", TEN - 22 * HOUR, TEN + 1, r#"{"order_id":"later"}"#);
    world.fold().await;
    let checked_out = api.get(&format!("{LIST}?status=checked_out&profile_id=user:13")).await.ok();
    assert_eq!(products(&checked_out["items"]), ["sku-1"]);
    assert_eq!(checked_out["items"][0]["order_id"], "later");
}

#[tokio::test]
async fn baskets_wait_for_the_timeline() {
    let mut world = shop().await;
    let api = world.api().await;
    let token = world.event(&user("13"), "cart.added", TEN - 1, r#"{"product_id":"sku-5"}"#);
    world.tables.take_membership(&world.events).await;
    for path in ["/api/profiles/user:13/basket", LIST, SUMMARY, "/api/segments/abandoned-cart?include=basket"] {
        api.get_after(&token, "wait=0", path).await.refused(503, "position_not_reached");
    }
    assert_eq!(api.get_after(&token, "wait=0", "/api/segments/abandoned-cart").await.status, 200);
    world.tables.take_timeline(&world.events).await;
    let basket = api.get_after(&token, "wait=0", "/api/profiles/user:13/basket").await.ok();
    assert_eq!(products(&basket["items"]), ["sku-5"]);
}
