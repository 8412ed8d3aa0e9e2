//! The last attempts of each credential: a ring of items, so that nothing has to be deleted.

use super::item::{credential_pk, item, model, number};
use super::*;
use crate::model::attempt::KEPT;

/// How long an attempt is kept at most (days): none outlives its credential for long.
const KEEP_DAYS: i64 = 90;

impl DynamoDbStore {
    pub(super) async fn record_attempt(
        &self,
        project: &ProjectId,
        id: &CredentialId,
        place: u64,
        attempt: &Attempt,
    ) -> StoreResult<()> {
        let mut item = item(credential_pk(project, id), format!("ATTEMPT#{:02}", place % KEPT), attempt)?;
        let forget_at = attempt.at + chrono::Duration::days(KEEP_DAYS);
        item.insert("delete_after".to_owned(), number(forget_at.timestamp()));
        let put = self.sdk.put_item().table_name(&self.table).set_item(Some(item));
        put.send().await.map(drop).map_err(unavailable)
    }

    pub(super) async fn list_attempts(&self, project: &ProjectId, id: &CredentialId) -> StoreResult<Vec<Attempt>> {
        let limit = u32::try_from(KEPT).unwrap_or(u32::MAX);
        let mut attempts = Vec::new();
        let mut cursor = None;
        // Attempts can be long, and a page ends after a megabyte.
        loop {
            let (items, next) = self.query(credential_pk(project, id), "ATTEMPT#", limit, cursor.as_deref()).await?;
            attempts.extend(items.into_iter().map(model).collect::<StoreResult<Vec<Attempt>>>()?);
            if next.is_none() {
                break;
            }
            cursor = next;
        }
        attempts.sort_by(|a, b| b.at.cmp(&a.at).then_with(|| b.id.cmp(&a.id)));
        Ok(attempts)
    }
}
