//! The catalogue of providers: facts about third parties, one file each, embedded when the library is built and parsed
//! one by one when somebody asks. An operator's directory may lie over it. The form of a file is `providers/README.md`.
//!
//! - `document`: TOML as JSON, and one entry laid over another
//! - `provider`: an entry, divided into what it says to people and what a client takes
//! - `client`: what becomes a client, and where a client differs
//! - `search`: the order of a list
//! - `quirks`, `methods`, `steps`: what is told of a provider, derived from its facts
//! - `overlay`: the operator's directory

mod client;
mod document;
mod embedded;
mod methods;
mod overlay;
mod provider;
mod quirks;
mod search;
mod steps;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

pub use self::client::{GrantRefusal, is_wire_fact};
pub use self::methods::{Entered, Giver, Method};
pub use self::overlay::{OverlayError, is_id};
pub use self::provider::{About, Confidence, Provider};
pub use self::quirks::Quirk;
use crate::error::{Error, Result};

/// The categories of entries.
pub const CATEGORIES: [&str; 37] = [
    "accounting",
    "automation",
    "cms",
    "commerce",
    "communication",
    "construction",
    "crm",
    "data",
    "design",
    "developer",
    "education",
    "erp",
    "esign",
    "events",
    "field-service",
    "finance",
    "fitness",
    "gaming",
    "health",
    "hr",
    "identity",
    "iot",
    "legal",
    "marketing",
    "media",
    "mobility",
    "nonprofit",
    "payments",
    "platform",
    "productivity",
    "real-estate",
    "sales",
    "scheduling",
    "social",
    "storage",
    "support",
    "telephony",
];
/// The longest chain of entries that extend each other.
const MAX_CHAIN: usize = 8;

/// The catalogue of one stack: the embedded entries and the operator's over them. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    overlay: Arc<overlay::Overlay>,
}

/// An entry as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ProviderSummary)]
pub struct Summary {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What kind of product it is.
    pub category: String,
    /// The grants that it has and this broker speaks.
    pub grant_types: Vec<String>,
}

impl Catalogue {
    /// The entry of this id, with everything that it extends.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Internal`] for an embedded entry that is wrong, which the tests of the catalogue
    /// do not let pass.
    pub fn find(&self, id: &str) -> Result<Provider> {
        if self.text(id).is_none() {
            return Err(Error::NotFound);
        }
        self.read(id).map_err(|_| Error::Internal("an entry of the catalogue cannot be read"))
    }

    /// The same, with what is wrong about it.
    ///
    /// # Errors
    /// [`Error::Invalid`] with JSON Pointers into the entry.
    pub fn read(&self, id: &str) -> Result<Provider> {
        Provider::read(id, self.document(id)?)
    }

    /// An entry laid over those that it extends.
    fn document(&self, id: &str) -> Result<Map<String, Value>> {
        let extends = |code, detail: String| Error::field("/extends", code, detail);
        let mut chain: Vec<String> = Vec::new();
        let mut documents = Vec::new();
        let mut next = Some(id.to_owned());
        while let Some(id) = next {
            if chain.contains(&id) {
                return Err(extends("circle", format!("{} → {id} goes in a circle.", chain.join(" → "))));
            }
            if chain.len() == MAX_CHAIN {
                return Err(extends("too_long", format!("At most {MAX_CHAIN} entries extend each other.")));
            }
            let text = self.text(&id);
            let text = text.ok_or_else(|| extends("unknown_provider", format!("There is no entry {id}.")))?;
            let document = document::parse(text).map_err(|why| Error::field("", "not_toml", why))?;
            next = match document.get("extends") {
                None => None,
                Some(Value::String(base)) => Some(base.clone()),
                Some(_) => return Err(extends("invalid_value", "It is the id of another entry.".to_owned())),
            };
            chain.push(id);
            documents.push(document);
        }
        let mut whole = Map::new();
        for document in documents.into_iter().rev() {
            document::extend(&mut whole, document);
        }
        Ok(whole)
    }

    fn text(&self, id: &str) -> Option<&str> {
        self.overlay.text(id).or_else(|| Some(embedded::find(id)?.text))
    }

    /// One entry by itself, for tests.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    #[cfg(any(test, feature = "testing"))]
    pub fn of(id: &str, text: &str) -> Result<Provider> {
        Self { overlay: Arc::new(overlay::Overlay::of([(id, text)])) }.read(id)
    }

    /// The ids of all entries, sorted.
    pub fn ids(&self) -> impl Iterator<Item = String> {
        let all: BTreeMap<&str, ()> =
            embedded::ENTRIES.iter().map(|entry| entry.id).chain(self.overlay.ids()).map(|id| (id, ())).collect();
        all.into_keys().map(str::to_owned).collect::<Vec<_>>().into_iter()
    }
}
