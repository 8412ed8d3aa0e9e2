use super::*;

fn listed(list: &str) -> Result<PrivateOrigins, WayOutError> {
    PrivateOrigins::parse(list, &OwnHosts::default())
}

fn proxy(url: &str) -> Result<ForwardProxy, WayOutError> {
    ForwardProxy::parse(&url.into())
}

fn bundle(content: &str) -> Result<CaBundle, WayOutError> {
    let file = std::env::temp_dir().join(format!("grantkeeper-bundle-{}.pem", uuid::Uuid::new_v4()));
    std::fs::write(&file, content).expect("a file");
    let bundle = CaBundle::read(&file);
    std::fs::remove_file(&file).expect("the file");
    bundle
}

fn certificate() -> String {
    let key = rcgen::KeyPair::generate().expect("a key");
    let params = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
    params.self_signed(&key).expect("a certificate").pem()
}

#[test]
fn a_private_origin_is_an_https_origin_with_any_port() {
    let list = "https://dhis2.intra.example  https://10.1.2.3:8443\nhttps://intranet https://[fd12:3456::1]:444 \
                https://DHIS2.local. https://172.16.0.1 https://192.168.255.255 https://100.64.0.1 https://8.8.8.8:8443";
    assert_eq!(listed(list).map(|origins| origins.0.len()), Ok(9));
    assert_eq!(listed("  ").map(|origins| origins.is_empty()), Ok(true));
}

#[test]
fn anything_that_is_no_https_origin_is_refused_by_its_place_in_the_list() {
    for wrong in [
        "http://10.1.2.3",
        "10.1.2.3",
        "dhis2.intra.example",
        "https://dhis2.intra.example/path",
        "https://dhis2.intra.example?q",
        "https://dhis2.intra.example#f",
        "https://user:CANARY@dhis2.intra.example",
        "https://*",
        "https://*.intra.example",
        "https://a.intra.example,b.intra.example",
        "https://",
        "https://dhis2.intra.example,https://other.intra.example",
    ] {
        let refusal = listed(&format!("https://a.intra.example {wrong}")).map(drop);
        assert_eq!(refusal, Err(WayOutError::NotAnHttpsOrigin(2)), "{wrong}");
    }
}

#[test]
fn this_machine_its_segment_and_metadata_services_cannot_be_listed() {
    for host in [
        "127.0.0.1:9001",
        "127.8.8.8",
        "2130706433",
        "0x7f.1",
        "0.0.0.0",
        "[::]",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
        "169.254.169.254",
        "169.254.170.2",
        "169.254.100.1",
        "[::ffff:169.254.170.23]",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "[fd00:ec2::23]",
        "[fd20:ce::254]",
        "100.100.100.200",
        "224.0.0.1",
        "[ff02::1]",
        "255.255.255.255",
        "localhost",
        "LocalHost.",
        "a.localhost:8443",
        "localhost.localdomain",
        "metadata.google.internal",
        "instance-data.ec2.internal",
    ] {
        let refusal = listed(&format!("https://{host}")).map(drop);
        assert_eq!(refusal, Err(WayOutError::NeverReached(1)), "{host}");
    }
}

#[test]
fn a_host_that_the_platform_names_cannot_be_listed_either() {
    let own = OwnHosts::new(
        ["10.9.9.9:9001", "http://[fd12::9]/v1/credentials", "http://Agent.intra.example/", "", "::::"]
            .map(str::to_owned),
    );
    for host in ["10.9.9.9", "10.9.9.9:8443", "[fd12::9]", "[::ffff:10.9.9.9]", "agent.intra.example.:444"] {
        let refusal = PrivateOrigins::parse(&format!("https://{host}"), &own).map(drop);
        assert_eq!(refusal, Err(WayOutError::NeverReached(1)), "{host}");
    }
    for host in ["10.9.9.8", "b.agent.intra.example"] {
        assert!(PrivateOrigins::parse(&format!("https://{host}"), &own).is_ok(), "{host}");
    }
}

#[test]
fn a_proxy_is_an_http_or_https_url_without_a_path() {
    for good in [
        "http://proxy.example:3128",
        "http://10.0.0.1:3128/",
        "https://proxy.example",
        "http://user@proxy.example",
        "http://user:p%40ss%3A%2F@[fd00::1]:8080",
        r#"http://us er:<{"}|>^`@proxy.example:1"#,
    ] {
        assert!(proxy(good).is_ok(), "{good}");
    }
    for bad in [
        "proxy.example:3128",
        "socks5://proxy.example",
        "http://",
        "http://proxy.example/path",
        "http://proxy.example/?q",
        "http://proxy.example/#f",
        "http://a@b@c@/",
        "",
    ] {
        assert_eq!(proxy(bad).map(drop), Err(WayOutError::NotAProxy), "{bad}");
    }
}

/// A proxy that reqwest cannot read would be no proxy at all.
#[test]
fn whatever_is_accepted_as_a_proxy_becomes_one() {
    for url in ["http://proxy.example:3128", r#"http://us er:<{"}|>^`'@proxy.example:1"#, "https://ä:ö@[fd00::1]"] {
        let proxy = proxy(url).and_then(|proxy| proxy.build().map_err(|_| WayOutError::NotAProxy)).expect(url);
        let client = reqwest::Client::builder().no_proxy().proxy(proxy).build().expect("a client");
        let printed = format!("{client:?}");
        assert!(printed.contains("proxy.example") || printed.contains("fd00::1"), "{printed}");
    }
}

#[test]
fn a_bundle_is_a_file_with_at_least_one_certificate() {
    let (one, two) = (certificate(), certificate());
    assert_eq!(bundle(&format!("# our CA\n{one}\n{two}")).map(|bundle| bundle.0.len()), Ok(2));
    let key = rcgen::KeyPair::generate().expect("a key").serialize_pem();
    assert_eq!(bundle(&format!("{key}{one}")).map(|bundle| bundle.0.len()), Ok(1));
    for (content, refusal) in [
        (String::new(), WayOutError::BundleEmpty),
        ("no PEM".to_owned(), WayOutError::BundleEmpty),
        (key, WayOutError::BundleEmpty),
        (one.replace("-----END CERTIFICATE-----", ""), WayOutError::BundleInvalid),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned(), WayOutError::BundleInvalid),
        (format!("{two}-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n"), WayOutError::BundleInvalid),
    ] {
        assert_eq!(bundle(&content).map(drop), Err(refusal), "{content}");
    }
    let missing = CaBundle::read(Path::new("/nonexistent/ca.pem")).map(drop);
    assert_eq!(missing, Err(WayOutError::BundleUnreadable));
    assert_eq!(CaBundle::read(&std::env::temp_dir()).map(drop), Err(WayOutError::BundleUnreadable));
}
