//! What the form of the connect page sent, held against what the session left open.

use std::collections::{BTreeMap, BTreeSet};

use super::connect_page::{ConnectPage, Offering};
use super::offer_clients::{implicits, is_kept};
use crate::error::{BrowserRefusal, Result};
use crate::model::client::{Client, GrantType};
use crate::model::session::Offer;
use crate::model::variable::{GivenValue, VariableKind};

/// What the form of the connect page sent. What the session fixed is not accepted.
#[derive(Default)]
pub struct Choice {
    /// The client, where there are several.
    pub client: Option<String>,
    /// The credential's name, where the session left it open.
    pub name: Option<String>,
    /// Optional scopes that were ticked, where the session left them open.
    pub scopes: Vec<String>,
    /// Grants by the name of their field: `grant`, or `grant.<client>` where there are several clients.
    pub grants: BTreeMap<String, String>,
    /// Values by the name of their field, without `var.`, in the order in which they came.
    pub values: BTreeMap<String, Vec<GivenValue>>,
}

/// The offering that was chosen; the only one where there is one.
pub(super) fn chosen<'a>(page: &'a ConnectPage, client: Option<&str>) -> Result<&'a Offering> {
    let found = match (client, page.offers.as_slice()) {
        (None, [only]) => Some(only),
        (Some(_), [_]) if page.session.offers.len() == 1 => None,
        (Some(id), offers) => offers.iter().find(|one| one.offer.client.as_str() == id),
        (None, _) => None,
    };
    found.ok_or_else(|| BrowserRefusal::BadForm.into())
}

/// The session's name or the person's; `None` when neither gave one.
pub(super) fn chosen_name(page: &ConnectPage, name: Option<&str>) -> Result<Option<String>> {
    let fixed = page.target.as_ref().map(|target| &target.name).or(page.session.name.as_ref());
    match (fixed, name.map(str::trim)) {
        (Some(_), Some(_)) => Err(BrowserRefusal::BadForm.into()),
        (Some(fixed), None) => Ok(Some(fixed.clone())),
        (None, Some(name)) if name.chars().count() > 256 || name.chars().any(char::is_control) => {
            Err(BrowserRefusal::BadForm.into())
        }
        (None, name) => Ok(name.filter(|name| !name.is_empty()).map(str::to_owned)),
    }
}

pub(super) fn chosen_scopes(
    page: &ConnectPage,
    offer: &Offer,
    client: &Client,
    ticked: &[String],
) -> Result<Vec<String>> {
    let mut scopes = client.settings.scopes.required.clone();
    match page.fixed_scopes(offer) {
        Some(_) if !ticked.is_empty() => return Err(BrowserRefusal::BadForm.into()),
        Some(fixed) => scopes.extend(fixed.iter().filter(|scope| page.offers_scope(client, scope)).cloned()),
        None => {
            // One form shows the scopes of all clients; those of the others are passed over, unknown ones are not.
            let offered = |scope: &String| page.offers.iter().any(|one| page.offers_scope(&one.client, scope));
            if !ticked.iter().all(offered) {
                return Err(BrowserRefusal::BadForm.into());
            }
            scopes.extend(ticked.iter().filter(|scope| page.offers_scope(client, scope)).cloned());
        }
    }
    let mut seen = BTreeSet::new();
    scopes.retain(|scope| seen.insert(scope.clone()));
    Ok(scopes)
}

/// The grant that was chosen; the first that is possible where none was.
pub(super) fn chosen_grant(page: &ConnectPage, offering: &Offering, choice: &Choice) -> Result<GrantType> {
    let known = |field: &String| field == "grant" || page.offers.iter().any(|one| page.grant_field(one) == *field);
    if !choice.grants.keys().all(known) {
        return Err(BrowserRefusal::BadForm.into());
    }
    let named = choice.grants.get(&page.grant_field(offering)).or_else(|| choice.grants.get("grant"));
    let found = match named {
        None => offering.grants.first().copied(),
        Some(name) => offering.grants.iter().copied().find(|grant| grant.as_str() == name),
    };
    found.ok_or_else(|| BrowserRefusal::BadForm.into())
}

/// Everything that is given for the chosen client and grant, by the session or by the person.
///
/// # Errors
/// [`BrowserRefusal::BadForm`] for a field that nobody asked.
pub(super) fn chosen_values(
    page: &ConnectPage,
    offering: &Offering,
    grant: GrantType,
    choice: &Choice,
) -> Result<BTreeMap<String, GivenValue>> {
    let mut given = BTreeMap::new();
    for (field, values) in &choice.values {
        let qualified = page.offers.iter().find_map(|one| {
            let key = field.strip_prefix(one.client.id.as_str())?.strip_prefix('.')?;
            Some((&one.client.id, key))
        });
        let (of, key) = match qualified {
            Some((client, key)) => (Some(client), key),
            None => (None, field.as_str()),
        };
        let asked = |one: &Offering| {
            let questions = one.questions();
            let question = questions.into_iter().find(|question| question.key == key)?;
            Some((question.kind, question.only_for))
        };
        let mine = of.is_none_or(|client| *client == offering.client.id);
        match asked(offering).filter(|_| mine) {
            // A field of a grant that was not chosen is passed over.
            Some((_, Some(only))) if only != grant => {}
            Some((kind, _)) => {
                let value = single(kind, values).ok_or(BrowserRefusal::BadForm)?;
                if given.insert(key.to_owned(), value.clone()).is_some() {
                    return Err(BrowserRefusal::BadForm.into());
                }
            }
            // So is one of a client that was not chosen; one that nobody asked is not.
            None => {
                let elsewhere =
                    |one: &Offering| of.is_none_or(|client| *client == one.client.id) && asked(one).is_some();
                if !page.offers.iter().any(elsewhere) {
                    return Err(BrowserRefusal::BadForm.into());
                }
            }
        }
    }
    given.retain(|_, value| !value.expose().trim().is_empty());
    let needed = implicits(&offering.client, &[grant]);
    let unneeded = implicits(&offering.client, &offering.grants).into_iter().filter(|asked| !needed.contains(asked));
    let unneeded: Vec<&str> = unneeded.map(|asked| asked.key).collect();
    let shown = offering.fixed.shown.iter().map(|(key, value)| (key, value.as_str()));
    let secret = offering.fixed.secret.iter().map(|(key, value)| (key, value.expose().as_str()));
    for (key, value) in shown.chain(secret).filter(|(key, _)| !unneeded.contains(&key.as_str())) {
        given.insert(key.clone(), GivenValue::from(value));
    }
    Ok(given)
}

/// The secrets that a renewed credential keeps because no others were given.
pub(super) fn kept(offering: &Offering, grant: GrantType, given: &BTreeMap<String, GivenValue>) -> Vec<String> {
    if !offering.renews {
        return Vec::new();
    }
    let of_grant = implicits(&offering.client, &[grant]).into_iter().map(|asked| asked.key.to_owned());
    let of_client = offering.client.settings.variables.iter().map(|variable| variable.key.clone());
    let keys = of_grant.chain(of_client);
    keys.filter(|key| is_kept(&offering.client, key) && !given.contains_key(key)).collect()
}

/// The one value of a field. A box that can be ticked comes with the value that it has when it is not.
fn single(kind: VariableKind, values: &[GivenValue]) -> Option<&GivenValue> {
    match values {
        [only] => Some(only),
        [off, on] if kind == VariableKind::Boolean && off.expose() == "false" && on.expose() == "true" => Some(on),
        _ => None,
    }
}
