//! How the token endpoints of clients are doing.

use super::item::{forget_after, item, model};
use super::*;
use crate::vault::root_key::sha256;

impl DynamoDbStore {
    pub(super) async fn list_health(&self, client: &ClientId) -> StoreResult<Vec<Health>> {
        self.query_all(partition(client), "HEALTH#").await?.into_iter().map(model).collect()
    }

    pub(super) async fn put_health(&self, health: &Health, now: Timestamp) -> StoreResult<bool> {
        // A hash: the values of a person's variables are in the origin, and no place for them is in a key.
        let sk = format!("HEALTH#{}", sha256(&health.origin));
        let mut item = item(partition(&health.client), sk, health)?;
        // Whatever it says ends within the hour; a client that is gone leaves nothing behind.
        forget_after(&mut item, now);
        let put = self.sdk.put_item().table_name(&self.table).set_item(Some(item));
        let before = health.version.saturating_sub(1);
        let put = match before {
            0 => put.condition_expression("attribute_not_exists(pk)"),
            before => put
                .condition_expression("#version = :before")
                .expression_attribute_names("#version", "version")
                .expression_attribute_values(":before", AttributeValue::N(before.to_string())),
        };
        match put.send().await {
            Ok(_) => Ok(true),
            Err(error) => match error.as_service_error() {
                Some(service) if service.is_conditional_check_failed_exception() => Ok(false),
                _ => Err(unavailable(error)),
            },
        }
    }
}

fn partition(client: &ClientId) -> String {
    format!("CLT#{client}")
}
