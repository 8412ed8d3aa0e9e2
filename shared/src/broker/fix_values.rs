//! What a session fixes of the values that its clients need: checked as far as it goes, the rest is the person's.

use std::collections::{BTreeMap, BTreeSet};

use super::Broker;
use super::addresses::preset;
use super::fields::{Fields, escape};
use super::inputs::check_inputs;
use super::offer_clients::{Offered, implicits, is_kept};
use crate::error::Result;
use crate::model::credential::Credential;
use crate::model::variable::{GivenValue, VariableSource, Visibility};

impl Broker {
    /// Checks what the backend gave, as far as that goes: what it did not give, the person gives on the page.
    pub(super) fn fix_values(
        &self,
        offered: &mut Vec<Offered>,
        of_session: &BTreeMap<String, GivenValue>,
        target: Option<&Credential>,
    ) -> Result<()> {
        let mut wrong: BTreeMap<String, (&'static str, String)> = BTreeMap::new();
        for key in of_session.keys().filter(|key| !offered.iter().any(|one| one.knows(key))) {
            let detail = "No client that is offered has a variable of this key; case matters.".to_owned();
            wrong.insert(format!("/variables/{}", escape(key)), ("unknown_variable", detail));
        }
        let mut unusable = BTreeSet::new();
        for (index, one) in offered.iter_mut().enumerate() {
            let pointer = |key: &str, own: bool| match own {
                true => format!("/clients/{index}/variables/{}", escape(key)),
                false => format!("/variables/{}", escape(key)),
            };
            let mut given = of_session.clone();
            given.retain(|key, _| one.knows(key));
            given.extend(one.given.clone());
            let (own, named) = (one.given.clone(), one.named);
            let is_own = |key: &str| own.contains_key(key);
            match check_inputs(&one.client, &implicits(&one.client, &one.grants), given, &|_| false) {
                Ok(inputs) => one.fixed = inputs,
                Err(refused) => {
                    for (key, code, detail) in refused {
                        wrong.entry(pointer(&key, is_own(&key))).or_insert((code, detail));
                    }
                    continue;
                }
            }
            if let Some(target) = target {
                one.keep_values(target);
            }
            for (key, code, detail) in self.check_addresses(&one.client, &one.fixed.shown) {
                wrong.entry(pointer(&key, is_own(&key))).or_insert((code, detail));
            }
            // A secret of the backend's goes to no host that the person names.
            if !one.fixed.secret.is_empty() && one.leaves_a_host_open() {
                let detail =
                    "A secret is fixed here, and the person names the host that it would go to: fix that, too.";
                wrong.entry("/variables".to_owned()).or_insert(("host_not_fixed", detail.to_owned()));
            }
            // What no page asks must be there now, or no sign-in can ever succeed.
            for key in one.lacking(target.is_some()) {
                if named {
                    let detail = "No page asks for it, and it has no default: give it here.".to_owned();
                    wrong.entry(pointer(&key, !own.is_empty())).or_insert(("required", detail));
                } else {
                    unusable.insert(one.client.id.clone());
                }
            }
        }
        offered.retain(|one| !unusable.contains(&one.client.id));
        let mut fields = Fields::default();
        for (pointer, (code, detail)) in wrong {
            fields.wrong(&pointer, code, detail);
        }
        fields.done()
    }
}

impl Offered {
    fn knows(&self, key: &str) -> bool {
        self.client.settings.variables.iter().any(|variable| variable.key == key)
            || implicits(&self.client, &self.grants).iter().any(|asked| asked.key == key)
    }

    /// What the credential has and the session did not give stays as it is, as far as it still fits the client.
    fn keep_values(&mut self, target: &Credential) {
        let implicits = implicits(&self.client, &self.grants);
        for (key, value) in &target.variables {
            let given = self.fixed.shown.contains_key(key) || self.fixed.secret.contains_key(key);
            if given || !self.knows(key) {
                continue;
            }
            let one = BTreeMap::from([(key.clone(), GivenValue::from(value.as_str()))]);
            if let Ok(kept) = check_inputs(&self.client, &implicits, one, &|_| false) {
                self.fixed.shown.extend(kept.shown);
            }
        }
    }

    /// The variables that are needed and that neither session, default nor page supplies.
    fn lacking(&self, renews: bool) -> Vec<String> {
        let hidden = self.client.settings.variables.iter().filter(|variable| {
            variable.required
                && variable.source == VariableSource::Person
                && variable.visibility != Visibility::Shown
                && !(renews && is_kept(&self.client, &variable.key))
        });
        let open = hidden.filter(|variable| {
            let fixed = self.fixed.shown.contains_key(&variable.key) || self.fixed.secret.contains_key(&variable.key);
            !fixed && preset(&self.client, &variable.key).is_none()
        });
        open.map(|variable| variable.key.clone()).collect()
    }
}
