use super::*;

fn refusal(url: &str) -> UrlRefusal {
    OutboundPolicy::strict().check_url(url).expect_err(url)
}

#[test]
fn ordinary_https_urls_pass() {
    for url in [
        "https://example.com",
        "https://example.com:443/token",
        "https://example.com./token?tenant=a%40b",
        "https://8.8.8.8/token",
        "https://[2606:4700::1111]/token",
        "HTTPS://EXAMPLE.com/a@b",
    ] {
        assert!(OutboundPolicy::strict().check_url(url).is_ok(), "{url}");
    }
}

#[test]
fn every_way_to_write_a_private_address_is_refused() {
    for host in [
        "2130706433",
        "0x7f.1",
        "0x7f000001",
        "0177.0.0.1",
        "017700000001",
        "127.1",
        "127.0.0.1.",
        "127.0.0.1",
        "１２７.0.0.1",
        "127。0。0。1",
        "%31%32%37.0.0.1",
        "0",
        "10.1",
        "[::1]",
        "[::]",
        "[::ffff:169.254.169.254]",
        "[::ffff:7f00:1]",
        "[64:ff9b::10.0.0.1]",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "localhost",
        "localhost.",
        "LocalHost",
        "a.localhost",
        "metadata.google.internal",
        "intranet",
        "ｌocalhost",
    ] {
        assert_eq!(refusal(&format!("https://{host}/token")), UrlRefusal::AddressNotAllowed, "{host}");
    }
}

#[test]
fn each_rule_has_its_own_refusal() {
    let long = format!("https://example.com/{}", "a".repeat(MAX_URL));
    for (url, expected) in [
        ("", UrlRefusal::NotAUrl),
        ("/token", UrlRefusal::NotAUrl),
        ("example.com/token", UrlRefusal::NotAUrl),
        ("https://[fe80::1%25eth0]/", UrlRefusal::NotAUrl),
        ("https://256.256.256.256/", UrlRefusal::NotAUrl),
        ("https://example.com:99999/", UrlRefusal::NotAUrl),
        ("https://", UrlRefusal::HostMissing),
        ("http://example.com/", UrlRefusal::NotHttps),
        ("javascript:alert(1)", UrlRefusal::NotHttps),
        ("file:///etc/passwd", UrlRefusal::NotHttps),
        ("data:text/html,x", UrlRefusal::NotHttps),
        ("ftp://example.com/", UrlRefusal::NotHttps),
        ("https://user@example.com/", UrlRefusal::HasUserinfo),
        ("https://user:pw@example.com/", UrlRefusal::HasUserinfo),
        ("https://:pw@example.com/", UrlRefusal::HasUserinfo),
        ("https://@example.com/", UrlRefusal::HasUserinfo),
        ("https:@example.com/", UrlRefusal::HasUserinfo),
        ("https://example.com/#x", UrlRefusal::HasFragment),
        ("https://example.com/#", UrlRefusal::HasFragment),
        ("https://example.com:80/", UrlRefusal::PortNotAllowed(80)),
        ("https://example.com:9001/", UrlRefusal::PortNotAllowed(9001)),
        ("https://example.com:0/", UrlRefusal::PortNotAllowed(0)),
        (" https://example.com/", UrlRefusal::ControlCharacter),
        ("https://exam\nple.com/", UrlRefusal::ControlCharacter),
        ("https://example.com/\0", UrlRefusal::ControlCharacter),
        ("https://example.com/\u{85}", UrlRefusal::ControlCharacter),
        ("https://example.com\\@evil.com/", UrlRefusal::ControlCharacter),
        (long.as_str(), UrlRefusal::TooLong),
    ] {
        assert_eq!(refusal(url), expected, "{url:?}");
    }
}

#[test]
fn an_exempt_origin_may_use_http_any_port_and_loopback_and_its_neighbours_may_not() {
    let policy = OutboundPolicy::allowing(&["http://127.0.0.1:8090".to_owned()]).expect("an origin");
    assert!(policy.check_url("http://127.0.0.1:8090/token").is_ok());
    for url in [
        "http://127.0.0.1:8091/token",
        "https://127.0.0.1:8090/token",
        "http://127.0.0.2:8090/",
        "http://localhost:8090/",
    ] {
        assert!(policy.check_url(url).is_err(), "{url}");
    }
    assert_eq!(policy.check_url("http://a@127.0.0.1:8090/"), Err(UrlRefusal::HasUserinfo));
    assert_eq!(policy.check_url("http://127.0.0.1:8090/#"), Err(UrlRefusal::HasFragment));
}

#[test]
fn only_bare_origins_can_be_exempt() {
    for origin in ["127.0.0.1:8090", "http://127.0.0.1:8090/path", "http://h/?q", "ftp://h", "http://u@h", "*", "null"]
    {
        assert!(OutboundPolicy::allowing(&[origin.to_owned()]).is_err(), "{origin}");
    }
}
