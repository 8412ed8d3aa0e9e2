//! A raw credential: a JSON document of the owner's, for systems that no grant leads to (an API key, a user name with a
//! password, a connection string).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::secret::Secret;

mod check;
mod schema;

/// What the vault keeps for a raw credential.
#[derive(Serialize, Deserialize)]
pub struct RawValue {
    /// The form of the document.
    v: u8,
    /// The owner's document. It is a secret as a whole.
    pub body: Value,
    /// JSON Schema that the document keeps to, where its owner gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Value>,
    /// The API that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_base_url: Option<String>,
    /// Headers of a request to the API, with placeholders for members of the document.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
}

impl RawValue {
    /// A value.
    pub fn new(
        body: Value,
        schema: Option<Value>,
        api_base_url: Option<String>,
        headers: BTreeMap<String, String>,
    ) -> Self {
        Self { v: 1, body, schema, api_base_url, headers }
    }

    /// Writes the document for the vault.
    pub fn to_document(&self) -> Secret<String> {
        // Strings and JSON values always serialize.
        Secret::new(serde_json::to_string(self).unwrap_or_default())
    }

    /// Reads a document of the vault; `None` when it is not one.
    pub fn from_document(document: &Secret<String>) -> Option<Self> {
        serde_json::from_str(document.expose()).ok()
    }

    /// The members of the document that are texts, numbers or booleans, by name: what header templates may use.
    pub fn members(&self) -> BTreeMap<String, String> {
        let members = self.body.as_object().into_iter().flatten();
        let text = |value: &Value| match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        };
        members.filter_map(|(name, value)| Some((name.clone(), text(value)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_raw_value_survives_the_round_trip_and_its_simple_members_can_stand_in_headers() {
        let body = json!({"username": "ada", "port": 8443, "tls": true, "nested": {"a": 1}, "none": null});
        let headers = [("X-User".to_owned(), "{username}".to_owned())].into();
        let before = RawValue::new(body.clone(), Some(json!({})), Some("http://h/openmrs".to_owned()), headers);
        let after = RawValue::from_document(&before.to_document()).unwrap();
        assert_eq!(after.body, body);
        let members: Vec<_> = after.members().into_iter().collect();
        let text = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(members, [text("port", "8443"), text("tls", "true"), text("username", "ada")]);
    }
}
