//! The client against hostile servers and name servers.

mod resolution;
pub(in crate::outbound) mod server;
mod tls;
mod transport;
