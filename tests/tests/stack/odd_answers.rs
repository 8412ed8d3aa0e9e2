//! Token answers as they really come, through the whole stack: what is stored is right or unchanged, never half.

use anyhow::{Context as _, ensure};
use chrono::Duration;
use grantkeeper::model::credential::{Credential, CredentialStatus};
use grantkeeper::model::token_set::TokenSet;
use grantkeeper::vault::Prefetched;
use grantkeeper_sandbox::ClientSettings;
use grantkeeper_tests::{Answer, Browser, World};
use http::StatusCode;
use serde_json::{Value, json};

use super::Outcome;
use table::{DIALECTS, Row, answer, failure, rows};

mod table;

/// Lives, in seconds: of the token that is there before a refresh, and of one whose answer does not say.
const OLD_LIFE: i64 = 7200;
const UNSAID_LIFE: i64 = 3600;

/// One stack for all rows; each row has credentials of its own.
struct Bench {
    world: World,
    browser: Browser,
    secrets: aws_sdk_secretsmanager::Client,
    clients: Vec<String>,
}

impl Bench {
    async fn new() -> anyhow::Result<Self> {
        let world = World::new().await?;
        let secrets = aws_sdk_secretsmanager::Client::new(&world.stack.engines.sdk_config());
        let mut clients = Vec::new();
        for (name, dialect, _) in DIALECTS {
            let settings = ClientSettings {
                client_id: format!("app{name}"),
                client_secret: Some("right-secret".into()),
                ..Default::default()
            };
            let dialect: Value = serde_json::from_str(dialect)?;
            clients.push(world.register(settings, json!({ "token_response": dialect })).await?);
        }
        Ok(Self { world, browser: Browser::new(), secrets, clients })
    }

    /// Connects a credential, with these answers of the token endpoint to come. `ends_as`: the status of a flow that
    /// brings none.
    async fn complete(&self, dialect: &str, name: &str, answers: &[&Value], ends_as: &str) -> anyhow::Result<Answer> {
        let index = DIALECTS.iter().position(|(known, ..)| *known == dialect).context("a dialect")?;
        self.world.change_at_sandbox(&format!("app{dialect}"), json!({ "token_answers": answers })).await?;
        let client = self.clients.get(index).context("a client")?;
        let session = json!({ "clients": [client], "name": name, "scopes": ["read", "write"] });
        let callback = self.world.to_callback(&self.browser, session).await?;
        let returned = self.browser.get(callback.as_str()).await?;
        ensure!(returned.status == StatusCode::SEE_OTHER, "{} {}", returned.status, returned.text);
        let location = returned.location()?;
        let completed = self.world.complete(&location, "ada").await?;
        if completed.status != StatusCode::CREATED {
            let (_, flow) = location.query_pairs().find(|(key, _)| key == "flow").context("a flow")?;
            let flow = self.world.platform().get(&format!("/v1/flows/{flow}")).await?;
            ensure!(flow.text("/status") == ends_as && flow.body["credential"].is_null(), "{}", flow.body);
        }
        Ok(completed)
    }

    /// The item, and the token set that it points at, as the vault adapter opens it.
    async fn stored(&self, id: &str) -> anyhow::Result<(Credential, TokenSet)> {
        let credential = self.world.stored(id).await?;
        let place = credential.place(credential.generation);
        let document = self.world.vault().open(&place, &credential.cur, Prefetched::Nothing).await?;
        let tokens = TokenSet::from_document(&document).context("a token set")?;
        // Never half: the item and the tokens speak of the same grant.
        ensure!(tokens.generation == credential.generation, "generation {}", tokens.generation);
        ensure!(tokens.expires_at == credential.expires_at(), "expires at {:?}", tokens.expires_at);
        ensure!(tokens.scopes == credential.granted_scopes, "scopes {:?}", tokens.scopes);
        ensure!(tokens.refresh_token.is_some() == credential.refreshable, "refreshable");
        ensure!(credential.lease.is_none(), "the lease is left");
        Ok((credential, tokens))
    }

    /// How many secrets there are.
    async fn secrets(&self) -> anyhow::Result<usize> {
        let mut pages = self.secrets.list_secrets().into_paginator().send();
        let mut count = 0;
        while let Some(page) = pages.try_next().await? {
            count += page.secret_list().len();
        }
        Ok(count)
    }

    /// Holds what is stored against what the row says of tokens; `old`: what stays when the answer does not say it.
    async fn check_tokens(&self, id: &str, expected: &str, old: Option<&TokenSet>) -> Outcome {
        let words: Vec<_> = expected.split(' ').collect();
        let [refresh_token, lifetime, scopes, aside @ ..] = words.as_slice() else { anyhow::bail!("{expected}") };
        let (credential, tokens) = self.stored(id).await?;
        let kept = |token: &TokenSet| token.refresh_token.as_ref().map(|token| token.expose().clone());
        let refresh_token = if *refresh_token == "-" { old.and_then(kept) } else { Some((*refresh_token).to_owned()) };
        let lifetime = match lifetime.parse() {
            Ok(seconds) => Some(seconds),
            Err(_) => refresh_token.is_some().then_some(UNSAID_LIFE),
        };
        let scopes = if *scopes == "-" { "read+write" } else { *scopes };
        ensure!(tokens.access_token.expose() == "NEW-A", "another access token");
        ensure!(kept(&tokens) == refresh_token, "another refresh token: {:?}", kept(&tokens));
        ensure!(
            tokens.expires_at == lifetime.map(|life| self.world.stack.broker.now() + Duration::seconds(life)),
            "expires at {:?}",
            tokens.expires_at
        );
        ensure!(tokens.scopes.join("+") == scopes, "scopes {:?}", tokens.scopes);
        ensure!(tokens.generation == if old.is_some() { 2 } else { 1 }, "generation {}", tokens.generation);
        // What the provider said before is kept until it says otherwise, and no token is among it.
        let said = serde_json::to_string(&tokens.extra)?;
        ensure!(!said.contains("NEW-") && !said.contains("OLD-"), "{said}");
        if let Some(team) = old.and_then(|old| old.extra.get("team")) {
            ensure!(tokens.extra.get("team") == Some(team) || said.contains("T2"), "{said}");
        }
        let served = self.world.read_token(id, json!({})).await?;
        if let [reason] = aside {
            ensure!(credential.status == CredentialStatus::Suspended, "{:?}", credential.status);
            ensure!(credential.status_reason.as_deref() == Some(reason), "{:?}", credential.status_reason);
            ensure!(served.status == StatusCode::LOCKED, "{}", served.body);
        } else {
            ensure!(credential.status == CredentialStatus::Active, "{:?}", credential.status);
            ensure!(served.text("/access_token") == "NEW-A", "{}", served.body);
        }
        Ok(())
    }

    async fn exchange(&self, row: &Row) -> Outcome {
        let before = self.secrets().await?;
        // A code that surely was not used can be used later.
        let ends_as = if row.exchange == "later" { "parked" } else { "failed" };
        let answer = self.complete(row.dialect, &format!("{} (new)", row.name), &[&row.answer], ends_as).await?;
        let Some((status, code, _)) = failure(row.exchange) else {
            ensure!(answer.status == StatusCode::CREATED, "{}", answer.body);
            return self.check_tokens(&answer.text("/id"), row.exchange, None).await;
        };
        // A success that is none cannot be waited out: a code works once.
        let success = row.answer["status"].as_u64().is_some_and(|status| (200..300).contains(&status));
        let (status, code) = match row.exchange {
            "dead" => (status, "code_rejected"),
            "unknown" if success => (StatusCode::BAD_GATEWAY, "provider_misbehaved"),
            _ => (status, code),
        };
        ensure!(answer.code() == code, "{}", answer.body);
        ensure!(row.exchange == "dead" || answer.status == status, "{}", answer.body);
        ensure!(self.secrets().await? == before, "something is in the vault");
        Ok(())
    }

    async fn refresh(&self, row: &Row) -> Outcome {
        let (.., good) = DIALECTS.iter().find(|(name, ..)| *name == row.dialect).context("a dialect")?;
        let good = answer("200 J", good)?;
        // An answer of which nobody knows what it means is asked for once more.
        let answers = [&good, &row.answer, &row.answer];
        let connected = self.complete(row.dialect, row.name, &answers, "completed").await?;
        ensure!(connected.status == StatusCode::CREATED, "{}", connected.body);
        let id = connected.text("/id");
        let (old, old_tokens) = self.stored(&id).await?;
        if !old.refreshable {
            // Nothing to refresh with: nobody is asked, and nothing changes.
            let refused = self.refreshed(&id).await?;
            ensure!(refused.code() == "not_refreshable", "{}", refused.body);
            ensure!(self.stored(&id).await?.0 == old, "the item changed");
            return Ok(());
        }
        let life = old.expires_at().map(|at| at - self.world.stack.broker.now());
        ensure!(life == Some(Duration::seconds(OLD_LIFE)), "{life:?}");
        let (versions, answer) = (self.world.versions(&id).await?, self.refreshed(&id).await?);
        let Some((status, code, stands)) = failure(row.refresh) else {
            let locked = row.refresh.split(' ').count() > 3;
            let expected = if locked { StatusCode::LOCKED } else { StatusCode::OK };
            ensure!(answer.status == expected, "{}", answer.body);
            return self.check_tokens(&id, row.refresh, Some(&old_tokens)).await;
        };
        ensure!((answer.status, answer.code()) == (status, code), "{}", answer.body);
        let (new, new_tokens) = self.stored(&id).await?;
        ensure!(new.status == stands, "{:?}", new.status);
        ensure!((new.generation, &new.cur, new.at_exp) == (1, &old.cur, old.at_exp), "the item changed");
        ensure!(new_tokens.to_document().expose() == old_tokens.to_document().expose(), "the tokens changed");
        ensure!(self.world.versions(&id).await? == versions, "something was staged");
        let served = self.world.read_token(&id, json!({})).await?;
        ensure!((served.status, served.text("/access_token")) == (StatusCode::OK, "OLD-A".into()), "{}", served.body);
        Ok(())
    }

    async fn refreshed(&self, id: &str) -> anyhow::Result<Answer> {
        self.world.platform().post(&format!("/v1/credentials/{id}/refresh"), json!({})).await
    }
}

#[tokio::test]
async fn stored_tokens_are_right_or_unchanged_and_never_half() -> Outcome {
    let bench = Bench::new().await?;
    let rows = rows(bench.world.stack.broker.now())?;
    assert!(rows.len() >= 60, "{}", rows.len());
    let mut wrong = Vec::new();
    for row in &rows {
        for (when, outcome) in [("exchange", bench.exchange(row).await), ("refresh", bench.refresh(row).await)] {
            wrong.extend(outcome.err().map(|error| format!("{when}: {}: {error:#}", row.name)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
