//! Answers that are the same for everybody who may ask: with an `ETag`, and kept by the caller for a while.

use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;

use super::routes::MayBeKept;
use crate::error::{Error, Result};
use crate::vault::root_key::sha256;

/// How long an answer may be used without asking again. Caches that many share may not keep it: a key is needed to ask.
const KEPT: &str = "private, max-age=300";

/// Answers with this document, or with 304 where the caller has it (RFC 9110 §13.1.2).
///
/// # Errors
/// [`Error::Internal`] for what cannot be written.
pub fn answer<T: Serialize>(request: &HeaderMap, document: &T) -> Result<Response> {
    let text = serde_json::to_string(document).map_err(|_| Error::Internal("an answer cannot be written"))?;
    let tag = format!("\"{}\"", sha256(&text));
    let mut response = if has(request, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], text).into_response()
    };
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response.extensions_mut().insert(MayBeKept(KEPT));
    Ok(response)
}

/// Whether `If-None-Match` names this tag, weakly compared, or anything.
fn has(request: &HeaderMap, tag: &str) -> bool {
    let values = request.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut tags = values.flat_map(|value| value.split(',')).map(str::trim);
    tags.any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_who_has_the_document_is_told_so() {
        let asked = |tag: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, HeaderValue::from_str(tag).unwrap());
            answer(&headers, &["a"]).unwrap()
        };
        let whole = answer(&HeaderMap::new(), &["a"]).unwrap();
        assert_eq!(
            (whole.status(), &whole.headers()[header::CONTENT_TYPE]),
            (StatusCode::OK, &"application/json".parse().unwrap())
        );
        let tag = whole.headers()[header::ETAG].to_str().unwrap().to_owned();
        for same in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
            let answer = asked(&same);
            assert_eq!(
                (answer.status(), answer.headers()[header::ETAG].to_str().unwrap()),
                (StatusCode::NOT_MODIFIED, tag.as_str())
            );
        }
        for other in ["\"other\"", "", tag.trim_matches('"')] {
            assert_eq!(asked(other).status(), StatusCode::OK, "{other}");
        }
        assert_ne!(answer(&HeaderMap::new(), &["b"]).unwrap().headers()[header::ETAG], tag.as_str());
    }
}
