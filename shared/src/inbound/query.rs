//! Queries of lists.

use std::borrow::Cow;

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse as _, Response};
use http::request::Parts;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{IntoParams, PartialSchema, ToSchema};

use crate::error::{Error, Result};
use crate::store::Page;

/// Items of a page when not said otherwise.
const DEFAULT_LIMIT: u32 = 50;
/// The most items of a page.
const MAX_LIMIT: u32 = 200;

/// The query of a list: `limit`, `cursor`, and the filters of `T`. Unknown and repeated parameters are refused.
pub struct ListQuery<T> {
    /// Items of the page.
    pub limit: u32,
    /// Where it begins.
    pub cursor: Option<String>,
    /// The filters.
    pub filters: T,
}

/// No filters.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoFilters {}

impl IntoParams for NoFilters {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        Vec::new()
    }
}

impl<T: IntoParams> IntoParams for ListQuery<T> {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let parameter = |name: &str, description: &str, schema: ObjectBuilder| {
            ParameterBuilder::new()
                .name(name)
                .parameter_in(ParameterIn::Query)
                .description(Some(description))
                .schema(Some(schema))
                .build()
        };
        let limit = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(1))
            .maximum(Some(MAX_LIMIT))
            .default(Some(DEFAULT_LIMIT.into()));
        let cursor = ObjectBuilder::new().schema_type(Type::String);
        let mut parameters = vec![
            parameter("limit", "The most items of the page.", limit),
            parameter("cursor", "Where the page begins: `next` of the page before.", cursor),
        ];
        parameters.extend(T::into_params(|| Some(ParameterIn::Query)));
        parameters
    }
}

/// A page of a list.
#[derive(Serialize)]
pub struct Listing<T> {
    /// The items.
    pub items: Vec<T>,
    /// The cursor of the next page; null at the end.
    pub next: Option<String>,
}

// By hand, because the derived schema would write the item's schema out instead of naming it.
impl<T: ToSchema> PartialSchema for Listing<T> {
    fn schema() -> RefOr<Schema> {
        let cursor = SchemaType::from_iter([Type::String, Type::Null]);
        let next =
            ObjectBuilder::new().schema_type(cursor).description(Some("The cursor of the next page; null at the end."));
        ObjectBuilder::new()
            .description(Some("A page of a list."))
            .property("items", ArrayBuilder::new().items(Ref::from_schema_name(T::name())))
            .required("items")
            .property("next", next)
            .into()
    }
}

impl<T: ToSchema> ToSchema for Listing<T> {
    fn name() -> Cow<'static, str> {
        format!("{}List", T::name()).into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((T::name().into_owned(), T::schema()));
        T::schemas(schemas);
    }
}

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for ListQuery<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        parse(parts.uri.query().unwrap_or_default()).map_err(|error| error.into_response())
    }
}

fn parse<T: DeserializeOwned>(query: &str) -> Result<ListQuery<T>> {
    let mut pairs = serde_json::Map::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if pairs.insert(name.to_string(), Value::String(value.into_owned())).is_some() {
            return Err(Error::Malformed(format!("The parameter {name} is given twice.")));
        }
    }
    let mut take = |name: &str| pairs.remove(name).and_then(|value| value.as_str().map(str::to_owned));
    let limit = match take("limit").map(|text| text.parse::<u32>()) {
        None => DEFAULT_LIMIT,
        Some(Ok(limit)) if (1..=MAX_LIMIT).contains(&limit) => limit,
        Some(_) => {
            return Err(Error::Malformed(format!("The parameter limit is a number from 1 to {MAX_LIMIT}.")));
        }
    };
    let cursor = take("cursor");
    let plain = |text: &String| {
        !text.is_empty() && text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    if cursor.as_ref().is_some_and(|cursor| !plain(cursor)) {
        return Err(Error::Malformed("The parameter cursor is not one that a list returned.".to_owned()));
    }
    let names: Vec<String> = pairs.keys().cloned().collect();
    let filters = serde_json::from_value(Value::Object(pairs))
        .map_err(|_| Error::Malformed(format!("A parameter is unknown or has a wrong value: {}.", names.join(", "))))?;
    Ok(ListQuery { limit, cursor, filters })
}

/// A page as API.md writes it.
pub fn page<T, V>(page: Page<T>, view: impl Fn(T) -> V) -> Listing<V> {
    Listing { items: page.items.into_iter().map(view).collect(), next: page.next }
}
