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
use super::provider::Mode;
use super::threats::{due, refresh};
use super::trap::{Op, Trap, Way};

/// The person's new consent takes the place of the old one.
async fn replace(bench: &Bench, subject: &Subject, new: &Subject) -> anyhow::Result<()> {
    let (base, granted) = (bench.stored(&subject.credential).await?, bench.stored(&new.credential).await?);
    let document = bench.vault.open(&granted.place(granted.generation), &granted.cur, Prefetched::Nothing).await?;
    let tokens = TokenSet::from_document(&document).context("a token set")?;
    let (generation, attempt) = (base.generation + 1, unique());
    let document = TokenSet { generation, ..tokens }.to_document();
    let cur = bench.vault.stage(&base.place(generation), &attempt, &document).await?;
    let times = (granted.issued_at, granted.at_exp, granted.refresh_after);
    let (issued_at, at_exp, refresh_after) = times;
    let granted_at = Some(bench.now());
    let (lease, intent, prev, prev_until) = Default::default();
    let replaced = Credential {
        generation,
        attempt,
        cur,
        prev,
        prev_until,
        lease,
        intent,
        issued_at,
        at_exp,
        refresh_after,
        granted_at,
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
    let others = {
        let (bench, subject, new) = (Arc::downgrade(&bench), subject.clone(), new.clone());
        Way::Before(Box::new(move || {
            let (bench, subject, new) = (bench.upgrade(), subject.clone(), new.clone());
            Box::pin(async move {
                // What was to be done and was not shows below.
                if let Some(bench) = bench {
                    drop(replace(&bench, &subject, &new).await.inspect_err(|error| eprintln!("replace: {error:#}")));
                }
            })
        }))
    };
    let late = Arc::new(Trap::at(Op::Commit, others));
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
