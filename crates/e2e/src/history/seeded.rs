//! Randomness that can be had again.

use std::ops::{Deref, DerefMut};

use rand::SeedableRng;
use rand::rngs::StdRng;

/// A random number generator that names its seed when the test that uses it fails.
#[derive(Debug)]
pub struct Seeded {
    seed: u64,
    rng: StdRng,
}

impl Seeded {
    /// One with that seed.
    pub fn new(seed: u64) -> Self {
        Self { seed, rng: StdRng::seed_from_u64(seed) }
    }

    /// One with the seed in the variable `WEIR_SEED`, or else with this one.
    pub fn chosen(otherwise: u64) -> Self {
        Self::new(Self::seeds(otherwise, 1).start)
    }

    /// Its seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Seeds to try: `count` from `first` on, or only the one in the variable `WEIR_SEED`, if it is set.
    pub fn seeds(first: u64, count: u64) -> std::ops::Range<u64> {
        match std::env::var("WEIR_SEED").ok().and_then(|text| text.parse::<u64>().ok()) {
            Some(seed) => seed..seed + 1,
            None => first..first + count,
        }
    }
}

impl Deref for Seeded {
    type Target = StdRng;

    fn deref(&self) -> &StdRng {
        &self.rng
    }
}

impl DerefMut for Seeded {
    fn deref_mut(&mut self) -> &mut StdRng {
        &mut self.rng
    }
}

impl Drop for Seeded {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the seed was {}: run again with WEIR_SEED={}", self.seed, self.seed);
        }
    }
}
