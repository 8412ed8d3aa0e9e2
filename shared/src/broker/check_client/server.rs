//! What the authorization server says of itself (RFC 8414), and where the client differs.

use super::{Facts, Findings, Server, method_name};
use crate::model::client::GrantType;
use crate::protocol::discovery::Metadata;
use crate::protocol::pkce;

/// The scope that asks for a refresh token (OpenID Connect Core §11).
const OFFLINE: &str = "offline_access";

pub(super) fn check(facts: &Facts<'_>, findings: &mut Findings) {
    let settings = &facts.client.settings;
    match facts.server {
        Server::Unnamed => findings.info(
            "issuer_missing",
            "The client names no issuer, so nothing could be compared with what the authorization server says of itself.",
            &["Enter issuer if the provider publishes metadata (RFC 8414, OpenID Connect Discovery)."],
        ),
        Server::Silent(why) => findings.warning(
            "metadata_unavailable",
            format!("The metadata of the issuer could not be read. {why}"),
            &["Check issuer, character by character.", "Run the check again later if the provider is down."],
        ),
        Server::Says(metadata) => compare(facts, metadata, findings),
    }
    if settings.revocation_endpoint.is_none() {
        findings.info(
            "revocation_endpoint_missing",
            "Without a revocation endpoint (RFC 7009) a credential that is deleted here lives on at the provider.",
            &[
                "Enter revocation_endpoint if the provider has one.",
                "Else tell people to withdraw access at the provider.",
            ],
        );
    }
}

fn compare(facts: &Facts<'_>, metadata: &Metadata, findings: &mut Findings) {
    let settings = &facts.client.settings;
    let lacks =
        |list: &Option<Vec<String>>, name: &str| list.as_ref().is_some_and(|list| list.iter().all(|one| one != name));
    for grant in settings.grant_types.iter().filter(|grant| lacks(&metadata.grant_types_supported, grant.as_str())) {
        findings.error(
            "grant_type_not_supported",
            format!("The authorization server does not list the grant {} in grant_types_supported.", grant.as_str()),
            &["Take the grant away, or ask the provider whether it is enabled for this client."],
        );
    }
    let method = method_name(settings.auth_method());
    if lacks(&metadata.token_endpoint_auth_methods_supported, method) {
        let listed = metadata.token_endpoint_auth_methods_supported.clone().unwrap_or_default().join(", ");
        findings.warning(
            "auth_method_not_supported",
            format!(
                "The authorization server does not list {method} in token_endpoint_auth_methods_supported: {listed}."
            ),
            &["Set token_endpoint_auth_method to one that it lists."],
        );
    }
    let scopes = &settings.scopes;
    let asked = scopes.required.iter().chain(scopes.optional.iter().map(|scope| &scope.value));
    let unknown: Vec<&str> =
        asked.map(String::as_str).filter(|scope| lacks(&metadata.scopes_supported, scope)).collect();
    if !unknown.is_empty() {
        findings.warning(
            "scope_not_supported",
            format!("The authorization server does not list these scopes: {}.", unknown.join(", ")),
            &["Compare them with the provider's documentation; servers need not list all scopes."],
        );
    }
    if settings.offers(GrantType::AuthorizationCode) {
        code(facts, metadata, findings);
    }
    for (field, own, theirs) in [
        ("authorization_endpoint", &settings.authorization_endpoint, &metadata.authorization_endpoint),
        ("token_endpoint", &settings.token_endpoint, &metadata.token_endpoint),
        ("revocation_endpoint", &settings.revocation_endpoint, &metadata.revocation_endpoint),
        ("introspection_endpoint", &settings.introspection_endpoint, &metadata.introspection_endpoint),
        ("userinfo_endpoint", &settings.userinfo_endpoint, &metadata.userinfo_endpoint),
    ] {
        if let (Some(own), Some(theirs)) = (own, theirs)
            && own != theirs
        {
            findings.warning(
                "endpoint_differs",
                format!("{field} is {own}, and the metadata of the issuer says {theirs}."),
                &["If the provider moved it, take the new one over with PATCH /v1/clients/{id}; secrets are entered again then."],
            );
        }
    }
}

/// What the authorization code grant needs of the server.
fn code(facts: &Facts<'_>, metadata: &Metadata, findings: &mut Findings) {
    let settings = &facts.client.settings;
    let challenges = metadata.code_challenge_methods_supported.as_deref().unwrap_or_default();
    let takes_pkce = challenges.iter().any(|method| method == pkce::METHOD);
    if settings.pkce && !challenges.is_empty() && !takes_pkce {
        findings.warning(
            "code_challenge_method_not_supported",
            "The authorization server does not list S256 in code_challenge_methods_supported.",
            &["Test a sign-in; set pkce to false only if the server breaks on it."],
        );
    }
    let scopes = &settings.scopes;
    let offered = metadata.scopes_supported.iter().flatten().any(|scope| scope == OFFLINE);
    if offered && !scopes.allows(OFFLINE) && settings.offers(GrantType::RefreshToken) {
        findings.warning(
            "offline_access_missing",
            "The authorization server has the scope offline_access, and the client does not ask for it: it may get no \
             refresh token.",
            &["Add offline_access to the required scopes."],
        );
    }
}
