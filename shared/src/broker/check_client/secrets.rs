//! How the client authenticates, and how long that will work.

use chrono::Duration;

use super::{Facts, Findings};
use crate::model::client::CredentialsFrom;
use crate::protocol::token::AuthMethod;

/// How long before its end the expiry of a secret is told (days).
const SOON_DAYS: i64 = 30;
/// How long a secret may be unused before it is told (days).
const UNUSED_DAYS: i64 = 90;

pub(super) fn check(facts: &Facts<'_>, findings: &mut Findings) {
    let (client, now) = (facts.client, facts.now);
    let settings = &client.settings;
    if client.client_secrets.is_empty() || settings.credentials_from == CredentialsFrom::Person {
        return;
    }
    if settings.auth_method() == AuthMethod::None {
        findings.warning(
            "client_secret_not_sent",
            "The client has a secret, and token_endpoint_auth_method is none: it is never sent.",
            &["Set token_endpoint_auth_method to client_secret_basic or client_secret_post, or delete the secret."],
        );
        return;
    }
    let live: Vec<_> = client.client_secrets.iter().filter(|secret| secret.is_live(now)).collect();
    if live.is_empty() {
        findings.error(
            "client_secret_expired",
            "Every secret of the client has expired or was retired.",
            &["Make a new secret at the provider and add it with POST /v1/clients/{id}/secrets."],
        );
    }
    // The newest is the one that has to last.
    if let Some(at) = live.first().and_then(|secret| secret.expires_at)
        && at <= now + Duration::days(SOON_DAYS)
    {
        let days = (at - now).num_days();
        findings.warning(
            "client_secret_expires_soon",
            format!("The client's newest secret expires in {days} days, at {}.", at.format("%Y-%m-%dT%H:%M:%SZ")),
            &["Make a new secret at the provider and add it with POST /v1/clients/{id}/secrets; the old one stays meanwhile."],
        );
    }
    if live.len() > 1 {
        findings.info(
            "several_client_secrets",
            format!("{} secrets are tried, the newest first.", live.len()),
            &[
                "See last_success_at in client_secrets: it tells which of them the provider still takes.",
                "Delete those that are not needed any more: DELETE /v1/clients/{id}/secrets/{secret}.",
            ],
        );
    }
    let unused = |at: crate::clock::Timestamp| now - at > Duration::days(UNUSED_DAYS);
    if live.iter().any(|secret| unused(secret.last_success_at.unwrap_or(secret.added_at))) {
        findings.info(
            "client_secret_unused",
            format!("A secret has not been used with success for {UNUSED_DAYS} days."),
            &["Delete it if nothing uses it any more, here and at the provider."],
        );
    }
    let refresh = settings.refresh_request.as_ref().and_then(|request| request.url.as_ref());
    let elsewhere: Vec<&str> = [
        ("token_endpoint", settings.token_endpoint.as_ref()),
        ("refresh_request.url", refresh),
        ("revocation_endpoint", settings.revocation_endpoint.as_ref()),
        ("introspection_endpoint", settings.introspection_endpoint.as_ref()),
    ]
    .into_iter()
    .filter(|(_, url)| !client.may_send_secrets_to(url.map(String::as_str), settings))
    .map(|(field, _)| field)
    .collect();
    if !elsewhere.is_empty() {
        findings.error(
            "client_secret_bound_elsewhere",
            format!("The secret was not entered for the origin of {}, so it is not sent there.", elsewhere.join(", ")),
            &["Check that these endpoints are the provider's, then enter the client secret again."],
        );
    }
}
