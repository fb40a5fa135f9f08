//! What must hold after a round, whatever happened in it.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use weir_e2e::history::Seeded;
use weir_e2e::oracle::{Oracle, WorkspaceOracle, builtin, instant};

use crate::basket_checker::compare_rows;
use crate::caller::Shop;
use crate::checker::{Expected, Plan, compare, same, scores};
use crate::fleet::Fleet;
use crate::kafka;
use crate::load::Ledger;

/// How many days an id sent again is a repeat.
const DEDUP_WINDOW: i64 = 28 * instant::DAY;

/// Baskets that are looked at in a round; of removals, all are.
const BASKETS: usize = 60;

/// What there was to look at.
#[derive(Clone, Copy, Debug, Default)]
pub struct Checked {
    pub records: usize,
    pub acknowledged: usize,
    pub duplicates: usize,
    pub quarantined: usize,
    pub answers: usize,
    pub stays: usize,
}

/// The definitions of all segments that there are.
async fn defined(shop: &Shop) -> Result<Vec<(String, String)>> {
    let mut definitions = Vec::new();
    let body = shop.read.read("/api/segments").await?;
    for row in body["segments"].as_array().context("no segments")? {
        let slug = row["slug"].as_str().context("no slug")?;
        let text = shop.read.get(&format!("/api/segments/{slug}/definition")).await?.text;
        definitions.push((slug.to_owned(), text));
    }
    Ok(definitions)
}

/// Every promise. Nothing is posted meanwhile, and the tables have caught up.
pub async fn check(fleet: &Fleet, ledger: &Ledger, rng: &mut Seeded) -> Result<Checked> {
    let records = tokio::task::block_in_place(|| kafka::read(&fleet.place))?;
    let oracle = Oracle::with_workspaces(&records, DEDUP_WINDOW, &["default"]);
    let shop = oracle.workspace("default");
    the_log(ledger, shop)?;
    let definitions = acknowledged_definitions(fleet, ledger).await?;

    let status = fleet.operator.read("/api/status").await?;
    let counts = [
        ("duplicates", shop.duplicates()),
        ("conflicts", shop.conflicts()),
        ("quarantined", oracle.quarantined().len()),
    ];
    for (what, count) in counts {
        same(|| what.to_owned(), &status[what], &json!(count))?;
    }

    let expected = Expected::new(shop, &definitions, &scores(&[("points", builtin::POINTS)])?)?;
    let (instants, profiles) = (expected.edges(rng, 8), expected.some_profiles(rng, 12));
    let mut answers = compare(&fleet.shop, &expected, &Plan { instants, profiles, page: 400 }).await?;
    answers += compare_rows(&fleet.shop, shop, BASKETS, rng).await?;
    Ok(Checked {
        records: records.iter().map(Vec::len).sum(),
        acknowledged: ledger.acknowledged.len(),
        duplicates: shop.duplicates(),
        quarantined: oracle.quarantined().len(),
        answers,
        stays: expected.stays(),
    })
}

/// What was acknowledged is on the log; nothing that was refused is, and nothing that nobody sent.
fn the_log(ledger: &Ledger, shop: &WorkspaceOracle) -> Result<()> {
    let admitted: BTreeSet<&str> = shop.admitted().iter().map(|record| record.event.id.as_str()).collect();
    ensure!(admitted.len() == shop.admitted().len(), "an id was admitted twice");
    for id in &ledger.acknowledged {
        ensure!(admitted.contains(id.as_str()), "{id} was acknowledged and is not on the log");
    }
    for id in admitted {
        ensure!(ledger.sent.contains(id), "{id} is on the log, and nobody sent it");
        let refused = ledger.refused.contains(id) && !ledger.acknowledged.contains(id);
        ensure!(!refused, "{id} was refused, and is on the log");
    }
    Ok(())
}

/// Segments and keys that were acknowledged are there. All definitions that count now.
async fn acknowledged_definitions(fleet: &Fleet, ledger: &Ledger) -> Result<Vec<(String, String)>> {
    let definitions = defined(&fleet.shop).await?;
    let body = fleet.shop.read.read("/api/segments").await?;
    for (slug, (version, text)) in &ledger.definitions {
        let row = body["segments"].as_array().into_iter().flatten().find(|row| row["slug"] == slug.as_str());
        let newest = row.and_then(|row| row["version"].as_u64()).with_context(|| format!("{slug} is lost"))?;
        ensure!(newest >= *version, "{slug} was acknowledged in version {version} and is in version {newest}");
        let found = definitions.iter().find(|(found, _)| found == slug).map(|(_, text)| text.as_str());
        ensure!(newest > *version || found == Some(text), "{slug} is {found:?}, and was acknowledged as {text}");
    }
    for key in &ledger.keys {
        fleet.shop.read.with_key(key).get("/api/segments").await?.expect(200)?;
    }
    Ok(definitions)
}
