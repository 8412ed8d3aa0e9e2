//! Which entries a list has, and in which order.

use super::{Catalogue, Summary, embedded};
use crate::store::Page;

/// How well an entry fits a query, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    /// Its id or its name is the query.
    Equal,
    /// Its id or its name begins with it.
    Prefix,
    /// A word of its id or its name begins with it.
    Word,
    /// Its id or its name contains it.
    Within,
    /// Its category contains it.
    Category,
}

impl Catalogue {
    /// Entries that fit a query, the best first and those that fit alike by their ids; all of them, by their ids, when
    /// there is no query. The page begins behind `start` of them.
    pub fn list(&self, query: &str, category: Option<&str>, limit: u32, start: usize) -> Page<Summary> {
        let query = query.trim().to_lowercase();
        let fits = |one: &Summary| {
            let in_category = category.is_none_or(|category| one.category.eq_ignore_ascii_case(category));
            in_category.then(|| fit(one, &query)).flatten()
        };
        let mut found: Vec<(Fit, Summary)> = Vec::new();
        for one in self.summaries() {
            found.extend(fits(&one).map(|fit| (fit, one)));
        }
        found.sort_by(|(a, one), (b, other)| a.cmp(b).then_with(|| one.id.cmp(&other.id)));
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = found.len() > start.saturating_add(limit);
        Page {
            items: found.into_iter().skip(start).take(limit).map(|(_, one)| one).collect(),
            next: more.then(|| start.saturating_add(limit).to_string()),
        }
    }

    fn summaries(&self) -> impl Iterator<Item = Summary> {
        let embedded = embedded::ENTRIES.iter().filter(|entry| self.overlay.summary(entry.id).is_none());
        embedded.map(Summary::from).chain(self.overlay.summaries().cloned())
    }

    /// A few ids that are like this one, for whoever mistyped it.
    pub fn like(&self, id: &str) -> Vec<String> {
        let wanted = id.trim().to_lowercase();
        if !super::is_id(&wanted) {
            return Vec::new();
        }
        let mut near: Vec<(usize, String)> = Vec::new();
        for one in self.summaries() {
            let distance = match fit(&one, &wanted).filter(|_| wanted.len() > 1) {
                Some(Fit::Equal | Fit::Prefix | Fit::Word) => 0,
                _ => strsim::levenshtein(&wanted, &one.id),
            };
            near.push((distance, one.id));
        }
        near.retain(|(distance, _)| *distance <= wanted.len() / 3);
        near.sort();
        near.into_iter().take(5).map(|(_, id)| id).collect()
    }
}

impl From<&embedded::Embedded> for Summary {
    fn from(entry: &embedded::Embedded) -> Self {
        Self {
            id: entry.id.to_owned(),
            name: entry.name.to_owned(),
            category: entry.category.to_owned(),
            grant_types: entry.grant_types.iter().map(|&grant| grant.to_owned()).collect(),
        }
    }
}

fn fit(one: &Summary, query: &str) -> Option<Fit> {
    let name = one.name.to_lowercase();
    let texts = [one.id.as_str(), name.as_str()];
    let any = |holds: &dyn Fn(&str) -> bool| texts.into_iter().any(holds);
    let words = |text: &str| text.split(|c: char| !c.is_alphanumeric()).any(|word| word.starts_with(query));
    if query.is_empty() || any(&|text| text == query) {
        Some(Fit::Equal)
    } else if any(&|text| text.starts_with(query)) {
        Some(Fit::Prefix)
    } else if any(&words) {
        Some(Fit::Word)
    } else if any(&|text| text.contains(query)) {
        Some(Fit::Within)
    } else if one.category.to_lowercase().contains(query) {
        Some(Fit::Category)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_equal_id_goes_before_a_prefix_a_word_and_a_part() {
        let one = |id: &str, name: &str| Summary {
            id: id.to_owned(),
            name: name.to_owned(),
            category: "files".to_owned(),
            grant_types: Vec::new(),
        };
        for (id, name, expected) in [
            ("box", "Box", Some(Fit::Equal)),
            ("x", "BOX", Some(Fit::Equal)),
            ("boxing", "B", Some(Fit::Prefix)),
            ("drop-box", "D", Some(Fit::Word)),
            ("d", "My (Box)", Some(Fit::Word)),
            ("dropbox", "Dropbox", Some(Fit::Within)),
            ("d", "D", None),
        ] {
            assert_eq!(fit(&one(id, name), "box"), expected, "{id}");
        }
        assert_eq!(fit(&one("d", "D"), "file"), Some(Fit::Category));
        assert_eq!(fit(&one("d", "D"), ""), Some(Fit::Equal));
    }
}
