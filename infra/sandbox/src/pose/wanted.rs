//! What a request must carry, and nothing else.

use std::collections::BTreeMap;

use axum::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use serde_json::Value;

use super::arrived::{Arrived, Media, as_values};
use super::facts::Body;
use super::template::{Found, Meaning, Pattern, Shape};

/// The parameters of the RFCs that nothing else may set, unless they have another name or none.
const RESERVED: [&str; 15] = [
    "client_id",
    "client_secret",
    "code",
    "code_challenge",
    "code_challenge_method",
    "code_verifier",
    "grant_type",
    "password",
    "redirect_uri",
    "refresh_token",
    "response_type",
    "state",
    "token",
    "token_type_hint",
    "username",
];

/// What open places were found to hold, by name.
#[derive(Default)]
pub(super) struct Told(BTreeMap<String, String>);

impl Told {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Adds what was found; a name has one value, wherever it stands.
    pub(super) fn hear(&mut self, found: Found) -> Result<(), String> {
        for (name, value) in found.into_iter().filter(|(name, _)| name != "random" && name != "uuid") {
            let known = self.0.entry(name).or_insert_with(|| value.clone());
            if *known != value {
                return Err("a value stands in two places and differs".to_owned());
            }
        }
        Ok(())
    }
}

/// One parameter.
pub(super) struct Parameter {
    name: String,
    shape: Shape,
    optional: bool,
    reserved: bool,
}

/// The parameters of one part of a request.
#[derive(Default)]
pub(super) struct Parameters(Vec<Parameter>);

impl Parameters {
    /// A parameter of the RFCs under the provider's name; an empty name leaves it out.
    pub(super) fn standard(&mut self, names: &BTreeMap<String, String>, name: &str, shape: Shape, optional: bool) {
        let wire = names.get(name).map_or(name, String::as_str);
        if !wire.is_empty() {
            let reserved = RESERVED.contains(&name);
            self.0.push(Parameter { name: wire.to_owned(), shape, optional, reserved });
        }
    }

    /// A parameter of the entry's own. It replaces one of the RFCs that is not reserved, and never one that is.
    pub(super) fn extra(&mut self, name: &str, shape: Shape, optional: bool) {
        if self.0.iter().any(|known| known.name == name && known.reserved) {
            return;
        }
        self.0.retain(|known| known.name != name);
        self.0.push(Parameter { name: name.to_owned(), shape, optional, reserved: false });
    }

    /// Whether a parameter of this name is among them.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|known| known.name == name)
    }

    /// Reads parameters that must be these and no others.
    pub(super) fn read(&self, given: &[(String, Value)], typed: bool, told: &mut Told) -> Result<(), String> {
        for (index, (name, _)) in given.iter().enumerate() {
            if given.iter().skip(index + 1).any(|(other, _)| other == name) {
                return Err(format!("the parameter {name} comes twice"));
            }
            if !self.0.iter().any(|known| known.name == *name) {
                return Err(format!("the parameter {name} is not known here"));
            }
        }
        for wanted in &self.0 {
            let Some((name, value)) = given.iter().find(|(name, _)| *name == wanted.name) else {
                if wanted.optional {
                    continue;
                }
                return Err(format!("the parameter {} is missing", wanted.name));
            };
            let found = wanted.shape.read(value, typed);
            let found = found.ok_or_else(|| format!("the parameter {name} must be `{}`", wanted.shape.shown()))?;
            told.hear(found)?;
        }
        Ok(())
    }
}

/// A request to an endpoint.
pub(super) struct Wanted<'a> {
    pub(super) method: &'a str,
    pub(super) content_type: Option<&'a str>,
    /// Of the body, or of the query where that is where they go.
    pub(super) parameters: Parameters,
    /// Further ones of the query.
    pub(super) query: Parameters,
    /// Headers with their values; one without a value must be left out.
    pub(super) headers: Vec<(String, Option<Pattern>)>,
    /// The whole body.
    pub(super) text: Option<Pattern>,
}

impl<'a> Wanted<'a> {
    pub(super) fn new(method: Option<&'a str>, content_type: Option<&'a str>) -> Wanted<'a> {
        Wanted {
            method: method.unwrap_or("POST"),
            content_type,
            parameters: Parameters::default(),
            query: Parameters::default(),
            headers: Vec::new(),
            text: None,
        }
    }

    pub(super) fn media(&self) -> Media {
        Media::of(self.content_type, self.method)
    }

    /// The headers and the body that the entry adds to the parameters of the RFCs.
    pub(super) fn add(
        &mut self,
        headers: &BTreeMap<String, String>,
        body: Option<&Body>,
        meaning: &dyn Fn(&str) -> Meaning,
        is_optional: &dyn Fn(&Shape) -> bool,
    ) {
        self.headers.extend(headers.iter().map(|(name, text)| (name.clone(), Pattern::of(text, meaning))));
        let media = self.media();
        match body {
            Some(Body::Text(text)) => {
                self.text = Some(Pattern::of_text(text, meaning, &|value| media.escape(value)));
            }
            Some(Body::Parameters(extra)) => {
                for (name, value) in extra {
                    if let Some(shape) = Shape::of(value, meaning) {
                        let optional = is_optional(&shape);
                        self.parameters.extra(name, shape, optional);
                    }
                }
            }
            None => {}
        }
    }

    /// Whether the entry sets a header itself.
    pub(super) fn sets(&self, header: &str) -> bool {
        self.headers.iter().any(|(name, value)| value.is_some() && name.eq_ignore_ascii_case(header))
    }

    /// Reads a request that must be this one. `query`: what is left of its query without that of the address.
    pub(super) fn read(&self, arrived: &Arrived, query: &[(String, String)]) -> Result<Told, String> {
        if arrived.method.as_str() != self.method {
            return Err(format!("the method must be {}, not {}", self.method, arrived.method));
        }
        arrived.check_manners(|header| self.sets(header))?;
        let mut told = Told::default();
        read_headers(&self.headers, arrived, &mut told)?;
        let media = self.media();
        let query = as_values(query.to_vec());
        if let Some(text) = &self.text {
            self.query.read(&query, false, &mut told).map_err(in_query)?;
            let found = text.read(arrived.text(media, self.content_type)?);
            let found = found.ok_or_else(|| format!("the body must be `{}`", text.shown()))?;
            let plain = found.into_iter().map(|(name, value)| (name, media.unescape(&value))).collect();
            told.hear(plain)?;
        } else if media == Media::Query {
            if !arrived.body.is_empty() {
                return Err("the parameters must be in the query, and the body empty".to_owned());
            }
            self.parameters.read(&query, false, &mut told).map_err(in_query)?;
        } else {
            self.query.read(&query, false, &mut told).map_err(in_query)?;
            let given = arrived.parameters(media, self.content_type)?;
            self.parameters.read(&given, media == Media::Json, &mut told)?;
        }
        Ok(told)
    }
}

fn in_query(problem: String) -> String {
    format!("{problem} (in the query)")
}

/// Headers that must be there with these values, or not at all.
pub(super) fn read_headers(
    wanted: &[(String, Option<Pattern>)],
    arrived: &Arrived,
    told: &mut Told,
) -> Result<(), String> {
    for (name, pattern) in wanted {
        match (pattern, arrived.headers.contains_key(name)) {
            (None, true) if !is_always_there(name) => {
                return Err(format!("the header {name} must be left out: its value is not known"));
            }
            (None, _) => {}
            (Some(_), false) => return Err(format!("the header {name} is missing")),
            (Some(pattern), true) => {
                let found = arrived.header(name).and_then(|value| pattern.read(value));
                told.hear(found.ok_or_else(|| format!("the header {name} must be `{}`", pattern.shown()))?)?;
            }
        }
    }
    Ok(())
}

/// Headers that requests have whether or not an entry names them.
fn is_always_there(name: &str) -> bool {
    [ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT].iter().any(|header| header.as_str().eq_ignore_ascii_case(name))
}
