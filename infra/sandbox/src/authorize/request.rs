//! The authorization request, checked in the order of RFC 6749 §4.1.2.1: whatever puts the redirect URI in doubt is
//! told to the person, everything else to the client.

use std::collections::BTreeMap;

use url::Url;

use crate::parameters::{Parameters, Repeated};
use crate::settings::{ClientSettings, GrantType};

/// The parameters the sandbox reads, and carries through its consent page.
pub(super) const PARAMETERS: [&str; 13] = [
    "response_type",
    "response_mode",
    "client_id",
    "redirect_uri",
    "scope",
    "state",
    "nonce",
    "prompt",
    "login_hint",
    "code_challenge",
    "code_challenge_method",
    "audience",
    "resource",
];

pub(super) struct AuthorizationRequest {
    pub(super) client: ClientSettings,
    pub(super) redirect_uri: String,
    pub(super) redirect_uri_given: bool,
    pub(super) scopes: Vec<String>,
    pub(super) code_challenge: Option<String>,
    pub(super) nonce: Option<String>,
    pub(super) audiences: Vec<String>,
    pub(super) login_hint: Option<String>,
    pub(super) prompt_none: bool,
    pub(super) reply: Reply,
}

/// How a request ends that gets no code.
pub(super) enum Refusal {
    /// A page for the person: nothing may be sent to an address that is not trusted.
    Page(&'static str),
    /// The address, with the error, to send the browser to.
    Redirect(String),
}

/// Where the authorization response goes and what each one carries.
pub(super) struct Reply {
    redirect_uri: Url,
    state: Option<String>,
    /// RFC 9207: in error responses too.
    issuer: Option<String>,
}

impl Reply {
    pub(super) fn location(&self, parameters: &[(&str, &str)]) -> String {
        let mut location = self.redirect_uri.clone();
        {
            let mut query = location.query_pairs_mut();
            query.extend_pairs(parameters);
            query.extend_pairs(self.state.iter().map(|state| ("state", state)));
            query.extend_pairs(self.issuer.iter().map(|issuer| ("iss", issuer)));
        }
        location.into()
    }

    pub(super) fn error(&self, code: &str, description: &str) -> Refusal {
        Refusal::Redirect(self.location(&[("error", code), ("error_description", description)]))
    }
}

impl AuthorizationRequest {
    pub(super) fn parse(
        clients: &BTreeMap<String, ClientSettings>,
        issuer: &str,
        parameters: &Parameters,
    ) -> Result<Self, Refusal> {
        let client_id = parameters.one("client_id").map_err(|_| Refusal::Page("client_id is repeated."))?;
        let client = client_id.and_then(|id| clients.get(id)).ok_or(Refusal::Page("The client is not known here."))?;
        let given = parameters.one("redirect_uri").map_err(|_| Refusal::Page("redirect_uri is repeated."))?;
        let redirect_uri = find_redirect_uri(client, given)?;
        let reply = Reply {
            redirect_uri: Url::parse(redirect_uri).map_err(|_| Refusal::Page("The redirect URI is not a URL."))?,
            // A repeated state cannot be echoed; the request is refused below.
            state: parameters.one("state").ok().flatten().map(String::from),
            issuer: client.send_iss.then(|| client.iss_override.as_deref().unwrap_or(issuer).to_owned()),
        };
        let one = |name| parameters.one(name).map_err(|Repeated| reply.error("invalid_request", "repeated parameter"));
        one("state")?;
        if one("request")?.is_some() {
            return Err(reply.error("request_not_supported", "request objects are not supported"));
        }
        if one("request_uri")?.is_some() {
            return Err(reply.error("request_uri_not_supported", "request objects are not supported"));
        }
        match one("response_type")? {
            Some("code") => {}
            Some(_) => return Err(reply.error("unsupported_response_type", "only code is supported")),
            None => return Err(reply.error("invalid_request", "response_type is missing")),
        }
        if !client.grant_types.contains(&GrantType::AuthorizationCode) {
            return Err(reply.error("unauthorized_client", "the client may not use this grant type"));
        }
        if one("response_mode")?.is_some_and(|mode| mode != "query") {
            return Err(reply.error("invalid_request", "only the response mode query is supported"));
        }
        let code_challenge = check_challenge(client, one("code_challenge")?, one("code_challenge_method")?)
            .map_err(|problem| reply.error("invalid_request", problem))?;
        let scopes = client
            .scopes_for(one("scope")?)
            .ok_or_else(|| reply.error("invalid_scope", "a scope is missing or not allowed"))?;
        let prompts: Vec<&str> = one("prompt")?.unwrap_or_default().split(' ').collect();
        let prompt_none = prompts.contains(&"none");
        if prompt_none && prompts.len() > 1 {
            return Err(reply.error("invalid_request", "prompt none stands alone"));
        }
        Ok(AuthorizationRequest {
            redirect_uri: redirect_uri.to_owned(),
            redirect_uri_given: given.is_some(),
            scopes,
            code_challenge,
            nonce: one("nonce")?.map(String::from),
            audiences: parameters.audiences(),
            login_hint: one("login_hint")?.map(String::from),
            prompt_none,
            client: client.clone(),
            reply,
        })
    }
}

/// RFC 9700 §2.1: compared character for character. It may be left out when only one is registered (RFC 6749 §3.1.2.3).
fn find_redirect_uri<'a>(client: &'a ClientSettings, given: Option<&str>) -> Result<&'a str, Refusal> {
    match (given, client.redirect_uris.as_slice()) {
        (Some(given), registered) => registered
            .iter()
            .find(|uri| *uri == given)
            .map(String::as_str)
            .ok_or(Refusal::Page("The redirect URI is not registered for this client.")),
        (None, [only]) => Ok(only),
        (None, _) => Err(Refusal::Page("The redirect URI is missing.")),
    }
}

/// RFC 7636 §4.3 and §4.4.1, S256 only: a missing method would mean `plain`.
fn check_challenge(
    client: &ClientSettings,
    challenge: Option<&str>,
    method: Option<&str>,
) -> Result<Option<String>, &'static str> {
    match (challenge, method) {
        (None, None) if client.require_pkce => Err("code_challenge is required"),
        (None, None) => Ok(None),
        (None, Some(_)) => Err("code_challenge is missing"),
        (Some(challenge), Some("S256")) if is_sha256(challenge) => Ok(Some(challenge.to_owned())),
        (Some(_), Some("S256")) => Err("code_challenge is malformed"),
        (Some(_), _) => Err("code_challenge_method must be S256"),
    }
}

/// 32 bytes in unpadded base64url.
fn is_sha256(challenge: &str) -> bool {
    challenge.len() == 43 && challenge.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}
