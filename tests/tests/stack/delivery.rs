//! What is delivered with a token: where and how it may be sent, and what the provider said of the account.

use chrono::Duration;
use grantkeeper::model::client::ClientSettings as Settings;
use grantkeeper::model::credential::{Credential, CredentialStatus};
use grantkeeper::model::ids::{ClientId, ProjectId};
use grantkeeper::secret::Secret;
use grantkeeper::store::{Attempted, Replacement, StatusChange, Store as _};
use grantkeeper_sandbox::{ApiHeader, ClientSettings, TokenResponseShape};
use grantkeeper_tests::World;
use http::StatusCode;
use serde_json::{Value, json};

use super::Outcome;
use super::refresh::{Connected, warning};

impl Connected {
    /// Changes what is stored of the client, and waits until every process has read it again.
    pub(super) async fn change_client(&self, change: impl FnOnce(&mut Settings)) -> Outcome {
        let (store, id) = (self.world.store(), ClientId::parse(&self.client)?);
        let mut client = store.find_client(&id).await?.unwrap();
        change(&mut client.settings);
        client.version += 1;
        client.revision += 1;
        store.update_client(&client).await?;
        self.world.advance(Duration::seconds(31));
        Ok(())
    }

    pub(super) async fn set_status(&self, status: CredentialStatus) -> Outcome {
        let base = self.stored().await?;
        let change = StatusChange {
            status,
            status_reason: None,
            suspended_from: None,
            fails: 0,
            next_due: None,
            evidence: None,
            frees_name: false,
            forget_after: None,
        };
        assert!(matches!(self.world.store().change_status(&base, &change).await?, Attempted::Applied(_)));
        Ok(())
    }

    /// What an import with a refresh token alone leaves behind: a generation without an access token.
    async fn empty_the_access_token(&self) -> Outcome {
        let base = self.stored().await?;
        let mut document: Value = serde_json::from_str(&self.world.secret(&self.id).await?)?;
        (document["access_token"], document["generation"]) = (json!(""), json!(base.generation + 1));
        let version = format!("00000000-0000-4000-8000-{:012}", base.generation);
        let (place, document) = (base.place(base.generation + 1), Secret::new(document.to_string()));
        self.world.vault().stage(&place, &version, &document).await?;
        let emptied =
            Credential { cur: version.clone(), attempt: version, generation: base.generation + 1, ..base.clone() };
        let replaced = self.world.store().replace_grant(None, &base, &emptied, self.world.stack.broker.now()).await?;
        assert_eq!(replaced, Replacement::Done);
        Ok(())
    }
}

fn salesforce_like(url: &str) -> ClientSettings {
    let extra = json!({
        "instance_url": format!("{url}/"), "team": { "id": "T1", "bot_token": "xoxb-canary" }, "signed": "eyJh.eyJi.c",
    });
    ClientSettings {
        token_response: TokenResponseShape {
            extra: extra.as_object().cloned().unwrap(),
            ..TokenResponseShape::default()
        },
        callback_params: [("realmId".to_owned(), "77".to_owned())].into(),
        ..ClientSettings::default()
    }
}

#[tokio::test]
async fn what_the_answer_and_the_callback_said_is_delivered_and_makes_the_address_of_the_api() -> Outcome {
    let world = World::new().await?;
    let (url, settings) = (world.sandbox_url().to_owned(), salesforce_like(world.sandbox_url()));
    let headers = json!({ "X-Realm": "{realmId}", "X-Team": "{team.id}", "X-Unknown": "{nobody}", "Version": "7" });
    let variables = json!([
        { "key": "realmId", "source": "callback" }, { "key": "team.id", "source": "token" },
        { "key": "nobody", "source": "token" }, { "key": "instance_url", "source": "token", "type": "url" },
    ]);
    let it = Connected::inside(world, settings, json!({ "api_headers": headers, "variables": variables })).await?;
    it.change_client(|settings| settings.api_base_url = Some("{instance_url}/api/".to_owned())).await?;
    for _ in 0..2 {
        let token = it.token(json!({})).await?;
        assert_eq!(token.status, StatusCode::OK, "{}", token.body);
        assert_eq!(token.text("/api_base_url"), format!("{url}/api"));
        assert_eq!(token.body["headers"], json!({ "X-Realm": "77", "X-Team": "T1", "Version": "7" }));
        assert_eq!(token.body["extra"]["instance_url"], json!(format!("{url}/")));
        assert_eq!(token.body["extra"]["realmId"], json!("77"));
        assert_eq!(token.body["extra"]["team"], json!({ "id": "T1" }));
        assert!(token.body["extra"].get("signed").is_none() && !token.body.to_string().contains("xoxb-canary"));
        let document: Value = serde_json::from_str(&it.world.secret(&it.id).await?)?;
        assert!(!token.body.to_string().contains(document["refresh_token"].as_str().unwrap()));
        // A program that follows the answer reaches the API with everything that the client wants sent.
        let mut program = grantkeeper_tests::Backend::new(&token.text("/api_base_url"), None);
        program = program.with(&token.text("/header/name"), &token.text("/header/value"));
        for (name, value) in token.body["headers"].as_object().unwrap() {
            program = program.with(name, value.as_str().unwrap());
        }
        let echo = program.get("/echo").await?;
        assert_eq!((echo.status, echo.text("/headers/x-realm")), (StatusCode::OK, "77".to_owned()));
        // What the provider said is kept over a refresh that says it no more.
        it.world.change_at_sandbox("app", json!({ "token_response": {} })).await?;
        assert_eq!(it.refresh().await?.status, StatusCode::OK);
    }
    it.change_client(|settings| settings.api_base_url = Some("https://{nobody}.api.example".to_owned())).await?;
    assert_eq!(it.token(json!({})).await?.body["api_base_url"], Value::Null);
    Ok(())
}

#[tokio::test]
async fn the_token_is_delivered_in_the_header_that_the_api_reads() -> Outcome {
    for (name, prefix) in [("X-Access-Token", ""), ("Authorization", "Token"), ("Authorization", "Zoho-oauthtoken")] {
        let api_header = ApiHeader { name: name.to_owned(), prefix: prefix.to_owned() };
        let settings = ClientSettings { api_header, ..ClientSettings::default() };
        let it = Connected::with(settings, json!({ "header": { "name": name, "prefix": prefix } })).await?;
        let header = it.token(json!({})).await?;
        let program = grantkeeper_tests::Backend::new(it.world.sandbox_url(), None);
        let me = program.with(&header.text("/header/name"), &header.text("/header/value")).get("/api/me").await?;
        assert_eq!((me.status, me.text("/user")), (StatusCode::OK, "ada".to_owned()), "{name} {prefix}");
    }
    Ok(())
}

#[tokio::test]
async fn a_reader_is_warned_of_scopes_that_were_not_granted_unless_something_is_more_urgent() -> Outcome {
    let settings = ClientSettings { withheld_scopes: vec!["write".to_owned()], ..ClientSettings::default() };
    let it = Connected::with(settings, json!({})).await?;
    let token = it.token(json!({})).await?;
    assert_eq!((warning(&token), &token.body["scopes"]), ("scope_reduced", &json!(["read"])));
    it.world.change_at_sandbox("app", json!({ "token_answers": [503, 503] })).await?;
    let token = it.token(json!({ "min_ttl": 7200 })).await?;
    assert_eq!((token.status, warning(&token)), (StatusCode::OK, "refresh_failed"));
    Ok(())
}

#[tokio::test]
async fn an_access_token_that_is_empty_is_never_served() -> Outcome {
    let it = Connected::usual().await?;
    it.empty_the_access_token().await?;
    let token = it.token(json!({})).await?;
    assert_eq!((token.status, &token.body["generation"]), (StatusCode::OK, &json!(3)), "{}", token.body);
    assert!(it.works(&token).await?);
    it.empty_the_access_token().await?;
    it.world.change_at_sandbox("app", json!({ "token_answers": [429] })).await?;
    for _ in 0..2 {
        let refused = it.token(json!({})).await?;
        assert_eq!((refused.status, refused.code()), (StatusCode::SERVICE_UNAVAILABLE, "provider_unavailable"));
    }
    Ok(())
}

#[tokio::test]
async fn a_program_of_a_project_that_a_credential_is_shared_with_reads_reports_and_tests_it() -> Outcome {
    let it = Connected::usual().await?;
    let other = it.world.project(json!({})).await?;
    let (runner, path) = (it.world.caller("runner", json!([other])).await?, format!("/v1/credentials/{}", it.id));
    let report = json!({ "generation": 1, "status": 401 });
    for (call, body) in [("token", json!({})), ("test", json!({})), ("report", report.clone())] {
        let answer = runner.post(&format!("{path}/{call}"), body).await?;
        assert_eq!((answer.status, answer.code()), (StatusCode::NOT_FOUND, "not_found"), "{call}");
    }
    let old = it.stored().await?;
    let shared = Credential { projects: vec![ProjectId::parse(&other)?], ..old.clone() };
    it.world.store().update_credential(&old, &shared).await?;
    it.world.advance(Duration::seconds(3600));
    let token = runner.post(&format!("{path}/token"), json!({})).await?;
    assert_eq!((token.status, &token.body["generation"]), (StatusCode::OK, &json!(2)), "{}", token.body);
    assert!(it.works(&token).await?);
    for (call, body) in [("test", json!({})), ("report", report)] {
        let answer = runner.post(&format!("{path}/{call}"), body).await?;
        assert_eq!(answer.status, StatusCode::OK, "{call} {}", answer.body);
    }
    let batch = runner.post("/v1/tokens", json!({ "credentials": [it.id] })).await?;
    assert_eq!(batch.text("/items/0/token/access_token"), token.text("/access_token"));
    assert_eq!(runner.get(&path).await?.status, StatusCode::FORBIDDEN);
    Ok(())
}

#[tokio::test]
async fn a_refresh_that_the_provider_would_refuse_as_too_early_is_not_made() -> Outcome {
    let it = Connected::with(ClientSettings::default(), json!({ "refresh": { "min_age_seconds": 600 } })).await?;
    it.world.advance(Duration::seconds(599));
    let refused = it.refresh().await?;
    assert_eq!((refused.status, refused.code()), (StatusCode::CONFLICT, "refresh_too_early"), "{}", refused.body);
    assert!(refused.text("/detail").contains('T') && !refused.body["advice"].as_array().unwrap().is_empty());
    let rehearsal = json!({ "rehearse_expiry": true });
    let tested = it.world.runner().post(&format!("/v1/credentials/{}/test", it.id), rehearsal).await?;
    assert_eq!(tested.text("/steps/1/verdict"), "skipped");
    assert!(tested.text("/steps/1/detail").contains("600 seconds"));
    assert_eq!(it.refreshes(), 0);
    it.world.advance(Duration::seconds(1));
    assert_eq!(it.refresh().await?.status, StatusCode::OK);
    assert_eq!(it.refreshes(), 1);
    Ok(())
}
