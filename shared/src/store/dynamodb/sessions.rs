//! Connect sessions, and their locators by the hash of the token in the link.

use super::item::{META, delete, delete_existing, forget_after, item, key, model, number, put_new, session_pk, text};
use super::*;

fn by_token(token_hash: &str) -> String {
    format!("T#{token_hash}")
}

impl DynamoDbStore {
    pub(super) async fn insert_session(&self, session: &Session) -> StoreResult<()> {
        let mut base = item(session_pk(&session.project, &session.id), META.to_owned(), session)?;
        base.insert("expires_ms".to_owned(), number(session.expires_at.timestamp_millis()));
        forget_after(&mut base, session.expires_at);
        let mut locator = key(by_token(&session.token_hash), META.to_owned());
        locator.insert("project".to_owned(), text(session.project.as_str()));
        locator.insert("session".to_owned(), text(session.id.as_str()));
        forget_after(&mut locator, session.expires_at);
        let writes = vec![put_new(&self.table, base)?, put_new(&self.table, locator)?];
        self.insert_all(writes).await
    }

    pub(super) async fn find_session(&self, project: &ProjectId, id: &SessionId) -> StoreResult<Option<Session>> {
        self.get(session_pk(project, id), META.to_owned()).await?.map(model).transpose()
    }

    pub(super) async fn find_session_by_token(&self, token_hash: &str) -> StoreResult<Option<Session>> {
        let Some(locator) = self.get(by_token(token_hash), META.to_owned()).await? else {
            return Ok(None);
        };
        let part = |name: &str| locator.get(name)?.as_s().ok();
        let project = part("project").and_then(|id| ProjectId::parse(id).ok()).ok_or(StoreError::Corrupt)?;
        let session = part("session").and_then(|id| SessionId::parse(id).ok()).ok_or(StoreError::Corrupt)?;
        self.find_session(&project, &session).await
    }

    pub(super) async fn delete_session(&self, session: &Session) -> StoreResult<bool> {
        let writes = vec![
            delete_existing(&self.table, key(session_pk(&session.project, &session.id), META.to_owned()))?,
            delete(&self.table, key(by_token(&session.token_hash), META.to_owned()))?,
        ];
        self.delete_all(writes).await
    }
}
