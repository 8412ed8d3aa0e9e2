//! What an attempt that is under way notes on its intent, under the fence (REFRESH.md S3, S6.2).

use super::steps::{
    acquire, applied, changed, credential, ensure_refused, leased, overtaken, released, reread_credential,
};
use crate::clock::Timestamp;
use crate::model::credential::{Credential, CredentialStatus, Intent, Outcome};
use crate::model::ids::{CredentialId, ProjectId};
use crate::store::{AcquireRefresh, Attempted, NoteAttempt, Store};
use crate::testing::fixtures::{self, note, start, status_change};
use crate::testing::suite::{Broken, Held, checks, ensure_eq};

checks!(dyn Store:
    a_note_changes_what_is_known_of_the_outcome,
    what_is_tried_is_noted_behind_what_was,
    what_was_tried_goes_on_with_a_takeover,
    no_note_under_an_older_fence,
    no_note_of_another_attempt,
    no_note_of_an_attempt_that_was_taken_over,
    no_note_of_an_attempt_that_is_over,
    no_note_when_the_status_forbids_a_refresh,
    no_note_under_another_project,
);

async fn noted(store: &dyn Store, of: &Credential, note: &NoteAttempt) -> Result<Credential, Broken> {
    applied(store.note_attempt(&of.project, &of.id, note).await?)
}

/// Tries to note and expects to be refused, with nothing changed.
async fn note_refused(store: &dyn Store, before: &Credential, note: &NoteAttempt) -> Held {
    let attempted = store.note_attempt(&before.project, &before.id, note).await?;
    ensure_refused(store, attempted, before).await
}

/// What a credential is after a note, with all that was tried by then.
fn with_note(before: &Credential, outcome: Outcome, tried: &[&str]) -> Credential {
    let tried = tried.iter().map(|fingerprint| (*fingerprint).to_owned()).collect();
    let intent = before.intent.clone().map(|intent| Intent { outcome, tried, ..intent });
    Credential { intent, ..before.clone() }
}

/// A credential whose lease is held by a worker that presents what others tried before.
async fn leased_after(store: &dyn Store, tried: &[&str], now: Timestamp) -> Result<Credential, Broken> {
    let idle = credential(store).await?;
    let tried = tried.iter().map(|fingerprint| (*fingerprint).to_owned()).collect();
    acquire(store, &idle, &AcquireRefresh { tried, ..fixtures::acquire(&idle, now) }).await
}

async fn a_note_changes_what_is_known_of_the_outcome(store: &dyn Store) -> Held {
    let before = leased_after(store, &["first"], start()).await?;
    for outcome in [Outcome::Unknown, Outcome::Prepared] {
        let after = noted(store, &before, &NoteAttempt { outcome, ..note(&before, None) }).await?;
        ensure_eq!(after, with_note(&before, outcome, &["first"]), "the item that is returned");
        ensure_eq!(reread_credential(store, &before).await?, after, "the item that is stored");
    }
    Ok(())
}

async fn what_is_tried_is_noted_behind_what_was(store: &dyn Store) -> Held {
    let fresh = leased(store).await?;
    let after = noted(store, &fresh, &note(&fresh, Some("first"))).await?;
    ensure_eq!(after, with_note(&fresh, Outcome::Unknown, &["first"]), "the first that is tried");
    let before = leased_after(store, &["first"], start()).await?;
    noted(store, &before, &note(&before, Some("second"))).await?;
    let after = noted(store, &before, &note(&before, Some("third"))).await?;
    let expected = with_note(&before, Outcome::Unknown, &["first", "second", "third"]);
    ensure_eq!(after, expected, "the item that is returned");
    ensure_eq!(reread_credential(store, &before).await?, expected, "the item that is stored");
    Ok(())
}

async fn what_was_tried_goes_on_with_a_takeover(store: &dyn Store) -> Held {
    let first = leased(store).await?;
    let dead = noted(store, &first, &note(&first, Some("first"))).await?;
    let intent = dead.intent.clone().ok_or_else(|| Broken::new("there is no intent".to_owned()))?;
    let next = AcquireRefresh {
        take_over: Some(intent.attempt),
        tried: intent.tried,
        ..fixtures::acquire(&dead, start() + chrono::Duration::hours(1))
    };
    let held = acquire(store, &dead, &next).await?;
    ensure_eq!(held, with_note(&held, Outcome::Prepared, &["first"]), "the item after the takeover");
    let after = noted(store, &held, &note(&held, Some("second"))).await?;
    ensure_eq!(after, with_note(&held, Outcome::Unknown, &["first", "second"]), "the item after another note");
    Ok(())
}

async fn no_note_under_an_older_fence(store: &dyn Store) -> Held {
    let before = overtaken(store, &leased(store).await?).await?;
    for fence in [before.fence - 1, before.fence + 1] {
        note_refused(store, &before, &NoteAttempt { fence, ..note(&before, Some("first")) }).await?;
    }
    Ok(())
}

async fn no_note_of_another_attempt(store: &dyn Store) -> Held {
    let before = leased(store).await?;
    note_refused(store, &before, &NoteAttempt { attempt: fixtures::unique(), ..note(&before, Some("first")) }).await
}

async fn no_note_of_an_attempt_that_was_taken_over(store: &dyn Store) -> Held {
    let late = leased(store).await?;
    let overtaken = overtaken(store, &late).await?;
    note_refused(store, &overtaken, &note(&late, Some("first"))).await?;
    note_refused(store, &overtaken, &note(&late, None)).await
}

async fn no_note_of_an_attempt_that_is_over(store: &dyn Store) -> Held {
    let leased = leased(store).await?;
    let over = released(store, &leased, &fixtures::release(&leased)).await?;
    note_refused(store, &over, &note(&leased, Some("first"))).await
}

async fn no_note_when_the_status_forbids_a_refresh(store: &dyn Store) -> Held {
    for status in [CredentialStatus::Suspended, CredentialStatus::ReauthorizationRequired, CredentialStatus::Revoking] {
        let leased = leased(store).await?;
        let before = changed(store, &leased, &status_change(status)).await?;
        note_refused(store, &before, &note(&leased, Some("first"))).await?;
    }
    Ok(())
}

async fn no_note_under_another_project(store: &dyn Store) -> Held {
    let mine = leased(store).await?;
    for (project, id) in [(&ProjectId::generate(), &mine.id), (&mine.project, &CredentialId::generate())] {
        let attempted = store.note_attempt(project, id, &note(&mine, Some("first"))).await?;
        ensure_eq!(attempted, Attempted::Refused(None), "the note on what is not there");
        ensure_eq!(store.find_credential(project, id).await?, None, "what the refused note leaves");
    }
    ensure_eq!(reread_credential(store, &mine).await?, mine, "the credential");
    Ok(())
}
