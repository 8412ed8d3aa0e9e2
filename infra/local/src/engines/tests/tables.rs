use aws_sdk_dynamodb::Client as Tables;
use aws_sdk_dynamodb::error::ProvideErrorMetadata as _;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ReturnValuesOnConditionCheckFailure,
    ScalarAttributeType,
};
use tempfile::TempDir;

use crate::engines::Engines;

async fn create_table(tables: &Tables) {
    let key = KeySchemaElement::builder().attribute_name("pk").key_type(KeyType::Hash).build().unwrap();
    let attribute = AttributeDefinition::builder().attribute_name("pk").attribute_type(ScalarAttributeType::S);
    let create = tables.create_table().table_name("table").key_schema(key).billing_mode(BillingMode::PayPerRequest);
    create.attribute_definitions(attribute.build().unwrap()).send().await.unwrap();
}

#[tokio::test]
async fn a_refused_condition_returns_the_old_item_and_tables_survive_a_restart() {
    let data = TempDir::new().unwrap();
    let engines = Engines::start(Some(data.path())).await.unwrap();
    let tables = Tables::new(&engines.sdk_config());
    create_table(&tables).await;
    let text = |value: &str| AttributeValue::S(value.to_owned());
    tables
        .put_item()
        .table_name("table")
        .item("pk", text("a"))
        .item("n", AttributeValue::N("1".into()))
        .send()
        .await
        .unwrap();
    let update = |expected: &str| {
        let update =
            tables.update_item().table_name("table").key("pk", text("a")).update_expression("SET n = n + :one");
        let update = update
            .condition_expression("n = :expected")
            .expression_attribute_values(":one", AttributeValue::N("1".into()));
        update
            .expression_attribute_values(":expected", AttributeValue::N(expected.to_owned()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
    };
    update("1").await.unwrap();
    let refused = update("1").await.unwrap_err().into_service_error();
    let refused = match refused {
        UpdateItemError::ConditionalCheckFailedException(refused) => refused,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused.item.unwrap()["n"], AttributeValue::N("2".into()));
    let missing = tables.get_item().table_name("absent").key("pk", text("a")).send().await.unwrap_err();
    assert_eq!(missing.code(), Some("ResourceNotFoundException"));
    let short = tables.create_table().table_name("t").send().await.unwrap_err();
    assert!(short.message().unwrap().starts_with("1 validation error detected"), "{short:?}");
    engines.shutdown().await;

    let engines = Engines::start(Some(data.path())).await.unwrap();
    let tables = Tables::new(&engines.sdk_config());
    let got = tables.get_item().table_name("table").key("pk", text("a")).consistent_read(true).send().await.unwrap();
    assert_eq!(got.item.unwrap()["n"], AttributeValue::N("2".into()));
}
