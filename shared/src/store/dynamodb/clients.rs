//! Clients: one item each, a locator by `client_key`, and pointers in the lists of the projects that may use it.

use super::item::{META, delete, item, key, model, number, project_pk, put_new, put_over, text, update, values};
use super::keys::serde_time;
use super::*;

/// The list of the global clients, and the list of all.
const GLOBAL: &str = "P#global";
const ALL: &str = "CLIENTS";

fn by_id(id: &ClientId) -> String {
    format!("CLT#{id}")
}

fn by_key(client_key: &str) -> String {
    format!("CK#{client_key}")
}

fn pointer_sk(id: &ClientId) -> String {
    format!("CLT#{id}")
}

/// The partitions in whose lists a client stands.
fn lists(client: &Client) -> Vec<String> {
    let home = client.settings.project.as_ref().map_or_else(|| GLOBAL.to_owned(), project_pk);
    let mut lists = vec![ALL.to_owned(), home];
    lists.extend(client.settings.shared_with.iter().map(project_pk));
    lists.sort();
    lists.dedup();
    lists
}

impl DynamoDbStore {
    pub(super) async fn insert_client(&self, client: &Client) -> StoreResult<()> {
        let base = item(by_id(&client.id), META.to_owned(), client)?;
        let mut locator = key(by_key(&client.client_key), META.to_owned());
        locator.insert("client".to_owned(), text(client.id.as_str()));
        let mut writes = vec![put_new(&self.table, base)?, put_new(&self.table, locator)?];
        for list in lists(client) {
            writes.push(put_over(&self.table, key(list, pointer_sk(&client.id)))?);
        }
        self.insert_all(writes).await
    }

    pub(super) async fn find_client(&self, id: &ClientId) -> StoreResult<Option<Client>> {
        self.get(by_id(id), META.to_owned()).await?.map(model).transpose()
    }

    pub(super) async fn find_client_by_key(&self, client_key: &str) -> StoreResult<Option<Client>> {
        let locator = self.get(by_key(client_key), META.to_owned()).await?;
        let id = locator.as_ref().and_then(|locator| ClientId::parse(locator.get("client")?.as_s().ok()?).ok());
        match id {
            Some(id) => self.find_client(&id).await,
            None => Ok(None),
        }
    }

    pub(super) async fn list_clients(
        &self,
        project: Option<&ProjectId>,
        limit: u32,
        cursor: Option<&str>,
    ) -> StoreResult<Page<Client>> {
        let partitions = match project {
            Some(project) => vec![project_pk(project), GLOBAL.to_owned()],
            None => vec![ALL.to_owned()],
        };
        // Each partition is sorted by id, so the first `limit` of both together are among the first `limit` of each.
        let mut ids: Vec<String> = Vec::new();
        let mut more = false;
        for partition in partitions {
            let (pointers, next) = self.query(partition, "CLT#", limit, cursor).await?;
            more |= next.is_some();
            let found = pointers.iter().filter_map(|pointer| pointer.get("sk")?.as_s().ok()?.strip_prefix("CLT#"));
            ids.extend(found.map(str::to_owned));
        }
        ids.sort();
        ids.dedup();
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        more |= ids.len() > limit;
        ids.truncate(limit);
        let keys = ids.iter().map(|id| key(format!("CLT#{id}"), META.to_owned())).collect();
        let mut items = self.get_many(keys).await?.into_iter().map(model).collect::<StoreResult<Vec<Client>>>()?;
        items.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(Page { items, next: ids.pop().filter(|_| more) })
    }

    pub(super) async fn update_client(&self, client: &Client) -> StoreResult<()> {
        // The lists to leave are those of the revision that the condition below names.
        let is_next = |old: &Client| old.revision.checked_add(1) == Some(client.revision);
        let old = self.find_client(&client.id).await?.filter(is_next);
        let old = old.ok_or(StoreError::Changed)?;
        let base = item(by_id(&client.id), META.to_owned(), client)?;
        let put = aws_sdk_dynamodb::types::Put::builder()
            .table_name(&self.table)
            .set_item(Some(base))
            // A record that was written before there were revisions has none.
            .condition_expression(match old.revision {
                0 => "attribute_exists(pk) AND (attribute_not_exists(revision) OR revision = :revision)",
                _ => "revision = :revision",
            })
            .expression_attribute_values(":revision", number(i64::try_from(old.revision).unwrap_or(i64::MAX)))
            .build()
            .map_err(|_| StoreError::Corrupt)?;
        let mut writes = vec![TransactWriteItem::builder().put(put).build()];
        let (before, after) = (lists(&old), lists(client));
        for list in after.iter().filter(|list| !before.contains(list)) {
            writes.push(put_over(&self.table, key(list.clone(), pointer_sk(&client.id)))?);
        }
        for list in before.iter().filter(|list| !after.contains(list)) {
            writes.push(delete(&self.table, key(list.clone(), pointer_sk(&client.id)))?);
        }
        self.transact(writes).await.map_err(|refusal| match refusal {
            Transaction::Refused(_) | Transaction::Contended => StoreError::Changed,
            Transaction::Failed(error) => error,
        })
    }

    pub(super) async fn record_secret_use(&self, client: &Client, secret: &str, now: Timestamp) -> StoreResult<()> {
        if self.note_secret_use(client, secret, now).await? {
            return Ok(());
        }
        // The caller's copy is old, and the secret has another place by now or none.
        match self.find_client(&client.id).await? {
            Some(client) => self.note_secret_use(&client, secret, now).await.map(drop),
            None => Ok(()),
        }
    }

    /// `false`: the secret is not in the place where this copy of the client has it.
    async fn note_secret_use(&self, client: &Client, secret: &str, now: Timestamp) -> StoreResult<bool> {
        let Some(index) = client.client_secrets.iter().position(|known| known.id == secret) else {
            return Ok(false);
        };
        let update = self
            .sdk
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key(by_id(&client.id), META.to_owned())))
            .update_expression(format!("SET client_secrets[{index}].last_success_at = :now"))
            .condition_expression(format!("client_secrets[{index}].id = :id"))
            .expression_attribute_values(":now", text(serde_time(now)))
            .expression_attribute_values(":id", text(secret));
        match update.send().await {
            Ok(_) => Ok(true),
            Err(error) => match error.as_service_error() {
                Some(service) if service.is_conditional_check_failed_exception() => Ok(false),
                _ => Err(unavailable(error)),
            },
        }
    }

    pub(super) async fn delete_client(&self, client: &Client) -> StoreResult<bool> {
        // The locator stays, empty: a redirect URI that once belonged to a client must never belong to another.
        let mut writes = vec![
            item::delete_existing(&self.table, key(by_id(&client.id), META.to_owned()))?,
            update(
                &self.table,
                key(by_key(&client.client_key), META.to_owned()),
                "SET retired = :yes REMOVE client",
                "attribute_exists(pk)",
                values([(":yes", AttributeValue::Bool(true))]),
            )?,
        ];
        for list in lists(client) {
            writes.push(delete(&self.table, key(list, pointer_sk(&client.id)))?);
        }
        self.delete_all(writes).await
    }
}
