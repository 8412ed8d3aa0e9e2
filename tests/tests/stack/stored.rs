//! The table holds nothing that would let a thief go on: no secret in any writing, and no text that works as a `state`.

use std::collections::BTreeSet;

use anyhow::Context as _;
use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use grantkeeper::vault::VaultKind;
use grantkeeper_local::stack::Options;
use grantkeeper_sandbox::ClientSettings;
use grantkeeper_tests::world::RETURN_URL;
use grantkeeper_tests::{Browser, World, parameters};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::Outcome;

/// Every text and every octet string of every item.
#[derive(Default)]
struct Dump {
    texts: BTreeSet<String>,
    octets: Vec<u8>,
}

impl Dump {
    async fn of(world: &World) -> anyhow::Result<Self> {
        let sdk = aws_sdk_dynamodb::Client::new(&world.stack.engines.sdk_config());
        let mut dump = Self::default();
        let mut start = None;
        loop {
            let table = &world.stack.broker.config().table;
            let page = sdk.scan().table_name(table).set_exclusive_start_key(start).send().await?;
            for (name, value) in page.items().iter().flatten() {
                dump.add(&AttributeValue::S(name.clone()));
                dump.add(value);
            }
            start = page.last_evaluated_key;
            if start.is_none() {
                return Ok(dump);
            }
        }
    }

    fn add(&mut self, value: &AttributeValue) {
        match value {
            AttributeValue::S(text) | AttributeValue::N(text) => {
                self.octets.extend_from_slice(text.as_bytes());
                self.octets.push(b'\n');
                self.texts.insert(text.clone());
            }
            AttributeValue::B(blob) => {
                self.octets.extend_from_slice(blob.as_ref());
                self.octets.push(b'\n');
                self.texts.insert(URL_SAFE.encode(blob.as_ref()));
            }
            AttributeValue::Ss(texts) => texts.iter().for_each(|text| self.add(&AttributeValue::S(text.clone()))),
            AttributeValue::L(list) => list.iter().for_each(|value| self.add(value)),
            AttributeValue::M(map) => map.values().for_each(|value| self.add(value)),
            _ => {}
        }
    }

    fn holds(&self, secret: &str) -> Option<String> {
        writings(secret)
            .into_iter()
            .find(|writing| self.octets.windows(writing.len()).any(|window| window == writing.as_bytes()))
    }
}

/// A text as itself, in hexadecimal, percent-encoded and in base64 at each of the three offsets.
fn writings(secret: &str) -> Vec<String> {
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut writings = vec![secret.to_owned(), hex.to_uppercase(), hex];
    for (offset, cut) in [(0, 0), (1, 2), (2, 3)] {
        for engine in [&STANDARD, &URL_SAFE] {
            let encoded = engine.encode([" ".repeat(offset).as_bytes(), secret.as_bytes()].concat());
            let sure = secret.len() + offset;
            // Only what these octets alone decide, whatever stands before and after.
            writings.push(encoded[cut..sure * 8 / 6].to_owned());
        }
    }
    writings
}

/// Twenty flows of every fate, and every secret that was seen on the way.
async fn twenty_flows(world: &World, browser: &Browser) -> anyhow::Result<Vec<(String, String)>> {
    let mut secrets: Vec<(String, String)> = Vec::new();
    let mut saw = |kind: &str, value: String| secrets.push((kind.to_owned(), value));
    saw("superuser key", world.stack.keys.superuser.expose().clone());
    saw("platform key", world.stack.keys.platform.expose().clone());
    saw("runner key", world.stack.keys.runner.expose().clone());
    let client_secret = "canary-client-secret-7d1f";
    saw("client secret", client_secret.to_owned());
    let settings =
        ClientSettings { client_id: "canary".into(), client_secret: Some(client_secret.into()), ..Default::default() };
    let client = world.register(settings, json!({})).await?;
    let key = world.superuser().with("Idempotency-Key", "key-1");
    let body = json!({ "name": "k", "role": "runner", "projects": [world.stack.project],
        "expires_at": (world.stack.broker.now() + chrono::Duration::days(1)).to_rfc3339() });
    saw("kept answer with a key", key.post("/v1/keys", body).await?.text("/key"));

    for number in 0..20 {
        let platform = world.platform().with("Idempotency-Key", &format!("session-{number}"));
        let body =
            json!({ "owner": "ada", "clients": [client], "return_url": RETURN_URL, "name": format!("n{number}") });
        let link = platform.post("/v1/connect-sessions", body).await?.text("/connect_url");
        saw("connect token", link.rsplit('/').next().context("a token")?.to_owned());
        let pressed = browser.post(&link, &[]).await?;
        let cookie = pressed.headers["set-cookie"].to_str()?;
        let cookie = cookie.split_once('=').and_then(|(_, rest)| rest.split(';').next()).context("a cookie")?;
        saw("cookie", cookie.to_owned());
        let authorization_url = pressed.location()?;
        saw("state", parameters(&authorization_url)["state"].clone());
        let decision = if number % 4 == 1 { "deny" } else { "allow" };
        let callback = browser.decide(&authorization_url, "ada", decision).await?;
        if number % 4 == 0 {
            continue;
        }
        if let Some(code) = parameters(&callback).get("code") {
            saw("code", code.clone());
        }
        let location = browser.get(callback.as_str()).await?.location()?;
        if let Some(code) = parameters(&location).get("completion_code") {
            saw("completion code", code.clone());
        }
        if number % 4 == 3 {
            let credential = world.complete(&location, "ada").await?.text("/id");
            saw("access token", world.read_token(&credential, json!({})).await?.text("/access_token"));
            let document: Value = serde_json::from_str(&world.secret(&credential).await?)?;
            let refresh_token = document["refresh_token"].as_str().context("a refresh token in the vault")?;
            saw("refresh token", refresh_token.to_owned());
        }
    }
    Ok(secrets)
}

#[tokio::test]
async fn a_dump_of_the_table_after_twenty_flows_holds_no_secret() -> Outcome {
    for vault in [VaultKind::SecretsManager, VaultKind::Sealed] {
        let world = World::with(|options| Options { vault, ..options }).await?;
        let secrets = twenty_flows(&world, &Browser::new()).await?;
        assert!(secrets.len() > 90, "{}", secrets.len());
        let dump = Dump::of(&world).await?;
        assert!(dump.holds(&world.client()).is_some(), "the dump is one");
        assert_eq!(dump.holds("DOC#").is_some(), vault == VaultKind::Sealed, "what is sealed is in it");
        for (kind, secret) in &secrets {
            assert!(secret.len() >= 20, "{kind}");
            assert_eq!(dump.holds(secret), None, "{kind}");
        }
    }
    Ok(())
}

#[test]
fn a_secret_is_found_in_any_writing() {
    let secret = "canary-client-secret";
    for hidden in [
        secret.to_owned(),
        STANDARD.encode(secret),
        STANDARD.encode(format!("{{\"a\":\"{secret}\"}}")),
        STANDARD.encode(format!("{{\"ab\":\"{secret}\"}}")),
        URL_SAFE.encode(format!("{{\"abc\":\"{secret}\"}}")),
        secret.bytes().map(|byte| format!("{byte:02X}")).collect(),
    ] {
        let mut dump = Dump::default();
        dump.add(&AttributeValue::S(format!("x{hidden}y")));
        assert!(dump.holds(secret).is_some(), "{hidden}");
    }
    assert_eq!(Dump::default().holds(secret), None);
}

#[tokio::test]
async fn no_text_of_the_table_works_as_a_state() -> Outcome {
    let world = World::new().await?;
    let browser = Browser::new();
    twenty_flows(&world, &browser).await?;
    let clients = world.superuser().get("/v1/clients").await?;
    let client =
        clients.body["items"].as_array().context("clients")?.iter().find(|client| client["client_id"] == "canary");
    let redirect_uri = client.and_then(|client| client["redirect_uri"].as_str()).context("a redirect URI")?.to_owned();
    let before = world.token_requests().len();
    let texts: Vec<String> = Dump::of(&world).await?.texts.into_iter().filter(|text| text.len() < 4000).collect();
    assert!(texts.len() > 200, "{}", texts.len());
    let mut replays = JoinSet::new();
    for chunk in texts.chunks(texts.len().div_ceil(8)) {
        let (chunk, browser, redirect_uri) = (chunk.to_vec(), browser.clone(), redirect_uri.clone());
        let issuer = world.sandbox_url().to_owned();
        replays.spawn(async move {
            for text in chunk {
                let query = [("state", text.as_str()), ("code", "stolen"), ("iss", &issuer)];
                let url = url::Url::parse_with_params(&redirect_uri, query)?;
                let page = browser.get(url.as_str()).await?;
                assert_eq!((page.status, page.code()), (StatusCode::BAD_REQUEST, "unknown_state"), "{text}");
            }
            anyhow::Ok(())
        });
    }
    while let Some(replayed) = replays.join_next().await {
        replayed??;
    }
    assert_eq!(world.token_requests().len(), before);
    Ok(())
}
