//! Token requests: what they must be, and what comes of them.

use axum::http::StatusCode;
use axum::response::Response;

use super::arrived::Arrived;
use super::facts::{Body, TokenRequest};
use super::inner::Reply;
use super::known::variable;
use super::sites::{Site, What};
use super::template::{Meaning, Pattern, Shape};
use super::wanted::{Told, Wanted};
use super::{Complaint, Endpoint, Posed, inner, shape};
use crate::Sandbox;
use crate::settings::{AuthMethod, GrantType};
use crate::state::State;

/// A token request that is as the entry says.
pub(super) struct Exchange {
    grant: GrantType,
    /// The request by the book, but for the client.
    parameters: Vec<(&'static str, String)>,
    secret: Option<String>,
}

impl Exchange {
    pub(super) fn endpoint(&self) -> Endpoint {
        endpoint_of(self.grant)
    }
}

fn endpoint_of(grant: GrantType) -> Endpoint {
    if grant == GrantType::RefreshToken { Endpoint::Refresh } else { Endpoint::Token }
}

/// Whether a token request presents a refresh token, as far as one can tell before it is checked.
pub(super) fn is_refresh(posed: &Posed, arrived: &Arrived) -> bool {
    let request = &posed.refreshing;
    let name = |standard: &str| request.names.get(standard).cloned().unwrap_or_else(|| standard.to_owned());
    let word = request.grant_type.as_deref().unwrap_or("refresh_token");
    let has_token = !carried(arrived, &name("refresh_token")).is_empty();
    let says_so = carried(arrived, &name("grant_type")).iter().any(|value| value == word);
    says_so || has_token || arrived.credentials().iter().any(|value| value.starts_with("sbx_rt_"))
}

/// The values of a parameter, wherever it stands.
fn carried(arrived: &Arrived, name: &str) -> Vec<String> {
    let in_query = arrived.query.iter().filter(|(given, _)| given == name).map(|(_, value)| value.clone());
    let json: serde_json::Value = serde_json::from_slice(&arrived.body).unwrap_or_default();
    let in_json = json.get(name).and_then(|value| value.as_str()).map(str::to_owned);
    let form = form_urlencoded::parse(&arrived.body).filter(|(given, _)| given == name);
    in_query.chain(in_json).chain(form.map(|(_, value)| value.into_owned())).filter(|value| !value.is_empty()).collect()
}

/// Checks a request at the token endpoint, or where refresh tokens are presented.
pub(super) fn read(
    posed: &Posed,
    site: &Site,
    arrived: &Arrived,
    state: &State,
) -> Result<Exchange, (Endpoint, Complaint)> {
    let refreshes = site.what == What::Refresh || is_refresh(posed, arrived);
    let grant = if refreshes { GrantType::RefreshToken } else { first_grant(posed, arrived) };
    let complain = |complaint: Complaint| (endpoint_of(grant), complaint);
    if refreshes && site.what == What::Token {
        let elsewhere = "refresh tokens are not presented here in this way: another address or method is said for them";
        return Err(complain(elsewhere.to_owned().into()));
    }
    if !refreshes && !posed.entry.grants().contains(&grant) {
        return Err(complain(Complaint::new("unauthorized_client", "this provider has no such grant")));
    }
    checked(posed, site, arrived, state, grant).map_err(complain)
}

/// The grant of a request that is no refresh.
fn first_grant(posed: &Posed, arrived: &Arrived) -> GrantType {
    let request = &posed.entry.token_request;
    let name = |standard: &str| request.names.get(standard).cloned().unwrap_or_else(|| standard.to_owned());
    let has = |standard: &str| !carried(arrived, &name(standard)).is_empty();
    let word = carried(arrived, &name("grant_type"));
    let has_code = arrived.credentials().iter().any(|value| value.starts_with("sbx_code_"));
    let grants = posed.entry.grants();
    let said = word.first().and_then(|word| GrantType::parse(word)).filter(|grant| *grant != GrantType::RefreshToken);
    match said {
        Some(grant) => grant,
        None if has("code") || has_code => GrantType::AuthorizationCode,
        None if has("username") => GrantType::Password,
        None if grants.contains(&GrantType::ClientCredentials) => GrantType::ClientCredentials,
        None => GrantType::AuthorizationCode,
    }
}

fn checked(
    posed: &Posed,
    site: &Site,
    arrived: &Arrived,
    state: &State,
    grant: GrantType,
) -> Result<Exchange, Complaint> {
    let (request, auth) = if grant == GrantType::RefreshToken {
        (&posed.refreshing, posed.refreshing.auth.unwrap_or(posed.entry.auth()))
    } else {
        (&posed.entry.token_request, posed.entry.auth())
    };
    let wanted = wanted(posed, request, grant, auth);
    let query = site.address.rest_of(&arrived.query);
    let query = query.ok_or_else(|| "the query of the address itself is not kept".to_owned())?;
    let mut told = wanted.read(arrived, &query)?;
    authenticate(posed, &wanted, auth, arrived, &mut told)?;
    let text = |name: &str| told.get(name).map(str::to_owned);
    let mut parameters = vec![("grant_type", word(grant).to_owned())];
    for name in ["code_verifier", "username", "password"] {
        parameters.extend(text(name).map(|value| (name, value)));
    }
    match grant {
        GrantType::AuthorizationCode => {
            let code = text("code").ok_or_else(|| "the code is missing".to_owned())?;
            // Where the entry leaves the redirect URI out, the provider still knows it.
            let given = text("redirect_uri").or_else(|| state.redirect_uri_of(&code).map(str::to_owned));
            parameters.extend(given.map(|uri| ("redirect_uri", uri)));
            parameters.push(("code", code));
        }
        GrantType::RefreshToken => {
            if text("redirect_uri").is_some_and(|uri| !posed.settings.redirect_uris.contains(&uri)) {
                return Err("the redirect URI is not registered".to_owned().into());
            }
            let presented = text("refresh_token").ok_or_else(|| "the refresh token is missing".to_owned())?;
            let renewed = posed.notes().renewals.get(&presented).cloned();
            let token = renewed.unwrap_or(presented);
            check_age(posed, &token, state)?;
            parameters.push(("refresh_token", token));
        }
        GrantType::ClientCredentials | GrantType::Password => {}
    }
    if let Some(scope) = told.get("scope") {
        let scopes = posed.split_scopes(scope)?;
        if grant != GrantType::AuthorizationCode {
            parameters.push(("scope", scopes.join(" ")));
        }
    }
    // What the wire does not carry at all is not asked for: then the provider knows the client otherwise.
    let secret = text("client_secret").or_else(|| posed.settings.client_secrets.first().cloned());
    Ok(Exchange { grant, parameters, secret })
}

/// Some providers refuse a refresh that comes too early.
fn check_age(posed: &Posed, refresh_token: &str, state: &State) -> Result<(), Complaint> {
    let Some(least) = posed.entry.refresh.min_age_seconds else { return Ok(()) };
    match state.age_of(refresh_token) {
        Some(age) if age < i64::from(least) * 1000 => {
            Err(Complaint::new("invalid_grant", format!("a refresh comes no earlier than after {least} seconds")))
        }
        _ => Ok(()),
    }
}

fn word(grant: GrantType) -> &'static str {
    match grant {
        GrantType::AuthorizationCode => "authorization_code",
        GrantType::RefreshToken => "refresh_token",
        GrantType::ClientCredentials => "client_credentials",
        GrantType::Password => "password",
    }
}

/// What the request must be.
fn wanted<'p>(posed: &'p Posed, request: &'p TokenRequest, grant: GrantType, auth: AuthMethod) -> Wanted<'p> {
    let mut wanted = Wanted::new(request.method.as_deref(), request.content_type.as_deref());
    let texts = !posed.required_scopes.is_empty();
    let mut put = |name: &str, shape: Shape, optional: bool| {
        wanted.parameters.standard(&request.names, name, shape, optional);
    };
    let open = |name: &str| Shape::Text(Pattern::open(name));
    put("grant_type", Shape::Text(Pattern::exactly(request.grant_type.as_deref().unwrap_or(word(grant)))), false);
    for name in own_parameters(posed, grant) {
        let optional = *name == "scope" && (grant == GrantType::RefreshToken || !texts);
        put(name, open(name), optional);
    }
    let targets = [("audience", &posed.entry.audience), ("resource", &posed.entry.resource)];
    for (name, value) in targets {
        if let Some(value) = value {
            put(name, Shape::Text(Pattern::exactly(value)), false);
        }
    }
    if auth != AuthMethod::ClientSecretBasic {
        put("client_id", Shape::Text(Pattern::exactly(&posed.settings.client_id)), false);
    }
    if auth == AuthMethod::ClientSecretPost && posed.has_secret() {
        put("client_secret", open("client_secret"), false);
    }
    let meaning = |name: &str| meaning(posed, grant, name);
    // What not every request of the kind has.
    let may_lack_scopes = !texts || grant == GrantType::RefreshToken;
    let optional = |shape: &Shape| shape.asks("state") || (may_lack_scopes && shape.asks("scope"));
    wanted.add(&request.headers, request.body.as_ref(), &meaning, &optional);
    let in_query = wanted.media() == super::arrived::Media::Query && !matches!(request.body, Some(Body::Text(_)));
    for (name, text) in &request.query {
        if let Some(pattern) = Pattern::of(text, &meaning) {
            let shape = Shape::Text(pattern);
            let is_optional = optional(&shape);
            let part = if in_query { &mut wanted.parameters } else { &mut wanted.query };
            part.extra(name, shape, is_optional);
        }
    }
    wanted
}

/// The parameters of a grant that the request tells.
fn own_parameters(posed: &Posed, grant: GrantType) -> &'static [&'static str] {
    let scopes = !posed.scopes.is_empty();
    match (grant, posed.entry.pkce(), scopes) {
        (GrantType::AuthorizationCode, true, _) => &["code", "redirect_uri", "code_verifier"],
        (GrantType::AuthorizationCode, false, _) => &["code", "redirect_uri"],
        (GrantType::RefreshToken, _, true) => &["refresh_token", "scope"],
        (GrantType::RefreshToken, _, false) => &["refresh_token"],
        (GrantType::ClientCredentials, _, true) => &["scope"],
        (GrantType::ClientCredentials, _, false) => &[],
        (GrantType::Password, _, true) => &["username", "password", "scope"],
        (GrantType::Password, _, false) => &["username", "password"],
    }
}

/// What a name stands for in a token request: a variable, or something of the request itself.
fn meaning(posed: &Posed, grant: GrantType, name: &str) -> Meaning {
    if let Some(meaning) = variable(posed.known.first(), name) {
        return meaning;
    }
    let is_code = grant == GrantType::AuthorizationCode;
    match name {
        "client_id" => Meaning::Is(posed.settings.client_id.clone()),
        "client_secret" if posed.has_secret() => Meaning::Open,
        "random" | "uuid" => Meaning::Open,
        "state" if is_code => Meaning::Open,
        "scope" if !posed.scopes.is_empty() => Meaning::Open,
        "redirect_uri" if is_code || grant == GrantType::RefreshToken => Meaning::Open,
        "audience" => posed.entry.audience.clone().map_or(Meaning::Unset, Meaning::Is),
        "resource" => posed.entry.resource.clone().map_or(Meaning::Unset, Meaning::Is),
        name if own_parameters(posed, grant).contains(&name) => Meaning::Open,
        _ => Meaning::Unset,
    }
}

/// The client proves itself in the one way that the entry says.
pub(super) fn authenticate(
    posed: &Posed,
    wanted: &Wanted<'_>,
    auth: AuthMethod,
    arrived: &Arrived,
    told: &mut Told,
) -> Result<(), Complaint> {
    if wanted.sets("authorization") {
        return Ok(());
    }
    if auth == AuthMethod::ClientSecretBasic {
        let (client_id, secret) = arrived.basic()?;
        if client_id != posed.settings.client_id {
            return Err(Complaint::new("invalid_client", "HTTP Basic names another client"));
        }
        return Ok(told.hear(vec![("client_secret".to_owned(), secret)])?);
    }
    if arrived.headers.contains_key("authorization") {
        return Err("the header Authorization must be left out: the client authenticates otherwise".to_owned().into());
    }
    Ok(())
}

/// Asks the sandbox, and answers as the provider does.
pub(super) async fn answer(sandbox: &Sandbox, posed: &Posed, exchange: Exchange) -> Response {
    let parameters: Vec<(&str, &str)> =
        exchange.parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let client = (posed.settings.client_id.as_str(), exchange.secret.as_deref());
    let (reply, marks) = inner::post(sandbox, "/token", client, &parameters).await;
    let members = match reply {
        Reply::Json(StatusCode::OK, members) => members,
        Reply::Json(status, members) => {
            return marks.put_on(shape::passed_on(posed, exchange.endpoint(), status, &members)).await;
        }
        Reply::Other(response) => return marks.put_on(response).await,
    };
    let member = |name: &str| members.get(name).and_then(|value| value.as_str());
    if posed.entry.renews_itself() {
        let presented = exchange.parameters.iter().find(|(name, _)| *name == "refresh_token");
        let behind = member("refresh_token").or(presented.map(|(_, token)| token.as_str()));
        if let (Some(access_token), Some(behind)) = (member("access_token"), behind) {
            posed.notes().renewals.insert(access_token.to_owned(), behind.to_owned());
        }
    }
    marks.put_on(shape::tokens(sandbox, posed, &members)).await
}
