//! Compares what Weir answers with what the oracle says. All tests use this one, the one about sabotage too.

use std::collections::BTreeMap;
use std::fmt::Debug;

use anyhow::{Context as _, Result};
use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use serde_json::Value;
use uuid::Uuid;
use weir_e2e::oracle::{Decimal, Definition, Json, Member, ProfileView, Score, Scores, Span, WorkspaceOracle, instant};

use crate::caller::{Caller, Shop};

/// Weir and the oracle disagree.
#[derive(Debug, thiserror::Error)]
#[error("{what}\n  weir says   {weir}\n  oracle says {oracle}")]
pub struct Mismatch {
    what: String,
    weir: String,
    oracle: String,
}

/// Nothing if the two agree.
pub fn same<T: PartialEq + Debug>(what: impl FnOnce() -> String, weir: &T, oracle: &T) -> Result<()> {
    if weir == oracle {
        return Ok(());
    }
    Err(Mismatch { what: what(), weir: format!("{weir:?}"), oracle: format!("{oracle:?}") }.into())
}

/// The same for long lists: the first row that differs is told.
pub fn same_rows<T: PartialEq + Debug>(what: impl Fn() -> String, weir: &[T], oracle: &[T]) -> Result<()> {
    for n in 0..weir.len().max(oracle.len()) {
        same(|| format!("{}, row {n} of {} and {}", what(), weir.len(), oracle.len()), &weir.get(n), &oracle.get(n))?;
    }
    Ok(())
}

/// A segment, as the oracle sees it.
struct Question {
    slug: String,
    definition: Definition,
    spans: BTreeMap<Uuid, Vec<Span>>,
}

/// What the oracle says of a workspace.
pub struct Expected<'a> {
    pub shop: &'a WorkspaceOracle,
    questions: Vec<Question>,
    scores: Scores,
}

/// Score definitions, read by the oracle.
pub fn scores(texts: &[(&str, &str)]) -> Result<Scores> {
    let read = |(slug, text): &(&str, &str)| Ok(((*slug).to_owned(), Score::parse(text).map_err(refused)?));
    texts.iter().map(read).collect()
}

fn refused(refused: weir_e2e::oracle::Refused) -> anyhow::Error {
    anyhow::anyhow!("the oracle can't read the definition: {}", refused.0)
}

/// When it is asked, and of whom.
pub struct Plan {
    /// Instants for lists and counts; the clock's is asked besides.
    pub instants: Vec<i64>,
    /// Profiles that are looked at one by one.
    pub profiles: Vec<Uuid>,
    /// How many rows a page has.
    pub page: usize,
}

impl<'a> Expected<'a> {
    /// Segments by slug and definition; the scores are those that they may name, and that profiles show.
    pub fn new<S: AsRef<str>, D: AsRef<str>>(
        shop: &'a WorkspaceOracle,
        segments: &[(S, D)],
        scores: &Scores,
    ) -> Result<Self> {
        let read = |(slug, text): &(S, D)| {
            let definition = Definition::parse(text.as_ref(), scores).map_err(refused)?;
            let spans = shop.profiles().map(|profile| (profile, shop.spans(&definition, profile))).collect();
            Ok(Question { slug: slug.as_ref().to_owned(), definition, spans })
        };
        Ok(Self { shop, questions: segments.iter().map(read).collect::<Result<_>>()?, scores: scores.clone() })
    }

    /// Instants around random edges of spans, to the microsecond.
    pub fn edges(&self, rng: &mut StdRng, count: usize) -> Vec<i64> {
        let spans = self.questions.iter().flat_map(|question| question.spans.values().flatten());
        let edges: Vec<i64> = spans.flat_map(|span| [Some(span.enters_at), span.leaves_at]).flatten().collect();
        let mut near = || Some((edges.choose(rng)? + rng.random_range(-1..=1)).clamp(instant::FIRST, instant::LAST));
        (0..count).filter_map(|_| near()).collect()
    }

    /// How many stays in a segment there are, past and to come.
    pub fn stays(&self) -> usize {
        self.questions.iter().flat_map(|question| question.spans.values()).map(Vec::len).sum()
    }

    /// Some of the profiles.
    pub fn some_profiles(&self, rng: &mut StdRng, count: usize) -> Vec<Uuid> {
        let mut all: Vec<Uuid> = self.shop.profiles().collect();
        all.shuffle(rng);
        all.truncate(count);
        all
    }
}

impl Question {
    fn span_at(&self, profile: Uuid, now: i64) -> Option<Span> {
        self.spans.get(&profile)?.iter().find(|span| span.contains(now)).copied()
    }

    fn members(&self, now: i64) -> Vec<Member> {
        let member = |id: &Uuid| Some(Member { id: *id, span: self.span_at(*id, now)? });
        let mut members: Vec<Member> = self.spans.keys().filter_map(member).collect();
        members.sort_by_key(|member| (member.span.enters_at, member.id));
        members
    }
}

/// Compares all of it; answers how many answers were equal. A difference is a [`Mismatch`].
pub async fn compare(shop: &Shop, expected: &Expected<'_>, plan: &Plan) -> Result<usize> {
    let read = &shop.read;
    let mut compared = 0;
    for question in &expected.questions {
        for at in plan.instants.iter().map(|at| Some(*at)).chain([None]) {
            segment(read, question, at, plan.page).await?;
            compared += 2;
        }
    }
    for (slug, score) in &expected.scores {
        standings(read, slug, &expected.shop.standings(score), plan.page).await?;
        compared += 1;
    }
    for profile in &plan.profiles {
        card(read, expected, *profile).await?;
        events(read, expected, *profile, plan.page).await?;
        compared += 2 + usize::from(points(read, expected, *profile, plan.page).await?);
        for at in &plan.instants {
            compared += segments_of(read, expected, *profile, *at).await?;
        }
    }
    Ok(compared)
}

/// List and count of a segment, at the instant or by the clock.
async fn segment(read: &Caller, question: &Question, at: Option<i64>, page: usize) -> Result<()> {
    let slug = &question.slug;
    let as_of = at.map(|at| format!("as_of={}", instant::format(at))).unwrap_or_default();
    let what = |what: &str, at: i64| format!("{what} of {slug} at {}", instant::format(at));

    let counted = read.read(&format!("/api/segments/{slug}/count?{as_of}")).await?;
    let asked = moment(&counted["as_of"])?;
    let count = question.members(asked).len();
    same(|| what("count", asked), &counted["count"].as_u64(), &u64::try_from(count).ok())?;

    let pages = pages(read, &format!("/api/segments/{slug}?{as_of}"), "profiles", page).await?;
    let asked = moment(&pages.last["as_of"])?;
    let members = pages.rows.iter().map(member).collect::<Result<Vec<_>>>()?;
    same_rows(|| what("list", asked), &members, &question.members(asked))
}

struct Pages {
    rows: Vec<Value>,
    last: Value,
}

/// All rows of a list.
async fn pages(read: &Caller, path: &str, rows: &str, page: usize) -> Result<Pages> {
    let mut found = Vec::new();
    let first = format!("{path}{}limit={page}", if path.contains('?') { "&" } else { "?" });
    let mut next = first.clone();
    loop {
        let last = read.read(&next).await?;
        let of_page = last[rows].as_array().with_context(|| format!("no {rows} in {last}"))?;
        found.extend(of_page.iter().cloned());
        match last["next_cursor"].as_str() {
            Some(cursor) => next = format!("{first}&cursor={cursor}"),
            None => return Ok(Pages { rows: found, last }),
        }
    }
}

fn member(row: &Value) -> Result<Member> {
    let leaves_at = Some(&row["leaves_at"]).filter(|at| !at.is_null()).map(moment).transpose()?;
    Ok(Member { id: id(&row["id"])?, span: Span { enters_at: moment(&row["entered_at"])?, leaves_at } })
}

fn id(value: &Value) -> Result<Uuid> {
    let text = value.as_str().with_context(|| format!("{value} is no id"))?;
    Ok(Uuid::parse_str(text)?)
}

fn moment(value: &Value) -> Result<i64> {
    value.as_str().and_then(instant::parse).with_context(|| format!("{value} is no instant"))
}

fn decimal(value: &Value) -> Result<Decimal> {
    Decimal::parse(&value.to_string()).with_context(|| format!("{value} is no decimal"))
}

/// The list of a score: whether those without points are in it is left open.
async fn standings(read: &Caller, slug: &str, oracle: &[(Uuid, Decimal)], page: usize) -> Result<()> {
    let pages = pages(read, &format!("/api/scores/{slug}/profiles"), "profiles", page).await?;
    let row = |row: &Value| Ok((id(&row["id"])?, decimal(&row["points"])?));
    let zero = Decimal::default();
    let mut weir = pages.rows.iter().map(row).collect::<Result<Vec<_>>>()?;
    weir.retain(|(_, points)| *points != zero);
    let oracle: Vec<_> = oracle.iter().filter(|(_, points)| *points != zero).copied().collect();
    same_rows(|| format!("list of score {slug}"), &weir, &oracle)
}

/// `GET /api/profiles/{id}`.
async fn card(read: &Caller, expected: &Expected<'_>, profile: Uuid) -> Result<()> {
    let answer = read.get(&format!("/api/profiles/{profile}")).await?;
    answer.expect(200)?;
    let body = Json::parse(&answer.text).map_err(anyhow::Error::msg)?;
    let oracle = expected.shop.profile(profile, &expected.scores).context("the oracle doesn't know the profile")?;
    same(|| format!("profile {profile}"), &shown(&body, &expected.scores)?, &as_shown(oracle))
}

/// A profile's view as the program shows it: names and e-mails are texts.
fn as_shown(view: ProfileView) -> ProfileView {
    let text = |value: Option<Json>| value.filter(|value| matches!(value, Json::Text(_)));
    ProfileView { email: text(view.email), name: text(view.name), ..view }
}

fn shown(body: &Json, scores: &Scores) -> Result<ProfileView> {
    let field = |name: &str| body.get(name).filter(|value| **value != Json::Null);
    let text = |value: &Json| match value {
        Json::Text(text) => Ok(text.clone()),
        other => anyhow::bail!("{other:?} is no text"),
    };
    let at = |value: &Json| instant::parse(&text(value)?).context("no instant");
    let Some(Json::List(names)) = field("identifiers") else { anyhow::bail!("no identifiers in {body:?}") };
    let name = |name: &Json| {
        let part = |part: &str| text(name.get(part).context("an identifier has kind and value")?);
        Ok((part("kind")?, part("value")?))
    };
    let (Some(Json::Object(traits)), Some(Json::Object(sums))) = (field("traits"), field("scores")) else {
        anyhow::bail!("no traits or scores in {body:?}")
    };
    let sum = |(slug, sum): (&String, &Json)| match sum {
        Json::Number(digits) => Ok((slug.clone(), Decimal::parse(digits).context("no decimal")?)),
        other => anyhow::bail!("{slug} is {other:?}"),
    };
    let mut identifiers = names.iter().map(name).collect::<Result<Vec<_>>>()?;
    identifiers.sort();
    Ok(ProfileView {
        id: Uuid::parse_str(&text(field("id").context("no id")?)?)?,
        identifiers,
        email: field("email").cloned(),
        name: field("name").cloned(),
        traits: traits.clone(),
        scores: sums.iter().filter(|(slug, _)| scores.contains_key(*slug)).map(sum).collect::<Result<_>>()?,
        created_at: at(field("created_at").context("no created_at")?)?,
        updated_at: field("updated_at").map(at).transpose()?,
    })
}

/// `GET /api/profiles/{id}/events`.
async fn events(read: &Caller, expected: &Expected<'_>, profile: Uuid, page: usize) -> Result<()> {
    let pages = pages(read, &format!("/api/profiles/{profile}/events"), "events", page).await?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let row = |row: &Value| Ok((text(&row["id"]), text(&row["name"]), moment(&row["timestamp"])?, moment(&row["at"])?));
    let weir = pages.rows.iter().map(row).collect::<Result<Vec<_>>>()?;
    let events = expected.shop.events(profile);
    let oracle: Vec<_> = events
        .iter()
        .map(|r| (Some(r.event.id.clone()), Some(r.event.name.clone()), r.event.time, r.event.at()))
        .collect();
    same_rows(|| format!("events of {profile}"), &weir, &oracle)
}

/// `GET /v1/users/events`, if the profile is a user's; whether it is.
async fn points(read: &Caller, expected: &Expected<'_>, profile: Uuid, page: usize) -> Result<bool> {
    let names = expected.shop.records(profile).iter().find_map(|r| r.event.identifier.clone());
    let (Some((kind, user)), Some(score)) = (names, expected.scores.get("points")) else { return Ok(false) };
    if kind != "user" {
        return Ok(false);
    }
    let oracle = expected.shop.points(score, &user).context("the oracle doesn't know the user")?;
    let pages = pages(read, &format!("/v1/users/events?user_id={user}"), "events", page).await?;
    same(|| format!("points of {user}"), &decimal(&pages.last["points"])?, &oracle.points)?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let by_type = pages.last["by_type"].as_array().context("no by_type")?;
    let of_type =
        |row: &Value| Ok((text(&row["event_type"]), (row["count"].as_u64().unwrap_or(0), decimal(&row["points"])?)));
    let by_type = by_type.iter().map(of_type).collect::<Result<BTreeMap<_, _>>>()?;
    same(|| format!("points of {user} by type"), &by_type, &oracle.by_type)?;
    let row = |row: &Value| {
        Ok((text(&row["id"]), text(&row["event_type"]), moment(&row["timestamp"])?, decimal(&row["points"])?))
    };
    let rows = pages.rows.iter().map(row).collect::<Result<Vec<_>>>()?;
    let of_oracle: Vec<_> = oracle.events.into_iter().map(|e| (e.id, e.event_type, e.timestamp, e.points)).collect();
    same_rows(|| format!("events of user {user}"), &rows, &of_oracle)?;
    Ok(true)
}

/// A profile's segments and the explanation of each at the instant; how many answers were compared.
async fn segments_of(read: &Caller, expected: &Expected<'_>, profile: Uuid, at: i64) -> Result<usize> {
    let as_of = instant::format(at);
    let body = read.read(&format!("/api/profiles/{profile}/segments?as_of={as_of}")).await?;
    let mut weir = BTreeMap::new();
    for row in body["segments"].as_array().context("no segments")? {
        let slug = row["slug"].as_str().context("a segment without slug")?;
        if expected.questions.iter().any(|question| question.slug == slug) {
            let leaves_at = Some(&row["leaves_at"]).filter(|at| !at.is_null()).map(moment).transpose()?;
            weir.insert(slug.to_owned(), Span { enters_at: moment(&row["entered_at"])?, leaves_at });
        }
    }
    let spans = expected.questions.iter().filter_map(|q| Some((q.slug.clone(), q.span_at(profile, at)?)));
    same(|| format!("segments of {profile} at {as_of}"), &weir, &spans.collect())?;
    for question in &expected.questions {
        explanation(read, expected, question, profile, at).await?;
    }
    Ok(1 + expected.questions.len())
}

/// `GET /api/segments/{slug}/members/{profile_id}`.
async fn explanation(
    read: &Caller,
    expected: &Expected<'_>,
    question: &Question,
    profile: Uuid,
    at: i64,
) -> Result<()> {
    let (slug, as_of) = (&question.slug, instant::format(at));
    let body = read.read(&format!("/api/segments/{slug}/members/{profile}?as_of={as_of}")).await?;
    let member = question.span_at(profile, at).is_some();
    same(|| format!("whether {profile} is in {slug} at {as_of}"), &body["member"].as_bool(), &Some(member))?;
    same(|| "member and conditions.holds".to_owned(), &body["conditions"]["holds"].as_bool().filter(|_| member), &{
        Some(true).filter(|_| member)
    })?;
    let horizon = expected.shop.records(profile).iter().map(|r| r.horizon).max();
    if horizon.is_some_and(|horizon| horizon <= at) {
        // Before the horizon an explanation knows less than the spans do.
        let next = expected.shop.next_flip(&question.definition, profile, at);
        let flip = body["next_flip"].as_str().map(str::to_owned);
        same(|| format!("next flip of {profile} in {slug} at {as_of}"), &flip, &next.map(instant::format))?;
    }
    Ok(())
}
