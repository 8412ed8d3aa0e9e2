//! `WWW-Authenticate` (RFC 9110 §11.6.1), as far as bearer tokens need it (RFC 6750 §3).
//!
//! Written here because what APIs really send must be read as far as it goes: the parser of the crate `http-auth` knows
//! no token68 and gives up the whole challenge at its first fault.

use super::hint;
use crate::protocol::scope;

/// Longest value that is read, in bytes.
const MAX_VALUE: usize = 4096;
/// How many scopes are kept.
const MAX_SCOPES: usize = 10;
/// Longest scope or scheme that is kept, in bytes.
const MAX_NAME: usize = 128;

/// One challenge: what an API wants, and why it refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WwwAuthenticate {
    /// The scheme as sent; a token (RFC 9110 §5.6.2) of at most 128 bytes.
    pub scheme: String,
    /// The `error` (RFC 6750 §3.1), one that is known by name, else `other`.
    pub error: Option<&'static str>,
    /// The scopes that the request needs (RFC 6750 §3), those that are scope tokens (RFC 6749 §3.3); at most ten.
    pub scope: Vec<String>,
}

/// Reads the challenges of one header value and returns the one for bearer tokens, else the first. What is not a
/// challenge is skipped, so that a fault in one does not hide the others; the text beyond 4,096 bytes is not read.
pub fn parse_www_authenticate(value: &str) -> Option<WwwAuthenticate> {
    let end = (0..=value.len().min(MAX_VALUE)).rev().find(|end| value.is_char_boundary(*end))?;
    let mut rest = Reader { rest: value.get(..end)? };
    let mut challenges: Vec<WwwAuthenticate> = Vec::new();
    while !rest.rest.is_empty() {
        rest.skip(|c| c == ',' || c.is_ascii_whitespace());
        let Some(name) = rest.token() else {
            rest.skip_one();
            continue;
        };
        match rest.parameter() {
            Some(parameter) => {
                if let Some(challenge) = challenges.last_mut() {
                    challenge.set(name, &parameter);
                }
            }
            None => {
                rest.token68();
                if name.len() <= MAX_NAME {
                    challenges.push(WwwAuthenticate { scheme: name.to_owned(), error: None, scope: Vec::new() });
                }
            }
        }
    }
    let bearer = challenges.iter().position(|challenge| challenge.scheme.eq_ignore_ascii_case("Bearer"));
    challenges.into_iter().nth(bearer.unwrap_or(0))
}

impl WwwAuthenticate {
    fn set(&mut self, name: &str, value: &str) {
        if name.eq_ignore_ascii_case("error") {
            self.error.get_or_insert_with(|| hint::known_error(value));
        } else if name.eq_ignore_ascii_case("scope") && self.scope.is_empty() {
            let fit = scope::parse(value).into_iter().filter(|scope| scope.len() <= MAX_NAME);
            self.scope = fit.take(MAX_SCOPES).collect();
        }
    }
}

/// The rest of a header value.
struct Reader<'v> {
    rest: &'v str,
}

fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

impl<'v> Reader<'v> {
    fn skip(&mut self, what: impl Fn(char) -> bool) {
        self.rest = self.rest.trim_start_matches(what);
    }

    fn skip_one(&mut self) {
        let mut chars = self.rest.chars();
        chars.next();
        self.rest = chars.as_str();
    }

    /// The longest beginning of such characters.
    fn take(&mut self, what: impl Fn(char) -> bool) -> &'v str {
        let (taken, rest) = self.rest.split_at(self.rest.find(|c| !what(c)).unwrap_or(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// RFC 9110 §5.6.2.
    fn token(&mut self) -> Option<&'v str> {
        Some(self.take(is_token)).filter(|token| !token.is_empty())
    }

    /// `BWS "=" BWS ( token / quoted-string )`, behind the name of a parameter. Nothing is taken when it is not there.
    fn parameter(&mut self) -> Option<String> {
        let value = self.rest.trim_ascii_start().strip_prefix('=')?.trim_ascii_start();
        if let Some(quoted) = value.strip_prefix('"') {
            self.rest = quoted;
            return Some(self.quoted());
        }
        self.rest = value;
        Some(self.take(|c| c != ',' && !c.is_ascii_whitespace()).to_owned())
    }

    /// RFC 9110 §5.6.4, behind its opening quote; one that is not closed goes to the end.
    fn quoted(&mut self) -> String {
        let mut text = String::new();
        let mut chars = self.rest.chars();
        while let Some(c) = chars.next() {
            match c {
                '"' => break,
                '\\' => text.extend(chars.next()),
                _ => text.push(c),
            }
        }
        self.rest = chars.as_str();
        text
    }

    /// RFC 9110 §11.2, behind a scheme: what ends at a comma or the end and is not the name of a parameter.
    fn token68(&mut self) {
        let mut ahead = Self { rest: self.rest };
        ahead.skip(|c| c.is_ascii_whitespace());
        let text = ahead.take(|c| c.is_ascii_alphanumeric() || "-._~+/".contains(c));
        ahead.skip(|c| c == '=');
        let ends = ahead.rest.trim_ascii_start();
        if !text.is_empty() && (ends.is_empty() || ends.starts_with(',')) {
            self.rest = ahead.rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(value: &str) -> (String, Option<&'static str>, Vec<String>) {
        let challenge = parse_www_authenticate(value).unwrap();
        (challenge.scheme, challenge.error, challenge.scope)
    }

    #[test]
    fn the_challenges_of_rfc_6750_are_read() {
        assert_eq!(read(r#"Bearer realm="example""#), ("Bearer".to_owned(), None, vec![]));
        let expired = r#"Bearer realm="example", error="invalid_token", error_description="The access token expired""#;
        assert_eq!(read(expired), ("Bearer".to_owned(), Some("invalid_token"), vec![]));
        let narrow = r#"Bearer error="insufficient_scope",scope="read write""#;
        let scopes = vec!["read".to_owned(), "write".to_owned()];
        assert_eq!(read(narrow), ("Bearer".to_owned(), Some("insufficient_scope"), scopes));
    }

    #[test]
    fn the_bearer_challenge_is_found_among_others() {
        for value in [
            r#"Basic realm="a, b", Bearer error="invalid_token""#,
            r#"Negotiate abc==, Bearer error="invalid_token""#,
            r#"Negotiate, bearer error = invalid_token"#,
            r#"Newauth realm="say \"Bearer\"", title="x", BEARER ERROR="invalid_token", Digest nonce="1""#,
            r#",, Bearer   error="invalid_token""#,
            r#"Bearer realm="x" error="invalid_token" error_description="no commas""#,
            r#""@\ Bearer error="invalid_token"#,
        ] {
            let challenge = parse_www_authenticate(value).unwrap();
            assert!(challenge.scheme.eq_ignore_ascii_case("bearer"), "{value}: {challenge:?}");
            assert_eq!(challenge.error, Some("invalid_token"), "{value}");
        }
        assert_eq!(read("Zoho-oauthtoken").0, "Zoho-oauthtoken");
        assert_eq!(read(r#"Basic realm="x", Digest realm="y""#).0, "Basic");
    }

    #[test]
    fn an_error_that_is_not_known_is_not_repeated() {
        assert_eq!(read(r#"Bearer error="<b>my token is abc</b>""#).1, Some("other"));
    }

    #[test]
    fn what_holds_no_challenge_is_none() {
        for value in ["", " , ,", "\"\"", "===", "\u{fc}"] {
            assert_eq!(parse_www_authenticate(value), None, "{value}");
        }
    }

    proptest! {
        #[test]
        fn reading_a_challenge_never_panics_and_keeps_its_bounds(
            value in prop_oneof![".{0,300}", r#"[Bbearsco =",\\é~]{0,200}"#, "(Bearer scope=\"[a-z ,]{0,9000}\")"],
        ) {
            if let Some(challenge) = parse_www_authenticate(&value) {
                prop_assert!(!challenge.scheme.is_empty() && challenge.scheme.len() <= MAX_NAME);
                prop_assert!(challenge.scope.len() <= MAX_SCOPES);
            }
        }
    }
}
