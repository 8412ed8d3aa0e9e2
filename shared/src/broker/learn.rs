//! What a provider can be asked about a token that its answer did not say: whose it is, and when it ends.

use http::{HeaderValue, header};
use serde_json::{Map, Value};

use super::Broker;
use super::delivery::Api;
use super::inputs::Inputs;
use super::new_grant::only_tokens;
use crate::model::client::{Client, GrantType, Resolved, TestRequest};
use crate::model::credential::{Account, Credential, CredentialStatus};
use crate::model::token_set::TokenSet;
use crate::model::variable::scalar;
use crate::outbound::{Limits, OutboundRequest};
use crate::protocol::answer::is_ok;
use crate::protocol::dialect::lookup::find;
use crate::secret::Secret;

impl Broker {
    /// The account that an access token belongs to: by the client's test request where that says where the account
    /// stands, else by the userinfo endpoint (OpenID Connect Core §5.3). Best effort: a provider that does not say costs
    /// nobody a consent.
    pub(crate) async fn ask_account(
        &self,
        client: &Client,
        resolved: &Resolved,
        inputs: &Inputs,
        access_token: &Secret<String>,
        extra: &Map<String, Value>,
    ) -> Option<Account> {
        // What is asked twice has the time of one.
        let asked = self.ask_whose(client, resolved, inputs, (access_token, extra));
        tokio::time::timeout(Limits::LOOKUP.total, asked).await.ok().flatten()
    }

    async fn ask_whose(
        &self,
        client: &Client,
        resolved: &Resolved,
        inputs: &Inputs,
        (access_token, extra): (&Secret<String>, &Map<String, Value>),
    ) -> Option<Account> {
        let test = client.settings.test_request.as_ref();
        let by_api = match test.and_then(|test| Some((test, test.account.as_deref()?))) {
            Some((test, place)) => self.ask_api_account(client, inputs, (access_token, extra), test, place).await,
            None => None,
        };
        let (subject, label, named_by_api) = match by_api {
            Some((subject, label)) => (subject, label, true),
            None => (self.ask_userinfo(client, inputs, access_token).await?, None, false),
        };
        // Without an issuer of its own, the server that answers stands for it.
        let issuer = client.settings.issuer.clone();
        let issuer =
            issuer.or_else(|| Some(url::Url::parse(&resolved.token_endpoint).ok()?.origin().ascii_serialization()));
        Some(Account { issuer: issuer?, subject, label, named_by_api })
    }

    /// What the API calls the account, by its id and by its name.
    async fn ask_api_account(
        &self,
        client: &Client,
        inputs: &Inputs,
        (access_token, extra): (&Secret<String>, &Map<String, Value>),
        test: &TestRequest,
        place: &str,
    ) -> Option<(String, Option<String>)> {
        let tokens = TokenSet {
            extra: extra.clone(),
            inputs: inputs.secret.clone(),
            ..only_tokens(access_token.clone(), None, String::new())
        };
        let api = Api::with(client, &inputs.shown, &tokens);
        // What names the account in a header is not known before it is looked up or chosen.
        if api.headers().len() < client.settings.api_headers.len() {
            return None;
        }
        let request = api.test_request(self.outbound().policy(), test).ok()?;
        let answer = self.outbound().send(request).await.ok().filter(|answer| answer.status.is_success())?;
        let document: Value = serde_json::from_slice(&answer.body).ok()?;
        if test.ok.as_deref().is_some_and(|ok| !is_ok(&document, ok)) {
            return None;
        }
        let text = |place: &str| find(&document, place).and_then(scalar).filter(|text| is_line(text));
        Some((text(place)?, test.label.as_deref().and_then(text)))
    }

    /// Notes whose account a credential is, where that could not be asked before its account was looked up or chosen, or
    /// where its owner has accepted another one (`anew`). Best effort, as [`Broker::ask_account`].
    pub(crate) async fn note_account(&self, client: &Client, credential: Credential, anew: bool) -> Credential {
        let asked = client.settings.test_request.as_ref().is_some_and(|test| test.account.is_some());
        let is_of_person = credential.grant != GrantType::ClientCredentials;
        if (credential.account.is_some() && !anew)
            || !asked
            || !is_of_person
            || credential.status != CredentialStatus::Active
        {
            return credential;
        }
        let Ok(tokens) = self.open_tokens(&credential).await else { return credential };
        let Ok(resolved) = client.resolve(&credential.variables, &tokens.inputs) else { return credential };
        let inputs = Inputs { shown: credential.variables.clone(), secret: tokens.inputs.clone() };
        let account = self.ask_account(client, &resolved, &inputs, &tokens.access_token, &tokens.extra).await;
        if account.is_none() || account == credential.account {
            return credential;
        }
        let new = Credential { account, ..credential.clone() };
        match self.store().update_credential(&credential, &new).await {
            Ok(()) => new,
            Err(error) => {
                tracing::warn!(credential = %credential.id, %error, "the account of a credential was not noted");
                credential
            }
        }
    }

    async fn ask_userinfo(&self, client: &Client, inputs: &Inputs, access_token: &Secret<String>) -> Option<String> {
        let endpoint = client.settings.userinfo_endpoint.as_deref()?;
        let url = client.url("userinfo_endpoint", endpoint, &inputs.shown).ok()?;
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", access_token.expose())).ok()?;
        bearer.set_sensitive(true);
        let request = OutboundRequest::get(url.clone(), Limits::LOOKUP).with_header(header::AUTHORIZATION, bearer);
        let answer = self.outbound().send(request).await.ok().filter(|answer| answer.status.is_success())?;
        let document: Value = serde_json::from_slice(&answer.body).ok()?;
        document.get("sub").and_then(scalar).filter(|text| is_line(text))
    }

    /// Learns when the access token ends by introspection (RFC 7662), where the answer did not say. Best effort, after
    /// everything is stored.
    pub(crate) async fn learn_expiry(&self, client: &Client, resolved: &Resolved, stored: Credential) -> Credential {
        self.learn_end(client, resolved, stored, true).await
    }

    /// As [`Broker::learn_expiry`], of a token that may be old.
    pub(crate) async fn learn_end(
        &self,
        client: &Client,
        resolved: &Resolved,
        stored: Credential,
        fresh: bool,
    ) -> Credential {
        if resolved.introspection_endpoint.is_none() {
            return stored;
        }
        match self.engine().introspect(client, resolved, &stored, fresh).await {
            Ok(Some(learned)) => learned,
            Ok(None) => stored,
            Err(error) => {
                tracing::warn!(credential = %stored.id, %error, "the token's end was not learned");
                stored
            }
        }
    }
}

/// Whether a text can be the name of an account.
fn is_line(text: &str) -> bool {
    text.len() <= 255 && !text.chars().any(char::is_control)
}
