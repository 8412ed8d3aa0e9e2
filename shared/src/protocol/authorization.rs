//! The authorization request (RFC 6749 §4.1.1) and the authorization response (§4.1.2, RFC 9207).

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use url::Url;

use crate::error::BrowserRefusal;
use crate::secret::Secret;

/// Longest value of any response parameter. HTTP API accepts 10,240 bytes of request line and headers altogether.
const MAX_VALUE: usize = 8 * 1024;

/// The most further parameters of an answer that are kept, and their lengths (bytes).
const MAX_EXTRA: usize = 20;
const MAX_EXTRA_NAME: usize = 64;
const MAX_EXTRA_VALUE: usize = 1024;
/// Parameters of the protocol that say nothing about the account, and tokens, which no answer to a code request has.
const NOT_TOLD: [&str; 9] = [
    "access_token",
    "error_description",
    "error_uri",
    "expires_in",
    "id_token",
    "refresh_token",
    "scope",
    "session_state",
    "token_type",
];

/// Parameters that the flow sets itself: configuration can never override them.
const RESERVED: [&str; 12] = [
    "response_type",
    "response_mode",
    "client_id",
    "client_secret",
    "redirect_uri",
    "state",
    "scope",
    "nonce",
    "code_challenge",
    "code_challenge_method",
    "request",
    "request_uri",
];

/// Whether an extra authorization parameter is ours to set alone, however it is written.
pub fn is_reserved(name: &str) -> bool {
    let decoded: String = form_urlencoded::parse(name.as_bytes()).map(|(name, _)| name.into_owned()).collect();
    [name, decoded.as_str()].iter().any(|name| RESERVED.contains(&name.trim().to_ascii_lowercase().as_str()))
}

/// Parameters of the flow that a client may set to something of its own once it has left ours out. Whatever stands there,
/// the answer still comes to our redirect URI, or the provider refuses.
const FREE_WHEN_LEFT_OUT: [&str; 2] = ["client_id", "redirect_uri"];

/// Whether a client has left out this parameter of ours and may set its own.
pub fn is_free(name: &str, names: &BTreeMap<String, String>) -> bool {
    FREE_WHEN_LEFT_OUT.contains(&name) && names.get(name).is_some_and(String::is_empty)
}

/// Everything of an authorization request that differs from flow to flow.
pub struct AuthorizationRequest<'a> {
    /// The authorization endpoint; a query that it already has is kept (RFC 6749 §3.1).
    pub endpoint: &'a Url,
    /// The `client_id` that the authorization server issued.
    pub client_id: &'a str,
    /// The redirect URI of the client, as registered.
    pub redirect_uri: &'a str,
    /// The requested scopes.
    pub scopes: &'a [String],
    /// What stands between scopes: a space unless the provider differs.
    pub scope_separator: &'a str,
    /// `state`, random.
    pub state: &'a Secret<String>,
    /// The PKCE challenge (S256), unless the client has PKCE off.
    pub code_challenge: Option<&'a str>,
    /// `nonce`, when `openid` is asked (OpenID Connect Core §3.1.2.1).
    pub nonce: Option<&'a Secret<String>>,
    /// Extra parameters of the client and the session; none of them is reserved.
    pub extra: &'a BTreeMap<String, String>,
    /// Parameters that go by other names at this provider; those with an empty name are left out.
    pub names: &'a BTreeMap<String, String>,
    /// What stands behind `#`, at a provider that demands something there.
    pub fragment: Option<&'a str>,
}

impl AuthorizationRequest<'_> {
    /// The URL to send the browser to. It carries `state`, so it is a secret until the browser has it.
    pub fn url(&self) -> Secret<String> {
        let mut url = self.endpoint.clone();
        let mut put = |name: &str, value: &str| {
            let wire = self.names.get(name).map_or(name, String::as_str);
            if !wire.is_empty() {
                url.query_pairs_mut().append_pair(wire, value);
            }
        };
        put("response_type", "code");
        put("client_id", self.client_id);
        put("redirect_uri", self.redirect_uri);
        if !self.scopes.is_empty() {
            put("scope", &self.scopes.join(self.scope_separator));
        }
        put("state", self.state.expose());
        if let Some(challenge) = self.code_challenge {
            put("code_challenge", challenge);
            put("code_challenge_method", super::pkce::METHOD);
        }
        if let Some(nonce) = self.nonce {
            put("nonce", nonce.expose());
        }
        // Neither under its own nor under its other name is a parameter of the flow anybody else's to set.
        let ours = |name: &str| {
            (is_reserved(name) && !is_free(name, self.names)) || self.names.values().any(|other| other == name)
        };
        for (name, value) in self.extra.iter().filter(|(name, _)| !ours(name)) {
            let wire = self.names.get(name).map_or(name, |wire| if wire.is_empty() { name } else { wire });
            url.query_pairs_mut().append_pair(wire, value);
        }
        url.set_fragment(self.fragment);
        Secret::new(url.into())
    }
}

/// The parameters of an authorization response, each at most once.
pub struct AuthorizationResponse {
    state: Option<Secret<String>>,
    code: Option<Secret<String>>,
    error: Option<String>,
    iss: Option<String>,
    extra: BTreeMap<String, String>,
}

/// What a valid authorization response says.
pub enum Answer {
    /// The code, to be exchanged once.
    Code(Secret<String>),
    /// An error response, as one of our codes (RFC 6749 §4.1.2.1, OpenID Connect Core §3.1.2.6).
    Error(&'static str),
}

impl AuthorizationResponse {
    /// Parses the query of the redirection endpoint, or the body of a `form_post` response.
    ///
    /// # Errors
    /// [`BrowserRefusal::DuplicateParameter`] (RFC 6749 §3.1) for any parameter that occurs twice, ours or not;
    /// [`BrowserRefusal::MalformedResponse`] for a value that is too long.
    pub fn parse(query: &str) -> Result<Self, BrowserRefusal> {
        let mut seen: BTreeMap<String, String> = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if value.len() > MAX_VALUE {
                return Err(BrowserRefusal::MalformedResponse);
            }
            if seen.insert(name.into_owned(), value.into_owned()).is_some() {
                return Err(BrowserRefusal::DuplicateParameter);
            }
        }
        let iss = seen.remove("iss");
        let mut take = |name: &str| seen.remove(name).filter(|value| !value.is_empty());
        let (state, code, error) = (take("state").map(Secret::new), take("code").map(Secret::new), take("error"));
        // An empty `iss` is one that differs, not one that is missing.
        Ok(Self { state, code, error, iss, extra: seen })
    }

    /// The same where the code comes in a parameter of another name.
    #[must_use]
    pub fn with_code_in(mut self, name: Option<&String>) -> Self {
        if let Some(name) = name.filter(|name| *name != "code") {
            self.code = self.extra.remove(name).filter(|code| !code.is_empty()).map(Secret::new);
        }
        self
    }

    /// What else the provider said, such as the account that was chosen (`realmId`): at most 20 parameters of visible
    /// text. They are as trustworthy as the browser that brought them. `wanted`: those that the client has variables for.
    pub fn extra(&self, wanted: &[&str]) -> Map<String, Value> {
        let plain =
            |text: &str, most: usize| !text.is_empty() && text.len() <= most && !text.chars().any(char::is_control);
        let is_wanted = |name: &String| wanted.contains(&name.as_str());
        let first = self.extra.iter().filter(|(name, _)| is_wanted(name));
        let all = first.chain(self.extra.iter().filter(|(name, _)| !is_wanted(name)));
        let told = all.filter(|(name, value)| {
            let told = !NOT_TOLD.contains(&name.as_str()) || (is_wanted(name) && name.as_str() == "scope");
            told && plain(name, MAX_EXTRA_NAME) && plain(value, MAX_EXTRA_VALUE)
        });
        told.take(MAX_EXTRA).map(|(name, value)| (name.clone(), Value::String(value.clone()))).collect()
    }

    /// `state`, which finds the flow.
    ///
    /// # Errors
    /// [`BrowserRefusal::UnknownState`] when it is missing.
    pub fn state(&self) -> Result<&Secret<String>, BrowserRefusal> {
        self.state.as_ref().ok_or(BrowserRefusal::UnknownState)
    }

    /// Whether it has `state` and nothing else: so our own page sends a browser on when no provider is involved.
    pub fn is_bare(&self) -> bool {
        self.code.is_none() && self.error.is_none() && self.iss.is_none() && self.extra.is_empty()
    }

    /// RFC 9207 §2.4: simple string comparison, also on error responses; missing is an error where it was promised.
    ///
    /// # Errors
    /// [`BrowserRefusal::IssuerMismatch`] or [`BrowserRefusal::IssuerMissing`]; the code goes nowhere then.
    pub fn check_issuer(&self, issuer: Option<&str>, required: bool) -> Result<(), BrowserRefusal> {
        match (self.iss.as_deref(), issuer) {
            (Some(iss), Some(issuer)) if iss == issuer => Ok(()),
            (Some(_), Some(_)) => Err(BrowserRefusal::IssuerMismatch),
            (None, _) if required => Err(BrowserRefusal::IssuerMissing),
            // A client that was registered by its endpoints has no issuer to compare with; its redirect URI is its own.
            (Some(_), None) | (None, _) => Ok(()),
        }
    }

    /// The code or the error: exactly one of them (RFC 6749 §4.1.2).
    ///
    /// # Errors
    /// [`BrowserRefusal::MalformedResponse`] for both or neither.
    pub fn into_answer(self) -> Result<Answer, BrowserRefusal> {
        match (self.code, self.error) {
            (Some(code), None) => Ok(Answer::Code(code)),
            (None, Some(error)) => Ok(Answer::Error(known_error(&error))),
            _ => Err(BrowserRefusal::MalformedResponse),
        }
    }
}

/// Our code for an error response. Text of the provider is never passed on.
fn known_error(error: &str) -> &'static str {
    match error {
        "access_denied" | "consent_required" | "user_denied" => "access_denied",
        "invalid_scope" => "invalid_scope",
        "unauthorized_client" => "unauthorized_client",
        "unsupported_response_type" => "unsupported_response_type",
        "invalid_request" => "invalid_request",
        "login_required" | "interaction_required" | "account_selection_required" => "login_required",
        "temporarily_unavailable" => "temporarily_unavailable",
        "server_error" => "server_error",
        _ => "provider_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refusal<T>(result: Result<T, BrowserRefusal>) -> Option<BrowserRefusal> {
        result.err()
    }

    #[test]
    fn a_duplicated_parameter_is_refused() {
        for query in ["code=a&code=b&state=s", "state=s&state=s&code=a", "code=a&state=s&foo=1&foo=2"] {
            let parsed = AuthorizationResponse::parse(query);
            assert_eq!(refusal(parsed), Some(BrowserRefusal::DuplicateParameter), "{query}");
        }
    }

    #[test]
    fn code_and_error_together_or_neither_is_refused() {
        for query in ["state=s", "state=s&code=a&error=access_denied", "state=s&code=", ""] {
            let parsed = AuthorizationResponse::parse(query).unwrap();
            assert_eq!(refusal(parsed.into_answer()), Some(BrowserRefusal::MalformedResponse), "{query}");
        }
    }

    #[test]
    fn a_value_that_is_too_long_is_refused() {
        let parsed = AuthorizationResponse::parse(&format!("state=s&code={}", "a".repeat(9 * 1024)));
        assert_eq!(refusal(parsed), Some(BrowserRefusal::MalformedResponse));
    }

    #[test]
    fn iss_is_compared_as_a_string_and_required_where_promised() {
        let with = |query: &str, issuer, required| {
            refusal(AuthorizationResponse::parse(query).unwrap().check_issuer(issuer, required))
        };
        let issuer = Some("https://as.example");
        assert_eq!(with("iss=https%3A%2F%2Fas.example", issuer, true), None);
        assert_eq!(with("iss=https%3A%2F%2Fas.example%2F", issuer, true), Some(BrowserRefusal::IssuerMismatch));
        assert_eq!(with("iss=https%3A%2F%2Fevil.example", issuer, false), Some(BrowserRefusal::IssuerMismatch));
        assert_eq!(with("error=access_denied&iss=https://evil", issuer, false), Some(BrowserRefusal::IssuerMismatch));
        assert_eq!(with("code=a", issuer, true), Some(BrowserRefusal::IssuerMissing));
        assert_eq!(with("code=a", issuer, false), None);
    }

    #[test]
    fn text_of_the_provider_is_never_passed_on() {
        let parsed = AuthorizationResponse::parse("state=s&error=%3Cscript%3E&error_description=x").unwrap();
        assert!(matches!(parsed.into_answer(), Ok(Answer::Error("provider_error"))));
    }

    #[test]
    fn reserved_parameters_are_recognised_however_they_are_written() {
        for name in ["state", "STATE", "redirect%5Furi", " scope ", "Code_Challenge", "request_uri"] {
            assert!(is_reserved(name), "{name}");
        }
        for name in ["prompt", "access_type", "login_hint", "audience"] {
            assert!(!is_reserved(name), "{name}");
        }
    }

    #[test]
    fn an_authorization_url_always_has_s256_and_keeps_the_query_of_the_endpoint() {
        let url = AuthorizationRequest {
            endpoint: &Url::parse("https://as.example/authorize?tenant=1").unwrap(),
            client_id: "c&d",
            redirect_uri: "https://broker.example/callback/k",
            scopes: &["read".to_owned(), "write".to_owned()],
            scope_separator: " ",
            state: &Secret::from("st"),
            code_challenge: Some("ch"),
            nonce: None,
            extra: &[("prompt", "consent"), ("state", "evil")].map(|(n, v)| (n.to_owned(), v.to_owned())).into(),
            names: &BTreeMap::new(),
            fragment: None,
        }
        .url();
        assert_eq!(
            url.expose(),
            "https://as.example/authorize?tenant=1&response_type=code&client_id=c%26d\
             &redirect_uri=https%3A%2F%2Fbroker.example%2Fcallback%2Fk&scope=read+write&state=st&code_challenge=ch\
             &code_challenge_method=S256&prompt=consent"
        );
    }

    #[test]
    fn a_renamed_parameter_has_its_other_name_alone_and_nobody_else_sets_it() {
        let texts = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let url = AuthorizationRequest {
            endpoint: &Url::parse("https://as.example/authorize").unwrap(),
            client_id: "c",
            redirect_uri: "https://broker.example/callback/k",
            scopes: &["read".to_owned()],
            scope_separator: ",",
            state: &Secret::from("st"),
            code_challenge: None,
            nonce: None,
            extra: &texts(&[("audience", "api"), ("app_id", "evil"), ("client_id", "evil")]),
            names: &texts(&[("client_id", "app_id"), ("scope", "permissions"), ("audience", "aud")]),
            fragment: None,
        }
        .url();
        assert_eq!(
            url.expose(),
            "https://as.example/authorize?response_type=code&app_id=c\
             &redirect_uri=https%3A%2F%2Fbroker.example%2Fcallback%2Fk&permissions=read&state=st&aud=api"
        );
    }

    proptest! {
        #[test]
        fn parsing_a_response_never_panics(query in ".{0,400}") {
            if let Ok(response) = AuthorizationResponse::parse(&query) {
                let _ = response.check_issuer(Some("https://as.example"), true);
                let _ = response.into_answer();
            }
        }
    }

    #[test]
    fn what_a_provider_does_not_want_is_left_out_and_what_protects_the_flow_never_is() {
        let texts = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let url = AuthorizationRequest {
            endpoint: &Url::parse("https://as.example/authorize").unwrap(),
            client_id: "c",
            redirect_uri: "https://broker.example/callback/k",
            scopes: &["read".to_owned()],
            scope_separator: " ",
            state: &Secret::from("st"),
            code_challenge: Some("ch"),
            nonce: None,
            extra: &texts(&[("redirect_uri", "A_Name"), ("client_id", "evil"), ("state", "evil")]),
            names: &texts(&[("redirect_uri", ""), ("scope", ""), ("response_type", ""), ("code", "auth_code")]),
            fragment: Some("wechat_redirect"),
        }
        .url();
        assert_eq!(
            url.expose(),
            "https://as.example/authorize?client_id=c&state=st&code_challenge=ch&code_challenge_method=S256\
             &redirect_uri=A_Name#wechat_redirect"
        );
    }

    #[test]
    fn a_code_comes_in_the_parameter_that_the_client_names_and_in_no_other() {
        let parsed =
            |query: &str| AuthorizationResponse::parse(query).unwrap().with_code_in(Some(&"auth_code".to_owned()));
        let code = |query: &str| match parsed(query).into_answer() {
            Ok(Answer::Code(code)) => Some(code.expose().clone()),
            _ => None,
        };
        assert_eq!(code("auth_code=a&state=s").as_deref(), Some("a"));
        assert_eq!(code("auth_code=a&code=b&state=s").as_deref(), Some("a"));
        assert_eq!(code("code=b&state=s"), None);
        let told = parsed("auth_code=a&state=s&scope=x&realmId=7");
        assert_eq!(Value::Object(told.extra(&[])), serde_json::json!({ "realmId": "7" }));
        assert_eq!(Value::Object(told.extra(&["scope"])), serde_json::json!({ "realmId": "7", "scope": "x" }));
    }
}
