//! What each function did at DynamoDB, Secrets Manager and SQS, held against what the template lets it do. The embedded
//! engines know no permissions, so the calls are read on their way there.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, bail, ensure};
use grantkeeper_tests::Proxy;
use grantkeeper_tests::proxy::Call;
use serde_json::Value;

use crate::functions::FUNCTIONS;
use crate::reading;

/// Resources as the template names them.
const TABLE: &str = "Table.Arn";
const DUE_INDEX: &str = "${Table.Arn}/index/due";
const ROOT_KEY: &str = "RootKey";
const SECRETS: &str = "arn:${AWS::Partition}:secretsmanager:${AWS::Region}:${AWS::AccountId}:secret:${SecretPrefix}/*";
const QUEUE: &str = "RefreshQueue.Arn";

/// Action and resource.
type Right = (String, String);

/// A door to the engines for each function.
pub struct Doors(BTreeMap<&'static str, Proxy>);

impl Doors {
    /// Doors to the engines at this URL.
    pub async fn to(engines: &str) -> anyhow::Result<Self> {
        let mut doors = BTreeMap::new();
        for (name, _) in FUNCTIONS {
            doors.insert(name, Proxy::to(engines).await?);
        }
        Ok(Self(doors))
    }

    /// Where a function finds DynamoDB, Secrets Manager and SQS.
    pub fn environment(&self, function: &str) -> Vec<(&'static str, String)> {
        let url = self.0.get(function).map(|door| door.url.clone()).unwrap_or_default();
        let names = ["AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_SECRETS_MANAGER", "AWS_ENDPOINT_URL_SQS"];
        names.map(|name| (name, url.clone())).to_vec()
    }

    /// Holds what every function did since the last time against its policies.
    ///
    /// # Errors
    /// A function did what it may not do.
    pub fn check(&self, root_key: &str, prefix: &str) -> anyhow::Result<()> {
        let functions = reading::functions()?;
        for (name, door) in &self.0 {
            let function = functions.get(*name).with_context(|| format!("{name} is not in the template"))?;
            let mut granted = BTreeSet::new();
            for policy in reading::items(&function.at("Policies")) {
                granted.extend(reading::grants(&policy)?);
            }
            let mut used = BTreeSet::new();
            for call in door.take_calls() {
                used.extend(rights(&call, root_key, prefix).with_context(|| format!("{name}: {}", call.target))?);
            }
            ensure!(!used.is_empty(), "{name} did nothing");
            let missing: Vec<_> = used.difference(&granted).collect();
            ensure!(missing.is_empty(), "{name} may not do what it did: {missing:?}");
        }
        Ok(())
    }
}

/// What a call needs.
fn rights(call: &Call, root_key: &str, prefix: &str) -> anyhow::Result<Vec<Right>> {
    let body: Value = serde_json::from_str(&call.body)?;
    let right = |action: String, resource: &str| Ok(vec![(action, resource.to_owned())]);
    match call.target.split_once('.') {
        Some(("DynamoDB_20120810", "TransactWriteItems")) => {
            let parts = body["TransactItems"].as_array().context("a list")?.iter();
            let names =
                parts.flat_map(|part| part.as_object().into_iter().flatten().map(|(name, _)| format!("{name}Item")));
            Ok(names.map(|name| (format!("dynamodb:{name}"), TABLE.to_owned())).collect())
        }
        Some(("DynamoDB_20120810", action)) => {
            let resource = if body["IndexName"] == "due" { DUE_INDEX } else { TABLE };
            right(format!("dynamodb:{action}"), resource)
        }
        Some(("secretsmanager", action)) => {
            let name = body["SecretId"].as_str().or(body["Name"].as_str()).context("a name")?;
            let ours = name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'));
            ensure!(ours || name == root_key, "{name} is neither under the prefix nor the root key");
            right(format!("secretsmanager:{action}"), if ours { SECRETS } else { ROOT_KEY })
        }
        // Amazon SQS has one permission for one message and for many.
        Some(("AmazonSQS", action)) => right(format!("sqs:{}", action.trim_end_matches("Batch")), QUEUE),
        _ => bail!("an unknown service"),
    }
}

#[test]
fn each_part_of_a_transaction_needs_its_right() {
    let call =
        |target: &str, body: Value| Call { path: "/".to_owned(), target: target.to_owned(), body: body.to_string() };
    let parts = serde_json::json!([{ "Put": {} }, { "Update": {} }, { "Delete": {} }, { "ConditionCheck": {} }]);
    let transaction = call("DynamoDB_20120810.TransactWriteItems", serde_json::json!({ "TransactItems": parts }));
    let needed: Vec<_> = rights(&transaction, "root", "gk").unwrap().into_iter().map(|(action, _)| action).collect();
    let expected = ["PutItem", "UpdateItem", "DeleteItem", "ConditionCheckItem"].map(|name| format!("dynamodb:{name}"));
    assert_eq!(needed, expected);
    let stranger = call("secretsmanager.GetSecretValue", serde_json::json!({ "SecretId": "gk-other/x" }));
    assert!(rights(&stranger, "root", "gk").is_err());
}
