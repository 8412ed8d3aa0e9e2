//! Where the values of variables lead a client's requests: checked before anything is sent, and before it is stored.

use std::collections::BTreeMap;

use super::Broker;
use super::inputs::Wrong;
use crate::model::client::{Client, put_in};
use crate::protocol::template::{self, TemplateError};

/// What stands for a value that is not known yet: a label, a path segment or a word of a query.
const STAND_IN: &str = "x";
/// The same for a whole base URL.
const STAND_IN_URL: &str = "https://x.example";

impl Broker {
    /// Checks every URL of a client with the values that are known. One whose values are all known must also be one that
    /// may be reached; of the others only the values are judged.
    pub(crate) fn check_addresses(&self, client: &Client, known: &BTreeMap<String, String>) -> Vec<Wrong> {
        let mut wrong: Vec<Wrong> = Vec::new();
        // The path of the test request is judged below a name that stands for the API.
        let test = client.settings.test_request.as_ref().map(|test| match test.is_url() {
            true => test.path.clone(),
            false => format!("{STAND_IN_URL}{}", test.path),
        });
        let sets = client.settings.sets(known);
        let texts = addresses(client).map(|text| (text, true)).chain(test.as_deref().map(|text| (text, false)));
        for (text, reached) in texts {
            let text = &*put_in(text, &sets);
            let Ok(keys) = template::placeholders(text) else { continue };
            if !keys.iter().any(|key| known.contains_key(*key)) {
                continue;
            }
            let found = self.check_address(client, text, &keys, known, reached);
            wrong.extend(found.filter(|found| !wrong.iter().any(|other| other.0 == found.0)));
        }
        wrong
    }

    fn check_address(
        &self,
        client: &Client,
        text: &str,
        keys: &[&str],
        known: &BTreeMap<String, String>,
        reached: bool,
    ) -> Option<Wrong> {
        let mut values = BTreeMap::new();
        let mut complete = reached;
        for key in keys {
            let value = known.get(*key).cloned().or_else(|| preset(client, key));
            complete &= value.is_some();
            let stand_in = if text.starts_with(&format!("{{{key}}}")) { STAND_IN_URL } else { STAND_IN };
            values.insert((*key).to_owned(), value.unwrap_or_else(|| stand_in.to_owned()));
        }
        match template::render_url(text, &values) {
            Err(TemplateError::Unsafe { key, why }) if known.contains_key(&key) => {
                Some((key, "unsafe_value", format!("It cannot stand in the address where it is used: {why}.")))
            }
            Err(_) => None,
            Ok(url) if complete => {
                let refusal = self.outbound().policy().check_url(url.as_str()).err()?;
                let key = keys.iter().find(|key| known.contains_key(**key))?;
                Some(((*key).to_owned(), refusal.code(), format!("{refusal}. {}", refusal.advice())))
            }
            Ok(_) => None,
        }
    }
}

/// What a variable is when nobody gives it.
pub(crate) fn preset(client: &Client, key: &str) -> Option<String> {
    let variable = client.settings.variables.iter().find(|variable| variable.key == key);
    let of_client = client.settings.values.get(key).cloned();
    of_client.or_else(|| variable?.default.clone())
}

/// Every URL of a client that values can stand in.
fn addresses(client: &Client) -> impl Iterator<Item = &str> {
    let settings = &client.settings;
    let single = [
        settings.authorization_endpoint.as_deref(),
        settings.token_endpoint.as_deref(),
        settings.refresh_request.as_ref().and_then(|request| request.url.as_deref()),
        settings.revocation_endpoint.as_deref(),
        settings.introspection_endpoint.as_deref(),
        settings.userinfo_endpoint.as_deref(),
        settings.api_base_url.as_deref(),
    ];
    let lookups = settings.variables.iter().filter_map(|variable| variable.lookup.as_ref()?.url.as_deref());
    single.into_iter().flatten().chain(settings.api_origins.iter().map(String::as_str)).chain(lookups)
}
