use proptest::prelude::*;

use super::*;

fn values<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn url(template: &str, value: &str) -> Result<String, TemplateError> {
    render_url(template, &values([("v", value), ("other", "other")])).map(String::from)
}

#[track_caller]
fn assert_unsafe(template: &str, value: &str) {
    match url(template, value) {
        Err(TemplateError::Unsafe { key, .. }) if key == "v" => {}
        other => panic!("{template} with {value:?}: {other:?}"),
    }
}

/// Values that try to lead a request elsewhere: refused wherever they change more than their own place.
const HOSTILE: [&str; 33] = [
    "evil.com/",
    "evil.com#",
    "evil.com?",
    "a@evil",
    "a:b@evil.com",
    "evil.com%2f",
    "%2e%2e",
    "evil%2Fcom",
    "..",
    ".",
    "x\\",
    "\\\\evil.com",
    "//evil.com",
    "/../..",
    "evil\u{3002}com",
    "evil\u{FF0E}com",
    "evil\u{FF61}com",
    "evil.com\u{FF0F}",
    "ｅｖｉｌ",
    "evil\u{2215}",
    "a\u{00AD}b",
    "x\r\nHost: evil.com",
    "x\n",
    "x\t",
    "x\0",
    "\u{85}",
    "",
    " ",
    "-a",
    "a-",
    "a..b",
    "[::1]",
    "a_b",
];

#[test]
fn placeholders_are_read_in_order_and_once() {
    let table: [(&str, &[&str]); 6] = [
        ("", &[]),
        ("plain", &[]),
        ("https://{sub}.example.com/{a}?q={sub}", &["sub", "a"]),
        ("{Key}{key}", &["Key", "key"]),
        ("{{\"a\": \"{x}\"}}", &["x"]),
        ("{a.b-c_D9}", &["a.b-c_D9"]),
    ];
    for (text, keys) in table {
        assert_eq!(placeholders(text).unwrap(), keys, "{text}");
    }
    for text in ["{", "}", "a{b", "a}b", "}{", "{a", "a}}}"] {
        assert_eq!(placeholders(text), Err(TemplateError::Unbalanced), "{text}");
    }
    let long = format!("{{{}}}", "k".repeat(65));
    for text in ["{}", "{a b}", "{a/b}", "{é}", "{{{a{b}", long.as_str()] {
        assert_eq!(placeholders(text), Err(TemplateError::BadKey), "{text}");
    }
    assert!(placeholders(&format!("{{{}}}", "k".repeat(64))).is_ok());
}

#[test]
fn values_are_put_in_as_they_are_and_never_expanded_again() {
    let values = values([("a", "{b}"), ("b", "secret"), ("A", "upper")]);
    assert_eq!(render("{{{a}}} {A}", &values).unwrap(), "{{b}} upper");
    assert_eq!(render("{a}{c}", &values), Err(TemplateError::Missing("c".to_owned())));
    assert_eq!(render("{B}", &values), Err(TemplateError::Missing("B".to_owned())), "case matters");
}

#[test]
fn a_url_is_rendered_from_safe_values() {
    let table = [
        ("https://{v}.zendesk.com/oauth/tokens", "acme", "https://acme.zendesk.com/oauth/tokens"),
        ("https://{v}.zendesk.com", "Acme-1", "https://acme-1.zendesk.com/"),
        ("https://{v}.example.com/", "xn--bcher-kva", "https://xn--bcher-kva.example.com/"),
        ("https://api-{v}.example.com:8443/t", "eu", "https://api-eu.example.com:8443/t"),
        ("https://accounts.zoho.{v}/oauth", "eu", "https://accounts.zoho.eu/oauth"),
        ("https://{v}/oauth/token", "login.acme.example", "https://login.acme.example/oauth/token"),
        ("https://{v}:8443/oauth", "intranet", "https://intranet:8443/oauth"),
        ("{v}/oauth/token", "https://x.example/openmrs/", "https://x.example/openmrs/oauth/token"),
        ("{v}/oauth/token", "https://x.example/openmrs///", "https://x.example/openmrs/oauth/token"),
        ("{v}/oauth/token", "https://x.example", "https://x.example/oauth/token"),
        ("{v}/oauth/token", "HTTPS://X.Example:8443/A", "https://x.example:8443/A/oauth/token"),
        ("{v}/t", "http://10.0.0.5:8080/openmrs", "http://10.0.0.5:8080/openmrs/t"),
        ("{v}/t", "https://[::1]:8443", "https://[::1]:8443/t"),
        ("{v}/t", "https://x.example:443/a", "https://x.example/a/t"),
        ("{v}", "https://x.example/", "https://x.example/"),
        ("{v}?q={other}", "https://x.example/a/", "https://x.example/a?q=other"),
        ("{v}/{other}/t", "https://x.example/%7Ea", "https://x.example/%7Ea/other/t"),
        ("https://x.example/{v}/t", "Contoso Ltd+1&a;b", "https://x.example/Contoso%20Ltd%2B1%26a%3Bb/t"),
        ("https://x.example/a{v}.json", "...", "https://x.example/a....json"),
        ("https://x.example/t?q={v}&r=1", "a b&c=d#/?%é", "https://x.example/t?q=a%20b%26c%3Dd%23%2F%3F%25%C3%A9&r=1"),
        ("https://x.example?q={v}", "", "https://x.example/?q="),
        ("https://x.example/t?a=b/c?{v}={v}", "k", "https://x.example/t?a=b/c?k=k"),
        ("https://x.example/a%2Fb?q=%20", "unused", "https://x.example/a%2Fb?q=%20"),
        ("http://127.0.0.1:3000/token", "unused", "http://127.0.0.1:3000/token"),
        ("http://[::1]:3000/token", "unused", "http://[::1]:3000/token"),
        ("https://Login.Example/Token", "unused", "https://login.example/Token"),
    ];
    for (template, value, expected) in table {
        assert_eq!(url(template, value).as_deref(), Ok(expected), "{template}");
        assert_eq!(url_placeholders(template), placeholders(template), "{template}");
    }
}

#[test]
fn a_hostile_value_is_refused_in_a_host() {
    let label_of_64 = "a".repeat(64);
    let more = ["evil.com", "evil.com:443", "a:80", "a.b", label_of_64.as_str()];
    for value in HOSTILE.into_iter().chain(more) {
        assert_unsafe("https://{v}.zendesk.com/x", value);
        assert_unsafe("https://api-{v}.zendesk.com/x", value);
        assert_unsafe("https://{other}.{v}.zendesk.com/x", value);
    }
    assert_unsafe("https://{v}.zendesk.com/x", "xn--a");
    assert!(url("https://{v}.zendesk.com/x", &"a".repeat(63)).is_ok());
    assert_unsafe("https://api-{v}.zendesk.com/x", &"a".repeat(63));
}

#[test]
fn a_hostile_value_is_refused_where_it_is_the_whole_host() {
    let long = format!("{}.com", vec!["a".repeat(60); 5].join("."));
    let more =
        ["evil.com:443", "evil.com.", ".evil.com", "127.0.0.1", "2130706433", "0x7f.1", "a.0x7f", "1.2.3", &long];
    for value in HOSTILE.into_iter().chain(more) {
        assert_unsafe("https://{v}/x", value);
        assert_unsafe("https://{v}:8443/x", value);
    }
}

#[test]
fn a_hostile_value_is_refused_in_a_path() {
    let harmless = ["a@evil", "a:b@evil.com", "-a", "a-", "a..b", "[::1]", "a_b"];
    for value in HOSTILE {
        for template in ["https://x.example/a/{v}", "https://x.example/{v}/a", "{other_base}/{v}"] {
            let base = ("other_base", "https://x.example/base");
            let rendered = render_url(template, &values([("v", value), base]));
            if harmless.contains(&value) {
                let rendered = rendered.unwrap();
                assert_eq!(rendered.host_str(), Some("x.example"), "{value}");
                assert_eq!(rendered.path_segments().unwrap().count(), 2, "{value}");
            } else {
                assert!(matches!(rendered, Err(TemplateError::Unsafe { key, .. }) if key == "v"), "{value:?}");
            }
        }
    }
}

#[test]
fn a_hostile_value_stays_one_value_in_a_query() {
    for value in HOSTILE {
        let template = "https://x.example/t?q={v}&r=1";
        if value.chars().any(char::is_control) {
            assert_unsafe(template, value);
            continue;
        }
        let rendered = render_url(template, &values([("v", value)])).unwrap();
        let pairs: Vec<(String, String)> = rendered.query_pairs().into_owned().collect();
        assert_eq!(pairs, [("q".to_owned(), value.to_owned()), ("r".to_owned(), "1".to_owned())]);
        assert_eq!((rendered.host_str(), rendered.path()), (Some("x.example"), "/t"));
    }
}

#[test]
fn a_hostile_value_is_refused_as_a_base_url() {
    for value in HOSTILE {
        assert_unsafe("{v}/oauth/token", value);
        if !value.chars().all(|c| c.is_ascii_alphanumeric() || "-_/:@.[]".contains(c)) {
            assert_unsafe("{v}/oauth/token", &format!("https://x.example/{value}"));
        }
        if !["evil.com/", "[::1]"].contains(&value) {
            assert_unsafe("{v}/oauth/token", &format!("https://{value}"));
        }
    }
    let more = [
        "x.example",
        "ftp://x.example",
        "javascript:alert(1)",
        "//x.example",
        "https:x.example",
        "https:/x.example",
        "https:///x.example",
        "https:////x.example",
        "https://",
        "https://x.example?",
        "https://x.example/?a=b",
        "https://x.example#",
        "https://u@x.example",
        "https://u:p@x.example",
        "https://@x.example",
        "https://x.example@evil.com",
        "https://x.example\\@evil.com",
        "https://x.example/a/../b",
        "https://x.example/./b",
        "https://x.example/..",
        "https://x.example/%2e%2E/b",
        "https://x.example/a%2Fb",
        "https://x.example/a%5cb",
        "https://x.example/a%",
        "https://x.example/a b",
        "https://x.example.",
        "https://x.example./a",
        "https://ex%61mple.com",
        "https://0x7f.1",
        "https://2130706433",
        "https://127.1",
        "https://x.example:",
        "https://x.example:0443",
        "https://x.example:99999",
        "https://x.example:+1",
        "https://b\u{fc}cher.example",
        " https://x.example",
        "https://x.example ",
    ];
    for value in more {
        assert_unsafe("{v}/oauth/token", value);
    }
}

#[test]
fn a_template_that_is_no_url_is_refused_whatever_the_values_are() {
    let table = [
        "",
        "/path",
        "x.example/{v}",
        "ftp://x.example",
        "https://",
        "https:///x",
        "https://x.example:{v}/",
        "https://{v}:{other}/",
        "https://{v}:99999/",
        "https://{v}@x.example/",
        "https://user@x.example/",
        "https://u:p@x.example/{v}",
        "https://x.example/#{v}",
        "https://x.example/a/../{v}",
        "https://x.example/%2e%2e/b",
        "https://x.example/%2{v}",
        "https://x.example/%{v}",
        "https://x.example/{{v}}",
        "https://x.example\\{v}",
        "https://x example/",
        "https://b\u{fc}cher.example/",
        "https://0x7f.1/",
        "{v}.example.com/",
        "{v}{other}",
        "{v}:8080/",
        "{v}@evil.com",
        "{v}/#x",
        "{v}/../{other}",
        "{v}/{v}",
        "https://{v}..example.com/",
        "https://-{v}.example.com/",
    ];
    for template in table {
        let checked = url_placeholders(template);
        assert!(matches!(checked, Err(TemplateError::NotAUrl(_))), "{template}: {checked:?}");
        assert!(url(template, "a").is_err(), "{template}");
    }
    assert_eq!(url("https://x.example/{w}", "a"), Err(TemplateError::Missing("w".to_owned())));
    assert_eq!(url("https://x.example/{", "a"), Err(TemplateError::Unbalanced));
}

#[test]
fn an_origin_is_bound_by_what_nobody_else_chooses() {
    let suffix = |text: &str| HostBinding::Suffix(text.to_owned());
    let table = [
        ("https://x.example/token", HostBinding::Fixed),
        ("https://x.example/{open}?q={open}", HostBinding::Fixed),
        ("https://{ours}.example.com/{open}", HostBinding::Fixed),
        ("https://{ours}/{open}", HostBinding::Fixed),
        ("{ours}/token/{open}", HostBinding::Fixed),
        ("https://{open}.zendesk.com/token", suffix("zendesk.com")),
        ("https://{open}.Zendesk.com:8443/token", suffix("zendesk.com")),
        ("https://{open}.{ours}.zendesk.com/", suffix("zendesk.com")),
        ("https://api-{open}-x.eu.zendesk.com", suffix("eu.zendesk.com")),
        ("https://{open}.com/", HostBinding::Open),
        ("https://{open}/", HostBinding::Open),
        ("https://{open}:443/", HostBinding::Open),
        ("https://{open}example.com/", HostBinding::Open),
        ("https://x.{open}/", HostBinding::Open),
        ("https://x.{open}.com/", HostBinding::Open),
        ("https://{open}.example.{ours}/", HostBinding::Open),
        ("{open}/token", HostBinding::Open),
        ("{open}", HostBinding::Open),
        ("not a url", HostBinding::Open),
        ("https://x.example/{", HostBinding::Open),
    ];
    for (template, expected) in table {
        assert_eq!(host_binding(template, &|key| key == "open"), expected, "{template}");
    }
}

#[test]
fn the_trailing_slashes_of_a_url_value_are_left_off() {
    let table = [
        ("https://x.example/", "https://x.example"),
        ("https://x.example/openmrs//", "https://x.example/openmrs"),
        ("https://x.example/openmrs", "https://x.example/openmrs"),
        ("https://x.example/?back=/", "https://x.example/?back=/"),
        ("", ""),
    ];
    for (value, expected) in table {
        assert_eq!(normalise_url_value(value), expected);
    }
}

#[test]
fn no_error_quotes_a_value() {
    for template in
        ["https://{v}.example.com", "https://{v}", "{v}/x", "https://x.example/{v}", "https://x.example?{v}"]
    {
        let error = url(template, "pl4nted\n/secret").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("pl4nted"), "{error}");
    }
}

/// Anything, and what is made of the characters that matter.
fn any_value() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[a-zA-Z0-9./\\\\@:#?%&=\\[\\]\r\n\t \u{3002}\u{FF0E}-]{0,12}", "[a-z0-9-]{1,8}"]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn whatever_the_values_a_url_keeps_its_template_s_shape(s in any_value(), p in any_value(), v in any_value()) {
        let values = values([("s", s.as_str()), ("p", p.as_str()), ("v", v.as_str())]);
        if let Ok(url) = render_url("https://{s}.zendesk.com/x/{p}?q={v}", &values) {
            prop_assert!(url.host_str().unwrap().ends_with(".zendesk.com"));
            prop_assert_eq!(url.host_str().unwrap().split('.').count(), 3);
            prop_assert_eq!(url.scheme(), "https");
            prop_assert!(url.username().is_empty() && url.password().is_none());
            prop_assert!(url.port().is_none() && url.fragment().is_none());
            let segments: Vec<&str> = url.path_segments().unwrap().collect();
            prop_assert_eq!(segments.len(), 2);
            prop_assert_eq!(segments[0], "x");
            let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
            prop_assert_eq!(pairs, vec![("q".to_owned(), v)]);
        }
    }

    #[test]
    fn whatever_the_base_a_url_stays_below_it(base in any_value(), prefix in "(https?://)?[a-z.]{0,8}") {
        let base = format!("{prefix}{base}");
        if let Ok(url) = render_url("{v}/oauth/token", &values([("v", base.as_str())])) {
            let (_, written) = base.split_once("://").unwrap();
            let authority = written.split('/').next().unwrap().to_ascii_lowercase();
            let port = url.port_or_known_default().unwrap();
            let host = url.host_str().unwrap();
            let with_port = format!("{host}:{port}");
            prop_assert!(authority == host || authority == with_port);
            prop_assert!(url.path().ends_with("/oauth/token"));
            prop_assert!(url.username().is_empty() && url.query().is_none() && url.fragment().is_none());
        }
    }

    #[test]
    fn templates_never_panic(template in any::<String>(), mixed in "(https://)?[a-z{}/:?.%@#-]{0,24}", v in any_value()) {
        for template in [&template, &mixed] {
            let values = values([("v", v.as_str()), ("a", v.as_str())]);
            let _ = (placeholders(template), render(template, &values), render_url(template, &values));
            let _ = host_binding(template, &|key| key == "a");
        }
    }
}

#[test]
fn nothing_is_left_of_a_line_whose_value_is_not_known() {
    let find = |key: &str| (key == "a").then(|| "1".to_owned());
    assert_eq!(render_line("x {a?} {{y}}", &find), Ok(Some("x 1 {y}".to_owned())));
    assert_eq!(render_line("{a}{b?}", &find), Ok(None));
    assert_eq!(render_line("{a", &find), Err(TemplateError::Unbalanced));
    assert_eq!(line_placeholders("{a?} {b}"), Ok(vec!["a", "b"]));
    assert_eq!(placeholders("{a?}"), Err(TemplateError::BadKey), "a URL has no part that can be missing");
}
