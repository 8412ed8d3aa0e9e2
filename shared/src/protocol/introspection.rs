//! Token introspection (RFC 7662).

use http::{HeaderMap, HeaderValue, header};
use serde_json::Value;
use url::Url;

use super::dialect::{TokenRequestDialect, WireRequest, encode};
use super::revocation::{ClientAuth, authenticate};
use super::scope;
use crate::secret::Secret;

/// What an authorization server says about a token (RFC 7662 §2.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Introspection {
    /// Whether the token is good now. When it is not, nothing else is believed.
    pub active: bool,
    /// `exp`, in epoch seconds.
    pub expires_at_epoch: Option<i64>,
    /// `scope`; `None` when missing.
    pub scopes: Option<Vec<String>>,
    /// The subject.
    pub sub: Option<String>,
    /// The issuer.
    pub iss: Option<String>,
    /// The audiences, one or several.
    pub aud: Vec<String>,
}

/// The request that asks about `token`, a `hint` (`access_token` or `refresh_token`, §2.1); nothing when the endpoint is
/// no URL.
pub fn request(endpoint: &str, token: &Secret<String>, hint: &str, auth: ClientAuth<'_>) -> Option<WireRequest> {
    let url = Url::parse(endpoint).ok()?;
    let mut parameters =
        vec![("token".to_owned(), token.expose().clone()), ("token_type_hint".to_owned(), hint.to_owned())];
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    authenticate(auth.method, auth, &mut headers, &mut parameters)?;
    encode(&TokenRequestDialect::default().shape(), &url, &parameters, &[], headers)
}

/// Reads an answer with status 200. `None` when it lacks the boolean `active`, which §2.2 requires.
pub fn read(body: &[u8]) -> Option<Introspection> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let active = answer.get("active")?.as_bool()?;
    if !active {
        return Some(Introspection {
            active,
            expires_at_epoch: None,
            scopes: None,
            sub: None,
            iss: None,
            aud: Vec::new(),
        });
    }
    let text = |name: &str| answer.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
    let texts = |value: &Value| match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(list) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    Some(Introspection {
        active,
        expires_at_epoch: answer.get("exp").and_then(epoch),
        scopes: answer.get("scope").map(|scope| scope::parse(&texts(scope).join(" "))),
        sub: text("sub"),
        iss: text("iss"),
        aud: answer.get("aud").map(texts).unwrap_or_default(),
    })
}

/// A NumericDate, also with a fraction or as text.
fn epoch(value: &Value) -> Option<i64> {
    let number = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    // Beyond this no calendar goes.
    (number > 0.0 && number < 253_402_300_800.0).then_some(number as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::token::AuthMethod;

    #[test]
    fn the_request_is_that_of_rfc_7662() {
        let secret = Secret::from("s&p");
        let auth = |method| ClientAuth { method, client_id: "c", client_secret: Some(&secret) };
        let ask =
            |method| request("https://as.example/introspect?x=1", &"t+1".into(), "access_token", auth(method)).unwrap();
        let basic = ask(AuthMethod::ClientSecretBasic);
        assert_eq!((basic.method.as_str(), basic.url.as_str()), ("POST", "https://as.example/introspect?x=1"));
        assert_eq!(basic.body, b"token=t%2B1&token_type_hint=access_token");
        assert_eq!(basic.headers["authorization"], "Basic YzpzJTI2cA==");
        assert_eq!(basic.headers["content-type"], "application/x-www-form-urlencoded");
        let post = ask(AuthMethod::ClientSecretPost);
        assert_eq!(post.body, b"token=t%2B1&token_type_hint=access_token&client_id=c&client_secret=s%26p");
        assert!(request("nowhere", &"t".into(), "access_token", auth(AuthMethod::None)).is_none());
    }

    #[test]
    fn an_answer_without_a_boolean_active_says_nothing() {
        for body in ["", "[]", "{}", r#"{"active":"true"}"#, r#"{"active":1}"#, r#"{"error":"invalid_client"}"#] {
            assert_eq!(read(body.as_bytes()), None, "{body}");
        }
    }

    #[test]
    fn what_an_inactive_token_claims_is_not_believed() {
        let read = read(br#"{"active":false,"exp":1,"sub":"x"}"#).unwrap();
        assert_eq!((read.active, read.expires_at_epoch, read.sub), (false, None, None));
    }

    #[test]
    fn the_members_are_read_in_the_forms_they_have() {
        let answer = read(br#"{"active":true,"exp":1700000000,"scope":"a b","sub":"u","iss":"https://as","aud":"x"}"#);
        let answer = answer.unwrap();
        assert_eq!(answer.expires_at_epoch, Some(1_700_000_000));
        assert_eq!(answer.scopes.unwrap(), ["a", "b"]);
        assert_eq!((answer.sub.unwrap().as_str(), answer.iss.unwrap().as_str()), ("u", "https://as"));
        assert_eq!(answer.aud, ["x"]);
        let answer = read(br#"{"active":true,"exp":"1700000000.5","scope":["a"],"aud":["x","y"]}"#).unwrap();
        assert_eq!(answer.expires_at_epoch, Some(1_700_000_000));
        assert_eq!((answer.scopes.unwrap(), answer.aud.len()), (vec!["a".to_owned()], 2));
        for exp in ["0", "-5", "1e300", "\"never\"", "null", "[]"] {
            let answer = read(format!(r#"{{"active":true,"exp":{exp}}}"#).as_bytes()).unwrap();
            assert_eq!(answer.expires_at_epoch, None, "{exp}");
        }
    }
}
