//! Keys of items, and models to items and back. The schema page is `store/README.md`.

use aws_lc_rs::digest;
use aws_sdk_dynamodb::types::{
    AttributeValue, Delete, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Item, StoreError, StoreResult};
use crate::clock::Timestamp;
use crate::model::ids::{CredentialId, FlowId, ProjectId, SessionId};

/// The sort key of every object that has its partition to itself.
pub const META: &str = "META";

/// The primary key of an item.
pub fn key(pk: String, sk: String) -> Item {
    [("pk".to_owned(), AttributeValue::S(pk)), ("sk".to_owned(), AttributeValue::S(sk))].into()
}

/// Makes an item out of a model.
pub fn item<T: Serialize>(pk: String, sk: String, model: &T) -> StoreResult<Item> {
    let mut item: Item = serde_dynamo::aws_sdk_dynamodb_1::to_item(model).map_err(|_| StoreError::Corrupt)?;
    // Absent and null are the same to us, and conditions ask for absence.
    item.retain(|_, value| !value.is_null());
    item.extend(key(pk, sk));
    Ok(item)
}

/// Reads a model out of an item; what the store added to it is passed over.
pub fn model<T: DeserializeOwned>(item: Item) -> StoreResult<T> {
    serde_dynamo::aws_sdk_dynamodb_1::from_item(item).map_err(|_| {
        // The parser's message can quote a value, so it is not logged.
        tracing::error!(dependency = "dynamodb", model = std::any::type_name::<T>(), "an item cannot be read");
        StoreError::Corrupt
    })
}

/// Lets the table forget an item some time after `at`. Never a token's expiry.
pub fn forget_after(item: &mut Item, at: Timestamp) {
    item.insert("delete_after".to_owned(), number((at + chrono::Duration::days(1)).timestamp()));
}

/// A number attribute.
pub fn number(value: i64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// A string attribute.
pub fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

/// The partition of what a project has many of.
pub fn project_pk(project: &ProjectId) -> String {
    format!("P#{project}")
}

/// The partition of a credential.
pub fn credential_pk(project: &ProjectId, id: &CredentialId) -> String {
    format!("P#{project}#C#{id}")
}

/// The key of a credential.
pub fn credential_key(project: &ProjectId, id: &CredentialId) -> Item {
    key(credential_pk(project, id), META.to_owned())
}

/// The other way round, for keys that the index of due work returns.
pub fn parse_credential_pk(pk: &str) -> Option<(ProjectId, CredentialId)> {
    let (project, credential) = pk.strip_prefix("P#")?.split_once("#C#")?;
    Some((ProjectId::parse(project).ok()?, CredentialId::parse(credential).ok()?))
}

/// The partition of a flow.
pub fn flow_pk(project: &ProjectId, id: &FlowId) -> String {
    format!("P#{project}#F#{id}")
}

/// The partition of a session.
pub fn session_pk(project: &ProjectId, id: &SessionId) -> String {
    format!("P#{project}#S#{id}")
}

/// The sort key that keeps names unique per owner. Hashed: names may be long, and hold any character.
pub fn name_sk(owner: &str, name: &str) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(owner.as_bytes());
    context.update(&[0]);
    context.update(name.as_bytes());
    format!("NAME#{}", crate::vault::root_key::hex(context.finish().as_ref()))
}

/// A put of a new item, in a transaction.
pub fn put_new(table: &str, item: Item) -> StoreResult<TransactWriteItem> {
    let put = Put::builder()
        .table_name(table)
        .set_item(Some(item))
        .condition_expression("attribute_not_exists(pk)")
        .build()
        .map_err(|_| StoreError::Corrupt)?;
    Ok(TransactWriteItem::builder().put(put).build())
}

/// A put that replaces, in a transaction.
pub fn put_over(table: &str, item: Item) -> StoreResult<TransactWriteItem> {
    let put = Put::builder().table_name(table).set_item(Some(item)).build().map_err(|_| StoreError::Corrupt)?;
    Ok(TransactWriteItem::builder().put(put).build())
}

/// A delete of an item that is there, in a transaction.
pub fn delete_existing(table: &str, key: Item) -> StoreResult<TransactWriteItem> {
    let delete = Delete::builder()
        .table_name(table)
        .set_key(Some(key))
        .condition_expression("attribute_exists(pk)")
        .build()
        .map_err(|_| StoreError::Corrupt)?;
    Ok(TransactWriteItem::builder().delete(delete).build())
}

/// A delete, in a transaction.
pub fn delete(table: &str, key: Item) -> StoreResult<TransactWriteItem> {
    let delete = Delete::builder().table_name(table).set_key(Some(key)).build().map_err(|_| StoreError::Corrupt)?;
    Ok(TransactWriteItem::builder().delete(delete).build())
}

/// A conditional update, in a transaction.
pub fn update(
    table: &str,
    key: Item,
    expression: &str,
    condition: &str,
    values: Item,
) -> StoreResult<TransactWriteItem> {
    update_with(table, key, expression, condition, values, ReturnValuesOnConditionCheckFailure::None)
}

/// A conditional update, in a transaction; says whether a refusal brings the item that stood against it.
pub fn update_with(
    table: &str,
    key: Item,
    expression: &str,
    condition: &str,
    values: Item,
    on_refusal: ReturnValuesOnConditionCheckFailure,
) -> StoreResult<TransactWriteItem> {
    let update = Update::builder()
        .table_name(table)
        .set_key(Some(key))
        .update_expression(expression)
        .condition_expression(condition)
        .set_expression_attribute_names(names(&[expression, condition]))
        .set_expression_attribute_values((!values.is_empty()).then_some(values))
        .return_values_on_condition_check_failure(on_refusal)
        .build()
        .map_err(|_| StoreError::Corrupt)?;
    Ok(TransactWriteItem::builder().update(update).build())
}

/// The `#name` placeholders of expressions, each standing for the attribute `name` (some names are reserved words).
pub fn names(expressions: &[&str]) -> Option<std::collections::HashMap<String, String>> {
    let words = expressions.iter().flat_map(|expression| {
        expression.split(|character: char| !(character.is_ascii_alphanumeric() || character == '_' || character == '#'))
    });
    let names: std::collections::HashMap<_, _> =
        words.filter_map(|word| Some((word.to_owned(), word.strip_prefix('#')?.to_owned()))).collect();
    (!names.is_empty()).then_some(names)
}

/// Values of an expression.
pub fn values<const N: usize>(pairs: [(&str, AttributeValue); N]) -> Item {
    pairs.map(|(name, value)| (name.to_owned(), value)).into()
}
