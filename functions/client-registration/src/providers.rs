//! `/v1/providers`: the catalogue.

use axum::extract::{Path, State};
use axum::response::Response;
use grantkeeper::broker::Broker;
use grantkeeper::broker::access::Caller;
use grantkeeper::catalogue::{Confidence, Method, Provider, Quirk, Summary};
use grantkeeper::error::Result;
use grantkeeper::inbound::cached;
use grantkeeper::inbound::openapi::{AnyCall, Problem, ProjectHeader};
use grantkeeper::inbound::query::{ListQuery, Listing, page};
use grantkeeper::model::client::{GrantType, RefreshFacts, Scopes};
use grantkeeper::model::variable::Variable;
use lambda_http::http::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

/// A page of providers.
type ProviderList = Listing<Summary>;

/// What is looked for.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct Filters {
    /// A part of an id, a name or a category; what fits best comes first.
    query: Option<String>,
    /// One category.
    category: Option<String>,
}

/// The header by which a caller tells what it has.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only described")]
pub struct KnownHeader {
    /// The `ETag` of an earlier answer: the same is answered by 304 without a body.
    #[param(rename = "If-None-Match")]
    known: Option<String>,
}

/// A provider, with what is derived from its facts.
#[derive(Serialize, ToSchema)]
#[schema(as = Provider)]
pub struct ProviderView {
    /// Its id.
    id: String,
    /// Its name.
    name: String,
    /// What kind of product it is.
    category: String,
    /// The provider's page about registering clients.
    docs_url: Option<String>,
    /// The day on which the facts were last compared with a source, where anybody did.
    checked: Option<String>,
    /// How sure its URLs are.
    confidence: Confidence,
    /// The grants that it has and this broker speaks.
    grant_types: Vec<GrantType>,
    /// Where it is; the placeholders are variables.
    endpoints: Endpoints,
    /// What people, the client or the provider's answers put in.
    variables: Vec<Variable>,
    /// Its scopes, as far as a client takes them.
    scopes: Scopes,
    /// How it treats refresh tokens.
    refresh: RefreshFacts,
    /// What is not by the book.
    quirks: Vec<Quirk>,
    /// The ways to a first token, and what has to be entered for each.
    methods: Vec<Method>,
    /// What to do to get a client, in order.
    setup: Vec<String>,
    /// What people should know before they rely on it.
    notes: Vec<String>,
    /// Facts for what this broker does not speak yet.
    #[schema(value_type = Object)]
    later: Map<String, Value>,
}

/// The URLs of a provider.
#[derive(Serialize, ToSchema)]
#[schema(as = ProviderEndpoints)]
pub struct Endpoints {
    /// RFC 8414.
    issuer: Option<String>,
    /// RFC 6749 §3.1.
    authorization_endpoint: Option<String>,
    /// RFC 6749 §3.2.
    token_endpoint: Option<String>,
    /// RFC 7009.
    revocation_endpoint: Option<String>,
    /// RFC 7662.
    introspection_endpoint: Option<String>,
    /// OpenID Connect Core §5.3.
    userinfo_endpoint: Option<String>,
    /// The API that the tokens are for.
    api_base_url: Option<String>,
    /// Further origins that the token may be sent to.
    api_origins: Vec<String>,
}

impl From<Provider> for ProviderView {
    fn from(provider: Provider) -> Self {
        let (quirks, methods, setup) = (provider.quirks(), provider.methods(), provider.steps());
        let Provider { id, about, settings, .. } = provider;
        Self {
            id,
            name: about.name,
            category: about.category,
            docs_url: about.docs_url,
            checked: about.checked,
            confidence: about.confidence,
            grant_types: settings.grant_types,
            endpoints: Endpoints {
                issuer: settings.issuer,
                authorization_endpoint: settings.authorization_endpoint,
                token_endpoint: settings.token_endpoint,
                revocation_endpoint: settings.revocation_endpoint,
                introspection_endpoint: settings.introspection_endpoint,
                userinfo_endpoint: settings.userinfo_endpoint,
                api_base_url: settings.api_base_url,
                api_origins: settings.api_origins,
            },
            variables: settings.variables,
            scopes: settings.scopes,
            refresh: settings.refresh,
            quirks,
            methods,
            setup,
            notes: about.notes,
            later: about.later,
        }
    }
}

/// Lists providers, those first that fit the query best.
#[utoipa::path(
    get, path = "/v1/providers", operation_id = "list_providers", tag = "providers",
    params(ProjectHeader, KnownHeader, ListQuery<Filters>),
    responses(
        (status = 200, description = "A page of providers", body = ProviderList, headers(("ETag" = String))),
        (status = 304, description = "The caller has this page"),
        AnyCall
    )
)]
pub async fn list(
    State(broker): State<Broker>,
    caller: Caller,
    headers: HeaderMap,
    query: ListQuery<Filters>,
) -> Result<Response> {
    let Filters { query: wanted, category } = &query.filters;
    let (limit, cursor) = (query.limit, query.cursor.as_deref());
    let found = broker.list_providers(&caller, wanted.as_deref(), category.as_deref(), limit, cursor)?;
    cached::answer(&headers, &page(found, |summary| summary))
}

/// Reads a provider.
#[utoipa::path(
    get, path = "/v1/providers/{provider}", operation_id = "read_provider", tag = "providers",
    params(("provider" = String, Path, description = "The provider"), ProjectHeader, KnownHeader),
    responses(
        (status = 200, description = "The provider", body = ProviderView, headers(("ETag" = String))),
        (status = 304, description = "The caller has it"),
        AnyCall, Problem<404>
    )
)]
pub async fn read(
    State(broker): State<Broker>,
    caller: Caller,
    headers: HeaderMap,
    Path(provider): Path<String>,
) -> Result<Response> {
    cached::answer(&headers, &ProviderView::from(broker.read_provider(&caller, &provider)?))
}
