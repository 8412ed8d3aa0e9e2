//! The variables of a client, and its own values for them.

use std::collections::BTreeMap;

use crate::broker::fields::{Fields, escape};
use crate::model::client::ClientSettings;
use crate::model::variable::{self, Variable, VariableSource, Visibility};

/// The most values of a client.
const MAX_VALUES: usize = 50;

pub(super) fn check(fields: &mut Fields, settings: &ClientSettings) {
    for wrong in variable::check_definitions(&settings.variables) {
        fields.wrong(&format!("/variables{}", wrong.pointer), wrong.code, wrong.detail);
    }
    for (index, variable) in settings.variables.iter().enumerate() {
        if variable.secret && variable.source != VariableSource::Person {
            let rule = "A secret comes from a person: what belongs to the client is its client_secret.";
            fields.wrong(&format!("/variables/{index}/secret"), "secret_not_from_a_person", rule);
        }
    }
    if settings.values.len() > MAX_VALUES {
        return fields.wrong("/values", "too_many", format!("There may be at most {MAX_VALUES} values."));
    }
    for (key, value) in &settings.values {
        let pointer = format!("/values/{}", escape(key));
        match settings.variables.iter().find(|variable| variable.key == *key) {
            None => {
                let rule = "No variable has this key; keys are case-sensitive. Define it in variables.";
                fields.wrong(&pointer, "undeclared_variable", rule);
            }
            Some(variable) if variable.secret => {
                let rule = "Values of the client are shown with it, and this variable is a secret.";
                fields.wrong(&pointer, "secret_value", rule);
            }
            Some(variable) if !may_be_the_clients(variable) => {
                let rule =
                    "This variable is not the client's: give it the source client, or the visibility hidden or fixed.";
                fields.wrong(&pointer, "not_the_clients", rule);
            }
            Some(variable) => {
                let (alone, nothing) = (BTreeMap::from([(key.clone(), value.clone())]), BTreeMap::<_, String>::new());
                if let Err(wrong) = variable::accept(std::slice::from_ref(variable), &alone, &nothing) {
                    wrong.into_iter().for_each(|(_, code, detail)| fields.wrong(&pointer, code, detail));
                }
            }
        }
    }
}

fn may_be_the_clients(variable: &Variable) -> bool {
    match variable.source {
        VariableSource::Client => true,
        VariableSource::Person => variable.visibility != Visibility::Shown,
        VariableSource::Callback | VariableSource::Token | VariableSource::Lookup | VariableSource::Choice => false,
    }
}
