//! Texts with placeholders, as patterns that what arrives must match.

use serde_json::Value;

/// What the name in a placeholder stands for.
pub(super) enum Meaning {
    /// This text.
    Is(String),
    /// Anything but nothing: the request tells.
    Open,
    /// Nothing: what the placeholder stands in must be left out.
    Unset,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Hole(String),
}

/// A text in which some places are open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Piece>);

/// What was found in open places.
pub(super) type Found = Vec<(String, String)>;

impl Pattern {
    /// The pattern of a value; nothing when it must be left out.
    pub(super) fn of(text: &str, meaning: &dyn Fn(&str) -> Meaning) -> Option<Pattern> {
        Self::build(text, meaning, None)
    }

    /// The pattern of a whole text, in which a name without a value leaves nothing behind and values are written as the
    /// text needs it.
    pub(super) fn of_text(text: &str, meaning: &dyn Fn(&str) -> Meaning, escape: &dyn Fn(&str) -> String) -> Pattern {
        Self::build(text, meaning, Some(escape)).unwrap_or(Pattern(Vec::new()))
    }

    pub(super) fn exactly(text: &str) -> Pattern {
        Pattern(vec![Piece::Text(text.to_owned())])
    }

    pub(super) fn open(name: &str) -> Pattern {
        Pattern(vec![Piece::Hole(name.to_owned())])
    }

    fn build(
        text: &str,
        meaning: &dyn Fn(&str) -> Meaning,
        inside: Option<&dyn Fn(&str) -> String>,
    ) -> Option<Pattern> {
        let (mut pieces, mut literal) = (Vec::new(), String::new());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            literal.push_str(before);
            let Some((name, after)) = placeholder(after) else {
                literal.push('{');
                rest = after.strip_prefix('{').unwrap_or(after);
                continue;
            };
            match meaning(name) {
                Meaning::Is(value) => literal.push_str(&inside.map_or_else(|| value.clone(), |escape| escape(&value))),
                Meaning::Open => {
                    pieces.push(Piece::Text(std::mem::take(&mut literal)));
                    pieces.push(Piece::Hole(name.to_owned()));
                }
                Meaning::Unset if inside.is_some() => {}
                Meaning::Unset => return None,
            }
            rest = after;
        }
        literal.push_str(rest);
        pieces.push(Piece::Text(literal));
        Some(Pattern(pieces))
    }

    /// What stands in the open places of a text, if the text is of this pattern.
    pub(super) fn read(&self, text: &str) -> Option<Found> {
        let mut found = Vec::new();
        fits(&self.0, text, &mut found).then_some(found)
    }

    /// Whether the name is open in it.
    pub(super) fn asks(&self, name: &str) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Hole(open) if open == name))
    }

    /// For a complaint: open places as `{name}`.
    pub(super) fn shown(&self) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Hole(name) => format!("{{{name}}}"),
        };
        self.0.iter().map(piece).collect()
    }
}

/// What follows an opening brace, if it is a name and a closing one.
fn placeholder(after: &str) -> Option<(&str, &str)> {
    let (inside, rest) = after.split_once('}')?;
    let name = inside.strip_suffix('?').unwrap_or(inside);
    is_key(name).then_some((name, rest))
}

fn is_key(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

/// The names of all placeholders of a text.
pub(super) fn names(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('{') {
        rest = after.strip_prefix('{').unwrap_or(after);
        if let Some((name, after)) = placeholder(after) {
            names.push(name);
            rest = after;
        }
    }
    names
}

fn fits(pieces: &[Piece], text: &str, found: &mut Found) -> bool {
    match pieces.split_first() {
        None => text.is_empty(),
        Some((Piece::Text(literal), rest)) => {
            text.strip_prefix(literal.as_str()).is_some_and(|text| fits(rest, text, found))
        }
        Some((Piece::Hole(name), rest)) => {
            let ends = text.char_indices().map(|(at, _)| at).skip(1).chain([text.len()]);
            ends.filter(|end| *end > 0).any(|end| {
                let Some((value, after)) = text.split_at_checked(end) else { return false };
                found.push((name.clone(), value.to_owned()));
                let fits = fits(rest, after, found);
                if !fits {
                    found.pop();
                }
                fits
            })
        }
    }
}

/// A JSON value whose texts are patterns.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shape {
    Text(Pattern),
    Fixed(Value),
    List(Vec<Shape>),
    Object(Vec<(String, Shape)>),
}

impl Shape {
    /// The shape of a value; nothing when it must be left out.
    pub(super) fn of(value: &Value, meaning: &dyn Fn(&str) -> Meaning) -> Option<Shape> {
        Some(match value {
            Value::String(text) => Shape::Text(Pattern::of(text, meaning)?),
            Value::Array(list) => Shape::List(list.iter().filter_map(|value| Shape::of(value, meaning)).collect()),
            Value::Object(members) => {
                let shape = |(name, value): (&String, &Value)| Some((name.clone(), Shape::of(value, meaning)?));
                Shape::Object(members.iter().filter_map(shape).collect())
            }
            other => Shape::Fixed(other.clone()),
        })
    }

    /// What stands in its open places. `typed`: a number must come as a number, as in JSON; in a form it is a text.
    pub(super) fn read(&self, given: &Value, typed: bool) -> Option<Found> {
        match (self, given) {
            (Shape::Text(pattern), Value::String(text)) => pattern.read(text),
            (Shape::Fixed(wanted), Value::String(text)) if !typed => (*text == format!("{wanted}")).then(Vec::new),
            (Shape::Fixed(wanted), given) => (wanted == given).then(Vec::new),
            (Shape::List(shapes), Value::Array(list)) if shapes.len() == list.len() => {
                let found: Option<Vec<Found>> =
                    shapes.iter().zip(list).map(|(shape, value)| shape.read(value, typed)).collect();
                found.map(|found| found.concat())
            }
            (Shape::Object(shapes), Value::Object(members)) if shapes.len() == members.len() => {
                let found: Option<Vec<Found>> =
                    shapes.iter().map(|(name, shape)| shape.read(members.get(name)?, typed)).collect();
                found.map(|found| found.concat())
            }
            _ => None,
        }
    }

    /// Whether the name is open in it.
    pub(super) fn asks(&self, name: &str) -> bool {
        match self {
            Shape::Text(pattern) => pattern.asks(name),
            Shape::Fixed(_) => false,
            Shape::List(shapes) => shapes.iter().any(|shape| shape.asks(name)),
            Shape::Object(shapes) => shapes.iter().any(|(_, shape)| shape.asks(name)),
        }
    }

    /// For a complaint.
    pub(super) fn shown(&self) -> String {
        match self {
            Shape::Text(pattern) => pattern.shown(),
            Shape::Fixed(value) => value.to_string(),
            Shape::List(_) => "a list".to_owned(),
            Shape::Object(_) => "an object".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn meaning(name: &str) -> Meaning {
        match name {
            "a" => Meaning::Is("1".to_owned()),
            "code" | "random" => Meaning::Open,
            _ => Meaning::Unset,
        }
    }

    #[test]
    fn what_is_open_is_read_and_what_is_not_must_be_the_same() {
        let pattern = Pattern::of("x-{a}-{code}/{random}", &meaning).unwrap();
        assert_eq!(pattern.shown(), "x-1-{code}/{random}");
        let found = pattern.read("x-1-c/d/e").unwrap();
        assert_eq!(found, [("code".into(), "c".into()), ("random".into(), "d/e".into())]);
        for other in ["x-1-/e", "x-1-c/", "x-2-c/d", "y"] {
            assert_eq!(pattern.read(other), None, "{other}");
        }
    }

    #[test]
    fn a_name_without_a_value_leaves_out_a_value_and_nothing_of_a_text() {
        assert_eq!(Pattern::of("x{none?}", &meaning), None);
        let text = Pattern::of_text(r#"{"a":"{a}","n":"{none?}","b":{{}"#, &meaning, &str::to_owned);
        assert_eq!(text.shown(), r#"{"a":"1","n":"","b":{}"#);
        assert_eq!(names(r#"{"a":"{a}","n":"{none?}","{{a}"#), ["a", "none"]);
    }

    #[test]
    fn numbers_are_numbers_in_json_and_texts_in_forms() {
        let shape = Shape::of(&json!({ "n": 3, "l": ["{a}", true], "gone": "{none?}" }), &meaning).unwrap();
        assert!(shape.read(&json!({ "n": 3, "l": ["1", true] }), true).is_some());
        for other in [json!({ "n": "3", "l": ["1", true] }), json!({ "n": 3, "l": ["1", true], "gone": "" })] {
            assert_eq!(shape.read(&other, true), None);
        }
        assert!(Shape::Fixed(json!(3)).read(&json!("3"), false).is_some());
    }
}
