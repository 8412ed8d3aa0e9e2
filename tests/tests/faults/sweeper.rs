//! The row of REFRESH.md b.4 in which nobody looks for what is due: reads alone drive the same steps.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use chrono::Duration;

use super::bench::{Bench, Keeping, Read};
use super::case::work;
use super::meanwhile;
use super::point::Point;
use super::provider::Mode;

/// For half an hour from when a worker died, with nobody else about.
pub async fn down_for_half_an_hour(keeping: Keeping) -> anyhow::Result<()> {
    let bench = Arc::new(Bench::new(keeping).await?);
    let mut subjects = Vec::new();
    for mode in Mode::ALL {
        for point in [Point::DieAfterAcquire, Point::DieAfterStage] {
            subjects.push((mode, point, bench.subject(mode).await?));
        }
    }
    bench.sandbox().clear_presented();
    bench.world.advance(Duration::seconds(2890));
    for (_, point, subject) in &subjects {
        let trap = Arc::new(meanwhile::trap(*point, &bench, subject));
        work(&bench, subject, &trap).await;
        ensure!(trap.has_sprung(), "the worker died elsewhere");
    }
    for minute in 0..30 {
        for (mode, point, subject) in &subjects {
            let (read, token) = bench.read(&subject.credential).await?;
            ensure!(read == Read::Served(None), "minute {minute}, {}, {}: {read:?}", mode.name(), point.name());
            let stored = bench.stored(&subject.credential).await?;
            // The tokens of the beginning live for twelve minutes more.
            ensure!(minute < 12 || stored.generation == 3, "minute {minute}: nobody refreshed");
            ensure!(bench.works(&token.context("a token")?).await?, "minute {minute}: its token does not work");
        }
        bench.world.advance(Duration::minutes(1));
    }
    let presented = bench.sandbox().presented();
    ensure!(presented.len() == subjects.len(), "one request each: {presented:?}");
    ensure!(presented.iter().all(|it| it.age == Some(0)), "{presented:?}");
    Ok(())
}
