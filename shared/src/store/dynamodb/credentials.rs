//! Credentials: metadata and the refresh record in one item, a pointer in the project's list, a name that is taken.

use super::due::{due_pk, due_time, shard};
use super::item::{META, credential_key, credential_pk, item, model, name_sk, number, project_pk, text, update};
use super::pointers::{additions, free_name, home, name_key, pointer_key, share, still_shared, take_name};
use super::refresh::Change;
use super::*;

/// The fields that people change.
const CHANGEABLE: [&str; 11] = [
    "account",
    "account_kind",
    "choices",
    "external_id",
    "former",
    "labels",
    "looked_up_at",
    "name",
    "owner",
    "projects",
    "variables",
];
/// Those that belong to one grant, which another call may have settled or replaced meanwhile.
const OF_GRANT: [&str; 5] = ["account", "choices", "former", "looked_up_at", "variables"];

/// The item of a new credential.
pub(super) fn credential_item(credential: &Credential) -> StoreResult<Item> {
    let mut item = item(credential_pk(&credential.project, &credential.id), META.to_owned(), credential)?;
    if let Some(due_at) = due_time(credential) {
        item.insert("due_shard".to_owned(), text(due_pk(shard(&credential.id))));
        item.insert("due_at".to_owned(), number(due_at));
    }
    Ok(item)
}

#[cfg(feature = "testing")]
impl DynamoDbStore {
    /// The item of a new credential alone, without its pointer and its name: for whoever fills a table with more of them
    /// than there is time for transactions.
    ///
    /// # Errors
    /// `Corrupt`, when it cannot be written as an item.
    pub fn item_of(credential: &Credential) -> StoreResult<HashMap<String, AttributeValue>> {
        credential_item(credential)
    }
}

/// Whether the grant of `new` is, or was until one refresh ago, that of what is stored: then a repeated call meets its
/// own result.
pub(super) fn carries(stored: &Credential, new: &Credential) -> bool {
    stored.attempt == new.attempt || stored.prev.as_ref() == Some(&new.cur)
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
        // What is no longer shared is not shown, even where its pointer is left.
        items.retain(|credential| credential.is_shared_with(project));
        items.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(Page { items, next })
    }

    pub(super) async fn find_shared_credential(
        &self,
        project: &ProjectId,
        id: &CredentialId,
    ) -> StoreResult<Option<Credential>> {
        let pointer = self.get_item(pointer_key(project, id)).await?;
        let Some(home) = pointer.as_ref().and_then(home) else { return Ok(None) };
        let found = self.find_credential(&home, id).await?;
        Ok(found.filter(|credential| credential.projects.contains(project)))
    }

    pub(super) async fn insert_credential(&self, credential: &Credential) -> StoreResult<()> {
        match self.transact_again(&additions(&self.table, credential)?).await {
            Ok(()) => Ok(()),
            Err(Transaction::Refused(_)) => {
                // The SDK repeats a call whose answer was lost, and the repetition then meets its own result.
                let stored = self.find_credential(&credential.project, &credential.id).await?;
                let ours = stored.is_some_and(|stored| carries(&stored, credential));
                if ours { Ok(()) } else { Err(StoreError::AlreadyExists) }
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
        let (before, wanted) = (item(old)?, item(new)?);
        // What did not change is left alone: another call may be changing it.
        let changed: Vec<_> = CHANGEABLE.into_iter().filter(|field| before.get(*field) != wanted.get(*field)).collect();
        if changed.is_empty() {
            let found = self.find_credential(&old.project, &old.id).await?;
            return found.map(drop).ok_or(StoreError::Changed);
        }
        let mut change = Change::new(Item::new());
        for field in &changed {
            change.set_or_remove(field, wanted.get(*field).filter(|value| !value.is_null()).cloned());
        }
        change.values.insert(":old_name".to_owned(), text(&old.name));
        change.values.insert(":old_owner".to_owned(), text(&old.owner));
        change.values.insert(":revoking".to_owned(), text("revoking"));
        change.values.insert(":revoked".to_owned(), text("revoked"));
        // What has ended may have freed its name, and takes none any more.
        let mut condition =
            "#name = :old_name AND #owner = :old_owner AND NOT (#status IN (:revoking, :revoked))".to_owned();
        if changed.contains(&"choices") || changed.contains(&"variables") {
            condition.push_str(&format!(" AND {}", self::still(&before, "variables", &mut change)));
            condition.push_str(&format!(" AND {}", self::still(&before, "choices", &mut change)));
        }
        if OF_GRANT.iter().any(|of_grant| changed.contains(of_grant)) {
            // A grant that came meanwhile brought its own.
            condition.push_str(" AND #gen = :gen_before");
            change.values.insert(":gen_before".to_owned(), super::refresh::generation(old.generation));
        }
        if changed.contains(&"projects") {
            condition.push_str(&format!(" AND {}", still_shared(old, &mut change)?));
        }
        let base = credential_key(&old.project, &old.id);
        let mut writes = vec![update(&self.table, base, &change.expression(), &condition, change.values)?];
        let renamed = Credential { owner: new.owner.clone(), name: new.name.clone(), ..old.clone() };
        if name_key(old) != name_key(&renamed) {
            writes.push(take_name(&self.table, &renamed)?);
            writes.push(free_name(&self.table, old)?);
        }
        writes.extend(share(&self.table, old, new)?);
        match self.transact_again(&writes).await {
            Ok(()) => Ok(()),
            Err(Transaction::Refused(0)) => {
                // The SDK repeats a call whose answer was lost, and the repetition then meets its own result.
                let stored = self.find_credential(&old.project, &old.id).await?.ok_or(StoreError::Changed)?;
                let stored = item(&stored)?;
                let ours = changed.iter().all(|field| stored.get(*field) == wanted.get(*field));
                if ours { Ok(()) } else { Err(StoreError::Changed) }
            }
            Err(Transaction::Refused(1)) => Err(StoreError::AlreadyExists),
            Err(Transaction::Refused(_) | Transaction::Contended) => Err(StoreError::Changed),
            Err(Transaction::Failed(error)) => Err(error),
        }
    }
}

/// The condition that a field is as it was.
fn still(before: &Item, field: &str, change: &mut Change) -> String {
    match before.get(field) {
        Some(value) => {
            let placeholder = format!(":{field}_before");
            change.values.insert(placeholder.clone(), value.clone());
            format!("#{field} = {placeholder}")
        }
        None => format!("attribute_not_exists(#{field})"),
    }
}
