//! The clickstream of a shop (CSV) as items of `POST /api/events`.

use std::io::Read;

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use serde_json::{Value, json};

use crate::oracle::instant;

/// One row. All rows have an id of their own, so that a repeat of one is a repeat to Weir too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Click {
    /// The event's id: the number of the row.
    pub id: String,
    /// The user.
    pub user_id: String,
    /// The event's name.
    pub name: String,
    /// When it happened.
    pub time: i64,
    /// The other columns.
    pub properties: Vec<(String, String)>,
}

impl Click {
    /// The item of `POST /api/events`.
    pub fn item(&self) -> Value {
        let properties: serde_json::Map<_, _> = self.properties.iter().map(|(k, v)| (k.clone(), json!(v))).collect();
        json!({
            "name": self.name, "user_id": self.user_id, "id": self.id,
            "timestamp": instant::format(self.time), "properties": properties,
        })
    }
}

/// A made-up shop as CSV: sessions of that many users, spread over ninety days, in the order of users.
pub fn synthetic(rng: &mut StdRng, users: usize, events: usize) -> String {
    const STEPS: [&str; 6] = ["home", "catalog", "product_view", "product_view", "add_to_cart", "purchase"];
    let start = 1_704_067_200 * instant::SECOND;
    let mut rows = vec!["user_id,session_id,event,timestamp,platform".to_owned()];
    let mut session = 0;
    while rows.len() <= events {
        session += 1;
        let (user, platform) = (rng.random_range(0..users), if rng.random_bool(0.5) { "mobile" } else { "desktop" });
        let mut now = start + rng.random_range(0..90 * 24 * 3_600) * instant::SECOND;
        for _ in 0..rng.random_range(1..=12) {
            let step = STEPS.choose(rng).copied().unwrap_or_default();
            let time = instant::format(now).replacen('T', " ", 1);
            rows.push(format!("user_{user:04},sess_{session:06},{step},{},{platform}", time.trim_end_matches('Z')));
            now += rng.random_range(0..40) * instant::SECOND;
        }
    }
    rows.truncate(events + 1);
    rows.sort_by(|a, b| a.split(',').next().cmp(&b.split(',').next()).then(b.cmp(a)));
    // The header's first column comes after all users.
    let header = rows.pop().unwrap_or_default();
    [vec![header], rows].concat().join("\n")
}

/// Unpacks the file if it is gzip, and reads it.
///
/// # Errors
/// What can't be read, with its row.
pub fn read(file: &[u8]) -> Result<Vec<Click>, String> {
    let mut text = String::new();
    if file.starts_with(&[0x1f, 0x8b]) {
        flate2::read::MultiGzDecoder::new(file).read_to_string(&mut text).map_err(|e| e.to_string())?;
    } else {
        text.push_str(std::str::from_utf8(file).map_err(|e| e.to_string())?);
    }
    parse(&text)
}

/// Reads CSV without quotes, in the order of the file. Its times are UTC.
///
/// # Errors
/// What can't be read, with its row.
pub fn parse(csv: &str) -> Result<Vec<Click>, String> {
    let mut lines = csv.lines();
    let header: Vec<&str> = lines.next().ok_or("the file is empty")?.split(',').collect();
    let rows = lines.enumerate().filter(|(_, line)| !line.is_empty());
    rows.map(|(n, line)| click(&header, n, line).ok_or_else(|| format!("row {n} can't be read: {line}"))).collect()
}

fn click(header: &[&str], n: usize, line: &str) -> Option<Click> {
    let fields: Vec<&str> = line.split(',').collect();
    if fields.len() != header.len() {
        return None;
    }
    let column = |name: &str| header.iter().position(|h| *h == name).map(|i| fields[i]);
    let own = ["user_id", "event", "timestamp"];
    let others = header.iter().zip(&fields).filter(|(name, _)| !own.contains(*name));
    Some(Click {
        id: format!("row-{n:06}"),
        user_id: column("user_id")?.to_owned(),
        name: event_name(column("event")?).to_owned(),
        time: instant::parse(&format!("{}Z", column("timestamp")?.replacen(' ', "T", 1)))?,
        properties: others.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    })
}

fn event_name(column: &str) -> &str {
    match column {
        "product_view" => "product.viewed",
        "add_to_cart" => "cart.added",
        "purchase" => "order.completed",
        other => other,
    }
}

/// By time; what happened at one instant stays in the order of the file.
pub fn in_order(clicks: &[Click]) -> Vec<Click> {
    let mut clicks = clicks.to_vec();
    clicks.sort_by_key(|click| click.time);
    clicks
}

/// Shuffled, with one repeat for each ten.
pub fn shuffled(rng: &mut StdRng, clicks: &[Click]) -> Vec<Click> {
    let mut sent = clicks.to_vec();
    sent.extend(clicks.choose_multiple(rng, clicks.len() / 10).cloned());
    sent.shuffle(rng);
    sent
}

/// Instants worth asking at: around the effects of some clicks, by windows of that many microseconds.
pub fn instants(rng: &mut StdRng, clicks: &[Click], windows: &[i64], count: usize) -> Vec<i64> {
    let mut instants: Vec<i64> = Vec::new();
    while instants.len() < count {
        let Some(click) = clicks.choose(rng) else { break };
        let window = windows.choose(rng).copied().unwrap_or(0);
        instants.push(click.time + window + rng.random_range(-1..=1));
    }
    instants.sort_unstable();
    instants
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Seeded;

    const CSV: &str = "user_id,session_id,event,timestamp,platform\n\
        u1,s1,product_view,2024-03-13 10:21:14,desktop\n\
        u1,s1,purchase,2024-03-13 10:20:00,desktop\n\
        u2,s2,home,2024-03-14 00:00:00,mobile\n";

    #[test]
    fn rows_become_items() {
        let clicks = read(CSV.as_bytes()).unwrap();
        assert_eq!(
            clicks[0].item(),
            json!({"name":"product.viewed","user_id":"u1","id":"row-000000","timestamp":"2024-03-13T10:21:14.000000Z",
                "properties":{"session_id":"s1","platform":"desktop"}})
        );
        let names: Vec<String> = in_order(&clicks).into_iter().map(|c| c.name).collect();
        assert_eq!(names, ["order.completed", "product.viewed", "home"]);
        assert!(parse("user_id,event\nu1\n").unwrap_err().contains("row 0"));
    }

    #[test]
    fn a_shuffle_repeats_one_in_ten() {
        let one = &parse(CSV).unwrap()[0];
        let many: Vec<Click> = (0..100).map(|n| Click { id: n.to_string(), ..one.clone() }).collect();
        let sent = shuffled(&mut Seeded::new(1), &many);
        assert_eq!(sent.len(), 110);
        assert_eq!(sent.iter().map(|click| &click.id).collect::<std::collections::BTreeSet<_>>().len(), 100);
        assert_ne!(sent[..100], many[..]);
        let again = shuffled(&mut Seeded::new(1), &many);
        assert_eq!(sent, again);
    }
}
