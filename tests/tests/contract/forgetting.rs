//! What the table may forget of a credential, and when: an attribute of items, which no method of the store shows.

use anyhow::Context as _;
use aws_sdk_dynamodb::Client as Sdk;
use aws_sdk_dynamodb::types::AttributeValue;
use chrono::Duration;
use grantkeeper::model::credential::{Credential, CredentialStatus};
use grantkeeper::model::event::Event;
use grantkeeper::model::health::Health;
use grantkeeper::model::ids::{ClientId, ProjectId};
use grantkeeper::store::{Attempted, StatusChange, Store};
use grantkeeper::testing::fixtures::{self, start};
use grantkeeper::vault::root_key::sha256;

use super::TABLE;

/// When the table may forget an item that is there (Unix seconds).
async fn delete_after(sdk: &Sdk, pk: &str, sk: &str) -> anyhow::Result<Option<i64>> {
    let read = sdk.get_item().table_name(TABLE).consistent_read(true);
    let read = read.key("pk", AttributeValue::S(pk.to_owned())).key("sk", AttributeValue::S(sk.to_owned()));
    let item = read.send().await?.item.with_context(|| format!("{pk} {sk} is not there"))?;
    let Some(AttributeValue::N(at)) = item.get("delete_after") else { return Ok(None) };
    Ok(Some(at.parse()?))
}

/// When the table may forget a credential, and its places in the lists of these projects.
async fn forgotten(sdk: &Sdk, credential: &Credential, projects: &[&ProjectId]) -> anyhow::Result<Vec<Option<i64>>> {
    let (project, id) = (&credential.project, &credential.id);
    let mut times = vec![delete_after(sdk, &format!("P#{project}#C#{id}"), "META").await?];
    for project in projects {
        times.push(delete_after(sdk, &format!("P#{project}"), &format!("CRD#{id}")).await?);
    }
    Ok(times)
}

async fn changed(store: &dyn Store, base: &Credential, change: &StatusChange) -> anyhow::Result<Credential> {
    match store.change_status(base, change).await? {
        Attempted::Applied(after) => Ok(*after),
        Attempted::Refused(by) => anyhow::bail!("a change of status is refused by {by:?}"),
    }
}

/// Holds a store to what its docs say about forgetting.
pub async fn check(store: &dyn Store, sdk: &Sdk) -> anyhow::Result<()> {
    let (home, guest) = (ProjectId::generate(), ProjectId::generate());
    let flow = fixtures::flow(&fixtures::session(&home));
    let credential = Credential { projects: vec![guest.clone()], ..fixtures::credential(&flow) };
    store.insert_credential(&credential).await?;
    let suspended = changed(store, &credential, &fixtures::status_change(CredentialStatus::Suspended)).await?;
    assert_eq!(forgotten(sdk, &credential, &[&home, &guest]).await?, [None, None, None]);

    let at = start() + Duration::days(30);
    let end = StatusChange { forget_after: Some(at), ..fixtures::status_change(CredentialStatus::Revoked) };
    changed(store, &suspended, &end).await?;
    assert_eq!(forgotten(sdk, &credential, &[&home, &guest]).await?, [Some(at.timestamp()); 3]);

    let detached = Credential { detached: true, ..fixtures::credential(&flow) };
    store.insert_credential(&detached).await?;
    changed(store, &detached, &end).await?;
    assert_eq!(forgotten(sdk, &detached, &[]).await?, [Some(at.timestamp())]);

    store.record_attempt(&home, &credential.id, 3, &fixtures::attempt(start())).await?;
    let attempt = delete_after(sdk, &format!("P#{home}#C#{}", credential.id), "ATTEMPT#03").await?;
    assert_eq!(attempt, Some((start() + Duration::days(90)).timestamp()));

    let orphan = fixtures::orphan(7, 3);
    store.keep_orphan(&home, &credential.id, &orphan).await?;
    let pk = format!("P#{home}#C#{}", credential.id);
    let kept = delete_after(sdk, &pk, &format!("ORPHAN#0000000007#0000000003#{}", orphan.attempt)).await?;
    assert_eq!(kept, Some((start() + Duration::days(30)).timestamp()));

    let other = fixtures::credential(&flow);
    let other = Credential { name: fixtures::unique(), ..other };
    store.insert_credential(&other).await?;
    let event = Event::expiring(&other, start() + Duration::days(6), start());
    assert!(store.warn_of(&other, &event).await?);
    let sk = format!("EVENT#0000000001#0000000000#{}", (start() + Duration::days(6)).timestamp());
    let told = delete_after(sdk, &format!("P#{home}#C#{}", other.id), &sk).await?;
    assert_eq!(told, Some((start() + Duration::days(30)).timestamp()));

    let health = fixtures::health(&ClientId::generate(), fixtures::ORIGIN);
    let later = start() + Duration::hours(1);
    for (health, now) in [(health.clone(), start()), (Health { version: 2, ..health }, later)] {
        assert!(store.put_health(&health, now).await?);
        let sk = format!("HEALTH#{}", sha256(fixtures::ORIGIN));
        let noted = delete_after(sdk, &format!("CLT#{}", health.client), &sk).await?;
        assert_eq!(noted, Some((now + Duration::days(1)).timestamp()));
    }
    Ok(())
}
