//! Ids: ULIDs with a type prefix, opaque to callers, never used again.

use serde::{Deserialize, Serialize};

/// A text that is not an id of the wanted type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id of this type")]
pub struct NotAnId;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// A new one: sorted by time, 80 bits of randomness.
            pub fn generate() -> Self {
                Self(format!(concat!($prefix, "_{}"), ulid::Ulid::generate()))
            }

            /// Checks that a text from outside has the form of this id.
            ///
            /// # Errors
            /// [`NotAnId`].
            pub fn parse(text: &str) -> Result<Self, NotAnId> {
                let rest = text.strip_prefix(concat!($prefix, "_")).ok_or(NotAnId)?;
                let well_formed = rest.len() == 26 && rest.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
                if well_formed { Ok(Self(text.to_owned())) } else { Err(NotAnId) }
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NotAnId;
            fn try_from(text: String) -> Result<Self, NotAnId> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
    };
}

id!(
    /// A project.
    ProjectId, "prj"
);
id!(
    /// A client: our registration at one authorization server. Not the `client_id` that the server issued.
    ClientId, "clt"
);
id!(
    /// A credential.
    CredentialId, "crd"
);
id!(
    /// A flow: one authorization request in flight.
    FlowId, "flw"
);
id!(
    /// A connect session.
    SessionId, "ses"
);
id!(
    /// An API key, its public name; not the key.
    KeyId, "key"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_parses_only_as_its_own_type() {
        let id = CredentialId::generate();
        assert_eq!(CredentialId::parse(id.as_str()), Ok(id.clone()));
        assert_eq!(ClientId::parse(id.as_str()), Err(NotAnId));
        for bad in ["", "crd_", "crd_#", "crd_01ARZ3NDEKTSV4RRFFQ69G5FA/", "crd_01arz3ndektsv4rrffq69g5fav"] {
            assert_eq!(CredentialId::parse(bad), Err(NotAnId), "{bad}");
        }
    }
}
