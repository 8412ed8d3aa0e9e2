//! The index of due work: sparse, in shards, sorted by the time from which something is due. A tick costs what is due, and
//! not what is stored.

use super::item::{META, names, number, parse_credential_pk, text, values};
use super::refresh::{Change, REFRESHABLE, generation, statuses};
use super::*;

/// The shard of the index of due work that a credential is in.
pub(super) fn shard(id: &CredentialId) -> u32 {
    let hash = id.as_str().bytes().fold(0u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
    hash % DUE_SHARDS
}

/// The partition of a shard in the index of due work.
pub(super) fn due_pk(shard: u32) -> String {
    format!("due#{shard:02}")
}

/// From when a credential has work to be done (Unix milliseconds): its refresh while its status allows one, the end of
/// its grant at the provider.
pub(super) fn due_time(credential: &Credential) -> Option<i64> {
    match credential.status {
        CredentialStatus::Active | CredentialStatus::ChoiceRequired | CredentialStatus::RefreshFailing => {
            credential.refresh_after
        }
        CredentialStatus::Revoking => {
            Some(credential.refresh_after.unwrap_or_else(|| credential.created_at.timestamp_millis()))
        }
        CredentialStatus::ReauthorizationRequired | CredentialStatus::Suspended | CredentialStatus::Revoked => None,
    }
}

impl DynamoDbStore {
    pub(super) async fn reschedule(&self, base: &Credential, next_due: Option<i64>) -> StoreResult<bool> {
        let mut change = Change::new(values([
            (":base_gen", generation(base.generation)),
            (":base_fence", generation(base.fence)),
            (":base_status", super::refresh::attribute(base.status)?),
        ]));
        change.due(&base.id, next_due);
        change.remove("backoff_until");
        let still = "#gen = :base_gen AND #fence = :base_fence AND #status = :base_status";
        let condition = format!("{still} AND {}", unleased(base, &mut change));
        let attempted = self.attempt(&base.project, &base.id, &change, &condition, None).await?;
        Ok(matches!(attempted, Attempted::Applied(_)))
    }

    pub(super) async fn note_use(&self, base: &Credential, now: Timestamp, next_due: Option<i64>) -> StoreResult<()> {
        let mut change = Change::new(values([(":base_gen", generation(base.generation))]));
        change.set("last_used_at", number(now.timestamp_millis()));
        let mut condition = "#gen = :base_gen".to_owned();
        if next_due.is_some() {
            statuses(&mut change.values);
            change.due(&base.id, next_due);
            let quiet = "attribute_not_exists(#intent) AND attribute_not_exists(#backoff_until)";
            condition.push_str(&format!(" AND {REFRESHABLE} AND attribute_not_exists(#lease) AND {quiet}"));
        }
        // Refused: the generation is newer, or somebody is about to say when it is due. The next read notes it.
        self.attempt(&base.project, &base.id, &change, &condition, None).await.map(drop)
    }

    pub(super) async fn list_due(
        &self,
        shard: u32,
        now: Timestamp,
        limit: u32,
        cursor: Option<&str>,
    ) -> StoreResult<Page<Due>> {
        let (condition, due) = ("due_shard = :shard AND due_at <= :now", "due");
        let start = cursor.and_then(|cursor| start_after(shard, cursor));
        let answer = self
            .sdk
            .query()
            .table_name(&self.table)
            .index_name(due)
            .key_condition_expression(condition)
            .set_expression_attribute_names(names(&[condition]))
            .expression_attribute_values(":shard", text(due_pk(shard)))
            .expression_attribute_values(":now", number(now.timestamp_millis()))
            .limit(i32::try_from(limit).unwrap_or(i32::MAX))
            .set_exclusive_start_key(start)
            .send()
            .await
            .map_err(unavailable)?;
        let next = answer
            .last_evaluated_key
            .as_ref()
            .and_then(|last| Some(format!("{} {}", last.get("due_at")?.as_n().ok()?, last.get("pk")?.as_s().ok()?)));
        let items = answer.items.unwrap_or_default().into_iter().filter_map(found).collect();
        Ok(Page { items, next })
    }
}

/// The condition that nobody has the lease, or still the one that `base` was read with, which has lapsed.
fn unleased(base: &Credential, change: &mut Change) -> &'static str {
    match &base.lease {
        Some(lease) => {
            change.values.insert(":dead_owner".to_owned(), text(&lease.owner));
            "#lease.#owner = :dead_owner"
        }
        None => "attribute_not_exists(#lease)",
    }
}

fn found(item: Item) -> Option<Due> {
    let (project, credential) = parse_credential_pk(item.get("pk")?.as_s().ok()?)?;
    let number = |name: &str| item.get(name)?.as_n().ok()?.parse::<i64>().ok();
    let client = item.get("client").and_then(|client| ClientId::parse(client.as_s().ok()?).ok());
    Some(Due { project, credential, generation: number("gen")?.try_into().ok()?, client, due_at: number("due_at")? })
}

/// Where a page of the index begins, by the due time and the partition key of the last item on the one before.
fn start_after(shard: u32, cursor: &str) -> Option<Item> {
    let (due_at, pk) = cursor.split_once(' ')?;
    let mut start = item::key(pk.to_owned(), META.to_owned());
    start.insert("due_shard".to_owned(), text(due_pk(shard)));
    start.insert("due_at".to_owned(), AttributeValue::N(due_at.to_owned()));
    Some(start)
}
