//! Which addresses and names belong to the public internet, and which the operator may list besides: pure rules, no I/O.
//!
//! The tables follow the IANA special-purpose registries (RFC 6890, RFC 8190). For IPv6 the rule is turned round: only
//! global unicast (`2000::/3`) is public, minus exceptions, so that a range nobody thought of is refused.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// IPv4 ranges that are never a provider: network and prefix length.
const NOT_PUBLIC_V4: &[(Ipv4Addr, u32)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8),       // this network
    (Ipv4Addr::new(10, 0, 0, 0), 8),      // private
    (Ipv4Addr::new(100, 64, 0, 0), 10),   // carrier-grade NAT
    (Ipv4Addr::new(127, 0, 0, 0), 8),     // loopback: here is the Lambda runtime API
    (Ipv4Addr::new(169, 254, 0, 0), 16),  // link-local: instance metadata, container credentials, X-Ray
    (Ipv4Addr::new(172, 16, 0, 0), 12),   // private
    (Ipv4Addr::new(192, 0, 0, 0), 24),    // protocol assignments
    (Ipv4Addr::new(192, 0, 2, 0), 24),    // documentation
    (Ipv4Addr::new(192, 88, 99, 0), 24),  // 6to4 relays
    (Ipv4Addr::new(192, 168, 0, 0), 16),  // private
    (Ipv4Addr::new(198, 18, 0, 0), 15),   // benchmarks
    (Ipv4Addr::new(198, 51, 100, 0), 24), // documentation
    (Ipv4Addr::new(203, 0, 113, 0), 24),  // documentation
    (Ipv4Addr::new(224, 0, 0, 0), 4),     // multicast
    (Ipv4Addr::new(240, 0, 0, 0), 4),     // reserved, and 255.255.255.255
];

/// Global unicast: the only part of IPv6 that can be public.
const GLOBAL_UNICAST: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// The exceptions inside global unicast: network and prefix length.
///
/// 6to4 and Teredo carry an IPv4 address; both are retired, no provider is reached through them, so they are refused
/// whatever they carry.
const NOT_PUBLIC_V6: &[(Ipv6Addr, u32)] = &[
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23), // protocol assignments: Teredo 2001::/32, benchmarks, ORCHID
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32), // documentation
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16), // 6to4
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20), // documentation (RFC 9637)
];

/// The prefixes under which a real IPv4 host may be meant; the last 32 bits are that host and are judged as IPv4.
const CARRIES_V4: &[(Ipv6Addr, u32)] = &[
    (Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96), // IPv4-mapped (RFC 4291 §2.5.5.2)
    (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96), // NAT64 (RFC 6052 §2.1)
];

/// Private IPv4 networks that an operator may list: network and prefix length.
const LISTABLE_V4: &[(Ipv4Addr, u32)] = &[
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10), // also used inside a VPC
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
];

/// Metadata services of clouds inside those networks.
const METADATA_V4: &[Ipv4Addr] = &[Ipv4Addr::new(100, 100, 100, 200)];

/// Unique local addresses (RFC 4193): the only private IPv6 network that an operator may list.
const LISTABLE_V6: (Ipv6Addr, u32) = (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7);

/// Metadata and credential services of clouds inside it: network and prefix length.
const METADATA_V6: &[(Ipv6Addr, u32)] = &[
    (Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0), 32),     // AWS
    (Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254), 128), // Google
];

/// Names that mean this machine or the metadata service of a cloud, with all names under them: never listed, for with a
/// proxy nobody here sees what they resolve to.
const NEVER_LISTED: &[&str] = &[
    "localhost",
    "localhost.localdomain",
    "ip6-localhost",
    "ip6-loopback",
    "metadata",
    "metadata.google.internal",
    "metadata.goog",
    "instance-data",
    "instance-data.ec2.internal",
];

/// Names that mean this machine or this network, whatever a resolver says about them (RFC 6761, RFC 6762, RFC 8375).
const PRIVATE_SUFFIXES: &[&str] = &["localhost", "localdomain", "local", "internal", "home.arpa"];

/// Whether an address belongs to the public internet, so that a provider may live there.
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

/// Whether a name can only mean this machine or this network: one label, or under a suffix reserved for private use.
/// Case and one trailing dot do not matter.
pub fn is_private_name(name: &str) -> bool {
    let name = bare(name);
    !name.contains('.') || is_under(&name, PRIVATE_SUFFIXES)
}

/// Whether an origin that the operator listed may live at this address: a public one or one of a private network, but
/// never this machine, its network segment or the metadata service of a cloud.
pub(super) fn is_listable(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => is_listable_v4(v4),
        IpAddr::V6(v6) => match carried_v4(v6) {
            Some(v4) => is_listable_v4(v4),
            None => {
                let is_local = contains_v6(&LISTABLE_V6, v6) && !METADATA_V6.iter().any(|range| contains_v6(range, v6));
                is_local || is_public_v6(v6)
            }
        },
    }
}

/// Whether the operator may list an origin with this name. Case and one trailing dot do not matter.
pub(super) fn is_listable_name(name: &str) -> bool {
    !is_under(&bare(name), NEVER_LISTED)
}

fn bare(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

fn is_under(name: &str, suffixes: &[&str]) -> bool {
    suffixes.iter().any(|suffix| name.strip_suffix(suffix).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    !NOT_PUBLIC_V4.iter().any(|range| contains_v4(range, ip))
}

fn is_listable_v4(ip: Ipv4Addr) -> bool {
    let is_private = LISTABLE_V4.iter().any(|range| contains_v4(range, ip)) && !METADATA_V4.contains(&ip);
    is_private || is_public_v4(ip)
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    match carried_v4(ip) {
        Some(v4) => is_public_v4(v4),
        None => contains_v6(&GLOBAL_UNICAST, ip) && !NOT_PUBLIC_V6.iter().any(|range| contains_v6(range, ip)),
    }
}

fn carried_v4(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let [.., a, b, c, d] = ip.octets();
    CARRIES_V4.iter().any(|range| contains_v6(range, ip)).then(|| Ipv4Addr::new(a, b, c, d))
}

fn contains_v4((network, prefix): &(Ipv4Addr, u32), ip: Ipv4Addr) -> bool {
    (u32::from(ip) ^ u32::from(*network)) >> (32 - prefix) == 0
}

fn contains_v6((network, prefix): &(Ipv6Addr, u32), ip: Ipv6Addr) -> bool {
    (u128::from(ip) ^ u128::from(*network)) >> (128 - prefix) == 0
}

#[cfg(test)]
mod tests;
