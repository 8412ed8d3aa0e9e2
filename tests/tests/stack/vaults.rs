//! Two vaults in one stack: switched at any moment, and documents that move from the one to the other under way.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration as StdDuration;

use chrono::Duration;
use futures::future::{join_all, try_join_all};
use grantkeeper::broker::Broker;
use grantkeeper::broker::access::Caller;
use grantkeeper::broker::migrate_vault::MigrateVault;
use grantkeeper::broker::read_token::{Delivered, TokenRequest};
use grantkeeper::broker::reseal_vault::ResealVault;
use grantkeeper::broker::walk_credentials::{Pace, Walked, walk};
use grantkeeper::error::Error;
use grantkeeper::lambda::assemble;
use grantkeeper::model::credential::{Credential, CredentialStatus};
use grantkeeper::model::ids::{CredentialId, ProjectId};
use grantkeeper::outbound::{Outbound, OutboundPolicy};
use grantkeeper::secret::Secret;
use grantkeeper::store::Store as _;
use grantkeeper::vault::{Prefetched, Vault, VaultError, VaultKind};
use grantkeeper_local::stack::Options;
use grantkeeper_sandbox::ClientSettings;
use grantkeeper_tests::World;
use http::StatusCode;
use serde_json::json;

use super::Outcome;
use super::refresh::Connected;

/// Nothing is tried again.
const ONCE: Pace = Pace { at_once: 4, rounds: 0, pause: StdDuration::ZERO };
const BOTH_WAYS: [(VaultKind, VaultKind); 2] =
    [(VaultKind::SecretsManager, VaultKind::Sealed), (VaultKind::Sealed, VaultKind::SecretsManager)];

async fn world_on(vault: VaultKind) -> anyhow::Result<World> {
    World::with(|options| Options { vault, ..options }).await
}

/// One process of a stack, as it is configured after a switch.
struct Process {
    broker: Broker,
    runner: Caller,
    platform: Caller,
}

impl Process {
    async fn on(world: &World, vault: VaultKind) -> anyhow::Result<Self> {
        let config = grantkeeper::config::Config { vault, ..world.stack.broker.config().clone() };
        let outbound = Outbound::new(OutboundPolicy::allowing(&[world.sandbox_url().to_owned()])?)?;
        let (sdk, clock) = (world.stack.engines.sdk_config(), Arc::new(world.clock.clone()));
        let broker = assemble(config, &sdk, clock, outbound, Default::default());
        let caller = async |key| anyhow::Ok(Caller { key: broker.authenticate(key).await?, project: None, user: None });
        let keys = &world.stack.keys;
        let (runner, platform) = (caller(&keys.runner).await?, caller(&keys.platform).await?);
        Ok(Self { broker, runner, platform })
    }

    /// The access token, or the raw value.
    async fn read(&self, id: &str) -> anyhow::Result<String> {
        Ok(match self.broker.read_token(&self.runner, id, TokenRequest::default()).await? {
            Delivered::Token(token) => token.access_token.expose().clone(),
            Delivered::Raw(raw) => raw.body.to_string(),
        })
    }

    /// Refreshes, as often as it is told to come again.
    async fn refresh(&self, id: &str) -> anyhow::Result<u64> {
        loop {
            match self.broker.refresh(&self.platform, id).await {
                Err(Error::Refreshing { .. }) => tokio::time::sleep(StdDuration::from_millis(50)).await,
                refreshed => return Ok(refreshed?.generation),
            }
        }
    }
}

/// The two vaults of a world in this order.
fn ordered(world: &World, (from, _): (VaultKind, VaultKind)) -> (Arc<dyn Vault>, Arc<dyn Vault>) {
    let vaults = world.vaults();
    let (secrets, sealed): (Arc<dyn Vault>, Arc<dyn Vault>) = (vaults.secrets_manager, vaults.sealed);
    match from {
        VaultKind::SecretsManager => (secrets, sealed),
        VaultKind::Sealed => (sealed, secrets),
    }
}

async fn migrate(world: &World, way: (VaultKind, VaultKind), pace: Pace) -> anyhow::Result<Walked> {
    let (from, to) = ordered(world, way);
    let work = MigrateVault { store: Arc::new(world.store()), from, to, clock: Arc::new(world.clock.clone()) };
    Ok(walk(&world.store(), &work, world.stack.broker.now(), pace, &mut |_| {}).await?)
}

/// Where each version is that a credential points at: in the first vault, in the second.
async fn places(world: &World, way: (VaultKind, VaultKind), stored: &Credential) -> anyhow::Result<Vec<(bool, bool)>> {
    let (from, to) = ordered(world, way);
    let mut places = Vec::new();
    for (pointer, generation) in stored.versions() {
        let mut there = Vec::new();
        for vault in [&from, &to] {
            there.push(match vault.open(&stored.place(generation), pointer, Prefetched::Nothing).await {
                Ok(_) => true,
                Err(VaultError::Missing) => false,
                Err(error) => return Err(error.into()),
            });
        }
        places.push((there[0], there[1]));
    }
    Ok(places)
}

/// A world with credentials in every state that has documents, by what a read of them brings. `lasting` ones can be
/// refreshed.
async fn every_state(world: &World) -> anyhow::Result<(Vec<String>, Vec<String>)> {
    let settings =
        ClientSettings { client_id: "app".into(), client_secret: Some("right-secret".into()), ..Default::default() };
    let client = world.register(settings, json!({})).await?;
    let mut lasting = Vec::new();
    for number in 0..4 {
        let body = json!({ "clients": [client], "name": format!("n{number}"), "scopes": ["read", "write"] });
        lasting.push(world.connect(body).await?["id"].as_str().unwrap().to_owned());
    }
    // One of them has a generation before it.
    let refreshed = world.platform().post(&format!("/v1/credentials/{}/refresh", lasting[1]), json!({})).await?;
    assert_eq!(refreshed.status, StatusCode::OK, "{}", refreshed.body);
    let raw = json!({ "kind": "raw", "name": "raw", "owner": "ada", "body": { "key": "raw-canary" } });
    let raw = world.platform().post("/v1/credentials", raw).await?;
    assert_eq!(raw.status, StatusCode::CREATED, "{}", raw.body);
    let mut all = lasting.clone();
    all.push(raw.text("/id"));
    Ok((lasting, all))
}

async fn read_all(process: &Process, ids: &[String]) -> anyhow::Result<BTreeMap<String, String>> {
    let read = ids.iter().map(async |id| anyhow::Ok((id.clone(), process.read(id).await?)));
    Ok(try_join_all(read).await?.into_iter().collect())
}

#[tokio::test]
async fn a_stack_is_switched_and_back_at_any_moment_and_nothing_is_lost() -> Outcome {
    for (first, second) in BOTH_WAYS {
        let it = Connected::inside(world_on(first).await?, ClientSettings::default(), json!({})).await?;
        let (one, other) = (Process::on(&it.world, first).await?, Process::on(&it.world, second).await?);
        assert_eq!(one.read(&it.id).await?, other.read(&it.id).await?);
        for (generation, process, beside) in
            [(2, &other, &one), (3, &one, &other), (4, &other, &one), (5, &one, &other)]
        {
            assert_eq!(process.refresh(&it.id).await?, generation);
            let token = process.read(&it.id).await?;
            assert_eq!(beside.read(&it.id).await?, token);
            assert_eq!(it.world.call_api(&token).await?.status, StatusCode::OK);
        }
        let presented = it.presented();
        assert_eq!(presented.len(), 4);
        assert!((1..4).all(|number| presented[number] != presented[number - 1]), "{presented:?}");
        // What is deleted is deleted in both.
        assert!(it.world.versions(&it.id).await? >= 2);
        let ended = it.world.platform().acting_for("ada").delete(&format!("/v1/credentials/{}", it.id)).await?;
        assert_eq!(ended.status, StatusCode::ACCEPTED);
        for _ in 0..100 {
            if it.metadata().await?.text("/status") == "revoked" {
                break;
            }
            tokio::time::sleep(StdDuration::from_millis(50)).await;
        }
        let stored = it.stored().await?;
        assert_eq!(stored.status, CredentialStatus::Revoked);
        assert_eq!(places(&it.world, (first, second), &stored).await?, [(false, false), (false, false)]);
    }
    Ok(())
}

#[tokio::test]
async fn a_migration_that_is_killed_anywhere_is_finished_by_the_next_and_every_read_works() -> Outcome {
    let world = world_on(VaultKind::SecretsManager).await?;
    let (lasting, all) = every_state(&world).await?;
    let mut random = 12_345_u64;
    let mut killed = 0;
    for way in BOTH_WAYS {
        let process = Process::on(&world, way.1).await?;
        let expected = read_all(&process, &all).await?;
        let mut stored = Vec::new();
        for id in &all {
            stored.push(world.stored(id).await?);
        }
        for _ in 0..12 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let limit = StdDuration::from_millis((random >> 33) % 150);
            let migration = migrate(&world, way, Pace { at_once: 2, ..ONCE });
            // Programs read all the time.
            let reading = async {
                for _ in 0..3 {
                    assert_eq!(read_all(&process, &all).await?, expected);
                }
                anyhow::Ok(())
            };
            let (migrated, read) = tokio::join!(tokio::time::timeout(limit, migration), reading);
            read?;
            match migrated {
                Ok(walked) => assert_eq!(walked?.left, []),
                Err(_) => killed += 1,
            }
            for before in &stored {
                let now = world.stored(before.id.as_str()).await?;
                let places = places(&world, way, &Credential { intent: None, ..now }).await?;
                assert!(places.iter().all(|(from, to)| *from || *to), "{places:?}");
            }
            // The lease of whoever was killed lapses.
            world.clock.advance(Duration::seconds(26));
        }
        let last = migrate(&world, way, ONCE).await?;
        assert_eq!(last.left, []);
        for before in stored {
            let now = world.stored(before.id.as_str()).await?;
            let all_moved = places(&world, way, &now).await?;
            assert!(all_moved.iter().all(|(from, to)| !from && *to), "{way:?}: {all_moved:?}");
            assert_eq!(Credential { fence: before.fence, ..now }, before, "everything is as it was");
        }
        let again = migrate(&world, way, ONCE).await?;
        assert_eq!((again.done, again.nothing, again.left.len()), (0, all.len(), 0), "there is nothing to do any more");
        assert_eq!(read_all(&process, &all).await?, expected);
        // Nobody's refresh token was presented meanwhile, and all of them are good.
        assert_eq!(
            world.requests_of("refresh_token").len(),
            1 + if way.1 == VaultKind::Sealed { 0 } else { lasting.len() }
        );
        for id in &lasting {
            process.refresh(id).await?;
            let token = process.read(id).await?;
            assert_eq!(world.call_api(&token).await?.status, StatusCode::OK);
        }
    }
    assert!(killed >= 6, "{killed} of 24 were killed");
    Ok(())
}

#[tokio::test]
async fn refreshes_go_on_while_documents_move_whichever_vault_their_process_writes_to() -> Outcome {
    for way in BOTH_WAYS {
        let world = world_on(way.0).await?;
        let (lasting, all) = every_state(&world).await?;
        // The stack was switched for half of the processes only.
        let (old, new) = (Process::on(&world, way.0).await?, Process::on(&world, way.1).await?);
        let refreshing = join_all(lasting.iter().enumerate().map(async |(number, id)| {
            for round in 0..6 {
                let process = if (number + round) % 2 == 0 { &old } else { &new };
                process.refresh(id).await?;
                for process in [&old, &new] {
                    process.read(id).await?;
                }
            }
            anyhow::Ok(())
        }));
        let migrating = async {
            for _ in 0..6 {
                migrate(&world, way, Pace { at_once: 8, rounds: 3, pause: StdDuration::from_millis(20) }).await?;
            }
            anyhow::Ok(())
        };
        let (refreshed, migrated) = tokio::join!(refreshing, migrating);
        migrated?;
        for refreshed in refreshed {
            refreshed?;
        }
        assert_eq!(migrate(&world, way, ONCE).await?.left, []);
        for id in &all {
            let stored = world.stored(id).await?;
            assert!(places(&world, way, &stored).await?.iter().all(|(from, to)| !from && *to), "{id}");
            assert_eq!((stored.lease, stored.intent), (None, None));
        }
        for id in &lasting {
            assert!(world.stored(id).await?.generation >= 7);
            let token = new.read(id).await?;
            assert_eq!(world.call_api(&token).await?.status, StatusCode::OK, "the newest token is served");
            new.refresh(id).await?;
        }
        // No refresh token was presented twice.
        let mut presented: Vec<_> =
            world.requests_of("refresh_token").into_iter().filter_map(|entry| entry.refresh_token).collect();
        let count = presented.len();
        presented.sort();
        presented.dedup();
        assert_eq!(presented.len(), count);
    }
    Ok(())
}

#[tokio::test]
async fn what_a_dead_worker_received_moves_too_and_is_adopted_from_there() -> Outcome {
    for way in BOTH_WAYS {
        let it = Connected::inside(world_on(way.0).await?, ClientSettings::default(), json!({})).await?;
        let received = it.die_before_commit().await?;
        let busy = migrate(&it.world, way, ONCE).await?;
        let left: Vec<_> = busy.left.iter().map(|left| (left.credential.to_string(), left.why)).collect();
        assert_eq!(left, [(it.id.clone(), "it is being refreshed")], "its lease is not over");
        it.world.advance(Duration::seconds(26));
        assert_eq!(migrate(&it.world, way, ONCE).await?.done, 1);
        let stored = it.stored().await?;
        assert_eq!(places(&it.world, way, &stored).await?, [(false, true), (false, true)]);
        assert_eq!(stored.intent.as_ref().map(|intent| intent.attempt.as_str()), Some(super::refresh::DEAD_ATTEMPT));
        let process = Process::on(&it.world, way.1).await?;
        assert_eq!(process.refresh(&it.id).await?, 2);
        assert!(received.access_token.matches(process.read(&it.id).await?.as_bytes()));
        assert_eq!(it.refreshes(), 1, "nobody but the dead worker asked the provider");
    }
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_moved_is_named_and_stays() -> Outcome {
    for way in BOTH_WAYS {
        let it = Connected::inside(world_on(way.0).await?, ClientSettings::default(), json!({})).await?;
        let (stored, (from, to)) = (it.stored().await?, ordered(&it.world, way));
        let place = stored.place(1);
        to.stage(&place, &stored.cur, &Secret::from("{}")).await?;
        let walked = migrate(&it.world, way, ONCE).await?;
        let why: Vec<_> = walked.left.iter().map(|left| left.why).collect();
        assert_eq!((walked.done, why.as_slice()), (0, &["the new vault has another document under its id"][..]));
        assert!(from.open(&place, &stored.cur, Prefetched::Nothing).await.is_ok(), "nothing was deleted");
        assert_eq!(it.stored().await?.lease, None, "the lease is given back");
        to.delete(&place).await?;
        from.delete(&place).await?;
        let walked = migrate(&it.world, way, ONCE).await?;
        let why: Vec<_> = walked.left.iter().map(|left| left.why).collect();
        assert_eq!(why, ["neither vault has its tokens"]);
    }
    Ok(())
}

#[tokio::test]
async fn suspended_ended_shared_and_detached_credentials_move_as_well_and_each_once() -> Outcome {
    let way = BOTH_WAYS[0];
    let it = Connected::inside(world_on(way.0).await?, ClientSettings::default(), json!({})).await?;
    let other = it.world.project(json!({})).await?;
    let alone = it.stored().await?;
    let shared = Credential { projects: vec![ProjectId::parse(&other)?], ..alone.clone() };
    it.world.store().update_credential(&alone, &shared).await?;
    it.set_status(CredentialStatus::Suspended).await?;
    let stored = it.stored().await?;

    // A grant that is kept until the provider was told.
    let id = CredentialId::generate();
    let detached = Credential {
        name: id.to_string(),
        id,
        detached: true,
        status: CredentialStatus::Revoking,
        projects: Vec::new(),
        refresh_after: Some(it.world.stack.broker.now().timestamp_millis()),
        ..stored.clone()
    };
    let (from, _) = ordered(&it.world, way);
    let document = from.open(&stored.place(1), &stored.cur, Prefetched::Nothing).await?;
    from.stage(&detached.place(1), &detached.cur, &document).await?;
    it.world.store().insert_credential(&detached).await?;

    let walked = migrate(&it.world, way, ONCE).await?;
    assert_eq!((walked.done, walked.nothing, walked.left.len()), (2, 0, 0));
    for credential in [&stored, &detached] {
        assert_eq!(places(&it.world, way, credential).await?, [(false, true)]);
        let now = it.world.stored(credential.id.as_str()).await?;
        // The one that was made here does not say where the index has it.
        assert_eq!(Credential { due_at: credential.due_at, ..now }, *credential, "nothing else changed");
    }
    Ok(())
}

#[tokio::test]
async fn after_a_rotation_everything_is_sealed_again_with_the_new_key() -> Outcome {
    let world = world_on(VaultKind::Sealed).await?;
    let (_, all) = every_state(&world).await?;
    let process = Process::on(&world, VaultKind::Sealed).await?;
    let expected = read_all(&process, &all).await?;
    let vaults = world.vaults();
    assert_eq!(vaults.sealed.rotate(world.stack.project.as_str()).await?, 2);
    let work = ResealVault { vault: vaults.sealed.clone() };
    let now = world.stack.broker.now();
    let (store, mut heard) = (world.store(), 0);
    let mut report = |_: &Walked| heard += 1;
    let (walked, read) = tokio::join!(walk(&store, &work, now, ONCE, &mut report), read_all(&process, &all));
    let walked = walked?;
    assert_eq!((walked.done, walked.nothing, walked.left.len()), (all.len(), 0, 0));
    assert_eq!(read?, expected);
    assert_eq!(read_all(&process, &all).await?, expected);
    assert!(heard > 0, "nobody was told how far it is");
    let again = walk(&store, &work, now, ONCE, &mut |_| {}).await?;
    assert_eq!((again.done, again.nothing), (0, all.len()));
    Ok(())
}
