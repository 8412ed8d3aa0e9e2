//! JSON bodies: strict, bounded, and with errors that never quote a value.

use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, header};
use http_body_util::{BodyExt as _, Limited};
use serde::de::DeserializeOwned;
use serde_json::Value;

use self::json::Json;
use crate::broker::Broker;
use crate::error::{Error, Result};

mod json;

/// The largest body that any call takes (bytes).
pub const MAX_BODY: usize = 256 * 1024;

/// A JSON body. Unknown fields are refused where the type says so, as all of ours do.
pub struct Body<T>(pub T);

/// A JSON body that may be left out.
pub struct OptionalBody<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Broker> for Body<T> {
    type Rejection = Response;

    async fn from_request(request: Request, _: &Broker) -> Result<Self, Response> {
        let (parts, body) = request.into_parts();
        let read = async {
            check_content_type(&parts.headers)?;
            parse(&bytes(body).await?)
        };
        read.await.map(Self).map_err(|error: Error| error.into_response())
    }
}

impl<T: DeserializeOwned + Default> FromRequest<Broker> for OptionalBody<T> {
    type Rejection = Response;

    async fn from_request(request: Request, _: &Broker) -> Result<Self, Response> {
        let (parts, body) = request.into_parts();
        let read = async {
            let bytes = bytes(body).await?;
            if bytes.is_empty() {
                return Ok(T::default());
            }
            check_content_type(&parts.headers)?;
            parse(&bytes)
        };
        read.await.map(Self).map_err(|error: Error| error.into_response())
    }
}

/// Reads a whole body.
///
/// # Errors
/// [`Error::TooLarge`] as soon as the limit is passed; [`Error::Malformed`] when the body ends early.
pub async fn bytes(body: axum::body::Body) -> Result<axum::body::Bytes> {
    match Limited::new(body, MAX_BODY).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(Error::TooLarge(MAX_BODY)),
        Err(_) => Err(Error::Malformed("The body ended before it was complete.".to_owned())),
    }
}

fn check_content_type(headers: &HeaderMap) -> Result<()> {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence == "application/json" { Ok(()) } else { Err(Error::UnsupportedMediaType) }
}

/// Parses JSON text.
///
/// # Errors
/// [`Error::Malformed`] when it is not JSON; [`Error::Invalid`] when it is other JSON than wanted.
pub fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T> {
    // Syntax first, so that a text that is not JSON is never blamed on a field.
    serde_json::from_slice::<serde::de::IgnoredAny>(text).map_err(|error| {
        Error::Malformed(format!("The body is not valid JSON: line {}, column {}.", error.line(), error.column()))
    })?;
    // Derived types would take an array for their fields in order.
    if text.trim_ascii_start().first() == Some(&b'[') {
        return Err(Error::field("", "invalid_type", "The body must be an object."));
    }
    let document = serde_json::from_slice::<Json>(text);
    let document = document.map_err(|_| Error::Malformed("The body is nested too deeply.".to_owned()))?;
    serde_path_to_error::deserialize(document).map_err(|error| field_error(&error))
}

/// Reads a type out of JSON that was parsed before.
///
/// # Errors
/// [`Error::Invalid`].
pub fn typed<T: DeserializeOwned>(value: Value) -> Result<T> {
    serde_path_to_error::deserialize(Json::from(value)).map_err(|error| field_error(&error))
}

/// The field that is wrong, without the value: it may be a secret.
fn field_error(error: &serde_path_to_error::Error<serde_json::Error>) -> Error {
    use serde_path_to_error::Segment;
    let mut pointer = String::new();
    for segment in error.path() {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => pointer.push_str(&format!("/{}", key.replace('~', "~0").replace('/', "~1"))),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    let message = error.inner().to_string();
    let quoted = |message: &str| message.split('`').nth(1).unwrap_or_default().to_owned();
    if message.starts_with("unknown field") {
        let name = quoted(&message);
        if !pointer.ends_with(&format!("/{name}")) {
            pointer.push_str(&format!("/{name}"));
        }
        return Error::field(pointer, "unknown_field", "There is no such field.");
    }
    if message.starts_with("missing field") {
        pointer.push_str(&format!("/{}", quoted(&message)));
        return Error::field(pointer, "missing_field", "This field is required.");
    }
    let expected = message.split(" at line ").next().and_then(|message| message.rsplit_once(", expected "));
    let detail = match expected {
        Some((_, expected)) => format!("It has the wrong type or value; expected {expected}."),
        None => "It has the wrong type or value.".to_owned(),
    };
    Error::field(pointer, "invalid_value", detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::FieldError;
    use proptest::prelude::*;

    #[derive(serde::Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[expect(dead_code, reason = "only parsed")]
        name: String,
        #[expect(dead_code, reason = "only parsed")]
        #[serde(default)]
        inner: Vec<Inner>,
    }

    #[derive(serde::Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[expect(dead_code, reason = "only parsed")]
        count: u32,
    }

    fn only(text: &str) -> (String, &'static str) {
        match parse::<Outer>(text.as_bytes()) {
            Err(Error::Invalid(errors)) => match errors.as_slice() {
                [FieldError { pointer, code, .. }] => (pointer.clone(), *code),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_wrong_field_is_named() {
        assert_eq!(only(r#"{}"#), ("/name".to_owned(), "missing_field"));
        assert_eq!(only(r#"{"name":"a","colour":1}"#), ("/colour".to_owned(), "unknown_field"));
        assert_eq!(only(r#"{"name":"a","inner":[{"count":"x"}]}"#), ("/inner/0/count".to_owned(), "invalid_value"));
        assert_eq!(only(r#"{"name":"a","inner":[{"count":1,"x":2}]}"#), ("/inner/0/x".to_owned(), "unknown_field"));
    }

    #[test]
    fn text_that_is_not_json_is_malformed() {
        for text in ["", "{", "{\"name\":\"a\"} x", "\u{feff}{}"] {
            assert!(matches!(parse::<Outer>(text.as_bytes()), Err(Error::Malformed(_))), "{text}");
        }
    }

    #[test]
    fn a_body_is_an_object_also_where_an_array_would_fit() {
        for text in [r#"["a", []]"#, "[]", " [1]"] {
            assert_eq!(only(text), (String::new(), "invalid_type"), "{text}");
        }
    }

    #[test]
    fn an_object_is_an_object_at_every_depth_also_where_an_array_would_fit() {
        assert_eq!(only(r#"{"name":"a","inner":[[1]]}"#), ("/inner/0".to_owned(), "invalid_value"));
        let base = serde_json::json!({"name": "a", "scopes": {}, "token_request": {}, "variables": [{"key": "k"}]});
        assert!(typed::<crate::model::client::ClientSettings>(base.clone()).is_ok());
        for (field, value, pointer) in [
            ("scopes", serde_json::json!([["read"], []]), "/scopes"),
            ("token_request", serde_json::json!(["POST"]), "/token_request"),
            ("variables", serde_json::json!([["k"]]), "/variables/0"),
        ] {
            let mut settings = base.clone();
            settings[field] = value;
            for result in [typed(settings.clone()), parse(settings.to_string().as_bytes())] {
                let result: Result<crate::model::client::ClientSettings> = result;
                let Err(Error::Invalid(errors)) = result else { panic!("{field}: {result:?}") };
                assert_eq!((errors[0].pointer.as_str(), errors[0].code), (pointer, "invalid_value"));
            }
        }
    }

    #[test]
    fn a_field_that_is_there_twice_is_refused() {
        assert_eq!(only(r#"{"name":"a","name":"b"}"#).1, "invalid_value");
    }

    #[test]
    fn what_is_not_json_to_its_end_is_malformed_whatever_its_fields() {
        for text in [r#"{"name": 7"#, r#"{"colour": 1} x"#, "{} {}"] {
            assert!(matches!(parse::<Outer>(text.as_bytes()), Err(Error::Malformed(_))), "{text}");
        }
    }

    #[test]
    fn an_error_never_quotes_the_value() {
        let error = parse::<Outer>(br#"{"name":"a","inner":[{"count":"CANARY"}]}"#).unwrap_err();
        assert!(!format!("{error:?}").contains("CANARY"));
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in ".{0,200}") {
            let _ = parse::<Outer>(text.as_bytes());
        }
    }
}
