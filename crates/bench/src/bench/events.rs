//! Requests that post events, written out beforehand; only the digits of profile and product change from one to the next.

use std::ops::Range;

use super::http::request;

/// How often each name comes, of a hundred.
const NAMES: [(&str, u64); 5] =
    [("product.viewed", 50), ("page.viewed", 20), ("cart.added", 15), ("order.completed", 10), ("LOGIN", 5)];
const PROFILE_DIGITS: usize = 8;
const PRODUCT_DIGITS: usize = 5;

/// A small generator with a fixed seed (splitmix64): runs are repeatable and it costs next to nothing.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.number()) * u128::from(limit)) >> 64) as u64
    }
}

/// Whose events are posted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Population {
    pub(crate) profiles: u64,
    /// Zipf with exponent 1 instead of uniformly.
    pub(crate) zipf: bool,
    /// Only events that do nothing to baskets.
    pub(crate) views: bool,
}

impl Population {
    fn pick(self, random: &mut Random) -> u64 {
        if !self.zipf {
            return random.below(self.profiles);
        }
        // The continuous form of Zipf 1.0: ranks are spread evenly by logarithm.
        let point = random.number() as f64 / u64::MAX as f64;
        let rank = ((self.profiles as f64 + 1.0).powf(point) as u64 - 1).min(self.profiles - 1);
        // Busy profiles must not be neighbours. The factor is a prime larger than any number of profiles used here.
        (u128::from(rank) * 982_451_653 % u128::from(self.profiles)) as u64
    }
}

/// A request whose digits are written anew before it is sent.
pub(crate) struct Request {
    bytes: Vec<u8>,
    profiles: Vec<Range<usize>>,
    products: Vec<Range<usize>>,
}

impl Request {
    /// A batch of so many events of mixed names, as a JSON array.
    pub(crate) fn batch(key: &str, events: usize, of: Population, random: &mut Random) -> Self {
        let items: Vec<String> =
            (0..events).map(|_| item(&format!("\"user_id\":\"{}\",", profile()), of, random)).collect();
        Self::over(request("POST", "/api/events", key, format!("[{}]", items.join(",")).as_bytes()))
    }

    /// A batch of events of these profiles, all of one name: sent as it is.
    pub(crate) fn named(key: &str, name: &str, profiles: Range<u64>) -> Vec<u8> {
        let items: Vec<String> =
            profiles.map(|n| format!(r#"{{"user_id":"u{n:0PROFILE_DIGITS$}","name":"{name}"}}"#)).collect();
        request("POST", "/api/events", key, format!("[{}]", items.join(",")).as_bytes())
    }

    /// One event, posted to its profile.
    pub(crate) fn single(key: &str, of: Population, random: &mut Random) -> Self {
        Self::over(request(
            "POST",
            &format!("/api/profiles/user:{}/events", profile()),
            key,
            item("", of, random).as_bytes(),
        ))
    }

    fn over(bytes: Vec<u8>) -> Self {
        let (profiles, products) = (places(&bytes, b"u########"), places(&bytes, b"sku-#####"));
        let digits = |places: Vec<usize>, skip: usize, count: usize| {
            places.into_iter().map(|at| at + skip..at + skip + count).collect()
        };
        Self { profiles: digits(profiles, 1, PROFILE_DIGITS), products: digits(products, 4, PRODUCT_DIGITS), bytes }
    }

    /// The bytes to send, for other profiles and products than before.
    pub(crate) fn next(&mut self, population: Population, random: &mut Random) -> &[u8] {
        for place in &self.profiles {
            write_digits(&mut self.bytes[place.clone()], population.pick(random));
        }
        for place in &self.products {
            write_digits(&mut self.bytes[place.clone()], random.below(50_000));
        }
        &self.bytes
    }

    /// How many events it posts.
    pub(crate) fn events(&self) -> u64 {
        self.profiles.len() as u64
    }
}

/// The name of a profile, as events and look-ups have it.
pub(crate) fn user(n: u64) -> String {
    format!("u{n:0PROFILE_DIGITS$}")
}

fn profile() -> String {
    format!("u{}", "#".repeat(PROFILE_DIGITS))
}

fn item(owner: &str, of: Population, random: &mut Random) -> String {
    // Those that do nothing to baskets come first.
    let mut point = random.below(if of.views { 70 } else { 100 });
    let name = NAMES.iter().find(|(_, share)| {
        let here = point < *share;
        point = point.saturating_sub(*share);
        here
    });
    let name = name.map_or("product.viewed", |(name, _)| *name);
    let price = 1 + random.below(200);
    format!(
        r#"{{{owner}"name":"{name}","properties":{{"product_id":"sku-#####","category":"women's shoes","price":{price}.9,"currency":"EUR","path":"/shoes/women"}}}}"#
    )
}

fn places(bytes: &[u8], what: &[u8]) -> Vec<usize> {
    bytes.windows(what.len()).enumerate().filter(|(_, window)| *window == what).map(|(at, _)| at).collect()
}

fn write_digits(place: &mut [u8], mut number: u64) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const ALL: Population = Population { profiles: 1_000, zipf: false, views: false };

    fn body(bytes: &[u8]) -> Value {
        let text = std::str::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
        serde_json::from_str(body).unwrap()
    }

    #[test]
    fn each_batch_is_of_other_profiles() {
        let mut random = Random::new(1);
        let mut batch = Request::batch("key", 100, ALL, &mut random);
        let users = |bytes: &[u8]| -> Vec<String> {
            let items = body(bytes);
            items.as_array().unwrap().iter().map(|item| item["user_id"].as_str().unwrap().to_owned()).collect()
        };
        let first = users(batch.next(ALL, &mut random));
        let second = users(batch.next(ALL, &mut random));
        assert_eq!((batch.events(), first.len()), (100, 100));
        assert_ne!(first, second);
        assert!(first.iter().chain(&second).all(|user| user.as_str() < "u00001000" && user.len() == 9));
    }

    #[test]
    fn a_single_names_its_profile_in_the_path() {
        let mut random = Random::new(1);
        let mut single = Request::single("key", ALL, &mut random);
        let bytes = single.next(ALL, &mut random);
        assert!(bytes.starts_with(b"POST /api/profiles/user:u00000"));
        assert!(body(bytes)["properties"]["product_id"].as_str().unwrap().starts_with("sku-"));
        assert_eq!(single.events(), 1);
    }

    #[test]
    fn zipf_prefers_few_and_stays_within() {
        let population = Population { profiles: 10_000, zipf: true, views: false };
        let mut random = Random::new(3);
        let mut times = vec![0_u32; 10_000];
        (0..100_000).for_each(|_| times[population.pick(&mut random) as usize] += 1);
        times.sort_unstable();
        let busiest: u32 = times.iter().rev().take(100).sum();
        assert!((40_000..60_000).contains(&busiest), "{busiest}");
    }
}
