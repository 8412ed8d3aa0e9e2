//! Requests with an access token: the test request, lookups, UserInfo and the rest of the API.

use std::collections::BTreeMap;

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::WWW_AUTHENTICATE;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::arrived::{Arrived, Media, as_values};
use super::facts::{Body, Header, Lookup, Source};
use super::inner::Reply;
use super::known::at_api;
use super::place::{put, put_ok};
use super::sites::{Site, What};
use super::template::{Meaning, Pattern, Shape, names};
use super::wanted::{Parameters, Told, read_headers};
use super::{Complaint, Endpoint, Posed, inner};
use crate::Sandbox;
use crate::oauth_error::no_store;

/// A request to the API that is as the entry says.
pub(super) struct Call {
    access_token: String,
    /// Everything at its address that it is right for.
    pub(super) endpoints: Vec<Endpoint>,
    answer: Value,
}

/// The token in a header of this scheme.
pub(super) fn bearer(header: &Header, arrived: &Arrived) -> Result<String, Complaint> {
    let shown = format!("{}: {}", header.name, format!("{} {{access_token}}", header.prefix).trim_start());
    let refused = || Complaint::new("invalid_token", format!("the access token must be in the header `{shown}`"));
    let value = arrived.header(&header.name).ok_or_else(refused)?;
    let token = match header.prefix.as_str() {
        "" => Some(value),
        prefix => value.strip_prefix(prefix).and_then(|token| token.strip_prefix(' ')),
    };
    token.filter(|token| !token.is_empty() && !token.contains(' ')).map(str::to_owned).ok_or_else(refused)
}

/// Checks a request with an access token. `sites` are those at its address; to be right for one of them is enough.
pub(super) fn read(posed: &Posed, sites: &[&Site], arrived: &Arrived) -> Result<Call, (Endpoint, Complaint)> {
    let (mut endpoints, mut token, mut refused) = (Vec::new(), None, None);
    for site in sites {
        match token_of(posed, site, arrived) {
            Ok(access_token) => {
                endpoints.push(site.endpoint());
                token = Some(access_token);
            }
            Err(complaint) => {
                refused.get_or_insert((site.endpoint(), complaint));
            }
        }
    }
    endpoints.sort();
    endpoints.dedup();
    match token {
        Some(access_token) => Ok(Call { access_token, endpoints, answer: answer_at(posed, sites) }),
        None => Err(refused.unwrap_or((Endpoint::Api, "nothing is here".to_owned().into()))),
    }
}

/// The access token of a request that is right for an address.
fn token_of(posed: &Posed, site: &Site, arrived: &Arrived) -> Result<String, Complaint> {
    let entry = &posed.entry;
    let values = posed.known.worlds.get(site.world).unwrap_or_else(|| posed.known.first());
    let meaning = |name: &str| match at_api(values, name) {
        // The API knows the client by its id, as the token endpoint does.
        Meaning::Unset if name == "client_id" => Meaning::Is(posed.settings.client_id.clone()),
        meaning => meaning,
    };
    if let Some(method) = site.method.as_deref().filter(|method| *method != arrived.method.as_str()) {
        return Err(format!("the method must be {method}, not {}", arrived.method).into());
    }
    let mut told = Told::default();
    if site.what == What::Userinfo {
        arrived.check_manners(|_| false)?;
        return bearer(&Header::default(), arrived).or_else(|_| bearer(&entry.header, arrived));
    }
    let test = entry.test_request.as_ref().filter(|_| site.what == What::Test);
    let own = test.map_or(&NO_HEADERS, |test| &test.headers);
    let headers = headers(posed, site, own, &meaning, arrived);
    let sets = |header: &str| headers.iter().any(|(name, value)| value.is_some() && name.eq_ignore_ascii_case(header));
    arrived.check_manners(sets)?;
    read_headers(&headers, arrived, &mut told)?;
    read_query(posed, site, &meaning, arrived, &mut told)?;
    if let Some(test) = test {
        read_body(test.body.as_ref(), &meaning, arrived, &mut told)?;
    }
    match told.get("access_token") {
        Some(token) => Ok(token.to_owned()),
        None => {
            bearer(lookup_of(posed, site).and_then(|lookup| lookup.header.as_ref()).unwrap_or(&entry.header), arrived)
        }
    }
}

static NO_HEADERS: BTreeMap<String, String> = BTreeMap::new();

fn lookup_of<'p>(posed: &'p Posed, site: &Site) -> Option<&'p Lookup> {
    match site.what {
        What::Lookup(index) => posed.entry.variables.get(index)?.lookup.as_ref(),
        _ => None,
    }
}

/// The API's headers, and those of the test request over them. Before a lookup is done, what it brings may be missing.
fn headers(
    posed: &Posed,
    site: &Site,
    own: &BTreeMap<String, String>,
    meaning: &dyn Fn(&str) -> Meaning,
    arrived: &Arrived,
) -> Vec<(String, Option<Pattern>)> {
    let is_replaced = |name: &str| own.keys().any(|known| known.eq_ignore_ascii_case(name));
    let is_late = |text: &str| names(text).into_iter().any(|name| posed.known.late.contains(name));
    let is_early = |name: &str, text: &str| {
        matches!(site.what, What::Lookup(_)) && is_late(text) && !arrived.headers.contains_key(name)
    };
    let api = posed.entry.api_headers.iter().filter(|(name, text)| !is_replaced(name) && !is_early(name, text));
    api.chain(own).map(|(name, text)| (name.clone(), Pattern::of(text, meaning))).collect()
}

/// The parameters of the API and of the address; elsewhere below the API there may be others.
fn read_query(
    posed: &Posed,
    site: &Site,
    meaning: &dyn Fn(&str) -> Meaning,
    arrived: &Arrived,
    told: &mut Told,
) -> Result<(), String> {
    let mut wanted = Parameters::default();
    for (name, text) in &posed.entry.api_query {
        if let Some(pattern) = Pattern::of(text, meaning) {
            wanted.extra(name, Shape::Text(pattern), false);
        }
    }
    for (name, pattern) in &site.address.query {
        wanted.extra(name, Shape::Text(pattern.clone()), false);
    }
    let mut given = as_values(arrived.query.clone());
    if site.what == What::Api {
        given.retain(|(name, _)| wanted.has(name));
    }
    wanted.read(&given, false, told).map_err(|problem| format!("{problem} (in the query)"))
}

/// A table is sent as JSON, a text as a form.
fn read_body(
    body: Option<&Body>,
    meaning: &dyn Fn(&str) -> Meaning,
    arrived: &Arrived,
    told: &mut Told,
) -> Result<(), String> {
    match body {
        None if arrived.body.is_empty() => Ok(()),
        None => Err("the body must be empty".to_owned()),
        Some(Body::Parameters(members)) => {
            let mut wanted = Parameters::default();
            for (name, value) in members {
                if let Some(shape) = Shape::of(value, meaning) {
                    wanted.extra(name, shape, false);
                }
            }
            wanted.read(&arrived.parameters(Media::Json, None)?, true, told)
        }
        Some(Body::Text(text)) => {
            let mut wanted = Parameters::default();
            for (name, value) in form_urlencoded::parse(text.as_bytes()) {
                if let Some(pattern) = Pattern::of(&value, meaning) {
                    wanted.extra(&name, Shape::Text(pattern), false);
                }
            }
            wanted.read(&arrived.parameters(Media::Form, None)?, false, told)
        }
    }
}

/// Everything that the answer at an address brings: the account, then what is looked up there, which goes before it.
fn answer_at(posed: &Posed, sites: &[&Site]) -> Value {
    let mut answer = Value::Null;
    if sites.iter().any(|site| site.what == What::Test)
        && let Some(test) = &posed.entry.test_request
    {
        if let Some(ok) = &test.ok {
            put_ok(&mut answer, ok, true);
        }
        for (place, value) in [(&test.account, &posed.settings.account), (&test.label, &posed.settings.label)] {
            if let Some(place) = place {
                put(&mut answer, place, json!(value));
            }
        }
    }
    if sites.iter().any(|site| site.what == What::Userinfo) {
        put(&mut answer, "sub", json!(posed.settings.account));
    }
    let mut done = Vec::new();
    for site in sites {
        if let What::Lookup(index) = site.what
            && !done.contains(&index)
        {
            look_up(posed, index, &mut answer);
            done.push(index);
        }
    }
    if answer.is_null() { json!({}) } else { answer }
}

/// What a lookup brings: one value, or the items to choose from with what belongs to each.
fn look_up(posed: &Posed, index: usize, answer: &mut Value) {
    let Some(variable) = posed.entry.variables.get(index) else { return };
    let Some(lookup) = &variable.lookup else { return };
    let place = lookup.value.as_deref().unwrap_or("/");
    let brought = posed.known.brought(&variable.key);
    if variable.source != Source::Choice {
        if let Some(value) = brought.first() {
            put(answer, place, value.clone());
        }
        return;
    }
    let items = brought.iter().enumerate().map(|(number, value)| {
        let mut item = Value::Null;
        put(&mut item, place, value.clone());
        if let Some(label) = &lookup.label {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            if !label.split('|').any(|label| label == place) {
                put(&mut item, label, json!(format!("Label of {text}")));
            }
        }
        for other in &posed.entry.variables {
            let with = other.lookup.as_ref().filter(|with| with.with.as_ref() == Some(&variable.key));
            let value = posed.known.brought_with(&other.key, number);
            if let (Some(place), Some(value)) = (with.and_then(|with| with.value.as_deref()), value) {
                put(&mut item, place, value.clone());
            }
        }
        item
    });
    put(answer, lookup.items.as_deref().unwrap_or("/"), items.collect());
}

/// Asks the sandbox whether the token counts, and whose it is.
pub(super) async fn answer(sandbox: &Sandbox, posed: &Posed, call: Call) -> Response {
    let endpoint = call.endpoints.first().copied().unwrap_or(Endpoint::Api);
    let members = match inner::me(sandbox, &call.access_token).await {
        Reply::Json(StatusCode::OK, members) => members,
        Reply::Json(_, members) => {
            let description = members.get("error_description").and_then(Value::as_str).unwrap_or_default();
            let complaint = Complaint::new("invalid_token", description);
            posed.complain(endpoint, description);
            return refusal(posed, endpoint, &complaint);
        }
        Reply::Other(response) => return response,
    };
    if members.get("client_id").and_then(Value::as_str) != Some(posed.settings.client_id.as_str()) {
        let complaint = Complaint::new("invalid_token", "the access token belongs to another provider");
        posed.complain(endpoint, &complaint.reason);
        return refusal(posed, endpoint, &complaint);
    }
    no_store(Json(call.answer))
}

/// RFC 6750 §3.1; where the test request has an `ok`, it says no.
pub(super) fn refusal(posed: &Posed, endpoint: Endpoint, complaint: &Complaint) -> Response {
    let mut body = json!({ "error": complaint.code, "error_description": complaint.reason });
    let ok = posed.entry.test_request.as_ref().and_then(|test| test.ok.as_ref());
    if let Some(ok) = ok.filter(|_| endpoint == Endpoint::Test) {
        put_ok(&mut body, ok, false);
    }
    if complaint.code != "invalid_token" {
        return no_store((StatusCode::BAD_REQUEST, Json(body)));
    }
    let challenge = [(WWW_AUTHENTICATE, "Bearer error=\"invalid_token\"")];
    no_store((StatusCode::UNAUTHORIZED, challenge, Json(body)).into_response())
}
