//! What replaces or ends the grant of a credential, whoever refreshes it at the moment.

use super::credentials::{due_at, due_pk, pointer_sk, shard};
use super::item::{META, credential_key, flow_pk, key, name_sk, number, project_pk, put_over, text, update, values};
use super::keys::serde_time;
use super::refresh::{Change, REFRESHABLE, attribute, generation, statuses};
use super::*;

/// How often a replacement is tried when other transactions are on the same items.
const ROUNDS: u32 = 5;

impl DynamoDbStore {
    pub(super) async fn replace_grant(
        &self,
        flow: Option<&Flow>,
        base: &Credential,
        new: &Credential,
        now: Timestamp,
    ) -> StoreResult<Replacement> {
        let mut change = Change::new(values([(":base_gen", generation(base.generation)), (":one", number(1))]));
        change.sets.push("#fence = #fence + :one".to_owned());
        change.set("gen", generation(new.generation));
        change.set("attempt", text(&new.attempt));
        change.set("cur", text(&new.cur));
        change.set("status", attribute(new.status)?);
        change.set("requested_scopes", attribute(&new.requested_scopes)?);
        change.set("granted_scopes", attribute(&new.granted_scopes)?);
        change.set("variables", attribute(&new.variables)?);
        change.set("bound_origin", text(&new.bound_origin));
        change.set("refreshable", AttributeValue::Bool(new.refreshable));
        change.set("issued_at", number(new.issued_at));
        change.set("written_until", number(new.written_until));
        change.set("fails", number(0));
        change.set_or_remove("status_reason", new.status_reason.as_ref().map(text));
        change.set_or_remove("suspended_from", new.suspended_from.map(attribute).transpose()?);
        change.set_or_remove("account", new.account.as_ref().map(attribute).transpose()?);
        change.set_or_remove("granted_at", new.granted_at.map(|at| text(serde_time(at))));
        change.set_or_remove("refresh_expires_at", new.refresh_expires_at.map(|at| text(serde_time(at))));
        change.set_or_remove("learned_lifetime", new.learned_lifetime.map(|life| number(life.into())));
        change.set_or_remove("at_exp", new.at_exp.map(number));
        change.set_or_remove("refresh_after", new.refresh_after.map(number));
        change.due(&base.id, due_at(new));
        for field in ["prev", "prev_until", "lease", "intent", "backoff_until"] {
            change.remove(field);
        }
        let alive = "NOT (#status IN (:revoking, :revoked))";
        change.values.insert(":revoking".to_owned(), text("revoking"));
        change.values.insert(":revoked".to_owned(), text("revoked"));
        // A suspension that came meanwhile is not lifted by a grant that did not know of it.
        let same = same_status(base, &mut change)?;
        let condition = format!("#gen = :base_gen AND {alive} AND {same}");
        let credential = update(
            &self.table,
            credential_key(&base.project, &base.id),
            &change.expression(),
            &condition,
            change.values,
        )?;
        let mut writes = vec![credential];
        if let Some(flow) = flow {
            writes.insert(0, self.completion(flow, new, now)?);
        }
        for _ in 0..ROUNDS {
            match self.transact(writes.clone()).await {
                Ok(()) => return Ok(Replacement::Done),
                Err(Transaction::Refused(position)) => {
                    // The SDK repeats a call whose answer was lost, and the repetition then meets its own result.
                    let stored = self.find_credential(&base.project, &base.id).await?;
                    return Ok(match stored {
                        Some(stored) if stored.attempt == new.attempt => Replacement::Done,
                        _ if flow.is_some() && position == 0 => Replacement::Lost,
                        _ => Replacement::Changed,
                    });
                }
                Err(Transaction::Contended) => {}
                Err(Transaction::Failed(error)) => return Err(error),
            }
        }
        Err(StoreError::Unavailable)
    }

    pub(super) async fn learn_lifetime(&self, learned: &Credential) -> StoreResult<bool> {
        let mut change = Change::new(values([(":same_gen", generation(learned.generation))]));
        statuses(&mut change.values);
        change.set_or_remove("learned_lifetime", learned.learned_lifetime.map(|life| number(life.into())));
        change.set_or_remove("at_exp", learned.at_exp.map(number));
        change.set_or_remove("refresh_after", learned.refresh_after.map(number));
        change.due(&learned.id, learned.refresh_after);
        if change.sets.is_empty() {
            return Ok(false);
        }
        // A refresh that is under way has the due time for itself.
        let condition = format!("#gen = :same_gen AND attribute_not_exists(#lease) AND {REFRESHABLE}");
        let attempted = self.attempt(&learned.project, &learned.id, &change, &condition).await?;
        Ok(matches!(attempted, Attempted::Applied(_)))
    }

    /// The write that completes a flow which this call is exchanging.
    pub(super) fn completion(
        &self,
        flow: &Flow,
        credential: &Credential,
        now: Timestamp,
    ) -> StoreResult<TransactWriteItem> {
        let mut completion = values([
            (":completed", text("completed")),
            (":exchanging", text("exchanging")),
            (":credential", text(credential.id.as_str())),
            (":now", text(serde_time(now))),
        ]);
        let condition = flows::held(flow, "#status = :exchanging", &mut completion);
        let change = "SET #status = :completed, credential = :credential, completed_at = :now REMOVE parked, inputs, exchange_until";
        update(&self.table, key(flow_pk(&flow.project, &flow.id), META.to_owned()), change, &condition, completion)
    }

    pub(super) async fn change_status(&self, base: &Credential, wanted: &StatusChange) -> StoreResult<Attempted> {
        let mut change = Change::new(Item::new());
        change.set("status", attribute(wanted.status)?);
        change.set("fails", number(wanted.fails.into()));
        change.set_or_remove("status_reason", wanted.status_reason.as_ref().map(text));
        change.set_or_remove("suspended_from", wanted.suspended_from.map(attribute).transpose()?);
        change.set_or_remove("evidence", wanted.evidence.as_ref().map(attribute).transpose()?);
        change.set_or_remove("due_shard", wanted.next_due.map(|_| text(due_pk(shard(&base.id)))));
        change.set_or_remove("due_at", wanted.next_due.map(number));
        if let Some(at) = wanted.forget_after {
            change.set("delete_after", number(at.timestamp()));
        }
        let condition = same_status(base, &mut change)?;
        let attempted = if (wanted.frees_name || wanted.forget_after.is_some()) && !base.detached {
            self.change_with_pointers(base, change, &condition, wanted).await?
        } else {
            self.attempt(&base.project, &base.id, &change, &condition).await?
        };
        Ok(match attempted {
            // A repetition that meets its own result is success.
            Attempted::Refused(Some(old)) if old.status == wanted.status && old.evidence == wanted.evidence => {
                Attempted::Applied(old)
            }
            other => other,
        })
    }

    /// The status, and with it the name that is taken and the pointer in the list.
    async fn change_with_pointers(
        &self,
        base: &Credential,
        mut change: Change,
        condition: &str,
        wanted: &StatusChange,
    ) -> StoreResult<Attempted> {
        change.values.insert(":old_name".to_owned(), text(&base.name));
        change.values.insert(":old_owner".to_owned(), text(&base.owner));
        let condition = format!("{condition} AND #name = :old_name AND #owner = :old_owner");
        let base_key = credential_key(&base.project, &base.id);
        let mut writes = vec![update(&self.table, base_key, &change.expression(), &condition, change.values)?];
        if wanted.frees_name {
            let name = key(project_pk(&base.project), name_sk(&base.owner, &base.name));
            writes.push(delete_own(&self.table, name, base)?);
        }
        if let Some(at) = wanted.forget_after {
            let mut pointer = key(project_pk(&base.project), pointer_sk(&base.id));
            pointer.insert("delete_after".to_owned(), number(at.timestamp()));
            writes.push(put_over(&self.table, pointer)?);
        }
        for _ in 0..ROUNDS {
            match self.transact(writes.clone()).await {
                Ok(()) => {
                    let stored = self.find_credential(&base.project, &base.id).await?;
                    return Ok(Attempted::Applied(Box::new(stored.ok_or(StoreError::Changed)?)));
                }
                Err(Transaction::Refused(_)) => {
                    let stored = self.find_credential(&base.project, &base.id).await?;
                    return Ok(Attempted::Refused(stored.map(Box::new)));
                }
                Err(Transaction::Contended) => {}
                Err(Transaction::Failed(error)) => return Err(error),
            }
        }
        Err(StoreError::Unavailable)
    }
}

/// The condition that the status is still that of `base`, and a suspension still that one.
fn same_status(base: &Credential, change: &mut Change) -> StoreResult<String> {
    change.values.insert(":before".to_owned(), attribute(base.status)?);
    let same = "#status = :before";
    Ok(match (&base.status_reason, base.status) {
        (Some(reason), CredentialStatus::Suspended) => {
            change.values.insert(":reason_before".to_owned(), text(reason));
            format!("{same} AND #status_reason = :reason_before")
        }
        _ => same.to_owned(),
    })
}

/// A delete of a name that this credential took, and of no other's; it may have been freed before.
fn delete_own(table: &str, name: Item, base: &Credential) -> StoreResult<TransactWriteItem> {
    let delete = aws_sdk_dynamodb::types::Delete::builder()
        .table_name(table)
        .set_key(Some(name))
        .condition_expression("attribute_not_exists(pk) OR credential = :credential")
        .expression_attribute_values(":credential", text(base.id.as_str()))
        .build()
        .map_err(|_| StoreError::Corrupt)?;
    Ok(TransactWriteItem::builder().delete(delete).build())
}
