//! Profiles with state blobs and event ids, and batches of touches.
//!
//! Everything is derived from the profile's place in key order and its number of touches, so that any blob can be made
//! again to check what a shape has stored, and no generator work grows with the history.

use std::sync::Arc;

/// One event id entry: 16 bytes hash, 8 bytes fingerprint, 8 bytes arrival.
pub const ID_BYTES: usize = 32;
const POOL_BYTES: usize = 1 << 20;
const FEWEST_IDS: usize = 5;
const MOST_IDS: usize = 20;

/// A small generator with a fixed seed (splitmix64): runs are repeatable and it costs next to nothing.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Starts a sequence.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    fn below(&mut self, limit: usize) -> usize {
        ((u128::from(self.number()) * limit as u128) >> 64) as usize
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Keys in order and bytes to cut blobs from; shared by all files of a run.
pub struct Population {
    keys: Vec<[u8; 16]>,
    pool: Vec<u8>,
    zipf: Vec<f64>,
}

impl Population {
    /// Makes `count` profiles with random keys.
    #[must_use]
    pub fn new(count: usize) -> Arc<Self> {
        let mut random = Random::new(42);
        let mut keys: Vec<[u8; 16]> = (0..count)
            .map(|_| {
                let mut key = [0; 16];
                key[..8].copy_from_slice(&random.number().to_be_bytes());
                key[8..].copy_from_slice(&random.number().to_be_bytes());
                key
            })
            .collect();
        keys.sort_unstable();
        let pool = (0..POOL_BYTES / 8).flat_map(|_| random.number().to_le_bytes()).collect();
        let mut sum = 0.0;
        let zipf = (1..=count).map(|rank| {
            sum += 1.0 / rank as f64;
            sum
        });
        Arc::new(Self { keys, pool, zipf: zipf.collect() })
    }

    /// Number of profiles.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are no profiles.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    fn pick_zipf(&self, random: &mut Random) -> usize {
        let total = self.zipf.last().copied().unwrap_or(0.0);
        let point = random.number() as f64 / u64::MAX as f64 * total;
        let rank = self.zipf.partition_point(|sum| *sum < point).min(self.len() - 1);
        // Busy profiles must not be neighbours in key order: 7,368,787 is a prime larger than any count used here.
        rank * 7_368_787 % self.len()
    }
}

/// A profile touched by a batch: its place in key order and by how many events.
#[derive(Clone, Copy, Debug)]
pub struct Touch {
    /// Place in key order.
    pub profile: usize,
    /// Events of the batch for it.
    pub events: usize,
}

/// The states of one file: how often each profile was touched.
pub struct States {
    population: Arc<Population>,
    touches: Vec<u32>,
}

impl States {
    /// States before the first batch; the ages of the profiles are spread evenly.
    #[must_use]
    pub fn new(population: Arc<Population>) -> Self {
        let touches = (0..population.len()).map(|i| (mix(i as u64) % 16) as u32).collect();
        Self { population, touches }
    }

    /// Number of profiles.
    #[must_use]
    pub fn len(&self) -> usize {
        self.touches.len()
    }

    /// Whether there are no profiles.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.touches.is_empty()
    }

    /// Touches profiles by `events` events, uniformly or by Zipf 1.0; sorted by key, each profile once.
    pub fn touch(&mut self, random: &mut Random, events: usize, zipf: bool) -> Vec<Touch> {
        let pick = |_| if zipf { self.population.pick_zipf(random) } else { random.below(self.touches.len()) };
        let mut profiles: Vec<usize> = (0..events).map(pick).collect();
        profiles.sort_unstable();
        let touch = |run: &[usize]| Touch { profile: run[0], events: run.len() };
        let batch: Vec<Touch> = profiles.chunk_by(|a, b| a == b).map(touch).collect();
        for touch in &batch {
            self.touches[touch.profile] += touch.events as u32;
        }
        batch
    }

    /// The key of a profile.
    #[must_use]
    pub fn key(&self, profile: usize) -> [u8; 16] {
        self.population.keys[profile]
    }

    /// The state blob as it is now: 120 bytes that grow by 12 a touch to 300.
    #[must_use]
    pub fn state(&self, profile: usize) -> &[u8] {
        let touches = self.touches[profile];
        self.cut(profile, touches, 120 + 12 * (touches.min(15) as usize))
    }

    /// The span blob: three times of 8 bytes.
    #[must_use]
    pub fn spans(&self, profile: usize) -> &[u8] {
        self.cut(profile, 1, 24)
    }

    /// All event ids kept: one more with each touch, and a part dropped from time to time (5 to 20 are kept).
    #[must_use]
    pub fn ids(&self, profile: usize) -> &[u8] {
        self.last_ids(profile, self.id_count(profile))
    }

    /// The ids of the current week, where weeks are rows of their own: 1 to 4 of all.
    #[must_use]
    pub fn week_ids(&self, profile: usize) -> &[u8] {
        self.last_ids(profile, 1 + (self.touches[profile] % 4) as usize)
    }

    /// The newest `count` ids.
    #[must_use]
    pub fn last_ids(&self, profile: usize, count: usize) -> &[u8] {
        self.cut(profile, self.touches[profile].wrapping_add(7), count * ID_BYTES)
    }

    fn id_count(&self, profile: usize) -> usize {
        FEWEST_IDS + (profile + self.touches[profile] as usize) % (MOST_IDS - FEWEST_IDS + 1)
    }

    fn cut(&self, profile: usize, salt: u32, len: usize) -> &[u8] {
        let start = mix(profile as u64 ^ (u64::from(salt) << 40)) as usize % (POOL_BYTES / 2);
        &self.population.pool[start..start + len]
    }
}
