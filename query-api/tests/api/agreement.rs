//! Whatever the history and the instant: a list, a count, a profile's segments and an explanation say the same.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::Value;
use weir_event::Timestamp;

use crate::world::*;

const DEFINITIONS: [(&str, &str); 4] = [
    ("hot", r#"{"when":{"event":"a","at_least":2,"within":"10s"}}"#),
    ("quiet", r#"{"when":{"event":"a","not_followed_by":{"event":"b"},"for":"5s"}}"#),
    ("idle", r#"{"when":{"not":{"event":"b","within":"7s"}}}"#),
    ("rich", r#"{"when":{"score":"points","at_least":2}}"#),
];

/// Profile, name, when it happened, and how much later it was received, in seconds.
type Happening = (u8, usize, i64, i64);

async fn world(history: &[Happening]) -> World {
    let mut world = World::new().await;
    for (slug, body) in DEFINITIONS {
        world.command(&put_segment(slug, body));
    }
    world.switch().await;
    for (who, name, at, late) in history {
        let name = ["a", "b", "LOGIN"][*name];
        let at = TEN + at * SECOND;
        world.received(&user(&who.to_string()), name, at, at + late * SECOND, "");
    }
    world.at(TEN + 100 * SECOND);
    world.fold().await;
    world
}

fn listed(page: &Value, rows: &str, field: &str) -> BTreeSet<String> {
    page[rows].as_array().unwrap().iter().map(|row| row[field].as_str().unwrap().to_owned()).collect()
}

async fn agree(history: Vec<Happening>, instants: Vec<i64>) {
    let world = world(&history).await;
    let api = world.api().await;
    let profiles: BTreeSet<u8> = history.iter().map(|(who, ..)| *who).collect();
    for instant in instants {
        let as_of = Timestamp::from_micros(TEN + instant);
        for (slug, _) in DEFINITIONS {
            let page = api.get(&format!("/api/segments/{slug}?as_of={as_of}")).await.ok();
            let members = listed(&page, "profiles", "id");
            let count = api.get(&format!("/api/segments/{slug}/count?as_of={as_of}")).await.ok();
            assert_eq!(count["count"], members.len(), "{slug} at {as_of}");
            for who in &profiles {
                let (profile, name) = (id(&user(&who.to_string())).to_string(), format!("user:{who}"));
                let member = members.contains(&profile);
                let own = api.get(&format!("/api/profiles/{name}/segments?as_of={as_of}")).await.ok();
                assert_eq!(listed(&own, "segments", "slug").contains(slug), member, "{slug} of {name} at {as_of}");
                let why = api.get(&format!("/api/segments/{slug}/members/{name}?as_of={as_of}")).await.ok();
                assert_eq!(why["member"], member, "{slug} of {name} at {as_of}: {why}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_question_has_one_answer(
        history in prop::collection::vec((0_u8..3, 0_usize..3, 0_i64..30, 0_i64..20), 1..25),
        seconds in prop::collection::vec((-1_i64..60, -1_i64..2), 6),
    ) {
        let instants = seconds.into_iter().map(|(second, off)| second * SECOND + off).collect();
        tokio::runtime::Runtime::new().unwrap().block_on(agree(history, instants));
    }
}
