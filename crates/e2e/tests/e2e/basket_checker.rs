//! Compares what Weir says of baskets with what the oracle says: every field of every row, as its JSON is written.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::{Context as _, Result, ensure};
use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use reqwest::Method;
use uuid::Uuid;
use weir_e2e::oracle::{
    Amounts, Decimal, Json, RemovalView, RemovedProduct, Scores, Sort, Status, WorkspaceOracle, instant,
};

use crate::caller::{Caller, Shop};
use crate::checker::{same, same_rows};

const REMOVED: &str = "/api/baskets/removed-items";
const STATUS: [(&str, Status); 4] =
    [("", Status::All), ("all", Status::All), ("draft", Status::Draft), ("checked_out", Status::CheckedOut)];
const SORTS: [(&str, Sort); 4] =
    [("", Sort::Times), ("times", Sort::Times), ("profiles", Sort::Profiles), ("value", Sort::Value)];

/// Compares all of it; answers how many answers were equal. Time stands still.
pub async fn compare(shop: &Shop, oracle: &WorkspaceOracle, rng: &mut StdRng) -> Result<usize> {
    let removals = oracle.removals();
    ensure!(!removals.is_empty(), "nothing was removed");
    let checked = Checked { read: &shop.read, oracle, removals: &removals };
    Ok(compare_rows(shop, oracle, usize::MAX, rng).await? + checked.members(rng).await?)
}

/// Compares what doesn't change as time goes by: so many baskets, and all removals.
pub async fn compare_rows(shop: &Shop, oracle: &WorkspaceOracle, baskets: usize, rng: &mut StdRng) -> Result<usize> {
    let removals = oracle.removals();
    let checked = Checked { read: &shop.read, oracle, removals: &removals };
    let mut equal = checked.baskets(baskets, rng).await?;
    for _ in 0..10 {
        let listed = checked.listed(rng);
        checked.list(rng, &listed).await?;
        equal += 1;
    }
    for bounds in [Bounds::None, Bounds::Days, Bounds::Days, Bounds::Instants, Bounds::Mixed] {
        for (status, only) in &STATUS[1..] {
            checked.summary(rng, bounds, status, *only).await?;
            equal += 1;
        }
    }
    let status = shop.read.read("/api/status").await?;
    let wrong = u64::try_from(oracle.not_basket_events())?;
    same(|| "events that are no basket events".to_owned(), &status["not_basket_events"].as_u64(), &Some(wrong))?;
    same(|| "baskets set aside".to_owned(), &status["baskets_set_aside"].as_u64(), &Some(0))?;
    Ok(equal + 2)
}

struct Checked<'a> {
    read: &'a Caller,
    oracle: &'a WorkspaceOracle,
    removals: &'a [RemovalView<'a>],
}

/// Which removals are asked for.
struct Listed {
    query: Vec<String>,
    rows: Vec<Json>,
}

/// Which kind of `from` and `to`.
#[derive(Clone, Copy, Debug)]
enum Bounds {
    None,
    Days,
    Instants,
    Mixed,
}

impl Checked<'_> {
    /// Those of so many profiles.
    async fn baskets(&self, most: usize, rng: &mut StdRng) -> Result<usize> {
        let mut equal = 0;
        let profiles: Vec<Uuid> = self.oracle.profiles().collect();
        for profile in profiles.choose_multiple(rng, most).copied() {
            let answer = self.read.get(&format!("/api/profiles/{profile}/basket")).await?;
            answer.expect(200)?;
            same(|| format!("basket of {profile}"), &parsed(&answer.text)?, &self.basket(profile))?;
            equal += 1;
        }
        self.read.get(&format!("/api/profiles/{}/basket", Uuid::new_v4())).await?.expect(404)?;
        Ok(equal)
    }

    fn basket(&self, profile: Uuid) -> Json {
        let basket = self.oracle.basket(profile);
        let item = |(product, line): (&String, &weir_e2e::oracle::BasketLine)| {
            object([
                ("product_id", text(Some(product))),
                ("name", text(line.name.as_deref())),
                ("quantity", number(Some(line.quantity))),
                ("price", number(line.price)),
                ("currency", text(line.currency.as_deref())),
                ("added_at", moment(Some(line.added_at))),
            ])
        };
        object([
            ("items", Json::List(basket.lines.iter().map(item).collect())),
            ("value", amounts(&basket.value)),
            ("updated_at", moment(basket.updated_at)),
        ])
    }

    /// Some bounds, as a query and as they are meant; many lie on a removal, or next to it.
    fn bounds(&self, rng: &mut StdRng, kind: Bounds) -> (Vec<String>, Range<i64>) {
        let (mut query, mut meant) = (Vec::new(), [i64::MIN, i64::MAX]);
        for (n, name) in ["from", "to"].into_iter().enumerate() {
            let Some(near) = self.removals.choose(rng).map(|removal| removal.event.at()) else { continue };
            let day = near.div_euclid(instant::DAY) * instant::DAY;
            let bound = match (kind, n) {
                (Bounds::None, _) => continue,
                _ if rng.random_bool(0.2) => continue,
                (Bounds::Days, _) | (Bounds::Mixed, 0) => day + rng.random_range(0..2) * instant::DAY,
                _ => near + rng.random_range(-1..=1),
            };
            let whole = instant::format(bound);
            let written = if bound % instant::DAY == 0 && rng.random_bool(0.5) { &whole[..10] } else { &whole };
            query.push(format!("{name}={written}"));
            meant[n] = bound;
        }
        (query, meant[0]..meant[1])
    }

    /// Removals by some of the filters.
    fn listed(&self, rng: &mut StdRng) -> Listed {
        let kind = [Bounds::None, Bounds::None, Bounds::Days, Bounds::Instants][rng.random_range(0..4)];
        let (mut query, bounds) = self.bounds(rng, kind);
        let (status, only) = STATUS[rng.random_range(0..STATUS.len())];
        query.extend((!status.is_empty()).then(|| format!("status={status}")));
        let some = self.removals.choose(rng);
        let product = some.map(|some| &some.product).filter(|_| rng.random_bool(0.4));
        query.extend(product.map(|product| format!("product_id={}", encoded(product))));
        let profile = some.map(|some| some.profile).filter(|_| rng.random_bool(0.3));
        query.extend(profile.map(|profile| format!("profile_id={profile}")));
        let wanted = |removal: &&RemovalView<'_>| {
            only.has(removal)
                && bounds.contains(&removal.event.at())
                && product.is_none_or(|product| *product == removal.product)
                && profile.is_none_or(|profile| profile == removal.profile)
        };
        let rows = self.removals.iter().filter(wanted).map(|removal| self.removal(removal)).collect();
        Listed { query, rows }
    }

    fn removal(&self, removal: &RemovalView<'_>) -> Json {
        let (line, order) = (&removal.line, &removal.checked_out);
        let person = self.oracle.profile(removal.profile, &Scores::new());
        let (email, name) = person.map(|person| (person.email, person.name)).unwrap_or_default();
        let shown = |value: Option<Json>| value.filter(|value| value.text().is_some()).unwrap_or(Json::Null);
        object([
            ("profile_id", text(Some(&removal.profile.to_string()))),
            ("email", shown(email)),
            ("profile_name", shown(name)),
            ("product_id", text(Some(&removal.product))),
            ("name", text(line.name.as_deref())),
            ("quantity", number(Some(line.quantity))),
            ("price", number(line.price)),
            ("currency", text(line.currency.as_deref())),
            ("value", number(removal.value)),
            ("added_at", moment(Some(line.added_at))),
            ("removed_at", moment(Some(removal.event.at()))),
            ("event_id", text(Some(&removal.event.id))),
            ("is_draft", Json::Bool(order.is_none())),
            ("order_id", text(order.as_ref().and_then(|(id, _)| id.as_deref()))),
            ("checked_out_at", moment(order.as_ref().map(|(_, at)| *at))),
        ])
    }

    /// Page by page, and as files.
    async fn list(&self, rng: &mut StdRng, listed: &Listed) -> Result<()> {
        let path = format!("{REMOVED}?{}", listed.query.join("&"));
        let limit = [1, 3, 7, 50, 1_000][rng.random_range(0..5)].max(listed.rows.len() / 20);
        same_rows(|| path.clone(), &pages(self.read, &path, "items", limit).await?, &listed.rows)?;
        same_rows(|| format!("{path} as NDJSON"), &lines(self.read, &path).await?, &listed.rows)?;
        let cells: Vec<_> = listed.rows.iter().map(|row| cells(row, &[])).collect();
        same_rows(|| format!("{path} as CSV"), &csv(self.read, &path).await?, &cells)
    }

    async fn summary(&self, rng: &mut StdRng, kind: Bounds, status: &str, only: Status) -> Result<()> {
        let (mut query, bounds) = self.bounds(rng, kind);
        let (sorted, sort) = SORTS[rng.random_range(0..SORTS.len())];
        query.extend((!sorted.is_empty()).then(|| format!("sort={sorted}")));
        query.push(format!("status={status}"));
        let path = format!("{REMOVED}/summary?{}", query.join("&"));
        let products = self.oracle.removed_products(only, &bounds, sort);
        let rows: Vec<Json> = products.iter().map(product).collect();
        let limit = [1, 2, 5, 100][rng.random_range(0..4)];
        same_rows(|| path.clone(), &pages(self.read, &path, "products", limit).await?, &rows)?;
        same_rows(|| format!("{path} as NDJSON"), &lines(self.read, &path).await?, &rows)?;
        // A column for each currency that there is.
        let mut currencies: Vec<Option<String>> = products.iter().flat_map(|p| p.value.keys().cloned()).collect();
        currencies.sort();
        currencies.dedup();
        let cells: Vec<_> = rows.iter().map(|row| cells(row, &currencies)).collect();
        same_rows(|| format!("{path} as CSV"), &csv(self.read, &path).await?, &cells)
    }

    /// Those who abandoned a cart, with what lies in it.
    async fn members(&self, rng: &mut StdRng) -> Result<usize> {
        let path = "/api/segments/abandoned-cart?include=basket";
        let rows = pages(self.read, path, "profiles", rng.random_range(1..=5)).await?;
        for row in &rows {
            let id = Uuid::parse_str(row.get("id").and_then(Json::text).context("a member without id")?)?;
            same(|| format!("basket of member {id}"), &row.get("basket"), &Some(&self.basket(id)))?;
        }
        let count = self.read.read("/api/segments/abandoned-cart/count").await?["count"].as_u64();
        same(|| "members with baskets".to_owned(), &u64::try_from(rows.len()).ok(), &count)?;
        Ok(rows.len())
    }
}

fn product(product: &RemovedProduct) -> Json {
    let count = |count: usize| Json::Number(count.to_string());
    object([
        ("product_id", text(Some(&product.product))),
        ("name", text(product.name.as_deref())),
        ("times", count(product.times)),
        ("profiles", count(product.profiles)),
        ("quantity", number(Some(product.quantity))),
        ("value", amounts(&product.value)),
        ("draft", count(product.draft)),
        ("checked_out", count(product.checked_out)),
        ("last_removed_at", moment(Some(product.last_removed_at))),
    ])
}

fn object<const N: usize>(fields: [(&str, Json); N]) -> Json {
    Json::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn text(text: Option<&str>) -> Json {
    text.map_or(Json::Null, |text| Json::Text(text.to_owned()))
}

fn number(number: Option<Decimal>) -> Json {
    number.map_or(Json::Null, |number| Json::Number(number.to_string()))
}

fn moment(at: Option<i64>) -> Json {
    at.map_or(Json::Null, |at| Json::Text(instant::format(at)))
}

fn amounts(sums: &Amounts) -> Json {
    let amount = |(currency, amount): (&Option<String>, &Decimal)| {
        object([("currency", text(currency.as_deref())), ("amount", number(Some(*amount)))])
    };
    Json::List(sums.iter().map(amount).collect())
}

fn parsed(text: &str) -> Result<Json> {
    Json::parse(text).map_err(anyhow::Error::msg)
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

/// All rows of a list, page by page.
async fn pages(read: &Caller, path: &str, rows: &str, limit: usize) -> Result<Vec<Json>> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let answer = read.get(&format!("{path}&limit={limit}{cursor}")).await?;
        answer.expect(200)?;
        let page = parsed(&answer.text)?;
        let Some(Json::List(of_page)) = page.get(rows) else { anyhow::bail!("no {rows} in {page:?}") };
        let next = page.get("next_cursor").context("no next_cursor")?.text();
        ensure!(of_page.len() == limit || next.is_none(), "a page of {} that isn't the last", of_page.len());
        found.extend(of_page.iter().cloned());
        let Some(next) = next else { return Ok(found) };
        cursor = format!("&cursor={next}");
    }
}

async fn file(read: &Caller, path: &str, accept: &str) -> Result<String> {
    let answer = read.send(Method::GET, path, None, &[("Accept", accept)]).await?;
    ensure!(answer.status == 200, "{path}: {} {}", answer.status, answer.text);
    Ok(answer.text)
}

async fn lines(read: &Caller, path: &str) -> Result<Vec<Json>> {
    file(read, path, "application/x-ndjson").await?.lines().map(parsed).collect()
}

/// Rows of a CSV file by the names of its columns.
async fn csv(read: &Caller, path: &str) -> Result<Vec<BTreeMap<String, String>>> {
    let text = file(read, path, "text/csv").await?;
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    Ok(reader.deserialize().collect::<Result<_, _>>()?)
}

/// What a file for a spreadsheet has of a row: nothing for null, no text that would be run as a formula, and a cell for
/// each currency.
fn cells(row: &Json, currencies: &[Option<String>]) -> BTreeMap<String, String> {
    let cell = |value: &Json| match value {
        Json::Text(text) if text.starts_with(['=', '+', '-', '@', '\t', '\r']) => format!("'{text}"),
        Json::Text(text) | Json::Number(text) => text.clone(),
        Json::Bool(flag) => flag.to_string(),
        _ => String::new(),
    };
    let Json::Object(fields) = row else { return BTreeMap::new() };
    let mut found: BTreeMap<String, String> = fields.iter().map(|(name, value)| (name.clone(), cell(value))).collect();
    if let Some(Json::List(sums)) = fields.get("value") {
        found.remove("value");
        for currency in currencies {
            let column = currency.as_ref().map_or("value".to_owned(), |currency| format!("value_{currency}"));
            let own = sums.iter().find(|sum| sum.get("currency") == Some(&text(currency.as_deref())));
            found.insert(column, own.and_then(|sum| sum.get("amount")).map(cell).unwrap_or_default());
        }
    }
    found
}
