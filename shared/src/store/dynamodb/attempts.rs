//! The last attempts of each credential: a ring of items, so that nothing has to be deleted.

use super::item::{credential_pk, item, model};
use super::*;
use crate::model::attempt::KEPT;

impl DynamoDbStore {
    pub(super) async fn record_attempt(
        &self,
        project: &ProjectId,
        id: &CredentialId,
        number: u64,
        attempt: &Attempt,
    ) -> StoreResult<()> {
        let item = item(credential_pk(project, id), format!("ATTEMPT#{:02}", number % KEPT), attempt)?;
        let put = self.sdk.put_item().table_name(&self.table).set_item(Some(item));
        put.send().await.map(drop).map_err(unavailable)
    }

    pub(super) async fn list_attempts(&self, project: &ProjectId, id: &CredentialId) -> StoreResult<Vec<Attempt>> {
        let limit = u32::try_from(KEPT).unwrap_or(u32::MAX);
        let (items, _) = self.query(credential_pk(project, id), "ATTEMPT#", limit, None).await?;
        let mut attempts = items.into_iter().map(model).collect::<StoreResult<Vec<Attempt>>>()?;
        attempts.sort_by(|a, b| b.at.cmp(&a.at).then_with(|| b.id.cmp(&a.id)));
        Ok(attempts)
    }
}
