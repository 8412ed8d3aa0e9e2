//! The ways in which a client of a provider gets a first token, and what has to be entered for each.

use serde::Serialize;
use utoipa::ToSchema;

use super::Provider;
use crate::model::client::{ClientSettings, CredentialsFrom, GrantType};
use crate::model::variable::{Variable, VariableSource};
use crate::protocol::token::AuthMethod;

/// One way to a first token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ProviderMethod)]
pub struct Method {
    /// The grant.
    pub grant_type: GrantType,
    /// How the client authenticates at the token endpoint.
    pub token_endpoint_auth_method: AuthMethod,
    /// What has to be entered, and by whom.
    pub enter: Vec<Entered>,
}

/// Who enters something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Giver {
    /// Whoever registers the client.
    Client,
    /// Each person who connects an account.
    Person,
}

/// Something that has to be entered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ProviderEntry)]
pub struct Entered {
    /// The field of the client or, for a person, of the request: `client_id`, `values.subdomain`, `variables.subdomain`.
    pub field: String,
    /// Who enters it.
    pub by: Giver,
    /// What people call it.
    pub label: String,
    /// Where people find it.
    pub help: Option<String>,
    /// What one looks like.
    pub example: Option<String>,
    /// Whether nothing works without it.
    pub required: bool,
    /// Whether it is never shown again.
    pub secret: bool,
}

impl Provider {
    /// The methods, in the order of the entry's grants.
    pub fn methods(&self) -> Vec<Method> {
        let method = |grant| {
            let settings = self.settings_for(grant);
            Method {
                grant_type: grant,
                token_endpoint_auth_method: settings.auth_method(),
                enter: entered(&settings, grant),
            }
        };
        self.settings.first_grants().map(method).collect()
    }
}

/// What has to be entered for a client of these settings.
pub(super) fn entered(settings: &ClientSettings, grant: GrantType) -> Vec<Entered> {
    let own = match settings.credentials_from {
        CredentialsFrom::Client => Giver::Client,
        CredentialsFrom::Person => Giver::Person,
    };
    let mut entered = vec![plain("client_id", own, "Client ID", false)];
    if settings.auth_method() != AuthMethod::None {
        entered.push(plain("client_secret", own, "Client secret", true));
    }
    if settings.token_endpoint.is_none() && settings.issuer.is_none() {
        entered.push(plain("issuer", Giver::Client, "Issuer", false));
    }
    for variable in &settings.variables {
        match variable.source {
            VariableSource::Client if !settings.values.contains_key(&variable.key) => {
                entered.push(of_variable(variable, format!("values.{}", variable.key), Giver::Client));
            }
            VariableSource::Person if variable.is_asked() => {
                entered.push(of_variable(variable, format!("variables.{}", variable.key), Giver::Person));
            }
            _ => {}
        }
    }
    if grant == GrantType::Password {
        entered.push(plain("username", Giver::Person, "User name", false));
        entered.push(plain("password", Giver::Person, "Password", true));
    }
    entered
}

fn plain(field: &str, by: Giver, label: &str, secret: bool) -> Entered {
    let (field, label) = (field.to_owned(), label.to_owned());
    Entered { field, by, label, help: None, example: None, required: true, secret }
}

fn of_variable(variable: &Variable, field: String, by: Giver) -> Entered {
    Entered {
        field,
        by,
        label: variable.title().to_owned(),
        help: variable.help.clone(),
        example: variable.example.clone(),
        required: variable.required && variable.default.is_none(),
        secret: variable.secret,
    }
}
