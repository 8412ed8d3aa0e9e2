//! The OpenAPI document of this function. The two bodies are read as settings and secrets apart, so they are described
//! here as the one object that callers send.

use grantkeeper::inbound::openapi::Flattened;
use grantkeeper::model::client::ClientSettings;
use utoipa::openapi::schema::{AdditionalProperties, Object, OneOfBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{ObjectBuilder, RefOr};
use utoipa::{Modify, OpenApi, ToSchema};

/// A client to be registered.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only described")]
pub struct NewClient {
    #[serde(flatten)]
    settings: ClientSettings,
    /// The secret that the authorization server issued.
    #[schema(write_only)]
    client_secret: Option<String>,
    /// A key for the redirect URI, for those who need a stable one: at least 128 bits. Otherwise one is made.
    client_key: Option<String>,
}

/// A JSON merge patch (RFC 7396) of a client: what is absent stays, and null takes a member away.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only described")]
pub struct ClientChange {
    #[serde(flatten)]
    settings: ClientSettings,
    /// A new secret.
    #[schema(write_only)]
    client_secret: Option<String>,
    /// Switches the client off and on.
    status: Option<Switch>,
}

/// Whether a client is switched on.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "only described")]
pub enum Switch {
    /// On; it is a draft as long as it lacks something.
    Active,
    /// Off; its credentials are not refreshed.
    Disabled,
}

#[derive(OpenApi)]
#[openapi(
    paths(
        super::register,
        super::list,
        super::read,
        super::update,
        super::delete,
        crate::secrets::add,
        crate::secrets::remove,
        crate::lint::check,
        crate::variables::read,
        crate::providers::list,
        crate::providers::read
    ),
    modifiers(&Flattened, &Bodies)
)]
struct Document;

/// The calls of this function.
pub fn openapi() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

/// Both refuse unknown fields; the patch need not have any. The settings go: no call has them alone.
struct Bodies;

impl Modify for Bodies {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let Some(components) = document.components.as_mut() else {
            return;
        };
        components.schemas.remove("ClientSettings");
        for body in ["NewClient", "ClientChange"] {
            if let Some(RefOr::T(Schema::Object(body))) = components.schemas.get_mut(body) {
                body.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
            }
        }
        if let Some(RefOr::T(Schema::Object(patch))) = components.schemas.get_mut("ClientChange") {
            // It is fixed when the client is made.
            patch.properties.remove("project");
            patch.required.clear();
            for (_, member) in patch.properties.iter_mut() {
                nullable(member);
            }
        }
    }
}

fn nullable(member: &mut RefOr<Schema>) {
    match member {
        RefOr::T(Schema::OneOf(_)) => {}
        RefOr::T(Schema::Object(Object { schema_type, .. })) => or_null(schema_type),
        RefOr::T(Schema::Array(array)) => or_null(&mut array.schema_type),
        other => {
            let null = ObjectBuilder::new().schema_type(Type::Null);
            *other = OneOfBuilder::new().item(null).item(other.clone()).into();
        }
    }
}

fn or_null(schema_type: &mut SchemaType) {
    if let SchemaType::Type(only) = schema_type {
        *schema_type = SchemaType::Array(vec![only.clone(), Type::Null]);
    }
}
