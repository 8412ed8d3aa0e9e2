//! Whether a variable can name only hosts of its provider: a token or a secret goes where it says.

use super::accept::conform;
use super::{Variable, VariableKind};

impl Variable {
    /// Whether its choices, or its pattern with an example, leave no host but the provider's. A pattern is tried with
    /// hosts that an attacker could have, made of the example; one without an example confines nothing.
    pub fn confines_host(&self) -> bool {
        if !self.choices.is_empty() {
            return true;
        }
        let Some(example) = self.example.as_deref().filter(|_| self.pattern.is_some()) else { return false };
        let Ok(example) = conform(self, example) else { return false };
        let host = example.split_once("://").map_or(example.as_str(), |(_, rest)| rest);
        let host = host.split(['/', '?', '#']).next().unwrap_or_default();
        let is_url = self.kind == VariableKind::Url || example.contains("://");
        hostile(host).all(|host| {
            let value = if is_url { format!("https://{host}") } else { host };
            conform(self, &value).is_err()
        })
    }
}

/// Hosts that are not the provider's and resemble one of its.
fn hostile(host: &str) -> impl Iterator<Item = String> {
    let labels: Vec<&str> = host.split('.').collect();
    let registered = labels.get(labels.len().saturating_sub(2)..).unwrap_or_default().join(".");
    let first = labels.first().copied().unwrap_or_default();
    let other_end = |end: &str| {
        let before = labels.get(..labels.len().saturating_sub(1)).unwrap_or_default().join(".");
        format!("{before}.{end}")
    };
    // Where a dot stands for any character, `my.acme.com` lets `my-acme.com` in, which is another's: the dot before the
    // registered name, which has two labels or, as in `co.uk`, three.
    let undotted = [2, 3].into_iter().filter(|own| *own == 2 || is_second_level(&labels)).flat_map(|own| {
        let (before, after) = labels.split_at(labels.len().saturating_sub(own));
        let glued = |glue: &str| format!("{}{glue}{}", before.join("."), after.join("."));
        if before.is_empty() { Vec::new() } else { vec![glued("-"), glued("x")] }
    });
    let like = [
        other_end("xyz"),
        other_end("zip"),
        other_end("evil"),
        format!("{host}.evil.example"),
        format!("{host}.evil.com"),
        format!("{first}.evil.com"),
        format!("evil{registered}"),
        format!("evil-{registered}"),
        format!("evil.example/{host}"),
        format!("evil.example/x.{host}"),
    ];
    let others = ["evil.example", "evil.com", "a.evil.net", "evil", "localhost", "127.0.0.1"];
    like.into_iter().chain(others.map(str::to_owned)).chain(undotted.collect::<Vec<_>>())
}

/// Whether names are registered below a second level here, as in `co.uk` and `com.au`.
fn is_second_level(labels: &[&str]) -> bool {
    matches!(labels, [.., second, top] if top.len() == 2 && second.len() <= 3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn confines(variable: Value) -> bool {
        let mut with_key = json!({ "key": "h" });
        with_key.as_object_mut().unwrap().extend(variable.as_object().cloned().unwrap());
        serde_json::from_value::<Variable>(with_key).unwrap().confines_host()
    }

    #[test]
    fn a_pattern_confines_a_host_only_where_no_host_of_somebody_else_matches_it() {
        let salesforce = r"(login|test)\.salesforce\.com|[a-z0-9-]+(\.sandbox)?\.my\.salesforce\.com";
        for (pattern, example, kind, fits) in [
            (salesforce, "login.salesforce.com", "host", true),
            (salesforce, "acme--x.sandbox.my.salesforce.com", "string", true),
            (r"https://[a-z0-9-]+\.docusign\.(net|com)", "https://na3.docusign.net", "url", true),
            (r"datadoghq\.(com|eu)", "datadoghq.eu", "host", true),
            // Any host, a suffix without its dot, a prefix alone, a dot that is any character, a host in a path.
            (r"[a-z0-9.-]+", "acme.example.com", "host", false),
            (r"[a-z0-9.-]*salesforce\.com", "login.salesforce.com", "host", false),
            (r"login\.salesforce\.com.*", "login.salesforce.com", "host", false),
            (r"https://.*\.docusign\.net", "https://na3.docusign.net", "url", false),
            (r"https://[^/]*docusign\.net", "https://na3.docusign.net", "url", false),
            (r"[a-z0-9-]+.my.salesforce.com", "acme.my.salesforce.com", "host", false),
            (r"accounts\.zoho\.[a-z]{2,5}", "accounts.zoho.eu", "host", false),
        ] {
            let variable = json!({ "pattern": pattern, "example": example, "type": kind });
            assert_eq!(confines(variable), fits, "{pattern}");
        }
        assert!(confines(json!({ "choices": ["a.example", "b.example"] })));
        assert!(!confines(json!({ "pattern": salesforce })), "without an example nothing is shown");
        assert!(!confines(json!({})));
    }
}
