//! The harness that the tests share: a whole stack on free ports, a backend that calls it, and a browser.

#![expect(clippy::expect_used, reason = "a harness that cannot go on ends its test")]

pub mod ahead;
pub mod backend;
pub mod browser;
pub mod capacity;
pub mod child;
pub mod internet;
pub mod oidc_provider;
pub mod part;
pub mod parts;
pub mod password_server;
pub mod port;
pub mod proxy;
pub mod world;

pub use ahead::Ahead;
pub use backend::{Answer, Backend};
pub use browser::{Browser, Page, parameters};
pub use internet::Internet;
pub use parts::{Parts, Worker};
pub use proxy::{Proxy, Reply};
pub use world::World;
