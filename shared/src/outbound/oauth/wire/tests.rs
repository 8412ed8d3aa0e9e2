use super::*;
use serde_json::json;

const JSON: Option<&str> = Some("application/json; charset=utf-8");

fn present(status: u16, content_type: Option<&str>, body: &[u8]) -> Result<(u16, Value), OAuthHttpError> {
    let (status, dialect) = (StatusCode::from_u16(status).expect("a status"), &TokenResponseDialect::default());
    let wire = Wire { status, content_type, body, dialect, now: None };
    to_rfc6749(&wire).map(|(status, answer)| (status.as_u16(), Value::Object(answer)))
}

fn success(members: Value) -> Value {
    let mut body = json!({"access_token": "at", "token_type": "Bearer"});
    let members = members.as_object().expect("an object").clone();
    body.as_object_mut().expect("an object").extend(members);
    let (status, answer) = present(200, JSON, body.to_string().as_bytes()).expect("a success");
    assert_eq!(status, 200);
    answer
}

#[test]
fn an_answer_by_the_book_is_not_changed() {
    // RFC 6749 §5.1
    let body = json!({
        "access_token": "2YotnFZFEjr1zCsicMWpAA", "token_type": "example", "expires_in": 3600,
        "refresh_token": "tGzv3JOkF0XG5Qx2TlKWIA", "example_parameter": "example_value", "scope": "a b",
    });
    assert_eq!(present(200, JSON, body.to_string().as_bytes()), Ok((200, body)));
    // RFC 6749 §5.2
    let body = json!({"error": "invalid_request"});
    assert_eq!(present(400, JSON, body.to_string().as_bytes()), Ok((400, body)));
}

#[test]
fn any_status_of_success_is_presented_as_200() {
    for status in [200, 201, 202, 203] {
        let answer = present(status, JSON, br#"{"access_token":"at","token_type":"bearer"}"#);
        assert_eq!(answer.map(|(status, _)| status), Ok(200));
    }
}

#[test]
fn an_error_with_a_status_of_success_is_presented_as_400() {
    let body = br#"{"ok":false,"error":"invalid_code","access_token":"at"}"#;
    assert_eq!(present(200, JSON, body), Ok((400, json!({"error": "invalid_code"}))));
}

#[test]
fn an_error_keeps_its_own_status() {
    for status in [302, 400, 401, 429, 503] {
        let answer = present(status, JSON, br#"{"error":"temporarily_unavailable"}"#);
        assert_eq!(answer.map(|(status, _)| status), Ok(status));
    }
}

#[test]
fn an_error_object_yields_its_code_and_message() {
    let body = br#"{"error":{"message":"Code was\r\nused","type":"OAuthException","code":100}}"#;
    let expected = json!({"error": "OAuthException", "error_description": "Code was  used"});
    assert_eq!(present(400, JSON, body), Ok((400, expected)));
}

#[test]
fn an_empty_error_beside_a_token_is_no_error() {
    for error in [json!(null), json!(""), json!(false), json!(0), json!("0"), json!("false"), json!([]), json!({})] {
        assert_eq!(success(json!({"error": error})).get("error"), None);
    }
}

#[test]
fn an_error_without_a_usable_code_is_never_a_success() {
    for error in [json!("é"), json!(true), json!(1), json!([1]), json!({"x": 1})] {
        let body = json!({"access_token": "at", "error": error}).to_string();
        assert_eq!(present(200, JSON, body.as_bytes()), Err(OAuthHttpError::NoErrorCode { status: 200 }));
    }
}

#[test]
fn the_text_of_an_error_is_bounded_and_printable_and_its_members_have_the_right_types() {
    let body = json!({"error": "invalid_grant", "error_description": "x\u{0}".repeat(600), "error_uri": 7, "x": 1});
    let (_, answer) = present(400, JSON, body.to_string().as_bytes()).expect("an error");
    assert_eq!(answer["error_description"].as_str().map(|text| text.chars().count()), Some(500));
    assert!(!answer.to_string().contains("\\u0000"));
    assert_eq!(answer.as_object().map(Map::len), Some(2));
    for error in [json!("a\r\nb"), json!("é"), json!("a\"b"), json!("x".repeat(101)), json!(7), json!([]), json!({})] {
        let body = json!({ "error": error });
        assert_eq!(present(400, JSON, body.to_string().as_bytes()), Err(OAuthHttpError::NoErrorCode { status: 400 }));
    }
}

#[test]
fn expires_in_becomes_a_whole_number_or_disappears() {
    for (sent, expected) in [
        (json!(3600), json!(3600)),
        (json!("3600"), json!(3600)),
        (json!(" 3600 "), json!(3600)),
        (json!(3599.9), json!(3599)),
        (json!("3599.9"), json!(3599)),
        (json!(0), json!(0)),
        (json!(u64::MAX), json!(u64::MAX)),
    ] {
        assert_eq!(success(json!({"expires_in": sent}))["expires_in"], expected, "{sent}");
    }
    for sent in [json!(-1), json!("-1"), json!("never"), json!(""), json!("inf"), json!("nan"), json!(null), json!([1])]
    {
        assert_eq!(success(json!({"expires_in": sent})).get("expires_in"), None, "{sent}");
    }
}

#[test]
fn an_empty_refresh_token_means_none() {
    for token in [json!(""), json!(null)] {
        assert_eq!(success(json!({"refresh_token": token})).get("refresh_token"), None);
    }
    assert_eq!(success(json!({"refresh_token": "rt"}))["refresh_token"], "rt");
}

#[test]
fn a_missing_token_type_is_bearer() {
    for token_type in [json!(null), json!(""), json!(1)] {
        assert_eq!(success(json!({"token_type": token_type}))["token_type"], "bearer");
    }
    assert_eq!(present(200, JSON, br#"{"access_token":"at"}"#).expect("a success").1["token_type"], "bearer");
}

#[test]
fn a_scope_is_text_without_foreign_characters() {
    assert_eq!(success(json!({"scope": "a b"}))["scope"], "a b");
    assert_eq!(success(json!({"scope": ["a", "b"]}))["scope"], "a b");
    assert_eq!(success(json!({"scope": ""}))["scope"], "");
    assert_eq!(success(json!({"scope": "a\r\nb é"}))["scope"], "a??b ?");
    assert_eq!(success(json!({"scope": "a\"b c\\d"}))["scope"], "a?b c?d");
    for none in [json!(""), json!([]), json!(7), json!({"a": 1})] {
        assert_eq!(success(json!({"scope": none}))["scope"], "", "{none}");
    }
    assert_eq!(success(json!({"scope": null})).get("scope"), None);
}

#[test]
fn a_form_is_read_where_its_type_allows_one() {
    let form = b"access_token=gho_16C7e42F&scope=repo%2Cgist&token_type=bearer&expires_in=28800&refresh_token=";
    let expected =
        json!({"access_token": "gho_16C7e42F", "scope": "repo gist", "token_type": "bearer", "expires_in": 28800});
    for content_type in ["application/x-www-form-urlencoded; charset=utf-8", "text/plain", "Text/Plain;charset=UTF-8"] {
        assert_eq!(present(200, Some(content_type), form), Ok((200, expected.clone())));
    }
    let error = b"error=bad_verification_code&error_description=expired";
    let expected = json!({"error": "bad_verification_code", "error_description": "expired"});
    assert_eq!(present(200, Some("application/x-www-form-urlencoded"), error), Ok((400, expected)));
    for content_type in [None, Some("text/html"), JSON] {
        assert_eq!(present(200, content_type, form), Err(OAuthHttpError::NotJson { status: 200 }));
    }
}

#[test]
fn json_is_read_whatever_its_declared_type() {
    for content_type in [None, Some("text/plain"), Some("text/html"), Some("text/javascript")] {
        assert!(present(200, content_type, br#"{"access_token":"at"}"#).is_ok());
    }
}

#[test]
fn what_is_not_an_object_is_not_json() {
    let deep = "[".repeat(50_000);
    for body in ["", "<html>CANARY</html>", "[]", "\"at\"", "null", "{", "{\"access_token\":\"at\"", &deep, "a=b"] {
        for content_type in [None, JSON, Some("text/plain")] {
            assert_eq!(present(200, content_type, body.as_bytes()), Err(OAuthHttpError::NotJson { status: 200 }));
        }
    }
    let deep = format!("{{\"access_token\":\"at\",\"x\":{}", "[".repeat(50_000));
    assert_eq!(present(500, JSON, deep.as_bytes()), Err(OAuthHttpError::NotJson { status: 500 }));
    assert_eq!(present(200, JSON, b"{\"access_token\":\"\xff\"}"), Err(OAuthHttpError::NotJson { status: 200 }));
}

#[test]
fn a_success_without_an_access_token_is_none() {
    for body in [json!({}), json!({"access_token": ""}), json!({"access_token": null}), json!({"access_token": 7})] {
        assert_eq!(present(200, JSON, body.to_string().as_bytes()), Err(OAuthHttpError::NoAccessToken { status: 200 }));
    }
}

#[test]
fn an_answer_without_a_usable_access_token_is_none_although_it_brings_a_refresh_token() {
    for body in [
        json!({"refresh_token": "rt"}),
        json!({"access_token": "", "refresh_token": "rt"}),
        json!({"access_token": "a b", "refresh_token": "rt"}),
        json!({"access_token": "at", "refresh_token": "r t"}),
    ] {
        assert!(present(200, JSON, body.to_string().as_bytes()).is_err(), "{body}");
    }
}

#[test]
fn tokens_are_visible_ascii() {
    for token in ["a\r\nX: y", "a b", "a\u{0}", "é", "a\u{7f}", "a\u{2028}"] {
        for body in [json!({"access_token": token}), json!({"access_token": "at", "refresh_token": token})] {
            assert_eq!(present(200, JSON, body.to_string().as_bytes()), Err(OAuthHttpError::UnsafeToken), "{token:?}");
        }
    }
    let body = json!({"access_token": "at", "refresh_token": 7});
    assert_eq!(present(200, JSON, body.to_string().as_bytes()), Err(OAuthHttpError::UnsafeToken));
}
