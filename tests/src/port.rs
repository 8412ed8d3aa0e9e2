//! A port for a server that has to know its address before it starts.

use std::hash::{BuildHasher as _, RandomState};
use std::net::{Ipv4Addr, TcpListener};

use anyhow::Context as _;

/// A port of 12000..20000 on which nobody listens: below the range from which the system picks ports for outgoing
/// connections, which could take it before the server does.
///
/// # Errors
/// Fifty random ports were all taken.
pub fn free() -> anyhow::Result<u16> {
    let random = |attempt: u8| 12_000 + u16::try_from(RandomState::new().hash_one(attempt) % 8_000).unwrap_or_default();
    let mut ports = (0..50).map(random);
    ports.find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()).context("no free port")
}
