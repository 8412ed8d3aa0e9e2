//! How the endpoints of clients are doing: one item for each client and origin, and one winner for each version.

use super::steps::found;
use crate::model::health::Health;
use crate::model::ids::ClientId;
use crate::store::Store;
use crate::testing::fixtures::{self, ORIGIN, start};
use crate::testing::suite::{Broken, Held, checks, ensure, ensure_eq, one_winner, race, racers};

checks!(dyn Store:
    health_is_listed_as_it_was_written,
    only_the_next_version_of_health_is_written,
    of_racing_writes_of_health_one_wins,
    each_origin_has_versions_of_its_own,
    many_origins_are_all_listed,
    health_of_others_is_not_listed,
);

/// What is listed of a client, by origin.
async fn listed(store: &dyn Store, client: &ClientId) -> Result<Vec<Health>, Broken> {
    let mut all = store.list_health(client).await?;
    all.sort_by(|a, b| a.origin.cmp(&b.origin));
    Ok(all)
}

async fn health_is_listed_as_it_was_written(store: &dyn Store) -> Held {
    let client = ClientId::generate();
    ensure_eq!(listed(store, &client).await?, [], "the health of a client that nothing is known of");
    let first = fixtures::health(&client, ORIGIN);
    let open = Health {
        version: 2,
        opened: 1,
        open_until: Some(1),
        probe_until: Some(2),
        slow_until: Some(3),
        ..first.clone()
    };
    let closed = Health { version: 3, ..Health::unknown(client.clone(), ORIGIN) };
    for health in [first, open, closed] {
        ensure!(store.put_health(&health, start()).await?, "a write is refused");
        ensure_eq!(listed(store, &client).await?, [health], "the health");
    }
    Ok(())
}

async fn only_the_next_version_of_health_is_written(store: &dyn Store) -> Held {
    let first = fixtures::health(&ClientId::generate(), ORIGIN);
    let late = Health { version: 2, ..first.clone() };
    ensure!(!store.put_health(&late, start()).await?, "a second version is written before the first");
    ensure_eq!(listed(store, &first.client).await?, [], "the health");
    ensure!(store.put_health(&first, start()).await?, "the first version is refused");
    for version in [1, 3] {
        let other = Health { version, fails: 9, ..first.clone() };
        ensure!(!store.put_health(&other, start()).await?, "version {version} is written over the first");
        ensure_eq!(listed(store, &first.client).await?, std::slice::from_ref(&first), "the health");
    }
    Ok(())
}

async fn of_racing_writes_of_health_one_wins(store: &dyn Store) -> Held {
    let first = fixtures::health(&ClientId::generate(), ORIGIN);
    for version in [1, 2] {
        let writes =
            racers(|number| Health { version, fails: u32::try_from(number).unwrap_or_default(), ..first.clone() });
        let winner = one_winner(race(&writes, |health| store.put_health(health, start())).await, |won| *won)?;
        let expected = found(writes.get(winner).cloned(), "the winner")?;
        ensure_eq!(listed(store, &first.client).await?, [expected], "the health");
    }
    Ok(())
}

async fn each_origin_has_versions_of_its_own(store: &dyn Store) -> Held {
    let client = ClientId::generate();
    let [one, other] = ["https://a.example", "https://b.example"].map(|origin| fixtures::health(&client, origin));
    for health in [&one, &other] {
        ensure!(store.put_health(health, start()).await?, "the first version of an origin is refused");
    }
    let again = Health { version: 2, ..other };
    ensure!(store.put_health(&again, start()).await?, "the second version of an origin is refused");
    ensure_eq!(listed(store, &client).await?, [one, again], "the health of both");
    Ok(())
}

async fn many_origins_are_all_listed(store: &dyn Store) -> Held {
    let client = ClientId::generate();
    let mut written = Vec::new();
    for number in 100..=200 {
        let health = fixtures::health(&client, &format!("https://tenant-{number}.example"));
        ensure!(store.put_health(&health, start()).await?, "the first version of an origin is refused");
        written.push(health);
    }
    ensure_eq!(listed(store, &client).await?, written, "the health of all");
    Ok(())
}

async fn health_of_others_is_not_listed(store: &dyn Store) -> Held {
    let health = fixtures::health(&ClientId::generate(), ORIGIN);
    ensure!(store.put_health(&health, start()).await?, "the first version is refused");
    let stranger = fixtures::health(&ClientId::generate(), ORIGIN);
    ensure_eq!(listed(store, &stranger.client).await?, [], "the health of another client");
    ensure!(store.put_health(&stranger, start()).await?, "the first version of another client is refused");
    ensure_eq!(listed(store, &health.client).await?, [health], "the health of the first");
    Ok(())
}
