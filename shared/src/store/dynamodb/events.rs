//! The outbox: events that wait for their delivery, each written with the change that it tells of.

use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure;

use super::due::shard;
use super::item::{credential_key, credential_pk, item, model, number, put_over, text, update_with, values};
use super::refresh::{Change, generation};
use super::*;

/// How long an event is kept (days).
const KEEP_DAYS: i64 = 30;

impl DynamoDbStore {
    pub(super) async fn warn_of(&self, base: &Credential, event: &Event) -> StoreResult<bool> {
        let Some(dies_at) = event.dies_at else { return Ok(false) };
        let mut change = Change::new(values([(":base_gen", generation(base.generation))]));
        change.set("warned_of", number(dies_at.timestamp_millis()));
        let condition = "#gen = :base_gen AND (attribute_not_exists(#warned_of) OR #warned_of <> :warned_of)";
        let attempted = self.attempt(&base.project, &base.id, &change, condition, Some(event)).await?;
        Ok(matches!(attempted, Attempted::Applied(_)))
    }

    pub(super) async fn list_events(&self, project: &ProjectId, id: &CredentialId) -> StoreResult<Vec<Event>> {
        self.query_all(credential_pk(project, id), "EVENT#").await?.into_iter().map(model).collect()
    }

    /// A conditional update together with its event; as [`DynamoDbStore::attempt`] otherwise.
    pub(super) async fn attempt_with_event(
        &self,
        project: &ProjectId,
        id: &CredentialId,
        change: &Change,
        condition: &str,
        event: &Event,
    ) -> StoreResult<Attempted> {
        let key = credential_key(project, id);
        let old = ReturnValuesOnConditionCheckFailure::AllOld;
        let update = update_with(&self.table, key, &change.expression(), condition, change.values.clone(), old)?;
        let mut told = item(credential_pk(project, id), format!("EVENT#{}", event_key(event)), event)?;
        // Of the shards of the index that deliveries are found by.
        told.insert("due_shard".to_owned(), text(format!("outbox#{:02}", shard(id))));
        told.insert("due_at".to_owned(), number(event.at.timestamp_millis()));
        told.insert("delete_after".to_owned(), number((event.at + chrono::Duration::days(KEEP_DAYS)).timestamp()));
        let writes = [update, put_over(&self.table, told)?];
        for _ in 0..ROUNDS {
            match self.transact_seeing(writes.to_vec()).await {
                Ok(()) => {
                    let stored = self.find_credential(project, id).await?.ok_or(StoreError::Corrupt)?;
                    return Ok(Attempted::Applied(Box::new(stored)));
                }
                Err((Transaction::Refused(_), old)) => {
                    let old = old.map(model).transpose()?;
                    return Ok(Attempted::Refused(old.map(Box::new)));
                }
                Err((Transaction::Contended, _)) => tokio::time::sleep(CONTENDED).await,
                Err((Transaction::Failed(error), _)) => return Err(error),
            }
        }
        Err(StoreError::Unavailable)
    }
}

/// Sorts the events of a credential by their age.
fn event_key(event: &Event) -> &str {
    event.id.split_once('#').map_or(event.id.as_str(), |(_, rest)| rest)
}
