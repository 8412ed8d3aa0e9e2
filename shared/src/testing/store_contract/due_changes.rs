//! The due time of a credential as its grant or its status changes, or it comes without a flow.

use super::due::{due_at, ensure_listed, later, leased_when_due, long_ago, ms};
use super::steps::{changed, credential_of, store_credential, suspended};
use crate::model::credential::{Credential, CredentialStatus};
use crate::model::ids::ProjectId;
use crate::store::{Replacement, StatusChange, Store};
use crate::testing::fixtures::{self, start, status_change};
use crate::testing::suite::{Held, checks, ensure_eq};

checks!(dyn Store:
    an_inserted_credential_is_due_as_its_status_says,
    a_credential_of_a_flow_is_due_as_its_status_says,
    a_grant_that_waits_for_its_end_is_due_at_once,
    a_suspended_credential_is_not_due_until_that_is_lifted,
    a_credential_that_is_being_revoked_is_due_until_it_is,
    a_replacement_moves_the_due_time,
    a_replacement_by_a_suspended_grant_ends_the_due_time,
);

const STATUSES: [(CredentialStatus, bool); 6] = [
    (CredentialStatus::Active, true),
    (CredentialStatus::RefreshFailing, true),
    (CredentialStatus::ReauthorizationRequired, false),
    (CredentialStatus::Suspended, false),
    (CredentialStatus::Revoking, true),
    (CredentialStatus::Revoked, false),
];

async fn an_inserted_credential_is_due_as_its_status_says(store: &dyn Store) -> Held {
    for (status, is_due) in STATUSES {
        let at = long_ago()?;
        let new = Credential { status, refresh_after: Some(ms(at, 0)), ..credential_of(&ProjectId::generate()) };
        store.insert_credential(&new).await?;
        ensure_listed(store, &new, at, if is_due { &[1] } else { &[] }).await?;
        ensure_listed(store, &new, later(at, -1), &[]).await?;
    }
    Ok(())
}

async fn a_credential_of_a_flow_is_due_as_its_status_says(store: &dyn Store) -> Held {
    for (status, is_due) in STATUSES {
        let at = long_ago()?;
        let new = Credential { status, refresh_after: Some(ms(at, 0)), ..credential_of(&ProjectId::generate()) };
        store_credential(store, &new).await?;
        ensure_listed(store, &new, at, if is_due { &[1] } else { &[] }).await?;
    }
    Ok(())
}

async fn a_grant_that_waits_for_its_end_is_due_at_once(store: &dyn Store) -> Held {
    let at = long_ago()?;
    let detached = Credential {
        detached: true,
        status: CredentialStatus::Revoking,
        created_at: at,
        ..credential_of(&ProjectId::generate())
    };
    store.insert_credential(&detached).await?;
    ensure_listed(store, &detached, at, &[1]).await
}

async fn a_suspended_credential_is_not_due_until_that_is_lifted(store: &dyn Store) -> Held {
    let at = long_ago()?;
    let base = due_at(store, ms(at, 0)).await?;
    let off = suspended(store, &base).await?;
    ensure_listed(store, &off, start(), &[]).await?;
    let lift = StatusChange { next_due: Some(ms(at, 5_000)), ..status_change(CredentialStatus::Active) };
    changed(store, &off, &lift).await?;
    ensure_listed(store, &off, later(at, 4_999), &[]).await?;
    ensure_listed(store, &off, later(at, 5_000), &[1]).await
}

async fn a_credential_that_is_being_revoked_is_due_until_it_is(store: &dyn Store) -> Held {
    let at = long_ago()?;
    let month = start() + chrono::Duration::days(30);
    // Whether or not a refresh is under way.
    for base in [due_at(store, ms(start(), 0)).await?, leased_when_due(store, at).await?] {
        let revoking = status_change(CredentialStatus::Revoking);
        let revoking = StatusChange { next_due: Some(ms(at, 0)), frees_name: true, ..revoking };
        let ending = changed(store, &base, &revoking).await?;
        ensure_listed(store, &base, at, &[1]).await?;
        let again = StatusChange { next_due: Some(ms(at, 9_000)), fails: 1, ..revoking };
        let ending = changed(store, &ending, &again).await?;
        ensure_listed(store, &base, later(at, 8_999), &[]).await?;
        ensure_listed(store, &base, later(at, 9_000), &[1]).await?;
        let ended = StatusChange { forget_after: Some(month), ..status_change(CredentialStatus::Revoked) };
        changed(store, &ending, &ended).await?;
        ensure_listed(store, &base, start(), &[]).await?;
    }
    Ok(())
}

async fn a_replacement_moves_the_due_time(store: &dyn Store) -> Held {
    let at = long_ago()?;
    for base in [due_at(store, ms(at, 0)).await?, leased_when_due(store, at).await?] {
        let new = Credential { refresh_after: Some(ms(at, 30_000)), ..fixtures::replacement(&base) };
        let outcome = store.replace_grant(None, &base, &new, at).await?;
        ensure_eq!(outcome, Replacement::Done, "the outcome");
        ensure_listed(store, &base, later(at, 29_999), &[]).await?;
        ensure_listed(store, &base, later(at, 30_000), &[2]).await?;
    }
    Ok(())
}

async fn a_replacement_by_a_suspended_grant_ends_the_due_time(store: &dyn Store) -> Held {
    let at = long_ago()?;
    let base = due_at(store, ms(at, 0)).await?;
    let status = CredentialStatus::Suspended;
    let new = Credential { status, refresh_after: Some(ms(at, 0)), ..fixtures::replacement(&base) };
    let outcome = store.replace_grant(None, &base, &new, at).await?;
    ensure_eq!(outcome, Replacement::Done, "the outcome");
    ensure_listed(store, &base, start(), &[]).await
}
