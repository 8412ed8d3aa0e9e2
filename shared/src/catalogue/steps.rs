//! What to do to get a client of a provider: the usual steps, with what the entry says, and the entry's own.

use super::methods::{Giver, entered};
use super::{Entered, Provider};
use crate::model::client::GrantType;

impl Provider {
    /// The steps, in order, one sentence each.
    pub fn steps(&self) -> Vec<String> {
        let name = &self.about.name;
        let settings = &self.settings;
        let usual = self.usual_grants();
        let grant = usual.iter().copied().find(|grant| *grant != GrantType::RefreshToken).unwrap_or_default();
        let needed = entered(&self.settings_for(grant), grant);
        let is_redirected = grant == GrantType::AuthorizationCode;
        let mut steps = vec![format!("Make a draft here: POST /v1/clients with {{\"provider\": \"{}\"}}.", self.id)];
        if is_redirected {
            steps.push("Keep the redirect_uri of its answer: the provider asks for it.".to_owned());
        }
        match &self.about.docs_url {
            Some(url) => steps.push(format!("Read how {name} registers clients: {url}")),
            None => steps.push(format!("Find out where {name} registers clients.")),
        }
        steps.push(format!("Register a client at {name}."));
        if is_redirected {
            let exactly = "Enter the redirect_uri there exactly as it is, character for character.";
            steps.push(exactly.to_owned());
        }
        steps.extend(self.about.setup.iter().cloned());
        if settings.scopes.required.is_empty() {
            steps.push("Choose there the scopes that your programs need, where it asks for them.".to_owned());
        } else {
            let scopes = settings.scopes.required.join(", ");
            steps.push(format!("Choose there at least these scopes, where it asks for them: {scopes}."));
        }
        steps.extend(values(&needed));
        let by_client = |field: &str| needed.iter().any(|one| one.by == Giver::Client && one.field == field);
        if by_client("client_secret") {
            steps.push(
                "Copy the client id and the client secret from there: PATCH client_id and client_secret here."
                    .to_owned(),
            );
        } else if by_client("client_id") {
            steps.push("Copy the client id from there: PATCH client_id here.".to_owned());
        } else {
            steps.push(
                "Tell people where they find the client id and the client secret that each of them enters.".to_owned(),
            );
        }
        steps.push("Check the client: POST /v1/clients/{id}/check.".to_owned());
        steps
    }
}

/// What else the client itself needs.
fn values(needed: &[Entered]) -> impl Iterator<Item = String> {
    let usual = |one: &&Entered| !matches!(one.field.as_str(), "client_id" | "client_secret");
    needed.iter().filter(|one| one.by == Giver::Client).filter(usual).map(|one| {
        let help = one.help.as_ref().map(|help| format!(" {}.", help.trim_end_matches('.'))).unwrap_or_default();
        let may = if one.required { "" } else { ", if you have one" };
        format!("Enter {} ({}){may}.{help}", one.field, one.label)
    })
}
