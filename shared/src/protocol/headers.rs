//! Headers that are nobody's to set.

/// Those of the connection (RFC 9110 §7.6.1) and of its framing: set by somebody else, they could make the other side see
/// another request than the one that was checked.
pub(crate) const OF_THE_CONNECTION: [&str; 11] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Whether a client's configuration may name this header, given in lower case: none of the connection, and no session of
/// somebody else's.
pub(crate) fn is_settable(name: &str) -> bool {
    name != "cookie" && !OF_THE_CONNECTION.contains(&name)
}
