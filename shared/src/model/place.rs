//! Where the vault keeps a secret, and what it belongs to.

/// Whose secret it is. Ids are never used again, so neither are places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The project, or `global` for a client of the instance.
    pub project: String,
    /// The client or credential.
    pub id: String,
    /// What a document of a credential belongs to besides. A vault that seals binds it to that, so that a document which
    /// is moved to another generation or another origin does not open; the others do not look at it.
    pub binding: Binding,
}

/// What a token set or raw value belongs to, besides its credential.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Binding {
    /// The generation that it was staged for; 0 for what has none.
    pub generation: u64,
    /// The origins that its secrets may be sent to.
    pub bound_origin: String,
}

impl Place {
    /// The place of an object of a project.
    pub fn new(project: impl Into<String>, id: impl Into<String>) -> Self {
        Self { project: project.into(), id: id.into(), binding: Binding::default() }
    }

    /// The place of one generation of a credential.
    #[must_use]
    pub fn bound(self, generation: u64, bound_origin: impl Into<String>) -> Self {
        Self { binding: Binding { generation, bound_origin: bound_origin.into() }, ..self }
    }
}
