use super::*;

fn public(ip: &str) -> bool {
    is_public(ip.parse().expect("an address"))
}

/// first, last, the address before (or ""), the address after (or ""); neighbours are public unless empty.
const V4_EDGES: &[[&str; 4]] = &[
    ["0.0.0.0", "0.255.255.255", "", "1.0.0.0"],
    ["10.0.0.0", "10.255.255.255", "9.255.255.255", "11.0.0.0"],
    ["100.64.0.0", "100.127.255.255", "100.63.255.255", "100.128.0.0"],
    ["127.0.0.0", "127.255.255.255", "126.255.255.255", "128.0.0.0"],
    ["169.254.0.0", "169.254.255.255", "169.253.255.255", "169.255.0.0"],
    ["172.16.0.0", "172.31.255.255", "172.15.255.255", "172.32.0.0"],
    ["192.0.0.0", "192.0.0.255", "191.255.255.255", "192.0.1.0"],
    ["192.0.2.0", "192.0.2.255", "192.0.1.255", "192.0.3.0"],
    ["192.88.99.0", "192.88.99.255", "192.88.98.255", "192.88.100.0"],
    ["192.168.0.0", "192.168.255.255", "192.167.255.255", "192.169.0.0"],
    ["198.18.0.0", "198.19.255.255", "198.17.255.255", "198.20.0.0"],
    ["198.51.100.0", "198.51.100.255", "198.51.99.255", "198.51.101.0"],
    ["203.0.113.0", "203.0.113.255", "203.0.112.255", "203.0.114.0"],
    ["224.0.0.0", "239.255.255.255", "223.255.255.255", ""],
    ["240.0.0.0", "255.255.255.255", "", ""],
];

const V6_EDGES: &[[&str; 4]] = &[
    ["2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:200::"],
    ["2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::"],
    ["2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2003::"],
    ["3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff:1000::"],
];

#[test]
fn every_refused_range_is_refused_up_to_its_edges_and_no_further() {
    for [first, last, before, after] in V4_EDGES.iter().chain(V6_EDGES) {
        assert!(!public(first), "{first}");
        assert!(!public(last), "{last}");
        for neighbour in [before, after].into_iter().filter(|ip| !ip.is_empty()) {
            assert!(public(neighbour), "{neighbour}");
        }
    }
}

#[test]
fn only_global_unicast_is_public_in_ipv6() {
    assert!(public("2000::"));
    assert!(public("3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"));
    assert!(!public("1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"));
    assert!(!public("4000::"));
    for ip in [
        "::",
        "::1",
        "::8.8.8.8",
        "100::",
        "100::1",
        "5f00::1",
        "fc00::",
        "fd00:ec2::254",
        "fdff::1",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "feff::1",
        "ff00::",
        "ff02::1",
        "64:ff9b:1::8.8.8.8",
        "2001::1",
        "2001:2::1",
        "2001:20::1",
        "2002:808:808::",
        "2001:db8::1",
    ] {
        assert!(!public(ip), "{ip}");
    }
}

#[test]
fn an_ipv4_address_inside_an_ipv6_address_is_judged_as_ipv4() {
    for [first, last, before, after] in V4_EDGES {
        for prefix in ["::ffff:", "64:ff9b::"] {
            for refused in [first, last] {
                assert!(!public(&format!("{prefix}{refused}")), "{prefix}{refused}");
            }
            for neighbour in [before, after].into_iter().filter(|ip| !ip.is_empty()) {
                assert!(public(&format!("{prefix}{neighbour}")), "{prefix}{neighbour}");
            }
        }
    }
}

#[test]
fn the_addresses_of_the_platform_itself_are_refused() {
    for ip in [
        "169.254.169.254",
        "169.254.170.2",
        "169.254.170.23",
        "169.254.100.1",
        "127.0.0.1",
        "::ffff:169.254.169.254",
        "fd00:ec2::254",
        "fd00:ec2::23",
    ] {
        assert!(!public(ip), "{ip}");
    }
}

#[test]
fn names_of_this_machine_and_this_network_are_private() {
    for name in [
        "localhost",
        "localhost.",
        "LOCALHOST",
        "a.localhost",
        "localhost.localdomain",
        "printer.local",
        "intranet",
        "metadata.google.internal",
        "ip-10-0-0-1.ec2.internal.",
        "router.home.arpa",
        "local",
        "",
    ] {
        assert!(is_private_name(name), "{name}");
    }
    for name in
        ["example.com", "example.com.", "localhost.example.com", "notlocalhost.com", "mylocal.io", "a.b-internal.com"]
    {
        assert!(!is_private_name(name), "{name}");
    }
}

#[test]
fn private_networks_can_be_listed_up_to_their_edges_and_no_further() {
    let listable = |ip: &str| is_listable(ip.parse().expect(ip));
    for ip in [
        "10.0.0.0",
        "10.255.255.255",
        "100.64.0.0",
        "100.127.255.255",
        "172.16.0.0",
        "172.31.255.255",
        "192.168.0.0",
        "192.168.255.255",
        "::ffff:10.0.0.1",
        "64:ff9b::10.0.0.1",
        "fc00::",
        "fd12:3456::1",
        "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "8.8.8.8",
        "2606:4700::1111",
    ] {
        assert!(listable(ip), "{ip}");
    }
    for ip in [
        "0.0.0.0",
        "127.0.0.1",
        "127.255.255.255",
        "169.254.0.0",
        "169.254.255.255",
        "100.100.100.200",
        "192.0.0.192",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.0",
        "255.255.255.255",
        "::",
        "::1",
        "::10.0.0.1",
        "::ffff:127.0.0.1",
        "64:ff9b::169.254.169.254",
        "64:ff9b:1::1",
        "fe00::",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "fd00:ec2::",
        "fd00:ec2:ffff:ffff:ffff:ffff:ffff:ffff",
        "fd20:ce::254",
        "2002:a00:1::",
    ] {
        assert!(!listable(ip), "{ip}");
    }
}
