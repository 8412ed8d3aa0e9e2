//! The sandbox posing as providers: hand-made entries, one quirk at a time. The right request passes, and each wrong one
//! is refused with its reason.

mod api;
mod authorize;
mod refresh;
mod revoke;
mod routing;
mod token_answer;
mod token_request;
mod visitor;
