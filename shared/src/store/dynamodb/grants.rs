//! What replaces or ends the grant of a credential, whoever refreshes it at the moment.

use super::credentials::carries;
use super::due::due_time;
use super::item::{META, credential_key, flow_pk, key, number, text, update, values};
use super::keys::serde_time;
use super::pointers::{forget_pointers, free_name, name_key, still_shared};
use super::refresh::{Change, REFRESHABLE, attribute, generation, statuses};
use super::*;

impl DynamoDbStore {
    pub(super) async fn replace_grant(
        &self,
        flow: Option<&Flow>,
        base: &Credential,
        new: &Credential,
        now: Timestamp,
    ) -> StoreResult<Replacement> {
        let mut change = Change::new(values([
            (":base_gen", generation(base.generation)),
            (":base_owner", text(&base.owner)),
            (":suspended", text("suspended")),
            (":one", number(1)),
        ]));
        change.sets.push("#fence = #fence + :one".to_owned());
        change.set("gen", generation(new.generation));
        change.set("attempt", text(&new.attempt));
        change.set("cur", text(&new.cur));
        change.set("grant", attribute(new.grant)?);
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
        change.due(&base.id, due_time(new));
        change
            .set_or_remove("former", Some(&new.former).filter(|former| !former.is_empty()).map(attribute).transpose()?);
        for field in ["prev", "prev_until", "lease", "intent", "backoff_until", "choices", "looked_up_at"] {
            change.remove(field);
        }
        // Who suspended it, ended it or gave it to another owner since it was read did not know of the new grant.
        let status = if base.status == CredentialStatus::Suspended {
            reason_still(base, &mut change, "#status = :suspended")
        } else {
            change.values.insert(":revoking".to_owned(), text("revoking"));
            change.values.insert(":revoked".to_owned(), text("revoked"));
            "NOT (#status IN (:suspended, :revoking, :revoked))".to_owned()
        };
        let condition = format!("#gen = :base_gen AND #owner = :base_owner AND {status}");
        let base_key = credential_key(&base.project, &base.id);
        let credential = update(&self.table, base_key, &change.expression(), &condition, change.values)?;
        let mut writes = vec![credential];
        if let Some(flow) = flow {
            writes.insert(0, self.completion(flow, base, now)?);
        }
        match self.transact_again(&writes).await {
            Ok(()) => Ok(Replacement::Done),
            Err(Transaction::Refused(position)) => {
                // The SDK repeats a call whose answer was lost, and the repetition then meets its own result.
                let stored = self.find_credential(&base.project, &base.id).await?;
                Ok(match stored {
                    Some(stored) if carries(&stored, new) => Replacement::Done,
                    _ if flow.is_some() && position == 0 => Replacement::Lost,
                    _ => Replacement::Changed,
                })
            }
            Err(Transaction::Contended) => Err(StoreError::Unavailable),
            Err(Transaction::Failed(error)) => Err(error),
        }
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
        let attempted = self.attempt(&learned.project, &learned.id, &change, &condition, None).await?;
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
        let mut change =
            Change::new(values([(":before", attribute(base.status)?), (":base_owner", text(&base.owner))]));
        change.set("status", attribute(wanted.status)?);
        change.set("fails", number(wanted.fails.into()));
        change.set_or_remove("status_reason", wanted.status_reason.as_ref().map(text));
        change.set_or_remove("suspended_from", wanted.suspended_from.map(attribute).transpose()?);
        change.set_or_remove("evidence", wanted.evidence.as_ref().map(attribute).transpose()?);
        change.due(&base.id, wanted.next_due);
        if let Some(at) = wanted.forget_after {
            change.set("delete_after", number(at.timestamp()));
        }
        let attempted = if (wanted.frees_name || wanted.forget_after.is_some()) && !base.detached {
            self.change_with_pointers(base, &change, wanted).await?
        } else {
            let condition = reason_still(base, &mut change, STILL);
            self.attempt(&base.project, &base.id, &change, &condition, None).await?
        };
        Ok(match attempted {
            // A repetition that meets its own result is success.
            Attempted::Refused(Some(old)) if is_as_wanted(&old, base, wanted) => Attempted::Applied(old),
            other => other,
        })
    }

    /// The status, and with it the name that is taken and the pointers in lists.
    async fn change_with_pointers(
        &self,
        base: &Credential,
        change: &Change,
        wanted: &StatusChange,
    ) -> StoreResult<Attempted> {
        // A new name or another project to share with does not keep it from ending: each round ends what is there now.
        let mut current = base.clone();
        for _ in 0..ROUNDS {
            let writes = self.with_pointers(&current, change.clone(), wanted).await?;
            let outcome = self.transact_again(&writes).await;
            let stored = self.find_credential(&base.project, &base.id).await?;
            match (outcome, stored) {
                (Ok(()), stored) => return Ok(Attempted::Applied(Box::new(stored.ok_or(StoreError::Changed)?))),
                (Err(Transaction::Refused(_)), Some(stored))
                    if stored.status == base.status && stored.owner == base.owner =>
                {
                    current = stored;
                }
                (Err(Transaction::Refused(_)), stored) => return Ok(Attempted::Refused(stored.map(Box::new))),
                (Err(Transaction::Contended), _) => return Err(StoreError::Unavailable),
                (Err(Transaction::Failed(error)), _) => return Err(error),
            }
        }
        Err(StoreError::Unavailable)
    }

    async fn with_pointers(
        &self,
        current: &Credential,
        mut change: Change,
        wanted: &StatusChange,
    ) -> StoreResult<Vec<TransactWriteItem>> {
        let mut condition = STILL.to_owned();
        let mut beside = Vec::new();
        if wanted.frees_name {
            change.values.insert(":old_name".to_owned(), text(&current.name));
            condition.push_str(" AND #name = :old_name");
            // A name that was freed before may be another credential's by now.
            let taken = self.get_item(name_key(current)).await?;
            let by = taken.as_ref().and_then(|taken| taken.get("credential")?.as_s().ok());
            if by.is_some_and(|by| by == current.id.as_str()) {
                beside.push(free_name(&self.table, current)?);
            }
        }
        if let Some(at) = wanted.forget_after {
            condition.push_str(&format!(" AND {}", still_shared(current, &mut change)?));
            beside.extend(forget_pointers(&self.table, current, at)?);
        }
        let base_key = credential_key(&current.project, &current.id);
        let mut writes = vec![update(&self.table, base_key, &change.expression(), &condition, change.values)?];
        writes.extend(beside);
        Ok(writes)
    }
}

/// That a status was not changed, and the credential not given to another owner, since it was read.
const STILL: &str = "#status = :before AND #owner = :base_owner";

/// With it, for one that is suspended, that nobody else suspended it too: who lifts the one would lift the other.
fn reason_still(base: &Credential, change: &mut Change, condition: &str) -> String {
    match &base.status_reason {
        Some(reason) if base.status == CredentialStatus::Suspended => {
            change.values.insert(":reason_before".to_owned(), text(reason));
            format!("{condition} AND #status_reason = :reason_before")
        }
        _ => condition.to_owned(),
    }
}

/// Whether a change of status was made, as far as the credential shows.
fn is_as_wanted(stored: &Credential, base: &Credential, wanted: &StatusChange) -> bool {
    stored.owner == base.owner
        && stored.status == wanted.status
        && stored.status_reason == wanted.status_reason
        && stored.suspended_from == wanted.suspended_from
        && stored.fails == wanted.fails
        && stored.evidence == wanted.evidence
}
