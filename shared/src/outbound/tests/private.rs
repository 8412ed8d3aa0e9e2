//! The private origins that the operator listed.

use super::tls_server::{Ca, Everywhere, outbound, start, unchecked, way_out};
use crate::outbound::{Limits, Outbound, OutboundError, OutboundRequest, OwnHosts, UrlRefusal, WayOut};

const NAME: &str = "dhis2.intra.example";
const REFUSED: OutboundError = OutboundError::Refused(UrlRefusal::AddressNotAllowed);

async fn get(outbound: &Outbound, url: &str) -> Result<u16, OutboundError> {
    outbound.send(OutboundRequest::get(url, Limits::TOKEN)).await.map(|answer| answer.status.as_u16())
}

#[tokio::test]
async fn a_listed_origin_is_reached_at_its_private_address_and_an_unlisted_one_is_not() {
    let ca = Ca::new();
    let (port, record) = start(ca.server(NAME));
    let url = format!("https://{NAME}:{port}/token");
    for ip in ["10.1.2.3", "172.31.0.1", "192.168.1.1", "100.64.1.1", "fd12:3456::1", "93.184.215.14"] {
        let client = outbound(&way_out(&format!("https://{NAME}:{port}"), ca.bundle()), &Everywhere::at(ip));
        assert_eq!(get(&client, &url).await, Ok(200), "{ip}");
    }
    assert_eq!(record.lock().expect("the record").len(), 6);

    let unlisted = outbound(&way_out("", ca.bundle()), &Everywhere::at("10.1.2.3"));
    assert_eq!(get(&unlisted, &url).await, Err(OutboundError::Refused(UrlRefusal::PortNotAllowed(port))));
    assert_eq!(unchecked(&unlisted, &url).await, Err(REFUSED));
    assert_eq!(record.lock().expect("the record").len(), 6);
}

#[tokio::test]
async fn a_listed_name_that_resolves_to_this_machine_or_its_segment_is_refused() {
    let ca = Ca::new();
    let (port, record) = start(ca.server(NAME));
    let origin = format!("https://{NAME}:{port}");
    for ip in [
        "127.0.0.1",
        "127.0.0.53",
        "::1",
        "::ffff:127.0.0.1",
        "0.0.0.0",
        "::",
        "169.254.169.254",
        "169.254.170.2",
        "169.254.170.23",
        "169.254.100.1",
        "::ffff:169.254.169.254",
        "fe80::1",
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd20:ce::254",
        "100.100.100.200",
        "224.0.0.1",
        "ff02::1",
        "255.255.255.255",
    ] {
        let client = outbound(&way_out(&origin, ca.bundle()), &Everywhere::at(ip));
        assert_eq!(get(&client, &origin).await, Err(REFUSED), "{ip}");
    }
    assert_eq!(record.lock().expect("the record").len(), 0);
}

#[tokio::test]
async fn a_listing_loosens_nothing_beside_it() {
    let ca = Ca::new();
    let (port, record) = start(ca.server(NAME));
    let client = outbound(&way_out(&format!("https://{NAME}:{port}"), ca.bundle()), &Everywhere::at("10.1.2.3"));
    for (url, refusal) in [
        (format!("http://{NAME}:{port}/"), UrlRefusal::NotHttps),
        (format!("https://other.intra.example:{port}/"), UrlRefusal::PortNotAllowed(port)),
        (format!("https://a.{NAME}:{port}/"), UrlRefusal::PortNotAllowed(port)),
        (format!("https://{NAME}.:{port}/"), UrlRefusal::PortNotAllowed(port)),
        (format!("https://{NAME}:444/"), UrlRefusal::PortNotAllowed(444)),
        // The same name elsewhere is judged like any other: it resolves to a private address.
        (format!("https://{NAME}/"), UrlRefusal::AddressNotAllowed),
        ("https://10.1.2.3/".to_owned(), UrlRefusal::AddressNotAllowed),
        (format!("https://user@{NAME}:{port}/"), UrlRefusal::HasUserinfo),
    ] {
        assert_eq!(get(&client, &url).await, Err(OutboundError::Refused(refusal)), "{url}");
    }
    // Nor underneath, where no URL is checked.
    assert_eq!(unchecked(&client, &format!("https://other.intra.example:{port}/")).await, Err(REFUSED));
    assert_eq!(record.lock().expect("the record").len(), 0);
}

#[tokio::test]
async fn the_hosts_of_the_platform_are_reached_neither_by_address_nor_by_name() {
    let ca = Ca::new();
    let (port, record) = start(ca.server(NAME));
    let own = |hosts: [&str; 2]| OwnHosts::new(hosts.map(str::to_owned));
    let origin = format!("https://{NAME}:{port}");
    let with = |own_hosts| WayOut { own_hosts, ..way_out(&origin, ca.bundle()) };

    // A listed name and a public one that turn out to lead there.
    let client = outbound(&with(own(["10.1.2.3:9001", "http://93.184.215.14/v1"])), &Everywhere::at("10.1.2.3"));
    assert_eq!(get(&client, &origin).await, Err(REFUSED));
    let client = outbound(&with(own(["10.1.2.3:9001", "http://93.184.215.14/v1"])), &Everywhere::at("93.184.215.14"));
    assert_eq!(get(&client, "https://rebind.example/").await, Err(REFUSED));
    assert_eq!(get(&client, "https://93.184.215.14/").await, Err(REFUSED));

    // A name of the platform.
    let lookup = Everywhere::at("93.184.215.14");
    let client = outbound(&with(own(["agent.example:9001", ""])), &lookup);
    assert_eq!(get(&client, "https://Agent.example./").await, Err(REFUSED));
    assert_eq!(client.policy().check_url("https://agent.example/"), Err(UrlRefusal::AddressNotAllowed));
    assert_eq!(lookup.1.lock().expect("the record").len(), 0, "not even resolved");
    assert_eq!(record.lock().expect("the record").len(), 0);
}

#[tokio::test]
async fn registration_and_sending_agree_on_a_listed_origin() {
    let way_out = way_out("https://dhis2.intra.example https://10.1.2.3:8443", Ca::new().bundle());
    let policy = outbound(&way_out, &Everywhere::at("10.1.2.3")).policy().clone();
    for good in
        ["https://dhis2.intra.example/uaa/oauth/token", "https://DHIS2.intra.example:443/", "https://10.1.2.3:8443/"]
    {
        assert!(policy.check_url(good).is_ok(), "{good}");
    }
    for bad in
        ["https://10.1.2.3/", "https://10.1.2.4:8443/", "https://dhis2.intra.example:8443/", "https://10.1.2.3:8443/#f"]
    {
        assert!(policy.check_url(bad).is_err(), "{bad}");
    }
}
