//! The doctor finds what is not as an entry says, and leaves alone what is.

use anyhow::ensure;
use axum::Router;
use axum::response::Html;
use axum::routing::{any, post};
use grantkeeper::clock::Clock as _;
use grantkeeper::doctor::{Step, Subject, Verdict, examine};
use grantkeeper::model::client::{ClientSettings, GrantType};
use grantkeeper::outbound::{Outbound, OutboundPolicy};
use grantkeeper_local::doctor::{Patient, Summary, run};
use http::StatusCode;
use serde_json::{Value, json};

use crate::Outcome;
use crate::lanes::Lane;

const AUTHORIZE: &str = "https://login.acme-provider.com/authorize";
const TOKEN: &str = "https://login.acme-provider.com/token";

/// An entry whose patch goes over one that is right.
fn entry(patch: &Value) -> anyhow::Result<ClientSettings> {
    let mut entry = json!({ "name": "Acme", "authorization_endpoint": AUTHORIZE, "token_endpoint": TOKEN });
    if let (Some(entry), Some(patch)) = (entry.as_object_mut(), patch.as_object()) {
        entry.extend(patch.clone());
    }
    Ok(serde_json::from_value(entry)?)
}

fn open(lane: &Lane) -> anyhow::Result<Outbound> {
    let Lane { world, internet, .. } = lane;
    let broken = any(|| async { StatusCode::INTERNAL_SERVER_ERROR });
    let page = || async { Html("<!doctype html><title>Welcome</title>") };
    let away = || async { axum::response::Redirect::to("https://www.acme-provider.com/") };
    let other = Router::new().route("/page", any(page)).route("/broken", broken).route("/away", post(away).get(away));
    internet.becomes(world.sandbox().router().merge(other));
    Ok(internet.outbound()(OutboundPolicy::strict())?)
}

/// Each fault is found where it is, and the other endpoint is not blamed.
pub async fn faults(lane: &Lane) -> Outcome {
    use Subject::{Authorization, Metadata, Refresh, Token};
    use Verdict::{Failed, Passed, Skipped, Unclear};
    let outbound = open(lane)?;
    let host = |sub: &str| format!("https://{{{sub}}}.acme-provider.com/nothing");
    let cases = [
        (json!({}), vec![(Authorization, Passed), (Token, Passed)]),
        (json!({ "token_request": { "content_type": "json" } }), vec![(Authorization, Passed), (Token, Passed)]),
        (json!({ "token_endpoint": format!("{TOKEN}s") }), vec![(Authorization, Passed), (Token, Failed)]),
        (json!({ "token_endpoint": "https://acme-provider.com/page" }), vec![(Authorization, Passed), (Token, Failed)]),
        (
            json!({ "token_endpoint": "https://acme-provider.com/broken" }),
            vec![(Authorization, Passed), (Token, Failed)],
        ),
        (json!({ "token_endpoint": "https://acme-provider.com/away" }), vec![(Authorization, Passed), (Token, Failed)]),
        (json!({ "token_endpoint": "https://acme.invalid/token" }), vec![(Authorization, Passed), (Token, Failed)]),
        (json!({ "authorization_endpoint": format!("{AUTHORIZE}s") }), vec![(Authorization, Failed), (Token, Passed)]),
        (
            json!({ "authorization_endpoint": "https://acme.invalid/authorize" }),
            vec![(Authorization, Failed), (Token, Passed)],
        ),
        (
            json!({ "authorization_endpoint": "https://acme-provider.com/away" }),
            vec![(Authorization, Passed), (Token, Passed)],
        ),
        (
            json!({ "refresh_request": { "url": "https://acme-provider.com/page" } }),
            vec![(Authorization, Passed), (Token, Passed), (Refresh, Failed)],
        ),
        (
            json!({ "issuer": "https://login.acme.invalid" }),
            vec![(Metadata, Failed), (Authorization, Passed), (Token, Passed)],
        ),
        // A host of a customer: with an example nothing follows from its absence, and without one there is no host.
        (
            json!({ "token_endpoint": host("sub"), "variables": [{ "key": "sub", "example": "acme" }] }),
            vec![(Authorization, Passed), (Token, Unclear)],
        ),
        (
            json!({ "token_endpoint": host("sub"), "variables": [{ "key": "sub", "choices": ["eu", "us"] }] }),
            vec![(Authorization, Passed), (Token, Failed)],
        ),
        (
            json!({ "token_endpoint": host("sub"), "variables": [{ "key": "sub", "required": true }] }),
            vec![(Authorization, Passed), (Token, Skipped)],
        ),
    ];
    for (patch, expected) in cases {
        let steps = examine(&outbound, &entry(&patch)?, GrantType::AuthorizationCode, lane.world.clock.now()).await;
        let found: Vec<_> = steps.iter().map(|step| (step.subject, step.verdict)).collect();
        ensure!(found == expected, "{patch}: {steps:#?}");
        let is_told = |step: &Step| step.detail.ends_with('.') && (step.verdict == Passed || step.advice.is_some());
        ensure!(steps.iter().all(is_told), "{patch}: {steps:#?}");
    }
    Ok(())
}

/// The command's lines: one for each entry, and the sum.
pub async fn lines(lane: &Lane) -> Outcome {
    let outbound = open(lane)?;
    let patient =
        |id: &str, patch: Value, grant| anyhow::Ok(Patient { id: id.to_owned(), settings: entry(&patch)?, grant });
    let patients = vec![
        patient("acme", json!({}), GrantType::AuthorizationCode)?,
        patient("acme-machines", json!({}), GrantType::ClientCredentials)?,
        patient("moved", json!({ "token_endpoint": "https://acme-provider.com/gone" }), GrantType::Password)?,
    ];
    let mut out = Vec::new();
    let summary = run(&outbound, patients, 2, lane.world.clock.now(), &mut out).await?;
    ensure!(summary == Summary { passed: 2, failed: 1, ..Summary::default() }, "{summary:?}");
    let text = String::from_utf8(out)?;
    let mut lines: Vec<&str> =
        text.lines().map(|line| line.trim_start().split_once(' ').map_or(line, |(_, rest)| rest)).collect();
    ensure!(lines.pop() == Some("passed, 0 unclear, 1 failed, 0 skipped"), "{text}");
    lines.sort_unstable();
    ensure!(
        lines
            == [
                "failed  moved (password): token: It answers 404: there is nothing. Look for the provider's current token URL.",
                "passed  acme (authorization_code): authorization ok. token ok.",
                "passed  acme-machines (client_credentials): token ok.",
            ],
        "{text}"
    );
    Ok(())
}

/// The doctor is nobody whom a server knows, and asks once.
pub async fn stranger(lane: &Lane) -> Outcome {
    let outbound = open(lane)?;
    let before = lane.world.sandbox().log().len();
    examine(&outbound, &entry(&json!({}))?, GrantType::AuthorizationCode, lane.world.clock.now()).await;
    let log = lane.world.sandbox().log();
    let asked = log.get(before..).unwrap_or_default();
    ensure!(asked.len() == 1, "{asked:?}");
    ensure!(asked.iter().all(|entry| entry.client_id.is_none() && entry.status == 401), "{asked:?}");
    Ok(())
}
