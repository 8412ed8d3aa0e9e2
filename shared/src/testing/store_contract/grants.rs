//! Replacing the grant of a credential in place: the next generation, whoever refreshes the old grant.

use chrono::Duration;

use super::steps::{
    acquire, applied, changed, credential, credential_of, ensure_refused, exchanging, exchanging_of, leased, parked,
    pending, released, reread, reread_credential, store_credential, suspended,
};
use crate::model::credential::{Credential, CredentialStatus, Outcome};
use crate::model::flow::{Flow, FlowStatus};
use crate::model::ids::{CredentialId, ProjectId};
use crate::store::{ReleaseRefresh, Replacement, Store};
use crate::testing::fixtures::{self, start};
use crate::testing::suite::{Held, checks, ensure_eq, one_winner, race, racers};

checks!(dyn Store:
    a_replacement_is_the_next_generation,
    a_replacement_after_failures_clears_them,
    a_replacement_completes_the_flow_that_brought_it,
    a_refresh_under_way_is_not_committed_after_a_replacement,
    a_replaced_grant_is_refreshed_like_any_other,
    a_replacement_keeps_what_people_changed,
    no_replacement_on_another_generation,
    no_replacement_of_what_was_suspended_or_ended,
    no_replacement_for_another_owner,
    a_suspended_credential_can_be_replaced,
    only_the_flow_that_is_exchanged_brings_a_replacement,
    of_racing_replacements_one_is_done,
    of_racing_replacements_by_one_flow_one_is_done,
    of_a_replacement_and_a_commit_one_wins,
    a_repeated_replacement_is_done_once,
    no_replacement_under_another_project,
);

/// Replaces a grant and expects this outcome.
async fn replace(
    store: &dyn Store,
    flow: Option<&Flow>,
    base: &Credential,
    new: &Credential,
    expected: Replacement,
) -> Held {
    let outcome = store.replace_grant(flow, base, new, start()).await?;
    ensure_eq!(outcome, expected, "the outcome");
    Ok(())
}

/// Tries to replace a grant and expects to be refused, with nothing changed.
async fn refused(store: &dyn Store, base: &Credential, stored: &Credential) -> Held {
    replace(store, None, base, &fixtures::replacement(base), Replacement::Changed).await?;
    ensure_eq!(&reread_credential(store, stored).await?, stored, "the credential after the refusal");
    let flow = exchanging_of(store, &base.project, &base.owner).await?;
    replace(store, Some(&flow), base, &fixtures::replacement(base), Replacement::Changed).await?;
    ensure_eq!(&reread_credential(store, stored).await?, stored, "the credential after the refusal of a flow's");
    ensure_eq!(reread(store, &flow).await?, flow, "the flow after the refusal");
    Ok(())
}

async fn a_replacement_is_the_next_generation(store: &dyn Store) -> Held {
    let base = credential(store).await?;
    let new = fixtures::replacement(&base);
    replace(store, None, &base, &new, Replacement::Done).await?;
    ensure_eq!(reread_credential(store, &base).await?, new, "the credential");
    // And back, without all that a grant need not have.
    let bare = Credential {
        account: None,
        granted_at: None,
        refresh_expires_at: None,
        learned_lifetime: None,
        at_exp: None,
        status: CredentialStatus::Suspended,
        status_reason: Some("scopes_widened".to_owned()),
        suspended_from: Some(CredentialStatus::Active),
        ..fixtures::replacement(&new)
    };
    replace(store, None, &new, &bare, Replacement::Done).await?;
    ensure_eq!(reread_credential(store, &base).await?, bare, "the credential with another grant again");
    Ok(())
}

async fn a_replacement_after_failures_clears_them(store: &dyn Store) -> Held {
    let leased = leased(store).await?;
    let commit = fixtures::commit(&leased, start());
    let refreshed = applied(store.commit_refresh(&leased.project, &leased.id, &commit).await?)?;
    let leased = acquire(store, &refreshed, &fixtures::acquire(&refreshed, start())).await?;
    let failed = ReleaseRefresh {
        keep_intent: Some(Outcome::Unknown),
        fails: 3,
        backoff_until: Some(start().timestamp_millis()),
        status: CredentialStatus::ReauthorizationRequired,
        status_reason: Some("invalid_grant".to_owned()),
        ..fixtures::release(&leased)
    };
    let dead = released(store, &leased, &failed).await?;
    let new = fixtures::replacement(&dead);
    replace(store, None, &dead, &new, Replacement::Done).await?;
    ensure_eq!(reread_credential(store, &dead).await?, new, "the credential");
    Ok(())
}

async fn a_replacement_completes_the_flow_that_brought_it(store: &dyn Store) -> Held {
    let base = credential(store).await?;
    let flow = exchanging_of(store, &base.project, &base.owner).await?;
    let (new, now) = (fixtures::replacement(&base), start() + Duration::milliseconds(1_500));
    let outcome = store.replace_grant(Some(&flow), &base, &new, now).await?;
    ensure_eq!(outcome, Replacement::Done, "the outcome");
    let completed = Flow {
        status: FlowStatus::Completed,
        parked: None,
        inputs: None,
        exchange_until: None,
        completed_at: Some(now),
        credential: Some(base.id.clone()),
        ..flow.clone()
    };
    ensure_eq!(reread(store, &flow).await?, completed, "the flow");
    ensure_eq!(reread_credential(store, &base).await?, new, "the credential");
    Ok(())
}

async fn a_refresh_under_way_is_not_committed_after_a_replacement(store: &dyn Store) -> Held {
    let base = credential(store).await?;
    let leased = acquire(store, &base, &fixtures::acquire(&base, start())).await?;
    // The replacement was decided on before the lease was taken.
    let new = fixtures::replacement(&base);
    replace(store, None, &base, &new, Replacement::Done).await?;
    let replaced = Credential { fence: leased.fence + 1, ..new };
    ensure_eq!(reread_credential(store, &base).await?, replaced, "the credential");
    let commit = store.commit_refresh(&base.project, &base.id, &fixtures::commit(&leased, start())).await?;
    ensure_refused(store, commit, &replaced).await?;
    let release = store.release_refresh(&base.project, &base.id, &fixtures::release(&leased)).await?;
    ensure_refused(store, release, &replaced).await
}

async fn a_replaced_grant_is_refreshed_like_any_other(store: &dyn Store) -> Held {
    let base = leased(store).await?;
    let new = Credential { refreshable: true, ..fixtures::replacement(&base) };
    replace(store, None, &base, &new, Replacement::Done).await?;
    let leased = acquire(store, &new, &fixtures::acquire(&new, start())).await?;
    let commit = fixtures::commit(&leased, start());
    let refreshed = applied(store.commit_refresh(&base.project, &base.id, &commit).await?)?;
    ensure_eq!(refreshed.generation, base.generation + 2, "the generation");
    Ok(())
}

async fn a_replacement_keeps_what_people_changed(store: &dyn Store) -> Held {
    let base = credential(store).await?;
    let renamed = Credential {
        name: "Renamed".to_owned(),
        labels: [("team".to_owned(), "red".to_owned())].into(),
        external_id: None,
        projects: vec![ProjectId::generate()],
        ..base.clone()
    };
    store.update_credential(&base, &renamed).await?;
    replace(store, None, &base, &fixtures::replacement(&base), Replacement::Done).await?;
    let after = reread_credential(store, &base).await?;
    let kept = Credential {
        name: renamed.name,
        labels: renamed.labels,
        external_id: renamed.external_id,
        projects: renamed.projects,
        ..after.clone()
    };
    ensure_eq!(after, kept, "the credential");
    Ok(())
}

async fn no_replacement_on_another_generation(store: &dyn Store) -> Held {
    let leased = leased(store).await?;
    let commit = fixtures::commit(&leased, start());
    let refreshed = applied(store.commit_refresh(&leased.project, &leased.id, &commit).await?)?;
    refused(store, &leased, &refreshed).await?;
    refused(store, &Credential { generation: 3, ..refreshed.clone() }, &refreshed).await
}

async fn no_replacement_of_what_was_suspended_or_ended(store: &dyn Store) -> Held {
    for status in [CredentialStatus::Suspended, CredentialStatus::Revoking, CredentialStatus::Revoked] {
        let base = credential(store).await?;
        let switched_off = changed(store, &base, &fixtures::status_change(status)).await?;
        refused(store, &base, &switched_off).await?;
        if status != CredentialStatus::Suspended {
            refused(store, &switched_off, &switched_off).await?;
            continue;
        }
        let lifted = changed(store, &switched_off, &fixtures::status_change(CredentialStatus::Active)).await?;
        refused(store, &switched_off, &lifted).await?;
    }
    Ok(())
}

async fn no_replacement_for_another_owner(store: &dyn Store) -> Held {
    let base = credential(store).await?;
    let given = Credential { owner: fixtures::unique(), ..base.clone() };
    store.update_credential(&base, &given).await?;
    refused(store, &base, &given).await
}

async fn a_suspended_credential_can_be_replaced(store: &dyn Store) -> Held {
    let base = suspended(store, &credential(store).await?).await?;
    let new = Credential { status: base.status, suspended_from: base.suspended_from, ..fixtures::replacement(&base) };
    replace(store, None, &base, &new, Replacement::Done).await?;
    ensure_eq!(reread_credential(store, &base).await?, new, "the credential");
    Ok(())
}

async fn only_the_flow_that_is_exchanged_brings_a_replacement(store: &dyn Store) -> Held {
    let failed = exchanging(store).await?;
    store.fail_flow(&failed, FlowStatus::Exchanging, "invalid_grant", start()).await?;
    for flow in [pending(store).await?, parked(store).await?, failed] {
        let before = reread(store, &flow).await?;
        let base = Credential { owner: flow.owner.clone(), ..credential_of(&flow.project) };
        store_credential(store, &base).await?;
        replace(store, Some(&flow), &base, &fixtures::replacement(&base), Replacement::Lost).await?;
        ensure_eq!(reread_credential(store, &base).await?, base, "the credential");
        ensure_eq!(reread(store, &flow).await?, before, "the flow");
        // Who lost the flow is told so, even where the credential changed as well: reading it again would not help.
        let other = Credential { generation: 7, ..base.clone() };
        replace(store, Some(&flow), &other, &fixtures::replacement(&other), Replacement::Lost).await?;
    }
    Ok(())
}

/// Races for the grant of a credential; the winner's is stored.
async fn race_to_replace(store: &dyn Store, base: &Credential, flow: Option<&Flow>) -> Held {
    let grants = racers(|_| fixtures::replacement(base));
    let results = race(&grants, |new| store.replace_grant(flow, base, new, start())).await;
    let winner = one_winner(results, |outcome| *outcome == Replacement::Done)?;
    ensure_eq!(Some(&reread_credential(store, base).await?), grants.get(winner), "the credential");
    Ok(())
}

async fn of_racing_replacements_one_is_done(store: &dyn Store) -> Held {
    let base = credential(store).await?;
    race_to_replace(store, &base, None).await
}

async fn of_racing_replacements_by_one_flow_one_is_done(store: &dyn Store) -> Held {
    let base = credential(store).await?;
    let flow = exchanging_of(store, &base.project, &base.owner).await?;
    race_to_replace(store, &base, Some(&flow)).await
}

async fn of_a_replacement_and_a_commit_one_wins(store: &dyn Store) -> Held {
    for _ in 0..10 {
        let base = leased(store).await?;
        let (new, commit) = (fixtures::replacement(&base), fixtures::commit(&base, start()));
        let (replaced, committed) = futures::join!(
            store.replace_grant(None, &base, &new, start()),
            store.commit_refresh(&base.project, &base.id, &commit)
        );
        let stored = reread_credential(store, &base).await?;
        // A commit that met the replacement in the table is told to come again; then it is refused.
        let committed = applied(match committed {
            Ok(committed) => committed,
            Err(_) => store.commit_refresh(&base.project, &base.id, &commit).await?,
        });
        let (winner, outcome) = match committed {
            Ok(_) => (&commit.attempt, Replacement::Changed),
            Err(_) => (&new.attempt, Replacement::Done),
        };
        ensure_eq!(replaced?, outcome, "the outcome of the replacement");
        ensure_eq!(&stored.attempt, winner, "the attempt that brought the grant");
    }
    Ok(())
}

async fn a_repeated_replacement_is_done_once(store: &dyn Store) -> Held {
    let without = credential(store).await?;
    let with = credential(store).await?;
    let flow = exchanging_of(store, &with.project, &with.owner).await?;
    for (base, flow) in [(without, None), (with, Some(&flow))] {
        let new = Credential { refreshable: true, ..fixtures::replacement(&base) };
        for _ in 0..2 {
            replace(store, flow, &base, &new, Replacement::Done).await?;
            ensure_eq!(reread_credential(store, &base).await?, new, "the credential");
        }
        // A refresh between the call and its repetition is not undone either.
        let leased = acquire(store, &new, &fixtures::acquire(&new, start())).await?;
        let commit = fixtures::commit(&leased, start());
        let refreshed = applied(store.commit_refresh(&base.project, &base.id, &commit).await?)?;
        replace(store, flow, &base, &new, Replacement::Done).await?;
        ensure_eq!(reread_credential(store, &base).await?, refreshed, "the credential after a refresh");
    }
    Ok(())
}

async fn no_replacement_under_another_project(store: &dyn Store) -> Held {
    let mine = credential(store).await?;
    let elsewhere = Credential { project: ProjectId::generate(), ..mine.clone() };
    let unknown = Credential { id: CredentialId::generate(), ..mine.clone() };
    for foreign in [elsewhere, unknown] {
        replace(store, None, &foreign, &fixtures::replacement(&foreign), Replacement::Changed).await?;
        let left = store.find_credential(&foreign.project, &foreign.id).await?;
        ensure_eq!(left, None, "what the refused replacement leaves");
    }
    ensure_eq!(reread_credential(store, &mine).await?, mine, "the credential");
    Ok(())
}
