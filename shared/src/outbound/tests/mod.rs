//! The client against hostile servers and name servers.

mod private;
mod proxy;
mod resolution;
pub(in crate::outbound) mod server;
mod tls;
mod tls_server;
mod transport;
