//! What is stored. State changes are methods that return the next value, or say why there is none.

pub mod attempt;
pub mod client;
pub mod credential;
pub mod event;
pub mod flow;
pub mod forecast;
pub mod health;
pub mod ids;
pub mod place;
pub mod principal;
pub mod project;
pub mod raw_value;
pub mod session;
pub mod token_set;
pub mod variable;
