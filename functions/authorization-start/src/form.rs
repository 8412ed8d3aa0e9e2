//! The form of the connect page: as it is shown, and as it comes back.

use axum::body::Bytes;
use grantkeeper::broker::choose::Choice;
use grantkeeper::broker::connect_page::{ConnectPage, Offering};
use grantkeeper::broker::questions::Question;
use grantkeeper::error::{BrowserRefusal, Error};
use grantkeeper::inbound::connect_form::{ConnectClient, ConnectField, ConnectForm, ConnectInput, ConnectOption};
use grantkeeper::model::client::GrantType;
use grantkeeper::model::flow::FlowStatus;
use grantkeeper::model::variable::{GivenValue, VariableKind};
use grantkeeper::secret::Secret;

/// The form, empty but for defaults.
pub fn fresh(page: &ConnectPage, token: &Secret<String>, name: Option<String>) -> ConnectForm {
    let failed = page.flow.as_ref().filter(|flow| flow.status == FlowStatus::Failed);
    let notices = failed.map(|flow| failure(flow.problem.as_deref())).into_iter().collect();
    form(page, token, name, notices, None)
}

/// The form with what was typed but for secrets, and what is wrong with it.
pub fn again(page: &ConnectPage, token: &Secret<String>, choice: &Choice, notices: Vec<String>) -> ConnectForm {
    let name = page.asks_name().then(|| choice.name.clone().unwrap_or_default());
    form(page, token, name, notices, Some(choice))
}

/// Reads the form strictly: an unknown field is refused, and so is one that comes twice and should not.
///
/// # Errors
/// [`BrowserRefusal::BadForm`].
pub fn parse(body: &Bytes) -> Result<Choice, Error> {
    let mut choice = Choice::default();
    for (name, value) in form_urlencoded::parse(body) {
        let accepted = match (name.as_ref(), name.strip_prefix("var.")) {
            ("client", _) => choice.client.replace(value.into_owned()).is_none(),
            ("name", _) => choice.name.replace(value.into_owned()).is_none(),
            ("scope", _) => {
                choice.scopes.push(value.into_owned());
                true
            }
            (_, Some(field)) => {
                choice.values.entry(field.to_owned()).or_default().push(GivenValue::from(value.as_ref()));
                true
            }
            (field, None) if field == "grant" || field.starts_with("grant.") => {
                choice.grants.insert(field.to_owned(), value.into_owned()).is_none()
            }
            _ => false,
        };
        if !accepted {
            return Err(BrowserRefusal::BadForm.into());
        }
    }
    Ok(choice)
}

fn form(
    page: &ConnectPage,
    token: &Secret<String>,
    name: Option<String>,
    notices: Vec<String>,
    choice: Option<&Choice>,
) -> ConnectForm {
    let has = |grant: GrantType| page.offers.iter().any(|one| one.grants.contains(&grant));
    let clients = page.offers.iter().enumerate().map(|(index, offering)| {
        let chosen = choice.and_then(|choice| choice.client.as_deref());
        client(page, offering, chosen.map_or(index == 0, |chosen| chosen == offering.client.id.as_str()), choice)
    });
    ConnectForm {
        action: format!("/connect/{}", token.expose()),
        notices,
        clients: clients.collect(),
        name,
        renews: page.target.as_ref().map(|target| target.name.clone()),
        takes_password: has(GrantType::Password),
        leads_away: !has(GrantType::Password) && !has(GrantType::ClientCredentials),
    }
}

fn client(page: &ConnectPage, offering: &Offering, checked: bool, choice: Option<&Choice>) -> ConnectClient {
    let settings = &offering.client.settings;
    let scopes = &settings.scopes;
    let fixed = page.fixed_scopes(&offering.offer);
    let mut required = scopes.required.clone();
    let asked = |scope: &&String| !scopes.required.contains(scope) && page.offers_scope(&offering.client, scope);
    required.extend(fixed.unwrap_or_default().iter().filter(asked).cloned());
    let optional =
        scopes.optional.iter().filter(|scope| fixed.is_none() && page.offers_scope(&offering.client, &scope.value));
    let ticked = |scope: &String| match choice {
        Some(choice) => choice.scopes.contains(scope),
        None => page.session.suggested_scopes.contains(scope),
    };
    ConnectClient {
        id: offering.client.id.to_string(),
        name: settings.name.clone(),
        checked,
        grants: grants(page, offering, choice),
        grant_field: page.grant_field(offering),
        fields: offering.questions().iter().map(|question| field(page, offering, question, choice)).collect(),
        required,
        optional: optional
            .map(|scope| ConnectOption {
                checked: ticked(&scope.value),
                label: scope.label.clone().unwrap_or_else(|| scope.value.clone()),
                value: scope.value.clone(),
            })
            .collect(),
        scopes_docs_url: scopes.docs_url.clone(),
    }
}

/// The ways to get a token, where there are several.
fn grants(page: &ConnectPage, offering: &Offering, choice: Option<&Choice>) -> Vec<ConnectOption> {
    if offering.grants.len() < 2 {
        return Vec::new();
    }
    let chosen = choice.and_then(|choice| choice.grants.get(&page.grant_field(offering)));
    let options = offering.grants.iter().enumerate().map(|(index, grant)| ConnectOption {
        value: grant.as_str().to_owned(),
        label: match grant {
            GrantType::AuthorizationCode | GrantType::RefreshToken => "Sign in there",
            GrantType::ClientCredentials => "With the client's own access, without signing in",
            GrantType::Password => "With a user name and a password, entered here",
        }
        .to_owned(),
        checked: chosen.map_or(index == 0, |chosen| chosen == grant.as_str()),
    });
    options.collect()
}

fn field(page: &ConnectPage, offering: &Offering, question: &Question<'_>, choice: Option<&Choice>) -> ConnectField {
    let name = page.field_name(offering, question.key);
    let typed = choice.and_then(|choice| choice.values.get(name.strip_prefix("var.")?)?.last());
    let value = match typed {
        _ if question.secret => String::new(),
        Some(typed) => typed.expose().to_owned(),
        None => question.default.unwrap_or_default().to_owned(),
    };
    // Without a script, a field of another client or another way would stand in the way of the form.
    let only = page.offers.len() == 1 && (question.only_for.is_none() || offering.grants.len() == 1);
    ConnectField {
        label: question.label.to_owned(),
        help: question.help.map(str::to_owned),
        input: input(question, &value),
        pattern: question.pattern.map(str::to_owned),
        required: question.required && only,
        kept: question.kept,
        value,
        name,
    }
}

fn input(question: &Question<'_>, value: &str) -> ConnectInput {
    if !question.choices.is_empty() {
        let option = |choice: &grantkeeper::model::variable::Choice| ConnectOption {
            label: choice.label.clone().unwrap_or_else(|| choice.value.clone()),
            checked: !question.secret && choice.value == value,
            value: choice.value.clone(),
        };
        let nothing = ConnectOption { value: String::new(), label: "—".to_owned(), checked: value.is_empty() };
        let nothing = question.default.is_none().then_some(nothing);
        return ConnectInput::Select(nothing.into_iter().chain(question.choices.iter().map(option)).collect());
    }
    match question.kind {
        _ if question.secret => ConnectInput::Secret,
        VariableKind::Boolean => ConnectInput::Box,
        VariableKind::Integer => ConnectInput::Line("number"),
        VariableKind::Url => ConnectInput::Line("url"),
        VariableKind::String | VariableKind::Host => ConnectInput::Line("text"),
    }
}

fn failure(problem: Option<&str>) -> String {
    match problem {
        Some("access_denied") => "You did not allow access the last time. You can try again.".to_owned(),
        Some("account_mismatch") => "That was another account than before. Sign in with the same one.".to_owned(),
        _ => "The last sign-in did not work. You can try again.".to_owned(),
    }
}
