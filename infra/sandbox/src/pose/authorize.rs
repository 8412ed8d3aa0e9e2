//! Authorization requests: what they must be, and the way back.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use url::Url;

use super::arrived::{Arrived, as_values};
use super::facts::Source;
use super::known::variable;
use super::posed::UNNAMED_SCOPE;
use super::sites::Site;
use super::template::{Meaning, Pattern, Shape};
use super::wanted::{Parameters, Told};
use super::{Complaint, Endpoint, Posed, inner};
use crate::Sandbox;
use crate::oauth_error::no_store;

/// An authorization request that is as the entry says.
pub(super) struct Asked {
    /// The request by the book.
    parameters: Vec<(&'static str, String)>,
    redirect_uri: String,
    state: Option<String>,
}

/// Checks a request at the authorization endpoint.
pub(super) fn read(posed: &Posed, site: &Site, arrived: &Arrived) -> Result<Asked, Complaint> {
    if arrived.method.as_str() != "GET" {
        return Err(format!("the method must be GET, not {}", arrived.method).into());
    }
    let query = site.address.rest_of(&arrived.query);
    let query = query.ok_or_else(|| "the query of the address itself is not kept".to_owned())?;
    let mut told = Told::default();
    wanted(posed).read(&as_values(query), false, &mut told)?;
    let text = |name: &str| told.get(name).map(str::to_owned);

    let registered = &posed.settings.redirect_uris;
    let redirect_uri = text("redirect_uri").or_else(|| registered.first().cloned());
    let redirect_uri = redirect_uri.filter(|uri| registered.contains(uri));
    let redirect_uri = redirect_uri.ok_or_else(|| "the redirect URI is not registered".to_owned())?;
    let mut parameters = vec![
        ("response_type", "code".to_owned()),
        ("client_id", posed.settings.client_id.clone()),
        ("redirect_uri", redirect_uri.clone()),
        ("scope", scope(posed, told.get("scope"))?),
    ];
    if let Some(challenge) = text("code_challenge") {
        parameters.push(("code_challenge", challenge));
        parameters.push(("code_challenge_method", "S256".to_owned()));
    }
    parameters.extend(text("nonce").map(|nonce| ("nonce", nonce)));
    for (name, value) in [("audience", &posed.entry.audience), ("resource", &posed.entry.resource)] {
        parameters.extend(value.clone().map(|value| (name, value)));
    }
    Ok(Asked { parameters, redirect_uri, state: text("state") })
}

/// The scopes of the request by the book.
fn scope(posed: &Posed, given: Option<&str>) -> Result<String, Complaint> {
    let Some(given) = given else {
        let all = if posed.scopes.is_empty() { vec![UNNAMED_SCOPE.to_owned()] } else { posed.scopes.clone() };
        return Ok(all.join(" "));
    };
    let scopes = posed.split_scopes(given)?;
    match posed.required_scopes.iter().find(|scope| !scopes.contains(scope)) {
        Some(missing) => Err(Complaint::new("invalid_scope", format!("the scope `{missing}` is missing"))),
        None => Ok(scopes.join(" ")),
    }
}

fn wanted(posed: &Posed) -> Parameters {
    let entry = &posed.entry;
    let names = &entry.authorization_names;
    let mut wanted = Parameters::default();
    let exactly = |text: &str| Shape::Text(Pattern::exactly(text));
    let open = |name: &str| Shape::Text(Pattern::open(name));
    wanted.standard(names, "response_type", exactly("code"), false);
    wanted.standard(names, "client_id", exactly(&posed.settings.client_id), false);
    wanted.standard(names, "redirect_uri", open("redirect_uri"), false);
    wanted.standard(names, "state", open("state"), false);
    if !posed.scopes.is_empty() {
        wanted.standard(names, "scope", open("scope"), posed.required_scopes.is_empty());
    }
    if entry.pkce() {
        wanted.standard(names, "code_challenge", open("code_challenge"), false);
        wanted.standard(names, "code_challenge_method", exactly("S256"), false);
    }
    if posed.scopes.iter().any(|scope| scope == "openid") {
        // OpenID Connect Core §3.1.2.1.
        wanted.standard(names, "nonce", open("nonce"), true);
    }
    for (name, value) in [("audience", &entry.audience), ("resource", &entry.resource)] {
        if let Some(value) = value {
            wanted.standard(names, name, exactly(value), false);
        }
    }
    for (name, text) in &entry.authorization_params {
        if let Some(pattern) = Pattern::of(text, &|name| meaning(posed, name)) {
            wanted.extra(name, Shape::Text(pattern), false);
        }
    }
    wanted
}

fn meaning(posed: &Posed, name: &str) -> Meaning {
    variable(posed.known.first(), name).unwrap_or_else(|| match name {
        "client_id" => Meaning::Is(posed.settings.client_id.clone()),
        "redirect_uri" | "state" | "random" | "uuid" => Meaning::Open,
        "scope" if !posed.scopes.is_empty() => Meaning::Open,
        _ => Meaning::Unset,
    })
}

/// Sends the browser back at once: with the code, the state, and what the entry's variables find in the callback.
pub(super) async fn answer(sandbox: &Sandbox, posed: &Posed, asked: Asked) -> Response {
    let parameters: Vec<(&str, &str)> = asked.parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let inner::Reply::Other(response) = inner::authorize(sandbox, &parameters).await else {
        return refusal("the sandbox answers something else");
    };
    let location = response.headers().get(LOCATION).and_then(|value| Url::parse(value.to_str().ok()?).ok());
    let told = |wanted: &str| {
        let mut pairs = location.as_ref()?.query_pairs();
        pairs.find(|(name, _)| name == wanted).map(|(_, value)| value.into_owned())
    };
    let Some(code) = told("code") else {
        let problem = told("error_description").unwrap_or_else(|| "the sandbox gives no code".to_owned());
        posed.complain(Endpoint::Authorize, &problem);
        return refusal(&problem);
    };
    let Some(location) = way_back(posed, &asked, &code) else { return refusal("the redirect URI is no URL") };
    let mut response = no_store(StatusCode::FOUND);
    response.headers_mut().insert(LOCATION, location);
    response
}

fn way_back(posed: &Posed, asked: &Asked, code: &str) -> Option<HeaderValue> {
    let mut location = Url::parse(&asked.redirect_uri).ok()?;
    {
        let mut query = location.query_pairs_mut();
        let name = posed.entry.authorization_names.get("code").filter(|name| !name.is_empty());
        query.append_pair(name.map_or("code", String::as_str), code);
        query.extend_pairs(asked.state.iter().map(|state| ("state", state)));
        for variable in posed.entry.variables.iter().filter(|variable| variable.source == Source::Callback) {
            let from = variable.from.as_deref().and_then(|from| from.split('|').next());
            if let (Some(from), Some(value)) = (from, posed.known.brought(&variable.key).first()) {
                query.append_pair(from.trim(), &value.as_str().map_or_else(|| value.to_string(), str::to_owned));
            }
        }
    }
    HeaderValue::try_from(String::from(location)).ok()
}

/// The page for a person.
pub(super) fn refusal(problem: &str) -> Response {
    let body = Body::from(format!("authorize: {problem}"));
    no_store((StatusCode::BAD_REQUEST, [(CONTENT_TYPE, "text/plain; charset=utf-8")], body).into_response())
}
