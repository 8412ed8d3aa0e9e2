//! Objects as API.md writes them, where more than one function answers with them.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::query::Listing;
use crate::broker::Broker;
use crate::broker::delivery::Delivery;
use crate::clock::Timestamp;
use crate::model::client::GrantType;
use crate::model::credential::{
    Account, AccountChoice, AccountKind, Credential, CredentialKind, CredentialStatus, Evidence,
};
use crate::model::forecast::RefreshForecast;
use crate::model::ids::{ClientId, CredentialId, ProjectId};
use crate::store::Page;

/// A credential: metadata only.
#[derive(Serialize, ToSchema)]
#[schema(as = Credential)]
pub struct CredentialView {
    /// Its id.
    pub id: CredentialId,
    /// Unique per owner and project.
    pub name: String,
    /// What it holds.
    pub kind: CredentialKind,
    /// The platform's id of the person whose it is.
    pub owner: String,
    /// The client it was made with; null for a raw credential.
    pub client: Option<ClientId>,
    /// How its tokens are obtained; null for a raw credential.
    pub grant_type: Option<GrantType>,
    /// The values of its client's variables, without the secret ones.
    pub variables: BTreeMap<String, String>,
    /// What its owner has yet to choose, by the key of the variable; absent when nothing is open. PATCH `variables` chooses.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub choices: BTreeMap<String, Vec<ChoiceView>>,
    /// The projects whose programs may read its token.
    pub projects: Vec<ProjectId>,
    /// The platform's labels.
    pub labels: BTreeMap<String, String>,
    /// The platform's id for it.
    pub external_id: Option<String>,
    /// Where it stands.
    pub status: CredentialStatus,
    /// Why, as a stable code.
    pub status_reason: Option<String>,
    /// What was asked.
    pub requested_scopes: Vec<String>,
    /// What was granted, as of the last answer that said so.
    pub granted_scopes: Vec<String>,
    /// Whose account at the provider it is, when an ID token or the provider's API said so.
    pub account: Option<Account>,
    /// A person's own account, or the integration's.
    pub account_kind: AccountKind,
    /// When the access token expires; null when the provider does not say.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// When the refresh token dies, as far as it is known; null when nothing is known, or there is none.
    pub refresh_forecast: Option<RefreshForecast>,
    /// When tokens were last refreshed.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_refreshed_at: Option<Timestamp>,
    /// The generation of its tokens, counted from 1.
    pub generation: u64,
    /// What the provider said to its end; null as long as it is not ended there.
    pub evidence: Option<Evidence>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

impl CredentialView {
    /// A credential, with what its client lets foretell.
    pub async fn of(broker: &Broker, credential: Credential) -> Self {
        let refresh_forecast = broker.refresh_forecast(&credential).await;
        Self { refresh_forecast, ..Self::from(credential) }
    }

    /// A page of them.
    pub async fn page_of(broker: &Broker, page: Page<Credential>) -> Listing<Self> {
        let items = page.items.into_iter().map(|credential| Self::of(broker, credential));
        Listing { items: futures::future::join_all(items).await, next: page.next }
    }
}

impl From<Credential> for CredentialView {
    fn from(credential: Credential) -> Self {
        let (status, status_reason) = (credential.shown_status(), credential.shown_reason().map(str::to_owned));
        Self {
            expires_at: credential.expires_at(),
            refresh_forecast: None,
            id: credential.id,
            name: credential.name,
            kind: credential.kind,
            owner: credential.owner,
            client: credential.client,
            grant_type: (credential.kind == CredentialKind::Oauth).then_some(credential.grant),
            variables: credential.variables,
            choices: shown(credential.choices),
            projects: std::iter::once(credential.project).chain(credential.projects).collect(),
            labels: credential.labels,
            external_id: credential.external_id,
            status,
            status_reason,
            requested_scopes: credential.requested_scopes,
            granted_scopes: credential.granted_scopes,
            account: credential.account,
            account_kind: credential.account_kind,
            last_refreshed_at: credential.last_refreshed_at,
            generation: credential.generation,
            evidence: credential.evidence.filter(|_| credential.status == CredentialStatus::Revoked),
            created_at: credential.created_at,
        }
    }
}

/// An account from which the owner can choose.
#[derive(Serialize, ToSchema)]
#[schema(as = AccountChoice)]
pub struct ChoiceView {
    /// The value to send back.
    pub value: String,
    /// What people call it.
    pub label: String,
}

fn shown(choices: BTreeMap<String, Vec<AccountChoice>>) -> BTreeMap<String, Vec<ChoiceView>> {
    let view = |choice: AccountChoice| ChoiceView { value: choice.value, label: choice.label };
    choices.into_iter().map(|(key, list)| (key, list.into_iter().map(view).collect())).collect()
}

// The only place where a token becomes part of an answer.
/// An access token, with what is needed to use it; never a refresh token.
#[derive(Serialize, ToSchema)]
#[schema(as = Delivery)]
pub struct DeliveryView<'a> {
    /// The access token.
    pub access_token: &'a str,
    /// As the provider sent it.
    pub token_type: &'a str,
    /// When it expires; null when the provider does not say.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// From when a newer one may be there.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub refresh_after: Option<Timestamp>,
    /// Which generation it is.
    pub generation: u64,
    /// What is granted.
    pub scopes: &'a [String],
    /// The header to send it in.
    pub header: HeaderView<'a>,
    /// Further headers of the API.
    #[schema(value_type = BTreeMap<String, String>)]
    pub headers: BTreeMap<&'a str, &'a str>,
    /// Parameters of the query of requests to the API; absent where there are none. The token is among them where the
    /// provider takes no header: such an address is a secret.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, String>)]
    pub query: BTreeMap<&'a str, &'a str>,
    /// The API that it is for, without a slash at its end; null when that is not known.
    pub api_base_url: Option<&'a str>,
    /// The credential's variables, without the secret ones.
    pub variables: &'a BTreeMap<String, String>,
    /// What else the provider's answers held, without other tokens.
    #[schema(value_type = BTreeMap<String, Value>)]
    pub extra: &'a Map<String, Value>,
    /// Something that the caller should know, as a stable code; absent when there is nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<&'static str>,
}

/// A header of a request to the API.
#[derive(Serialize, ToSchema)]
#[schema(as = DeliveryHeader)]
pub struct HeaderView<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its value: the token, after the prefix that the API wants.
    pub value: &'a str,
}

impl<'a> From<&'a Delivery> for DeliveryView<'a> {
    fn from(delivery: &'a Delivery) -> Self {
        Self {
            access_token: delivery.access_token.expose(),
            token_type: &delivery.token_type,
            expires_at: delivery.expires_at,
            refresh_after: delivery.refresh_after,
            generation: delivery.generation,
            scopes: &delivery.scopes,
            header: HeaderView { name: &delivery.header_name, value: delivery.header_value.expose() },
            headers: delivery.headers.iter().map(|(name, value)| (name.as_str(), value.expose().as_str())).collect(),
            query: delivery.query.iter().map(|(name, value)| (name.as_str(), value.expose().as_str())).collect(),
            api_base_url: delivery.api_base_url.as_deref(),
            variables: &delivery.variables,
            extra: &delivery.extra,
            warning: delivery.warning,
        }
    }
}
