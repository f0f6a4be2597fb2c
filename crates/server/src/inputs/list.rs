//! Inputs, or token ids, one or many: `"a"`, `["a", "b"]`, `[1, 2]`, `[[1, 2], [3]]`.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ArrayBuilder, ObjectBuilder, OneOfBuilder, RefOr, Schema, Type},
};

use super::text::Text;

/// Most inputs of one request: a bound on memory, many times what the APIs allow.
pub(crate) const MAX_INPUTS: usize = 16_384;
/// Most ids of one input.
const MAX_IDS: usize = 1 << 20;

/// One text, the ids of its tokens, or an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    Text(Text),
    Ids(Vec<u32>),
    /// A data URI, base64, or an address.
    Image(String),
    /// The image that was at an address.
    Bytes(Vec<u8>),
}

/// One input or a list of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Inputs {
    pub(crate) items: Vec<Item>,
    /// True for an input that stands alone, not in a list.
    pub(crate) single: bool,
}

impl Inputs {
    /// True if an input is given by token ids.
    pub(crate) fn has_ids(&self) -> bool {
        self.items.iter().any(|item| matches!(item, Item::Ids(_)))
    }
}

impl<'de> Deserialize<'de> for Inputs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(InputsVisitor)
    }
}

struct InputsVisitor;

impl<'de> Visitor<'de> for InputsVisitor {
    type Value = Inputs;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, token ids, or a list of inputs")
    }

    fn visit_str<E>(self, text: &str) -> Result<Inputs, E> {
        Ok(Inputs { items: vec![Item::Text(text.into())], single: true })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Inputs, A::Error> {
        let mut items = Vec::new();
        let mut ids = Vec::new();
        while let Some(element) = list.next_element::<Element>()? {
            match element {
                Element::Id(id) if items.is_empty() => push(&mut ids, id, MAX_IDS)?,
                Element::Text(text) if ids.is_empty() => {
                    push(&mut items, Item::Text(text), MAX_INPUTS)?;
                }
                Element::Ids(list) if ids.is_empty() => {
                    push(&mut items, Item::Ids(list), MAX_INPUTS)?;
                }
                Element::Object(object) if ids.is_empty() => {
                    push(&mut items, object.into(), MAX_INPUTS)?;
                }
                _ => return Err(A::Error::custom("a list has ids beside other inputs")),
            }
        }
        let single = !ids.is_empty();
        if single {
            items.push(Item::Ids(ids));
        }
        Ok(Inputs { items, single })
    }
}

fn push<T, E: serde::de::Error>(list: &mut Vec<T>, item: T, most: usize) -> Result<(), E> {
    if list.len() >= most {
        return Err(E::custom(format!("a list has more than {most} elements")));
    }
    list.push(item);
    Ok(())
}

/// Element of the outer list.
enum Element {
    Text(Text),
    Id(u32),
    Ids(Vec<u32>),
    Object(Object),
}

/// An input as an object with one key.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Object {
    Text(Text),
    Image(String),
}

impl From<Object> for Item {
    fn from(object: Object) -> Self {
        match object {
            Object::Text(text) => Self::Text(text),
            Object::Image(image) => Self::Image(image),
        }
    }
}

impl<'de> Deserialize<'de> for Element {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ElementVisitor)
    }
}

struct ElementVisitor;

impl<'de> Visitor<'de> for ElementVisitor {
    type Value = Element;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a token id, a list of token ids, or an object with a text or an image")
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Element, A::Error> {
        Object::deserialize(MapAccessDeserializer::new(object)).map(Element::Object)
    }

    fn visit_str<E>(self, text: &str) -> Result<Element, E> {
        Ok(Element::Text(text.into()))
    }

    fn visit_u64<E: serde::de::Error>(self, id: u64) -> Result<Element, E> {
        let id = u32::try_from(id).map_err(|_| E::custom(format!("{id} is no token id")))?;
        Ok(Element::Id(id))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Element, A::Error> {
        let mut ids = Vec::new();
        while let Some(id) = list.next_element()? {
            push(&mut ids, id, MAX_IDS)?;
        }
        Ok(Element::Ids(ids))
    }
}

fn ids() -> ArrayBuilder {
    ArrayBuilder::new().items(ObjectBuilder::new().schema_type(Type::Integer))
}

impl PartialSchema for Item {
    fn schema() -> RefOr<Schema> {
        let text = || ObjectBuilder::new().schema_type(Type::String);
        let object = |key| ObjectBuilder::new().property(key, text()).required(key);
        OneOfBuilder::new()
            .item(text())
            .item(ids())
            .item(object("text"))
            .item(object("image"))
            .into()
    }
}

impl ToSchema for Item {}

impl PartialSchema for Inputs {
    fn schema() -> RefOr<Schema> {
        OneOfBuilder::new()
            .item(Item::schema())
            .item(ArrayBuilder::new().items(Item::schema()))
            .into()
    }
}

impl ToSchema for Inputs {}

/// A text or a list of texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TextList(pub(crate) Vec<Text>);

impl<'de> Deserialize<'de> for TextList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = |item| match item {
            Item::Text(text) => Ok(text),
            _ => Err(D::Error::custom("expected a text or a list of texts")),
        };
        let Inputs { items, .. } = Inputs::deserialize(deserializer)?;
        Ok(Self(items.into_iter().map(text).collect::<Result<_, _>>()?))
    }
}

impl PartialSchema for TextList {
    fn schema() -> RefOr<Schema> {
        let text = || ObjectBuilder::new().schema_type(Type::String);
        OneOfBuilder::new().item(text()).item(ArrayBuilder::new().items(text())).into()
    }
}

impl ToSchema for TextList {}

/// A list of token ids or a list of such lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ids(pub(crate) Vec<Vec<u32>>);

impl<'de> Deserialize<'de> for Ids {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let ids = |item| match item {
            Item::Ids(ids) => Ok(ids),
            _ => Err(D::Error::custom("expected token ids or a list of lists of them")),
        };
        let Inputs { items, .. } = Inputs::deserialize(deserializer)?;
        Ok(Self(items.into_iter().map(ids).collect::<Result<_, _>>()?))
    }
}

impl PartialSchema for Ids {
    fn schema() -> RefOr<Schema> {
        OneOfBuilder::new().item(ids()).item(ArrayBuilder::new().items(ids())).into()
    }
}

impl ToSchema for Ids {}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Inputs, String> {
        serde_json::from_str(json).map_err(|error: serde_json::Error| error.to_string())
    }

    #[test]
    fn inputs_have_four_forms() {
        let text = |text: &str| Item::Text(text.into());
        let ids = |ids: &[u32]| Item::Ids(ids.into());
        for (json, items, single) in [
            (r#""a""#, vec![text("a")], true),
            (r#"["a"]"#, vec![text("a")], false),
            (r#"["a","b"]"#, vec![text("a"), text("b")], false),
            ("[1,2]", vec![ids(&[1, 2])], true),
            ("[[1,2],[3]]", vec![ids(&[1, 2]), ids(&[3])], false),
            (r#"["a",[3]]"#, vec![text("a"), ids(&[3])], false),
            ("[]", vec![], false),
            (
                r#"[{"text":"a"},{"image":"data:x"}]"#,
                vec![text("a"), Item::Image("data:x".into())],
                false,
            ),
        ] {
            assert_eq!(read(json).unwrap(), Inputs { items, single }, "{json}");
        }
        for (json, reason) in [
            ("1", "expected a text, token ids"),
            (r#"["a",1]"#, "ids beside other inputs"),
            (r#"[1,"a"]"#, "ids beside other inputs"),
            ("[-1]", "expected a text, a token id"),
            ("[4294967296]", "4294967296 is no token id"),
            ("[[1.5]]", "expected u32"),
            ("[null]", "expected a text, a token id"),
        ] {
            let error = read(json).unwrap_err();
            assert!(error.contains(reason), "{json}: {error}");
        }
    }

    #[test]
    fn a_list_is_bounded() {
        let many = format!("[{}]", vec![r#""""#; MAX_INPUTS + 1].join(","));
        assert!(read(&many).unwrap_err().contains("more than 16384 elements"));
        let most = format!("[{}]", vec![r#""""#; MAX_INPUTS].join(","));
        assert_eq!(read(&most).unwrap().items.len(), MAX_INPUTS);
    }
}
