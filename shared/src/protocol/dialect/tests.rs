use super::*;
use http::{HeaderMap, header};
use serde_json::json;
use url::Url;

fn dialect(value: Value) -> TokenRequestDialect {
    serde_json::from_value(value).expect("a dialect")
}

fn pairs() -> Vec<(String, String)> {
    [("grant_type", "authorization_code"), ("code", "c&1\""), ("redirect_uri", "https://b.example/cb")]
        .into_iter()
        .chain([("client_id", "id"), ("client_secret", "s3{code}")])
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn wire(value: Value) -> Option<WireRequest> {
    let url = Url::parse("https://as.example/token").expect("a URL");
    encode(&dialect(value).shape(), &url, &pairs(), &[], HeaderMap::new())
}

const FORM: &str = "grant_type=authorization_code&code=c%261%22&redirect_uri=https%3A%2F%2Fb.example%2Fcb&client_id=id&client_secret=s3%7Bcode%7D";

#[test]
fn a_request_is_written_as_the_dialect_says() {
    let json = "application/json";
    let form = "application/x-www-form-urlencoded";
    let plain = "https://as.example/token";
    let queried = format!("{plain}?{FORM}");
    let all_json = json!({"grant_type": "authorization_code", "code": "c&1\"", "redirect_uri": "https://b.example/cb",
        "client_id": "id", "client_secret": "s3{code}"});
    // JSON is written with sorted names.
    let all_json = all_json.to_string();
    let xml_body = "<t c=\"{code}\">{client_secret}{scope}</t>";
    for (name, dialect, method, url, content_type, body) in [
        ("by the book", json!({}), "POST", plain, form, FORM.to_owned()),
        ("form by name", json!({"content_type": "form"}), "POST", plain, form, FORM.to_owned()),
        ("form with charset", json!({"content_type": "application/x-www-form-urlencoded; charset=utf-8"}), "POST", plain,
            "application/x-www-form-urlencoded; charset=utf-8", FORM.to_owned()),
        ("JSON", json!({"content_type": "json"}), "POST", plain, json, all_json.clone()),
        ("JSON by media type", json!({"content_type": "application/json"}), "POST", plain, json, all_json),
        ("query", json!({"content_type": "query"}), "POST", queried.as_str(), "", String::new()),
        ("GET", json!({"method": "GET"}), "GET", queried.as_str(), "", String::new()),
        ("extra query", json!({"query": {"v": "2 1", "who": "{client_id}"}}), "POST",
            "https://as.example/token?v=2+1&who=id", form, FORM.to_owned()),
        ("renamed and left out",
            json!({"names": {"client_id": "appid", "client_secret": "", "grant_type": "", "redirect_uri": ""}}), "POST",
            plain, form, "code=c%261%22&appid=id".to_owned()),
        ("extra parameters", json!({"names": {"client_secret": "", "code": ""}, "body": {"type": "web", "n": 5, "b": true,
            "copy": "{client_id}", "gone": "{scope}", "gone2": "{username?}"}}), "POST", plain, form,
            "grant_type=authorization_code&redirect_uri=https%3A%2F%2Fb.example%2Fcb&client_id=id&b=true&copy=id&n=5&type=web"
                .to_owned()),
        ("JSON values stay what they are", json!({"content_type": "json", "names": {"client_secret": "", "code": "",
            "redirect_uri": "", "client_id": "clientId"}, "body": {"n": 5, "l": ["{client_id}", 1], "o": {"x": true}}}),
            "POST", plain, json,
            json!({"grant_type": "authorization_code", "clientId": "id", "n": 5, "l": ["id", 1], "o": {"x": true}}).to_string()),
        ("a reserved parameter is never replaced", json!({"body": {"client_id": "evil"}, "query": {"code": "evil"}}),
            "POST", plain, form, FORM.to_owned()),
        ("text as a form", json!({"body": "a={code}&b={scope}"}), "POST", plain, form, "a=c%261%22&b=".to_owned()),
        ("text as JSON", json!({"content_type": "application/vnd.x+json", "body": "{\"a\":{\"c\":\"{code}\"}}"}), "POST",
            plain, "application/vnd.x+json", "{\"a\":{\"c\":\"c&1\\\"\"}}".to_owned()),
        ("text as XML", json!({"content_type": "text/xml", "body": xml_body}), "POST", plain, "text/xml",
            "<t c=\"c&amp;1&quot;\">s3{code}</t>".to_owned()),
        ("text as it is", json!({"content_type": "text/plain", "body": "{client_id} {{x} {not one} {{{client_id}"}), "POST", plain,
            "text/plain", "id {x} {not one} {id".to_owned()),
    ] {
        let wire = wire(dialect).unwrap_or_else(|| panic!("{name}"));
        assert_eq!((wire.method.as_str(), wire.url.as_str()), (method, url), "{name}");
        let sent = wire.headers.get(header::CONTENT_TYPE).map_or("", |value| value.to_str().expect("text"));
        assert_eq!(sent, content_type, "{name}");
        assert_eq!(String::from_utf8_lossy(&wire.body), body, "{name}");
    }
}

#[test]
fn headers_are_set_and_secret_values_are_marked() {
    let wire = wire(json!({"headers": {"Accept": "text/x", "X-App": "app {client_id}", "X-Gone": "{scope}"}}));
    let headers = wire.expect("a request").headers;
    assert_eq!((&headers["accept"], &headers["x-app"]), (&"text/x".parse().unwrap(), &"app id".parse().unwrap()));
    assert!(headers["x-app"].is_sensitive() && !headers.contains_key("x-gone"));
}

#[test]
fn a_request_that_cannot_be_built_is_none() {
    for dialect in [
        json!({"content_type": "text/xml"}),
        json!({"content_type": "text/xml", "body": {"a": "b"}}),
        json!({"method": "GET", "body": "a"}),
        json!({"headers": {"X Y": "a"}}),
        json!({"headers": {"X": "a\r\nb"}}),
    ] {
        assert!(wire(dialect.clone()).is_none(), "{dialect}");
    }
}

#[test]
fn what_is_on_record_of_the_parameters_holds_no_secret() {
    let wire = wire(json!({"names": {"client_id": "appid"}, "query": {"q": "v"}, "body": {"x": "y"}})).expect("one");
    let shown: Vec<_> = wire.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(
        shown,
        [
            ("q", REDACTED),
            ("grant_type", "authorization_code"),
            ("code", REDACTED),
            ("redirect_uri", "https://b.example/cb"),
            ("appid", "id"),
            ("client_secret", REDACTED),
            ("x", REDACTED),
        ]
    );
}

fn variables(name: &str) -> Option<String> {
    let value = match name {
        "tenant" => "acme",
        "quote" => "\"}{client_secret}&",
        "line" => "a\r\nX: y",
        "end" => "tenant}",
        "1" => "digit",
        _ => return None,
    };
    Some(value.to_owned())
}

#[test]
fn variables_are_put_in_and_the_flows_own_parameters_wait() {
    let rendered = dialect(json!({
        "url": "https://{tenant}.example/refresh", "query": {"t": "{tenant}", "o": "{unset?}", "c": "{client_id}"},
        "headers": {"X": "{tenant}/{scope?}"}, "body": {"t": "{tenant}", "deep": [{"t": "{tenant}"}, 5], "o": "{unset?}"},
    }));
    let rendered = rendered.render(&variables).expect("a dialect");
    assert_eq!(
        *rendered,
        dialect(json!({
            "url": "https://{tenant}.example/refresh", "query": {"t": "acme", "c": "{client_id}"},
            "headers": {"X": "acme/{scope?}"}, "body": {"t": "acme", "deep": [{"t": "acme"}, 5]},
        }))
    );
}

#[test]
fn a_value_never_becomes_a_placeholder_or_leaves_its_place() {
    for (content_type, template, expected) in [
        ("json", "{\"q\":\"{quote}\"}", r#"{"q":"\"}{client_secret}&"}"#),
        ("form", "q={quote}&o={unset?}", "q=%22%7D%7Bclient_secret%7D%26&o="),
        ("text/xml", "<q>{quote}</q>", "<q>&quot;}{client_secret}&amp;</q>"),
    ] {
        let rendered = dialect(json!({"content_type": content_type, "body": template})).render(&variables);
        let url = Url::parse("https://as.example/token").expect("a URL");
        let wire = encode(&rendered.expect("a dialect").shape(), &url, &pairs(), &[], HeaderMap::new());
        assert_eq!(String::from_utf8_lossy(&wire.expect("a request").body), expected);
    }
    let rendered = dialect(json!({"query": {"q": "{quote}"}})).render(&variables).expect("a dialect");
    let url = Url::parse("https://as.example/token").expect("a URL");
    let wire = encode(&rendered.shape(), &url, &pairs(), &[], HeaderMap::new()).expect("a request");
    assert_eq!(wire.url, "https://as.example/token?q=%22%7D%7Bclient_secret%7D%26");
}

#[test]
fn a_variable_that_is_missing_or_does_not_fit_is_named() {
    for (value, missing) in [
        (json!({"query": {"a": "{nothing}"}}), "nothing"),
        (json!({"body": "{nothing}"}), "nothing"),
        (json!({"body": {"a": {"b": ["{nothing}"]}}}), "nothing"),
        (json!({"headers": {"X": "{line}"}}), "line"),
        (json!({"content_type": "text/plain", "body": "a={quote}"}), "quote"),
        (json!({"content_type": "text/plain", "body": "a={line}"}), "line"),
    ] {
        assert_eq!(dialect(value.clone()).render(&variables).err().as_deref(), Some(missing), "{value}");
    }
    let revocation: RevocationDialect = serde_json::from_value(json!({"headers": {"X": "{nothing}"}})).expect("one");
    assert_eq!(revocation.render(&variables).err().as_deref(), Some("nothing"));
}

#[test]
fn a_brace_of_the_template_never_opens_a_placeholder_with_a_value() {
    let rendered = dialect(json!({"content_type": "text/plain", "body": "{ {client_id{end} {1}"}));
    let rendered = rendered.render(&variables).expect("a dialect");
    let url = Url::parse("https://as.example/token").expect("a URL");
    let wire = encode(&rendered.shape(), &url, &pairs(), &[], HeaderMap::new()).expect("a request");
    assert_eq!(String::from_utf8_lossy(&wire.body), "{ {client_idtenant} digit");
}

#[test]
fn in_a_text_that_has_no_escapes_no_value_leaves_its_place() {
    let text = |body: &str| wire(json!({"content_type": "text/plain", "body": body}));
    assert!(text("code={code}").is_none(), "it has a quote");
    assert!(text("id={client_id}").is_some());
}

#[test]
fn what_replaces_a_parameter_is_not_shown() {
    let shown = |dialect: Value| {
        let url = Url::parse("https://as.example/token").expect("a URL");
        let standard = [("scope".to_owned(), "read".to_owned()), ("resource".to_owned(), "r".to_owned())];
        let wire = encode(&super::tests::dialect(dialect).shape(), &url, &standard, &[], HeaderMap::new());
        wire.expect("a request").parameters.into_iter().map(|(_, value)| value).collect::<Vec<_>>()
    };
    assert_eq!(shown(json!({})), ["read", "r"]);
    assert_eq!(shown(json!({"body": {"scope": "s3cret", "resource": "s3cret"}})), [REDACTED, REDACTED]);
}

#[test]
fn a_providers_codes_stand_for_codes_of_the_standard() {
    let check = |value: Value| serde_json::from_value::<TokenResponseDialect>(value).expect("a dialect").check();
    assert!(check(json!({"error_codes": {"40029": "invalid_grant", "Bad/Key": "invalid_client"}})).is_empty());
    let found = check(json!({"error_codes": {"a/b": "dead", "": "invalid_grant"}}));
    let found: Vec<_> = found.iter().map(|(at, code, _)| (at.as_str(), *code)).collect();
    assert_eq!(found, [("/error_codes/", "not_a_name"), ("/error_codes/a~1b", "not_an_error_code")]);
}

#[test]
fn two_halves_of_a_refresh_that_do_not_fit_each_other_are_found() {
    let merged = dialect(json!({"content_type": "json", "method": "GET", "body": "{\"a\":1}"}));
    let found: Vec<_> = merged.check_refresh().into_iter().map(|(at, code, _)| (at, code)).collect();
    assert_eq!(found, [("/body".to_owned(), "no_body")]);
}

#[test]
fn the_variables_of_a_dialect_are_known() {
    let named =
        dialect(json!({"url": "https://{a}", "query": {"x": "{b?}{client_id}"}, "body": {"y": ["{c}", {"z": "{d}"}]}}));
    assert_eq!(named.placeholders().into_iter().collect::<Vec<_>>(), ["a", "b", "c", "d"]);
    assert!(dialect(json!({"body": "{\"a\":1} {not one} {{e}"})).placeholders().is_empty());
}

#[test]
fn what_the_flow_sets_cannot_be_set_and_headers_are_legal() {
    let codes = |findings: Vec<Finding>| findings.into_iter().map(|(at, code, _)| (at, code)).collect::<Vec<_>>();
    for (value, at, code) in [
        (json!({"body": {"client_secret": "x"}}), "/body/client_secret", "reserved_parameter"),
        (json!({"body": {" Code": "x"}}), "/body/ Code", "reserved_parameter"),
        (json!({"query": {"redirect_uri": "x"}}), "/query/redirect_uri", "reserved_parameter"),
        (json!({"names": {"client_id": "appid"}, "body": {"appid": "x"}}), "/body/appid", "reserved_parameter"),
        (
            json!({"names": {"client_secret": ""}, "body": {"client_secret": "x"}}),
            "/body/client_secret",
            "reserved_parameter",
        ),
        (json!({"names": {"foo": "bar"}}), "/names/foo", "not_a_parameter"),
        (json!({"names": {"client_id": "a\nb"}}), "/names/client_id", "not_a_name"),
        (json!({"names": {"client_id": "a", "code": "a"}}), "/names/code", "duplicate"),
        (json!({"headers": {"Host": "x"}}), "/headers/Host", "reserved_header"),
        (json!({"headers": {"Transfer-Encoding": "x"}}), "/headers/Transfer-Encoding", "reserved_header"),
        (json!({"headers": {"content-length": "x"}}), "/headers/content-length", "reserved_header"),
        (json!({"headers": {"Connection": "x"}}), "/headers/Connection", "reserved_header"),
        (json!({"headers": {"a/b": "x"}}), "/headers/a~1b", "not_a_header"),
        (json!({"headers": {"X": "a\r\nb{v}"}}), "/headers/X", "control_character"),
        (json!({"headers": {"X": "a".repeat(5000)}}), "/headers/X", "too_long"),
        (json!({"content_type": "xml"}), "/content_type", "not_a_media_type"),
        (json!({"content_type": "text/xml"}), "/body", "text_required"),
        (json!({"content_type": "text/xml", "body": {"a": "b"}}), "/body", "text_required"),
        (json!({"method": "GET", "body": "x"}), "/body", "no_body"),
        (json!({"body": {"a": [1]}}), "/body/a", "not_a_value"),
        (json!({"body": "a".repeat(20_000)}), "/body", "too_long"),
        (json!({"grant_type": ""}), "/grant_type", "not_a_value"),
        (json!({"url": "https://x.example"}), "/url", "only_in_refresh_request"),
        (json!({"auth": "none"}), "/auth", "only_in_refresh_request"),
    ] {
        let found = codes(dialect(value.clone()).check());
        assert!(found.contains(&(at.to_owned(), code)), "{value}: {found:?}");
    }
    for value in [
        json!({}),
        json!({"content_type": "json", "names": {"client_id": "app_id", "grant_type": ""}, "body": {"a": [1]}}),
        json!({"headers": {"Authorization": "Client {client_secret}", "User-Agent": "{app}", "Notion-Version": "2025"}}),
        json!({"content_type": "text/xml", "body": "<a>{code}</a>"}),
        json!({"names": {"redirect_uri": ""}, "body": {"redirect_uri": "{ru_name}"}}),
        json!({"names": {"grant_type": ""}, "body": {"scope": "offline", "state": "{state}"}}),
    ] {
        assert_eq!(codes(dialect(value.clone()).check()), [], "{value}");
    }
    let refresh = dialect(json!({"url": "https://x.example/r", "auth": "none", "body": {"redirect_uri": "{uri}"}}));
    assert_eq!(codes(refresh.check_refresh()), []);
    let revocation: RevocationDialect = serde_json::from_value(json!({"body": {"token": "x"}})).expect("one");
    assert_eq!(codes(revocation.check()), [("/body/token".to_owned(), "reserved_parameter")]);
}

#[test]
fn places_of_an_answer_are_keys_paths_or_pointers() {
    let check = |value: Value| serde_json::from_value::<TokenResponseDialect>(value).expect("a dialect").check();
    for place in ["token", "data.token", "/data/token", "/data/0|/", "a~b", "/a~1b", "/"] {
        assert!(check(json!({"access_token": place})).is_empty(), "{place}");
    }
    for place in ["", "/a~b", "a|", "a\nb", &"a".repeat(300)] {
        assert_eq!(check(json!({"access_token": place})).len(), 1, "{place}");
    }
    assert!(check(json!({"ok": "/code==0", "scope_separator": ","})).is_empty());
    assert_eq!(check(json!({"ok": "==0", "scope_separator": ""})).len(), 2);
}

#[test]
fn dialects_refuse_fields_they_do_not_know_and_keep_what_they_were_given() {
    assert!(serde_json::from_value::<TokenRequestDialect>(json!({"metod": "GET"})).is_err());
    assert!(serde_json::from_value::<TokenRequestDialect>(json!({"method": "PUT"})).is_err());
    assert!(serde_json::from_value::<TokenResponseDialect>(json!({"token": "x"})).is_err());
    assert!(serde_json::from_value::<RevocationDialect>(json!({"url": "x"})).is_err());
    let given = json!({"method": "GET", "query": {"a": "b"}, "body": {"n": 1}, "names": {"code": "c"}, "auth": "none"});
    assert_eq!(serde_json::to_value(dialect(given.clone())).expect("JSON"), given);
    assert_eq!(serde_json::to_value(TokenResponseDialect::default()).expect("JSON"), json!({}));
    assert!(RevocationDialect::default().revokes_replaced());
}
