#![doc = include_str!("../README.md")]

pub mod broker;
mod cache;
pub mod catalogue;
pub mod clock;
pub mod config;
pub mod doctor;
pub mod error;
pub mod inbound;
pub mod lambda;
pub mod model;
pub mod outbound;
pub mod protocol;
pub mod refresh;
pub mod secret;
pub mod store;
pub mod telemetry;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod vault;
