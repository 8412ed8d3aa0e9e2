#![doc = include_str!("../README.md")]

//broker
pub mod clock;
pub mod config;
pub mod error;
//inbound
//lambda
pub mod model;
pub mod outbound;
pub mod protocol;
//refresh
pub mod secret;
pub mod store;
pub mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
pub mod vault;
