//! The way in: request parsing, caller identity, the one mapping of errors to problem+json, response headers.

pub mod body;
pub mod cached;
pub mod caller;
pub mod connect_form;
pub mod html;
pub mod idempotency;
pub mod openapi;
pub mod problem;
pub mod query;
pub mod routes;
pub mod value_view;
pub mod view;
