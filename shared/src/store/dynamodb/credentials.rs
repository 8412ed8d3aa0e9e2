//! Credentials: metadata and the refresh record in one item, a pointer in the project's list, a name that is taken.

use super::item::{
    META, credential_key, credential_pk, delete, item, key, model, name_sk, names, number, project_pk, put_new,
    put_over, text, update,
};
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

/// When a credential is due as it is: a suspended one never is.
pub(super) fn due_at(credential: &Credential) -> Option<i64> {
    credential.refresh_after.filter(|_| credential.status != CredentialStatus::Suspended)
}

/// The item of a new credential; in the index of due work when it can be refreshed.
pub(super) fn credential_item(credential: &Credential) -> StoreResult<Item> {
    let mut item = item(credential_pk(&credential.project, &credential.id), META.to_owned(), credential)?;
    if let Some(due_at) = due_at(credential) {
        item.insert("due_shard".to_owned(), text(due_pk(shard(&credential.id))));
        item.insert("due_at".to_owned(), number(due_at));
    }
    Ok(item)
}

pub(super) fn pointer_sk(id: &CredentialId) -> String {
    format!("CRD#{id}")
}

/// The project that a pointer leads to, when it is not the one it stands in.
fn home(pointer: &Item) -> Option<ProjectId> {
    ProjectId::parse(pointer.get("home")?.as_s().ok()?).ok()
}

fn shared_pointer(project: &ProjectId, credential: &Credential) -> Item {
    let mut pointer = key(project_pk(project), pointer_sk(&credential.id));
    pointer.insert("home".to_owned(), text(credential.project.as_str()));
    pointer
}

impl DynamoDbStore {
    pub(super) async fn find_credential(
        &self,
        project: &ProjectId,
        id: &CredentialId,
    ) -> StoreResult<Option<Credential>> {
        self.get(credential_pk(project, id), META.to_owned()).await?.map(model).transpose()
    }

    pub(super) async fn list_credentials(
        &self,
        project: &ProjectId,
        limit: u32,
        cursor: Option<&str>,
    ) -> StoreResult<Page<Credential>> {
        let (pointers, next) = self.query(project_pk(project), "CRD#", limit, cursor).await?;
        let keys = pointers.iter().filter_map(|pointer| {
            let id = CredentialId::parse(pointer.get("sk")?.as_s().ok()?.strip_prefix("CRD#")?).ok()?;
            Some(credential_key(&home(pointer).unwrap_or_else(|| project.clone()), &id))
        });
        let keys = keys.collect();
        let mut items = self.get_many(keys).await?.into_iter().map(model).collect::<StoreResult<Vec<Credential>>>()?;
        items.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(Page { items, next })
    }

    pub(super) async fn find_shared_credential(
        &self,
        project: &ProjectId,
        id: &CredentialId,
    ) -> StoreResult<Option<Credential>> {
        let pointer = self.get(project_pk(project), pointer_sk(id)).await?;
        let Some(home) = pointer.as_ref().and_then(home) else { return Ok(None) };
        let found = self.find_credential(&home, id).await?;
        Ok(found.filter(|credential| credential.projects.contains(project)))
    }

    pub(super) async fn insert_credential(&self, credential: &Credential) -> StoreResult<()> {
        let mut name = key(project_pk(&credential.project), name_sk(&credential.owner, &credential.name));
        name.insert("credential".to_owned(), text(credential.id.as_str()));
        let base = put_new(&self.table, credential_item(credential)?)?;
        let mut writes = vec![base];
        // A grant that only waits for its end is in no list and takes no name.
        if !credential.detached {
            writes.push(put_new(&self.table, name)?);
            writes.push(put_new(&self.table, key(project_pk(&credential.project), pointer_sk(&credential.id)))?);
            for project in &credential.projects {
                writes.push(put_new(&self.table, shared_pointer(project, credential))?);
            }
        }
        match self.transact(writes).await {
            Ok(()) => Ok(()),
            Err(Transaction::Refused(_)) => {
                // The SDK repeats a call whose answer was lost, and the repetition then meets its own result.
                let stored = self.find_credential(&credential.project, &credential.id).await?;
                if stored.is_some() { Ok(()) } else { Err(StoreError::AlreadyExists) }
            }
            Err(Transaction::Contended) => Err(StoreError::Unavailable),
            Err(Transaction::Failed(error)) => Err(error),
        }
    }

    pub(super) async fn is_name_taken(&self, project: &ProjectId, owner: &str, name: &str) -> StoreResult<bool> {
        Ok(self.get(project_pk(project), name_sk(owner, name)).await?.is_some())
    }

    pub(super) async fn update_credential(&self, old: &Credential, new: &Credential) -> StoreResult<()> {
        let item = |credential| -> StoreResult<Item> {
            serde_dynamo::aws_sdk_dynamodb_1::to_item(credential).map_err(|_| StoreError::Corrupt)
        };
        let (before, changed) = (item(old)?, item(new)?);
        let mut sets = Vec::new();
        let mut removes = Vec::new();
        let mut values = Item::new();
        for field in ["name", "owner", "labels", "external_id", "account_kind", "variables", "projects"] {
            // What did not change is left alone: another call may be changing it.
            if before.get(field) == changed.get(field) {
                continue;
            }
            match changed.get(field).filter(|value| !value.is_null()) {
                Some(value) => {
                    sets.push(format!("#{field} = :{field}"));
                    values.insert(format!(":{field}"), value.clone());
                }
                None => removes.push(format!("#{field}")),
            }
        }
        if sets.is_empty() && removes.is_empty() {
            let found = self.find_credential(&old.project, &old.id).await?;
            return found.map(drop).ok_or(StoreError::Changed);
        }
        let mut change = if sets.is_empty() { String::new() } else { format!("SET {}", sets.join(", ")) };
        if !removes.is_empty() {
            change.push_str(&format!(" REMOVE {}", removes.join(", ")));
        }
        values.insert(":old_name".to_owned(), text(&old.name));
        values.insert(":old_owner".to_owned(), text(&old.owner));
        // What is disconnected has given its name away.
        values.insert(":revoking".to_owned(), text("revoking"));
        values.insert(":revoked".to_owned(), text("revoked"));
        let condition = "attribute_exists(pk) AND #name = :old_name AND #owner = :old_owner AND NOT (#status IN (:revoking, :revoked))";
        let mut writes = vec![update(&self.table, credential_key(&old.project, &old.id), &change, condition, values)?];
        for project in new.projects.iter().filter(|project| !old.projects.contains(project)) {
            writes.push(put_over(&self.table, shared_pointer(project, new))?);
        }
        for project in old.projects.iter().filter(|project| !new.projects.contains(project)) {
            writes.push(delete(&self.table, key(project_pk(project), pointer_sk(&old.id)))?);
        }
        if (&old.owner, &old.name) != (&new.owner, &new.name) {
            let mut name = key(project_pk(&new.project), name_sk(&new.owner, &new.name));
            name.insert("credential".to_owned(), text(new.id.as_str()));
            writes.push(put_new(&self.table, name)?);
            writes.push(delete(&self.table, key(project_pk(&old.project), name_sk(&old.owner, &old.name)))?);
        }
        self.transact(writes).await.map_err(|refusal| match refusal {
            Transaction::Refused(0) | Transaction::Contended => StoreError::Changed,
            Transaction::Refused(_) => StoreError::AlreadyExists,
            Transaction::Failed(error) => error,
        })
    }

    pub(super) async fn list_due(&self, shard: u32, now: Timestamp, limit: u32) -> StoreResult<Vec<Due>> {
        let (condition, due) = ("due_shard = :shard AND due_at <= :now", "due");
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
            .send()
            .await
            .map_err(unavailable)?;
        let found = answer.items.unwrap_or_default().into_iter().filter_map(|item| {
            let (project, credential) = item::parse_credential_pk(item.get("pk")?.as_s().ok()?)?;
            let generation = item.get("gen")?.as_n().ok()?.parse().ok()?;
            Some(Due { project, credential, generation })
        });
        Ok(found.collect())
    }
}
