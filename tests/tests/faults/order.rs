//! In which order a refresh does what it does (REFRESH.md b.4): whatever can fail comes before the request, and what came is
//! stored before anything else.

use std::sync::Arc;

use anyhow::ensure;
use chrono::Duration;
use grantkeeper::error::Error;

use super::bench::Keeping;
use super::case::work;
use super::provider::{Fault, Mode, script};
use super::threats::{due, refresh};
use super::trap::{Op, Trap, Way};

/// The vault cannot obtain what it seals with.
pub async fn prepared_first(keeping: Keeping) -> anyhow::Result<()> {
    let (bench, subject) = due(keeping, Mode::Family).await?;
    let before = bench.stored(&subject.credential).await?;
    let locked = Arc::new(Trap::at(Op::Prepare, Way::Fail(1)));
    let refused = refresh(&bench, &locked, &subject).await?;
    ensure!(locked.has_sprung() && matches!(refused, Err(Error::Dependency(_))), "{refused:?}");
    ensure!(bench.sandbox().presented().is_empty(), "it sent: {:?}", bench.sandbox().presented());
    ensure!(bench.stored(&subject.credential).await? == before, "something was noted");
    let newer = refresh(&bench, &locked, &subject).await??;
    ensure!(newer.generation == before.generation + 1, "it is refreshed when the vault can");
    Ok(())
}

/// The worker dies when it notes how the endpoint does, which it does after a failure.
pub async fn stored_first(keeping: Keeping) -> anyhow::Result<()> {
    let (bench, subject) = due(keeping, Mode::Family).await?;
    bench.change_at_sandbox(Mode::Family, &subject.client_id, |at| at.token_answers = script(&[Fault::TooMany]))?;
    let before = bench.stored(&subject.credential).await?;
    let later = refresh(&bench, &Arc::new(Trap::none()), &subject).await?;
    let is_later = later.as_ref().is_err_and(|error| matches!(error.plain(), Error::ProviderUnavailable { .. }));
    ensure!(is_later, "{later:?}");
    bench.world.advance(Duration::minutes(2));
    let dies = Arc::new(Trap::at(Op::NoteHealth, Way::DieBefore));
    work(&bench, &subject, &dies).await;
    ensure!(dies.has_sprung(), "it noted nothing");
    let stored = bench.stored(&subject.credential).await?;
    ensure!(stored.generation == before.generation + 1 && stored.intent.is_none(), "what came is not committed");
    Ok(())
}
