//! What a sealed document is bound to: whoever can write to the table, and has no key, can lose a document but not have
//! another one opened in its place.

use std::collections::HashMap;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use grantkeeper::secret::Secret;
use grantkeeper::vault::sealed::SealedVault;
use grantkeeper::vault::{Binding, Place, Prefetched, Vault, VaultError};
use grantkeeper_local::engines::Engines;

use super::broken_vault::{BrokenVault, Flaw};
use super::{TABLE, vaults};

type Item = HashMap<String, AttributeValue>;

/// The sealed vault and the table under it.
struct Bench {
    vault: std::sync::Arc<SealedVault>,
    sdk: aws_sdk_dynamodb::Client,
    _engines: Engines,
}

impl Bench {
    async fn new() -> Self {
        let engines = Engines::start(None).await.unwrap();
        let vault = vaults(&engines).await.unwrap().sealed;
        Self { vault, sdk: aws_sdk_dynamodb::Client::new(&engines.sdk_config()), _engines: engines }
    }

    async fn stage(&self, place: &Place, version: &str, text: &str) {
        assert_eq!(self.vault.stage(place, version, &Secret::from(text)).await.unwrap(), version);
    }

    async fn opens(&self, place: &Place, version: &str) -> Result<String, VaultError> {
        self.vault.open(place, version, Prefetched::Nothing).await.map(|document| document.expose().clone())
    }

    async fn item(&self, place: &Place, version: &str) -> Item {
        let read = self.sdk.get_item().table_name(TABLE).set_key(Some(key(place, version)));
        read.send().await.unwrap().item.unwrap()
    }

    /// Writes what one item holds into another place of the table.
    async fn write(&self, mut item: Item, place: &Place, version: &str) {
        item.extend(key(place, version));
        self.sdk.put_item().table_name(TABLE).set_item(Some(item)).send().await.unwrap();
    }
}

fn key(place: &Place, version: &str) -> Item {
    [("pk", format!("V#{}#{}", place.project, place.id)), ("sk", format!("DOC#{version}"))]
        .map(|(name, value)| (name.to_owned(), AttributeValue::S(value)))
        .into()
}

fn version(number: u8) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

fn here() -> Place {
    Place::new("prj_A", "crd_A").bound(7, "https://as.example")
}

/// The bindings for which a document opens although it was sealed for another one, or is taken for the same document.
async fn opened_elsewhere(vault: &dyn Vault) -> Vec<Binding> {
    let (here, version, document) = (here(), version(1), Secret::from("tokens"));
    vault.stage(&here, &version, &document).await.unwrap();
    let mut found = Vec::new();
    for elsewhere in [
        here.clone().bound(6, "https://as.example"),
        here.clone().bound(8, "https://as.example"),
        here.clone().bound(7, "https://as.example.evil"),
        here.clone().bound(7, "https://as.exampl"),
        here.clone().bound(7, ""),
        here.clone().bound(7, "https://as.example https://evil.example"),
    ] {
        let opened = vault.open(&elsewhere, &version, Prefetched::Nothing).await.map(drop);
        let again = vault.stage(&elsewhere, &version, &document).await.map(drop);
        if (opened, again) != (Err(VaultError::Broken), Err(VaultError::VersionTaken)) {
            found.push(elsewhere.binding);
        }
    }
    assert!(vault.open(&here, &version, Prefetched::Nothing).await.unwrap().matches(b"tokens"));
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_opens_only_for_the_generation_and_origins_it_was_sealed_for() {
    let bench = Bench::new().await;
    assert_eq!(opened_elsewhere(&*bench.vault).await, []);
    // The same look at vaults that forget the one or the other.
    for (flaw, count) in [(Flaw::ForgetsGeneration, 2), (Flaw::ForgetsOrigin, 4)] {
        let real = Bench::new().await;
        let found = opened_elsewhere(&BrokenVault::new(real.vault.clone(), flaw)).await;
        assert_eq!(found.len(), count, "{flaw:?}: {found:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_that_is_copied_to_another_place_does_not_open_there() {
    let (bench, here) = (Bench::new().await, here());
    let other_id = Place { id: "crd_B".to_owned(), ..here.clone() };
    let other_project = Place { project: "prj_B".to_owned(), ..here.clone() };
    // The same octets when they are put in one row, at another boundary.
    let other_boundary = Place { project: "prj_Ac".to_owned(), id: "rd_A".to_owned(), ..here.clone() };
    for place in [&here, &other_id, &other_project, &other_boundary] {
        bench.stage(place, &version(1), &format!("of {} {}", place.project, place.id)).await;
    }
    let mine = bench.item(&here, &version(1)).await;
    for elsewhere in [&other_id, &other_project, &other_boundary] {
        let theirs = bench.item(elsewhere, &version(1)).await;
        bench.write(theirs, &here, &version(1)).await;
        bench.write(mine.clone(), elsewhere, &version(1)).await;
        assert_eq!(bench.opens(&here, &version(1)).await, Err(VaultError::Broken), "{elsewhere:?}");
        assert_eq!(bench.opens(elsewhere, &version(1)).await, Err(VaultError::Broken), "{elsewhere:?}");
    }
    bench.write(mine.clone(), &here, &version(1)).await;
    assert_eq!(bench.opens(&here, &version(1)).await.unwrap(), "of prj_A crd_A");
    // An older token set that is put in the place of the present one.
    bench.write(mine, &here, &version(2)).await;
    assert_eq!(bench.opens(&here, &version(2)).await, Err(VaultError::Broken));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_that_was_changed_does_not_open_and_is_no_missing_one() {
    let (bench, here) = (Bench::new().await, here());
    bench.stage(&here, &version(1), "tokens").await;
    assert_eq!(bench.vault.rotate(&here.project).await.unwrap(), 2);
    bench.stage(&here, &version(2), "newer tokens").await;
    let sound = bench.item(&here, &version(1)).await;
    assert_eq!(sound["key"], AttributeValue::N("1".to_owned()));
    assert_eq!(bench.item(&here, &version(2)).await["key"], AttributeValue::N("2".to_owned()));

    let data = sound["data"].as_b().unwrap().clone().into_inner();
    for position in [0, 11, 12, data.len() - 17, data.len() - 1] {
        let mut changed = data.clone();
        changed[position] ^= 0x10;
        let item = Item::from([("data".to_owned(), AttributeValue::B(Blob::new(changed)))]);
        bench
            .write(
                sound.iter().map(|(name, value)| (name.clone(), value.clone())).chain(item).collect(),
                &here,
                &version(1),
            )
            .await;
        assert_eq!(bench.opens(&here, &version(1)).await, Err(VaultError::Broken), "octet {position}");
    }
    let other = |name: &str, value: AttributeValue| {
        let mut item = sound.clone();
        item.insert(name.to_owned(), value);
        item
    };
    let number = |number: &str| AttributeValue::N(number.to_owned());
    for (what, item) in [
        ("another key of the project", other("key", number("2"))),
        ("a key that there is not", other("key", number("9"))),
        ("no number", other("key", number("-1"))),
        ("nothing at all", other("data", AttributeValue::B(Blob::new(Vec::new())))),
        ("a text", other("data", AttributeValue::S("tokens".to_owned()))),
    ] {
        bench.write(item, &here, &version(1)).await;
        assert_eq!(bench.opens(&here, &version(1)).await, Err(VaultError::Broken), "{what}");
    }
    bench.write(sound, &here, &version(1)).await;
    assert_eq!(bench.opens(&here, &version(1)).await.unwrap(), "tokens");
}
