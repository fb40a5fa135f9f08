//! Edges to the microsecond. The clock passes them while nothing is posted, so nothing is folded: what was written when
//! the event came is right on both sides.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use weir_e2e::oracle::instant;

use crate::caller::hold;
use crate::house::{House, Weir};

/// 2026-11-20T10:00:00Z
const START: i64 = 1_795_168_800 * instant::SECOND;
const SECOND: i64 = instant::SECOND;

/// Where a profile is found, by all ways of asking: the instant is given, or is the clock's.
async fn found(weir: &Weir, slug: &str, profile: &str, as_of: Option<i64>) -> Result<[bool; 4]> {
    let query = as_of.map(|at| format!("?as_of={}", instant::format(at))).unwrap_or_default();
    let read = &weir.shop.read;
    let has = |rows: &Value, field: &str, value: &str| {
        rows.as_array().is_some_and(|rows| rows.iter().any(|row| row[field] == value))
    };
    let list = read.read(&format!("/api/segments/{slug}{query}")).await?;
    let count = read.read(&format!("/api/segments/{slug}/count{query}")).await?;
    let segments = read.read(&format!("/api/profiles/{profile}/segments{query}")).await?;
    let explained = read.read(&format!("/api/segments/{slug}/members/{profile}{query}")).await?;
    Ok([
        has(&list["profiles"], "id", profile),
        count["count"] == json!(1),
        has(&segments["segments"], "slug", slug),
        explained["member"] == json!(true),
    ])
}

/// An edge of one segment, to be passed by the clock.
struct Edge {
    slug: &'static str,
    definition: String,
    at: i64,
    /// Whether the profile is a member from there on, or until there.
    enters: bool,
}

fn edges(event: i64) -> Vec<Edge> {
    let edge = |slug, definition: String, at, enters| Edge { slug, definition, at, enters };
    vec![
        edge("leaves-window", r#"{"when":{"event":"seen","within":"10s"}}"#.into(), event + 10 * SECOND, false),
        edge("not-in-window", r#"{"when":{"not":{"event":"seen","within":"11s"}}}"#.into(), event + 11 * SECOND, true),
        edge(
            "waited",
            r#"{"when":{"event":"seen","not_followed_by":{"event":"bought"},"for":"12s"}}"#.into(),
            event + 12 * SECOND,
            true,
        ),
        edge("in-next", r#"{"when":{"trait":"renews_at","in_next":"1m"}}"#.into(), event + 13 * SECOND, false),
        edge("in-last", r#"{"when":{"trait":"renews_at","in_last":"2s"}}"#.into(), event + 15 * SECOND, false),
        edge("begins-next", r#"{"when":{"trait":"trial_ends","in_next":"4s"}}"#.into(), event + 16 * SECOND, true),
        edge("at-most", r#"{"when":{"event":"seen","at_most":0,"within":"17s"}}"#.into(), event + 17 * SECOND, true),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_one_microsecond_before_and_not_at_the_edge() -> Result<()> {
    let house = House::new(&["--test-clock"])?;
    let weir = house.open().await?;
    // Not at a whole second, so that an edge that is rounded somewhere is found.
    let event = START + 123_457;
    let edges = edges(event);
    for edge in &edges {
        weir.shop.put_segment(edge.slug, &edge.definition).await?;
    }
    weir.shop.filled().await?;
    hold(&weir.operator, event).await?;
    let traits = json!({
        "renews_at": instant::format(event + 13 * SECOND), "trial_ends": instant::format(event + 20 * SECOND),
    });
    let made = weir.shop.write.post("/api/profiles", json!({"email": "ada@example.com", "traits": traits})).await?;
    let profile = made.expect(201)?["id"].as_str().context("no id")?.to_owned();
    weir.shop.write.post(&format!("/api/profiles/{profile}/events"), json!({"name": "seen"})).await?.expect(201)?;

    for edge in &edges {
        for (at, member) in [(edge.at - 1, !edge.enters), (edge.at, edge.enters), (edge.at + 1, edge.enters)] {
            let what = format!("{} at the edge {:+} µs", edge.slug, at - edge.at);
            // Before that instant has come, when it is there, and (below) when it is past.
            assert_eq!(found(&weir, edge.slug, &profile, Some(at)).await?, [member; 4], "{what}, in the future");
            hold(&weir.operator, at).await?;
            assert_eq!(found(&weir, edge.slug, &profile, None).await?, [member; 4], "{what}, by the clock");
        }
    }
    for edge in &edges {
        for (at, member) in [(edge.at - 1, !edge.enters), (edge.at, edge.enters)] {
            let what = format!("{} at {}", edge.slug, instant::format(at));
            assert_eq!(found(&weir, edge.slug, &profile, Some(at)).await?, [member; 4], "{what}, in the past");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_leave_at_one_instant() -> Result<()> {
    let house = House::new(&["--test-clock", "--partitions", "2"])?;
    let weir = house.open().await?;
    weir.shop.put_segment("seen", r#"{"when":{"event":"seen","within":"1h"}}"#).await?;
    weir.shop.filled().await?;
    hold(&weir.operator, START).await?;
    let items: Vec<Value> = (0..3_000).map(|n| json!({"name": "seen", "user_id": n.to_string()})).collect();
    crate::producer::batch(&weir.shop.write, &items).await?;
    let edge = START + 3_600 * SECOND;
    for (now, count) in [(START - 1, 0), (START, 3_000), (edge - 1, 3_000), (edge, 0)] {
        let as_of = instant::format(now);
        let body = weir.shop.read.read(&format!("/api/segments/seen/count?as_of={as_of}")).await?;
        assert_eq!(body["count"], json!(count), "at {as_of}");
    }
    for (now, count) in [(edge - 1, 3_000), (edge, 0)] {
        hold(&weir.operator, now).await?;
        let body = weir.shop.read.read("/api/segments/seen/count").await?;
        assert_eq!(body["count"], json!(count), "by the clock at {}", instant::format(now));
        let page = weir.shop.read.read("/api/segments/seen?limit=1000").await?;
        assert_eq!(page["profiles"].as_array().map(Vec::len), Some(count.min(1_000)));
    }
    Ok(())
}
