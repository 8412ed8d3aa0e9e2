//! The embedded entries, each as strictly as an operator's: and what is built on them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::*;
use crate::broker::check_provider::check_provider;
use crate::inbound::body::typed;
use crate::model::client::{ClientSettings, GrantType};
use crate::outbound::OutboundPolicy;

mod lists;
mod overlays;

/// What is wrong with an entry, by its fields.
fn wrong(catalogue: &Catalogue, id: &str) -> Result<Provider, Vec<String>> {
    let told = |error: Error| match error {
        Error::Invalid(fields) => {
            fields.into_iter().map(|field| format!("{id}{}: {} {}", field.pointer, field.code, field.detail)).collect()
        }
        other => vec![format!("{id}: {other}")],
    };
    let provider = catalogue.read(id).map_err(told)?;
    check_provider(&provider, &OutboundPolicy::strict()).map_err(told).map(|()| provider)
}

#[test]
fn every_embedded_entry_is_fit_to_be_a_client() {
    let catalogue = Catalogue::default();
    let found: Vec<String> = catalogue.ids().filter_map(|id| wrong(&catalogue, &id).err()).flatten().collect();
    assert!(found.is_empty(), "{} are wrong:\n{}", found.len(), found.join("\n"));
}

#[test]
fn no_two_entries_have_one_name_and_the_list_shows_what_the_entry_says() {
    let catalogue = Catalogue::default();
    let mut names = BTreeMap::new();
    for entry in embedded::ENTRIES {
        let provider = catalogue.read(entry.id).unwrap_or_else(|error| panic!("{}: {error:?}", entry.id));
        assert_eq!(Summary::from(entry), provider.summary());
        let other = names.insert(provider.about.name.to_lowercase(), entry.id);
        assert_eq!(other, None, "{} has the name of another", entry.id);
    }
    assert!(embedded::ENTRIES.is_sorted_by_key(|entry| entry.id));
}

#[test]
fn every_known_fact_is_an_entry_or_left_out_with_a_reason() {
    let excluded = fs::read_to_string(Path::new(env!("PROVIDERS")).join("EXCLUDED.md")).unwrap_or_default();
    let row = |id: &str| {
        let cells =
            |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
        excluded
            .lines()
            .map(cells)
            .any(|cells| matches!(cells.as_slice(), [first, .., why] if first == id && why.len() > 10))
    };
    for id in include_str!("tests/known.txt").lines() {
        let is_entry = embedded::find(id).is_some();
        assert!(embedded::ENTRIES.is_empty() || is_entry != row(id), "{id} is an entry or a row of EXCLUDED.md");
    }
}

#[test]
fn every_entry_becomes_a_client_that_does_not_differ_from_it() {
    let catalogue = Catalogue::default();
    for id in catalogue.ids() {
        let provider = catalogue.find(&id).unwrap();
        let grants = provider.usual_grants();
        provider.check_grants(&grants).unwrap_or_else(|error| panic!("{id}: {error}"));
        let mut client: ClientSettings =
            typed(provider.body(&grants)).unwrap_or_else(|error| panic!("{id}: {error:?}"));
        client.drop_defaults(None);
        assert_eq!(provider.differences(&client), Vec::<String>::new(), "{id}");
        // What is told of it is told in sentences.
        for text in provider.steps().into_iter().chain(provider.quirks().into_iter().map(|quirk| quirk.detail)) {
            assert!(text.ends_with(['.', '/']) || text.contains("https://"), "{id}: {text}");
        }
    }
}

const BASE: &str = r#"
    name = "Base"
    category = "crm"
    docs_url = "https://docs.example.com"
    checked = 2026-11-23
    confidence = "high"
    grant_types = ["authorization_code", "refresh_token", "client_credentials"]
    setup = ["Switch it on."]
    authorization_endpoint = "https://{site}.example.com/authorize"
    token_endpoint = "https://{site}.example.com/token"
    scopes = { required = ["read"], separator = "," }
    authorization_params = { access_type = "offline" }
    [[variables]]
    key = "site"
    source = "client"
    required = true
    example = "acme"
    [token_request]
    content_type = "json"
    [refresh]
    kind = "rotating"
    [grants.client_credentials]
    token_endpoint_auth_method = "client_secret_post"
    token_request = { content_type = "form" }
"#;

fn base() -> Provider {
    Catalogue::of("base", BASE).unwrap()
}

fn of(texts: &[(&str, &str)]) -> Catalogue {
    Catalogue { overlay: Arc::new(overlay::Overlay::of(texts.iter().copied())) }
}

#[test]
fn an_entry_that_extends_another_has_all_of_it_but_what_it_says_itself() {
    let child = "extends = \"base\"\nname = \"Child\"\nscopes.required = [\"write\"]\n[[variables]]\nkey = \"more\"";
    let catalogue = of(&[("base", BASE), ("child", child)]);
    let child = catalogue.read("child").unwrap();
    assert_eq!((child.about.name.as_str(), child.about.category.as_str()), ("Child", "crm"));
    assert_eq!(child.settings.scopes.required, ["write"]);
    assert_eq!(child.settings.scopes.separator.as_deref(), Some(","));
    assert_eq!(child.settings.variables.iter().map(|one| one.key.as_str()).collect::<Vec<_>>(), ["site", "more"]);
}

#[test]
fn entries_that_extend_each_other_in_a_circle_are_refused() {
    for (texts, code) in [
        (vec![("a", "extends = \"b\""), ("b", "extends = \"a\"")], "circle"),
        (vec![("a", "extends = \"a\"")], "circle"),
        (vec![("a", "extends = \"nowhere\"")], "unknown_provider"),
        (vec![("a", "extends = 7")], "invalid_value"),
        (vec![("a", "a = ")], "not_toml"),
        (vec![("a", "name = \"a\"\ncolour = 1\ncategory = \"crm\"\nconfidence = \"high\"")], "unknown_field"),
        (vec![("a", "name = \"a\"\nowner = \"me\"\ncategory = \"crm\"\nconfidence = \"high\"")], "unknown_field"),
    ] {
        match of(&texts).read("a") {
            Err(Error::Invalid(fields)) => assert_eq!(fields[0].code, code, "{fields:?}"),
            other => panic!("{texts:?}: {other:?}"),
        }
    }
}

#[test]
fn each_fault_of_an_entry_is_named() {
    let head = "name = \"a\"\ncategory = \"crm\"\nconfidence = \"high\"\n";
    for (said, pointer, code) in [
        ("token_endpoint = \"http://a.example.com\"", "/token_endpoint", "url_not_https"),
        ("token_endpoint = \"https://{x}.example.com\"", "/token_endpoint", "undeclared_variable"),
        ("checked = \"yesterday\"", "/checked", "not_a_date"),
        ("notes = [\"\"]", "/notes/0", "not_a_sentence"),
        ("docs_url = \"http://a.example.com\"", "/docs_url", "url_not_https"),
        ("[[variables]]\nkey = \"k\"\npattern = \"[a-z]+\"\nexample = \"A\"", "/variables/0/example", "not_an_example"),
        ("[[variables]]\nkey = \"k\"\npattern = \"a)|(b\"", "/variables/0/pattern", "not_a_pattern"),
        ("[grants.authorization_code]\npkce = true", "/grants/authorization_code", "unsupported"),
        (
            "api_base_url = \"{k}\"\n[[variables]]\nkey = \"k\"\ntype = \"url\"\nsource = \"token\"",
            "/api_base_url",
            "host_not_fixed",
        ),
        (
            "token_endpoint = \"https://{k}/t\"\n[[variables]]\nkey = \"k\"\nsource = \"callback\"\npattern = \"[a-z.]+\"",
            "/token_endpoint",
            "host_not_fixed",
        ),
    ] {
        let provider = Catalogue::of("a", &format!("{head}{said}")).unwrap();
        match check_provider(&provider, &OutboundPolicy::strict()) {
            Err(Error::Invalid(fields)) => {
                assert!(
                    fields.iter().any(|field| (field.pointer.as_str(), field.code) == (pointer, code)),
                    "{fields:?}"
                );
            }
            other => panic!("{said}: {other:?}"),
        }
    }
    let category = Catalogue::of("a", &head.replace("crm", "things")).unwrap();
    assert!(check_provider(&category, &OutboundPolicy::strict()).is_err());
    check_provider(&base(), &OutboundPolicy::strict()).unwrap();
}

#[test]
fn a_grant_of_its_own_facts_stands_alone() {
    use GrantType::{AuthorizationCode as Code, ClientCredentials as Machine, Password, RefreshToken as Refresh};
    let base = base();
    assert_eq!(base.usual_grants(), [Code, Refresh]);
    for (grants, code) in [
        (vec![Code, Refresh], None),
        (vec![Machine], None),
        (vec![Machine, Refresh], None),
        (vec![Code, Machine], Some("grants_differ")),
        (vec![Password], Some("grant_not_offered")),
    ] {
        let refused = base.check_grants(&grants).err();
        assert_eq!(refused.as_ref().map(GrantRefusal::code), code, "{grants:?}");
    }
    let machine: ClientSettings = typed(base.body(&[Machine])).unwrap();
    assert_eq!(machine.token_request.content_type.as_deref(), Some("form"));
    let people: ClientSettings = typed(base.body(&[Code, Refresh])).unwrap();
    assert_eq!(people.token_request.content_type.as_deref(), Some("json"));
    assert_eq!((people.name.as_str(), people.provider.as_deref()), ("Base", Some("base")));
}

#[test]
fn facts_are_renewed_and_what_the_client_chose_stays() {
    let base = base();
    let mut body = base.body(&base.usual_grants());
    let own = json!({
        "name": "Mine", "pkce": false, "scopes": { "required": ["write"], "separator": " " }, "audience": "api",
        "values": { "site": "mine", "gone": "x" }, "labels": { "a": "b" },
        "authorization_params": { "access_type": "online", "hint": "h" },
    });
    body.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
    let client: ClientSettings = typed(body).unwrap();
    assert_eq!(base.differences(&client), ["authorization_params", "pkce", "scopes", "values"]);
    let renewed: ClientSettings = typed(base.renewed(&client, &client.grant_types)).unwrap();
    assert_eq!((renewed.name.as_str(), renewed.pkce, renewed.audience.as_deref()), ("Mine", true, Some("api")));
    assert_eq!(renewed.scopes.required, ["write"]);
    assert_eq!(renewed.scopes.separator.as_deref(), Some(","));
    assert_eq!(json!(renewed.values), json!({ "site": "mine" }));
    assert_eq!(json!(renewed.labels), json!({ "a": "b" }));
    assert_eq!(json!(renewed.authorization_params), json!({ "access_type": "offline", "hint": "h" }));
    assert_eq!(base.differences(&renewed), Vec::<String>::new());
}

#[test]
fn what_is_told_of_a_provider_follows_from_its_facts() {
    let base = base();
    let codes: BTreeSet<_> = base.quirks().into_iter().map(|quirk| quirk.code).collect();
    let expected = [
        "comma_separated_scopes",
        "extra_authorization_parameters",
        "grants_differ",
        "host_of_client",
        "json_token_body",
        "no_revocation",
        "rotating_refresh_tokens",
    ];
    assert_eq!(codes, expected.into());
    let methods: Vec<Value> = base.methods().into_iter().map(|method| json!(method)).collect();
    assert_eq!(methods[0]["grant_type"], "authorization_code");
    assert_eq!(methods[1]["token_endpoint_auth_method"], "client_secret_post");
    let entered: Vec<_> = methods[0]["enter"].as_array().unwrap().iter().map(|one| one["field"].clone()).collect();
    assert_eq!(entered, ["client_id", "client_secret", "values.site"]);
    let steps = base.steps().join("\n");
    for part in ["https://docs.example.com", "redirect_uri", "read", "values.site", "Switch it on.", "client secret"] {
        assert!(steps.contains(part), "{part}: {steps}");
    }
}
