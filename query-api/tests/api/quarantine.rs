//! Records set aside.

use serde_json::json;
use weir_event::Stream;
use weir_store::{Fence, MembershipBatch, Quarantined};

use crate::world::*;

const REASON: &str = "of no workspace that is known";

/// Two records that are no events, and one whose workspace is nobody's.
async fn world() -> World {
    let mut world = World::new().await;
    world.append(b"{\"no\":\"event\"".to_vec());
    world.event(&user("13"), "x", TEN - 1, "");
    world.append(vec![0xff, 0xfe, b'x']);
    world.fold().await;
    let record = world.record("stranger", id(&user("13")), None, "x", (TEN, TEN), "");
    let (stream, partition, offset, reason) = (Stream::Events, 3, 9, REASON.to_owned());
    let quarantine = vec![Quarantined { stream, partition, offset, reason, record }];
    let batch = MembershipBatch { quarantine, ..MembershipBatch::default() };
    let owner = uuid::Uuid::nil();
    let fence = Fence { partition, owner, expected: 0, next: 10, newest_receipt: None };
    world.tables.generation.commit_membership(fence, &batch).await.unwrap();
    world
}

#[tokio::test]
async fn records_set_aside_are_listed_whole_and_page_by_page() {
    let world = world().await;
    let api = world.api().await;
    let answer = api.get_as("operator", "/api/quarantine").await;
    let listed = answer.ok();
    assert_eq!((answer.generation(), &listed["next_cursor"]), (Some(1), &json!(null)));
    let records = listed["records"].as_array().unwrap();
    let places: Vec<_> = records.iter().map(|r| (r["partition"].clone(), r["offset"].clone())).collect();
    assert_eq!(places, [(json!(0), json!(0)), (json!(0), json!(2)), (json!(3), json!(9))]);
    assert_eq!((&records[0]["stream"], &records[0]["record"]), (&json!("events.v1"), &json!("{\"no\":\"event\"")));
    assert!(records[0]["reason"].is_string() && records[0].get("workspace").is_none(), "{listed}");
    assert_eq!((&records[1]["record_base64"], records[1].get("record")), (&json!("//54"), None));
    assert_eq!((&records[2]["workspace"], &records[2]["reason"]), (&json!("stranger"), &json!(REASON)));
    let (mut paged, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = api.get_as("operator", &format!("/api/quarantine?limit=1{cursor}")).await.ok();
        paged.extend(page["records"].as_array().unwrap().iter().cloned());
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(&paged, records);
    api.get_as("operator", "/api/quarantine?cursor=x").await.refused(400, "cursor_invalid");
    for record in records {
        let place = format!("/api/quarantine/events.v1/{}/{}", record["partition"], record["offset"]);
        assert_eq!(api.get_as("operator", &place).await.ok(), *record);
    }
    for place in ["events.v1/0/1", "control.v1/0/0", "events/0/0", "events.v1/x/0", "events.v1/0/18446744073709551615"]
    {
        let answer = api.get_as("operator", &format!("/api/quarantine/{place}")).await;
        answer.refused(404, "record_not_found");
    }
}

#[tokio::test]
async fn a_page_of_large_records_ends_early() {
    let mut world = World::new().await;
    for _ in 0..45 {
        world.append(vec![b'x'; 200_000]);
    }
    world.fold().await;
    let api = world.api().await;
    let first = api.get_as("operator", "/api/quarantine").await.ok();
    assert_eq!(first["records"].as_array().unwrap().len(), 21);
    let next = format!("/api/quarantine?cursor={}", first["next_cursor"].as_str().unwrap());
    assert_eq!(api.get_as("operator", &next).await.ok()["records"][0]["offset"], 21);
}

#[tokio::test]
async fn only_the_operator_sees_them() {
    let world = world().await;
    let api = world.api().await;
    for path in ["/api/quarantine", "/api/quarantine/events.v1/0/0"] {
        for key in ["write", "read", "admin"] {
            api.get_as(key, path).await.refused(403, "role_insufficient");
        }
        api.get_as("nonsense", path).await.refused(401, "key_unknown");
    }
}
