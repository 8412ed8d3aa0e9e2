//! Worlds that tests borrow one after the other: to start one for each test would take longer than the test.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use chrono::{DateTime, Duration, Utc};
use grantkeeper::clock::Clock as _;
use grantkeeper_tests::{Internet, World};
use libtest_mimic::Trial;
use tokio::runtime::Runtime;

use crate::Outcome;

/// How far the clock of a world may be moved before another takes its place: its keys work for a year.
const OLDEST: Duration = Duration::days(120);

/// How many tests a world serves: the embedded engines become slower with each secret that they keep.
const MOST: u32 = 20;

/// A world in an internet of its own, and its clock's to move for whoever has it.
pub struct Lane {
    pub world: World,
    pub internet: Internet,
    since: DateTime<Utc>,
    /// When the clocks of broker and sandbox last showed the same.
    same_at: Instant,
    /// How many tests had it.
    used: u32,
}

/// The worlds that nobody uses at the moment.
#[derive(Clone)]
pub struct Lanes {
    runtime: Arc<Runtime>,
    free: Arc<Mutex<Vec<Lane>>>,
}

impl Lanes {
    pub fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        Self { runtime: Arc::new(runtime), free: Arc::default() }
    }

    /// A test that has a world for itself as long as it runs. A world where a test failed serves no other.
    pub fn trial(&self, name: &str, test: impl AsyncFn(&Lane) -> Outcome + Send + 'static) -> Trial {
        let lanes = self.clone();
        self.borrow(name, test, move |lane| {
            if lane.used < MOST && lane.world.clock.now() - lane.since < OLDEST {
                lanes.free.lock().unwrap_or_else(PoisonError::into_inner).push(lane);
            }
        })
    }

    /// A test after which a world serves no other.
    pub fn last(&self, name: &str, test: impl AsyncFn(&Lane) -> Outcome + Send + 'static) -> Trial {
        self.borrow(name, test, drop)
    }

    fn borrow(
        &self,
        name: &str,
        test: impl AsyncFn(&Lane) -> Outcome + Send + 'static,
        give_back: impl FnOnce(Lane) + Send + 'static,
    ) -> Trial {
        let lanes = self.clone();
        Trial::test(name, move || {
            let outcome = lanes.runtime.block_on(async {
                let lane = lanes.take().await?;
                test(&lane).await?;
                give_back(lane);
                anyhow::Ok(())
            });
            outcome.map_err(|error| format!("{error:#}").into())
        })
    }

    async fn take(&self) -> anyhow::Result<Lane> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(mut lane) = free {
            // The sandbox's clock goes on by itself; the broker's stands still.
            let passed = lane.same_at.elapsed();
            lane.world.clock.advance(Duration::from_std(passed)?);
            lane.same_at += passed;
            lane.used += 1;
            return Ok(lane);
        }
        let internet = Internet::open().await?;
        let world = internet.world().await?;
        Ok(Lane { since: world.clock.now(), world, internet, same_at: Instant::now(), used: 1 })
    }
}
