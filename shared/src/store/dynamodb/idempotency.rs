//! Calls with an `Idempotency-Key` and their answers, sealed.

use super::item::{META, forget_after, key, model, number, text};
use super::*;

/// A call that was begun and never ended, because its worker died, may be begun again after this long (seconds).
const BEGUN_FOR: i64 = 60;

fn pk(record: &IdempotencyRecord) -> String {
    format!("I#{}", record.id)
}

impl DynamoDbStore {
    pub(super) async fn begin_idempotent(&self, record: &IdempotencyRecord, now: Timestamp) -> StoreResult<Idempotent> {
        let mut item = key(pk(record), META.to_owned());
        item.insert("body_hash".to_owned(), text(&record.body_hash));
        item.insert("expires_ms".to_owned(), number((now + chrono::Duration::seconds(BEGUN_FOR)).timestamp_millis()));
        forget_after(&mut item, record.expires_at);
        let put = self
            .sdk
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(pk) OR expires_ms <= :now")
            .expression_attribute_values(":now", number(now.timestamp_millis()));
        match put.send().await {
            Ok(_) => return Ok(Idempotent::Begun),
            Err(error) => match error.as_service_error() {
                Some(service) if service.is_conditional_check_failed_exception() => {}
                _ => return Err(unavailable(error)),
            },
        }
        let Some(mut found) = self.get(pk(record), META.to_owned()).await? else {
            return Ok(Idempotent::UnderWay);
        };
        let same = found.get("body_hash").and_then(|hash| hash.as_s().ok()) == Some(&record.body_hash);
        Ok(match (same, found.remove("answer")) {
            (false, _) => Idempotent::OtherBody,
            (true, None) => Idempotent::UnderWay,
            (true, Some(AttributeValue::M(answer))) => Idempotent::Answered(model(answer)?),
            (true, Some(_)) => return Err(StoreError::Corrupt),
        })
    }

    pub(super) async fn finish_idempotent(&self, record: &IdempotencyRecord, answer: &Sealed) -> StoreResult<()> {
        let answer = serde_dynamo::aws_sdk_dynamodb_1::to_attribute_value(answer).map_err(|_| StoreError::Corrupt)?;
        let update = self
            .sdk
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key(pk(record), META.to_owned())))
            .update_expression("SET answer = :answer, expires_ms = :until")
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_values(":until", number(record.expires_at.timestamp_millis()))
            .expression_attribute_values(":answer", answer);
        update.send().await.map(drop).map_err(unavailable)
    }

    pub(super) async fn abandon_idempotent(&self, record: &IdempotencyRecord) -> StoreResult<()> {
        let delete = self.sdk.delete_item().table_name(&self.table).set_key(Some(key(pk(record), META.to_owned())));
        delete.send().await.map(drop).map_err(unavailable)
    }
}
