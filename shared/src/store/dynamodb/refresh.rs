//! The conditional updates of the refresh engine (REFRESH.md S1, S5): one call each, the old image instead of a second
//! read when refused.

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure};

use super::due::{due_pk, shard};
use super::item::{credential_key, model, names, number, text, values};
use super::keys::serde_time;
use super::*;

pub(super) const REFRESHABLE: &str = "#status IN (:active, :failing)";

pub(super) fn statuses(values: &mut Item) {
    values.insert(":active".to_owned(), text("active"));
    values.insert(":failing".to_owned(), text("refresh_failing"));
}

pub(super) fn attribute<T: serde::Serialize>(value: T) -> StoreResult<AttributeValue> {
    serde_dynamo::aws_sdk_dynamodb_1::to_attribute_value(value).map_err(|_| StoreError::Corrupt)
}

/// A change under construction: `SET` and `REMOVE` lists with their values.
#[derive(Clone)]
pub(super) struct Change {
    pub(super) sets: Vec<String>,
    removes: Vec<String>,
    pub(super) values: Item,
}

impl Change {
    pub(super) fn new(values: Item) -> Self {
        Self { sets: Vec::new(), removes: Vec::new(), values }
    }

    pub(super) fn set(&mut self, field: &str, value: AttributeValue) {
        self.sets.push(format!("#{field} = :{field}"));
        self.values.insert(format!(":{field}"), value);
    }

    pub(super) fn remove(&mut self, field: &str) {
        self.removes.push(format!("#{field}"));
    }

    pub(super) fn set_or_remove(&mut self, field: &str, value: Option<AttributeValue>) {
        match value {
            Some(value) => self.set(field, value),
            None => self.remove(field),
        }
    }

    pub(super) fn due(&mut self, id: &CredentialId, next_due: Option<i64>) {
        self.set_or_remove("due_shard", next_due.map(|_| text(due_pk(shard(id)))));
        self.set_or_remove("due_at", next_due.map(number));
    }

    pub(super) fn expression(&self) -> String {
        let clauses = [("SET", &self.sets), ("REMOVE", &self.removes)];
        let clauses = clauses.into_iter().filter(|(_, fields)| !fields.is_empty());
        clauses.map(|(verb, fields)| format!("{verb} {}", fields.join(", "))).collect::<Vec<_>>().join(" ")
    }
}

impl DynamoDbStore {
    pub(super) async fn acquire_refresh(
        &self,
        project: &ProjectId,
        id: &CredentialId,
        acquire: &AcquireRefresh,
    ) -> StoreResult<Attempted> {
        let lease = crate::model::credential::Lease {
            owner: acquire.owner.clone(),
            until_ms: acquire.until.timestamp_millis(),
        };
        let intent = crate::model::credential::Intent {
            attempt: acquire.attempt.clone(),
            base_gen: acquire.generation,
            rt_fp: acquire.rt_fp.clone(),
            at_ms: acquire.now.timestamp_millis(),
            outcome: Outcome::Prepared,
            tried: acquire.tried.clone(),
        };
        let mut change = Change::new(values([
            (":one", number(1)),
            (":base_gen", generation(acquire.generation)),
            (":now", number(acquire.now.timestamp_millis())),
        ]));
        statuses(&mut change.values);
        change.sets.push("#fence = #fence + :one".to_owned());
        change.set("lease", attribute(&lease)?);
        change.set("intent", attribute(&intent)?);
        let no_other = match &acquire.take_over {
            Some(dead) => {
                change.values.insert(":dead".to_owned(), text(dead));
                "#intent.#attempt = :dead"
            }
            None => "attribute_not_exists(#intent)",
        };
        let condition = format!(
            "#gen = :base_gen AND {REFRESHABLE} AND (attribute_not_exists(#lease) OR #lease.#until_ms < :now) AND {no_other}"
        );
        // Should the worker die, its work is found again when the lease has ended; commit and release say otherwise.
        let until = acquire.until.timestamp_millis();
        let mut moving = change.clone();
        moving.due(id, Some(until));
        let attempted = match acquire.due_before {
            Some(due) if due <= until => {
                change.values.insert(":until".to_owned(), number(until));
                let found_anyway = format!("{condition} AND #due_at <= :until");
                match self.attempt(project, id, &change, &found_anyway, None).await? {
                    // It was put off after the caller read it.
                    Attempted::Refused(Some(old)) if old.due_at.is_none_or(|due| due > until) => {
                        self.attempt(project, id, &moving, &condition, None).await?
                    }
                    other => other,
                }
            }
            _ => self.attempt(project, id, &moving, &condition, None).await?,
        };
        Ok(match attempted {
            // The SDK repeats a call whose answer was lost; the repetition is refused by its own lease.
            Attempted::Refused(Some(old)) if is_ours(&old, acquire) => Attempted::Applied(old),
            other => other,
        })
    }

    pub(super) async fn commit_refresh(
        &self,
        project: &ProjectId,
        id: &CredentialId,
        commit: &CommitRefresh,
    ) -> StoreResult<Attempted> {
        let mut change = Change::new(values([
            (":fence", generation(commit.fence)),
            (":base_gen", generation(commit.base_generation)),
            (":next_gen", generation(commit.base_generation + 1)),
        ]));
        statuses(&mut change.values);
        change.sets.push("#gen = :next_gen".to_owned());
        change.values.insert(":status".to_owned(), attribute(commit.status)?);
        change.sets.push("#status = :status".to_owned());
        change.set_or_remove("status_reason", commit.status_reason.as_ref().map(text));
        if commit.status == CredentialStatus::Suspended {
            change.set("suspended_from", text("active"));
        }
        change.set("attempt", text(&commit.attempt));
        change.set("cur", text(&commit.cur));
        change.set("prev", text(&commit.prev));
        change.set("prev_until", number(commit.prev_until));
        change.set("issued_at", number(commit.issued_at));
        change.set_or_remove("at_exp", commit.at_exp.map(number));
        change.set_or_remove("refresh_after", commit.refresh_after.map(number));
        change.set("written_until", number(commit.written_until));
        change.set("fails", number(0));
        change.set("granted_scopes", attribute(&commit.granted_scopes)?);
        change.set("last_refreshed_at", text(serde_time(commit.now)));
        change.due(id, commit.next_due);
        for field in ["lease", "intent", "backoff_until"] {
            change.remove(field);
        }
        // The end of the lease is deliberately not tested: late but not superseded is fine.
        let condition =
            format!("#fence = :fence AND #gen = :base_gen AND #intent.#attempt = :attempt AND {REFRESHABLE}");
        let attempted = self.attempt(project, id, &change, &condition, commit.event.as_ref()).await?;
        Ok(match attempted {
            // A repetition that meets its own commit is success.
            Attempted::Refused(Some(old)) if old.attempt == commit.attempt => Attempted::Applied(old),
            other => other,
        })
    }

    pub(super) async fn release_refresh(
        &self,
        project: &ProjectId,
        id: &CredentialId,
        release: &ReleaseRefresh,
    ) -> StoreResult<Attempted> {
        let mut change =
            Change::new(values([(":fence", generation(release.fence)), (":attempt", text(&release.attempt))]));
        statuses(&mut change.values);
        change.set("fails", number(release.fails.into()));
        change.values.insert(":status".to_owned(), attribute(release.status)?);
        change.sets.push("#status = :status".to_owned());
        change.set_or_remove("status_reason", release.status_reason.as_ref().map(text));
        change.set_or_remove("backoff_until", release.backoff_until.map(number));
        change.due(id, release.next_due);
        change.remove("lease");
        match release.keep_intent {
            Some(outcome) => {
                change.values.insert(":outcome".to_owned(), attribute(outcome)?);
                change.sets.push("#intent.#outcome = :outcome".to_owned());
            }
            None => change.remove("intent"),
        }
        let condition = format!("#fence = :fence AND #intent.#attempt = :attempt AND {REFRESHABLE}");
        self.attempt(project, id, &change, &condition, release.event.as_ref()).await
    }

    pub(super) async fn note_attempt(
        &self,
        project: &ProjectId,
        id: &CredentialId,
        note: &NoteAttempt,
    ) -> StoreResult<Attempted> {
        let mut change = Change::new(values([(":fence", generation(note.fence)), (":attempt", text(&note.attempt))]));
        statuses(&mut change.values);
        change.values.insert(":outcome".to_owned(), attribute(note.outcome)?);
        change.sets.push("#intent.#outcome = :outcome".to_owned());
        if let Some(tried) = &note.tried {
            change.values.insert(":tried".to_owned(), attribute(vec![tried])?);
            change.values.insert(":none".to_owned(), attribute(Vec::<String>::new())?);
            change.sets.push("#intent.#tried = list_append(if_not_exists(#intent.#tried, :none), :tried)".to_owned());
        }
        let condition = format!("#fence = :fence AND #intent.#attempt = :attempt AND {REFRESHABLE}");
        self.attempt(project, id, &change, &condition, None).await
    }

    /// One conditional update of a credential, with the event that tells of it.
    pub(super) async fn attempt(
        &self,
        project: &ProjectId,
        id: &CredentialId,
        change: &Change,
        condition: &str,
        event: Option<&Event>,
    ) -> StoreResult<Attempted> {
        if let Some(event) = event {
            return self.attempt_with_event(project, id, change, condition, event).await;
        }
        let expression = change.expression();
        let update = self
            .sdk
            .update_item()
            .table_name(&self.table)
            .set_key(Some(credential_key(project, id)))
            .set_expression_attribute_names(names(&[&expression, condition]))
            .update_expression(expression)
            .condition_expression(condition)
            .set_expression_attribute_values(Some(change.values.clone()))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        for round in 1.. {
            let error = match update.clone().send().await {
                Ok(answer) => {
                    let item = answer.attributes.ok_or(StoreError::Corrupt)?;
                    return Ok(Attempted::Applied(Box::new(model(item)?)));
                }
                Err(error) => error,
            };
            match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(refused)) => {
                    let old = refused.item().cloned().map(model).transpose()?;
                    return Ok(Attempted::Refused(old.map(Box::new)));
                }
                // A transaction is on the item for some milliseconds; the SDK does not repeat this by itself.
                Some(UpdateItemError::TransactionConflictException(_)) if round < ROUNDS => {
                    tokio::time::sleep(CONTENDED).await;
                }
                _ => return Err(unavailable(error)),
            }
        }
        Err(StoreError::Unavailable)
    }
}

pub(super) fn generation(value: u64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// Whether a call meets the lease that it took itself. A status that forbids a refresh came after it: then nothing must
/// be sent any more.
fn is_ours(old: &Credential, acquire: &AcquireRefresh) -> bool {
    matches!(old.status, CredentialStatus::Active | CredentialStatus::RefreshFailing)
        && old.lease.as_ref().is_some_and(|lease| lease.owner == acquire.owner)
        && old.intent.as_ref().is_some_and(|intent| intent.attempt == acquire.attempt)
}
