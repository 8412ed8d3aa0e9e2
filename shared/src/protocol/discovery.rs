//! Authorization server metadata (RFC 8414) and OpenID Connect Discovery.

use serde::Deserialize;
use url::Url;

/// The members of a metadata document that the broker uses.
#[derive(Debug, Clone, Deserialize)]
pub struct Metadata {
    /// Must equal the issuer that was asked for, character by character (RFC 8414 §3.3).
    pub issuer: String,
    /// Where to send the browser.
    pub authorization_endpoint: Option<String>,
    /// Where codes and refresh tokens are exchanged.
    pub token_endpoint: Option<String>,
    /// RFC 7009.
    pub revocation_endpoint: Option<String>,
    /// RFC 7662.
    pub introspection_endpoint: Option<String>,
    /// OpenID Connect Core §5.3.
    pub userinfo_endpoint: Option<String>,
    /// The keys that sign ID tokens.
    pub jwks_uri: Option<String>,
    /// RFC 9207 §3: whether every authorization response carries `iss`.
    #[serde(default)]
    pub authorization_response_iss_parameter_supported: bool,
    /// RFC 8414 §2; `client_secret_basic` when omitted.
    pub token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// RFC 8414 §2.
    pub grant_types_supported: Option<Vec<String>>,
    /// RFC 8414 §2: the scopes that the server tells of, maybe not all.
    pub scopes_supported: Option<Vec<String>>,
    /// RFC 8414 §2; no PKCE when omitted.
    pub code_challenge_methods_supported: Option<Vec<String>>,
}

/// Why a metadata document was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MetadataRefusal {
    /// It is not a JSON object with the members that RFC 8414 §2 requires.
    #[error("the document is not authorization server metadata")]
    NotMetadata,
    /// RFC 8414 §3.3: it belongs to another issuer.
    #[error("the document names another issuer than the one that was asked for")]
    OtherIssuer,
}

/// Where the metadata of an issuer may be, in the order to try: OpenID Connect Discovery §4.1 appends to the path,
/// RFC 8414 §3.1 inserts before it.
pub fn locations(issuer: &Url) -> Vec<String> {
    let path = issuer.path().trim_end_matches('/');
    let mut bare = issuer.clone();
    bare.set_path("");
    bare.set_query(None);
    let origin = bare.as_str().trim_end_matches('/').to_owned();
    vec![
        format!("{origin}{path}/.well-known/openid-configuration"),
        format!("{origin}/.well-known/oauth-authorization-server{path}"),
    ]
}

/// Reads a metadata document that was fetched for `issuer`.
///
/// # Errors
/// [`MetadataRefusal`]; nothing of a refused document is used.
pub fn parse(document: &[u8], issuer: &str) -> Result<Metadata, MetadataRefusal> {
    let metadata: Metadata = serde_json::from_slice(document).map_err(|_| MetadataRefusal::NotMetadata)?;
    if metadata.issuer == issuer { Ok(metadata) } else { Err(MetadataRefusal::OtherIssuer) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_places_are_asked_with_and_without_a_path() {
        let at = |issuer| locations(&Url::parse(issuer).unwrap());
        assert_eq!(
            at("https://as.example"),
            [
                "https://as.example/.well-known/openid-configuration",
                "https://as.example/.well-known/oauth-authorization-server"
            ]
        );
        assert_eq!(
            at("https://as.example/t1/"),
            [
                "https://as.example/t1/.well-known/openid-configuration",
                "https://as.example/.well-known/oauth-authorization-server/t1"
            ]
        );
    }

    #[test]
    fn a_document_of_another_issuer_is_refused_even_by_a_slash() {
        let document = br#"{"issuer":"https://as.example/","token_endpoint":"https://as.example/token"}"#;
        assert_eq!(parse(document, "https://as.example").err(), Some(MetadataRefusal::OtherIssuer));
        assert_eq!(parse(b"<html>", "https://as.example").err(), Some(MetadataRefusal::NotMetadata));
        assert!(parse(document, "https://as.example/").is_ok());
    }
}
