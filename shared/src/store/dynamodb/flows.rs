//! Flows, and their locators by the hash of `state`.

use super::item::{
    META, flow_pk, forget_after, item, key, model, names, number, put_new, session_pk, text, update, values,
};
use super::keys::serde_time;
use super::*;

/// How long a flow is kept after it began, so that its outcome can be asked (days).
const KEEP_DAYS: i64 = 7;

fn by_state(state_hash: &str) -> String {
    format!("ST#{state_hash}")
}

impl DynamoDbStore {
    pub(super) async fn start_flow(&self, flow: &Flow, session: &Session, now: Timestamp) -> StoreResult<bool> {
        let mut base = item(flow_pk(&flow.project, &flow.id), META.to_owned(), flow)?;
        base.insert("expires_ms".to_owned(), number(flow.expires_at.timestamp_millis()));
        forget_after(&mut base, flow.created_at + chrono::Duration::days(KEEP_DAYS));
        let mut locator = key(by_state(&flow.state_hash), META.to_owned());
        locator.insert("project".to_owned(), text(flow.project.as_str()));
        locator.insert("flow".to_owned(), text(flow.id.as_str()));
        forget_after(&mut locator, flow.expires_at);

        let unchanged = match &session.flow {
            Some(_) => "#flow = :previous",
            None => "attribute_not_exists(#flow)",
        };
        let mut session_values = values([(":flow", text(flow.id.as_str())), (":now", number(now.timestamp_millis()))]);
        if let Some(previous) = &session.flow {
            session_values.insert(":previous".to_owned(), text(previous.as_str()));
        }
        let mut writes = vec![
            put_new(&self.table, base)?,
            put_new(&self.table, locator)?,
            update(
                &self.table,
                key(session_pk(&session.project, &session.id), META.to_owned()),
                "SET #flow = :flow",
                &format!("attribute_exists(pk) AND expires_ms > :now AND {unchanged}"),
                session_values,
            )?,
        ];
        if let Some(previous) = &session.flow {
            writes.push(update(
                &self.table,
                key(flow_pk(&flow.project, previous), META.to_owned()),
                "SET #status = :voided REMOVE parked, inputs",
                "#status IN (:pending, :failed, :voided)",
                values([(":voided", text("voided")), (":pending", text("pending")), (":failed", text("failed"))]),
            )?);
        }
        match self.transact(writes).await {
            Ok(()) => Ok(true),
            Err(Transaction::Refused(_) | Transaction::Contended) => Ok(false),
            Err(Transaction::Failed(error)) => Err(error),
        }
    }

    pub(super) async fn find_flow(&self, project: &ProjectId, id: &FlowId) -> StoreResult<Option<Flow>> {
        self.get(flow_pk(project, id), META.to_owned()).await?.map(model).transpose()
    }

    pub(super) async fn find_flow_by_state(&self, state_hash: &str) -> StoreResult<Option<Flow>> {
        let Some(locator) = self.get(by_state(state_hash), META.to_owned()).await? else {
            return Ok(None);
        };
        let part = |name: &str| locator.get(name)?.as_s().ok();
        let project = part("project").and_then(|id| ProjectId::parse(id).ok()).ok_or(StoreError::Corrupt)?;
        let flow = part("flow").and_then(|id| FlowId::parse(id).ok()).ok_or(StoreError::Corrupt)?;
        self.find_flow(&project, &flow).await
    }

    pub(super) async fn park_flow(&self, flow: &Flow, parking: &Parking, now: Timestamp) -> StoreResult<bool> {
        let sealed =
            serde_dynamo::aws_sdk_dynamodb_1::to_attribute_value(&parking.parked).map_err(|_| StoreError::Corrupt)?;
        let parked = self
            .change_flow(
                flow,
                "SET #status = :parked, parked = :sealed, completion_hash = :hash, completion_expires_at = :until",
                // The expiry is in the condition: the table's own expiry may be days late.
                "#status = :pending AND expires_ms > :now",
                values([
                    (":parked", text("parked")),
                    (":pending", text("pending")),
                    (":sealed", sealed),
                    (":hash", text(&parking.completion_hash)),
                    (":until", text(serde_time(parking.completion_expires_at))),
                    (":now", number(now.timestamp_millis())),
                ]),
            )
            .await?;
        // The SDK repeats a call whose answer was lost, and the repetition then meets its own result.
        Ok(parked
            || self.is_flow(flow, |stored| stored.completion_hash.as_ref() == Some(&parking.completion_hash)).await?)
    }

    pub(super) async fn fail_flow(
        &self,
        flow: &Flow,
        from: FlowStatus,
        problem: &str,
        now: Timestamp,
    ) -> StoreResult<bool> {
        // An expired flow has nothing left to lose, but a late answer must not change what is known about it.
        let mut condition = "#status = :from".to_owned();
        let mut values = values([
            (":failed", text("failed")),
            (":from", serde_dynamo::aws_sdk_dynamodb_1::to_attribute_value(from).map_err(|_| StoreError::Corrupt)?),
            (":problem", text(problem)),
        ]);
        if from == FlowStatus::Pending {
            condition.push_str(" AND expires_ms > :now");
            values.insert(":now".to_owned(), number(now.timestamp_millis()));
        }
        self.change_flow(flow, "SET #status = :failed, problem = :problem REMOVE parked, inputs", &condition, values)
            .await
    }

    pub(super) async fn claim_exchange(&self, flow: &Flow, until: Timestamp, now: Timestamp) -> StoreResult<bool> {
        let Some(hash) = &flow.completion_hash else {
            return Ok(false);
        };
        let expiry = flow.completion_expires_at.unwrap_or(now);
        if now >= expiry {
            return Ok(false);
        }
        let mut change = "SET #status = :exchanging, exchange_until = :until".to_owned();
        let mut values = values([
            (":exchanging", text("exchanging")),
            (":parked", text("parked")),
            (":hash", text(hash)),
            (":until", text(serde_time(until))),
        ]);
        if let Some(attempt) = &flow.exchange_attempt {
            change.push_str(", exchange_attempt = :attempt");
            values.insert(":attempt".to_owned(), text(attempt));
        }
        let condition = "#status = :parked AND completion_hash = :hash";
        let claimed = self.change_flow(flow, &change, condition, values).await?;
        let ours = |stored: &Flow| {
            stored.status == FlowStatus::Exchanging
                && stored.exchange_attempt.is_some()
                && stored.exchange_attempt == flow.exchange_attempt
        };
        Ok(claimed || self.is_flow(flow, ours).await?)
    }

    pub(super) async fn release_exchange(&self, flow: &Flow) -> StoreResult<bool> {
        let mut values = values([(":exchanging", text("exchanging")), (":parked", text("parked"))]);
        let condition = held(flow, "#status = :exchanging", &mut values);
        let change = "SET #status = :parked REMOVE exchange_until, exchange_attempt";
        self.change_flow(flow, change, &condition, values).await
    }

    pub(super) async fn complete_flow(
        &self,
        flow: &Flow,
        credential: &Credential,
        now: Timestamp,
    ) -> StoreResult<Completion> {
        // The flow comes first: who lost it is told so, even where the name, which comes next, is taken as well.
        let mut writes = vec![self.completion(flow, credential, now)?];
        writes.extend(pointers::additions(&self.table, credential)?);
        // The code is spent and cannot be exchanged again, so a collision with another transaction is not the end.
        match self.transact_again(&writes).await {
            Ok(()) => Ok(Completion::Done),
            // The SDK repeats a call whose answer was lost, and the repetition then meets its own result.
            Err(Transaction::Refused(0)) => {
                let stored = self.find_flow(&flow.project, &flow.id).await?;
                let ours = stored.is_some_and(|stored| stored.credential.as_ref() == Some(&credential.id));
                Ok(if ours { Completion::Done } else { Completion::Lost })
            }
            Err(Transaction::Refused(1)) => Ok(Completion::NameTaken),
            Err(Transaction::Refused(_)) => Err(StoreError::AlreadyExists),
            Err(Transaction::Contended) => Err(StoreError::Unavailable),
            Err(Transaction::Failed(error)) => Err(error),
        }
    }

    /// Whether the flow that is stored now is as told.
    async fn is_flow(&self, flow: &Flow, told: impl Fn(&Flow) -> bool + Send) -> StoreResult<bool> {
        Ok(self.find_flow(&flow.project, &flow.id).await?.is_some_and(|stored| told(&stored)))
    }

    /// One conditional update of a flow; `false` when the condition was refused.
    async fn change_flow(&self, flow: &Flow, change: &str, condition: &str, values: Item) -> StoreResult<bool> {
        let update = self
            .sdk
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key(flow_pk(&flow.project, &flow.id), META.to_owned())))
            .update_expression(change)
            .condition_expression(condition)
            .set_expression_attribute_names(names(&[change, condition]))
            .set_expression_attribute_values(Some(values));
        match update.send().await {
            Ok(_) => Ok(true),
            Err(error) => match error.as_service_error() {
                Some(service) if service.is_conditional_check_failed_exception() => Ok(false),
                _ => Err(unavailable(error)),
            },
        }
    }
}

/// Narrows a condition to the exchange that the caller holds: a repetition must not touch another's.
pub(super) fn held(flow: &Flow, condition: &str, values: &mut Item) -> String {
    match &flow.exchange_attempt {
        Some(attempt) => {
            values.insert(":attempt".to_owned(), text(attempt));
            format!("{condition} AND exchange_attempt = :attempt")
        }
        None => condition.to_owned(),
    }
}
