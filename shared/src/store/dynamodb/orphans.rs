//! The journal of token sets that were received and could not be committed (REFRESH.md S5b).

use super::item::{credential_pk, item, model, number};
use super::*;

/// How long an orphan is kept (days).
const KEEP_DAYS: i64 = 30;

impl DynamoDbStore {
    pub(super) async fn keep_orphan(&self, project: &ProjectId, id: &CredentialId, orphan: &Orphan) -> StoreResult<()> {
        let sk = format!("{}{:010}#{}", prefix(orphan.base_gen), orphan.fence, orphan.attempt);
        let mut item = item(credential_pk(project, id), sk, orphan)?;
        let forget_at = orphan.received_at + chrono::Duration::days(KEEP_DAYS);
        item.insert("delete_after".to_owned(), number(forget_at.timestamp()));
        // The same attempt has the same content, so that a repetition changes nothing.
        let put = self.sdk.put_item().table_name(&self.table).set_item(Some(item));
        put.send().await.map(drop).map_err(unavailable)
    }

    pub(super) async fn list_orphans(
        &self,
        project: &ProjectId,
        id: &CredentialId,
        base_generation: u64,
    ) -> StoreResult<Vec<Orphan>> {
        let items = self.query_all(credential_pk(project, id), &prefix(base_generation)).await?;
        let mut orphans = items.into_iter().map(model).collect::<StoreResult<Vec<Orphan>>>()?;
        orphans.sort_by_key(|orphan| std::cmp::Reverse(orphan.fence));
        Ok(orphans)
    }
}

fn prefix(base_generation: u64) -> String {
    format!("ORPHAN#{base_generation:010}#")
}
