//! API keys: found by the hash of their value, listed by their id.

use super::item::{META, delete, delete_existing, forget_after, item, key, model, put_new, put_over, text};
use super::*;

const ALL: &str = "KEYS";

/// How often a key is put before it gives way to the other calls that put it.
const PUT_ROUNDS: u32 = 5;

fn by_hash(hash: &str) -> String {
    format!("K#{hash}")
}

impl DynamoDbStore {
    /// The key itself, and a pointer to it in the list of all keys. An expired key answers as an unknown one would, so
    /// the table may forget it.
    fn key_items(key_record: &ApiKey) -> StoreResult<[Item; 2]> {
        let mut base = item(by_hash(&key_record.hash), META.to_owned(), key_record)?;
        let mut pointer = key(ALL.to_owned(), format!("KEY#{}", key_record.id));
        pointer.insert("hash".to_owned(), text(&key_record.hash));
        let long_after = key_record.expires_at + chrono::Duration::days(30);
        forget_after(&mut base, long_after);
        forget_after(&mut pointer, long_after);
        Ok([base, pointer])
    }

    pub(super) async fn insert_key(&self, key_record: &ApiKey) -> StoreResult<()> {
        let [base, pointer] = Self::key_items(key_record)?;
        let writes = vec![put_new(&self.table, base)?, put_new(&self.table, pointer)?];
        self.insert_all(writes).await
    }

    pub(super) async fn put_key(&self, key_record: &ApiKey) -> StoreResult<()> {
        // Each round replaces what is there now; another call for the same hash may be first.
        for _ in 0..PUT_ROUNDS {
            let old = self.find_key(&key_record.hash).await?;
            let [base, pointer] = Self::key_items(key_record)?;
            let table = &self.table;
            let mut writes = match &old {
                None => vec![put_new(table, base)?, put_new(table, pointer)?],
                Some(old) if old.id == key_record.id => {
                    vec![put_same(table, base, &old.id)?, put_over(table, pointer)?]
                }
                Some(old) => vec![put_same(table, base, &old.id)?, put_new(table, pointer)?],
            };
            if let Some(old) = old.filter(|old| old.id != key_record.id) {
                writes.push(delete(table, key(ALL.to_owned(), format!("KEY#{}", old.id)))?);
            }
            match self.transact(writes).await {
                Ok(()) => return Ok(()),
                Err(Transaction::Refused(0) | Transaction::Contended) => {}
                Err(Transaction::Refused(_)) => return Err(StoreError::AlreadyExists),
                Err(Transaction::Failed(error)) => return Err(error),
            }
        }
        Err(StoreError::Changed)
    }

    pub(super) async fn find_key(&self, hash: &str) -> StoreResult<Option<ApiKey>> {
        self.get(by_hash(hash), META.to_owned()).await?.map(model).transpose()
    }

    pub(super) async fn list_keys(&self, limit: u32, cursor: Option<&str>) -> StoreResult<Page<ApiKey>> {
        let (pointers, next) = self.query(ALL.to_owned(), "KEY#", limit, cursor).await?;
        let hashes = pointers.iter().filter_map(|pointer| pointer.get("hash")?.as_s().ok());
        let keys = hashes.map(|hash| key(by_hash(hash), META.to_owned())).collect();
        let items = self.get_many(keys).await?;
        let mut items = items.into_iter().map(model).collect::<StoreResult<Vec<ApiKey>>>()?;
        items.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(Page { items, next })
    }

    pub(super) async fn delete_key(&self, id: &KeyId) -> StoreResult<bool> {
        let pointer = key(ALL.to_owned(), format!("KEY#{id}"));
        let found = self.get(ALL.to_owned(), format!("KEY#{id}")).await?;
        let Some(hash) = found.as_ref().and_then(|found| found.get("hash")?.as_s().ok()) else {
            return Ok(false);
        };
        let writes =
            vec![delete_existing(&self.table, pointer)?, delete(&self.table, key(by_hash(hash), META.to_owned()))?];
        self.delete_all(writes).await
    }

    pub(super) async fn record_key_use(&self, hash: &str, now: Timestamp) -> StoreResult<()> {
        let update = self
            .sdk
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key(by_hash(hash), META.to_owned())))
            .update_expression("SET last_used_at = :now")
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_values(":now", text(serde_time(now)));
        match update.send().await {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                Some(service) if service.is_conditional_check_failed_exception() => Ok(()),
                _ => Err(unavailable(error)),
            },
        }
    }
}

/// A put over the key that has this id, in a transaction.
fn put_same(table: &str, item: Item, id: &KeyId) -> StoreResult<TransactWriteItem> {
    let put = aws_sdk_dynamodb::types::Put::builder()
        .table_name(table)
        .set_item(Some(item))
        .condition_expression("id = :id")
        .expression_attribute_values(":id", text(id.as_str()))
        .build()
        .map_err(|_| StoreError::Corrupt)?;
    Ok(TransactWriteItem::builder().put(put).build())
}

/// A time as the models write it (RFC 3339, UTC).
pub(super) fn serde_time(at: Timestamp) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
}
