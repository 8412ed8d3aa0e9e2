//! A refresh whose grant is replaced before it commits (REFRESH.md S5b): nobody else knows of the tokens that it brought.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use chrono::Duration;
use grantkeeper::model::credential::Credential;
use grantkeeper::model::token_set::TokenSet;
use grantkeeper::store::Replacement;
use grantkeeper::testing::fixtures::unique;
use grantkeeper::vault::Prefetched;

use super::bench::{Bench, Keeping, Subject};
use super::meanwhile::meanwhile;
use super::provider::Mode;
use super::threats::{due, refresh};
use super::trap::{Op, Trap, Way};

/// The person's new consent takes the place of the old one.
async fn replace(bench: Arc<Bench>, subject: Subject, new: Subject) -> anyhow::Result<()> {
    let (base, granted) = (bench.stored(&subject.credential).await?, bench.stored(&new.credential).await?);
    let document = bench.vault.open(&granted.place(granted.generation), &granted.cur, Prefetched::Nothing).await?;
    let tokens = TokenSet::from_document(&document).context("a token set")?;
    let (generation, attempt) = (base.generation + 1, unique());
    let document = TokenSet { generation, ..tokens }.to_document();
    let cur = bench.vault.stage(&base.place(generation), &attempt, &document).await?;
    let replaced = Credential {
        generation,
        attempt,
        cur,
        prev: None,
        prev_until: None,
        lease: None,
        intent: None,
        issued_at: granted.issued_at,
        at_exp: granted.at_exp,
        refresh_after: granted.refresh_after,
        granted_at: Some(bench.now()),
        ..base.clone()
    };
    let done = bench.store.replace_grant(None, &base, &replaced, bench.now()).await?;
    ensure!(done == Replacement::Done, "{done:?}");
    Ok(())
}

fn is_alive(bench: &Bench, subject: &Subject) -> anyhow::Result<bool> {
    let token = subject.given.last().context("a refresh token")?;
    Ok(bench.sandbox().grant_of(token.expose()).context("a grant")?.0.alive)
}

/// `keeps_one`: the server keeps one grant per person and client, so that ending the old one would end the new one.
pub async fn by_a_new_grant(keeping: Keeping, keeps_one: bool) -> anyhow::Result<()> {
    let (bench, subject) = due(keeping, Mode::Grace).await?;
    let mut client = bench.store.find_client(&subject.client).await?.context("the client")?;
    client.settings.revocation_request.on_replace = Some(!keeps_one);
    client.revision += 1;
    bench.store.update_client(&client).await?;
    let new = bench.subject_of(Mode::Grace, subject.client_id.clone(), client.id.clone(), Duration::zero()).await?;
    let granted = new.clone();
    let others = meanwhile(&bench, &subject, move |bench, subject| replace(bench, subject, granted.clone()));
    let late = Arc::new(Trap::at(Op::Commit, Way::Before(others)));
    let served = refresh(&bench, &late, &subject).await??;
    let stored = bench.stored(&subject.credential).await?;
    let theirs = bench.refresh_token(&stored).await?;
    ensure!(new.given.last().is_some_and(|given| given.matches(theirs.expose().as_bytes())), "not the new grant");
    ensure!(late.has_sprung() && served == stored, "the late refresh serves something else");
    for _ in 0..3 {
        bench.sweep().await?;
        bench.world.advance(Duration::seconds(30));
    }
    ensure!(is_alive(&bench, &new)?, "the new grant was ended");
    ensure!(is_alive(&bench, &subject)? == keeps_one, "the old grant: alive is {}", !keeps_one);
    Ok(())
}
