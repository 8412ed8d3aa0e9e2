//! Values for the variables of an entry, where no customer is at hand.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::client::{ClientSettings, CredentialsFrom};
use crate::model::token_set::SecretInputs;
use crate::secret::Secret;

use super::CLIENT_ID;

/// A secret that opens nothing.
const SECRET: &str = "not-a-secret";

/// What stands for the variables.
#[derive(Default)]
pub(super) struct Examples {
    pub(super) shown: BTreeMap<String, String>,
    pub(super) secret: SecretInputs,
    guessed: BTreeSet<String>,
}

impl Examples {
    /// The client's own value, the default or the first choice, which are real; else the example, which may be anybody's.
    pub(super) fn of(settings: &ClientSettings) -> Self {
        let mut examples = Self::default();
        if settings.credentials_from == CredentialsFrom::Person {
            examples.shown.insert("client_id".to_owned(), CLIENT_ID.to_owned());
        }
        for variable in &settings.variables {
            let key = &variable.key;
            let real = settings.values.get(key).or(variable.default.as_ref());
            let real = real.or_else(|| variable.choices.first().map(|choice| &choice.value));
            if variable.secret {
                examples.secret.insert(key.clone(), Secret::from(SECRET));
                continue;
            }
            let Some(value) = real.or(variable.example.as_ref()) else { continue };
            if real.is_none() {
                examples.guessed.insert(key.clone());
            }
            examples.shown.insert(key.clone(), value.clone());
        }
        examples
    }

    /// Whether the value of a key is nobody's for sure.
    pub(super) fn is_guessed(&self, key: &str) -> bool {
        self.guessed.contains(key)
    }

    /// The secret of a client that nobody registered.
    pub(super) fn client_secret() -> Secret<String> {
        Secret::from(SECRET)
    }
}
