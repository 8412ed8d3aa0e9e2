//! The defaults of requests and answers: shown with a client, so that people see what they can change, and stored only
//! where they were changed.

use super::ClientSettings;
use crate::protocol::dialect::{LifetimeUnit, TokenMethod};

/// RFC 6749 §4: what a token request is sent as.
const FORM: &str = "application/x-www-form-urlencoded";
/// The parameters whose names are shown.
const NAMES: [&str; 4] = ["client_id", "client_secret", "grant_type", "scope"];

impl ClientSettings {
    /// The settings with what counts where they say nothing.
    #[must_use]
    pub fn with_defaults(&self) -> Self {
        let mut shown = self.clone();
        let grant_type = self.default_grant_type();
        let request = &mut shown.token_request;
        let method = *request.method.get_or_insert(TokenMethod::Post);
        if method == TokenMethod::Post {
            request.content_type.get_or_insert_with(|| FORM.to_owned());
        }
        if request.grant_type.is_none() {
            request.grant_type = grant_type.map(str::to_owned);
        }
        for name in NAMES {
            request.names.entry(name.to_owned()).or_insert_with(|| name.to_owned());
        }
        for (place, name) in shown.places() {
            place.get_or_insert_with(|| name.to_owned());
        }
        shown.token_response.expires_in_unit.get_or_insert(LifetimeUnit::Seconds);
        shown
    }

    /// Takes away what only repeats a default, so that settings which were read can be sent back: a `grant_type` of
    /// `authorization_code` that is kept, for one, would be sent with refreshes, too. `before`: the settings that were
    /// read.
    pub fn drop_defaults(&mut self, before: Option<&Self>) {
        let standard = [self.default_grant_type(), before.and_then(Self::default_grant_type)];
        let request = &mut self.token_request;
        if request.method == Some(TokenMethod::Post) {
            request.method = None;
        }
        if request.method.is_none() && request.content_type.as_deref() == Some(FORM) {
            request.content_type = None;
        }
        if request.grant_type.as_deref().is_some_and(|value| standard.contains(&Some(value))) {
            request.grant_type = None;
        }
        request.names.retain(|name, wire| name != wire);
        for (place, name) in self.places() {
            if place.as_deref() == Some(name) {
                *place = None;
            }
        }
        if self.token_response.expires_in_unit == Some(LifetimeUnit::Seconds) {
            self.token_response.expires_in_unit = None;
        }
    }

    /// What `grant_type` says in the request for a first token.
    fn default_grant_type(&self) -> Option<&'static str> {
        self.first_grants().next().map(super::GrantType::as_str)
    }

    /// The members of a token answer whose place is the same whether it is named or not.
    fn places(&mut self) -> [(&mut Option<String>, &'static str); 5] {
        let answer = &mut self.token_response;
        [
            (&mut answer.access_token, "access_token"),
            (&mut answer.refresh_token, "refresh_token"),
            (&mut answer.expires_in, "expires_in"),
            (&mut answer.scope, "scope"),
            (&mut answer.token_type, "token_type"),
        ]
    }
}
