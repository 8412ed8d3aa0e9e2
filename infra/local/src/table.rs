//! The table of the local stack, as `infra/template.yaml` declares it for AWS.

use anyhow::Context as _;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection, ProjectionType,
    ScalarAttributeType, TimeToLiveSpecification, TimeToLiveStatus,
};

/// The attribute by which the table forgets items. It never means a token's expiry.
const TTL_ATTRIBUTE: &str = "delete_after";

/// Makes the table with its index of due work, and turns its time to live on. A table that exists is left as it is.
///
/// # Errors
///
/// The engine does not answer or refuses.
pub async fn create(sdk: &Client, table: &str) -> anyhow::Result<()> {
    let create = sdk
        .create_table()
        .table_name(table)
        .billing_mode(BillingMode::PayPerRequest)
        .set_attribute_definitions(Some(vec![
            attribute("pk", ScalarAttributeType::S)?,
            attribute("sk", ScalarAttributeType::S)?,
            attribute("due_shard", ScalarAttributeType::S)?,
            attribute("due_at", ScalarAttributeType::N)?,
        ]))
        .set_key_schema(Some(key("pk", "sk")?))
        .global_secondary_indexes(due_index()?);
    if let Err(error) = create.send().await {
        let exists = error.as_service_error().is_some_and(|service| service.is_resource_in_use_exception());
        if !exists {
            return Err(error).context("the table cannot be made");
        }
    }
    turn_time_to_live_on(sdk, table).await
}

/// Credentials that a refresh is planned for; the generation voids work that came too late, the client says whose queue
/// it goes to.
fn due_index() -> anyhow::Result<GlobalSecondaryIndex> {
    let projection = Projection::builder()
        .projection_type(ProjectionType::Include)
        .non_key_attributes("gen")
        .non_key_attributes("client")
        .build();
    let index = GlobalSecondaryIndex::builder()
        .index_name("due")
        .set_key_schema(Some(key("due_shard", "due_at")?))
        .projection(projection);
    Ok(index.build()?)
}

async fn turn_time_to_live_on(sdk: &Client, table: &str) -> anyhow::Result<()> {
    let known = sdk.describe_time_to_live().table_name(table).send().await.context("no answer about time to live")?;
    let status = known.time_to_live_description.and_then(|description| description.time_to_live_status);
    if status == Some(TimeToLiveStatus::Enabled) {
        return Ok(());
    }
    let specification = TimeToLiveSpecification::builder().attribute_name(TTL_ATTRIBUTE).enabled(true).build()?;
    let update = sdk.update_time_to_live().table_name(table).time_to_live_specification(specification);
    update.send().await.context("time to live cannot be turned on")?;
    Ok(())
}

fn attribute(name: &str, kind: ScalarAttributeType) -> anyhow::Result<AttributeDefinition> {
    Ok(AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build()?)
}

fn key(hash: &str, range: &str) -> anyhow::Result<Vec<KeySchemaElement>> {
    let element = |name: &str, kind| KeySchemaElement::builder().attribute_name(name).key_type(kind).build();
    Ok(vec![element(hash, KeyType::Hash)?, element(range, KeyType::Range)?])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engines::Engines;

    #[tokio::test]
    async fn the_table_is_made_once_with_its_index_and_time_to_live() {
        let engines = Engines::start(None).await.unwrap();
        let sdk = Client::new(&engines.sdk_config());
        create(&sdk, "table").await.unwrap();
        create(&sdk, "table").await.unwrap();

        let table = sdk.describe_table().table_name("table").send().await.unwrap().table.unwrap();
        let indexes = table.global_secondary_indexes();
        assert_eq!(indexes.len(), 1);
        assert_eq!(indexes[0].index_name(), Some("due"));
        assert_eq!(indexes[0].projection().unwrap().non_key_attributes(), ["gen", "client"]);
        let time_to_live = sdk.describe_time_to_live().table_name("table").send().await.unwrap();
        let time_to_live = time_to_live.time_to_live_description.unwrap();
        assert_eq!(time_to_live.attribute_name(), Some("delete_after"));
        assert_eq!(time_to_live.time_to_live_status(), Some(&TimeToLiveStatus::Enabled));
    }
}
