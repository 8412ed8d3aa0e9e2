//! Credentials that no browser makes, through the functions: client credentials, a password, a document; read in one
//! batch, tested, reported, replaced and disconnected.

use anyhow::{Context as _, ensure};
use aws_sdk_sqs::Client as Sqs;
use grantkeeper_sandbox::ClientSettings;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{Emulated, QUEUE_BATCH, expect, sandbox_url};

const FIRST_SECRET: &str = "emulated-machine-secret-1";
const SECOND_SECRET: &str = "emulated-machine-secret-2";
const DOCUMENT_SECRET: &str = "emulated-document-secret";

/// From registration to the proof that a grant is over. Returns every secret that went through the functions.
pub async fn story(emulated: &Emulated) -> anyhow::Result<Vec<String>> {
    let (platform, runner) = (emulated.platform().acting_for("ada"), emulated.runner());
    let mut secrets = [FIRST_SECRET, SECOND_SECRET, DOCUMENT_SECRET].map(str::to_owned).to_vec();
    let client = register(emulated).await?;

    // credentials: each way to make one
    let create = async |name: &str, more: Value| {
        let mut body = json!({ "name": name, "owner": "ada" });
        if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
            body.extend(more);
        }
        let answer = platform.with("Idempotency-Key", name).post("/v1/credentials", body).await?;
        expect(&answer, StatusCode::CREATED)?;
        anyhow::Ok(answer.text("/id"))
    };
    let machine = create("machine", json!({ "client": client, "grant_type": "client_credentials" })).await?;
    let password = json!({ "client": client, "grant_type": "password", "username": "ada", "password": "sandbox" });
    let person = create("person", password).await?;
    let document = create("document", json!({ "kind": "raw", "body": { "key": "to be replaced" } })).await?;

    let value = format!("/v1/credentials/{document}/value");
    let replacement = json!({ "body": { "key": DOCUMENT_SECRET } }).to_string();
    let replaced = platform.send(Method::PUT, &value, Some(("application/json", replacement))).await?;
    ensure!(replaced.status.is_success(), "{}", replaced.body);
    let read = platform.get(&value).await?;
    expect(&read, StatusCode::OK)?;
    ensure!(read.body["body"]["key"] == DOCUMENT_SECRET, "{}", read.body);

    let wanted = json!({ "credentials": [machine, person, document] });
    let batch = runner.post("/v1/tokens", wanted).await?;
    expect(&batch, StatusCode::OK)?;
    for index in [0, 1] {
        let token = batch.text(&format!("/items/{index}/token/access_token"));
        ensure!(!token.is_empty(), "{}", batch.body);
        secrets.push(token);
    }
    ensure!(batch.body["items"][2]["token"]["body"]["key"] == DOCUMENT_SECRET, "{}", batch.body);

    expect(&platform.post(&format!("/v1/credentials/{machine}/test"), json!({})).await?, StatusCode::OK)?;
    let attempts = platform.get(&format!("/v1/credentials/{machine}/attempts")).await?;
    expect(&attempts, StatusCode::OK)?;
    ensure!(!attempts.body["items"].as_array().context("a list")?.is_empty(), "{}", attempts.body);
    let report = json!({ "generation": 1, "status": 401 });
    expect(&runner.post(&format!("/v1/credentials/{machine}/report"), report).await?, StatusCode::OK)?;

    // The end: credentials says so, token-refresh does it.
    let path = format!("/v1/credentials/{person}");
    expect(&platform.delete(&path).await?, StatusCode::ACCEPTED)?;
    let refused = runner.post(&format!("{path}/token"), json!({})).await?;
    ensure!(!refused.status.is_success(), "{}", refused.body);
    do_queued(emulated).await?;
    let ended = platform.get(&path).await?;
    ensure!(ended.text("/status") == "revoked", "{}", ended.body);
    let log = emulated.stack.sandbox.as_ref().context("a sandbox")?.sandbox.log();
    ensure!(log.iter().any(|entry| entry.path == "/revoke" && entry.status == 200), "{log:?}");
    Ok(secrets)
}

/// client-registration: a client whose secret is changed before it is used.
async fn register(emulated: &Emulated) -> anyhow::Result<String> {
    let superuser = emulated.superuser();
    let sandbox = sandbox_url(&emulated.stack)?;
    emulated.stack.sandbox.as_ref().context("a sandbox")?.sandbox.register(ClientSettings {
        client_id: "machine".to_owned(),
        client_secret: Some(FIRST_SECRET.to_owned()),
        client_secrets: vec![SECOND_SECRET.to_owned()],
        ..ClientSettings::default()
    })?;
    let new = json!({
        "name": "Machine", "project": emulated.stack.project, "client_id": "machine", "client_secret": FIRST_SECRET,
        "issuer": sandbox, "api_base_url": sandbox, "scopes": { "required": ["read"] },
        "grant_types": ["client_credentials", "password", "refresh_token"],
        "test_request": { "method": "GET", "path": "/api/me" },
    });
    let client = superuser.post("/v1/clients", new).await?;
    expect(&client, StatusCode::CREATED)?;
    let path = format!("/v1/clients/{}", client.text("/id"));
    expect(&superuser.get(&format!("{path}/variables")).await?, StatusCode::OK)?;
    let checked = superuser.post(&format!("{path}/check"), json!({})).await?;
    expect(&checked, StatusCode::OK)?;
    ensure!(checked.body["findings"].is_array(), "{}", checked.body);

    let rotated = superuser.post(&format!("{path}/secrets"), json!({ "client_secret": SECOND_SECRET })).await?;
    ensure!(rotated.status.is_success() && !rotated.body.to_string().contains(SECOND_SECRET), "{}", rotated.body);
    let first = client.text("/client_secrets/0/id");
    expect(&superuser.delete(&format!("{path}/secrets/{first}")).await?, StatusCode::NO_CONTENT)?;
    let left = superuser.get(&path).await?;
    ensure!(left.body["client_secrets"].as_array().is_some_and(|list| list.len() == 1), "{}", left.body);
    Ok(client.text("/id"))
}

/// Takes what is in the queue to token-refresh, as the event source mapping would.
async fn do_queued(emulated: &Emulated) -> anyhow::Result<()> {
    let sqs = Sqs::new(&emulated.stack.engines.sdk_config());
    let received = sqs.receive_message().queue_url(&emulated.queue_url).max_number_of_messages(10).send().await?;
    let pattern: Value = serde_json::from_str(QUEUE_BATCH)?;
    let mut records = Vec::new();
    for message in received.messages.unwrap_or_default() {
        let mut record = pattern["Records"][0].clone();
        record["messageId"] = json!(message.message_id);
        record["body"] = json!(message.body);
        records.push(record);
    }
    ensure!(!records.is_empty(), "nothing is in the queue");
    let answer = emulated.functions.invoke("token-refresh", &json!({ "Records": records })).await?;
    ensure!(answer == json!({ "batchItemFailures": [] }), "{answer}");
    Ok(())
}
